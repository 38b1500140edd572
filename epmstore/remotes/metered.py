"""A remote that counts: how often each thing was asked of it, and how many bytes went which way."""

import threading
from collections.abc import Iterable, Iterator

import msgspec

from epmstore.remotes.remote import Abilities, ObjectInfo, Remote


class Traffic(msgspec.Struct, frozen=True):
    """Calls by kind, bytes by direction. What was sent twice counts twice."""

    lists: int = 0
    stats: int = 0
    reads: int = 0
    writes: int = 0
    replaces: int = 0
    deletes: int = 0
    received: int = 0
    sent: int = 0


class MeteredRemote:
    """Another remote, and what went to and fro since it was made."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._traffic = Traffic()
        self._lock = threading.Lock()

    @property
    def abilities(self) -> Abilities:
        return self._remote.abilities

    @property
    def traffic(self) -> Traffic:
        return self._traffic

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self._count(lists=1)
        return self._remote.list(prefix)

    def stat(self, name: str) -> ObjectInfo | None:
        self._count(stats=1)
        return self._remote.stat(name)

    def read(self, name: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        self._count(reads=1)
        for piece in self._remote.read(name, start, length):
            self._count(received=len(piece))
            yield piece

    def write(self, name: str, pieces: Iterable[bytes], size: int, sha256: str) -> None:
        self._count(writes=1)
        self._remote.write(name, _Counted(pieces, self), size, sha256)

    def replace(self, name: str, data: bytes, expected: bytes | None) -> None:
        self._count(replaces=1, sent=len(data))
        self._remote.replace(name, data, expected)

    def delete(self, name: str) -> None:
        self._count(deletes=1)
        self._remote.delete(name)

    def _count(self, **more: int) -> None:
        with self._lock:
            now = {key: getattr(self._traffic, key) + count for key, count in more.items()}
            self._traffic = msgspec.structs.replace(self._traffic, **now)


class _Counted:
    """Pieces that can be gone through again, counted each time."""

    def __init__(self, pieces: Iterable[bytes], meter: MeteredRemote) -> None:
        self._pieces = pieces
        self._meter = meter

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self._meter._count(sent=len(piece))
            yield piece
