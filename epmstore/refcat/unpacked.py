"""Archives, as those have them who need what is in them: read elsewhere, asked for here.

for member, content in read_archive(path):
    ...
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from epmstore.errors import UsageError
from epmstore.limited import LimitedReader
from epmstore.refcat.archivechild import ArchiveOrder, ArchivePiece
from epmstore.refcat.archives import AR_MAGIC, ArchiveMember, DebControl, Members

MODULE = "epmstore.refcat.archivechild"


def read_archive(path: Path) -> Members:
    """Each member with its content, if it is a file: to be read before the next one is asked for.
    Raises UsageError for what is no archive, EpmError for one that is damaged, or comes to more
    than one of its size may, OSError.
    """
    with _reading(path, control=False) as messages:
        pieces = _Pieces(messages)
        while (piece := pieces.next_member()) is not None:
            member = _member(piece)
            yield member, _Content(pieces) if member.kind == "file" else None


def deb_control(path: Path) -> DebControl | None:
    """What a deb says of itself; None for any other file. Raises EpmError, OSError."""
    fd = _open(path)
    try:
        if os.read(fd, len(AR_MAGIC)) != AR_MAGIC:  # most are none: no process is needed for it
            return None
    finally:
        os.close(fd)
    with _reading(path, control=True) as messages:
        for message in messages:
            return msgspec.msgpack.decode(message, type=DebControl | None)
    return None


def _open(path: Path) -> int:
    """A regular file; nothing waits for who writes to a FIFO. Raises UsageError, OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise UsageError(f"{path} is neither a folder nor a file")
    return fd


@contextlib.contextmanager
def _reading(path: Path, *, control: bool) -> Iterator[Iterator[bytes]]:
    fd = _open(path)
    try:
        name = os.fsencode(path).decode(errors="backslashreplace")
        with LimitedReader(MODULE, ArchiveOrder(fd, name, control), (fd,), what=name) as reader:
            yield reader.messages()
    finally:
        os.close(fd)


class _Pieces:
    """What comes, one piece after the other."""

    def __init__(self, messages: Iterator[bytes]) -> None:
        self._pieces = _flat(messages)
        self._next: ArchivePiece | None = None

    def next_member(self) -> ArchivePiece | None:
        """The next member; what was not read of the one before it is passed over."""
        while (piece := self._take()) is not None:
            if piece.name is not None:
                return piece
        return None

    def next_data(self) -> bytes:
        """The next bytes of the member in hand; none at its end."""
        piece = self._take()
        if piece is None or piece.name is not None:
            self._next = piece
            return b""
        return piece.data

    def _take(self) -> ArchivePiece | None:
        piece = self._next or next(self._pieces, None)
        self._next = None
        return piece


class _Content:
    """The content of the member in hand."""

    def __init__(self, pieces: _Pieces) -> None:
        self._pieces = pieces
        self._left = bytearray()
        self._is_over = False

    def read(self, size: int = -1, /) -> bytes:
        while not self._is_over and (size < 0 or len(self._left) < size):
            data = self._pieces.next_data()
            self._is_over = not data
            self._left += data
        count = len(self._left) if size < 0 else size
        found = bytes(self._left[:count])
        del self._left[:count]
        return found


def _flat(messages: Iterator[bytes]) -> Iterator[ArchivePiece]:
    for message in messages:
        yield from msgspec.msgpack.decode(message, type=list[ArchivePiece])


def _member(piece: ArchivePiece) -> ArchiveMember:
    assert piece.name is not None
    return ArchiveMember(
        name=os.fsdecode(piece.name),
        kind=piece.kind,
        mode=piece.mode,
        size=piece.size,
        mtime_ns=piece.mtime_ns,
        user=None if piece.user is None else os.fsdecode(piece.user),
        group=None if piece.group is None else os.fsdecode(piece.group),
        target=None if piece.target is None else os.fsdecode(piece.target),
    )
