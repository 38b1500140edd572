"""Every change of one path: when, by whom, from which release, and what else changed with it. Pure
but for the questions that are asked through what is passed in.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

from epmstore.catalog.state import VersionInfo
from epmstore.index.entries import Span
from epmstore.refcat.classify import same_state
from epmstore.refcat.explanation import Explanation, ReleaseSpan
from epmstore.relpath import ROOT, RelPath
from epmstore.tree import Entry, changed_fields

BlamedChange: TypeAlias = Literal["added", "modified", "metadata", "removed"]
FEW = 5000
"""Changed paths of a version up to which the others are named, and not only counted."""
NAMED = 10


class Blamed(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a path. `releases` had what it became, at that path; `others` is how many paths
    the version changed beside it, `with_` the first of them.
    """

    info: VersionInfo
    what: BlamedChange
    entry: Entry | None
    releases: tuple[ReleaseSpan, ...] = ()
    explanation: Explanation | None = None
    others: int = 0
    with_: tuple[RelPath, ...] = ()


def blame(
    spans: Sequence[Span],
    released: Sequence[Span],
    versions: Mapping[int, VersionInfo],
    reasons: Mapping[int, Explanation],
    changed: Callable[[int], Sequence[RelPath]],
) -> list[Blamed]:
    """The changes of a path, newest first. `spans` are its states on this host, `released` those of
    its vendor, oldest first; `changed` names all paths that a version changed.
    """
    found: list[Blamed] = []
    for what, version, entry in _events(spans):
        info = versions[version]
        counts = info.record.counts
        is_counted = spans[0].entry.path != ROOT or what != "added"
        others = counts.added + counts.modified + counts.removed - is_counted
        all_paths = changed(version) if 0 < others < FEW else ()
        named = [path for path in all_paths if path != spans[0].entry.path]
        found.append(
            Blamed(
                info=info,
                what=what,
                entry=entry,
                releases=tuple(
                    (span.since, span.until)
                    for span in released
                    if entry is not None and same_state(span.entry, entry)
                ),
                explanation=reasons.get(version),
                others=others,
                with_=tuple(named[:NAMED]),
            )
        )
    return found[::-1]


def _events(spans: Sequence[Span]) -> list[tuple[BlamedChange, int, Entry | None]]:
    """(what, version, what it became) of each change, oldest first."""
    events: list[tuple[BlamedChange, int, Entry | None]] = []
    for n, span in enumerate(spans):
        before = spans[n - 1] if n else None
        if before is None or before.until != span.since:
            events.append(("added", span.since, span.entry))
        else:
            events.append((_what(before.entry, span.entry), span.since, span.entry))
        after = spans[n + 1] if n + 1 < len(spans) else None
        if span.until is not None and (after is None or after.since != span.until):
            events.append(("removed", span.until, None))
    return events


def _what(old: Entry, new: Entry) -> BlamedChange:
    is_content = set(changed_fields(old, new)) & {"content", "kind", "target"}
    return "modified" if is_content else "metadata"
