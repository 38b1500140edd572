"""What the rest of epmstore asks of a remote: names and bytes, and nothing that needs a program
there.

Nothing that a remote says is believed: who reads checks digests (checked.py). What remotes can do
differs, and says so in `Abilities`; what a remote cannot do raises RemoteReadOnlyError. Each method
may be called from several threads.

Errors of all methods: RemoteTransientError (it may be otherwise in a while), RemoteDeniedError,
RemoteFullError, RemoteNotFoundError, BadObjectError (something else lies in the place of an
object), RemoteError; LimitError for what this host has no more of. No OSError, and none of a
library.
"""

from collections.abc import Iterable, Iterator
from typing import Final, Protocol

import msgspec

PIECE: Final = 1 << 18
"""Bytes that are read, or written, at once."""
LISTED_MAX: Final = 1_000_000
"""Objects in one listing; a remote that lists more is not asked to go on."""


class Abilities(msgspec.Struct, frozen=True):
    """What a remote can do beyond giving the bytes of a name. `conditional`: `replace` is refused
    by the remote itself where another was quicker. `parts` come alone; what is written is durable
    (`syncs`); an object is replaced `at_once`, without a moment in which there is none. Of these
    three it is said what was seen so far. Work is saved by all that, nothing relies on it.
    """

    writes: bool = True
    lists: bool = True
    conditional: bool = False
    parts: bool = True
    syncs: bool = True
    at_once: bool = True


class ObjectInfo(msgspec.Struct, frozen=True):
    """One object. `sha256` (hex) only where the remote itself worked it out of all its bytes."""

    name: str
    size: int
    sha256: str | None = None


class Remote(Protocol):
    """A place of named objects. `names.py` has what may be a name."""

    @property
    def abilities(self) -> Abilities: ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Objects below a folder (`packs/`; "" is all), in byte order of their names. A hint: what
        was written a moment ago may lack, what was deleted may be there. What is no object, and
        what has no name that one may have, is left out.
        """
        ...

    def stat(self, name: str) -> ObjectInfo | None:
        """None if there is none."""
        ...

    def read(self, name: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Bytes from `start` on, so many or up to the end, in pieces. Raises RemoteNotFoundError
        before the first; RemoteTransientError if there are fewer than `length`.
        """
        ...

    def write(self, name: str, pieces: Iterable[bytes], size: int, sha256: str) -> None:
        """Put an immutable object there: whole, durable when this returns, or not at all. One of
        that name is replaced: it has the same bytes, or was no good. `pieces` can be gone through
        again (a list, not a generator). Raises BadObjectError if they are not of this size and
        digest.
        """
        ...

    def replace(self, name: str, data: bytes, expected: bytes | None) -> None:
        """Put a small object in the place of the one that holds `expected` (None: there is none),
        durably. Raises RemoteChangedError if it is seen to be another; where the remote is not
        `conditional` a race is not seen.
        """
        ...

    def delete(self, name: str) -> None:
        """Nothing happens if there is none."""
        ...
