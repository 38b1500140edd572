"""From two versions (and what the root shows beyond the newest) to the differences that a plan is
made of.

The index answers what differs, and is not believed alone: the sums that the catalog has of both
trees must agree with it. If they do not, the trees are read from the catalog itself.
"""

import os
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from stat import S_ISDIR
from typing import TypeAlias

from msgspec.structs import replace

from epmstore import fsio
from epmstore.catalog.classes import Class, Rules, stronger
from epmstore.catalog.fold import check_whole, fold
from epmstore.catalog.model import Decoded, GapRecord, VersionKind, VersionRecord
from epmstore.catalog.rootfacts import root_change, root_of
from epmstore.checkout.ops import may_displace
from epmstore.checkout.plan import PathDifference, Safety, Seen
from epmstore.digest import BlobInfo
from epmstore.index.entries import Entries, Span
from epmstore.record.observed_changes import Changes
from epmstore.relpath import ROOT, RelPath, join, sort_paths, split, to_bytes
from epmstore.scan.compare import RACY, StatRow, unpack_stats
from epmstore.scan.databases import COMPANIONS
from epmstore.scan.folders import FolderCache
from epmstore.store.store import Store
from epmstore.tree import Entry, Pair, path_of, shifted_sum

Keeps: TypeAlias = Callable[[Collection[BlobInfo]], Mapping[BlobInfo, Safety]]
"""How these contents are safe; those that are not are left out."""


def recorded_pairs(
    store: Store, app: str, newest: VersionRecord, wanted: VersionRecord
) -> dict[RelPath, Pair]:
    """Path to (entry in the newest version, entry in the wanted one), for all that differ.

    Raises DamagedError if neither index nor catalog can say.
    """
    pairs = store.entries.changed(app, newest.version, wanted.version)
    moved = shifted_sum(
        int(newest.tree, 16),
        gone=(one for one, _ in pairs if one is not None),
        come=(two for _, two in pairs if two is not None),
    )
    if moved != int(wanted.tree, 16):
        pairs = _pairs_of_catalog(store, app, newest, wanted)
    return {path_of(pair): pair for pair in pairs}


def _pairs_of_catalog(
    store: Store, app: str, newest: VersionRecord, wanted: VersionRecord
) -> list[Pair]:
    one, two = (_tree_of_catalog(store, app, version) for version in (newest, wanted))
    pairs = [(one.get(path), two.get(path)) for path in one.keys() | two.keys()]
    return [pair for pair in pairs if pair[0] != pair[1]]


def root_pair(
    now: Entry | None, newest: VersionRecord, wanted: VersionRecord
) -> dict[RelPath, Pair]:
    """The root directory itself (`now`: as it was found; None: as the newest version says), if it
    is known to be other than wanted.
    """
    pair = root_change(now or root_of(newest), root_of(wanted))
    return {} if pair is None else {ROOT: pair}


def _tree_of_catalog(store: Store, app: str, version: VersionRecord) -> dict[RelPath, Entry]:
    """Raises DamagedError unless it has the sum that was recorded: no plan is made by a guess."""
    is_behind_gap = False

    def records() -> Iterator[Decoded]:
        nonlocal is_behind_gap
        for read in store.catalog(app).read():
            if isinstance(read.record, GapRecord):
                is_behind_gap = True
            yield read.record

    tree = fold(records(), version.version)
    check_whole(tree, version, is_behind_gap=is_behind_gap)
    return tree


def overlay(pairs: dict[RelPath, Pair], changes: Changes) -> set[RelPath]:
    """Add what the root shows beyond the newest version to `pairs`; the paths of it."""
    fresh: list[tuple[Entry, Entry | None]] = [(old, new) for old, new in changes.modified]
    fresh += [(entry, None) for entry in changes.lost]
    for old, new in fresh:
        pairs[old.path] = (new, pairs[old.path][1] if old.path in pairs else old)
    for entry in changes.added:
        pairs[entry.path] = (entry, pairs[entry.path][1] if entry.path in pairs else None)
    for path in [path for path, (found, wanted) in pairs.items() if found == wanted]:
        del pairs[path]
    return {path_of(pair) for pair in fresh} | {entry.path for entry in changes.added}


class Judge:
    """Says of pairs what a plan needs to know beside their entries."""

    def __init__(
        self,
        entries: Entries,
        app: str,
        *,
        kinds: dict[int, VersionKind],
        rules: Rules,
        folders: FolderCache,
        rows: dict[bytes, bytes] | None,
        fresh: Collection[RelPath] = (),
        keeps: Keeps,
    ) -> None:
        """`kinds` of all versions; `rows` of the stat cache as they hold for the newest; `fresh`
        are paths that the newest version does not have as they are now; `keeps` says of contents
        which may go.
        """
        self._entries = entries
        self._app = app
        self._kinds = kinds
        self._rules = rules
        self._folders = folders
        self._rows = rows or {}
        self._fresh = set(fresh)
        self._keeps = keeps
        self._row: tuple[str, dict[str, StatRow]] = ("", {})

    def differences(self, pairs: dict[RelPath, Pair]) -> list[PathDifference]:
        found = [self._difference(path, pairs) for path in sort_paths(pairs)]
        displaced = [d.found.content for d in found if d.found is not None and _may_displace(d)]
        safe = self._keeps([content for content in displaced if content is not None])
        return [_with_safety(d, safe) if _may_displace(d) else d for d in found]

    def _difference(self, path: RelPath, pairs: dict[RelPath, Pair]) -> PathDifference:
        found, wanted = pairs[path]
        if path == ROOT:  # no rule is about it
            seen = self._seen(path)
            return PathDifference(path=path, found=found, wanted=wanted, seen=seen, by_change=True)
        path_class = self._class_of(path, found, wanted)
        by_change, edited_by = True, None
        if found is not None and (wanted is None or path_class == "config"):
            by_change, edited_by = self._life(path)
        return PathDifference(
            path=path,
            found=found,
            wanted=self._of_its_own(wanted),
            seen=None if found is None else self._seen(path),
            by_change=by_change,
            edited_by=edited_by,
            path_class=path_class,
            below_state=self._rules.is_below_state(path),
            holds=self._holds(found, wanted, pairs),
        )

    def _of_its_own(self, wanted: Entry | None) -> Entry | None:
        """Nothing becomes another name of state, as earlier releases have recorded it."""
        first = None if wanted is None else wanted.same_as
        if wanted is None or first is None or self._rules.classify(first) != "state":
            return wanted
        return replace(wanted, same_as=None)

    def _class_of(self, path: RelPath, *sides: Entry | None) -> Class:
        """The stronger one, where a folder has another class than a file of that name. What lies
        beside a database is left alone with it, whatever pattern was thought of.
        """
        are_folders = {side.kind == "directory" for side in sides if side is not None}
        classes = [self._rules.classify(path, is_dir) for is_dir in are_folders]
        path_class = classes[0] if len(classes) == 1 else stronger(classes)
        if path_class == "program" and path.endswith(COMPANIONS):
            main = RelPath(path.rpartition("-")[0])
            if self._rules.classify(main) in ("state", "ignore") and self._lstat(main) is not None:
                return "state"
        return path_class

    def _holds(
        self, found: Entry | None, wanted: Entry | None, pairs: Container[RelPath]
    ) -> tuple[RelPath, ...]:
        """What is in a folder that is to go, and does not go with it: all in one of class state,
        a socket or FIFO of that class, and what else no look and no rule asks for. Only the folder
        itself can tell, as it will when it is to be removed.
        """
        if found is None or found.kind != "directory":
            return ()
        if wanted is not None and wanted.kind == "directory":
            return ()
        try:
            names = os.listdir(self._folders.open(found.path))
        except OSError:
            return ()  # it is gone, or may not be listed, and then it is not removed either
        inside = (join(found.path, name) for name in names)
        return tuple(path for path in inside if path not in pairs)

    def _lstat(self, path: RelPath) -> os.stat_result | None:
        folder, name = split(path)
        try:
            return fsio.lstat(name, self._folders.open(folder))
        except OSError:
            return None

    def _life(self, path: RelPath) -> tuple[bool, VersionKind]:
        """(whether a change recorded the path in its present life, who had the last word on it)."""
        life = present_life(self._entries.history(self._app, path))
        kinds = [self._kinds[span.since] for span in life]
        last: VersionKind = "drift" if path in self._fresh or not kinds else kinds[-1]
        return "change" in kinds, last

    def _seen(self, path: RelPath) -> Seen | None:
        """The stat of a path; with a ctime that no file has unless it is as when it was recorded,
        so that what it holds is looked at before it is displaced.
        """
        folder, name = split(path)
        if self._row[0] != folder or not self._row[1]:
            row = self._rows.get(to_bytes(folder))
            self._row = (folder, {} if row is None else unpack_stats(row))
        row_then = self._row[1].get(name)
        found = self._lstat(path)
        if found is None:
            return None
        now = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        if path in self._fresh or (row_then != now and not S_ISDIR(found.st_mode)):
            now = (*now[:3], RACY)
        return Seen(found.st_dev, *now, found.st_nlink)


def _may_displace(difference: PathDifference) -> bool:
    """Whether it may come to it that what is there goes: a file with other names may be made anew
    only to have its metadata to itself.
    """
    seen = difference.seen
    has_names = seen is None or seen.links > 1
    return has_names or may_displace(difference.found, difference.wanted)


def _with_safety(difference: PathDifference, safe: Mapping[BlobInfo, Safety]) -> PathDifference:
    """What was recorded as a secret was not stored, and what is one now is not brought back."""
    found = difference.found
    if found is None or found.content is None:
        return difference
    if "secret" in (difference.path_class, found.path_class):
        return difference
    return replace(difference, safe=safe.get(found.content))


def present_life(spans: Sequence[Span]) -> list[Span]:
    """The spans that lead to now without a gap; none if the path is not there now."""
    life: list[Span] = []
    until: int | None = None
    for span in reversed(spans):
        if span.until != until:
            break
        life.insert(0, span)
        until = span.since
    return life
