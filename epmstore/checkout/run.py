"""The use case: bring a root to a goal. Plan it, or carry it out; the same plan either way.

The caller holds the app's lock and an open root, and has finished any earlier journal. Order:
record what is there (the safety version), difference, plan, preflight, then the Applier.
"""

import contextlib
import os
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain

import msgspec
from msgspec.structs import replace

from epmstore.catalog.hooks import HookRun
from epmstore.catalog.installed import InstalledSet, installed_at
from epmstore.catalog.model import Parameters, VersionKind, VersionRecord
from epmstore.catalog.parameters import parameters_at
from epmstore.catalog.state import CatalogState
from epmstore.checkout.apply import Applied, Applier
from epmstore.checkout.differences import Judge
from epmstore.checkout.goal import EditsGoal, Goal, ReleaseGoal, RemovalGoal, VersionGoal
from epmstore.checkout.hardlinks import left_names
from epmstore.checkout.journal import Header, LeftOut
from epmstore.checkout.lost import known_unreadable
from epmstore.checkout.plan import (
    NamedPath,
    Plan,
    Safety,
    Step,
    Surroundings,
    check_databases,
    make_plan,
)
from epmstore.checkout.preflight import Terms, check_in_use, preflight
from epmstore.checkout.request import INSTALLING, REASONS, Prepared, Request
from epmstore.checkout.wanted import EditsWishes, FoundRoot, VersionWishes, Wanted, Wishes
from epmstore.clock import to_rfc3339
from epmstore.digest import BlobInfo
from epmstore.errors import ChangedError, VersionNotFoundError
from epmstore.progress import Progress
from epmstore.record.keeping import names_below
from epmstore.record.observe import valid_rows
from epmstore.record.recorder import SAFETY, Look, Recorded, Recorder, unobserved
from epmstore.record.root import Root
from epmstore.record.unseen import unseen
from epmstore.relpath import RelPath, parents, sort_paths, to_bytes
from epmstore.scan.databases import PG_MARK, DatabaseUnit, databases, may_hold_databases
from epmstore.scan.folders import FolderCache
from epmstore.scan.privilege import Privilege, is_nothing_else
from epmstore.scan.walk import Listing
from epmstore.store.commit import read_version
from epmstore.store.deposit import Deposit
from epmstore.store.soundness import check_sound

LOOKS = 3
"""What a plan is about may hold more that it is about, as a data directory does; then no more."""


class CompletedCheckout(msgspec.Struct, frozen=True, kw_only=True):
    """A request carried out. `applied` is None if nothing was to do. `hooks` ran around it;
    `confirm_by` is when it is undone unless it is confirmed.
    """

    prepared: Prepared
    before: int | None
    safety: int | None
    look: Look
    applied: Applied | None
    hooks: tuple[HookRun, ...] = ()
    confirm_by: str | None = None


class BegunCheckout(msgspec.Struct, frozen=True, kw_only=True):
    """What was found is recorded, and what is to be done is known. `header` is None if nothing
    is. Nothing of the root is touched.
    """

    prepared: Prepared
    before: int | None
    safety: int | None
    look: Look
    header: Header | None

    def completed(self, applied: Applied | None) -> CompletedCheckout:
        return CompletedCheckout(
            prepared=self.prepared,
            before=self.before,
            safety=self.safety,
            look=self.look,
            applied=applied,
        )


class CheckoutEngine:
    """Plans and carries out requests for one open root."""

    def __init__(
        self,
        recorder: Recorder,
        root: Root,
        state: CatalogState,
        progress: Progress,
        released: Callable[[], Wishes] | None = None,
        approve: Callable[[Prepared, FoundRoot], None] = lambda prepared, found: None,
    ) -> None:
        """`state` is the history as it is before anything is done; `released` gives what
        knows a vendor's releases, for goals of that kind; `approve` raises what else keeps a plan
        from being carried out.
        """
        self._recorder = recorder
        self._root = root
        self._state = state
        self._progress = progress
        self._released = released
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

        def observe(keep: Collection[RelPath]) -> FoundRoot:
            if look is not None and not keep:
                return FoundRoot(look, self._newest(look))
            seen = self._recorder.status(self._root, kept=keep)
            return FoundRoot(seen, self._newest(seen))

        return self._decide(request, observe, expected)[0]

    def check(
        self, prepared: Prepared, terms: Terms, *, in_use: bool, contents: bool = True
    ) -> None:
        """Everything that can be known of a plan without stopping the application. Writes nothing.
        Raises as `run`; because files are in use only with `in_use`, because contents are missing
        only with `contents`.
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
    ) -> CompletedCheckout:
        """Carry it out. With `expected`, only if what is to do is still that plan. `txid` is the
        one of the version that it makes.

        Raises ConflictError (and its kin) with nothing changed; OSError, DamagedError.
        """
        begun = self.begin(request, terms, expected, txid=txid)
        applied = None
        if begun.header is not None:
            plan = begun.prepared.plan
            applied = self.applier().apply(begun.header, plan.steps, LeftOut.of(plan))
        return begun.completed(applied)

    def begin(
        self,
        request: Request,
        terms: Terms,
        expected: Prepared | None = None,
        *,
        txid: str | None = None,
        transaction: tuple[str, ...] = (),
        in_use: bool = True,
    ) -> BegunCheckout:
        """What `run` does first: record what is found, plan, and look whether that can be done; who
        has files in use, unless that is left for later. `transaction` are the applications that go
        together. Raises as `run`, with nothing changed.
        """
        made: list[Recorded] = []

        def observe(keep: Collection[RelPath]) -> FoundRoot:
            made.append(self._recorder.snapshot(self._root, SAFETY, kept=keep))
            return FoundRoot(made[-1].look, made[-1].version, is_recorded=True)

        prepared, found = self._decide(request, observe, expected)
        check_databases(prepared.plan)
        preflight(self._root.fd, prepared.plan, self._store.blobs, terms, in_use=in_use)
        safety = found.newest.version if any(one.is_new for one in made) else None
        header = None
        if prepared.is_anything:
            header = self._header(prepared, found, safety, txid or new_txid())
            header = replace(header, transaction=transaction)
        return BegunCheckout(
            prepared=prepared,
            before=made[0].before,
            safety=safety,
            look=found.look,
            header=header,
        )

    def _store_made(self, contents: Sequence[tuple[BlobInfo, bytes]]) -> None:
        """The caller keeps packs until a version names what is stored here."""
        if not contents:
            return
        with Deposit(self._store) as deposit:
            for info, data in contents:
                deposit.add(info, data)
            deposit.commit()

    def still_holds(self, begun: BegunCheckout, terms: Terms) -> bool:
        """Whether what was begun, and may be staged by now, is what there would be to do: nothing
        has changed since. What has is recorded. Raises InUseError.
        """
        if self._recorder.snapshot(self._root, SAFETY).is_new:
            return False
        check_in_use(self._root.fd, begun.prepared.plan, terms)
        return True

    def applier(self) -> Applier:
        """What carries out what was begun."""
        return Applier(self._recorder, self._root, self._progress)

    def _decide(
        self,
        request: Request,
        observe: Callable[[Collection[RelPath]], FoundRoot],
        expected: Prepared | None,
    ) -> tuple[Prepared, FoundRoot]:
        """The plan, and the look that it was made from. What `observe` gets is kept: a snapshot
        stores it. What the plan would touch and is not stored is looked at once more.
        """
        if not self._state.versions and request.action not in INSTALLING:
            raise VersionNotFoundError(
                f"nothing is recorded of {self._app.key} yet",
                hint="record it first: epmstore snapshot",
            )
        wishes = self._wishes(request.goal)
        keep = wishes.named_state(request)
        for _ in range(LOOKS):
            found = observe(keep)
            wanted = _with_rendered(wishes.wanted(request, found), request)
            if found.is_recorded:
                self._store_made(wanted.contents)
            prepared = self._plan(request, wanted, found, keep)
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

    def _newest(self, look: Look) -> VersionRecord:
        """Of a root of which nothing is recorded yet, the version that is going to be its first."""
        return look.head.version or VersionRecord(
            version=0,
            app=self._app.uuid,
            key=self._app.key,
            txid="",
            kind=SAFETY.kind,
            reason=SAFETY.reason,
            tree="0" * 64,
            time=to_rfc3339(self._store.clock.now()),
        )

    def _wishes(self, goal: Goal) -> Wishes:
        match goal:
            case VersionGoal():
                return VersionWishes(self._recorder, self._state)
            case EditsGoal():
                return EditsWishes(self._recorder)
            case ReleaseGoal() | RemovalGoal():
                assert self._released is not None, "a release comes with its tree"
                return self._released()

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
        self, request: Request, wanted: Wanted, found: FoundRoot, keep: Collection[RelPath]
    ) -> Prepared:
        newest = found.newest
        rows = self._rows(newest) or {}
        with FolderCache(self._root.fd) as folders:
            judge = Judge(
                self._store.entries,
                self._app.uuid,
                kinds=self._kinds(newest),
                rules=self._recorder.rules,
                folders=folders,
                rows=rows,
                fresh=wanted.fresh,
                keeps=lambda contents: self._safe(contents, found),
            )
            plan = make_plan(
                judge.differences(wanted.pairs),
                wanted.options,
                self._surroundings(wanted, found.look, folders, rows, keep),
                app=self._app.key,
                from_=newest.version,
                goal=request.goal,
            )
        plan, forbidden = _without_futile(plan)
        return Prepared(
            app=self._app.uuid,
            request=request,
            plan=plan,
            about=frozenset([*self._coming(found), *(info for info, _ in wanted.contents)])
            & frozenset(plan.contents()),
            forbidden=forbidden,
            left=tuple(wanted.left),
            installed=self._installed(request),
            parameters=self._parameters(request),
            notes=(*wanted.notes, *request.notes),
        )

    def _installed(self, request: Request) -> InstalledSet | None:
        """What is installed afterwards; None: what is now."""
        goal, wanted = request.goal, request.installed
        if wanted is None and isinstance(goal, VersionGoal) and request.paths is None:
            wanted = installed_at(self._state, goal.version)
        return None if wanted == installed_at(self._state) else wanted

    def _parameters(self, request: Request) -> Parameters | None:
        """What is set afterwards; None: what is now."""
        goal, wanted = request.goal, request.parameters
        if wanted is None and isinstance(goal, VersionGoal) and request.paths is None:
            wanted = parameters_at(self._state, goal.version)
        return None if wanted == parameters_at(self._state) else wanted

    def _surroundings(
        self,
        wanted: Wanted,
        look: Look,
        folders: FolderCache,
        rows: Mapping[bytes, bytes],
        keep: Collection[RelPath],
    ) -> Surroundings:
        """What the look showed beside entries. Databases are looked for around what is to be
        written; `rows` have the names in folders that are as they were recorded.
        """
        written = [path for path, (found, _) in wanted.pairs.items() if found is not None]
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
            sight=wanted.sight,
            looked=frozenset(keep),
        )

    def _is_state(self, db: DatabaseUnit) -> bool:
        is_folder = db.kind == "postgresql"
        return self._recorder.rules.classify(db.path, is_folder) == "state"

    def _safe(self, contents: Collection[BlobInfo], found: FoundRoot) -> dict[BlobInfo, Safety]:
        """How contents that are in the root are safe, or will be when the look is recorded."""
        missing = set(self._store.blobs.missing(contents))
        missing |= known_unreadable(self._store, contents)
        if missing:
            # What the store has and lost is not stored anew before its place is forgotten.
            coming = (one for one in self._coming(found) if not self._store.blobs.has(one))
            missing.difference_update(coming)
        purged = self._store.contents.purged()
        safe: dict[BlobInfo, Safety] = {}
        for content in contents:
            if content in purged:
                safe[content] = "purged"
            elif content not in missing:
                safe[content] = "stored"
        return safe

    def _coming(self, found: FoundRoot) -> Iterator[BlobInfo]:
        """Contents that a record of the look would store."""
        if found.is_recorded:
            return
        for one in found.look.changes.come():
            if one.content is not None and one.path_class != "secret":
                yield one.content
        yield from found.look.stored

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

    def _header(
        self, prepared: Prepared, found: FoundRoot, safety: int | None, txid: str
    ) -> Header:
        request, newest = prepared.request, found.newest
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
            goal=request.goal,
            from_=newest.version,
            safety=safety,
            scope=request.paths,
            label=request.label,
            actor=self._recorder.actor,
            rules=self._recorder.rules.digest(),
            patterns=self._recorder.rules_to_say(newest),
            unobserved=unobserved(found.now),
            installed=prepared.installed,
            parameters=prepared.parameters,
            notes=prepared.notes,
        )


def _without_futile(plan: Plan) -> tuple[Plan, tuple[NamedPath, ...]]:
    """(the plan, what cannot be set of what it writes or sets): steps that could set nothing at all
    are none; another name of a file has what that has.
    """
    ours = Privilege.ours()
    steps: list[Step] = []
    futile: list[NamedPath] = []
    forbidden: list[NamedPath] = []
    for step in plan.steps:
        found = step.old if step.op == "set" else None
        is_made = step.new is not None and step.link is None
        what = ours.forbids(step.new, found) if step.new is not None and is_made else ()
        if step.new and found and what and is_nothing_else(step.new, found, what):
            futile.append((step.path, ", ".join(what)))
            continue
        steps.append(step)
        if what:
            forbidden.append((step.path, ", ".join(what)))
    if not futile:
        return plan, tuple(forbidden)
    return replace(plan, steps=tuple(steps), refused=(*plan.refused, *futile)), tuple(forbidden)


def _with_rendered(wanted: Wanted, request: Request) -> Wanted:
    """With the contents that a request brings."""
    brought = () if request.rendering is None else request.rendering.contents
    return replace(wanted, contents=(*wanted.contents, *brought))


def new_txid() -> str:
    return secrets.token_hex(16)


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
