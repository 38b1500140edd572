"""The use case: bring a root to a version. Plan it, or carry it out; the same plan either way.

The caller holds the app's lock and an open root, and has finished any earlier journal. Order:
record what is there (the safety version), difference, plan, preflight, then the Applier.
"""

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from epmstore.catalog.hooks import HookRun
from epmstore.catalog.model import Reason, VersionKind, VersionRecord
from epmstore.catalog.state import CatalogState
from epmstore.checkout.apply import Applied, Applier
from epmstore.checkout.differences import Judge, Pair, overlay, path_of, recorded_pairs
from epmstore.checkout.journal import Header
from epmstore.checkout.plan import (
    ConfigPolicy,
    Options,
    Plan,
    Step,
    Surroundings,
    check_databases,
    make_plan,
)
from epmstore.checkout.preflight import Terms, preflight
from epmstore.checkout.sight import CLEAR, Sight, sight_of
from epmstore.clock import to_rfc3339
from epmstore.errors import ChangedError, DamagedError, PathNotFoundError
from epmstore.packed import PackedEntries
from epmstore.progress import Progress
from epmstore.record.changes import Changes
from epmstore.record.observe import valid_rows
from epmstore.record.recorder import SAFETY, Look, Recorder, unobserved
from epmstore.record.root import Root
from epmstore.relpath import RelPath, parents, sort_paths, to_bytes
from epmstore.scan.databases import databases, may_hold_databases
from epmstore.scan.folders import FolderCache

CheckoutAction: TypeAlias = Literal["checkout", "rollback", "undo", "redo", "apply", "repair"]
REASONS: dict[CheckoutAction, Reason] = {
    "checkout": "checkout",
    "rollback": "checkout",
    "undo": "undo",
    "redo": "undo",
    "apply": "checkout",
    "repair": "repair",
}


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for: the content of version `of`, or of a vendor's `release` (one of the two),
    for the paths in `scope` (null: all).
    `within` are two versions: only paths that differ between them are touched, and only while they
    are as in the second, or, with `overwrite`, whatever became of them since.
    """

    action: CheckoutAction
    of: int | None = None
    release: int | None = None
    scope: tuple[RelPath, ...] | None = None
    exact: bool = False
    config: ConfigPolicy = "keep"
    within: tuple[int, int] | None = None
    overwrite: bool = False
    label: str | None = None


Released: TypeAlias = Callable[[Request, Look], dict[RelPath, Pair]]
"""Path to (entry found by a look, entry that a release wants there), for all that are to change."""


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A plan and what it is for: a request, for the app of this UUID."""

    app: str
    request: Request
    plan: Plan


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """A request carried out. `applied` is null if nothing was to do. `hooks` ran around it;
    `confirm_by` is when it is undone unless somebody confirms it.
    """

    prepared: Prepared
    before: int | None
    safety: int | None
    look: Look
    applied: Applied | None
    hooks: tuple[HookRun, ...] = ()
    confirm_by: str | None = None


class Checkout:
    """Plans and carries out requests for one open root."""

    def __init__(
        self,
        recorder: Recorder,
        root: Root,
        state: CatalogState,
        progress: Progress,
        released: Released | None = None,
        release_sight: Callable[[int], Sight] = lambda release: CLEAR,
    ) -> None:
        """`state` is the history as it is before anything is done; `released` answers requests for
        a release, and `release_sight` what it could not say of paths that it lacks.
        """
        self._recorder = recorder
        self._root = root
        self._state = state
        self._progress = progress
        self._released = released
        self._release_sight = release_sight
        self._store = recorder.store
        self._app = recorder.app

    def plan(
        self, request: Request, look: Look | None = None, expected: Prepared | None = None
    ) -> Prepared:
        """What would be done now; with `expected`, of that plan. Writes nothing. Raises
        ConflictError, PathNotFoundError.
        """
        look = look or self._recorder.status(self._root)
        newest = _newest(look)
        pairs = self._pairs(request, look, newest)
        if request.release is None:
            fresh: Collection[RelPath] = overlay(pairs, look.changes)
        else:
            fresh = {entry.path for entry in look.changes.come()}
        prepared = self._plan(request, look, newest, pairs, fresh)
        return prepared if expected is None else _as_expected(prepared, expected)

    def check(self, prepared: Prepared, terms: Terms, *, in_use: bool) -> None:
        """Everything that can be known of a plan without stopping anybody. Writes nothing. Raises
        as `run`; because files are in use only with `in_use`. Contents that a release wants may
        be in the root, and recorded only by the run.
        """
        contents = prepared.request.release is None
        check_databases(prepared.plan)
        preflight(
            self._root.fd,
            prepared.plan,
            self._store.blobs,
            terms,
            in_use=in_use,
            contents=contents,
        )

    def run(
        self,
        request: Request,
        terms: Terms,
        expected: Prepared | None = None,
        *,
        txid: str | None = None,
    ) -> Done:
        """Carry it out. With `expected`, only if what is to do is still that plan. `txid` is the
        one of the version that it makes.

        Raises ConflictError (and its kin) with nothing changed; OSError, DamagedError.
        """
        recorded = self._recorder.snapshot(self._root, SAFETY)
        newest = recorded.version
        now = _just_recorded(recorded.look, newest)
        pairs = self._pairs(request, now, newest)
        prepared = self._plan(request, recorded.look, newest, pairs, ())
        if expected is not None:
            prepared = _as_expected(prepared, expected)
        check_databases(prepared.plan)
        preflight(self._root.fd, prepared.plan, self._store.blobs, terms)
        applied = None
        if prepared.plan.steps:
            safety = newest.version if recorded.is_new else None
            header = self._header(prepared, now, safety, txid or new_txid())
            applied = Applier(self._recorder, self._root, self._progress).apply(
                header, prepared.plan.steps
            )
        return Done(
            prepared=prepared,
            before=recorded.before,
            safety=newest.version if recorded.is_new else None,
            look=recorded.look,
            applied=applied,
        )

    def _plan(
        self,
        request: Request,
        look: Look,
        newest: VersionRecord,
        pairs: dict[RelPath, Pair],
        fresh: Collection[RelPath],
    ) -> Prepared:
        scope = request.scope or ()
        if request.release is None:
            self._check_scope(scope)
        options = Options(exact=request.exact, config=request.config, scope=scope)
        if request.within is not None:
            pairs = self._within(pairs, request.within, newest, overwrite=request.overwrite)
            # what the operation was allowed to touch is named: state as well
            options = Options(exact=True, config="restore", scope=tuple(sort_paths(pairs)))
        elif request.release is not None:  # what is to be kept is in no pair
            options = Options(exact=True, config="restore", scope=scope)
        rows = self._rows(newest) or {}
        with FolderCache(self._root.fd) as folders:
            judge = Judge(
                self._store.entries,
                self._app.uuid,
                kinds=self._kinds(newest),
                classify=self._recorder.rules.classify,
                folders=folders,
                rows=rows,
                fresh=fresh,
            )
            plan = make_plan(
                judge.differences(pairs),
                options,
                self._surroundings(request, look, pairs, folders, rows),
                app=self._app.key,
                from_=newest.version,
                of=request.of,
            )
        return Prepared(app=self._app.uuid, request=request, plan=plan)

    def _pairs(self, request: Request, look: Look, newest: VersionRecord) -> dict[RelPath, Pair]:
        """What is recorded beside what is wanted; of a release, what was found."""
        if request.release is not None:
            assert self._released is not None, "whoever asks for a release says what it is"
            return self._released(request, look)
        assert request.of is not None, "a request is for a version or for a release"
        wanted = self._version(request.of)
        return recorded_pairs(self._store, self._app.uuid, newest, wanted)

    def _surroundings(
        self,
        request: Request,
        look: Look,
        pairs: dict[RelPath, Pair],
        folders: FolderCache,
        rows: Mapping[bytes, bytes],
    ) -> Surroundings:
        """What the look showed beside entries. Databases are looked for around what is to be
        written; `rows` have the names in folders that are as they were recorded.
        """
        written = [path for path, (found, _) in pairs.items() if found is not None]

        def may_hold(folder: str) -> bool:
            row = rows.get(to_bytes(folder))
            return row is None or folder in look.found.listings or may_hold_databases(row)

        around = filter(may_hold, {"", *(above for path in written for above in parents(path))})
        listings = self._recorder.walk(self._root, only=set(around)) if written else ()
        return Surroundings(
            unobserved={p.path: p.why for p in look.changes.problems},
            ignored=frozenset(look.found.ignored),
            special={p.path: p.why for p in look.found.skipped},
            purged=self._store.contents.purged(),
            databases=tuple(databases(listings, folders)),
            sight=self._sight(request),
        )

    def _sight(self, request: Request) -> Sight:
        """What could be seen when that was recorded, or released, which is asked for."""
        if request.release is not None:
            return self._release_sight(request.release)
        assert request.of is not None, "a request is for a version or for a release"
        history = (one.record for one in self._state.versions)
        return sight_of(self._version(request.of), history, self._recorder.rules.patterns)

    def _within(
        self,
        pairs: dict[RelPath, Pair],
        within: tuple[int, int],
        newest: VersionRecord,
        *,
        overwrite: bool,
    ) -> dict[RelPath, Pair]:
        """The paths that an operation touched. Raises ChangedError if one of them changed since,
        unless that is to be overwritten.
        """
        entries, app = self._store.entries, self._app.uuid
        paths = set(map(path_of, entries.changed(app, *within)))
        changed = paths & set(map(path_of, entries.changed(app, within[1], newest.version)))
        if changed and not overwrite:
            first = sorted(changed)[0]
            raise ChangedError(
                f"{len(changed)} of the paths changed since, {first!r} for one",
                hint="`epmstore checkout VERSION` goes to a version whatever changed since",
                paths=sorted(changed),
            )
        return {path: pair for path, pair in pairs.items() if path in paths}

    def _check_scope(self, scope: Sequence[RelPath]) -> None:
        """Raises PathNotFoundError for a named path that no version ever had."""
        entries, app = self._store.entries, self._app.uuid
        for path in scope:
            if not entries.history(app, path) and not entries.live_below(app, path):
                raise PathNotFoundError(
                    f"{self._app.key} never had {path!r}",
                    hint="`epmstore find PATTERN` looks through all versions",
                    path=path,
                )

    def _kinds(self, newest: VersionRecord) -> dict[int, VersionKind]:
        kinds = {one.version: one.kind for one in self._state.versions}
        kinds.setdefault(newest.version, newest.kind)
        return kinds

    def _rows(self, newest: VersionRecord) -> dict[bytes, bytes] | None:
        now = self._recorder.live_state(newest, self._root)
        return valid_rows(
            self._store.live(self._app.uuid), self._store.entries, self._app.uuid, now
        )

    def _header(self, prepared: Prepared, look: Look, safety: int | None, txid: str) -> Header:
        request, newest = prepared.request, _newest(look)
        return Header(
            txid=txid,
            app=self._app.uuid,
            key=self._app.key,
            root=self._app.root,
            root_inode=self._root.stat.st_ino,
            action=request.action,
            reason=REASONS[request.action],
            time=to_rfc3339(self._store.clock.now()),
            base=newest.version,
            of=request.of,
            release=request.release,
            from_=newest.version,
            safety=safety,
            scope=request.scope,
            label=request.label,
            actor=self._recorder.actor,
            rules=self._recorder.rules.digest(),
            patterns=self._recorder.rules_to_say(newest),
            unobserved=unobserved(look),
        )

    def _version(self, number: int) -> VersionRecord:
        info = self._state.find(number)
        if info is None:
            raise DamagedError(f"version {number} is not in the index", hint="epmstore rebuild")
        return info.record


def new_txid() -> str:
    return secrets.token_hex(16)


def _newest(look: Look) -> VersionRecord:
    assert look.head.version is not None, "there is a version to go to, so there is a newest one"
    return look.head.version


def _just_recorded(look: Look, newest: VersionRecord) -> Look:
    """The same look at a root, now that what it found is the newest version."""
    changes = Changes(PackedEntries(), [], [], [], look.changes.problems)
    return replace(look, head=replace(look.head, version=newest), changes=changes)


def _as_expected(prepared: Prepared, expected: Prepared) -> Prepared:
    """The steps of a plan made earlier, as they are to be done now; others are not asked for.

    Raises ChangedError unless each is still a step that leads to what was planned.
    """
    then = set(map(_gist, expected.plan.steps))
    steps = tuple(step for step in prepared.plan.steps if _gist(step) in then)
    above = {folder for step in steps for folder in parents(step.path)}
    changed = {
        step.path
        for step in prepared.plan.steps
        if step.path in above and _gist(step) not in then  # it has to be done first
    }
    now = set(map(_gist, steps))
    changed.update(step.path for step in expected.plan.steps if _gist(step) not in now)
    if changed:
        paths = sort_paths(changed)
        raise ChangedError(
            f"{len(paths)} planned paths changed since the plan was made, {paths[0]!r} for one",
            hint="make a new plan, and look at it again",
            paths=paths,
        )
    return replace(prepared, plan=replace(prepared.plan, steps=steps))


def _gist(step: Step) -> tuple[object, ...]:
    return step.op, step.path, step.old, step.new
