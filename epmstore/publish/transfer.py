"""One payload on its way to the remote: sent by a thread of its own, so that a call that never
comes back holds up neither the uploader nor the lock.

The remote has the payload when it says its digest, or every byte was read back; its size alone says
nothing. What is there already, and right, is not sent again: an uploader may have been killed when
all was there but the record.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from epmstore.atomic import open_regular
from epmstore.errors import BadObjectError, RemoteTransientError
from epmstore.measures import format_duration
from epmstore.publish.watchedremote import WatchedRemote
from epmstore.remotes.checked import holds
from epmstore.remotes.remote import PIECE, Remote
from epmstore.remotes.resuming import ResumedRemote, Resuming
from epmstore.remotes.retry import RetryRemote

TICK: Final = 0.5
STALL: Final = 600.0
GRACE: Final = 40
"""Ticks that a transfer has to end in when it is stopped."""


class StallLimits(msgspec.Struct, frozen=True):
    """Seconds: without a byte for `stall` a transfer is given up; that is looked at each `tick`."""

    stall: float = STALL
    tick: float = TICK
    timer: Callable[[], float] = time.monotonic


class PayloadCopy(msgspec.Struct, frozen=True):
    """A payload in the spool, and what it is on the remote. Goes through its bytes from the
    beginning each time; that raises DamagedError for what is no file, OSError.
    """

    path: Path
    name: str
    size: int
    sha256: str

    def __iter__(self) -> Iterator[bytes]:
        with os.fdopen(open_regular(self.path, follow=False), "rb") as file:
            while piece := file.read(PIECE):
                yield piece


class Transfer:
    """Of one payload, once. `place` is the remote without what goes around it: one that can goes on
    where it was cut off.
    """

    def __init__(
        self, remote: Remote, place: Remote | None, copy: PayloadCopy, patience: StallLimits
    ) -> None:
        self._resuming = place if isinstance(place, Resuming) else None
        if self._resuming is not None:
            remote = RetryRemote(ResumedRemote(self._resuming))
        self._remote = WatchedRemote(remote)
        self._copy = copy
        self._patience = patience
        self._done = threading.Event()
        self._failure: BaseException | None = None

    def run(self, look: Callable[[int], None]) -> None:
        """Returns when the remote has it. `look` is told from time to time how many bytes went or
        came, and may raise, which ends it. Raises RemoteTransientError when no byte went for too
        long, BadObjectError if the remote has other bytes then, RemoteError, EpmError, OSError.
        """
        thread = threading.Thread(target=self._work, daemon=True)
        thread.start()
        try:
            self._attend(look)
        except BaseException:
            self._remote.stop()
            thread.join(self._patience.tick * GRACE)  # so that it is over before the lock is free
            raise
        if self._failure is not None:
            raise self._failure

    def _attend(self, look: Callable[[int], None]) -> None:
        patience = self._patience
        seen, since = 0, patience.timer()
        while not self._done.wait(patience.tick):
            moved, now = self._remote.moved, patience.timer()
            if moved != seen:
                seen, since = moved, now
            elif now - since >= patience.stall:
                raise RemoteTransientError(
                    f"no byte of {self._copy.name} went for {format_duration(patience.stall)}"
                )
            look(moved)
        look(self._remote.moved)

    def _work(self) -> None:
        try:
            if not self._is_there():
                self._send()
                if not self._is_there():
                    raise BadObjectError(
                        f"the remote has other bytes of {self._copy.name} than it was given",
                        object=self._copy.name,
                    )
        except BaseException as error:
            self._failure = error
        finally:
            self._done.set()

    def _is_there(self) -> bool:
        return holds(self._remote, self._copy.name, self._copy.size, self._copy.sha256)

    def _send(self) -> None:
        """Again as long as more of it was kept each time."""
        copy, kept = self._copy, -1
        while True:
            try:
                self._remote.write(copy.name, copy, copy.size, copy.sha256)
                return
            except RemoteTransientError:
                if self._resuming is None:
                    raise
                now = self._resuming.kept(copy.name, copy.sha256)
                if now <= kept:
                    raise
                kept = now
