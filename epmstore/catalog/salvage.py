"""What can be read of a catalog that cannot be read whole: each record vouches for itself by its
seal, and says where it stands.

Passed over is what has no sound seal, what is no line that this release understands, and a version
of which a part is missing. What is left is in order: numbers only rise. A version behind a gap says
what differs from one that is lost: whether its tree can be put together all the same is told by its
sum alone.
"""

import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec

from epmstore import atomic, seal
from epmstore.catalog.format import decode_line, open_line, without_entries
from epmstore.catalog.history import Read
from epmstore.catalog.model import NO_HEAD, CatalogPosition, VersionPart, next_part
from epmstore.errors import DamagedError

_SEAL_BEGINS = struct.pack("<I", seal.MAGIC)


class Gap(msgspec.Struct, frozen=True):
    """A place where nothing can be read: from the byte `offset`, between the records `after` (the
    number of the first that is missing) and `before` (of the next that is there; None: none is).
    """

    offset: int
    after: int
    before: int | None
    why: str


class CatalogSalvage:
    """Everything that can be read of the file at `path` from the byte `start` on."""

    def __init__(self, path: Path, start: int = 0) -> None:
        """Raises OSError."""
        self.gaps: list[Gap] = []
        self.lost: list[tuple[int, int]] = []
        """Versions that are missing between others: the first and the last number of each run."""
        self._why = "no record"
        self.reads = list(_whole(self._decoded(sound_lines(path, start))))
        self._compare(os.stat(path).st_size if path.is_file() else 0, start)

    @property
    def records(self) -> int:
        return len(self.reads)

    def _decoded(self, lines: Iterator[tuple[int, int, bytes]]) -> Iterator[Read]:
        seq = -1
        for offset, end, plain in lines:
            try:
                envelope, record = decode_line(plain)
                before = CatalogPosition(offset, envelope.prev, envelope.seq)
                kept = without_entries(plain, record, before)
            except DamagedError as error:
                self._why = error.message
                continue
            if envelope.seq <= seq:
                continue
            seq = envelope.seq
            after = CatalogPosition(end, hashlib.sha256(plain).hexdigest(), seq + 1)
            yield Read(before, after, envelope, record, kept)

    def _compare(self, size: int, start: int) -> None:
        """Where what is left does not follow what is before it."""
        at, head, seq, version = start, None, 0, -1
        if start == 0:
            head = NO_HEAD
        for read in self.reads:
            if head is not None and (read.envelope.seq != seq or read.envelope.prev != head):
                self.gaps.append(Gap(at, seq, read.envelope.seq, self._why))
            at, head, seq = read.after.length, read.after.head, read.after.seq
            if isinstance(read.record, VersionPart):
                number = read.record.header.version
                if number > version + 1 and (version >= 0 or start == 0):
                    self.lost.append((version + 1, number - 1))
                version = number
        if at < size:
            self.gaps.append(Gap(at, seq, None, self._why))


def sound_lines(path: Path, start: int = 0) -> Iterator[tuple[int, int, bytes]]:
    """(offset, end, plain line) of every sound record of a file; between them bytes are passed over
    until one begins again. Raises OSError.
    """
    try:
        with os.fdopen(atomic.open_regular(path), "rb") as file:
            data = file.read()
    except (FileNotFoundError, DamagedError):
        return
    at = start
    while 0 <= at < len(data):
        try:
            found, body = seal.read(data, at)
            plain = open_line(found, body)
        except DamagedError:
            at = data.find(_SEAL_BEGINS, at + 1)
            continue
        yield at, found.end, plain
        at = found.end


def _whole(reads: Iterator[Read]) -> Iterator[Read]:
    """Versions that are complete, in order of their numbers, and all other records."""
    run: list[Read] = []
    number = -1
    for read in reads:
        record = read.record
        if not isinstance(record, VersionPart):
            run = []
            yield read
            continue
        header = record.header
        follows = (
            [*run, read]
            if run and _is_next_part(run[-1], read)
            else [read] * (header.part == 1 and header.version > number)
        )
        run = follows
        if run and header.part == header.parts:
            yield from run
            run, number = [], header.version


def _is_next_part(last: Read, read: Read) -> bool:
    one, two = last.record, read.record
    assert isinstance(one, VersionPart), "a run is of one version"
    assert isinstance(two, VersionPart), "the caller asked"
    return two.header == next_part(one.header) and read.envelope.prev == last.after.head
