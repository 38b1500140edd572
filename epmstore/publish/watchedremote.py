"""A remote that is watched: every piece that goes or comes is counted, and none does once it was
stopped. So a transfer that stands still is noticed, and ends when it is told to.
"""

import threading
from collections.abc import Iterable, Iterator

from epmstore.errors import RemoteError
from epmstore.remotes.remote import Abilities, ObjectInfo, Remote


class WatchedRemote:
    """Another remote. `moved` are bytes that went or came so far."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._stopped = threading.Event()
        self.moved = 0

    @property
    def abilities(self) -> Abilities:
        return self._remote.abilities

    def stop(self) -> None:
        """From the next piece on every call ends."""
        self._stopped.set()

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self._remote.list(prefix)

    def stat(self, name: str) -> ObjectInfo | None:
        return self._remote.stat(name)

    def read(self, name: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        for piece in self._remote.read(name, start, length):
            self.count(piece)
            yield piece

    def write(self, name: str, pieces: Iterable[bytes], size: int, sha256: str) -> None:
        self._remote.write(name, _Watched(pieces, self), size, sha256)

    def replace(self, name: str, data: bytes, expected: bytes | None) -> None:
        self.count(data)
        self._remote.replace(name, data, expected)

    def delete(self, name: str) -> None:
        self._remote.delete(name)

    def count(self, piece: bytes) -> None:
        """A piece is about to go, or came. Raises RemoteError, which is not tried again."""
        if self._stopped.is_set():
            raise RemoteError("the transfer was stopped")
        self.moved += len(piece)


class _Watched:
    """Pieces that can be gone through again, counted each time."""

    def __init__(self, pieces: Iterable[bytes], remote: WatchedRemote) -> None:
        self._pieces = pieces
        self._remote = remote

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self._remote.count(piece)
            yield piece
