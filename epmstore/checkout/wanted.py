"""What a goal comes to for one root, as a look has just found it.

A version is compared with the newest one, by the index; edits, and what a vendor released, with
what is there. Nothing is written, and nothing is decided that planning decides (plan.py).
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

import msgspec
from msgspec.structs import replace

from epmstore.catalog.model import Note, VersionRecord
from epmstore.catalog.state import CatalogState
from epmstore.checkout.differences import overlay, recorded_pairs, root_pair
from epmstore.checkout.goal import EditsGoal, VersionGoal
from epmstore.checkout.plan import NamedPath, Options
from epmstore.checkout.request import Request
from epmstore.checkout.sight import CLEAR, Sight, sight_of
from epmstore.checkout.units import unit_paths
from epmstore.compact import CompactEntries
from epmstore.digest import BlobInfo
from epmstore.errors import ChangedError, ConflictError, DamagedError, PathNotFoundError, UsageError
from epmstore.index.entries import Entries
from epmstore.record.observed_changes import Changes
from epmstore.record.recorder import Look, Recorder
from epmstore.relpath import RelPath, is_within, parents, sort_paths, split
from epmstore.scan.metadata import OwnerNames
from epmstore.tree import Entry, Pair, path_of


class FoundRoot(msgspec.Struct, frozen=True):
    """One look at the root, and the newest version beside it: the one before the look, or, if it
    `is_recorded`, the one that has all that was seen.
    """

    look: Look
    newest: VersionRecord
    is_recorded: bool = False

    @property
    def now(self) -> Look:
        """The look, as it would be now that what it found is the newest version, if it is."""
        if not self.is_recorded:
            return self.look
        seen, head = self.look.changes, replace(self.look.head, version=self.newest)
        changes = Changes(CompactEntries(), [], [], [], seen.problems, seen.root)
        return replace(self.look, head=head, changes=changes)

    @property
    def come(self) -> set[RelPath]:
        """Paths that the newest version does not have as they are there."""
        return {entry.path for entry in self.now.changes.come()}


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Path to (found, wanted), for all that may have to change, and how that is to be planned.
    `fresh` are paths that the newest version does not have as they were found. `sight` is what
    could be seen of paths that the goal lacks. `left` is left alone before anything is planned;
    `notes` are what a person should know of all this, `contents` what was made for it and has to be
    stored.
    """

    pairs: dict[RelPath, Pair]
    options: Options
    fresh: Collection[RelPath] = ()
    sight: Sight = CLEAR
    left: Sequence[NamedPath] = ()
    notes: Sequence[Note] = ()
    contents: Sequence[tuple[BlobInfo, bytes]] = ()


class Wishes(Protocol):
    """What goals of one kind come to."""

    def named_state(self, request: Request) -> set[RelPath]:
        """The paths of class state that are asked for by name and may have another content then,
        with what belongs to them: what is there is to be stored, whatever class it has.
        """

    def wanted(self, request: Request, found: FoundRoot) -> Wanted:
        """Raises PathNotFoundError, ConflictError and its kin, DamagedError."""


class Present:
    """What is in a root, by a look at it and the newest version."""

    def __init__(self, look: Look, entries: Entries, app: str) -> None:
        self._entries = entries
        self._app = app
        self._newest = look.head.number
        self._now: dict[RelPath, Entry | None] = {e.path: e for e in look.changes.come()}
        self._now.update({entry.path: None for entry in look.changes.lost})

    def found(self, path: RelPath) -> Entry | None:
        if path in self._now:
            return self._now[path]
        return None if self._newest is None else self._entries.at(self._app, self._newest, path)

    def children(self, folder: RelPath) -> set[RelPath]:
        """What is in a folder."""
        recorded = {}
        if self._newest is not None:
            recorded = self._entries.live_folder(self._app, folder)
        paths = {entry.path for entry in recorded.values()}
        paths.update(path for path in self._now if split(path)[0] == folder)
        return {path for path in paths if self._now.get(path, path) is not None}

    def had_mode(self, path: RelPath, bits: int) -> bool:
        """Whether a path was ever recorded with all of these bits."""
        if self._newest is None:
            return False
        spans = self._entries.history(self._app, path)
        return any(span.entry.mode & bits == bits for span in spans)


class EditsWishes:
    """Goals that say themselves what is wanted: there is nothing to decide about."""

    def __init__(self, recorder: Recorder) -> None:
        self._entries = recorder.store.entries
        self._app = recorder.app
        self._rules = recorder.rules
        self._owners = OwnerNames()

    def named_state(self, request: Request) -> set[RelPath]:
        return set()

    def wanted(self, request: Request, found: FoundRoot) -> Wanted:
        assert isinstance(request.goal, EditsGoal), "it is asked for goals of its kind"
        present = Present(found.now, self._entries, self._app.uuid)
        edits = dict(request.goal.edits)
        pairs: dict[RelPath, Pair] = {}
        for path, entry in edits.items():
            if entry is not None:
                self._check_folder(path, edits, present)
            pairs[path] = (present.found(path), None if entry is None else self._here(entry))
        return Wanted(
            pairs={path: pair for path, pair in pairs.items() if pair != (None, None)},
            options=Options(exact=True, config="restore", scope=request.paths or ()),
            fresh=found.come,
        )

    def _here(self, entry: Entry) -> Entry:
        """As a look will find it: names belong to ids, and classes to paths. Raises UsageError."""
        if entry.kind != "directory" and entry.mtime_ns is None:
            raise UsageError(f"{entry.path!r} is wanted without a time of modification")
        path_class = self._rules.classify(entry.path, entry.kind == "directory")
        return replace(
            entry,
            user=self._owners.user(entry.uid),
            group=self._owners.group(entry.gid),
            path_class="program" if path_class == "ignore" else path_class,
        )

    def _check_folder(
        self, path: RelPath, edits: dict[RelPath, Entry | None], present: Present
    ) -> None:
        for folder in map(RelPath, parents(path)):
            entry = edits[folder] if folder in edits else present.found(folder)
            if entry is None or entry.kind != "directory":
                raise ConflictError(
                    f"{path!r} cannot be there: {folder!r} is no folder that {self._app.key} has",
                    hint="make it, or change that as well",
                    path=path,
                )


class VersionWishes:
    """Goals that were recorded."""

    def __init__(self, recorder: Recorder, state: CatalogState) -> None:
        self._store = recorder.store
        self._app = recorder.app
        self._rules = recorder.rules
        self._state = state

    def named_state(self, request: Request) -> set[RelPath]:
        entries, app = self._store.entries, self._app.uuid
        named: Iterable[RelPath] = request.scope or ()
        if request.within is not None:
            named = map(path_of, entries.changed(app, *request.within))
        rules = self._rules
        state = [p for p in named if rules.classify(p) == "state" or rules.is_below_state(p)]
        keep: set[RelPath] = set()
        for path in state:
            wanted = entries.at(app, _number(request), path)
            if wanted is None or wanted.kind != "file" or wanted.content is not None:
                keep.update(unit_paths(path))
        return keep

    def wanted(self, request: Request, found: FoundRoot) -> Wanted:
        now, wanted = found.now, self._version(_number(request))
        pairs = recorded_pairs(self._store, self._app.uuid, found.newest, wanted)
        pairs = {**root_pair(now.changes.root, found.newest, wanted), **pairs}
        fresh = () if found.is_recorded else overlay(pairs, now.changes)
        self._check_scope(request.scope or (), found)
        if request.rendering is not None:
            present = Present(now, self._store.entries, self._app.uuid)
            pairs.update((e.path, (present.found(e.path), e)) for e in request.rendering.entries)
        options = Options(exact=request.exact, config=request.config, scope=request.scope or ())
        if request.within is not None:
            pairs = self._within(pairs, request.within, found, overwrite=request.overwrite)
            # what the operation was allowed to touch is named: state as well
            options = Options(exact=True, config="restore", scope=tuple(sort_paths(pairs)))
        return Wanted(pairs=pairs, options=options, fresh=fresh, sight=self._sight(wanted))

    def _sight(self, wanted: VersionRecord) -> Sight:
        """What could be seen when it was recorded."""
        history = (one.record for one in self._state.versions)
        return sight_of(wanted, history, self._rules.patterns)

    def _within(
        self,
        pairs: dict[RelPath, Pair],
        within: tuple[int, int],
        found: FoundRoot,
        *,
        overwrite: bool,
    ) -> dict[RelPath, Pair]:
        """The paths that an operation touched. Raises ChangedError if one of them changed since,
        unless that is to be overwritten.
        """
        entries, app = self._store.entries, self._app.uuid
        first, last = map(self._version, within)
        paths = {*map(path_of, entries.changed(app, *within)), *root_pair(None, first, last)}
        changes, newest = found.look.changes, found.newest
        since = {path_of(p): p for p in entries.changed(app, newest.version, within[1])}
        since.update(root_pair(None if found.is_recorded else changes.root, newest, last))
        if not found.is_recorded:
            overlay(since, changes)
        changed = paths & since.keys()
        if changed and not overwrite:
            example = sorted(changed)[0]
            raise ChangedError(
                f"{len(changed)} of the paths changed since, {example!r} for one",
                hint="`epmstore checkout VERSION` goes to a version whatever changed since",
                paths=sorted(changed),
            )
        return {path: pair for path, pair in pairs.items() if path in paths}

    def _check_scope(self, scope: Sequence[RelPath], found: FoundRoot) -> None:
        """Raises PathNotFoundError for a named path that no version ever had, nor will have once
        the look is recorded.
        """
        entries, app = self._store.entries, self._app.uuid
        for path in scope:
            if entries.history(app, path) or entries.live_below(app, path):
                continue
            if not any(is_within(one.path, (path,)) for one in found.look.changes.come()):
                raise PathNotFoundError(
                    f"{self._app.key} never had {path!r}",
                    hint="`epmstore find PATTERN` looks through all versions",
                    path=path,
                )

    def _version(self, number: int) -> VersionRecord:
        info = self._state.find(number)
        if info is None:
            raise DamagedError(f"version {number} is not in the index", hint="epmstore rebuild")
        return info.record


def _number(request: Request) -> int:
    assert isinstance(request.goal, VersionGoal), "it is asked for goals of its kind"
    return request.goal.version
