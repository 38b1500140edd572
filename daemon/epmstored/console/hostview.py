"""The host page: one row for each application, those that need a person first. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from epmstore.wording import counted, name
from epmstored.app_state import AppState
from epmstored.console import addresses
from epmstored.console.hostfacts import SPARK_DAYS, AppNow
from epmstored.console.phrases import Today, bars, exactly
from epmstored.console.standings import Standing
from epmstored.console.troubleview import ORDER, Matter, Urgency, matters_of, urgency_of
from epmstored.health import Trouble

WATCHED: Final = {
    "starting": "starting",
    "watching": "by events",
    "polling": "now and then",
    "paused": "paused",
    "held": "busy",
    "gone": "root is gone",
    "error": "failing",
}


class HostRow(msgspec.Struct, frozen=True, kw_only=True):
    """One application, as the page has it."""

    key: str
    address: str
    root: str
    urgency: Urgency
    matters: tuple[Matter, ...]
    more: int
    release: str
    version: str
    version_address: str
    changed: str
    changed_exactly: str
    hue: str
    said: str
    watched: str
    proven: str
    spark: tuple[int, ...]
    spark_text: str


SHOWN_MATTERS = 3


def host_view(
    apps: Sequence[AppNow],
    states: Mapping[str, AppState],
    standings: Mapping[str, Standing],
    proven: Mapping[str, tuple[int, str]],
    troubles: Sequence[Trouble],
    today: Today,
) -> dict[str, Any]:
    """The mappings are by UUID."""
    rows = [
        _row(one, states.get(uuid), standings.get(uuid), proven.get(uuid), today)
        for one in apps
        for uuid in (one.summary.app.uuid,)
    ]
    rows.sort(key=lambda row: (ORDER[row.urgency], row.key))
    counts = {urgency: sum(row.urgency == urgency for row in rows) for urgency in ORDER}
    of_store = [Matter("bad", name(one.why), _helps(one)) for one in troubles if one.app is None]
    unlooked = sum(one.summary.app.uuid not in standings for one in apps)
    return {
        "rows": rows,
        "of_store": of_store,
        "verdict": _verdict(counts, of_store, len(rows)),
        "urgency": "bad" if of_store or counts["bad"] else "wait" if counts["wait"] else "good",
        "unlooked": unlooked,
        "days": SPARK_DAYS,
    }


def _helps(trouble: Trouble) -> str:
    return {"full": "epmstore gc", "damage": "epmstore fsck", "clock": "epmstore doctor"}.get(
        trouble.kind, ""
    )


def _verdict(counts: Mapping[Urgency, int], of_store: Sequence[Matter], total: int) -> str:
    """The answer to "is everything as it should be?", in one sentence."""
    if not total:
        return "There is no application yet." if not of_store else "The store needs you."
    parts = [
        text
        for urgency, text in (
            ("bad", f"{counts['bad']} in trouble"),
            ("wait", f"{counts['wait']} waiting for you"),
        )
        if counts[urgency]  # type: ignore[index]
    ]
    if of_store:
        parts.insert(0, "The store needs you")
    many = counted(total, "application")
    if parts:
        return f"{', '.join(parts)}; {many} in all."
    return f"Everything is as it should be: {many}."


def _row(
    one: AppNow,
    state: AppState | None,
    standing: Standing | None,
    proven: tuple[int, str] | None,
    today: Today,
) -> HostRow:
    summary = one.summary
    key, newest = summary.app.key, summary.newest
    matters = matters_of(one, state, standing, today)
    days = [0] * SPARK_DAYS
    for time in summary.times:
        age = today.day(time)
        if 0 <= age < SPARK_DAYS:
            days[SPARK_DAYS - 1 - age] += 1
    return HostRow(
        key=key,
        address=addresses.of_app(key),
        root=name(summary.app.root),
        urgency=urgency_of(matters),
        matters=tuple(matters[:SHOWN_MATTERS]),
        more=max(0, len(matters) - SHOWN_MATTERS),
        release=summary.release or "",
        version="" if newest is None else str(newest.number),
        version_address="" if newest is None else addresses.of_version(key, newest.number),
        changed="" if newest is None else today.told(newest.time),
        changed_exactly="" if newest is None else exactly(newest.time),
        hue="" if newest is None else newest.hue,
        said="" if newest is None else ", ".join(filter(None, (newest.said, newest.explained))),
        watched="" if state is None else WATCHED[state.phase],
        proven="" if proven is None else f"version {proven[0]}, {today.of(proven[1])}",
        spark=tuple(bars(days)),
        spark_text=f"{counted(sum(days), 'version')} in {SPARK_DAYS} days",
    )
