"""Two times as a parameter: the one of records, and the one that waiting is measured in."""

import time
from typing import Protocol


class DaemonClock(Protocol):
    def now(self) -> float:
        """Seconds since 1970, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some time or other; never goes back."""
        ...


class SystemDaemonClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


class FakeDaemonClock:
    """Moves only when told to, for tests."""

    def __init__(self, start: float = 1_790_000_000.0) -> None:
        self._start = start
        self._passed = 0.0

    def now(self) -> float:
        return self._start + self._passed

    def monotonic(self) -> float:
        return self._passed

    def advance(self, seconds: float) -> None:
        self._passed += seconds
