"""A checkout with what is around it: stop the application, bring the tree, start it, see that it is
well; and if it is not, undo all of that.

Everything that can be known before is looked at before the application is stopped. From the first
command on an Owed file says what is still to be done, so that the next command after a crash can do
it. Under the app's lock; the caller has ended any earlier journal and owes nothing.
"""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from epmstore import locks
from epmstore.catalog.appcat import App
from epmstore.catalog.hooks import HookRun, Hooks
from epmstore.catalog.model import RecordedActor
from epmstore.checkout.goal import Goal, VersionGoal
from epmstore.checkout.hook_process import CommandRunner
from epmstore.checkout.hook_report import hook_error, hook_shapes, report
from epmstore.checkout.hook_sequence import HookPhase, HookSequence
from epmstore.checkout.journal import Journal
from epmstore.checkout.obligations import (
    Moment,
    Owed,
    completed,
    hooks_afterwards,
    moment,
    owed_file,
    seconds_left,
)
from epmstore.checkout.preflight import Terms
from epmstore.checkout.request import Prepared, Request
from epmstore.checkout.run import CheckoutEngine, CompletedCheckout, new_txid
from epmstore.clock import to_rfc3339
from epmstore.errors import ConflictError, EpmError, HookError
from epmstore.places import DAEMON_LOCK
from epmstore.progress import SILENT, Progress
from epmstore.store.commit import commit_hold
from epmstore.store.store import Store

NO_HOOKS_HINT: Final = "`epmstore app set` changes hooks; --no-hooks goes without them"


class SupervisedCheckout:
    """What is around the checkouts of one application. `make` gives a CheckoutEngine of its root
    that knows the history as it is at the time.
    """

    def __init__(
        self,
        store: Store,
        app: App,
        runner: CommandRunner,
        make: Callable[[], CheckoutEngine],
        actor: RecordedActor | None,
        progress: Progress = SILENT,
    ) -> None:
        self._store = store
        self.app = app
        self._runner = runner
        self.make = make
        self._actor = actor
        self._progress = progress
        self.file = owed_file(store, app.uuid)

    # Forward.

    def check(
        self, prepared: Prepared, terms: Terms, hooks: Hooks, *, contents: bool = True
    ) -> None:
        """What would keep `run` from doing this, as far as it can be known. Writes nothing. Raises
        as `run`; without `contents`, the caller has looked whether all are stored.
        """
        if terms.confirm is not None:
            self.check_daemon()
        self.make().check(prepared, terms, in_use=not hooks.commands, contents=contents)
        if prepared.plan.steps:
            assert prepared.plan.from_ is not None, "there is a version to go to"
            owed = self.owed(prepared.request, terms, hooks, prepared.plan.from_)
            self.check_programs(self.sequence(hooks, "checkout", owed.from_, owed.goal))

    def run(
        self, request: Request, terms: Terms, hooks: Hooks, expected: Prepared | None = None
    ) -> CompletedCheckout:
        """Carry out a request; `hooks` have their limits. Raises as CheckoutEngine.run, with the
        application running as before; HookError, whose hint says what state everything is in.
        """
        if terms.confirm is not None:
            self.check_daemon()
        checkout = self.make()
        if not hooks.commands and terms.confirm is None:
            return checkout.run(request, terms, expected)
        prepared = checkout.plan(request, expected=expected)
        checkout.check(prepared, terms, in_use=False)
        if not prepared.plan.steps:
            return checkout.run(request, terms, prepared)
        assert prepared.plan.from_ is not None, "there is a version to go to"
        owed = self.owed(request, terms, hooks, prepared.plan.from_)
        sequence = self.sequence(hooks, "checkout", owed.from_, owed.goal)
        self.check_programs(sequence)
        self.file.save(owed)
        try:
            self._stop(sequence)
            done = checkout.run(request, terms, expected, txid=owed.txid)
        except HookError:
            raise
        except (Exception, KeyboardInterrupt) as error:
            self._after_error(sequence, error)
            raise
        return self._after(owed, done, sequence)

    def _after(
        self, owed: Owed, done: CompletedCheckout, sequence: HookSequence
    ) -> CompletedCheckout:
        """The tree is as it is to be: start, check, and wait for a confirmation."""
        if done.applied is None:  # what was to do is not to be done any more
            sequence.start()
            self.file.drop()
            return replace(done, hooks=tuple(sequence.runs))
        version = done.applied.version
        assert version.from_ is not None, "a checkout follows a version"
        owed = replace(owed, phase="STARTING", version=version.version, from_=version.from_)
        self.file.save(owed)
        is_left = hooks_afterwards(self._store, owed).commands
        failed = sequence.start() if is_left else None
        if failed is not None:
            raise self._undone(owed, failed, sequence.runs)
        return replace(
            done, hooks=tuple(sequence.runs), confirm_by=self._wait_for_confirmation(owed)
        )

    def _wait_for_confirmation(self, owed: Owed) -> str | None:
        """Until when, if one is asked for; else nothing is owed any more."""
        if owed.confirm is None:
            self.file.drop()
            return None
        now = self.now()
        self.file.save(replace(owed, phase="CONFIRMING", since=now))
        return to_rfc3339(now.wall + owed.confirm)

    def _stop(self, sequence: HookSequence) -> None:
        """Raises HookError; then the application was started again."""
        failed = sequence.stop()
        if failed is None or failed.ok:
            return
        again = sequence.start()
        self.file.drop()
        end = "and was started again" if again is None else f"and {again.hook} failed as well"
        raise hook_error(
            self.app.key,
            f"stop failed ({failed.why}), so nothing was changed",
            sequence.runs,
            hint=f"{self.app.key} was told to stop, {end}; {NO_HOOKS_HINT}",
            undone=None,
        )

    def _after_error(self, sequence: HookSequence, error: BaseException) -> None:
        """The tree is as before, unless there is a journal: then `recover` has to end it first."""
        if self._journal.path.exists():
            return
        sequence.start()
        self.file.drop()
        failed = [run for run in sequence.runs if not run.ok]
        if isinstance(error, EpmError):
            error.data["hooks"] = hook_shapes(sequence.runs)
            error.data["report"] = report(sequence.runs) if failed else ()

    # Back.

    def take_back(
        self, owed: Owed, why: str, *, hooks: bool = True
    ) -> tuple[CompletedCheckout, HookSequence]:
        """Undo a checkout, whatever became of its paths since. Raises EpmError, OSError; then it is
        still owed.
        """
        assert owed.version is not None, "it has made a version"
        owed = replace(owed, phase="UNDOING", txid=new_txid(), why=why)
        self.file.save(owed)
        return self._take_back(owed, hooks=hooks)

    def _take_back(self, owed: Owed, *, hooks: bool) -> tuple[CompletedCheckout, HookSequence]:
        assert owed.version is not None, "it has made a version"
        known = owed.hooks if hooks else Hooks()
        sequence = self.sequence(known, "undo", owed.version, owed.from_)
        sequence.stop()  # what is broken may refuse to stop: that must not keep the tree from it
        done = self.make().run(undo_request(owed), undo_terms(owed), txid=owed.txid)
        sequence.start()
        self.hold(owed)
        self.file.drop()
        return replace(done, hooks=tuple(sequence.runs)), sequence

    def hold(self, owed: Owed) -> None:
        """Automation must not try this again before a person has looked."""
        why, app = _undone_because(owed), self.app.uuid
        commit_hold(self._store, app, self._actor, held=True, reason=why, version=owed.version)

    def _undone(self, owed: Owed, failed: HookRun, before: Sequence[HookRun]) -> HookError:
        """The error that says what failed, and that it was undone, if it was."""
        why = f"{failed.hook} failed"
        said = f"{failed.hook} failed after the checkout of {owed.goal} ({failed.why})"
        try:
            done, sequence = self.take_back(owed, why)
        except (EpmError, OSError) as error:
            return hook_error(
                self.app.key,
                f"{said}, and it could not be undone: {error}",
                before,
                hint=f"the root is at version {owed.version} (content of {owed.goal}), and"
                f" {self.app.key} may be down; `epmstore recover` tries to undo it again",
                undone=False,
                version=owed.version,
            )
        number = done.prepared.plan.from_ if done.applied is None else done.applied.version.version
        bad = [run for run in sequence.runs if not run.ok]
        missed = [] if done.applied is None else sorted(done.applied.missed)
        root = "as it was before"
        if missed:
            root = f"not as it was before at {len(missed)} paths, {missed[0]!r} for one"
        state = (
            f"{self.app.key} is {root}, and runs"
            if not bad
            else f"the root is {root}, but {bad[-1].hook} failed again ({bad[-1].why})"
        )
        return hook_error(
            self.app.key,
            f"{said}; undone: version {owed.version} -> {number} (content of {owed.from_})",
            [*before, *sequence.runs],
            hint=f"{state}; `epmstore redo` brings {owed.goal} back once the cause is found",
            undone=True,
            version=number,
        )

    # After a crash.

    def recover(self, owed: Owed, *, hooks: bool) -> HookSequence:
        """Do what is still owed; there is no journal any more. Raises HookError."""
        done = self._store.entries.version_of_txid(self.app.uuid, owed.txid)
        number = None if done is None else done.version
        match owed.phase:
            case "STOPPING" if number is None:
                return self._restart(owed, hooks=hooks)
            case "STOPPING" | "STARTING":
                if done is not None:
                    owed = self.file.save(replace(completed(self._store, owed), phase="STARTING"))
                return self._start_late(owed, hooks=hooks)
            case "UNDOING" if number is None:
                return self._take_back(owed, hooks=hooks)[1]
            case "UNDOING":
                self.hold(owed)  # once more is no harm
                return self._restart(owed, hooks=hooks)
            case "CONFIRMING":
                return self.take_back(owed, "not confirmed in time", hooks=hooks)[1]

    def _restart(self, owed: Owed, *, hooks: bool) -> HookSequence:
        """The tree is the old one: only the start is owed."""
        wanted = owed.hooks if hooks and self.is_same_boot(owed) else Hooks()
        sequence = self.sequence(wanted, "recover", owed.goal, owed.from_)
        failed = sequence.start()
        self.file.drop()
        if failed is not None:
            raise hook_error(
                self.app.key,
                f"{failed.hook} failed after an interrupted checkout was taken back ({failed.why})",
                sequence.runs,
                hint=f"the root is as it was before, version {owed.from_}",
                undone=True,
            )
        return sequence

    def _start_late(self, owed: Owed, *, hooks: bool) -> HookSequence:
        """The tree is the new one. After a restart of the host, it is the host that starts."""
        wanted = Hooks()
        if hooks and self.is_same_boot(owed):
            wanted = hooks_afterwards(self._store, owed)
        sequence = self.sequence(wanted, "recover", owed.from_, owed.goal)
        failed = sequence.start()
        if failed is not None:
            raise self._undone(owed, failed, sequence.runs)
        self._wait_for_confirmation(owed)
        return sequence

    def is_same_boot(self, owed: Owed) -> bool:
        return owed.since.boot == self.now().boot

    def now(self) -> Moment:
        return moment(self._store.clock)

    def seconds_left(self, owed: Owed) -> float:
        """Until what waits for a confirmation is to be undone."""
        return seconds_left(owed, self.now())

    # Parts.

    @property
    def _journal(self) -> Journal:
        return Journal(self._store.journal(self.app.uuid))

    def sequence(
        self, hooks: Hooks, phase: HookPhase, from_: Goal | int, to: Goal | int
    ) -> HookSequence:
        """The hooks of this application, on the way from one version to another."""
        return HookSequence(
            self._runner, self.app, hooks, phase, from_=from_, to=to, progress=self._progress
        )

    def owed(
        self,
        request: Request,
        terms: Terms,
        hooks: Hooks,
        from_: int,
        *,
        txid: str | None = None,
        transaction: tuple[str, ...] = (),
    ) -> Owed:
        """What is owed from the moment on that the application is told to stop; with a
        `transaction` (UUIDs), to all of these together.
        """
        now = self.now()
        return Owed(
            app=self.app.uuid,
            key=self.app.key,
            phase="STOPPING",
            action=request.action,
            txid=txid or new_txid(),
            from_=from_,
            goal=request.goal,
            hooks=hooks,
            confirm=terms.confirm,
            since=now,
            time=to_rfc3339(now.wall),
            allow_network=terms.allow_network,
            actor=self._actor,
            transaction=transaction,
        )

    def check_daemon(self) -> None:
        """Raises ConflictError unless a daemon would undo what is not confirmed."""
        if not locks.is_held(self._store.path / "locks", DAEMON_LOCK):
            raise ConflictError(
                "nobody would undo it: no epmstored runs for this store",
                hint="start it (`systemctl start epmstored`, or `epmstored run`), or leave out"
                " --confirm",
            )

    def check_programs(self, sequence: HookSequence) -> None:
        """Raises HookError."""
        missing = sequence.missing()
        if missing:
            raise hook_error(
                self.app.key,
                f"the {missing[0].hook} hook cannot be run: {missing[0].why}",
                missing,
                hint=f"nothing was changed; {NO_HOOKS_HINT}",
                undone=None,
            )


def undo_request(owed: Owed) -> Request:
    """What takes back that something was done: whatever became of its paths since."""
    assert owed.version is not None, "it has made a version"
    return Request(
        action="undo",
        goal=VersionGoal(owed.from_),
        within=(owed.from_, owed.version),
        overwrite=True,
        label=_undone_because(owed),
    )


def undo_terms(owed: Owed) -> Terms:
    """Those of the checkout, and programs that still run are no reason not to undo it."""
    return Terms(live=True, allow_network=owed.allow_network)


def _undone_because(owed: Owed) -> str:
    return f"undone by itself: {owed.why}"


def with_limits(hooks: Hooks, terms: Terms) -> Hooks:
    """Hooks that all have limits: their own, else those of the terms; none if none are wanted."""
    if not terms.hooks:
        return Hooks()
    return replace(
        hooks,
        timeout=hooks.timeout or terms.hook_timeout,
        health_timeout=hooks.health_timeout or terms.health_timeout,
    )
