"""Which versions may be forgotten. Pure; forgetting itself is a record, and pinning another.

Never forgotten: the latest version, pinned and tagged ones, and for a while what `undo` would bring
back. Of the others all recent ones are kept, drift for a shorter time than changes; of older ones
the newest of each hour, day, week, month and year, for so many of each, a change rather than drift.
Ages are in reckoned time (epmstore/reckon.py).
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from epmstore.catalog.model import VersionKind
from epmstore.catalog.operations import can_be_undone, is_reversal
from epmstore.catalog.state import CatalogState, VersionInfo
from epmstore.clock import datable, from_rfc3339
from epmstore.reckon import DAY, Reckoning, credible

KEEP_RELEASES: Final = 2
"""Of a product that is installed, so many of its newest releases keep their contents, too."""
WAIT: Final = DAY
"""So long, in reckoned time, what a policy forgot is still there."""


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is kept: numbers of versions, ages in days, numbers of periods that have versions.

    As it is: every change of a year and every drift of a week, then thinner, for ten years.
    """

    keep_last: int = 10
    keep_change_days: int = 365
    keep_drift_days: int = 7
    keep_undo_days: int = 30
    keep_hourly: int = 48
    keep_daily: int = 60
    keep_weekly: int = 26
    keep_monthly: int = 36
    keep_yearly: int = 10


DEFAULT = Policy()


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """What retention looks at of a version. Times in seconds since 1970.

    `undo` is when the newest operation was recorded that `undo` would take back to this version.
    One that `changes_nothing` is not counted among the last ones.
    """

    version: int
    time: float
    kind: VersionKind
    pinned: bool = False
    tagged: bool = False
    undo: float | None = None
    changes_nothing: bool = False


def points(state: CatalogState, now: float) -> list[Point]:
    """Of all versions that are not forgotten, in order; `now` in reckoned time."""
    undo: dict[int, float] = {}
    times = credible([info.reckoned for info in state.versions], now)
    for info, time in zip(state.versions, times, strict=True):
        can_undo = can_be_undone(info.record) or is_reversal(info.record)
        for target in (info.record.safety, info.record.from_):
            if can_undo and target is not None:
                undo[target] = time
    return [
        Point(
            version=info.version,
            time=time,
            kind=info.kind,
            pinned=info.pinned,
            tagged=bool(info.tags),
            undo=undo.get(info.version),
            changes_nothing=info.changes_nothing,
        )
        for info, time in zip(state.versions, times, strict=True)
        if info.restorable
    ]


def may_go(info: VersionInfo, now: Reckoning) -> bool:
    """Whether the contents of a version may be taken for good: a person forgot just this version,
    or a policy did long enough ago, as far as the clock can be relied upon.
    """
    forgotten = info.forgotten
    if forgotten is None or forgotten.named:
        return forgotten is not None
    since = from_rfc3339(forgotten.reckoned or forgotten.time)
    return now.doubt is None and now.sure - since >= WAIT


def reasons(found: Sequence[Point], policy: Policy, now: float) -> dict[int, list[str]]:
    """Why each version is kept, by version; those without a reason may be forgotten.

    `found` are in order of versions.
    """
    kept: dict[int, list[str]] = {point.version: [] for point in found}
    if found:
        kept[found[-1].version].append("latest")
    for point in found:
        kept[point.version] += _own(point, policy, now)
    changes = [p for p in found if p.kind == "change" and not p.changes_nothing]
    for point in changes[-policy.keep_last :] if policy.keep_last else []:
        kept[point.version].append("last")
    for name, period in _PERIODS.items():
        for point in _newest(found, period, getattr(policy, f"keep_{name}")):
            kept[point.version].append(name)
    return kept


def forgettable(found: Sequence[Point], policy: Policy, now: float) -> list[int]:
    """The versions that nothing keeps, in order."""
    return [version for version, why in reasons(found, policy, now).items() if not why]


def _own(point: Point, policy: Policy, now: float) -> list[str]:
    """What a version has by itself that keeps it."""
    days = policy.keep_change_days if point.kind == "change" else policy.keep_drift_days
    found = {
        "pinned": point.pinned,
        "tagged": point.tagged,
        "undo": point.undo is not None and now - point.undo < policy.keep_undo_days * DAY,
        "recent": now - point.time < days * DAY,
    }
    return [name for name, holds in found.items() if holds]


def _newest(
    found: Sequence[Point], period: Callable[[datetime], object], periods: int
) -> list[Point]:
    """The newest change, else the newest drift, of each of the last periods that have any."""
    chosen: dict[object, Point] = {}
    for point in reversed(found):
        key = period(datetime.fromtimestamp(datable(point.time), UTC))
        if key not in chosen:
            if len(chosen) == periods:
                break
            chosen[key] = point
        elif chosen[key].kind == "drift" and point.kind == "change":
            chosen[key] = point
    return list(chosen.values())


_PERIODS: Final[dict[str, Callable[[datetime], object]]] = {
    "hourly": lambda moment: (moment.date(), moment.hour),
    "daily": lambda moment: moment.date(),
    "weekly": lambda moment: moment.isocalendar()[:2],
    "monthly": lambda moment: (moment.year, moment.month),
    "yearly": lambda moment: moment.year,
}
