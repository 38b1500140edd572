"""What is owed after a checkout: confirming it, undoing what nobody confirmed; and holding an
application still.
"""

import msgspec

from epmstore.catalog.model import HoldRecord
from epmstore.checkout.goal import version_of
from epmstore.checkout.obligations import Owed, elapsed, moment, owed_file, seconds_left
from epmstore.clock import from_rfc3339, to_rfc3339
from epmstore.errors import BusyError, DamagedError, NotFoundError
from epmstore.reckon import Reckoning
from epmstore.record.result import Result
from epmstore.record.root import open_root
from epmstore.store.commit import commit_hold
from epmstore.store.reckoned import reckon
from epmstore.workspace.live import Live
from epmstore.workspace.results import done_result


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A checkout that waits to be confirmed: from `from_` to `version`, the content of `of`.
    `until` is when its time is over, as far as the clock can tell, and stays so afterwards;
    `seconds` are left until then.
    """

    from_: int = msgspec.field(name="from")
    version: int | None
    of: int | None
    until: str
    seconds: float


class Aftermath(msgspec.Struct, frozen=True, kw_only=True):
    """What is still to come of an application's checkouts: what waits to be confirmed, what keeps
    automation away, and a checkout that did not come to its end; and the time that may be relied
    upon, where the clock is in doubt.
    """

    pending: Pending | None = None
    hold: HoldRecord | None = None
    unfinished: Owed | None = None
    clock: Reckoning | None = None


class Owing(Live):
    """The verbs that come after a checkout of one application."""

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
        )

    def aftermath(self) -> Aftermath:
        """Writes nothing. Raises DamagedError."""
        try:
            unfinished = self.left_behind()
        except BusyError:
            unfinished = None  # it is under way
        clock = reckon(self._store)
        return Aftermath(
            pending=self.pending,
            hold=self.hold_in_force(),
            unfinished=unfinished,
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

    def confirm(self) -> int | None:
        """It is good, and stays: the version. Raises NotFoundError if nothing waits for that,
        BusyError.
        """
        with self._store.lock_app(self.app.uuid):
            owed = self.owed
            if owed is None or owed.phase != "CONFIRMING":
                raise NotFoundError(
                    f"no checkout of {self.app.key} waits to be confirmed",
                    hint="`epmstore log` shows whether it was undone already",
                    app=self.app.key,
                )
            owed_file(self._store, self.app.uuid).drop()
        return owed.version

    def undo_unconfirmed(self) -> Result | None:
        """Take a checkout back that was not confirmed in time, with the application's hooks around
        it. Null if that is not so (any more). Raises as `undo`; then it is still owed.
        """
        with self._store.lock_app(self.app.uuid), open_root(self.app) as root:
            owed = self.owed
            if owed is None or not self.is_expired:
                return None
            done, _ = self._around(root).take_back(owed, "not confirmed in time")
        return done_result(self.app.key, "undo", done, held=True)

    def left_behind(self) -> Owed | None:
        """What a checkout owes that is not running any more, other than a confirmation. Raises
        BusyError if one is running, DamagedError.
        """
        owed = self.owed
        if owed is None or owed.phase == "CONFIRMING":
            return None
        with self._store.lock_app(self.app.uuid, wait=0):
            owed = self.owed
        return None if owed is None or owed.phase == "CONFIRMING" else owed

    def hold(self, reason: str | None = None, until: str | None = None) -> None:
        """Keep automation from moving this application. `until` is a time in RFC 3339. Raises
        UsageError for what is none.
        """
        if until is not None:
            from_rfc3339(until)
        commit_hold(
            self._store, self.app.uuid, self._recorder.actor, held=True, reason=reason, until=until
        )

    def unhold(self) -> None:
        """Let automation go on. Raises NotFoundError if it is not held."""
        if self.state().hold is None:
            raise NotFoundError(f"{self.app.key} is not held", app=self.app.key)
        commit_hold(self._store, self.app.uuid, self._recorder.actor, held=False)
