"""Several applications of a store that are moved, undone and recovered by one transaction.

Locks are taken in the order of UUIDs, by all who take them; everything else goes in the order of
need. How it is done is epmstore/checkout's to know (together.py).
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from epmstore.catalog.appcat import App
from epmstore.catalog.model import VersionRecord
from epmstore.catalog.state import VersionInfo
from epmstore.checkout.apply import Applier
from epmstore.checkout.goal import VersionGoal
from epmstore.checkout.journal import Journal
from epmstore.checkout.obligations import Owed, drop_void, owed_by
from epmstore.checkout.preflight import Terms, check_space_for_all
from epmstore.checkout.request import CheckoutAction, Prepared, Request
from epmstore.checkout.together import Owing, Together, recover_together
from epmstore.checkout.undo import Reversal, redo_target, taken_back, undo_target
from epmstore.errors import BusyError, ConflictError, DamagedError, NotFoundError, RootError
from epmstore.locks import WAIT_SECONDS
from epmstore.record.result import Result
from epmstore.record.root import Root, open_root
from epmstore.store.store import Store
from epmstore.workspace.app.acting import Acting
from epmstore.workspace.app.asked import Recovery
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.app.results import recovered_result

Asking = Callable[[Root], Request]
"""What is asked of an application, once its root is locked."""


def carry_out_together(asked: Sequence[tuple[AppContext, Asking]], terms: Terms) -> list[Result]:
    """All of it, or nothing; who is needed first. Raises as `Acting.carry_out`."""
    contexts = [context for context, _ in asked]
    store = contexts[0].store
    with store.keep_packs(), _locked_roots(contexts) as roots:
        for context in contexts:
            context.check_uninterrupted()
        acting = [Acting(context) for context in contexts]
        parts = [
            act.part(roots[context.app.uuid], ask(roots[context.app.uuid]), terms)
            for act, (context, ask) in zip(acting, asked, strict=True)
        ]
        Together(store, parts, terms).run()
        keys = [part.key for part in parts if part.version is not None]
        return [act.end(part, keys) for act, part in zip(acting, parts, strict=True)]


def check_others(context: AppContext, plan: Prepared, terms: Terms) -> None:
    """What would keep the plans that go with one from being carried out, and whether there is room
    for all of them. Raises as `Acting.check`.
    """
    if not plan.others:
        return
    known = {one.app.uuid: one for one in context.others([one.app for one in plan.others])}
    for one in plan.others:
        Acting(known[one.app]).check(one, terms)
    places = [(Path(known[one.app].app.root), one.plan) for one in plan.others]
    check_space_for_all([(Path(context.app.root), plan.plan), *places])


@contextmanager
def _locked_roots(
    contexts: Sequence[AppContext], wait: float = WAIT_SECONDS
) -> Iterator[dict[str, Root]]:
    """The open roots, by UUID. Raises BusyError, RootError."""
    roots: dict[str, Root] = {}
    with ExitStack() as stack:
        for context in sorted(contexts, key=lambda one: one.app.uuid):
            stack.enter_context(context.store.lock_app(context.app.uuid, wait=wait))
        for context in contexts:
            roots[context.app.uuid] = stack.enter_context(open_root(context.app))
        yield roots


def reversal(context: AppContext, action: CheckoutAction) -> Request:
    """What `undo` or `redo` asks of one application. Raises NotFoundError."""
    found = _target(context, action)
    return Request(action=action, goal=VersionGoal(found.to), within=(found.one, found.two))


def asking(context: AppContext, request: Request) -> Asking:
    """To be asked for what was found without locks, if that is so with them. Raises ConflictError
    then.
    """

    def ask(root: Root) -> Request:
        if reversal(context, request.action) != request:
            raise ConflictError(
                f"{context.app.key} was changed while this was planned",
                hint="nothing was changed; try again",
            )
        return request

    return ask


def reversed_together(
    context: AppContext, action: CheckoutAction
) -> list[tuple[AppContext, Request]]:
    """What `undo` or `redo` of an application asks of all that went with it, who is needed first;
    of one that went alone, only of that. Raises NotFoundError; ConflictError if one of the others
    was moved since.
    """
    versions = context.state().versions
    record = _record(versions, _target(context, action), action)
    found = [
        (other, reversal(other, action))
        for other in context.others(record.transaction)
        if other is context or _has_to_go(other, record, action, context)
    ]
    return found if len(found) > 1 else [(context, reversal(context, action))]


def _target(context: AppContext, action: CheckoutAction) -> Reversal:
    versions = context.state().versions
    return undo_target(versions) if action == "undo" else redo_target(versions)


def _record(
    versions: Sequence[VersionInfo], found: Reversal, action: CheckoutAction
) -> VersionRecord:
    """What is undone, or done again."""
    number = found.two if action == "undo" else found.one
    return next(one.record for one in versions if one.version == number)


def _has_to_go(
    other: AppContext, record: VersionRecord, action: CheckoutAction, context: AppContext
) -> bool:
    """Whether it is to be taken back, or done again, in another application as well; not if that
    was done already. Raises ConflictError if more was done there since.
    """
    versions = other.state().versions
    done = [one for one in versions if one.record.txid == record.txid]
    if not done or (done[0].version in taken_back(versions)) == (action == "undo"):
        return False
    try:
        last = _record(versions, _target(other, action), action)
    except NotFoundError:
        last = done[0].record
    if last.txid == record.txid and last.version == done[0].version:
        return True
    key, mine = other.app.key, context.app.key
    to = _target(context, action).to
    raise ConflictError(
        f"{mine} and {key} were changed together, and {key} was changed again since"
        f" (version {last.version})",
        hint=f"`epmstore undo --app {key}` takes that back first; `epmstore checkout {to} --app"
        f" {mine}` brings {mine} back alone",
        app=key,
        version=last.version,
    )


def recover_owed(context: AppContext, owed: Owed, what: Recovery, *, wait: float) -> Result | None:
    """Do what an application owes with others, when the trees of all of them are whole. None if
    that is not due, or nothing is owed any more. Raises BusyError, RootError, HookError.
    """
    try:
        return _recover_owed(context, context.others(owed.transaction), what, wait)
    finally:
        _drop_of_removed(context, owed)


def check_removable(store: Store, app: App) -> None:
    """Raises ConflictError for an application that goes with others which have not ended, unless
    its root is gone: then they wait for it in vain.
    """
    try:
        loaded, owed = Journal(store.journal(app.uuid)).load(), owed_by(store, app.uuid)
    except DamagedError:
        return  # it is what keeps it from ending
    together = () if loaded is None else loaded.header.transaction
    if not together and owed is not None:
        together = owed.transaction
    if together:
        with contextlib.suppress(RootError), open_root(app):
            raise ConflictError(
                f"{app.key} was changed together with others, and that has not come to its end",
                hint=f"`epmstore recover --app {app.key}`, or `epmstore confirm --app {app.key}`",
                app=app.key,
            )


def _drop_of_removed(context: AppContext, owed: Owed) -> None:
    """What is left of applications that are not registered any more, once nothing is owed."""
    known = {one.app.uuid for one in context.others(owed.transaction)}
    for app in owed.transaction:
        if app not in known:
            with contextlib.suppress(BusyError), context.store.lock_app(app, wait=0):
                drop_void(context.store, app)


def _recover_owed(
    context: AppContext, contexts: Sequence[AppContext], what: Recovery, wait: float
) -> Result | None:
    store = context.store
    with store.keep_packs(), _locked_for_recovery(contexts, wait) as roots:
        others = [
            result
            for one in contexts
            if (result := _end_tree(one, roots[one.app.uuid])) is not None and one is not context
        ]
        owing = []
        for one in contexts:
            found = owed_by(store, one.app.uuid)
            if found is not None:
                root = roots[one.app.uuid]
                owing.append(Owing(Acting(one).supervised(root), root, found))
        if not owing or len(owing) < len(contexts):
            for one in contexts:
                drop_void(store, one.app.uuid)
            return None
        if not _is_due(owing[0], what):
            return None
        runs = recover_together(store, owing, hooks=what == "all")
    head = context.state().versions[-1].version
    return Result(
        app=context.app.key,
        action="recover",
        changed=False,
        version=head,
        hooks=tuple(runs),
        transaction=tuple(one.key for one in owing),
        others=tuple(others),
    )


@contextmanager
def _locked_for_recovery(contexts: Sequence[AppContext], wait: float) -> Iterator[dict[str, Root]]:
    try:
        with _locked_roots(contexts, wait) as roots:
            yield roots
    except RootError as error:
        keys = ", ".join(one.app.key for one in contexts)
        raise RootError(
            f"{error.message}; {keys} were changed together, and none is started",
            hint=error.hint,
            **error.data,
        ) from None


def _end_tree(context: AppContext, root: Root) -> Result | None:
    """Finish or take back what is left of a checkout."""
    recorder = context.recorder
    applied = Applier(recorder, root, context.progress).recover()
    return (
        None
        if applied is None
        else recovered_result(context.app.key, applied, recorder.status(root))
    )


def _is_due(one: Owing, what: Recovery) -> bool:
    if what == "boot" and one.checkout.is_same_boot(one.owed):
        return False  # it may run, and without hooks it cannot be stopped
    return one.owed.phase != "CONFIRMING" or one.checkout.seconds_left(one.owed) <= 0
