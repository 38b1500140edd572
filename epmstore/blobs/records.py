"""The sealed records of a pack or pack log: one by one, or all of them over damage and torn ends.

After a record that does not hold, a walk goes on at the next one that does: right behind it if
its header can be believed, else wherever a whole record is found. What lies between is named.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import msgspec

from epmstore import seal
from epmstore.atomic import open_regular
from epmstore.blobs import footer
from epmstore.errors import DamagedError, TornError
from epmstore.pack_table import GroupTable
from epmstore.seal import MARK, MAX_HEAD, SIZE, RecordKind, Seal

_MAGIC = seal.MAGIC.to_bytes(4, "little")
_WINDOW = 1 << 20
_TRAILER_SIZE = SIZE + 32


class SealedRecord(msgspec.Struct, frozen=True, gc=False):
    """A record that holds, with its body as stored."""

    seal: Seal
    body: bytes


class DamagedRange(msgspec.Struct, frozen=True, gc=False):
    """Bytes `start` to `end` of a file are no record. `is_tail`: no whole record follows them."""

    start: int
    end: int
    is_tail: bool


RecordOrDamage: TypeAlias = SealedRecord | DamagedRange


def open_pack(path: Path) -> int:
    """A descriptor for reading a file of ours. Raises FileNotFoundError, OSError, DamagedError."""
    return open_regular(path, follow=False, hint="run `epmstore fsck --read-data --repair`")


def read_at(fd: int, offset: int, length: int) -> bytes:
    """Up to `length` bytes, fewer only at the end of the file. Raises OSError."""
    data = os.pread(fd, length, offset)
    if len(data) == length or not data:
        return data
    pieces = [data]
    got = len(data)
    while got < length and (data := os.pread(fd, length - got, offset + got)):
        pieces.append(data)
        got += len(data)
    return b"".join(pieces)


def load_group(path: Path) -> GroupTable:
    """The table of a pack, by way of its trailer; the frames are not read.

    Raises FileNotFoundError, OSError, DamagedError.
    """
    fd = open_pack(path)
    try:
        end = read_record(fd, max(0, os.fstat(fd).st_size - _TRAILER_SIZE)).seal
        if end.kind is not RecordKind.TRAILER:
            raise DamagedError(f"{path.name} does not end as a pack does", file=str(path))
        last = read_record(fd, end.number)
    finally:
        os.close(fd)
    group = None
    if last.seal.kind is RecordKind.FOOTER and (last.seal.sha256, last.seal.end) == (
        end.head,
        end.offset,
    ):
        group = footer.decode(last.seal, last.body)
    if group is None or group.length != end.offset:
        raise DamagedError(f"the table of {path.name} is not that of this pack", file=str(path))
    return group


def walk(fd: int, start: int = 0) -> Iterator[RecordOrDamage]:
    """Everything from `start`, where a record must begin, to the end of the file, without a gap.

    Raises OSError.
    """
    size = os.fstat(fd).st_size
    at = start
    while at < size:
        try:
            record = read_record(fd, at)
        except DamagedError:
            following = _next_record(fd, at, size)
            yield DamagedRange(at, size if following is None else following, following is None)
            at = size if following is None else following
        else:
            yield record
            at = record.seal.end


def read_record(fd: int, offset: int) -> SealedRecord:
    """The record at `offset`, checked whole. Raises TornError, DamagedError, OSError."""
    found = read_seal(fd, offset)
    if found.end > os.fstat(fd).st_size:  # before memory is taken for what is not there
        raise TornError(f"record at byte {offset} ends early", offset=offset)
    body = read_at(fd, found.body_offset, found.body_length)
    seal.check(found, body)
    return SealedRecord(found, body)


def read_seal(fd: int, offset: int) -> Seal:
    """The header and head at `offset`, not checked. Raises TornError, DamagedError, OSError."""
    header = read_at(fd, offset, SIZE)
    head_length = int.from_bytes(header[4:8], "little") - (SIZE - 8)
    head = read_at(fd, offset + SIZE, min(head_length, MAX_HEAD)) if head_length > 0 else b""
    return seal.parse(header + head, base=offset)


def is_record(fd: int, offset: int, *kinds: RecordKind) -> bool:
    """Whether a whole record begins at `offset`, of one of `kinds` if any are named."""
    try:
        found = read_record(fd, offset).seal
    except DamagedError:
        return False
    return not kinds or found.kind in kinds


def _next_record(fd: int, damaged: int, size: int) -> int | None:
    """Where the walk goes on after the record at `damaged`."""
    try:
        behind = read_seal(fd, damaged).end
    except DamagedError:
        behind = size
    if behind < size and is_record(fd, behind):
        return behind
    for offset in _marks(fd, damaged + 1, size):
        if is_record(fd, offset):
            return offset
    return None


def _marks(fd: int, start: int, size: int) -> Iterator[int]:
    """Offsets at which the fixed bytes of a seal stand."""
    overlap = SIZE - 1
    for base in range(start, size, _WINDOW):
        window = read_at(fd, base, _WINDOW + overlap)
        at = window.find(_MAGIC)
        while 0 <= at < _WINDOW:
            if window[at + 8 : at + 12] == MARK:
                yield base + at
            at = window.find(_MAGIC, at + 1)
