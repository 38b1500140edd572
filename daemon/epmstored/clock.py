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
