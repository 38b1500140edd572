"""Reading files that may change while they are read: what is handed out was all there at once.

A file is opened without following a symlink and without waiting (a FIFO must not hang), must be
the regular file that was listed, and is looked at again after the last byte. A change within one
tick of the file system's clock can go unseen; the racy rule of compare.py has it read once more.
"""

import contextlib
import os
import stat
from collections.abc import Iterator

import msgspec

from epmstore import fsio
from epmstore.filestat import AnyStat
from epmstore.scan.metadata import Rest, read_attributes
from epmstore.scan.problem import UnreadError, judge
from epmstore.scan.xattrs import is_too_much

TRIES = 3
CHUNK = 1 << 20


class Steady(msgspec.Struct, frozen=True, gc=False):
    """A whole content, and the stat of the file at the time that it held it."""

    data: bytes
    stat: os.stat_result


class SteadyStream:
    """An open file, to be read once from start to end. `stat` is that of the file as opened."""

    def __init__(self, name: str, fd: int, found: os.stat_result) -> None:
        self._name = name
        self.fd = fd
        self.stat = found

    def chunks(self, size: int = CHUNK) -> Iterator[bytes]:
        """The content, in pieces of `size` bytes and one rest. It counts only if the iteration
        ends without an error: raises UnreadError after the last piece if the file has changed.
        """
        left = self.stat.st_size
        while left:
            piece = _read(self.fd, min(size, left), self._name)
            if not piece:
                break
            left -= len(piece)
            yield piece
        if left or not _is_unchanged(self.stat, os.fstat(self.fd)):
            raise UnreadError(self._name, "unstable", "changed while it was read")


def read_as_listed(dir_fd: int, name: str, expected: AnyStat) -> tuple[bytes, Rest] | None:
    """Content and the rest of a regular file that did not change between its listing
    and the last byte, which one stat proves; None for any other, which `read_steady` then judges.
    """
    size = expected.st_size
    try:
        fd = os.open(name, fsio.READ, dir_fd=dir_fd)
        try:
            data = os.read(fd, size + 1)
            found = os.fstat(fd)
            if (
                len(data) != size
                or found.st_ctime_ns != expected.st_ctime_ns
                or found.st_mtime_ns != expected.st_mtime_ns
                or found.st_size != size
                or not _is_same(found, expected)
            ):
                return None
            rest = read_attributes(fd)
            return None if is_too_much(rest.xattrs) else (data, rest)
        finally:
            os.close(fd)
    except OSError:
        return None


def read_steady(dir_fd: int, name: str, expected: AnyStat, limit: int) -> Steady:
    """The content of a regular file of at most `limit` bytes, read up to TRIES times.

    `expected` is the stat it was listed with; the file may have changed since, but must be the same
    one. A recording takes the stat that comes with the data.

    Raises UnreadError: vanished, unreadable, or unstable (changes again and again, is larger than
    `limit`, or another file has taken the name: list it again).
    """
    with _open(dir_fd, name, expected) as fd:
        before = _check(fd, name, expected)
        for _ in range(TRIES):
            if before.st_size > limit:
                raise UnreadError(name, "unstable", f"grew beyond {limit} bytes")
            data = _read(fd, before.st_size, name)
            after = os.fstat(fd)
            if len(data) == before.st_size and _is_unchanged(before, after):
                return Steady(data, after)
            os.lseek(fd, 0, os.SEEK_SET)
            before = after
    raise UnreadError(name, "unstable", "changes faster than it can be read")


@contextlib.contextmanager
def stream_steady(dir_fd: int, name: str, expected: AnyStat, limit: int) -> Iterator[SteadyStream]:
    """A regular file of at most `limit` bytes, open, for reading it in pieces; one try only.

    Raises UnreadError, as `read_steady`, but for a larger file, which is unreadable; and so does
    the reading itself.
    """
    with _open(dir_fd, name, expected) as fd:
        found = _check(fd, name, expected)
        if found.st_size > limit:
            raise UnreadError(name, "unreadable", f"has more than {limit:,} bytes")
        yield SteadyStream(name, fd, found)


@contextlib.contextmanager
def _open(dir_fd: int, name: str, expected: AnyStat) -> Iterator[int]:
    # A FIFO or device is not even opened: that alone can have effects.
    if not stat.S_ISREG(expected.st_mode):
        raise UnreadError(name, "special", "not a regular file")
    try:
        fd = fsio.open_file(name, dir_fd)
    except OSError as error:
        raise UnreadError(name, *judge(error)) from error
    try:
        yield fd
    finally:
        os.close(fd)


def _check(fd: int, name: str, expected: AnyStat) -> os.stat_result:
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or not _is_same(found, expected):
        raise UnreadError(name, "unstable", "another file took its name meanwhile")
    return found


def _is_same(found: os.stat_result, expected: AnyStat) -> bool:
    return found.st_ino == expected.st_ino and found.st_dev == expected.st_dev


def _read(fd: int, size: int, name: str) -> bytes:
    """`size` bytes, or fewer at the end of the file."""
    try:
        data = os.read(fd, size)
        if len(data) == size:
            return data
        pieces = [data]
        while data and size > len(data):
            size -= len(data)
            data = os.read(fd, size)
            pieces.append(data)
    except OSError as error:
        raise UnreadError(name, *judge(error)) from error
    return b"".join(pieces)


def _is_unchanged(before: os.stat_result, after: os.stat_result) -> bool:
    return (
        before.st_size == after.st_size
        and before.st_mtime_ns == after.st_mtime_ns
        and before.st_ctime_ns == after.st_ctime_ns
    )
