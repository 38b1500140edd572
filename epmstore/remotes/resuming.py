"""Writing that goes on where it was cut off, on a remote that can do so.

What was kept is not read back: a caller that relies on the object looks at all of it afterwards.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

from epmstore.remotes.remote import Abilities, ObjectInfo, Remote


@runtime_checkable
class Resuming(Remote, Protocol):
    """A remote that keeps what came of an object."""

    def write_on(self, name: str, pieces: Iterable[bytes], size: int, sha256: str) -> None:
        """As `write`, but goes on with what an earlier call for these bytes left."""
        ...

    def kept(self, name: str, sha256: str) -> int:
        """Bytes that an earlier call left."""
        ...


class ResumedRemote:
    """Another remote, on which every write goes on where it was cut off."""

    def __init__(self, remote: Resuming) -> None:
        self._remote = remote

    @property
    def abilities(self) -> Abilities:
        return self._remote.abilities

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self._remote.list(prefix)

    def stat(self, name: str) -> ObjectInfo | None:
        return self._remote.stat(name)

    def read(self, name: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        return self._remote.read(name, start, length)

    def write(self, name: str, pieces: Iterable[bytes], size: int, sha256: str) -> None:
        self._remote.write_on(name, pieces, size, sha256)

    def replace(self, name: str, data: bytes, expected: bytes | None) -> None:
        self._remote.replace(name, data, expected)

    def delete(self, name: str) -> None:
        self._remote.delete(name)
