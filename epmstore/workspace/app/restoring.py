"""`app.restoring`: bringing the root, or a folder elsewhere, to a tree; and undoing that."""

import os
from collections.abc import Sequence
from functools import partial
from typing import Unpack

import msgspec
from msgspec.structs import replace

from epmstore import given
from epmstore.catalog.installed import installed_at
from epmstore.checkout.goal import EditsGoal, ReleaseGoal, VersionGoal
from epmstore.checkout.lost import UnreadableContentsError
from epmstore.checkout.plan import ConfigPolicy
from epmstore.checkout.preflight import Terms
from epmstore.checkout.request import CheckoutAction, Prepared, Request, Supply
from epmstore.checkout.target import ExportedTree
from epmstore.checkout.undo import (
    content_of,
    last_change,
    product_target,
    rollback_target,
)
from epmstore.errors import UsageError
from epmstore.given import AnyPath, AnyVersion
from epmstore.record.recorder import Look
from epmstore.record.result import Result
from epmstore.record.root import Root, open_root
from epmstore.relpath import ROOT, RelPath
from epmstore.tree import Entry
from epmstore.workspace.app.acting import Acting
from epmstore.workspace.app.asked import TermsGiven
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.app.exporting import export_tree
from epmstore.workspace.app.transacting import (
    asking,
    carry_out_together,
    check_others,
    reversed_together,
)


class Restoring:
    """Each verb that changes the root has one that says what it would do now (`plan`, `plan_undo`
    ...), which writes nothing, and raises as the verb itself.
    """

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._acting = Acting(context)

    def plan(
        self,
        selector: AnyVersion,
        paths: Sequence[AnyPath] = (),
        *,
        exact: bool = False,
        config: ConfigPolicy = "keep",
    ) -> Prepared:
        """What `checkout` would do now."""
        return self._acting.plan(self._request(selector, paths, exact=exact, config=config))

    def checkout(
        self,
        selector: AnyVersion,
        paths: Sequence[AnyPath] = (),
        *,
        exact: bool = False,
        config: ConfigPolicy = "keep",
        **terms: Unpack[TermsGiven],
    ) -> Result:
        """Bring the root, or some paths of it, to a version or a release: recorded first,
        journaled, verified, undoable; with the application's hooks around it.

        Raises VersionNotFoundError, NotRestorableError, PathNotFoundError, ConflictError and its
        kin, NeedsError, DiskFullError, BusyError: then the root is as it was. HookError says what
        state it is in.
        """
        request = self._request(selector, paths, exact=exact, config=config)
        return self._acting.carry_out(request, Terms(**terms))

    def plan_edit(
        self, entries: Sequence[Entry], *, remove: Sequence[AnyPath] = (), label: str | None = None
    ) -> Prepared:
        """What `edit` would do now."""
        return self._acting.plan(_edit(entries, remove, label))

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
        with self._context.store.keep_packs():
            return self._acting.carry_out(_edit(entries, remove, label), Terms(**terms))

    def plan_rollback(
        self, *, config: ConfigPolicy = "keep", product: str | None = None
    ) -> Prepared:
        """What `rollback` would do now."""
        with open_root(self._context.app) as root:
            look = self._context.recorder.status(root)
            request = self._rollback(root, look, config, product)
            return self._acting.supplied(self._acting.checkout(root).plan(request, look))

    def rollback(
        self,
        *,
        config: ConfigPolicy = "keep",
        product: str | None = None,
        **terms: Unpack[TermsGiven],
    ) -> Result:
        """To the last change if that brings something back, else to the one before what is live;
        with a `product` (UUID), to the version before its last step: an upgrade, for one. From
        then on the application is held. Raises as `checkout`.
        """
        with self._context.locked_root() as root:
            look = self._context.recorder.status(root)
            request = self._rollback(root, look, config, product)
            return self._acting.run(root, request, Terms(**terms))

    def plan_undo(self) -> Prepared:
        """What `undo` would do now; `others` of it, what it would do elsewhere."""
        return self._plan_reversal("undo")

    def undo(self, **terms: Unpack[TermsGiven]) -> Result:
        """Reverse the last checkout, rollback or repair; with all that went together, that of all
        of them: `others` of the result says what it came to there. Raises NotFoundError,
        ChangedError; ConflictError if one of them was moved since.
        """
        return self._reverse("undo", Terms(**terms))

    def plan_redo(self) -> Prepared:
        """What `redo` would do now; `others` of it, what it would do elsewhere."""
        return self._plan_reversal("redo")

    def redo(self, **terms: Unpack[TermsGiven]) -> Result:
        """Do again what was undone last. Raises as `undo`."""
        return self._reverse("redo", Terms(**terms))

    def _plan_reversal(self, action: CheckoutAction) -> Prepared:
        asked = reversed_together(self._context, action)
        own = self._acting.plan(next(r for one, r in asked if one is self._context))
        others = [Acting(one).plan(r) for one, r in asked if one is not self._context]
        return replace(own, others=tuple(others))

    def _reverse(self, action: CheckoutAction, terms: Terms) -> Result:
        asked = reversed_together(self._context, action)
        if len(asked) == 1:
            return self._acting.carry_out(asked[0][1], terms)
        results = carry_out_together([(one, asking(one, r)) for one, r in asked], terms)
        key = self._context.app.key
        own = next(one for one in results if one.app == key)
        return replace(own, others=tuple(one for one in results if one is not own))

    def plan_apply(self, plan: Prepared) -> Prepared:
        """A plan made earlier, as it would be carried out now. Raises as `apply`."""
        _check_alone(plan)
        return self._acting.plan_again(self._completed_plan(plan))

    def apply(self, plan: Prepared, **terms: Unpack[TermsGiven]) -> Result:
        """Carry out a plan made earlier. Raises ChangedError if what it is about changed,
        UsageError for one of several applications: `undo` and `redo` carry those out.
        """
        _check_alone(plan)
        return self._acting.apply(self._completed_plan(plan), Terms(**terms))

    def _completed_plan(self, plan: Prepared) -> Prepared:
        """A file says nothing of what is installed and set."""
        return msgspec.structs.replace(plan, request=self._completed(plan.request))

    def check(
        self, plan: Prepared, *, sources: Sequence[AnyPath] = (), **terms: Unpack[TermsGiven]
    ) -> None:
        """What would keep a plan that was made just now from being carried out, as far as that can
        be known; `sources` are those of the repair that it is of. Writes nothing. Raises as
        `checkout`.
        """
        self._acting.check(plan, Terms(**terms), given.several_places(sources))
        check_others(self._context, plan, Terms(**terms))

    def check_later(self, plan: Prepared) -> None:
        """What would keep a plan from being carried out whenever that is, and whatever its terms
        are. Writes nothing. Raises as `checkout`.
        """
        self._acting.check_later(plan)

    def export(
        self,
        selector: AnyVersion,
        target: AnyPath,
        paths: Sequence[AnyPath] = (),
        *,
        dry_run: bool = False,
    ) -> ExportedTree:
        """A version or a release, or some paths of it, as a folder of its own. Never looks at the
        live root. A `dry_run` says what would come of it, and writes nothing. Raises as `ls`,
        NotRestorableError, ConflictError, DamagedError, OSError; UsageError for a place in the
        store.
        """
        context, place = self._context, given.a_place(target).absolute()
        store = os.path.realpath(context.store.path)
        if os.path.realpath(place).startswith(f"{store}/"):
            raise UsageError(f"{place} lies in the store", hint="name a folder elsewhere")
        source, scope = context.trees.restorable(selector), given.scope(paths)
        export = partial(export_tree, context.store, source, place, scope, context.progress)
        try:
            return export(dry_run=dry_run)
        except UnreadableContentsError as error:
            from epmstore.workspace.app.supplying import bring_back, fetch  # noqa: PLC0415 - start-up

            if dry_run:
                lost, remotes = error.contents, context.remotes
                if fetch(context.store, lost, remotes, context.progress, dry_run=True).lacking:
                    raise
                return export(dry_run=True, coming=lost)
            bring_back(context.store, error, context.remotes(), context.progress)
        return export(dry_run=False)

    def fetch(self, selector: AnyVersion, *, dry_run: bool = False) -> Supply:
        """Contents of a version or a release that are not here, or cannot be read as far as that is
        known, are brought: before a night without network. From where; what is nowhere is
        `lacking`. Raises as `ls`, NotRestorableError (it was forgotten), OSError.
        """
        from epmstore.workspace.app.supplying import fetch  # noqa: PLC0415 - start-up

        context = self._context
        wanted = [
            entry.content
            for entry in context.trees.restorable(selector).entries()
            if entry.content is not None and entry.path_class != "secret"
        ]
        remotes, progress = context.remotes, context.progress
        return fetch(context.store, wanted, remotes, progress, dry_run=dry_run)

    def _request(
        self, selector: AnyVersion, paths: Sequence[AnyPath], *, exact: bool, config: ConfigPolicy
    ) -> Request:
        source = self._context.trees.restorable(selector)
        request = Request(
            action="checkout",
            goal=source.goal,
            scope=given.scope(paths) or None,
            exact=exact,
            config=config,
            label=str(source) if source.is_foreign else None,
        )
        return self._completed(request)

    def _completed(self, request: Request) -> Request:
        if not isinstance(request.goal, ReleaseGoal):
            return request
        from epmstore.workspace.app.whole_release import completed  # noqa: PLC0415 - start-up

        return completed(self._context, request)

    def _rollback(
        self, root: Root, look: Look, config: ConfigPolicy, product: str | None
    ) -> Request:
        """Drift that a checkout would keep anyway (state, edited configuration, what was not
        recorded on purpose) is no reason to stop at the last change: nothing would come of it.
        """
        versions = self._context.state().versions
        if product is not None:
            target = product_target(versions, product)
            request = _rollback_to(self._context.trees.restorable_version(target), config)
            return self._with_parameters_of_now(request, target)
        drifted = False
        last = last_change(versions)
        if last is not None and (last.version != look.head.number or not look.changes.is_empty):
            here = _rollback_to(content_of(versions, last), config)
            drifted = bool(self._acting.checkout(root).plan(here, look).plan.steps)
        target = rollback_target(versions, drifted=drifted)
        return _rollback_to(self._context.trees.restorable_version(target), config)

    def _with_parameters_of_now(self, request: Request, target: int) -> Request:
        """What was set since stays set, and is written as the release of then has it. Raises
        ConflictError for what that does not allow.
        """
        from epmstore.workspace.app.rendered import rendered_with  # noqa: PLC0415 - start-up

        before = installed_at(self._context.state(), target)
        said, rendering = rendered_with(self._context, before)
        if said is None:
            return request
        return msgspec.structs.replace(request, parameters=said, rendering=rendering)


def _edit(entries: Sequence[Entry], remove: Sequence[AnyPath], label: str | None) -> Request:
    edits: list[tuple[RelPath, Entry | None]] = [(given.a_path(e.path), e) for e in entries]
    edits += [(given.a_path(path), None) for path in remove]
    if not edits or len(dict(edits)) < len(edits) or ROOT in dict(edits):
        raise UsageError("edits are of one path or more, each named once, and not of the root")
    return Request(action="edit", goal=EditsGoal(tuple(edits)), label=label)


def _check_alone(plan: Prepared) -> None:
    if plan.others:
        raise UsageError(
            f"a plan of several applications: {plan.request.action} carries it out",
            hint=f"`epmstore {plan.request.action} --app {plan.plan.app}`",
        )


def _rollback_to(version: int, config: ConfigPolicy) -> Request:
    return Request(action="rollback", goal=VersionGoal(version), config=config)
