"""The verbs that change a live root: plan, checkout, rollback, undo and their kin."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from epmstore.catalog.appcat import App
from epmstore.checkout.apply import Applied, Applier
from epmstore.checkout.journal import Journal
from epmstore.checkout.plan import ConfigPolicy
from epmstore.checkout.preflight import Terms
from epmstore.checkout.run import Checkout, CheckoutAction, Done, Prepared, Request
from epmstore.checkout.target import Exported, export
from epmstore.checkout.undo import (
    Reversal,
    content_of,
    last_change,
    redo_target,
    rollback_target,
    undo_target,
)
from epmstore.errors import ConflictError, UsageError
from epmstore.locks import WAIT_SECONDS
from epmstore.progress import Progress
from epmstore.record.recorder import Look, Recorder
from epmstore.record.result import Result
from epmstore.record.root import Root, open_root
from epmstore.record.store import Store
from epmstore.relpath import RelPath
from epmstore.workspace.history import History, is_within


class Live(History):
    """Plans and changes of one application's root."""

    def __init__(self, store: Store, app: App, recorder: Recorder, progress: Progress) -> None:
        super().__init__(store, app)
        self._recorder = recorder
        self._progress = progress

    def plan(
        self,
        selector: str,
        paths: Sequence[RelPath] = (),
        *,
        exact: bool = False,
        config: ConfigPolicy = "keep",
    ) -> Prepared:
        """What `checkout` would do now. Writes nothing. Raises as `checkout`."""
        request = self._request(selector, paths, exact=exact, config=config)
        return self._plan(request)

    def plan_rollback(self, *, config: ConfigPolicy = "keep") -> Prepared:
        with open_root(self.app) as root:
            look = self._recorder.status(root)
            return self._checkout(root).plan(self._rollback_request(root, look, config), look)

    def plan_undo(self) -> Prepared:
        return self._plan(_reversal("undo", undo_target(self.versions())))

    def plan_redo(self) -> Prepared:
        return self._plan(_reversal("redo", redo_target(self.versions())))

    def checkout(
        self,
        selector: str,
        paths: Sequence[RelPath] = (),
        *,
        exact: bool = False,
        config: ConfigPolicy = "keep",
        live: bool = False,
        allow_network: bool = False,
    ) -> Result:
        """Bring the root, or some paths of it, to a version: recorded first, journaled, verified,
        undoable.

        Raises VersionNotFoundError, NotRestorableError, PathNotFoundError, ConflictError and its
        kin, DiskFullError, BusyError: then the root is as it was.
        """
        request = self._request(selector, paths, exact=exact, config=config)
        return self._carry_out(request, Terms(live=live, allow_network=allow_network))

    def apply(self, plan: Prepared, *, live: bool = False, allow_network: bool = False) -> Result:
        """Carry out a plan made earlier. Raises ChangedError if what it is about changed."""
        if plan.app != self.app.uuid:
            raise UsageError(f"the plan is for another application than {self.app.key}")
        self.restorable(str(plan.request.of))
        terms = Terms(live=live, allow_network=allow_network)
        return self._carry_out(plan.request, terms, expected=plan)

    def rollback(
        self, *, config: ConfigPolicy = "keep", live: bool = False, allow_network: bool = False
    ) -> Result:
        """To the last change if that brings something back, else to the one before what is live."""
        with self._locked_root() as root:
            look = self._recorder.status(root)
            request = self._rollback_request(root, look, config)
            return self._run(root, request, Terms(live=live, allow_network=allow_network))

    def undo(self, *, live: bool = False, allow_network: bool = False) -> Result:
        """Reverse the last checkout, rollback or repair. Raises NotFoundError, ChangedError."""
        request = _reversal("undo", undo_target(self.versions()))
        return self._carry_out(request, Terms(live=live, allow_network=allow_network))

    def redo(self, *, live: bool = False, allow_network: bool = False) -> Result:
        """Do again what was undone last. Raises NotFoundError, ChangedError."""
        request = _reversal("redo", redo_target(self.versions()))
        return self._carry_out(request, Terms(live=live, allow_network=allow_network))

    def export(self, selector: str, target: Path, paths: Sequence[RelPath] = ()) -> Exported:
        """A version, or some paths of it, as a folder of its own. Never looks at the live root."""
        version = self.restorable(selector)
        for path in paths:
            self.ls(selector, path)
        entries = self._checked_tree(version)
        wanted = [entry for entry in entries if is_within(entry.path, paths)]
        with self._store.keep_packs():
            purged = self._store.contents.purged()
            return export(target.absolute(), wanted, self._store.blobs, self._progress, purged)

    def recover(self, *, wait: float = WAIT_SECONDS) -> Result | None:
        """Finish or take back an interrupted checkout. Null if there was none, or it was taken
        back. Raises BusyError if one is still running after `wait` seconds, RootError.
        """
        with self._store.lock_app(self.app.uuid, wait=wait), open_root(self.app) as root:
            applied = Applier(self._recorder, root, self._progress).recover()
        return None if applied is None else self._recovered(applied)

    @property
    def is_interrupted(self) -> bool:
        """Whether a journal lies there."""
        return Journal(self._store.journal(self.app.uuid)).path.exists()

    def _request(
        self, selector: str, paths: Sequence[RelPath], *, exact: bool, config: ConfigPolicy
    ) -> Request:
        return Request(
            action="checkout",
            of=self.restorable(selector),
            scope=tuple(paths) or None,
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
            here = Request(action="rollback", of=content_of(versions, last), config=config)
            drifted = bool(self._checkout(root).plan(here, look).plan.steps)
        target = rollback_target(versions, drifted=drifted)
        return Request(action="rollback", of=self.restorable(str(target)), config=config)

    def _plan(self, request: Request) -> Prepared:
        with open_root(self.app) as root:
            return self._checkout(root).plan(request)

    def _carry_out(
        self, request: Request, terms: Terms, expected: Prepared | None = None
    ) -> Result:
        with self._locked_root() as root:
            return self._run(root, request, terms, expected)

    def _run(
        self, root: Root, request: Request, terms: Terms, expected: Prepared | None = None
    ) -> Result:
        action: CheckoutAction = "apply" if expected is not None else request.action
        return self._done(action, self._checkout(root).run(request, terms, expected))

    def _checkout(self, root: Root) -> Checkout:
        return Checkout(self._recorder, root, self.state(), self._progress)

    @contextmanager
    def _locked_root(self, wait: float = WAIT_SECONDS) -> Iterator[Root]:
        with self._store.lock_app(self.app.uuid, wait=wait), open_root(self.app) as root:
            if self.is_interrupted:
                raise ConflictError(
                    f"a checkout of {self.app.key} was interrupted", hint="`epmstore recover`"
                )
            yield root

    def _done(self, action: CheckoutAction, done: Done) -> Result:
        plan, applied, found = done.prepared.plan, done.applied, done.look
        left = tuple(applied.left.items()) if applied is not None else ()
        counts = applied.version.counts if applied is not None else plan.counts
        return Result(
            app=self.app.key,
            action=action,
            changed=applied is not None,
            from_=plan.from_,
            version=plan.from_ if applied is None else applied.version.version,
            of=plan.of,
            safety=done.safety,
            added=counts.added,
            modified=counts.modified,
            removed=counts.removed,
            kept=(*plan.kept, *left),
            skipped=tuple(found.found.skipped),
            unobserved=tuple(p for p in found.changes.problems if p.kind != "ignored"),
            not_restored=(
                *(f"{path}: {why}" for path, why in (*plan.refused, *plan.not_restored)),
                *_refused(applied),
            ),
            verified=None if applied is None else applied.verified,
            undo=None if applied is None else f"epmstore undo --app {self.app.key}",
        )

    def _recovered(self, applied: Applied) -> Result:
        counts = applied.version.counts
        return Result(
            app=self.app.key,
            action="recover",
            changed=True,
            from_=applied.version.from_,
            version=applied.version.version,
            of=applied.version.of,
            added=counts.added,
            modified=counts.modified,
            removed=counts.removed,
            kept=tuple(applied.left.items()),
            not_restored=tuple(_refused(applied)),
            verified=applied.verified,
            undo=f"epmstore undo --app {self.app.key}",
        )


def _refused(applied: Applied | None) -> Iterator[str]:
    for one in applied.refused if applied is not None else ():
        yield f"{one.path}: {', '.join(one.what)}"


def _reversal(action: CheckoutAction, found: Reversal) -> Request:
    return Request(action=action, of=found.to, within=(found.one, found.two))
