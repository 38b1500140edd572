"""What every path of a root is to the vendor of an application. Pure.

The tree that was found and the tree of one release come as pairs of entries; each path gets at most
one finding, and none if it is as released. docs/verify.md has the table that this carries out, in
the order in which it decides; a test reads it.

- The bytes decide before the place: what a release shipped at this very path, then what belongs to
  a path that lacks it, then what any release of any application ever shipped.
- Empty and tiny files say nothing about where they come from: they are never moved and never
  foreign.
- A folder that the release lacks is no finding if it holds something: what it holds may be one.
- Paths of the classes state and ignore are not considered here.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, Protocol, TypeAlias

import msgspec

from epmstore.catalog.classes import Class
from epmstore.digest import BlobInfo
from epmstore.index.entries import Span
from epmstore.refcat.lines import Lines
from epmstore.refcat.owners import OwnerMapping
from epmstore.relpath import RelPath, parents, sort_paths, split
from epmstore.tree import Entry, Field, Pair, PathClass

DeviationKind: TypeAlias = Literal[
    "known", "stale", "ahead", "parallel", "foreign", "moved", "meta", "local", "unknown", "missing"
]
WHATS: tuple[DeviationKind, ...] = (
    "known", "stale", "ahead", "parallel", "foreign", "moved", "meta", "local", "unknown", "missing"
)  # fmt: skip
OF_RELEASES: tuple[DeviationKind, ...] = ("stale", "ahead", "parallel")
"""What some release has at this very path, and not the one that the root is compared with."""
TINY = 64
"""Bytes below which a content is too common to tell where it comes from."""
PRIVILEGE = "security.capability"
"""The attribute that gives rights: one that the release does not have is a deviation, too."""


class Shipped(msgspec.Struct, frozen=True):
    """A path of an application (UUID) that had a content in releases `since` until before `until`
    (None: still).
    """

    app: str
    path: RelPath
    since: int
    until: int | None


class Vendor(Protocol):
    """What the refcats know. One of them is the application's own."""

    def shipped(self, content: BlobInfo) -> Sequence[Shipped]:
        """Wherever any release of any application had a content."""
        ...

    def states(self, path: RelPath) -> Sequence[Span]:
        """Every state that the releases of this application had a path in, oldest first."""
        ...


class Deviation(msgspec.Struct, frozen=True, kw_only=True):
    """One path that is not as released. `release` is where what was found comes from, `other` the
    (application, path) it belongs to, where that is another one.
    """

    path: RelPath
    what: DeviationKind
    path_class: PathClass
    release: int | None = None
    expected: Entry | None = None
    found: Entry | None = None
    fields: tuple[Field, ...] = ()
    other: tuple[str, RelPath] | None = None


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """What the pairs are judged by: the application (UUID), the release that they were made for,
    which releases follow which, who owns what, the rules for paths, and whether a folder of the
    root holds anything.
    """

    app: str
    release: int
    owners: OwnerMapping
    lines: Lines
    classify: Callable[[str, bool], Class]
    holds: Callable[[RelPath], bool]


def classify(pairs: Iterable[Pair], situation: Situation, vendor: Vendor) -> list[Deviation]:
    """The findings, in byte order of paths. Pairs of equal entries may be left out."""
    return _Classifier(pairs, situation, vendor).findings()


def same_state(one: Entry | None, two: Entry | None) -> bool:
    """Whether two entries of one path have the same bytes: kind, content, target."""
    if one is None or two is None:
        return one is two
    return (one.kind, one.content, one.target) == (two.kind, two.content, two.target)


def deviating_fields(found: Entry, wanted: Entry, owners: OwnerMapping) -> tuple[Field, ...]:
    """In which metadata a path is not as released; times and the hosts' own attributes may differ.

    Empty for entries of unlike kinds.
    """
    if found.kind != wanted.kind:
        return ()
    fields: list[Field] = []
    if found.kind != "symlink" and found.mode != wanted.mode:
        fields.append("mode")
    if owners.differ(found, wanted):
        fields.append("owner")
    has, wants = dict(found.xattrs), dict(wanted.xattrs)
    lacks = any(has.get(name) != value for name, value in wants.items())
    if lacks or (PRIVILEGE in has and PRIVILEGE not in wants):
        fields.append("xattrs")
    return tuple(fields)


def nearest_release(spans: Iterable[Span], now: int, lines: Lines) -> tuple[DeviationKind, int]:
    """(what a state is beside release `now`, of which release) for one that was released in these
    spans, none of which has `now`.
    """
    older: list[int] = []
    newer: list[int] = []
    others: list[int] = []
    for span in spans:
        ends = span.since, lines.count if span.until is None else span.until
        _add(older, lines.nearest_of("older", now, *ends))
        _add(newer, lines.nearest_of("newer", now, *ends))
        _add(others, lines.nearest_of("other line", now, *ends))
    if older:
        return "stale", max(older)
    return ("ahead", min(newer)) if newer else ("parallel", lines.nearest(others, now))


def _add(kept: list[int], release: int | None) -> None:
    if release is not None:
        kept.append(release)


class _Classifier:
    def __init__(self, pairs: Iterable[Pair], situation: Situation, vendor: Vendor) -> None:
        self._situation = situation
        self._vendor = vendor
        self._pairs: dict[RelPath, Pair] = {}
        self._classes: dict[RelPath, PathClass] = {}
        for pair in pairs:
            self._take(pair)
        self._lacking = self._find_lacking()
        self._moved_from: set[RelPath] = set()
        gone = [path for path, (found, _) in self._pairs.items() if found is None]
        self._above_gone = {above for path in gone for above in parents(path)}

    def _take(self, pair: Pair) -> None:
        found, wanted = pair
        entry = found or wanted
        assert entry is not None, "a pair has at least one side"
        path_class = self._situation.classify(entry.path, entry.kind == "directory")
        if path_class in ("ignore", "state") or "state" in (_class(found), _class(wanted)):
            return
        self._pairs[entry.path] = pair
        self._classes[entry.path] = path_class  # type: ignore[assignment]  # ignore is out

    def _find_lacking(self) -> dict[BlobInfo, list[RelPath]]:
        """Content to the paths that should have it and do not, in byte order."""
        lacking: dict[BlobInfo, list[RelPath]] = defaultdict(list)
        for path in sort_paths(self._pairs):
            found, wanted = self._pairs[path]
            content = None if wanted is None else wanted.content
            if content is not None and content.size >= TINY and not same_state(found, wanted):
                lacking[content].append(path)
        return lacking

    def findings(self) -> list[Deviation]:
        found = {path: self._present(path) for path in sort_paths(self._pairs)}
        missing = (self._absent(path) for path in found if found[path] is None)
        found.update({one.path: one for one in missing if one is not None})
        return [one for one in found.values() if one is not None]

    def _absent(self, path: RelPath) -> Deviation | None:
        found, wanted = self._pairs[path]
        if found is not None or wanted is None or path in self._moved_from:
            return None
        if wanted.kind == "directory" and path in self._above_gone:
            return None
        return self._finding(path, "missing")

    def _present(self, path: RelPath) -> Deviation | None:
        found, wanted = self._pairs[path]
        if found is None:
            return None
        if wanted is not None and same_state(found, wanted):
            fields = deviating_fields(found, wanted, self._situation.owners)
            release = self._situation.release
            return self._finding(path, "meta", release=release, fields=fields) if fields else None
        if found.kind == "directory" and wanted is None and self._speaks_for_itself(path):
            return None
        fields = _fields(found, wanted)
        return (
            self._here(path, found, fields)
            or self._elsewhere(path, found, fields)
            or self._ours(path, wanted, fields)
        )

    def _speaks_for_itself(self, path: RelPath) -> bool:
        """Whether a folder holds what has findings of its own, or would."""
        return self._situation.holds(path) or path in self._above_gone

    def _here(self, path: RelPath, found: Entry, fields: tuple[Field, ...]) -> Deviation | None:
        """What another release shipped at this very path: an older one before a newer one, and that
        before one of another line; of each the nearest.
        """
        spans = [s for s in self._vendor.states(path) if same_state(s.entry, found)]
        if not spans:
            return None
        what, release = nearest_release(spans, self._situation.release, self._situation.lines)
        return self._finding(path, what, release=release, fields=fields)

    def _elsewhere(
        self, path: RelPath, found: Entry, fields: tuple[Field, ...]
    ) -> Deviation | None:
        """What belongs to another path: moved if that path lacks it, else foreign."""
        if found.content is None or found.content.size < TINY:
            return None
        app, now = self._situation.app, self._situation.release
        lacking = self._lacking.get(found.content)
        if lacking:
            name = split(path)[1]
            home = next((other for other in lacking if split(other)[1] == name), lacking[0])
            lacking.remove(home)
            self._moved_from.add(home)
            return self._finding(path, "moved", release=now, fields=fields, other=(app, home))
        shipped = self._vendor.shipped(found.content)
        if not shipped:
            return None
        best = min(shipped, key=lambda one: (one.app != app, not _has(one, now), one.path))
        release = now if best.app == app and _has(best, now) else best.since
        other = (best.app, best.path)
        return self._finding(path, "foreign", release=release, fields=fields, other=other)

    def _ours(self, path: RelPath, wanted: Entry | None, fields: tuple[Field, ...]) -> Deviation:
        """Nothing that a vendor shipped, on a path that a vendor did or did not."""
        is_vendors = wanted is not None or bool(self._vendor.states(path))
        return self._finding(path, "local" if is_vendors else "unknown", fields=fields)

    def _finding(
        self,
        path: RelPath,
        what: DeviationKind,
        *,
        release: int | None = None,
        fields: tuple[Field, ...] = (),
        other: tuple[str, RelPath] | None = None,
    ) -> Deviation:
        found, wanted = self._pairs[path]
        return Deviation(
            path=path,
            what=what,
            path_class=self._classes[path],
            release=release,
            expected=wanted,
            found=found,
            fields=fields,
            other=other,
        )


def _class(entry: Entry | None) -> PathClass | None:
    return None if entry is None else entry.path_class


def _fields(found: Entry, wanted: Entry | None) -> tuple[Field, ...]:
    if wanted is None:
        return ()
    if found.kind != wanted.kind:
        return ("kind",)
    return ("target",) if found.kind == "symlink" else ("content",)


def _has(one: Shipped, release: int) -> bool:
    return one.since <= release and (one.until is None or release < one.until)
