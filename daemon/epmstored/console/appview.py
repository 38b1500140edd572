"""The page of one application. Pure."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

import msgspec

from epmstore.catalog.appowners import owners_of
from epmstore.wording import counted, name
from epmstore.workspace.deviations import DatedDeviation
from epmstored.app_state import AppState
from epmstored.console import addresses
from epmstored.console.appfacts import AppFacts
from epmstored.console.hostview import WATCHED
from epmstored.console.phrases import Today, exactly
from epmstored.console.standings import NAMED, Standing
from epmstored.console.timeline import SPANS, timeline
from epmstored.console.troubleview import matters_of, urgency_of
from epmstored.console.versionrows import VersionRow

MEANING: Final = {
    "stale": "from an older release",
    "ahead": "from a newer release",
    "parallel": "from a release of another line",
    "foreign": "belongs to another path or application",
    "moved": "belongs to another path, which lacks it",
    "meta": "right bytes, other metadata",
    "local": "bytes that no vendor ever shipped",
    "unknown": "never shipped, neither path nor bytes",
    "missing": "in the release, not here",
    "added": "not there before",
    "modified": "other contents",
    "removed": "not there any more",
    "metadata": "same contents, other metadata",
}
"""What the findings say."""
SHOWN: Final = 100


class VersionLine(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the history, with what leads on."""

    row: VersionRow
    address: str
    told: str
    exactly: str


def version_lines(key: str, rows: Sequence[VersionRow], today: Today) -> list[VersionLine]:
    return [
        VersionLine(
            row=one,
            address=addresses.of_version(key, one.number),
            told=today.told(one.time),
            exactly=exactly(one.time),
        )
        for one in rows
    ]


def app_view(
    facts: AppFacts,
    state: AppState | None,
    standing: Standing | None,
    proven: tuple[int, str] | None,
    today: Today,
    *,
    days: int | None,
    only_changes: bool,
    is_first_page: bool,
) -> dict[str, Any]:
    """`days` is how much of the line of time is shown; None: all."""
    key = facts.app.key
    matters = matters_of(facts.now, state, standing, today)
    kept = {"only": "changes" if only_changes else None, "days": days or "all"}
    return {
        "key": key,
        "address": addresses.of_app(key),
        "root": name(facts.app.root),
        "urgency": urgency_of(matters),
        "matters": matters,
        "facts": _facts(facts, state, standing, proven, today),
        "timeline": timeline(facts.points, days, today),
        "spans": [
            (f"{n} days" if n else "all", addresses.of_app(key, days=n or "all"), n == (days or 0))
            for n in (*SPANS, 0)
        ],
        "findings": [] if standing is None else _findings(key, standing.named, today),
        "baseline": _baseline(standing),
        "unnamed": 0 if standing is None else max(0, standing.total - NAMED),
        "lines": version_lines(key, facts.rows, today),
        "total": counted(facts.total, "version"),
        "is_first_page": is_first_page,
        "only_changes": only_changes,
        "toggle": addresses.of_app(key, days=days or "all")
        if only_changes
        else addresses.of_app(key, only="changes", days=days or "all"),
        "next": None if facts.next is None else addresses.of_app(key, before=facts.next, **kept),
        "has_releases": facts.has_releases,
    }


def _baseline(standing: Standing | None) -> str:
    if standing is None:
        return "not looked at yet"
    words = {
        "release": f"compared with release {standing.title}",
        "accepted": "compared with the accepted version",
        "version": "compared with the newest version",
    }
    return words.get(standing.baseline or "", "nothing is recorded yet")


def _facts(
    facts: AppFacts,
    state: AppState | None,
    standing: Standing | None,
    proven: tuple[int, str] | None,
    today: Today,
) -> list[tuple[str, str]]:
    found = [("root", name(facts.app.root))]
    release = facts.now.summary.release
    found += [("release", release)] if release else []
    if state is not None:
        looked = "" if state.looked is None else f"; looked through {today.of(state.looked)}"
        found.append(("watched", f"{WATCHED[state.phase]}{looked}"))
    if proven is not None:
        found.append(("last proven restorable", f"version {proven[0]}, {today.of(proven[1])}"))
    if standing is not None and standing.excused:
        found.append(("accepted", counted(standing.excused, "path")))
    owners = owners_of(facts.app)
    found += [("owners", ", ".join(map(name, owners)))] if owners else []
    return found


def _findings(key: str, named: Sequence[DatedDeviation], today: Today) -> list[dict[str, Any]]:
    """By what they are."""
    ordered = sorted(named, key=lambda one: (list(MEANING).index(one.what), one.path))
    groups = []
    for what, group in groupby(ordered, key=lambda one: one.what):
        found = list(group)
        lines = [
            {
                "path": name(one.path),
                "address": addresses.of_path(key, one.path),
                "class": "" if one.path_class == "program" else one.path_class,
                "since": "not recorded yet"
                if one.since is None
                else f"version {one.since.version}, {today.of(one.since.time)}",
            }
            for one in found[:SHOWN]
        ]
        groups.append(
            {
                "what": what,
                "meaning": MEANING[what],
                "count": len(found),
                "lines": lines,
                "more": max(0, len(found) - SHOWN),
            }
        )
    return groups
