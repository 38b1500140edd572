"""A store and a root in a folder of their own, looked at through the Python API."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from epmstore.clock import FixedClock
from epmstore.workspace import AppHandle, Workspace

Node: TypeAlias = bytes | str | None
"""A file's content, a symlink's target, or a folder."""
Nodes: TypeAlias = Mapping[str, Node]


class Place:
    """One application; `with place.open() as crm` gives its handle."""

    def __init__(self, base: Path, **patterns: Any) -> None:
        self.base = base
        self.root = base / "root"
        self.store = base / "store"
        self.clock = FixedClock()
        self.root.mkdir()
        with Workspace.init(self.store, clock=self.clock) as workspace:
            workspace.apps.add("crm", self.root, **patterns)

    @contextmanager
    def open(self) -> Iterator[AppHandle]:
        with Workspace.open(self.store, clock=self.clock) as workspace:
            yield workspace.app("crm")

    def snapshot(self, label: str | None = None) -> int:
        self.clock.advance(60)
        with self.open() as crm:
            version = crm.snapshot(label).version
        assert version is not None
        return version

    def names(self, version: int | str = "latest") -> set[str]:
        with self.open() as crm:
            return {entry.path for entry in crm.ls(str(version))}

    def cat(self, path: str, version: int | str = "latest") -> bytes:
        with self.open() as crm:
            (entry,) = (entry for entry in crm.ls(str(version)) if entry.path == path)
            return b"".join(crm.cat(str(version), entry.path))

    def write(self, path: str, data: bytes = b"x") -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(data)

    def put(self, nodes: Nodes) -> None:
        """The root is these nodes; what is as it should be is left as it is."""
        for folder, folders, files in os.walk(self.root, topdown=False):
            for name in [*files, *folders]:
                where = Path(folder, name)
                if read(where) != nodes.get(str(where.relative_to(self.root)), ...):
                    shutil.rmtree(where) if is_folder(where) else where.unlink()
        for path, node in sorted(nodes.items()):
            where = self.root / path
            if os.path.lexists(where):
                continue
            if node is None:
                where.mkdir()
            elif isinstance(node, str):
                where.symlink_to(node)
            else:
                where.write_bytes(node)

    def drop_index(self) -> None:
        for path in self.store.glob("index.sqlite*"):
            path.unlink()


def is_folder(where: Path) -> bool:
    return where.is_dir() and not where.is_symlink()


def read(where: Path) -> Node:
    if where.is_symlink():
        return os.readlink(where)
    return None if where.is_dir() else where.read_bytes()


def recorded(crm: AppHandle, version: int) -> dict[str, Node]:
    """A version as nodes."""
    found: dict[str, Node] = {}
    for entry in crm.ls(str(version)):
        if entry.kind == "file":
            found[entry.path] = b"".join(crm.cat(str(version), entry.path))
        else:
            found[entry.path] = entry.target if entry.kind == "symlink" else None
    return found
