"""What one version is to a person, in a row. Pure."""

from typing import Literal, TypeAlias

import msgspec

from epmstore.catalog.operations import what_was_done
from epmstore.catalog.state import VersionInfo
from epmstore.checkout.goal import goal_of, version_of
from epmstore.refcat.explained import Titles, words
from epmstore.refcat.explanation import Explanation
from epmstore.wording import counted
from epmstored.console.phrases import REASONS, counts, short

Hue: TypeAlias = Literal["explained", "unexplained", "own", "asked", "drift"]
"""The colour of a version: by what explains it; without a catalog, by whether it was asked for."""
MANY_LABELS = 3


class VersionRow(msgspec.Struct, frozen=True, kw_only=True):
    """`time` in seconds since 1970; `said` is its labels or what was done, `explained` what
    accounts for it, `marks` tags and the like, `by` who asked.
    """

    number: int
    time: float
    is_change: bool
    hue: Hue
    said: str
    explained: str
    changes: str
    marks: tuple[str, ...]
    by: str


def row_of(info: VersionInfo, explanation: Explanation | None, titles: Titles) -> VersionRow:
    """One version as it stands now."""
    record = info.record
    return VersionRow(
        number=info.version,
        time=info.time,
        is_change=info.kind == "change",
        hue=hue_of(info, explanation),
        said=said_of(info),
        explained=words(explanation, titles),
        changes=counts(record.counts.added, record.counts.modified, record.counts.removed),
        marks=marks_of(info),
        by=who(record.actor),
    )


def said_of(info: VersionInfo) -> str:
    """Its labels, else what was done."""
    record = info.record
    done = what_was_done(record)
    labels = [short(label) for label in info.labels[:MANY_LABELS]]
    text = "; ".join(labels) or REASONS.get(done, done)
    if len(info.labels) > MANY_LABELS:
        text += f"; and {counted(len(info.labels) - MANY_LABELS, 'label')} more"
    brought = version_of(goal_of(record))
    if brought is not None:
        text += f" (content of {brought})"
    if record.exit_status:
        text += f" (exit status {record.exit_status})"
    if record.command is not None and record.exit_status is None:
        text += " (killed before its end was seen)"
    return f"{text} (nothing changed)" if info.changes_nothing else text


def marks_of(info: VersionInfo) -> tuple[str, ...]:
    """Tags, pinned, and what is wrong with it."""
    marks = [short(tag, 40) for tag in info.tags]
    marks += ["pinned"] * info.pinned
    marks += [] if info.restorable else ["not restorable"]
    half_done = len(info.record.writing)
    return (*marks, *([f"{counted(half_done, 'file')} half done"] if half_done else []))


def hue_of(info: VersionInfo, explanation: Explanation | None) -> Hue:
    if explanation is None:
        return "asked" if info.kind == "change" else "drift"
    if explanation.kind in ("rollback", "repair"):
        return "own"
    return "unexplained" if explanation.rest else "explained"


def who(actor: dict[str, object] | None) -> str:
    """The user who asked, or nothing."""
    found = (actor or {}).get("user") or (actor or {}).get("uid")
    return "" if found is None else short(str(found), 40)
