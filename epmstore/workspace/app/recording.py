"""`app.recording`: looking at the root, and recording it."""

import secrets
from collections.abc import Collection, Sequence

import msgspec

from epmstore import given
from epmstore.catalog.appcat import App
from epmstore.catalog.model import LabelRecord, Reason
from epmstore.errors import ConflictError, EpmError
from epmstore.locks import WAIT_SECONDS
from epmstore.record import change
from epmstore.record.doubt import Share
from epmstore.record.recorder import Intent, Look, Recorded
from epmstore.record.result import Action, Result
from epmstore.record.root import open_root
from epmstore.record.status import Status, make_status
from epmstore.record.unseen import unseen
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.app.running import as_label, check_startable, run_command

BEFORE = Intent(kind="drift", reason="scan")
"""What is recorded before a change begins."""


class Recording:
    """Versions of one application come from here, and from checkouts."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._store = context.store
        self._app = context.app

    def status(self) -> Status:
        """What a snapshot would record now. Writes nothing. Raises RootError, DamagedError."""
        return status_of(self._context, self._context.look())

    def snapshot(self, label: str | None = None) -> Result:
        """Record the root as a deliberate change. Raises RootError, BusyError, DamagedError."""
        intent = Intent(kind="change", reason="snapshot", label=label)
        with self._context.locked_root() as root:
            recorded = self._context.recorder.snapshot(root, intent)
        return recorded_result(self._app, "snapshot", recorded)

    def record_drift(
        self,
        reason: Reason,
        *,
        only: Collection[str] | None = None,
        contents: bool = True,
        wait: float = WAIT_SECONDS,
        again: Share | None = None,
        writing: frozenset[str] = frozenset(),
    ) -> Recorded:
        """Record what was not announced, in the folders `only` or in the whole root, as drift. For
        a program that watches the root: a change that is open is left alone. Without `contents` for
        a store that has no room: what changed is recorded as if it were `state`, until it has.
        `again`: files that are read even if nothing shows that they changed. `writing`: paths that
        are still being written; the version marks those that it has.

        Raises ChangeOpenError, BusyError after `wait` seconds, and as `snapshot`.
        """
        with self._context.locked_root(wait) as root:
            change.check_closed(self._store, self._app.uuid)
            return self._context.recorder.snapshot(
                root,
                Intent(kind="drift", reason=reason, writing=writing),
                only=only,
                contents=contents,
                again=again,
            )

    def run(self, command: Sequence[str], label: str | None = None) -> Result:
        """Run a command in this process's terminal, record what is there before it, and what it did
        as one labelled change with its exit status. No other process records or changes the root
        meanwhile.

        Whatever can refuse is asked first. If what it did cannot be recorded afterwards, the error
        says how it ended, and the next recording does that. Raises FileNotFoundError or
        PermissionError for a command that cannot be started.
        """
        command = given.texts(command, "the words of a command")
        text = label if label is not None else as_label(command)
        with self._store.lock_app(self._app.uuid):
            self.check_run(command, text)
            with open_root(self._app) as root:
                before = self._context.recorder.snapshot(root, BEFORE)
            status = self._run_noted(command, text)
            after = self._record_run(status)
        return recorded_result(self._app, "run", after, since=before, exit_status=status)

    def check_run(self, command: Sequence[str], label: str | None = None) -> None:
        """What would keep a command from being run and recorded, as far as it can be known. Raises
        as `run`.
        """
        command = given.texts(command, "the words of a command")
        change.check_label(label)
        self._context.check_uninterrupted()
        check_startable(command)

    def change_begin(self, label: str | None = None) -> Result:
        """Record what is there, and leave the root alone until the end. Raises ConflictError,
        UsageError.
        """
        change.check_label(label)
        with self._context.locked_root() as root:
            change.check_closed(self._store, self._app.uuid)
            recorded = self._context.recorder.snapshot(root, BEFORE)
            opened = change.OpenChange(self._context.now(), label, self._context.actor)
            change.begin(self._store, self._app.uuid, opened)
        return recorded_result(self._app, "snapshot", recorded)

    def change_end(self, label: str | None = None, exit_status: int | None = None) -> Result:
        """Record everything since `change_begin` as one change. Raises ConflictError if none is
        open.
        """
        change.check_label(label)
        with self._context.locked_root() as root:
            opened = change.find(self._store, self._app.uuid)
            if opened is None:
                raise ConflictError(
                    f"no change of {self._app.key} is open", hint="begin one: epmstore change begin"
                )
            first = opened.label or label
            intent = Intent(kind="change", reason="run", label=first, exit_status=exit_status)
            recorded = self._context.recorder.snapshot(root, intent)
            if label is not None and label != first:
                self._context.commit(
                    LabelRecord(
                        time=self._context.now(),
                        actor=self._context.actor,
                        version=recorded.version.version,
                        label=label,
                    )
                )
            change.end(self._store, self._app.uuid)
        return recorded_result(self._app, "run", recorded, exit_status=exit_status)

    def _record_run(self, status: int) -> Recorded:
        """Of a command that has ended. Raises with what there is to be done then."""
        try:
            with open_root(self._app) as root:  # anew: the command may have put another one there
                after = self._context.recorder.end_run(root)
        except (EpmError, OSError) as error:
            told = error if isinstance(error, EpmError) else EpmError(str(error))
            told.message = (
                f"the command exited with {status}, and what it did could not be recorded:"
                f" {told.message}"
            )
            then = f"`epmstore snapshot --app {self._app.key}` records it then, as what it is"
            told.hint = f"{told.hint}; {then}" if told.hint else then
            told.data["exit_status"] = status
            raise told from None
        assert after is not None, "it was noted, and the lock is held"
        return after

    def _run_noted(self, command: Sequence[str], label: str) -> int:
        """The exit status, which is durable as what is run was before: if this process does not
        live to record it, or cannot, the next recording does.
        """
        store, app = self._store, self._app.uuid
        run = change.StartedRun(
            id=secrets.token_hex(16),
            since=self._context.now(),
            command=tuple(command),
            label=label,
            actor=self._context.actor,
        )
        change.note_run(store, app, run)
        try:
            status = run_command(command)
        except OSError:
            change.forget_run(store, app)  # it never began
            raise
        change.note_run(store, app, msgspec.structs.replace(run, exit_status=status))
        return status


def status_of(context: AppContext, look: Look) -> Status:
    """What a look at the root shows, and whether a checkout was cut off there."""
    app = context.app
    return make_status(app.key, app.root, look, interrupted=context.is_cut_off())


def recorded_result(
    app: App,
    action: Action,
    recorded: Recorded,
    *,
    since: Recorded | None = None,
    exit_status: int | None = None,
) -> Result:
    """What a snapshot came to; `since` is the one that a change began with."""
    gaps, tally = unseen(recorded.look), recorded.look.changes.tally
    counts = tally.counts
    return Result(
        app=app.key,
        action=action,
        changed=recorded.is_new or recorded.is_labelled,
        from_=recorded.before,
        version=recorded.version.version,
        safety=since.version.version if since is not None and since.is_new else None,
        label=recorded.label,
        added=counts.added,
        modified=counts.modified,
        removed=counts.removed,
        folders=tally.folders,
        times=tally.times,
        skipped=gaps.skipped,
        unstable=gaps.unstable,
        unobserved=gaps.unobserved,
        collisions=tuple(recorded.collided),
        exit_status=exit_status,
    )
