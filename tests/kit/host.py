"""Stores in folders of their own, looked at through the Python API."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from epmstore.clock import FixedClock
from epmstore.workspace import AppHandle, Workspace


class Bare:
    """A store without applications. Time passes when it is told to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = FixedClock()
        if not path.exists():
            Workspace.init(path, clock=self.clock).close()

    def open(self) -> Workspace:
        return Workspace.open(self.path, clock=self.clock)


class Host(Bare):
    """The application is `crm`; its root is there and empty."""

    def __init__(self, base: Path, **patterns: Any) -> None:
        self.base = base
        self.root = base / "root"
        self.root.mkdir(parents=True)
        super().__init__(base / "store")
        with self.open() as workspace:
            workspace.apps.add("crm", self.root, **patterns)

    @contextmanager
    def crm(self) -> Iterator[AppHandle]:
        with self.open() as workspace:
            yield workspace.app("crm")

    def write(self, path: str, data: bytes = b"x") -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(data)

    def snapshot(self, label: str | None = None) -> int:
        self.clock.advance(60)
        with self.crm() as crm:
            version = crm.snapshot(label).version
        assert version is not None
        return version

    def live(self) -> dict[str, bytes]:
        """The files of the root."""
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file()
        }
