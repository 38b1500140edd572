"""What every change of a live root goes through: from a request to its plan, and to its result.

Checked first, in this order: that no hold forbids it, that nothing else is owed, what a release
needs, and that its contents can be got. How it is done is epmstore/checkout's to know.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from epmstore.catalog.hooks import hooks_of
from epmstore.checkout.goal import ReleaseGoal, version_of
from epmstore.checkout.lost import AbsentContentsError, UnreadableContentsError
from epmstore.checkout.obligations import owed_by, owed_file
from epmstore.checkout.participant import Participant
from epmstore.checkout.preflight import Terms
from epmstore.checkout.request import CheckoutAction, Prepared, Request
from epmstore.checkout.run import CheckoutEngine, CompletedCheckout
from epmstore.checkout.supervised import SupervisedCheckout, with_limits
from epmstore.checkout.system_packages import owners
from epmstore.checkout.wanted import FoundRoot, Wishes
from epmstore.digest import BlobInfo
from epmstore.errors import ConflictError, UsageError
from epmstore.record.recorder import Look
from epmstore.record.result import Result
from epmstore.record.root import Root, open_root
from epmstore.store.seeking import CameFrom
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.app.holding import check_hold, end_hold_of
from epmstore.workspace.app.results import done_result
from epmstore.workspace.app.temporary import TemporaryMark, lasting

if TYPE_CHECKING:  # start-up
    from epmstore.workspace.app.needs import Needs
    from epmstore.workspace.app.supplying import Supplying


class Acting:
    """Plans and carries out requests for the root of one application."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._store = context.store
        self._app = context.app

    def plan(self, request: Request, coming: frozenset[BlobInfo] = frozenset()) -> Prepared:
        """What `carry_out` would do now; contents that are `coming` count as stored. Writes
        nothing. Raises as it does.
        """
        self.check_needs(request)
        with open_root(self._app) as root:
            made = self.checkout(root).plan(request)
        return self.supplied(msgspec.structs.replace(made, about=made.about | coming))

    def plan_again(self, plan: Prepared) -> Prepared:
        """A plan made earlier, as it would be carried out now. Raises as `apply`."""
        self._check_plan(plan)
        with open_root(self._app) as root:
            return self.supplied(self.checkout(root).plan(plan.request, expected=plan))

    def supplied(self, plan: Prepared, sources: Sequence[Path] = ()) -> Prepared:
        """With what is known of contents that the store lacks. Asks remotes if there are any."""
        if not plan.plan.steps:
            return plan
        found = self._supplying.look_for(plan, sources)
        return msgspec.structs.replace(plan, supply=found)

    def check(self, plan: Prepared, terms: Terms, sources: Sequence[Path] = ()) -> None:
        """What would keep a plan that was made just now from being carried out, as far as that can
        be known. Writes nothing. Raises as `carry_out`.
        """
        contents = self._check_contents(plan, sources)
        check_hold(self._context, terms)
        self._check_owed(plan.request)
        hooks = with_limits(hooks_of(self._app), terms)
        with open_root(self._app) as root:
            self.supervised(root).check(plan, terms, hooks, contents=contents)

    def check_later(self, plan: Prepared) -> None:
        """What would keep a plan from being carried out whenever that is, and whatever its terms
        are. Writes nothing. Raises as `carry_out`.
        """
        contents = self._check_contents(plan)
        with open_root(self._app) as root:
            terms = Terms(live=True, allow_network=True)
            self.checkout(root).check(plan, terms, in_use=False, contents=contents)

    def carry_out(self, request: Request, terms: Terms) -> Result:
        """Do it. Raises ConflictError and its kin, NotRestorableError, NeedsError, DiskFullError,
        BusyError: then the root is as it was. HookError says what state it is in.
        """
        self.check_needs(request)
        with self._context.locked_root() as root:
            return self.run(root, request, terms)

    def apply(self, plan: Prepared, terms: Terms) -> Result:
        """Carry out a plan made earlier. Raises ChangedError if what it is about changed."""
        if isinstance(plan.request.goal, ReleaseGoal):
            self._supplying.supply(self.plan_again(plan))
        self._check_plan(plan)
        with self._context.locked_root() as root:
            return self._run(root, plan.request, terms, plan)

    def run(
        self,
        root: Root,
        request: Request,
        terms: Terms,
        *,
        look: Look | None = None,
        sources: Sequence[Path] = (),
    ) -> Result:
        """As `carry_out`, under the application's lock, with nothing interrupted; `look` is one at
        the root as it is. The contents of a release may be in `sources`, too: folders and archives.
        """
        with self._store.keep_packs():
            if not isinstance(request.goal, ReleaseGoal):
                return self._run(root, request, terms)
            prepared = self.checkout(root).plan(request, look)
            came = self._supplying.supply(prepared, sources)
            result = self._run(root, request, terms)
        label = request.label if result.changed else None
        return msgspec.structs.replace(result, label=label, came=(*came, *result.came))

    def _run(
        self, root: Root, request: Request, terms: Terms, expected: Prepared | None = None
    ) -> Result:
        """Once more, if contents turned out to be lost that are elsewhere."""
        before = self._store.entries.last_version(self._app.uuid)
        try:
            return self._run_once(root, request, terms, expected)
        except (AbsentContentsError, UnreadableContentsError) as error:
            with self._store.keep_packs():
                came = self._recall(root, request, expected, error)
                result = self._run_once(root, request, terms, expected)
        safety = result.safety
        if safety is None and result.from_ != (None if before is None else before.version):
            safety = result.from_  # the first attempt recorded it
        return msgspec.structs.replace(result, came=came, safety=safety)

    def _recall(
        self,
        root: Root,
        request: Request,
        expected: Prepared | None,
        error: AbsentContentsError | UnreadableContentsError,
    ) -> tuple[CameFrom, ...]:
        """Raises the error, if only live files could bring contents back, and lack them."""
        prepared = self.checkout(root).plan(request, expected=expected)
        try:
            return self._supplying.supply(prepared, missing=error.contents)
        except (AbsentContentsError, UnreadableContentsError):
            if self._context.remotes():
                raise
        raise error

    def _run_once(
        self, root: Root, request: Request, terms: Terms, expected: Prepared | None
    ) -> Result:
        action: CheckoutAction = "apply" if expected is not None else request.action
        check_hold(self._context, terms)
        waiting = self._check_owed(request)
        hooks = with_limits(hooks_of(self._app), terms)
        done = self.supervised(root).run(request, terms, hooks, expected)
        return self._ended(request, action, done, waiting=waiting)

    def part(self, root: Root, request: Request, terms: Terms) -> Participant:
        """What this application has in a transaction, under its lock. Raises as `carry_out`."""
        check_hold(self._context, terms)
        self._check_owed(request)

        def take(prepared: Prepared) -> tuple[CameFrom, ...]:
            is_released = isinstance(request.goal, ReleaseGoal)
            return tuple(self._supplying.supply(prepared)) if is_released else ()

        return Participant(
            self.supervised(root),
            root,
            request,
            with_limits(hooks_of(self._app), terms),
            take=take,
            recall=partial(self._recall, root, request, None),
        )

    def end(self, part: Participant, transaction: Sequence[str]) -> Result:
        """What it came to for this one, of a transaction of applications with these keys."""
        assert part.done is not None, "it was carried out"
        owed = owed_file(self._store, self._app.uuid)
        waiting = part.done.confirm_by is None and owed.path.exists()  # for what this decided
        request = part.request
        result = self._ended(
            request, request.action, part.done, waiting=waiting, transaction=transaction
        )
        return msgspec.structs.replace(result, came=tuple(part.came))

    def _ended(
        self,
        request: Request,
        action: CheckoutAction,
        done: CompletedCheckout,
        *,
        waiting: bool,
        transaction: Sequence[str] = (),
    ) -> Result:
        if waiting and done.confirm_by is None:
            owed_file(self._store, self._app.uuid).drop()
        if done.prepared.parameters is not None:
            temporary = TemporaryMark(self._store, self._app.uuid)
            temporary.set(lasting(done.prepared.parameters))
        held = self._hold_after(request, done)
        packages = owners(self._app.root, done)
        return done_result(
            self._app.key, action, done, packages, held=held, transaction=transaction
        )

    def supervised(self, root: Root) -> SupervisedCheckout:
        """What is around checkouts of an open root."""
        context = self._context
        return SupervisedCheckout(
            self._store,
            self._app,
            context.runner,
            lambda: self.checkout(root),
            context.actor,
            context.progress,
        )

    def checkout(self, root: Root) -> CheckoutEngine:
        """Of an open root, with the history as it is now."""
        context = self._context
        return CheckoutEngine(
            context.recorder, root, context.state(), context.progress, self._released, self._approve
        )

    def _released(self) -> Wishes:
        """What releases want of the root."""
        from epmstore.refcat.release_goal import ReleaseWishes  # noqa: PLC0415 - start-up
        from epmstore.workspace.app.merged import merged_file  # noqa: PLC0415 - start-up
        from epmstore.workspace.app.verifying import (  # noqa: PLC0415 - start-up
            installed_release,
            verifier_of,
        )
        from epmstore.workspace.app.written_files import rendered_now  # noqa: PLC0415 - start-up

        context = self._context
        return ReleaseWishes(
            context.recorder,
            context.releases,
            lambda rendered: verifier_of(context, rendered),
            lambda: installed_release(context),
            lambda: rendered_now(context),
            lambda path, found, wanted: merged_file(context, path, found, wanted),
        )

    def _approve(self, prepared: Prepared, found: FoundRoot) -> None:
        """Raises NeedsError."""
        if self._context.releases.exists() and prepared.request.within is None:
            self._needs.approve(prepared, found)

    def check_needs(self, request: Request) -> None:
        """Raises NeedsError if a checkout of a whole release needs what is not there."""
        goal = request.goal
        if isinstance(goal, ReleaseGoal) and request.action == "checkout" and not request.scope:
            self._needs.check(goal.release)

    @property
    def _needs(self) -> "Needs":
        from epmstore.workspace.app.needs import Needs  # noqa: PLC0415 - start-up

        return Needs(self._context)

    def _check_contents(self, plan: Prepared, sources: Sequence[Path] = ()) -> bool:
        """Whether preflight is to look for contents. Raises as `Supplying.check`."""
        if plan.supply is None or sources:
            plan = self.supplied(plan, sources)
        if plan.supply is None:
            return True
        is_released = isinstance(plan.request.goal, ReleaseGoal)
        if not is_released and not self._context.remotes() and plan.supply.lacking:
            return True  # which says it
        self._supplying.check(plan, plan.supply)
        return False

    @property
    def _supplying(self) -> "Supplying":
        from epmstore.workspace.app.supplying import Supplying  # noqa: PLC0415 - start-up

        return Supplying(self._context)

    def _check_plan(self, plan: Prepared) -> None:
        """Raises UsageError, NotRestorableError."""
        if plan.app != self._app.uuid:
            raise UsageError(f"the plan is for another application than {self._app.key}")
        number = version_of(plan.request.goal)
        if number is not None:
            self._context.trees.restorable(number)

    def _check_owed(self, request: Request) -> bool:
        """Whether a confirmation is waited for that this decides: the undo of what it is about.
        Raises ConflictError for anything else that is owed.
        """
        owed = owed_by(self._store, self._app.uuid)
        if owed is None:
            return False
        if owed.phase != "CONFIRMING":
            raise ConflictError(
                f"a checkout of {self._app.key} to {owed.goal} did not come to its end: the"
                " application may have to be started",
                hint=f"`epmstore recover --app {self._app.key}`",
            )
        if request.action == "undo" and request.within == (owed.from_, owed.version):
            return True
        raise ConflictError(
            f"version {owed.version} of {self._app.key} waits to be confirmed",
            hint=f"`epmstore confirm --app {self._app.key}`, or `epmstore undo` takes it back",
        )

    def _hold_after(self, request: Request, done: CompletedCheckout) -> bool:
        """Whether it holds the application, as a rollback does; an undo of that ends it."""
        if done.applied is None:
            return False
        if request.action == "undo" and request.within is not None:
            end_hold_of(self._context, request.within[1])
        return request.action == "rollback"
