"""Checkouts of several applications, of which all are done or none: one transaction.

    plan       each, and look at everything that could stop it, before anything is written
    stage      each; the journals say PLANNED
    owe        one file for each, before the first is stopped
    stop       in reverse order of need; what an application wrote while it stopped is staged anew
    decide     one file (transaction.py): from here on all go forward, also after a crash
    switch     each; one that cannot be reached any more keeps no other from it, and none starts
    start      in the order of need, with health; if one fails, all are undone by one transaction

The caller holds the locks of all of them, and keeps packs; their roots are open, nothing of an
earlier checkout is left there, and nothing is owed to them.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from epmstore.catalog.hooks import HookRun, Hooks
from epmstore.checkout.hook_report import hook_error, hook_shapes, report
from epmstore.checkout.hook_sequence import HookSequence
from epmstore.checkout.obligations import Owed, completed, hooks_afterwards
from epmstore.checkout.participant import Participant
from epmstore.checkout.preflight import Terms, check_space_for_all
from epmstore.checkout.run import CompletedCheckout, new_txid
from epmstore.checkout.supervised import (
    NO_HOOKS_HINT,
    SupervisedCheckout,
    undo_request,
    undo_terms,
)
from epmstore.checkout.transaction import Decision, TransactionFile
from epmstore.clock import to_rfc3339
from epmstore.errors import EpmError, HookError
from epmstore.record.root import Root
from epmstore.store.store import Store

SEVERAL = 2
TransactionWay: TypeAlias = Literal["checkout", "undo"]


class Together:
    """Carries out the parts of one transaction, given in the order of need."""

    def __init__(
        self,
        store: Store,
        parts: Sequence[Participant],
        terms: Terms,
        *,
        txid: str | None = None,
        way: TransactionWay = "checkout",
    ) -> None:
        """With the `way` "undo", hooks that fail hinder nothing, and who calls sees to what is
        owed.
        """
        self._store = store
        self._all = parts
        self._parts: list[Participant] = []
        self._terms = terms
        self._txid = txid or new_txid()
        self._way = way
        self._file = TransactionFile(store, self._txid)
        self._owed: dict[str, Owed] = {}
        self._is_decided = False

    def run(self) -> list[CompletedCheckout]:
        """What came of each. Raises as CheckoutEngine.run, with all roots as they were, and all
        applications running as before; HookError, whose hint says what state everything is in;
        EpmError if a root could not be reached any more.
        """
        self._plan()
        if self._way == "checkout" and len(self._parts) < SEVERAL:
            for part in self._all:
                part.done = part.checkout.run(part.request, self._terms, part.hooks)
            return self._done()
        for part in self._all:
            if part not in self._parts:
                part.leave(self._terms)
        if not self._parts:
            return self._done()
        try:
            for part in self._parts:
                part.stage(self._terms, self._txid, self._apps)
            self._owe()
            self._stop()
            self._decide()
        except (Exception, KeyboardInterrupt) as error:
            self._back(error)
            raise
        self._switch()
        self._start()
        return self._done()

    @property
    def _apps(self) -> tuple[str, ...]:
        return tuple(part.app for part in self._parts)

    def _done(self) -> list[CompletedCheckout]:
        return [part.done for part in self._all if part.done is not None]

    def _plan(self) -> None:
        if self._terms.confirm is not None:
            self._all[0].checkout.check_daemon()
        plans = []
        for part in self._all:
            prepared = part.plan(self._terms)
            plans.append((Path(part.checkout.app.root), prepared.plan))
            if prepared.is_anything:
                self._parts.append(part)
                assert prepared.plan.from_ is not None, "there is a version to go to"
                sequence = self._sequence(part, prepared.plan.from_)
                if self._way == "checkout":
                    part.checkout.check_programs(sequence)
        check_space_for_all(plans)

    def _sequence(self, part: Participant, from_: int) -> HookSequence:
        return part.checkout.sequence(part.hooks, self._way, from_, part.request.goal)

    def _owe(self) -> None:
        is_any = self._terms.confirm is not None or any(p.hooks.commands for p in self._parts)
        if self._way == "undo" or not is_any:
            return
        for part in self._parts:
            header = part.begun.header
            assert header is not None and header.from_ is not None, "it is staged"
            self._owed[part.app] = part.checkout.owed(
                part.request,
                self._terms,
                part.hooks,
                header.from_,
                txid=self._txid,
                transaction=self._apps,
            )
        # All of them before the first is stopped: as long as one lacks, nothing is owed.
        for part in self._parts:
            part.checkout.file.save(self._owed[part.app])

    def _stop(self) -> None:
        for part in reversed(self._parts):
            assert part.begun.header is not None, "it is staged"
            part.sequence = self._sequence(part, part.begun.header.base)
            failed = part.sequence.stop()
            if failed is not None and not failed.ok and self._way == "checkout":
                raise hook_error(
                    part.key,
                    f"stop failed ({failed.why}), so nothing was changed",
                    self._runs(),
                    hint=f"who was told to stop was told to start again; {NO_HOOKS_HINT}",
                    undone=None,
                )
        for part in self._parts:
            if part.hooks.stop is not None:
                part.stage_again(self._terms, self._txid, self._apps)

    def _runs(self) -> list[HookRun]:
        return [run for part in self._parts for run in part.runs]

    def _decide(self) -> None:
        """From the moment on that this is durable, everything goes forward."""
        members = tuple(part.member for part in self._parts)
        time = to_rfc3339(self._store.clock.now())
        self._is_decided = True
        try:
            self._file.save(Decision(self._txid, time, members))
        except BaseException:
            self._file.drop()  # if that fails, too, recovery decides by what is there
            self._is_decided = False
            raise

    def _back(self, error: BaseException) -> None:
        """All trees are as before: what was stopped is started again."""
        if self._is_decided:
            return
        for part in self._parts:
            part.give_up()
        if self._way == "undo":
            return
        for part in self._parts:
            if part.sequence is not None:
                part.sequence.start()
        for part in self._parts if self._owed else ():
            part.checkout.file.drop()
        if isinstance(error, EpmError) and self._runs():
            error.data["hooks"] = hook_shapes(self._runs())
            if isinstance(error, HookError) or any(not run.ok for run in self._runs()):
                error.data["report"] = report(self._runs())

    def _switch(self) -> None:
        """Raises EpmError for what could not be done, after all else was."""
        failed: dict[str, EpmError | OSError] = {}
        for act in (Participant.turn, Participant.finish):
            for part in self._parts:
                if part.key not in failed:
                    try:
                        act(part)
                    except (EpmError, OSError) as error:
                        failed[part.key] = error
            if not failed:  # no journal needs it any more
                with contextlib.suppress(OSError):
                    self._file.drop()
        if failed:
            raise _unreached(failed, [part.key for part in self._parts if part.key not in failed])

    def _start(self) -> None:
        """Start, check, and wait for a confirmation."""
        owing = [Owing(p.checkout, p.root, completed(self._store, o)) for p, o in self._owing()]
        for part in self._parts:
            failed = self._started(part)
            if failed is not None and owing:
                raise undone_error(self._store, owing, part.key, failed, self._runs())
        by = wait_for_confirmation(owing) if owing else None
        for part in self._parts:
            assert part.done is not None, "it is done"
            part.done = replace(part.done, hooks=tuple(part.runs), confirm_by=by)

    def _started(self, part: Participant) -> HookRun | None:
        """What failed, if anything did."""
        owed = self._owed.get(part.app)
        is_gone = owed is not None and not hooks_afterwards(self._store, owed).commands
        return None if is_gone or part.sequence is None else part.sequence.start()

    def _owing(self) -> list[tuple[Participant, Owed]]:
        return [(part, self._owed[part.app]) for part in self._parts if part.app in self._owed]


class Owing(msgspec.Struct, frozen=True):
    """An application, its open root, and what it owes with others."""

    checkout: SupervisedCheckout
    root: Root
    owed: Owed

    @property
    def key(self) -> str:
        """What people call it."""
        return self.checkout.app.key


def wait_for_confirmation(owing: Sequence[Owing]) -> str | None:
    """Until when, if one is asked for; else nothing is owed any more. The first file that changes,
    or goes, decides for all.
    """
    seconds, now = owing[0].owed.confirm, owing[0].checkout.now()
    if seconds is None:
        drop_all(owing)
        return None
    for one in owing:
        one.checkout.file.save(replace(one.owed, phase="CONFIRMING", since=now))
    return to_rfc3339(now.wall + seconds)


def drop_all(owing: Sequence[Owing]) -> None:
    """Nothing is owed any more."""
    for one in owing:
        one.checkout.file.drop()


def take_back(store: Store, owing: Sequence[Owing], why: str, *, hooks: bool) -> list[Participant]:
    """Undo what was done together, whatever became of it since, by one transaction. Raises
    EpmError, OSError; then it is still owed.
    """
    owing = [
        Owing(one.checkout, one.root, replace(one.owed, phase="UNDOING", why=why)) for one in owing
    ]
    for one in owing:
        one.checkout.file.save(one.owed)
    parts = [
        Participant(
            one.checkout, one.root, undo_request(one.owed), one.owed.hooks if hooks else Hooks()
        )
        for one in owing
        if one.owed.version is not None
    ]
    first = owing[0].owed
    Together(store, parts, undo_terms(first), txid=first.undo_txid, way="undo").run()
    for one in owing:
        if one.owed.version is None:  # what was decided was lost before it was done here
            _start_late(store, one, [], is_new=False, hooks=hooks)
    for one in owing:
        one.checkout.hold(one.owed)
    drop_all(owing)
    return parts


def undone_error(
    store: Store, owing: Sequence[Owing], key: str, failed: HookRun, before: Sequence[HookRun]
) -> HookError:
    """The error that says what failed, of which application, and that all of them were undone, if
    they were.
    """
    keys = ", ".join(one.key for one in owing)
    said = f"{failed.hook} failed after {keys} were changed together ({failed.why})"
    try:
        parts = take_back(store, owing, f"{failed.hook} of {key} failed", hooks=True)
    except (EpmError, OSError) as error:
        return hook_error(
            key,
            f"{said}, and they could not be undone: {error}",
            before,
            hint=f"they may be down; `epmstore recover --app {key}` tries to undo them again",
            undone=False,
            version=next(one.owed.version for one in owing if one.key == key),
        )
    bad = [f"{part.key}: {run.hook}" for part in parts for run in part.runs if not run.ok]
    missed = [f"{part.key}: {path}" for part in parts for path in part.missed]
    state = f"not as before: {missed[0]}" if missed else "all of them are as before"
    state += f", but {bad[-1]} failed again" if bad else ", and run"
    return hook_error(
        key,
        f"{said}; all of them were undone",
        [*before, *(run for part in parts for run in part.runs)],
        hint=f"{state}; `epmstore redo --app {key}` brings them back once the cause is found",
        undone=True,
        version=next(part.version for part in parts if part.key == key),
    )


def recover_together(store: Store, owing: Sequence[Owing], *, hooks: bool) -> list[HookRun]:
    """Do what is still owed; there is no journal any more of any of them. The hooks that ran.
    Raises HookError, and as `take_back`.
    """
    phase = owing[0].owed.phase
    if phase == "CONFIRMING":
        return _runs_of(take_back(store, owing, "not confirmed in time", hooks=hooks))
    if phase == "UNDOING":
        if not any(_is_done(store, one, one.owed.undo_txid) for one in owing):
            why = owing[0].owed.why or "it was not done"
            return _runs_of(take_back(store, owing, why, hooks=hooks))
        for one in owing:
            one.checkout.hold(one.owed)  # once more is no harm
    done = [_is_done(store, one, one.owed.txid) for one in owing]
    is_new = phase != "UNDOING" and any(done)
    if is_new and not all(done):
        return _runs_of(take_back(store, owing, "what was decided is lost", hooks=hooks))
    runs: list[HookRun] = []
    for one in owing:
        failed = _start_late(store, one, runs, is_new=is_new, hooks=hooks)
        if failed is not None and is_new:
            raise undone_error(store, owing, one.key, failed, runs)
    if is_new:
        wait_for_confirmation(owing)
    else:
        drop_all(owing)
    bad = [run for run in runs if not run.ok]
    if bad and not is_new:
        raise hook_error(
            ", ".join(one.key for one in owing),
            f"{bad[0].hook} failed after a checkout was taken back ({bad[0].why})",
            runs,
            hint="the roots are as they were before",
            undone=True,
        )
    return runs


def _start_late(
    store: Store, one: Owing, runs: list[HookRun], *, is_new: bool, hooks: bool
) -> HookRun | None:
    """After a restart of the host, it is the host that starts."""
    owed = one.owed
    wanted = Hooks()
    if hooks and one.checkout.is_same_boot(owed):
        wanted = hooks_afterwards(store, owed) if is_new else owed.hooks
    ends = (owed.from_, owed.goal) if is_new else (owed.goal, owed.from_)
    sequence = one.checkout.sequence(wanted, "recover", *ends)
    failed = sequence.start()
    runs += sequence.runs
    return failed


def _is_done(store: Store, one: Owing, txid: str) -> bool:
    return store.entries.version_of_txid(one.owed.app, txid) is not None


def _runs_of(parts: Sequence[Participant]) -> list[HookRun]:
    return [run for part in parts for run in part.runs]


def _unreached(failed: dict[str, EpmError | OSError], done: Sequence[str]) -> EpmError:
    names = ", ".join(failed)
    others = f"; {', '.join(done)} is done, and not started" if done else ""
    return EpmError(
        f"{names} could not be reached any more while it was changed:"
        f" {next(iter(failed.values()))}{others}",
        hint="`epmstore recover` finishes it once that can be reached",
        unfinished=list(failed),
        done=list(done),
    )
