"""The pack log: `packs/log/<n>`, where the groups of small snapshots are appended.

Rules: only who holds the `write` lock appends; the log with the highest number is the one appended
to, and it stays until there is a higher one, so that no number comes twice. A tail that no whole
group ends is what a crash left: it goes to quarantine and is cut. Bytes that are damaged although
whole records follow them are never cut: the next log is begun. After an error of write or sync a
log is not appended to any more either.
"""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from epmstore import atomic, fsio
from epmstore.blobs import footer
from epmstore.blobs.pack import WrittenGroup
from epmstore.blobs.records import DamagedRange, read_at, walk
from epmstore.pack_table import GroupTable
from epmstore.seal import RecordKind

FOLDER = "log"
FULL_BYTES = 32 << 20
FULL_BLOBS = 4096


class GroupPosition(msgspec.Struct, frozen=True, gc=False):
    """Where a group begins: a file below `packs/` and an offset in it."""

    file: str
    start: int


class LogGroup(msgspec.Struct, frozen=True):
    """A group found in a log. `is_whole`: all its records hold, not only its table."""

    start: int
    group: GroupTable
    is_whole: bool


class LogScan(msgspec.Struct, frozen=True):
    """What a log holds from where the scan began. `end`: of the last group; whatever is between
    `end` and `size` is a torn tail unless `damage` has an entry: bytes that are wrong although
    whole records follow.
    """

    groups: tuple[LogGroup, ...]
    end: int
    size: int
    damage: tuple[DamagedRange, ...]


class PackLog:
    """The log of one store, for the holder of the `write` lock."""

    def __init__(self, packs: Path, quarantine: Path) -> None:
        self._folder = packs / FOLDER
        self._quarantine = quarantine
        self._ended: set[int] = set()
        self._sound: dict[str, int] = {}

    @property
    def file(self) -> str:
        """The log that the next append goes to, there or not."""
        return f"{FOLDER}/{self._number()}"

    def append(self, groups: Sequence[WrittenGroup], *, sound: int = 0) -> list[GroupPosition]:
        """Make groups that are in memory durable, with one write and one sync; where each begins.

        `sound` is a length up to which the caller knows the log `file` to consist of whole groups
        (the index does), so that it need not be read again. Raises OSError: nothing was appended.
        """
        number = self._number()
        name = f"{FOLDER}/{number}"
        fd = self._open(number)
        try:
            start = self._end(fd, number, max(sound, self._sound.get(name, 0)))
            if start is None:
                self._ended.add(number)
                return self.append(groups)
            return self._append(fd, number, start, groups)
        finally:
            os.close(fd)

    def begin_next(self) -> str:
        """A new, empty log, durably; the one before may then be sealed. Raises OSError."""
        self._ended.add(self._number())
        number = self._number()
        os.close(self._open(number))
        return f"{FOLDER}/{number}"

    def _append(
        self, fd: int, number: int, start: int, groups: Sequence[WrittenGroup]
    ) -> list[GroupPosition]:
        name = f"{FOLDER}/{number}"
        try:
            # No record names these bytes yet: what a crash leaves of them the next append cuts off.
            fsio.write_at(fd, b"".join([_in_memory(group) for group in groups]), start)
            fsio.sync_data(fd)
        except OSError:
            self._give_up(fd, number, start)
            raise
        positions = []
        for written in groups:
            positions.append(GroupPosition(name, start))
            start += written.length
        self._sound[name] = start
        return positions

    def _give_up(self, fd: int, number: int, end: int) -> None:
        """What the disk holds beyond `end` is not known any more."""
        # After a sync that failed, the kernel may take pages for written that the disk never got: a
        # second sync would not say so. So nothing is appended here any more.
        self._ended.add(number)
        with contextlib.suppress(OSError):
            fsio.truncate(fd, end)
        with contextlib.suppress(OSError):  # so that the next process does not append either
            os.close(self._open(self._number()))

    def _end(self, fd: int, number: int, sound: int) -> int | None:
        """Where to append; None if this log must be left as it is."""
        size = os.fstat(fd).st_size
        if size == sound:
            return size
        if size < sound:
            return None
        found = read_groups(fd, sound)
        if any(damage.end > found.end for damage in found.damage):
            return None
        if found.end < size:
            self._cut(fd, number, found.end, size)
        return found.end

    def _cut(self, fd: int, number: int, end: int, size: int) -> None:
        atomic.make_directories(self._quarantine)
        kept = self._quarantine / f"log-{number}-{end}-{size}"
        atomic.replace_file(kept, read_at(fd, end, size - end))
        fsio.truncate(fd, end)

    def _number(self) -> int:
        numbers = log_numbers(self._folder.parent)
        last = max(numbers, default=0)
        while last in self._ended or atomic.is_something_else(self._folder / str(last)):
            last += 1
        return last

    def _open(self, number: int) -> int:
        atomic.make_directories(self._folder)
        with atomic.directory(self._folder) as parent:
            try:
                return fsio.open_append(str(number), parent)
            except FileNotFoundError:
                fd = fsio.create(str(number), parent)
                fsio.sync_directory(parent)
                return fd


def log_numbers(packs: Path) -> list[int]:
    """Of the logs below `packs`, in the order in which they were begun."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(int(name) for name in os.listdir(packs / FOLDER) if name.isdecimal())
    return []


def is_full(size: int, blobs: int) -> bool:
    """Whether a log of so many bytes and contents should be sealed."""
    return size >= FULL_BYTES or blobs >= FULL_BLOBS


def read_groups(fd: int, start: int = 0) -> LogScan:
    """Every group from `start`, which must be the beginning of one. Raises OSError."""
    groups: list[LogGroup] = []
    damage: list[DamagedRange] = []
    end = start
    for found in walk(fd, start):
        if isinstance(found, DamagedRange):
            if not found.is_tail:
                damage.append(found)
        elif found.seal.kind is RecordKind.FOOTER:
            group = footer.decode(found.seal, found.body)
            begin = found.seal.end - group.length
            if begin < end:
                continue
            is_whole = not any(hurt.end > begin for hurt in damage)
            groups.append(LogGroup(begin, group, is_whole))
            end = found.seal.end
    return LogScan(tuple(groups), end, os.fstat(fd).st_size, tuple(damage))


def _in_memory(written: WrittenGroup) -> bytes:
    assert written.memory is not None, "a group that has its own file is published as a pack"
    return written.memory
