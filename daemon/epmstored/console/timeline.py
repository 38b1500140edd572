"""The line of time of an application: which days, or spans of days, had how many versions. Pure."""

from collections.abc import Sequence
from typing import Final

import msgspec

from epmstored.console.appfacts import TimePoint
from epmstored.console.phrases import Today, exactly

DAY: Final = 86_400.0
SPANS: Final = (30, 90, 365)
"""Days that may be shown; beside all of them."""
BUCKETS: Final = 90
HEIGHT: Final = 48
WIDTH: Final = 8
HUES: Final = ("explained", "own", "asked", "drift", "unexplained")
"""From the bottom of a bar to its top."""


class Segment(msgspec.Struct, frozen=True):
    """A part of a bar, from the top."""

    hue: str
    y: int
    height: int


class Bar(msgspec.Struct, frozen=True):
    """One span of time; `dots` are deliberate changes among it."""

    x: int
    segments: tuple[Segment, ...]
    dots: int
    text: str


class Timeline(msgspec.Struct, frozen=True):
    bars: tuple[Bar, ...]
    width: int
    height: int
    begin: str
    end: str


def timeline(points: Sequence[TimePoint], days: int | None, today: Today) -> Timeline:
    """Of the last `days`; of everything if None."""
    end = today.now.timestamp()
    first = min((one.time for one in points), default=end)
    begin = first if days is None else end - days * DAY
    step = max(DAY / 4, (end - begin) / BUCKETS, 1.0)
    buckets: dict[int, list[TimePoint]] = {}
    for one in points:
        if begin <= one.time <= end:
            buckets.setdefault(min(BUCKETS - 1, int((one.time - begin) / step)), []).append(one)
    most = max(map(len, buckets.values()), default=1)
    bars = tuple(_bar(at, found, most, begin + at * step) for at, found in sorted(buckets.items()))
    width = WIDTH * min(BUCKETS, max(1, int((end - begin) / step) + 1))
    return Timeline(bars, width, HEIGHT, exactly(begin)[:10], exactly(end)[:10])


def _bar(at: int, found: Sequence[TimePoint], most: int, begin: float) -> Bar:
    total = max(4, round((HEIGHT - 8) * (len(found) / most) ** 0.5))
    segments, y = [], HEIGHT
    for hue in HUES:
        share = sum(one.hue == hue for one in found)
        if share:
            height = max(2, round(total * share / len(found)))
            y = max(0, y - height)
            segments.append(Segment(hue, y, height))
    changes = sum(one.is_change for one in found)
    text = f"{exactly(begin)[:10]}: {len(found):,} versions, {changes:,} of them on request"
    return Bar(at * WIDTH, tuple(segments), changes, text)
