"""`app.obligations`: what comes after a checkout: recovering an interrupted one, confirming one,
undoing what was not confirmed, and holding an application still.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from epmstore.catalog.model import HoldRecord
from epmstore.checkout.goal import version_of
from epmstore.checkout.obligations import (
    Owed,
    drop_void,
    elapsed,
    moment,
    owed_by,
    owed_file,
    seconds_left,
)
from epmstore.clock import from_rfc3339, to_rfc3339
from epmstore.errors import BusyError, DamagedError, NotFoundError
from epmstore.locks import WAIT_SECONDS
from epmstore.reckon import Reckoning
from epmstore.record.result import Result
from epmstore.record.root import open_root
from epmstore.store.commit import commit_hold
from epmstore.store.reckoned import reckon
from epmstore.workspace.app.asked import Recovery
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.app.holding import hold_in_force

if TYPE_CHECKING:  # start-up
    from epmstore.workspace.app.recovering import Recovering


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A checkout that waits to be confirmed: from `from_` to `version`, the content of `of`.
    `until` is when its time is over, as far as the clock can tell, and stays so afterwards;
    `seconds` are left until then. `transaction` are the keys of the applications that wait
    together, if this one is one of several.
    """

    from_: int = msgspec.field(name="from")
    version: int | None
    of: int | None
    until: str
    seconds: float
    transaction: tuple[str, ...] = ()


class Aftermath(msgspec.Struct, frozen=True, kw_only=True):
    """What is still to come of an application's checkouts: what waits to be confirmed, what keeps
    automation away, and a checkout that did not come to its end, with the keys of the applications
    that went together, if several did; and the time that may be relied upon, where the clock is in
    doubt.
    """

    pending: Pending | None = None
    hold: HoldRecord | None = None
    unfinished: Owed | None = None
    transaction: tuple[str, ...] = ()
    clock: Reckoning | None = None


class Obligations:
    """What a checkout left to be done: recovering it, confirming it, the hold. Mostly nothing."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._store = context.store
        self._app = context.app

    @property
    def is_interrupted(self) -> bool:
        """Whether a journal lies there: of a checkout that was cut off, or is under way."""
        return self._context.is_interrupted

    @property
    def owed(self) -> Owed | None:
        """What a checkout has still to do, or waits for. Raises DamagedError."""
        return owed_by(self._store, self._app.uuid)

    @property
    def pending(self) -> Pending | None:
        """What waits to be confirmed. Raises DamagedError."""
        owed = self.owed
        if owed is None or owed.phase != "CONFIRMING":
            return None
        now = moment(self._store.clock)
        return Pending(
            from_=owed.from_,
            version=owed.version,
            of=version_of(owed.goal),
            until=to_rfc3339(now.wall + (owed.confirm or 0.0) - elapsed(owed.since, now)),
            seconds=seconds_left(owed, now),
            transaction=self._keys_of(owed),
        )

    def _keys_of(self, owed: Owed | None) -> tuple[str, ...]:
        """Those of the applications that owe this together; none, if it is one alone."""
        apps = () if owed is None else owed.transaction
        return tuple(one.app.key for one in self._context.others(apps))

    def aftermath(self) -> Aftermath:
        """All that is still to come. Writes nothing. Raises DamagedError."""
        try:
            unfinished = self.left_behind()
        except BusyError:
            unfinished = None  # it is under way
        clock = reckon(self._store)
        return Aftermath(
            pending=self.pending,
            hold=self.hold_in_force(),
            unfinished=unfinished,
            transaction=self._keys_of(unfinished),
            clock=clock if clock.has_leapt else None,
        )

    @property
    def is_expired(self) -> bool:
        """Whether a confirmation was waited for, and did not come in time. What is damaged is not:
        `recover` and `status` say so.
        """
        try:
            pending = self.pending
        except DamagedError:
            return False
        return pending is not None and pending.seconds <= 0

    def left_behind(self) -> Owed | None:
        """What a checkout owes that is not running any more, other than a confirmation. Raises
        BusyError if one is running, DamagedError.
        """
        owed = self.owed
        if owed is None:
            self._drop_void()
        if owed is None or owed.phase == "CONFIRMING":
            return None
        with self._store.lock_app(self._app.uuid, wait=0):
            owed = self.owed
        return None if owed is None or owed.phase == "CONFIRMING" else owed

    def _drop_void(self) -> None:
        """What is there of a transaction that owes nothing any more."""
        if owed_file(self._store, self._app.uuid).path.exists():
            with (
                contextlib.suppress(BusyError, OSError),
                self._store.lock_app(self._app.uuid, wait=0),
            ):
                drop_void(self._store, self._app.uuid)

    def recover(self, *, wait: float = WAIT_SECONDS, what: Recovery = "all") -> Result | None:
        """Finish or take back an interrupted checkout, and do what is owed around it, also to the
        applications that went with this one. None if there was none, or it was taken back and no
        application had to be started.

        At boot, who is busy with it since this boot is not waited for: he may be starting the very
        application that waits for us. Raises BusyError if one is still running after `wait`
        seconds, RootError, HookError.
        """
        if what == "boot" and not self.is_interrupted and not self._is_owed_from_before:
            return None
        with self._store.lock_app(self._app.uuid, wait=wait), open_root(self._app) as root:
            result = self._recovering.recover(root, what)
        owed = self.owed
        if owed is None or not owed.transaction or what == "tree":
            return result
        return self._recover_together(owed, result, what, wait)

    def _recover_together(
        self, owed: Owed, result: Result | None, what: Recovery, wait: float
    ) -> Result | None:
        from epmstore.workspace.app.transacting import recover_owed  # noqa: PLC0415 - start-up

        paid = recover_owed(self._context, owed, what, wait=wait)
        if result is None or paid is None:
            return paid or result
        return msgspec.structs.replace(
            result, hooks=paid.hooks, transaction=paid.transaction, others=paid.others
        )

    def confirm(self, *, dry_run: bool = False) -> int | None:
        """It is good, and stays, with what went together with it: the version. Raises NotFoundError
        if nothing waits for that, BusyError.
        """
        with self._locked_together():
            owed = self.owed
            if owed is None or owed.phase != "CONFIRMING":
                raise NotFoundError(
                    f"no checkout of {self._app.key} waits to be confirmed",
                    hint="`epmstore log` shows whether it was undone already",
                    app=self._app.key,
                )
            if not dry_run:
                for one in owed.transaction or (self._app.uuid,):  # the first decides for all
                    owed_file(self._store, one).drop()
        return owed.version

    @contextlib.contextmanager
    def _locked_together(self) -> Iterator[None]:
        """With the applications that owe the same. Raises BusyError."""
        owed = self.owed
        with contextlib.ExitStack() as stack:
            for one in sorted((owed and owed.transaction) or (self._app.uuid,)):
                stack.enter_context(self._store.lock_app(one))
            yield

    def undo_unconfirmed(self) -> Result | None:
        """Take a checkout back that was not confirmed in time, with the application's hooks around
        it. None if that is not so (any more). Raises as `undo`; then it is still owed.
        """
        with self._store.lock_app(self._app.uuid), open_root(self._app) as root:
            owed = self.owed
            if owed is None or not self.is_expired:
                return None
            if not owed.transaction:
                return self._recovering.take_back(root, owed)
        return self.recover()

    def hold(self, reason: str | None = None, until: str | None = None) -> None:
        """Keep automation from moving this application. `until` is a time in RFC 3339. Raises
        UsageError for what is none.
        """
        if until is not None:
            from_rfc3339(until)
        self._commit_hold(held=True, reason=reason, until=until)

    def unhold(self, *, dry_run: bool = False) -> None:
        """Let automation go on. Raises NotFoundError if it is not held."""
        if self._context.state().hold is None:
            raise NotFoundError(f"{self._app.key} is not held", app=self._app.key)
        if not dry_run:
            self._commit_hold(held=False)

    def hold_in_force(self) -> HoldRecord | None:
        """The hold that keeps automation from moving this application now, if there is one."""
        return hold_in_force(self._context)

    def _commit_hold(
        self, *, held: bool, reason: str | None = None, until: str | None = None
    ) -> None:
        actor = self._context.actor
        commit_hold(self._store, self._app.uuid, actor, held=held, reason=reason, until=until)

    @property
    def _is_owed_from_before(self) -> bool:
        owed = self.owed
        return owed is not None and owed.since.boot != moment(self._store.clock).boot

    @property
    def _recovering(self) -> "Recovering":
        from epmstore.workspace.app.recovering import Recovering  # noqa: PLC0415 - start-up

        return Recovering(self._context)
