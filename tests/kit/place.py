"""A host, and trees as nodes to put under its root."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from epmstore.workspace import AppHandle
from tests.kit.host import Host

Node: TypeAlias = bytes | str | None
"""A file's content, a symlink's target, or a folder."""
Nodes: TypeAlias = Mapping[str, Node]


class Place(Host):
    """A host whose root is made of nodes."""

    def names(self, version: int | str = "latest") -> set[str]:
        with self.crm() as crm:
            return {entry.path for entry in crm.ls(str(version))}

    def cat(self, path: str, version: int | str = "latest") -> bytes:
        with self.crm() as crm:
            (entry,) = (entry for entry in crm.ls(str(version)) if entry.path == path)
            return b"".join(crm.cat(str(version), entry.path))

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
        for path in self.path.glob("index.sqlite*"):
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
