"""What leads from one tree to another.

Trees of one kind are compared by the index, which knows what differs; any others entry by entry.
"""

import os
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from epmstore.catalog.diff import Change, change
from epmstore.catalog.model import VersionRecord
from epmstore.catalog.rootfacts import root_change, root_of
from epmstore.checkout.differences import recorded_pairs
from epmstore.errors import PathNotFoundError
from epmstore.relpath import RelPath, is_within
from epmstore.store.store import Store
from epmstore.tree import HOSTS_OWN, Entry, Pair, path_of
from epmstore.workspace.trees import TreeSource
from epmstore.workspace.treesources import LiveTree, RecordedTree, ReleaseTree


class Comparer:
    """Compares trees of one application (UUID)."""

    def __init__(self, store: Store, app: str) -> None:
        self._store = store
        self._app = app

    def changes(
        self, one: TreeSource, two: TreeSource, scope: Sequence[RelPath] = ()
    ) -> list[Change]:
        """What became of each path in `scope` (empty: all), in byte order. Raises PathNotFoundError
        for one that neither has, RootError, DamagedError.
        """
        if isinstance(one, LiveTree) and isinstance(two, LiveTree):
            return []
        pairs = self._pairs(one, two)
        for path in scope:
            if not any(is_within(path_of(pair), [path]) for pair in pairs):
                _check_known(path, one, two)
        return changes_of(pairs, scope)

    def recorded(self, old: VersionRecord, new: VersionRecord) -> list[Change]:
        """The same of two versions, by what was said of them. Raises DamagedError."""
        return changes_of(self._recorded(old, new))

    def _pairs(self, one: TreeSource, two: TreeSource) -> list[Pair]:
        """(old, new) of every path that may differ."""
        match one, two:
            case RecordedTree(), RecordedTree():
                return self._recorded(one.record, two.record)
            case RecordedTree(), LiveTree():
                return self._live(one, two)
            case LiveTree(), RecordedTree():
                return [(new, old) for old, new in self._live(two, one)]
            case ReleaseTree(), ReleaseTree():
                return one.releases.changed(one.release.version, two.release.version)
        olds = {entry.path: entry for entry in one.entries()}
        news = {entry.path: entry for entry in two.entries()}
        pairs = [(olds.get(path), news.get(path)) for path in {*olds, *news}]
        if one.is_foreign == two.is_foreign:
            return pairs
        return [_alike(old, new, is_old=one.is_foreign) for old, new in pairs]

    def _recorded(self, old: VersionRecord, new: VersionRecord) -> list[Pair]:
        pairs = [*recorded_pairs(self._store, self._app, old, new).values()]
        itself = root_change(root_of(old), root_of(new))
        return pairs if itself is None else [itself, *pairs]

    def _live(self, recorded: RecordedTree, live: LiveTree) -> list[Pair]:
        changes, newest = live.look.changes, live.look.head.number
        since: dict[RelPath, Pair] = {}
        if newest is not None:
            found = self._store.entries.changed(self._app, recorded.version, newest)
            since = {path_of(pair): pair for pair in found}
        for old, new in changes.modified:
            since[new.path] = (since.get(new.path, (old, old))[0], new)
        for entry in changes.added:
            since[entry.path] = (since.get(entry.path, (None, None))[0], entry)
        for entry in changes.lost:
            since[entry.path] = (since.get(entry.path, (entry, entry))[0], None)
        itself = root_change(root_of(recorded.record), changes.root)
        differ = [pair for pair in since.values() if pair != (None, None)]
        return [*differ, *([] if itself is None else [itself])]


def changes_of(pairs: Iterable[Pair], scope: Sequence[RelPath] = ()) -> list[Change]:
    """What became of each path in `scope`, in byte order, given (old, new) entries."""
    found = [change(path_of(pair), *pair) for pair in pairs]
    inside = [one for one in found if one is not None and (not scope or is_within(one.path, scope))]
    return sorted(inside, key=lambda one: os.fsencode(one.path))


def _check_known(path: RelPath, *trees: TreeSource) -> None:
    """Raises PathNotFoundError for a path that none of them has, nor anything below it."""
    for tree in trees:
        try:
            tree.entries(path)
        except PathNotFoundError:
            continue
        return
    raise PathNotFoundError(
        f"{path!r} is on neither side",
        hint=f"`epmstore history {path}` shows the versions that have it,"
        " `epmstore find PATTERN` looks for others",
        path=path,
    )


def _alike(old: Entry | None, new: Entry | None, *, is_old: bool) -> Pair:
    """The two, what a foreign one (the old one, or the new one) cannot know made the host's."""
    if old is None or new is None:
        return old, new
    host = new if is_old else old
    said = {name: getattr(host, name) for name in HOSTS_OWN}
    return (replace(old, **said), new) if is_old else (old, replace(new, **said))
