"""A remote in memory: the first implementation of the contract, and one whose faults are knobs.

A MemoryShelf is the place; each MemoryRemote is one way to it, with knobs of its own: what one host
finds slow, stale or lying another may find in order.
"""

import random
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from epmstore.clock import FixedClock
from epmstore.errors import RemoteChangedError, RemoteNotFoundError, RemoteTransientError
from epmstore.remotes.checked import checked_pieces, exactly
from epmstore.remotes.names import split_name, split_prefix
from epmstore.remotes.remote import PIECE, Abilities, ObjectInfo

_KEPT: Final = 1000
"""Changes of a shelf that a stale listing can be behind by."""


class RemoteFaults(msgspec.Struct, frozen=True):
    """What goes wrong. Shares are from 0 to 1, of the calls that it can happen to.

    `loss`: a call fails and has no effect. `lost_acknowledgement`: it has its effect, and fails.
    `cut_reads`, `garbage`: a read ends half way without an error, or gives other bytes, as many as
    there should be. `cut_writes`: half of an object is kept, and said to be all of it. `stale`:
    listings are so many changes behind. `ignores_conditions`: `replace` replaces whatever is there.
    `latency`: seconds of each call.
    """

    loss: float = 0.0
    lost_acknowledgement: float = 0.0
    cut_reads: float = 0.0
    garbage: float = 0.0
    cut_writes: float = 0.0
    stale: int = 0
    ignores_conditions: bool = False
    latency: float = 0.0


NO_FAULTS: Final = RemoteFaults()


class MemoryShelf:
    """Objects by name, and the last changes of them."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.lock = threading.Lock()
        self._before: list[tuple[str, bytes | None]] = []

    def put(self, name: str, data: bytes | None) -> None:
        """None takes it away. The caller holds the lock."""
        self._before.append((name, self.objects.get(name)))
        del self._before[:-_KEPT]
        if data is None:
            self.objects.pop(name, None)
        else:
            self.objects[name] = data

    def as_of(self, changes: int) -> dict[str, bytes]:
        """What was there so many changes ago."""
        found = dict(self.objects)
        for name, data in reversed(self._before[len(self._before) - changes :] if changes else []):
            if data is None:
                found.pop(name, None)
            else:
                found[name] = data
        return found


class MemoryRemote:
    """A way to a shelf. `before(call, name)` is called before each call has an effect, and may
    raise.
    """

    def __init__(
        self,
        shelf: MemoryShelf | None = None,
        faults: RemoteFaults = NO_FAULTS,
        *,
        seed: int = 0,
        clock: FixedClock | None = None,
        before: Callable[[str, str], None] = lambda call, name: None,
    ) -> None:
        self.shelf = shelf or MemoryShelf()
        self.faults = faults
        self._random = random.Random(seed)
        self._clock = clock
        self._before = before

    @property
    def abilities(self) -> Abilities:
        return Abilities(conditional=not self.faults.ignores_conditions)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        split_prefix(prefix)
        self._begin("list", prefix)
        with self.shelf.lock:
            found = self.shelf.as_of(self.faults.stale)
        for name in sorted(found):
            if name.startswith(prefix):
                yield ObjectInfo(name, len(found[name]))

    def stat(self, name: str) -> ObjectInfo | None:
        split_name(name)
        self._begin("stat", name)
        found = self.shelf.objects.get(name)
        return None if found is None else ObjectInfo(name, len(found))

    def read(self, name: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        split_name(name)
        self._begin("read", name)
        found = self.shelf.objects.get(name)
        if found is None:
            raise RemoteNotFoundError(f"no object {name} is there", object=name)
        if self._happens(self.faults.garbage):
            found = self._random.randbytes(len(found))
        end = len(found) if length is None else start + length
        wanted = found[start:end]
        if self._happens(self.faults.cut_reads):
            wanted = wanted[: (len(wanted) + 1) // 2]
        pieces = (wanted[at : at + PIECE] for at in range(0, len(wanted), PIECE))
        yield from exactly(pieces, length, name)

    def write(self, name: str, pieces: Iterable[bytes], size: int, sha256: str) -> None:
        split_name(name)
        self._begin("write", name)
        data = b"".join(checked_pieces(pieces, size, sha256, name))
        if self._happens(self.faults.cut_writes):
            data = data[: size // 2]
        with self.shelf.lock:
            self.shelf.put(name, data)
        self._end("write", name)

    def replace(self, name: str, data: bytes, expected: bytes | None) -> None:
        split_name(name)
        self._begin("replace", name)
        with self.shelf.lock:
            if not self.faults.ignores_conditions and self.shelf.objects.get(name) != expected:
                raise RemoteChangedError(f"{name} is not what it was", object=name)
            self.shelf.put(name, data)
        self._end("replace", name)

    def delete(self, name: str) -> None:
        split_name(name)
        self._begin("delete", name)
        with self.shelf.lock:
            self.shelf.put(name, None)
        self._end("delete", name)

    def _begin(self, call: str, name: str) -> None:
        if self._clock is not None:
            self._clock.advance(self.faults.latency)
        self._before(call, name)
        if self._happens(self.faults.loss):
            raise RemoteTransientError(f"{call} of {name} was lost on its way")

    def _end(self, call: str, name: str) -> None:
        if self._happens(self.faults.lost_acknowledgement):
            raise RemoteTransientError(f"nobody said that {call} of {name} was done")

    def _happens(self, share: float) -> bool:
        return share > 0 and self._random.random() < share
