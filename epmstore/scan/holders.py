"""Which processes hold files: open for writing or reading, mapped, or running.

A snapshot of /proc, and no more: what a process opens next cannot be known. Tolerates processes
that end meanwhile; where it may not look into one, it says that the answer is incomplete.
"""

import os
from collections.abc import Iterator, Set
from typing import Literal, TypeAlias

import msgspec

from epmstore.filestat import FileId

_IDS = (b"Uid:", b"Gid:", b"Groups:")
"""Of the first two, the last number is the one for file systems."""
Mode: TypeAlias = Literal["write", "read", "mapped", "executing"]


class Holder(msgspec.Struct, frozen=True, gc=False):
    """One process that holds one file in one way. `command` is its short name."""

    pid: int
    command: str
    identity: FileId
    mode: Mode


class Credentials(msgspec.Struct, frozen=True):
    """On whose behalf a process opens files: its user and its groups for that."""

    uid: int
    gids: frozenset[int]


class Holders(msgspec.Struct, frozen=True):
    """`incomplete`: some process could not be looked into."""

    found: tuple[Holder, ...]
    incomplete: bool


def holders(identities: Set[FileId]) -> Holders:
    """Every holder of these files, this process aside, by process and identity.

    A file mapped so that writes reach it counts as `write`.
    """
    search = _Search(identities)
    for name in sorted(filter(str.isdigit, os.listdir("/proc")), key=int):
        if int(name) != os.getpid():
            search.look_into(name)
    return Holders(tuple(search.found), search.incomplete)


class _Search:
    def __init__(self, identities: Set[FileId]) -> None:
        self._identities = identities
        self._inodes = {inode for _, inode in identities}
        self.found: list[Holder] = []
        self.incomplete = False

    def look_into(self, pid: str) -> None:
        held: set[tuple[FileId, Mode]] = set()
        for look in (self._opened, self._executing, self._mapped):
            try:
                held.update(look(f"/proc/{pid}"))
            except PermissionError:
                self.incomplete = True
            except OSError:
                continue  # it has ended, or (a kernel thread) has nothing of the kind
        running = {identity for identity, mode in held if mode == "executing"}
        held -= {(identity, "mapped") for identity in running}
        if held:
            command = _command(pid)
            self.found += [
                Holder(int(pid), command, identity, mode) for identity, mode in sorted(held)
            ]

    def _opened(self, process: str) -> Iterator[tuple[FileId, Mode]]:
        for number in os.listdir(f"{process}/fd"):
            try:
                identity = _identity(f"{process}/fd/{number}")
                if identity in self._identities:
                    flags = flags_of(f"{process}/fdinfo/{number}")
                    if not flags & os.O_PATH:
                        yield identity, "write" if flags & os.O_ACCMODE else "read"
            except PermissionError:
                self.incomplete = True
            except OSError:
                continue  # closed meanwhile

    def _executing(self, process: str) -> Iterator[tuple[FileId, Mode]]:
        identity = _identity(f"{process}/exe")
        if identity in self._identities:
            yield identity, "executing"

    def _mapped(self, process: str) -> Iterator[tuple[FileId, Mode]]:
        with open(f"{process}/maps", "rb") as table:
            lines = table.read().splitlines()
        for line in lines:
            area, access, _, device, inode = line.split(None, 5)[:5]
            if int(inode) not in self._inodes:
                continue
            identity = self._mapped_identity(process, area, device, int(inode))
            if identity in self._identities:
                yield identity, "write" if b"w" in access and b"s" in access else "mapped"

    def _mapped_identity(self, process: str, area: bytes, device: bytes, inode: int) -> FileId:
        """What `stat` says of a mapped file. The table's own device is another one on btrfs and
        overlays, but the link to the file takes more privilege.
        """
        try:
            return _identity(f"{process}/map_files/{area.decode()}")
        except OSError:
            major, _, minor = device.partition(b":")
            return os.makedev(int(major, 16), int(minor, 16)), inode


def _identity(path: str) -> FileId:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def flags_of(path: str) -> int:
    """The flags that a descriptor was opened with."""
    with open(path, "rb") as facts:
        for line in facts:
            if line.startswith(b"flags:"):
                return int(line.split()[1], 8)
    return 0


def credentials(pid: int) -> Credentials | None:
    """Of a process; None if it has ended."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            lines = [line.split() for line in file]
    except OSError:
        return None
    facts = {words[0]: list(map(int, words[1:])) for words in lines if words[0] in _IDS}
    uids, gids, groups = (facts.get(name, []) for name in _IDS)
    return Credentials(uids[-1], frozenset({gids[-1], *groups}))


def _command(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            return file.read().decode(errors="replace").rstrip("\n")
    except OSError:
        return "?"
