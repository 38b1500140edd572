"""Time as a parameter: what is asked wherever a record needs to say when."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from epmstore.errors import UsageError

_UPTIME = Path("/proc/uptime")


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since 1970, UTC."""
        ...


class SteadyClock(Protocol):
    def uptime(self) -> float:
        """Seconds since this host was started, asleep or awake, whatever the clock is set to."""
        ...


class SystemClock:
    def now(self) -> float:
        return time.time()

    def uptime(self) -> float:
        """As the kernel writes it down, for whom the calls are made up, too, by who pretends
        another time.
        """
        try:
            return float(_UPTIME.read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return time.clock_gettime(time.CLOCK_BOOTTIME)


class FixedClock:
    """A clock that moves only when told to, for tests."""

    def __init__(self, start: float = 1_790_000_000.0) -> None:
        self._now = start
        self._uptime = 1000.0
        self._starts = 0

    def now(self) -> float:
        return self._now

    def uptime(self) -> float:
        return self._uptime

    def boot(self) -> str:
        return f"start {self._starts}"

    def advance(self, seconds: float) -> None:
        self._now += seconds
        self._uptime += seconds

    def set(self, now: float) -> None:
        """As an administrator or a time server does it: no time has passed."""
        self._now = now

    def restart(self, seconds: float = 0.0) -> None:
        """As a reboot does it, which takes so long."""
        self._now += seconds
        self._uptime = 10.0
        self._starts += 1


def to_rfc3339(seconds: float) -> str:
    """`2026-10-03T14:02:03.123Z`: UTC, milliseconds."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def from_rfc3339(text: str) -> float:
    """Accepts a date, a time to any precision, and an offset; without one it is UTC.

    Raises UsageError for anything else.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is not a time", hint="write it as 2026-10-03T14:00 or 2026-10-03"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
