"""A watcher for roots of which the kernel tells nothing: everything may have changed, again and
again.

Network, overlay and FUSE file systems change without this kernel knowing, and a host may not allow
as many watches as a root has folders. The look itself is the recorder's, whose stat cache makes it
one stat an entry.
"""

from epmstored.clock import DaemonClock
from epmstored.watcher import NOTHING, Hints


class PollingWatcher:
    """Says `lost` every `interval` seconds, and never notifies: it is asked."""

    def __init__(self, clock: DaemonClock, interval: float) -> None:
        self._clock = clock
        self.interval = interval
        self._next = 0.0

    watched = 0

    def start(self) -> None:
        self._next = self._clock.monotonic() + self.interval

    def take(self) -> Hints:
        now = self._clock.monotonic()
        if now < self._next:
            return NOTHING
        self._next = now + self.interval
        return Hints(lost=True, first=now, last=now)

    def is_quiet(self) -> bool:
        """Not known."""
        return False

    def renew(self) -> None:
        """Nothing is held that could be out of date."""

    def close(self) -> None:
        """Nothing is held."""

    @property
    def due(self) -> float:
        """When to ask next."""
        return self._next
