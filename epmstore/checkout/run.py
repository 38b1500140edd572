"""The use case: bring a root to a version. Plan it, or carry it out; the same plan either way.

The caller holds the app's lock and an open root, and has finished any earlier journal. Order:
record what is there (the safety version), difference, plan, preflight, then the Applier.
"""

import contextlib
import os
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from epmstore.catalog.hooks import HookRun
from epmstore.catalog.model import Reason, VersionKind, VersionRecord
from epmstore.catalog.state import CatalogState
from epmstore.checkout.apply import Applied, Applier
from epmstore.checkout.differences import Judge, Pair, overlay, path_of, recorded_pairs, root_pair
from epmstore.checkout.journal import Header
from epmstore.checkout.names import left_names
from epmstore.checkout.plan import (
    ConfigPolicy,
    Named,
    Options,
    Plan,
    Safety,
    Step,
    Surroundings,
    check_databases,
    is_within,
    make_plan,
)
from epmstore.checkout.preflight import Terms, preflight
from epmstore.checkout.sight import CLEAR, Sight, sight_of
from epmstore.checkout.units import unit_paths
from epmstore.clock import to_rfc3339
from epmstore.digest import BlobInfo
from epmstore.errors import ChangedError, DamagedError, PathNotFoundError, VersionNotFoundError
from epmstore.packed import PackedEntries
from epmstore.progress import Progress
from epmstore.record.changes import Changes
from epmstore.record.commit import read_version
from epmstore.record.keeping import names_below
from epmstore.record.observe import valid_rows
from epmstore.record.recorder import SAFETY, Look, Recorded, Recorder, unobserved
from epmstore.record.root import Root
from epmstore.record.soundness import check_sound
from epmstore.record.unseen import Unseen, unseen
from epmstore.relpath import RelPath, parents, sort_paths, to_bytes
from epmstore.scan.databases import PG_MARK, Database, databases, may_hold_databases
from epmstore.scan.folders import FolderCache
from epmstore.scan.privilege import Privilege
from epmstore.scan.walk import Listing

LOOKS = 3
"""What a plan is about may hold more that it is about, as a data directory does; then no more."""
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
    """A plan and what it is for: a request, for the app of this UUID. `about` are contents that it
    needs and that are not stored yet, but will be, since the root has them. `forbidden` is what our
    privilege does not allow of paths that it would bring back; `left` are paths that a plan for a
    release leaves alone before anything is planned, and why.
    """

    app: str
    request: Request
    plan: Plan
    about: frozenset[BlobInfo] = frozenset()
    forbidden: tuple[Named, ...] = ()
    left: tuple[Named, ...] = ()
    unseen: Unseen = Unseen()
    """What the look that it was made from did not see."""


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


class Found(msgspec.Struct, frozen=True):
    """One look at the root, and the newest version beside it: the one before the look, or, if it
    `is_recorded`, the one that has all that was seen.
    """

    look: Look
    newest: VersionRecord
    is_recorded: bool = False


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
        approve: Callable[[Prepared, Found], None] = lambda prepared, found: None,
    ) -> None:
        """`state` is the history as it is before anything is done; `released` answers requests for
        a release, and `release_sight` what it could not say of paths that it lacks; `approve`
        raises what else keeps a plan from being carried out.
        """
        self._recorder = recorder
        self._root = root
        self._state = state
        self._progress = progress
        self._released = released
        self._release_sight = release_sight
        self._approve = approve
        self._store = recorder.store
        self._app = recorder.app

    def plan(
        self, request: Request, look: Look | None = None, expected: Prepared | None = None
    ) -> Prepared:
        """What would be done now; with `expected`, of that plan. Writes nothing. Raises
        VersionNotFoundError (nothing is recorded), ConflictError, PathNotFoundError, DamagedError
        (it could not be recorded).
        """
        check_sound(self._store, self._app.uuid)

        def observe(keep: Collection[RelPath]) -> Found:
            if look is not None and not keep:
                return Found(look, _newest(look))
            seen = self._recorder.status(self._root, kept=keep)
            return Found(seen, _newest(seen))

        return self._decide(request, observe, expected)[0]

    def check(
        self, prepared: Prepared, terms: Terms, *, in_use: bool, contents: bool = True
    ) -> None:
        """Everything that can be known of a plan without stopping anybody. Writes nothing. Raises
        as `run`; because files are in use only with `in_use`, because contents are missing only
        with `contents`.
        """
        check_databases(prepared.plan)
        preflight(
            self._root.fd,
            prepared.plan,
            self._store.blobs,
            terms,
            in_use=in_use,
            contents=contents,
            about=prepared.about,
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
        made: list[Recorded] = []

        def observe(keep: Collection[RelPath]) -> Found:
            made.append(self._recorder.snapshot(self._root, SAFETY, kept=keep))
            return Found(made[-1].look, made[-1].version, is_recorded=True)

        prepared, found = self._decide(request, observe, expected)
        check_databases(prepared.plan)
        preflight(self._root.fd, prepared.plan, self._store.blobs, terms)
        safety = found.newest.version if any(one.is_new for one in made) else None
        applied = None
        if prepared.plan.steps:
            now = _just_recorded(found.look, found.newest)
            header = self._header(prepared, now, safety, txid or new_txid())
            applied = Applier(self._recorder, self._root, self._progress).apply(
                header, prepared.plan.steps
            )
        return Done(
            prepared=prepared,
            before=made[0].before,
            safety=safety,
            look=found.look,
            applied=applied,
        )

    def _decide(
        self,
        request: Request,
        observe: Callable[[Collection[RelPath]], Found],
        expected: Prepared | None,
    ) -> tuple[Prepared, Found]:
        """The plan, and the look that it was made from. What `observe` gets is kept: a snapshot
        stores it. What the plan would touch and nobody stored is looked at once more.
        """
        if not self._state.versions:
            raise VersionNotFoundError(
                f"nothing is recorded of {self._app.key} yet",
                hint="record it first: epmstore snapshot",
            )
        keep = self._state_of(request)
        for _ in range(LOOKS):
            found = observe(keep)
            prepared = self._planned(request, found, keep)
            more = self._with_units(prepared.plan.unstored) - keep
            if not more:
                break
            keep |= more
        prepared = replace(prepared, unseen=unseen(found.look))
        self._approve(prepared, found)
        if expected is not None:
            prepared = _as_expected(prepared, expected)
        names = left_names(prepared.plan.steps, found.look.found.same_as)
        return replace(prepared, plan=replace(prepared.plan, names=tuple(names))), found

    def _planned(self, request: Request, found: Found, keep: Collection[RelPath]) -> Prepared:
        look, newest = found.look, found.newest
        now = _just_recorded(look, newest) if found.is_recorded else look
        pairs = self._pairs(request, now, newest)
        fresh: Collection[RelPath] = ()
        if not found.is_recorded and request.release is None:
            fresh = overlay(pairs, look.changes)
        elif not found.is_recorded:
            fresh = {entry.path for entry in look.changes.come()}
        return self._plan(request, found, pairs, fresh, keep)

    def _state_of(self, request: Request) -> set[RelPath]:
        """The paths of class state that are asked for by name and may have another content then,
        with what belongs to them if they are databases.
        """
        if request.of is None:
            return set()
        entries, app = self._store.entries, self._app.uuid
        named: Iterable[RelPath] = request.scope or ()
        if request.within is not None:
            named = map(path_of, entries.changed(app, *request.within))
        rules = self._recorder.rules
        state = [p for p in named if rules.classify(p) == "state" or rules.is_below_state(p)]
        keep: set[RelPath] = set()
        for path in state:
            wanted = entries.at(app, request.of, path)
            if wanted is None or wanted.kind != "file" or wanted.content is not None:
                keep.update(unit_paths(path))
        return keep

    def _with_units(self, paths: Iterable[RelPath]) -> set[RelPath]:
        """With all that is below data directories, which are replaced as a whole."""
        found = set(paths)
        with FolderCache(self._root.fd) as folders:
            for path in list(found):
                with contextlib.suppress(OSError):
                    if PG_MARK in os.listdir(folders.open(path)):
                        found.update(names_below(self._root.fd, path))
        return found

    def _plan(
        self,
        request: Request,
        found: Found,
        pairs: dict[RelPath, Pair],
        fresh: Collection[RelPath],
        keep: Collection[RelPath],
    ) -> Prepared:
        newest = found.newest
        scope = request.scope or ()
        if request.release is None:
            self._check_scope(scope, found)
        options = Options(exact=request.exact, config=request.config, scope=scope)
        if request.within is not None:
            pairs = self._within(pairs, request.within, found, overwrite=request.overwrite)
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
                rules=self._recorder.rules,
                folders=folders,
                rows=rows,
                fresh=fresh,
                keeps=lambda contents: self._safe(contents, found),
            )
            plan = make_plan(
                judge.differences(pairs),
                options,
                self._surroundings(request, found.look, pairs, folders, rows, keep),
                app=self._app.key,
                from_=newest.version,
                of=request.of,
            )
        return Prepared(
            app=self._app.uuid,
            request=request,
            plan=plan,
            about=frozenset(self._coming(found)) & frozenset(plan.contents()),
            forbidden=tuple(_forbidden(plan.steps)),
        )

    def _pairs(self, request: Request, look: Look, newest: VersionRecord) -> dict[RelPath, Pair]:
        """What is recorded beside what is wanted; of a release, what was found."""
        if request.release is not None:
            assert self._released is not None, "whoever asks for a release says what it is"
            return self._released(request, look)
        assert request.of is not None, "a request is for a version or for a release"
        wanted = self._version(request.of)
        pairs = recorded_pairs(self._store, self._app.uuid, newest, wanted)
        return {**root_pair(look.changes.root, newest, wanted), **pairs}

    def _surroundings(
        self,
        request: Request,
        look: Look,
        pairs: dict[RelPath, Pair],
        folders: FolderCache,
        rows: Mapping[bytes, bytes],
        keep: Collection[RelPath],
    ) -> Surroundings:
        """What the look showed beside entries. Databases are looked for around what is to be
        written; `rows` have the names in folders that are as they were recorded.
        """
        written = [path for path, (found, _) in pairs.items() if found is not None]
        written += keep

        def may_hold(folder: str) -> bool:
            row = rows.get(to_bytes(folder))
            return row is None or folder in look.found.listings or may_hold_databases(row)

        around = set(
            filter(may_hold, {"", *(above for path in written for above in parents(path))})
        )
        classify = self._recorder.rules.classify
        state = {folder for folder in around if folder and classify(folder, True) == "state"}
        listings: Iterable[Listing] = ()
        if written:
            seen = self._recorder.walk(self._root, only=around - state)
            listings = chain(seen, self._recorder.walk(self._root, only=state, by_rules=False))
        return Surroundings(
            unobserved={p.path: p.why for p in look.changes.problems},
            ignored=frozenset(look.found.ignored),
            special={p.path: p.why for p in look.found.skipped},
            purged=self._store.contents.purged(),
            databases=tuple(
                replace(db, path_class="state") if self._is_state(db) else db
                for db in databases(listings, folders)
            ),
            sight=self._sight(request),
            looked=frozenset(keep),
        )

    def _is_state(self, db: Database) -> bool:
        is_folder = db.kind == "postgresql"
        return self._recorder.rules.classify(db.path, is_folder) == "state"

    def _safe(self, contents: Collection[BlobInfo], found: Found) -> dict[BlobInfo, Safety]:
        """How contents that are in the root are safe, or will be when the look is recorded."""
        missing = set(self._store.blobs.missing(contents))
        if missing:
            missing.difference_update(self._coming(found))
        purged = self._store.contents.purged()
        safe: dict[BlobInfo, Safety] = {}
        for content in contents:
            if content in purged:
                safe[content] = "purged"
            elif content not in missing:
                safe[content] = "stored"
        return safe

    def _coming(self, found: Found) -> Iterator[BlobInfo]:
        """Contents that a record of the look would store."""
        if found.is_recorded:
            return
        for one in found.look.changes.come():
            if one.content is not None and one.path_class != "secret":
                yield one.content
        yield from found.look.stored

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
        found: Found,
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

    def _check_scope(self, scope: Sequence[RelPath], found: Found) -> None:
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

    def _kinds(self, newest: VersionRecord) -> dict[int, VersionKind]:
        kinds = {one.version: one.kind for one in self._state.versions}
        kinds.setdefault(newest.version, newest.kind)
        if len(kinds) <= newest.version:  # more than one was recorded for this
            for record in self._store.entries.records(self._app.uuid):
                if record.version is not None and record.version not in kinds:
                    kinds[record.version] = read_version(record).kind
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


def _forbidden(steps: Iterable[Step]) -> Iterator[Named]:
    """What will not be had of what is written or set; another name of a file has what that has."""
    ours = Privilege.ours()
    for step in steps:
        if step.new is not None and step.link is None:
            what = ours.forbids(step.new, step.old if step.op == "set" else None)
            if what:
                yield step.path, ", ".join(what)


def new_txid() -> str:
    return secrets.token_hex(16)


def _newest(look: Look) -> VersionRecord:
    assert look.head.version is not None, "there is a version to go to, so there is a newest one"
    return look.head.version


def _just_recorded(look: Look, newest: VersionRecord) -> Look:
    """The same look at a root, now that what it found is the newest version."""
    changes = Changes(PackedEntries(), [], [], [], look.changes.problems, look.changes.root)
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
