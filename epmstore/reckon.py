"""Reckoned time: the time that may be relied upon for what cannot be undone. Pure.

A clock is believed as long as it goes on as this host does: by as much as the host was up since it
was read last (asleep or awake), or, after a start, by what it was up since then and no more than
OFF before. Or by no more than OFF in all: the store may have come from another host, which this one
may have outlived by years, and then what it was up says nothing. A clock that leaps is in doubt.
Reckoned time then goes on by what the host was up alone; it becomes the clock's again when the
clock is back where it should be, or has kept to its new word for GRACE.

What is lost of this costs time alone: it begins anew with the newest version that was recorded.
"""

from typing import Final

import msgspec

HOUR: Final = 3600.0
DAY: Final = 86_400.0
SLACK: Final = HOUR
"""By so much a clock may be off, or be set, without a doubt."""
SLEWED: Final = 0.002
"""The share by which it may run too fast or too slowly."""
OFF: Final = 4 * DAY
"""So long a host may have been off, by the word of its clock alone."""
GRACE: Final = 7 * DAY
"""So long, of which the host is up, a clock that leapt has to keep to its word."""


class ClockReading(msgspec.Struct, frozen=True):
    """What this host says now: seconds since 1970 by its clock, the name of the time since it was
    started, and the seconds of that.
    """

    wall: float
    boot: str
    uptime: float


class ClockDoubt(msgspec.Struct, frozen=True):
    """`since` in reckoned time; `lasted`: seconds that the host was up with the clock's new word.
    `leapt`: from a word that was believed before; else nothing was known before. `started`: when
    the host was started, as a clock without a battery does until the network sets it right.
    """

    since: float
    lasted: float = 0.0
    leapt: bool = False
    started: bool = False


class Reckoning(msgspec.Struct, frozen=True):
    """`time` is reckoned, `read` what it was reckoned by. Without a doubt it is what the clock
    says.
    """

    time: float
    read: ClockReading
    doubt: ClockDoubt | None = None

    @property
    def sure(self) -> float:
        """It is this late, at least; what is younger by this is not old."""
        return min(self.time, self.read.wall)

    @property
    def has_leapt(self) -> bool:
        """Whether the clock is in doubt because of what it did."""
        return self.doubt is not None and abs(self.ahead) > SLACK

    @property
    def ahead(self) -> float:
        """Seconds by which the clock is ahead of what was reckoned; negative: behind."""
        return self.read.wall - self.time


def begin(now: ClockReading, newest: float | None) -> Reckoning:
    """Where nothing is known but when the newest version was recorded. That may have been by a
    clock that was wrong already: only where there is none, nothing depends on the clock yet.
    """
    if newest is None:
        return Reckoning(now.wall, now)
    time = now.wall if -SLACK <= now.wall - newest <= OFF else newest
    return Reckoning(time, now, ClockDoubt(time))


def carry_on(old: Reckoning, now: ClockReading) -> Reckoning:
    """The reckoning of a later reading."""
    before = old.read
    is_same_start = now.boot == before.boot and now.uptime >= before.uptime
    passed = now.uptime - before.uptime if is_same_start else 0.0
    claimed = now.wall - before.wall
    allowed = SLACK + passed * SLEWED
    if is_same_start:
        is_likely = abs(claimed - passed) <= allowed
    else:
        is_likely = _is_night_off(claimed) or _is_night_off(claimed - now.uptime)
    time = old.time + (claimed if is_likely else passed)
    doubt = old.doubt
    if not is_likely:
        leapt, started = (True, False) if doubt is None else (doubt.leapt, doubt.started)
        doubt = ClockDoubt(time, leapt=leapt, started=started or not is_same_start)
    elif doubt is not None:
        doubt = msgspec.structs.replace(doubt, lasted=doubt.lasted + passed)
    if doubt is None or doubt.lasted >= GRACE:
        return Reckoning(now.wall, now)
    ahead = now.wall - time
    if doubt.leapt and -allowed <= ahead <= (OFF if doubt.started else allowed):
        return Reckoning(now.wall, now)  # it is back where it should be
    return Reckoning(time, now, doubt)


def _is_night_off(seconds: float) -> bool:
    """Whether a host may have been off for so long by its clock's word alone."""
    return -SLACK <= seconds <= OFF


def is_due(old: Reckoning, new: Reckoning) -> bool:
    """Whether the new one is worth being noted: what is not noted is reckoned from the old one."""
    if (old.doubt is None) != (new.doubt is None) or old.read.boot != new.read.boot:
        return True
    return not 0 <= new.read.uptime - old.read.uptime < HOUR or _began(old) != _began(new)


def _began(one: Reckoning) -> float | None:
    return None if one.doubt is None else one.doubt.since


def credible(times: list[float], now: float) -> list[float]:
    """When versions were recorded, in order of versions, as far as that can be believed: never
    before an earlier one, and never after a later one or `now`. Where clocks were wrong, rather too
    late, which keeps a version.
    """
    found: list[float] = []
    after = now
    for time in reversed(times):
        after = min(time, now) if time <= now else after
        found.append(after)
    found.reverse()
    for at in range(1, len(found)):
        found[at] = max(found[at], found[at - 1])
    return found
