"""The verbs that change a live root: plan, checkout, rollback, undo and their kin."""

from collections.abc import Sequence
from typing import Literal, TypeAlias, TypedDict, Unpack

from epmstore import given
from epmstore.catalog.hooks import HookRun, hooks_of
from epmstore.catalog.model import HoldRecord
from epmstore.checkout.apply import Applier
from epmstore.checkout.goal import EditsGoal, VersionGoal, version_of
from epmstore.checkout.obligations import Owed, moment, owed_file
from epmstore.checkout.packages import owners
from epmstore.checkout.plan import ConfigPolicy
from epmstore.checkout.preflight import Terms
from epmstore.checkout.request import CheckoutAction, Prepared, Request
from epmstore.checkout.run import Checkout, Done
from epmstore.checkout.supervised import Around, with_limits
from epmstore.checkout.target import Exported
from epmstore.checkout.undo import (
    Reversal,
    content_of,
    last_change,
    redo_target,
    rollback_target,
    undo_target,
)
from epmstore.clock import from_rfc3339
from epmstore.errors import BusyError, ConflictError, UsageError
from epmstore.given import AnyPath, AnyVersion
from epmstore.locks import WAIT_SECONDS
from epmstore.record.recorder import Look
from epmstore.record.result import Result
from epmstore.record.root import Root, open_root
from epmstore.record.status import Status, make_status
from epmstore.relpath import ROOT, RelPath
from epmstore.store.commit import commit_hold
from epmstore.store.reckoned import reckon
from epmstore.tree import Entry
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.app.exporting import export_tree
from epmstore.workspace.app.reading import Reading
from epmstore.workspace.results import done_result, recovered_result

AUTOMATIC = ("daemon", "api")
"""What stands behind whoever asks without a person: see `hold`."""
Recovery: TypeAlias = Literal["all", "boot", "tree"]
"""What a recovery does beside ending a journal: everything that is owed, with hooks; everything
that can be done before applications are started, without; nothing.
"""


class TermsGiven(TypedDict, total=False):
    """The fields of Terms, as keywords."""

    live: bool
    allow_network: bool
    hooks: bool
    hook_timeout: float
    health_timeout: float
    confirm: float | None
    unattended: bool


class Live(Reading):
    """Plans and changes of one application's root."""

    def __init__(self, context: AppContext) -> None:
        super().__init__(context)
        self.app = context.app
        self._recorder = context.recorder
        self._progress = context.progress
        self._runner = context.runner

    def plan(
        self,
        selector: AnyVersion,
        paths: Sequence[AnyPath] = (),
        *,
        exact: bool = False,
        config: ConfigPolicy = "keep",
    ) -> Prepared:
        """What `checkout` would do now. Writes nothing. Raises as `checkout`."""
        request = self._request(selector, paths, exact=exact, config=config)
        return self._plan(request)

    def plan_rollback(self, *, config: ConfigPolicy = "keep") -> Prepared:
        """What `rollback` would do now. Writes nothing. Raises as `rollback`."""
        with open_root(self.app) as root:
            look = self._recorder.status(root)
            return self._checkout(root).plan(self._rollback_request(root, look, config), look)

    def plan_undo(self) -> Prepared:
        """What `undo` would do now. Writes nothing. Raises as `undo`."""
        return self._plan(_reversal("undo", undo_target(self.versions())))

    def plan_apply(self, plan: Prepared) -> Prepared:
        """A plan made earlier, as it would be carried out now. Raises as `apply`."""
        self._check_plan(plan)
        with open_root(self.app) as root:
            return self._checkout(root).plan(plan.request, expected=plan)

    def plan_redo(self) -> Prepared:
        """What `redo` would do now. Writes nothing. Raises as `redo`."""
        return self._plan(_reversal("redo", redo_target(self.versions())))

    def plan_edit(
        self, entries: Sequence[Entry], *, remove: Sequence[AnyPath] = (), label: str | None = None
    ) -> Prepared:
        """What `edit` would do now. Writes nothing. Raises as `edit`."""
        return self._plan(_edit(entries, remove, label))

    def check(self, plan: Prepared, **terms: Unpack[TermsGiven]) -> None:
        """What would keep a plan that was made just now from being carried out, as far as that can
        be known. Writes nothing. Raises as `checkout`.
        """
        self._check_now(plan, Terms(**terms))

    def _check_now(self, plan: Prepared, given: Terms, *, contents: bool = True) -> None:
        self._check_hold(given)
        self._check_owed(plan.request)
        hooks = with_limits(hooks_of(self.app), given)
        with open_root(self.app) as root:
            self._around(root).check(plan, given, hooks, contents=contents)

    def check_later(self, plan: Prepared) -> None:
        """What would keep a plan from being carried out whenever that is, and whatever its terms
        are. Writes nothing. Raises as `checkout`.
        """
        with open_root(self.app) as root:
            terms = Terms(live=True, allow_network=True)
            self._checkout(root).check(plan, terms, in_use=False)

    def checkout(
        self,
        selector: AnyVersion,
        paths: Sequence[AnyPath] = (),
        *,
        exact: bool = False,
        config: ConfigPolicy = "keep",
        **terms: Unpack[TermsGiven],
    ) -> Result:
        """Bring the root, or some paths of it, to a version: recorded first, journaled, verified,
        undoable; with the application's hooks around it.

        Raises VersionNotFoundError, NotRestorableError, PathNotFoundError, ConflictError and its
        kin, DiskFullError, BusyError: then the root is as it was. HookError says what state it is
        in.
        """
        request = self._request(selector, paths, exact=exact, config=config)
        return self._carry_out(request, Terms(**terms))

    def apply(self, plan: Prepared, **terms: Unpack[TermsGiven]) -> Result:
        """Carry out a plan made earlier. Raises ChangedError if what it is about changed."""
        self._check_plan(plan)
        return self._carry_out(plan.request, Terms(**terms), expected=plan)

    def edit(
        self,
        entries: Sequence[Entry],
        *,
        remove: Sequence[AnyPath] = (),
        label: str | None = None,
        **terms: Unpack[TermsGiven],
    ) -> Result:
        """Make some paths what these entries say, and remove others; everything else stays. As a
        checkout: recorded first, journaled, verified, undoable, with hooks. The contents of files
        are stored before (`workspace.blobs.put`).

        Raises UsageError, NotRestorableError (a content is not stored), otherwise as `checkout`.
        """
        with self._store.keep_packs():
            return self._carry_out(_edit(entries, remove, label), Terms(**terms))

    def rollback(self, *, config: ConfigPolicy = "keep", **terms: Unpack[TermsGiven]) -> Result:
        """To the last change if that brings something back, else to the one before what is live.
        From then on the application is held.
        """
        with self._context.locked_root() as root:
            look = self._recorder.status(root)
            request = self._rollback_request(root, look, config)
            return self._run(root, request, Terms(**terms))

    def undo(self, **terms: Unpack[TermsGiven]) -> Result:
        """Reverse the last checkout, rollback or repair. Raises NotFoundError, ChangedError."""
        request = _reversal("undo", undo_target(self.versions()))
        return self._carry_out(request, Terms(**terms))

    def redo(self, **terms: Unpack[TermsGiven]) -> Result:
        """Do again what was undone last. Raises NotFoundError, ChangedError."""
        request = _reversal("redo", redo_target(self.versions()))
        return self._carry_out(request, Terms(**terms))

    def export(
        self,
        selector: AnyVersion,
        target: AnyPath,
        paths: Sequence[AnyPath] = (),
        *,
        dry_run: bool = False,
    ) -> Exported:
        """A version or a release, or some paths of it, as a folder of its own. Never looks at the
        live root. A `dry_run` says what would come of it, and writes nothing. Raises as `ls`,
        NotRestorableError, ConflictError, DamagedError, OSError.
        """
        source, place = self._context.trees.restorable(selector), given.a_place(target).absolute()
        scope = given.scope(paths)
        return export_tree(self._store, source, place, scope, self._progress, dry_run=dry_run)

    def recover(self, *, wait: float = WAIT_SECONDS, what: Recovery = "all") -> Result | None:
        """Finish or take back an interrupted checkout, and do what is owed around it. Null if there
        was none, or it was taken back and nobody had to be started.

        At boot, who is busy with it since this boot is not waited for: he may be starting the very
        application that waits for us. Raises BusyError if one is still running after `wait`
        seconds, RootError, HookError.
        """
        if what == "boot" and not self.is_interrupted and not self._is_owed_from_before:
            return None
        with self._store.lock_app(self.app.uuid, wait=wait), open_root(self.app) as root:
            applied = Applier(self._recorder, root, self._progress).recover()
            # before the application is started: what it writes then is no part of the question
            look = None if applied is None else self._recorder.status(root)
            hooks = self._pay(root, what)
        if applied is not None and look is not None:
            return recovered_result(self.app.key, applied, look, hooks or ())
        if hooks is None:
            return None
        head = self.versions()[-1].version
        return Result(app=self.app.key, action="recover", changed=False, version=head, hooks=hooks)

    @property
    def is_interrupted(self) -> bool:
        """Whether a journal lies there: of a checkout that was cut off, or is under way."""
        return self._context.is_interrupted

    def _status(self, look: Look) -> Status:
        return make_status(self.app.key, self.app.root, look, interrupted=self._is_cut_off())

    def _is_cut_off(self) -> bool:
        """Whether there is a journal that nobody is working on."""
        if not self.is_interrupted:
            return False
        try:
            with self._store.lock_app(self.app.uuid, wait=0):
                return self.is_interrupted
        except BusyError:
            return False

    @property
    def _is_owed_from_before(self) -> bool:
        owed = self.owed
        return owed is not None and owed.since.boot != moment(self._store.clock).boot

    @property
    def owed(self) -> Owed | None:
        """What a checkout has still to do, or waits for. Raises DamagedError."""
        return owed_file(self._store, self.app.uuid).load()

    def _pay(self, root: Root, what: Recovery) -> tuple[HookRun, ...] | None:
        """Do what is owed; the hooks that ran, None if there was nothing to do."""
        owed = self.owed
        if owed is None or what == "tree":
            return None
        around = self._around(root)
        if what == "boot" and around.is_same_boot(owed):
            return None  # the application may run, and without hooks nobody can stop it
        if owed.phase == "CONFIRMING" and around.seconds_left(owed) > 0:
            return None
        return tuple(around.recover(owed, hooks=what == "all").runs)

    def _request(
        self, selector: AnyVersion, paths: Sequence[AnyPath], *, exact: bool, config: ConfigPolicy
    ) -> Request:
        return Request(
            action="checkout",
            goal=VersionGoal(self.restorable(selector)),
            scope=given.scope(paths) or None,
            exact=exact,
            config=config,
        )

    def _rollback_request(self, root: Root, look: Look, config: ConfigPolicy) -> Request:
        """Drift that a checkout would keep anyway (state, edited configuration, what nobody
        recorded on purpose) is no reason to stop at the last change: nothing would come of it.
        """
        versions = self.versions()
        drifted = False
        last = last_change(versions)
        if last is not None and (last.version != look.head.number or not look.changes.is_empty):
            here = _rollback_to(content_of(versions, last), config)
            drifted = bool(self._checkout(root).plan(here, look).plan.steps)
        target = rollback_target(versions, drifted=drifted)
        return _rollback_to(self.restorable(str(target)), config)

    def _plan(self, request: Request) -> Prepared:
        with open_root(self.app) as root:
            return self._checkout(root).plan(request)

    def _carry_out(
        self, request: Request, terms: Terms, expected: Prepared | None = None
    ) -> Result:
        with self._context.locked_root() as root:
            return self._run(root, request, terms, expected)

    def _run(
        self, root: Root, request: Request, terms: Terms, expected: Prepared | None = None
    ) -> Result:
        action: CheckoutAction = "apply" if expected is not None else request.action
        self._check_hold(terms)
        waiting = self._check_owed(request)
        hooks = with_limits(hooks_of(self.app), terms)
        done = self._around(root).run(request, terms, hooks, expected)
        if waiting and done.confirm_by is None:
            owed_file(self._store, self.app.uuid).drop()
        held = self._hold_after(request, done)
        return done_result(self.app.key, action, done, owners(self.app.root, done), held=held)

    def _check_plan(self, plan: Prepared) -> None:
        """Raises UsageError, NotRestorableError."""
        if plan.app != self.app.uuid:
            raise UsageError(f"the plan is for another application than {self.app.key}")
        number = version_of(plan.request.goal)
        if number is not None:
            self.restorable(str(number))

    def _check_owed(self, request: Request) -> bool:
        """Whether a confirmation is waited for that this decides: the undo of what it is about.
        Raises ConflictError for anything else that is owed.
        """
        owed = self.owed
        if owed is None:
            return False
        if owed.phase != "CONFIRMING":
            raise ConflictError(
                f"a checkout of {self.app.key} to {owed.goal} did not come to its end: the"
                " application may have to be started",
                hint=f"`epmstore recover --app {self.app.key}`",
            )
        if request.action == "undo" and request.within == (owed.from_, owed.version):
            return True
        raise ConflictError(
            f"version {owed.version} of {self.app.key} waits to be confirmed",
            hint=f"`epmstore confirm --app {self.app.key}`, or `epmstore undo` takes it back",
        )

    def _check_hold(self, terms: Terms) -> None:
        """Raises ConflictError if nobody looks on and the application is to be left alone."""
        automatic = terms.unattended or (self._recorder.actor or {}).get("via") in AUTOMATIC
        hold = self.hold_in_force() if automatic else None
        if hold is not None:
            raise ConflictError(
                f"{self.app.key} is held since {hold.time}: {hold.reason or 'no reason given'}",
                hint=f"`epmstore unhold {self.app.key}` lets automation go on",
                reason=hold.reason,
            )

    def hold_in_force(self) -> HoldRecord | None:
        """The hold that keeps automation from moving this application now, if there is one."""
        hold = self.state().hold
        if hold is None or hold.until is None:
            return hold
        return hold if reckon(self._store).sure < from_rfc3339(hold.until) else None

    def _hold_after(self, request: Request, done: Done) -> bool:
        """Whether it holds the application, as a rollback does; an undo of that ends it."""
        if done.applied is None:
            return False
        hold = self.state().hold
        undone = request.within[1] if request.action == "undo" and request.within else None
        if hold is not None and hold.version is not None and hold.version == undone:
            commit_hold(self._store, self.app.uuid, self._recorder.actor, held=False)
        return request.action == "rollback"

    def _around(self, root: Root) -> Around:
        return Around(
            self._store,
            self.app,
            self._runner,
            lambda: self._checkout(root),
            self._recorder.actor,
            self._progress,
        )

    def _checkout(self, root: Root) -> Checkout:
        return Checkout(self._recorder, root, self.state(), self._progress)


def _reversal(action: CheckoutAction, found: Reversal) -> Request:
    return Request(action=action, goal=VersionGoal(found.to), within=(found.one, found.two))


def _edit(entries: Sequence[Entry], remove: Sequence[AnyPath], label: str | None) -> Request:
    edits: list[tuple[RelPath, Entry | None]] = [(given.a_path(e.path), e) for e in entries]
    edits += [(given.a_path(path), None) for path in remove]
    if not edits or len(dict(edits)) < len(edits) or ROOT in dict(edits):
        raise UsageError("edits are of one path or more, each named once, and not of the root")
    return Request(action="edit", goal=EditsGoal(tuple(edits)), label=label)


def _rollback_to(version: int, config: ConfigPolicy) -> Request:
    return Request(action="rollback", goal=VersionGoal(version), config=config)
