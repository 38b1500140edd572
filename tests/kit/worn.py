"""Small real stores to look after."""

import copy
import os
import random
import shutil
from pathlib import Path
from typing import Self

from epmstore import locks
from epmstore.errors import BusyError
from epmstore.workspace import AppHandle
from tests.kit.host import Host

DAY = 86400.0


class WornHost(Host):
    """A host that keeps a copy of what each version was."""

    def __init__(self, place: Path, *, files: int = 12, seed: int = 1) -> None:
        super().__init__(place)
        self.random = random.Random(seed)
        self.kept: dict[int, dict[str, bytes]] = {}
        for number in range(files):
            self.write(f"bin/f{number}", self.text(number))

    def copied(self, place: Path) -> Self:
        """The same host with a store that may be ruined."""
        other = copy.copy(self)
        other.path = place / "store"
        shutil.copytree(self.path, other.path)
        return other

    def text(self, number: int, size: int = 3000) -> bytes:
        """A content that compresses, and that small edits leave alike."""
        words = [f"{number} {self.random.randrange(1 << 30):x}\n" for _ in range(size // 12)]
        return "".join(words).encode()

    def edit(self, name: str) -> None:
        """A small change in the middle of a file."""
        data = (self.root / name).read_bytes()
        at = self.random.randrange(max(1, len(data)))
        self.write(name, data[:at] + b"%d" % self.random.randrange(1 << 40) + data[at:])

    def snapshot(self, label: str | None = None) -> int:
        version = super().snapshot(label)
        self.kept[version] = self.live()
        return version

    def history(self, versions: int = 5) -> None:
        """Versions that edit, add and remove files."""
        self.snapshot("first")
        for number in range(1, versions):
            self.edit(f"bin/f{number % 3}")
            self.edit(f"bin/f{3 + number % 5}")
            self.write(f"lib/n{number}", self.text(100 + number))
            if number > 2:
                (self.root / f"lib/n{number - 2}").unlink()
            self.snapshot(f"change {number}")

    def check(self) -> None:
        """Every version that can be restored is what it was, byte for byte."""
        with self.open() as ws:
            handle = ws.app("crm")
            for info in handle.versions():
                if info.restorable:
                    assert tree(handle, info.version) == self.kept[info.version], info.version


def tree(handle: AppHandle, version: int) -> dict[str, bytes]:
    """The files of a version as stored."""
    name = str(version)
    return {
        entry.path: b"".join(handle.cat(name, entry.path))
        for entry in handle.ls(name)
        if entry.kind == "file"
    }


def flip(path: Path, offset: int, bit: int = 1) -> None:
    """One byte of a file is wrong."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ bit]))


def pack_files(store: Path) -> list[Path]:
    """Packs and logs that hold something."""
    return sorted(p for p in (store / "packs").rglob("*") if p.is_file() and os.stat(p).st_size)


def is_free(store: Path, name: str) -> bool:
    """Whether nobody holds a lock."""
    try:
        with locks.hold(store / "locks", name, wait=0):
            return True
    except BusyError:
        return False
