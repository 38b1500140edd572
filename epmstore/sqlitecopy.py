"""A database that is read without writing anything: a copy of it in memory.

A reader of a database with a write-ahead log needs a file beside it that is shared with the
others. Where none can be made (a full disk, a read-only file system), the file and the log are read
as they are, and put together here: https://www.sqlite.org/fileformat2.html#the_write_ahead_log

A copy is of one moment: both files are looked at before and after, and read again if one of them
changed, or may have changed within the same tick of the clock.
"""

import os
import sqlite3
import struct
import sys
import time
from array import array
from pathlib import Path
from typing import Final, TypeAlias

from epmstore.errors import BusyError, DamagedError

Signature: TypeAlias = tuple[tuple[int, int, int] | None, tuple[int, int, int] | None]
"""(inode, size, mtime in ns) of a database and of its log; None: there is none."""

PATIENCE: Final = 10.0
TICK: Final = 0.05
"""Seconds: longer than the clock of any file system stands still."""
_MAGIC: Final = (0x377F0682, 0x377F0683)
_HEADER, _FRAME = struct.Struct(">8I"), struct.Struct(">6I")
_JOURNAL: Final = 18
"""Where a database says that it has a log; two bytes."""
_ALONE: Final = b"\x01\x01"
_MODULUS: Final = 1 << 32


class MemoryCopy(sqlite3.Connection):
    """A connection to a database in memory."""


def signature(path: Path) -> Signature:
    """What differs after every change. Raises OSError."""
    return _facts(path), _facts(_log_of(path))


def open_copy(path: Path) -> MemoryCopy:
    """A connection to a copy of a database; changing it changes the copy alone.

    Raises BusyError if it does not hold still, OSError, sqlite3.Error.
    """
    return connect(_still(path))


def connect(data: bytes) -> MemoryCopy:
    """A database in memory; an empty one for no data."""
    connection = sqlite3.connect(
        ":memory:", isolation_level=None, check_same_thread=False, factory=MemoryCopy
    )
    try:
        if data:
            connection.deserialize(data)
    except BaseException:
        connection.close()
        raise
    return connection


def _still(path: Path) -> bytes:
    deadline = time.monotonic() + PATIENCE
    while True:
        before = signature(path)
        data = _together(path)
        if before == signature(path) and not _is_fresh(before):
            return data
        if time.monotonic() >= deadline:
            raise BusyError("the index does not hold still", hint="try again")
        time.sleep(TICK)


def _is_fresh(found: Signature) -> bool:
    now = time.time_ns()
    return any(one is not None and 0 <= now - one[2] < TICK * 1e9 for one in found)


def _together(path: Path) -> bytes:
    """The database with what is committed in its log."""
    data = bytearray(path.read_bytes())
    try:
        log = _log_of(path).read_bytes()
    except FileNotFoundError:
        log = b""
    _apply(log, data)
    if len(data) >= _JOURNAL + 2:
        data[_JOURNAL : _JOURNAL + 2] = _ALONE
    return bytes(data)


def _apply(log: bytes, data: bytearray) -> None:
    """Put the pages of whole transactions in their places. A frame that does not fit its sum, or
    that is of an earlier use of the log, is the end.
    """
    if len(log) < _HEADER.size:
        return
    magic, _, page, _, *salts, first, second = _HEADER.unpack_from(log)
    if magic not in _MAGIC or page < 512 or page & (page - 1):
        return
    is_big = bool(magic & 1)
    sums = _sum(log[:24], is_big, (0, 0))
    if sums != (first, second):
        return
    waiting: dict[int, int] = {}
    for start in range(_HEADER.size, len(log) - _FRAME.size - page + 1, _FRAME.size + page):
        number, size, *own, first, second = _FRAME.unpack_from(log, start)
        body = start + _FRAME.size
        sums = _sum(log[start : start + 8] + log[body : body + page], is_big, sums)
        if own != salts or sums != (first, second) or not number:
            return
        waiting[number] = body
        if size:  # the last frame of a transaction: so many pages the database has then
            _place(log, waiting, data, page, size)
            waiting = {}


def _place(log: bytes, pages: dict[int, int], data: bytearray, page: int, size: int) -> None:
    data += bytes(max(0, size * page - len(data)))
    for number, body in pages.items():
        if number > size:
            raise DamagedError("the log of the index makes no sense", hint="run `epmstore rebuild`")
        data[(number - 1) * page : number * page] = log[body : body + page]
    del data[size * page :]


def _sum(data: bytes, is_big: bool, sums: tuple[int, int]) -> tuple[int, int]:
    words = array("I", data)
    if is_big != (sys.byteorder == "big"):
        words.byteswap()
    first, second = sums
    for one, two in zip(words[::2], words[1::2], strict=True):
        first = (first + one + second) % _MODULUS
        second = (second + two + first) % _MODULUS
    return first, second


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _facts(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
