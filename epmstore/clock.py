"""Time as a parameter: what is asked wherever a record needs to say when."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from epmstore.errors import UsageError

_UPTIME = Path("/proc/uptime")
_FIRST, _LAST = -62_135_510_400.0, 253_402_214_399.0
"""A day from the ends of what a date can say."""


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since 1970, UTC."""
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


def datable(seconds: float) -> float:
    """The nearest time that has a date in every zone: clocks, catalogs and files may say others."""
    return min(max(seconds, _FIRST), _LAST)


def to_rfc3339(seconds: float) -> str:
    """`2026-10-03T14:02:03.123Z`: UTC, milliseconds. What is beyond all dates is the last one."""
    moment = datetime.fromtimestamp(datable(seconds), UTC).replace(tzinfo=None)
    return f"{moment.isoformat(timespec='milliseconds')}Z"


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
