"""A remote that tries again: what may be otherwise in a while, and nothing else.

A read goes on where it was cut off. An object that was written is simply written again: it is the
same. Of what was replaced the answer may have been lost: if the object is what it was to be, it is
done.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

import msgspec

from epmstore.errors import RemoteBusyError, RemoteChangedError, RemoteTransientError
from epmstore.remotes.checked import read_small
from epmstore.remotes.remote import Abilities, ObjectInfo, Remote

T = TypeVar("T")
ATTEMPTS: Final = 6
FIRST: Final = 0.5
LONGEST: Final = 30.0
"""Seconds between two attempts: twice as many each time, up to that."""
WITHIN: Final = 45.0
"""Seconds after which a call is not begun again: one that waited for its time limit is not waited
for again and again.
"""
ENOUGH: Final = 1 << 16
"""Bytes of a read after which its failures are counted anew; or an eighth of what is left. A remote
that gives a byte at a time is given up.
"""


class Pauses(msgspec.Struct, frozen=True):
    """How often, and how long between: each pause is a random part of what it may be, at least
    half, so that hosts which failed together do not come back together.
    """

    attempts: int = ATTEMPTS
    first: float = FIRST
    longest: float = LONGEST
    within: float = WITHIN

    def before(self, attempt: int, chance: float, asked: float | None) -> float:
        """Seconds before an attempt (the second is 1). `asked` is what the remote wants."""
        most = min(self.longest, self.first * 2.0 ** (attempt - 1))
        pause = most * (0.5 + chance / 2)
        return pause if asked is None else min(max(pause, asked), 2 * self.longest)


_HINT = "nothing is lost: look whether it can be reached from here, and run the command again"


class RetryRemote:
    """Another remote, whose transient errors are waited out. `told` hears of each."""

    def __init__(
        self,
        remote: Remote,
        pauses: Pauses = Pauses(),  # noqa: B008 - frozen
        *,
        sleep: Callable[[float], None] = time.sleep,
        timer: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        told: Callable[[RemoteTransientError], None] = lambda error: None,
    ) -> None:
        self._remote = remote
        self._pauses = pauses
        self._sleep = sleep
        self._timer = timer
        self._chance = chance
        self._told = told

    @property
    def abilities(self) -> Abilities:
        return self._remote.abilities

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        yield from self._again(lambda: [*self._remote.list(prefix)])

    def stat(self, name: str) -> ObjectInfo | None:
        return self._again(lambda: self._remote.stat(name))

    def read(self, name: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        attempts = _Attempts(self._pauses, self._timer)
        while True:
            made, wanted = 0, length
            try:
                for piece in self._remote.read(name, start, length):
                    yield piece
                    made += len(piece)
                    start += len(piece)
                    length = None if length is None else length - len(piece)
                return
            except RemoteTransientError as error:
                if made >= ENOUGH or (wanted is not None and made * 8 >= wanted):
                    attempts = _Attempts(self._pauses, self._timer)
                self._wait(attempts, error)

    def write(self, name: str, pieces: Iterable[bytes], size: int, sha256: str) -> None:
        if isinstance(pieces, Iterator):
            raise TypeError("what is sent again must be there again: no generator")
        self._again(lambda: self._remote.write(name, pieces, size, sha256))

    def replace(self, name: str, data: bytes, expected: bytes | None) -> None:
        attempts = _Attempts(self._pauses, self._timer)
        while True:
            try:
                self._remote.replace(name, data, expected)
                return
            except RemoteTransientError as error:
                self._wait(attempts, error)
            except RemoteChangedError:
                if not attempts.count or self._again(lambda: self._now(name, len(data))) != data:
                    raise
                return

    def delete(self, name: str) -> None:
        self._again(lambda: self._remote.delete(name))

    def _now(self, name: str, limit: int) -> bytes:
        return read_small(self._remote, name, limit)

    def _again(self, call: Callable[[], T]) -> T:
        attempts = _Attempts(self._pauses, self._timer)
        while True:
            try:
                return call()
            except RemoteTransientError as error:
                self._wait(attempts, error)

    def _wait(self, attempts: "_Attempts", error: RemoteTransientError) -> None:
        """Raises the error if it was the last attempt."""
        asked = error.data.get("after") if isinstance(error, RemoteBusyError) else None
        pause = attempts.failed(self._chance(), asked)
        if pause is None:
            error.hint = error.hint or _HINT
            raise error
        self._told(error)
        self._sleep(pause)


class _Attempts:
    """The attempts at one call: how many failed, and since when."""

    def __init__(self, pauses: Pauses, timer: Callable[[], float]) -> None:
        self.count = 0
        self._pauses = pauses
        self._timer = timer
        self._begun = timer()

    def failed(self, chance: float, asked: float | None) -> float | None:
        """Seconds until the next; None if there is none."""
        self.count += 1
        took = self._timer() - self._begun
        if self.count >= self._pauses.attempts or took >= self._pauses.within:
            return None
        return self._pauses.before(self.count, chance, asked)
