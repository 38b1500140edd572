"""A remote at a limited rate: so that copying history does not take the network from the
applications.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator

from epmstore.remotes.remote import Abilities, ObjectInfo, Remote


class ThrottledRemote:
    """Another remote, to and from which no more than `rate` bytes a second go, over all threads."""

    def __init__(
        self,
        remote: Remote,
        rate: float,
        *,
        timer: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._remote = remote
        self._rate = rate
        self._timer = timer
        self._sleep = sleep
        self._free = timer()
        self._lock = threading.Lock()

    @property
    def abilities(self) -> Abilities:
        return self._remote.abilities

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self._remote.list(prefix)

    def stat(self, name: str) -> ObjectInfo | None:
        return self._remote.stat(name)

    def read(self, name: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        for piece in self._remote.read(name, start, length):
            self._take(len(piece))
            yield piece

    def write(self, name: str, pieces: Iterable[bytes], size: int, sha256: str) -> None:
        self._remote.write(name, _Slowly(pieces, self._take), size, sha256)

    def replace(self, name: str, data: bytes, expected: bytes | None) -> None:
        self._take(len(data))
        self._remote.replace(name, data, expected)

    def delete(self, name: str) -> None:
        self._remote.delete(name)

    def _take(self, count: int) -> None:
        """Wait until so many bytes more have had their time."""
        with self._lock:
            now = self._timer()
            self._free = max(self._free, now) + count / self._rate
            pause = self._free - now
        if pause > 0:
            self._sleep(pause)


class _Slowly:
    """Pieces that can be gone through again, each after its time."""

    def __init__(self, pieces: Iterable[bytes], take: Callable[[int], None]) -> None:
        self._pieces = pieces
        self._take = take

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self._take(len(piece))
            yield piece
