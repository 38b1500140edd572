"""Ending what a checkout has left: its journal, and what it owes. Under the application's lock."""

from epmstore.catalog.hooks import HookRun
from epmstore.checkout.apply import Applier
from epmstore.checkout.obligations import Owed, owed_by
from epmstore.record.result import Result
from epmstore.record.root import Root
from epmstore.workspace.app.acting import Acting
from epmstore.workspace.app.asked import Recovery
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.app.results import done_result, recovered_result


class Recovering:
    """Of the open root of one application."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._acting = Acting(context)

    def recover(self, root: Root, what: Recovery) -> Result | None:
        """Finish or take back an interrupted checkout, and do what is owed around it. Raises
        HookError.
        """
        key, recorder = self._context.app.key, self._context.recorder
        applied = Applier(recorder, root, self._context.progress).recover()
        # before the application is started: what it writes then is no part of the question
        look = None if applied is None else recorder.status(root)
        hooks = self._pay(root, what)
        if applied is not None and look is not None:
            return recovered_result(key, applied, look, hooks or ())
        if hooks is None:
            return None
        head = self._context.state().versions[-1].version
        return Result(app=key, action="recover", changed=False, version=head, hooks=hooks)

    def take_back(self, root: Root, owed: Owed) -> Result:
        """Undo a checkout that was not confirmed in time."""
        done, _ = self._acting.supervised(root).take_back(owed, "not confirmed in time")
        return done_result(self._context.app.key, "undo", done, held=True)

    def _pay(self, root: Root, what: Recovery) -> tuple[HookRun, ...] | None:
        """Do what is owed; the hooks that ran, None if there was nothing to do."""
        owed = owed_by(self._context.store, self._context.app.uuid)
        if owed is None or owed.transaction or what == "tree":
            return None  # with others: that needs the locks of all of them
        checkout = self._acting.supervised(root)
        if what == "boot" and checkout.is_same_boot(owed):
            return None  # the application may run, and without hooks it cannot be stopped
        if owed.phase == "CONFIRMING" and checkout.seconds_left(owed) > 0:
            return None
        return tuple(checkout.recover(owed, hooks=what == "all").runs)
