"""`ws.app(key)`: everything that can be done with one application. Thin: each verb names its use
case.
"""

import errno
import os
import secrets
import signal
import subprocess
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from epmstore import given, limits
from epmstore.catalog.appcat import App
from epmstore.catalog.model import LabelRecord, PinRecord, Reason, TagRecord
from epmstore.catalog.selector import check_tag
from epmstore.errors import ConflictError, EpmError, UsageError, VersionNotFoundError
from epmstore.given import AnyVersion
from epmstore.locks import WAIT_SECONDS
from epmstore.record import change
from epmstore.record.doubt import Share
from epmstore.record.recorder import Intent, Recorded
from epmstore.record.result import Action, Result
from epmstore.record.root import open_root
from epmstore.record.status import Status
from epmstore.record.unseen import unseen
from epmstore.store.commit import commit_fact
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.pending import Owing
from epmstore.workspace.releasing import Releasing
from epmstore.workspace.reporting import Reporting

BEFORE = Intent(kind="drift", reason="scan")
"""What is recorded before a change begins."""


class AppHandle(Releasing, Reporting, Owing):
    """One application of an open workspace."""

    def __init__(self, context: AppContext) -> None:
        super().__init__(context)
        self._actor = context.actor

    def status(self) -> Status:
        """What a snapshot would record now. Writes nothing. Raises RootError, DamagedError."""
        with open_root(self.app) as root:
            return self._status(self._recorder.status(root))

    def snapshot(self, label: str | None = None) -> Result:
        """Record the root as a deliberate change. Raises RootError, BusyError, DamagedError."""
        intent = Intent(kind="change", reason="snapshot", label=label)
        with self._context.locked_root() as root:
            return make_result(self.app, "snapshot", self._recorder.snapshot(root, intent))

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
        """Record what nobody announced, in the folders `only` or in the whole root, as drift. For
        whoever watches the root: a change that is open is left alone. Without `contents` for a
        store that has no room: what changed is recorded as if it were `state`, until it has.
        `again`: files that are read even if nothing shows that they changed. `writing`: paths that
        somebody is still writing; the version marks those that it has.

        Raises ChangeOpenError, BusyError after `wait` seconds, and as `snapshot`.
        """
        with self._context.locked_root(wait) as root:
            change.check_closed(self._store, self.app.uuid)
            intent = Intent(kind="drift", reason=reason, writing=writing)
            return self._recorder.snapshot(root, intent, only=only, contents=contents, again=again)

    def run(self, command: Sequence[str], label: str | None = None) -> Result:
        """Record what is there, run a command in this process's terminal, and record what it did as
        one labelled change with its exit status. Nobody else records or changes the root meanwhile.

        Whatever can refuse is asked first. If what it did cannot be recorded afterwards, the error
        says how it ended, and the next recording does that. Raises FileNotFoundError or
        PermissionError for a command that cannot be started.
        """
        command = given.texts(command, "the words of a command")
        text = label if label is not None else _as_label(command)
        with self._store.lock_app(self.app.uuid):
            self.check_run(command, text)
            with open_root(self.app) as root:
                before = self._recorder.snapshot(root, BEFORE)
            status = self._run_noted(command, text)
            after = self._record_run(status)
        return make_result(self.app, "run", after, since=before, exit_status=status)

    def check_run(self, command: Sequence[str], label: str | None = None) -> None:
        """What would keep a command from being run and recorded, as far as it can be known. Raises
        as `run`.
        """
        command = given.texts(command, "the words of a command")
        change.check_label(label)
        self._context.check_uninterrupted()
        check_startable(command)

    def _record_run(self, status: int) -> Recorded:
        """Of a command that has ended. Raises with what there is to be done then."""
        try:
            with open_root(self.app) as root:  # anew: the command may have put another one there
                after = self._recorder.end_run(root)
        except (EpmError, OSError) as error:
            told = error if isinstance(error, EpmError) else EpmError(str(error))
            told.message = (
                f"the command exited with {status}, and what it did could not be recorded:"
                f" {told.message}"
            )
            then = f"`epmstore snapshot --app {self.app.key}` records it then, as what it is"
            told.hint = f"{told.hint}; {then}" if told.hint else then
            told.data["exit_status"] = status
            raise told from None
        assert after is not None, "it was noted, and the lock is held"
        return after

    def _run_noted(self, command: Sequence[str], label: str) -> int:
        """The exit status, which is durable as what is run was before: if this process does not
        live to record it, or cannot, the next recording does.
        """
        store, app = self._store, self.app.uuid
        run = change.StartedRun(
            id=secrets.token_hex(16),
            since=self._context.now(),
            command=tuple(command),
            label=label,
            actor=self._actor,
        )
        change.note_run(store, app, run)
        try:
            status = run_command(command)
        except OSError:
            change.forget_run(store, app)  # it never began
            raise
        change.note_run(store, app, msgspec.structs.replace(run, exit_status=status))
        return status

    def started_run(self) -> change.StartedRun | None:
        """A command that is being run just now, or whose `run` was killed before it was recorded:
        the next recording does that.
        """
        return change.find_run(self._store, self.app.uuid)

    def change_begin(self, label: str | None = None) -> Result:
        """Record what is there, and leave the root alone until the end. Raises ConflictError,
        UsageError.
        """
        change.check_label(label)
        with self._context.locked_root() as root:
            change.check_closed(self._store, self.app.uuid)
            recorded = self._recorder.snapshot(root, BEFORE)
            opened = change.OpenChange(self._context.now(), label, self._actor)
            change.begin(self._store, self.app.uuid, opened)
        return make_result(self.app, "snapshot", recorded)

    def change_end(self, label: str | None = None, exit_status: int | None = None) -> Result:
        """Record everything since `change_begin` as one change. Raises ConflictError if none is
        open.
        """
        change.check_label(label)
        with self._context.locked_root() as root:
            opened = change.find(self._store, self.app.uuid)
            if opened is None:
                raise ConflictError(
                    f"no change of {self.app.key} is open", hint="begin one: epmstore change begin"
                )
            first = opened.label or label
            intent = Intent(kind="change", reason="run", label=first, exit_status=exit_status)
            recorded = self._recorder.snapshot(root, intent)
            if label not in (None, first):
                self._commit(
                    LabelRecord(
                        time=self._context.now(),
                        actor=self._actor,
                        version=recorded.version.version,
                        label=label,
                    )
                )
            change.end(self._store, self.app.uuid)
        return make_result(self.app, "run", recorded, exit_status=exit_status)

    def pin(self, selector: AnyVersion) -> int:
        """Keep a version from being forgotten. Raises VersionNotFoundError."""
        return self._set_pin(selector, True)

    def unpin(self, selector: AnyVersion) -> int:
        """Let retention decide again. Raises VersionNotFoundError."""
        return self._set_pin(selector, False)

    def tag(self, name: str, selector: AnyVersion) -> int:
        """Give a version a name; a name that another version has moves. Raises UsageError."""
        check_tag(name)
        version = self.version(selector)
        self._commit(
            TagRecord(time=self._context.now(), actor=self._actor, name=name, version=version)
        )
        return version

    def untag(self, name: str) -> None:
        """Drop a name. Raises VersionNotFoundError if no version has it."""
        if self.state().tagged(name) is None:
            raise VersionNotFoundError(f"no tag {name!r}", hint="`epmstore log` shows tags")
        self._commit(TagRecord(time=self._context.now(), actor=self._actor, name=name))

    def _set_pin(self, selector: AnyVersion, pinned: bool) -> int:
        version = self.version(selector)
        fact = PinRecord(
            time=self._context.now(), actor=self._actor, version=version, pinned=pinned
        )
        self._commit(fact)
        return version

    def _commit(self, fact: PinRecord | TagRecord | LabelRecord) -> None:
        commit_fact(self._store, self.app.uuid, fact)


def make_result(
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


def _as_label(command: Sequence[str]) -> str:
    """What log shows of a command that has no label. A catalog holds no text but UTF-8."""
    return os.fsencode(" ".join(change.shortened(command))).decode(errors="replace")


def check_startable(command: Sequence[str]) -> None:
    """Raises FileNotFoundError or PermissionError, as starting it would."""
    if not command:
        raise UsageError("a command has one word at least")
    folders = [""] if "/" in command[0] else os.get_exec_path()
    names = [os.path.join(folder, command[0]) for folder in folders]
    if any(os.path.isfile(name) and os.access(name, os.X_OK) for name in names):
        return
    is_there = os.path.dirname(command[0]) != "" and os.path.exists(command[0])
    number = errno.EACCES if is_there else errno.ENOENT
    raise OSError(number, os.strerror(number), command[0])


def run_command(command: Sequence[str]) -> int:
    """Run a command with this process's terminal; its exit status, 128 + n if a signal ended it.

    Ctrl-C is the command's: it gets the signal, too, and what it leaves behind is to be recorded.
    """
    with _interrupts_ignored():
        process = subprocess.Popen(command, umask=limits.umask_as_before())
        limits.allow_as_before(process.pid)
        status = process.wait()
    return status if status >= 0 else 128 - status


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """By this process alone: a handler, unlike SIG_IGN, is not inherited by a command."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is interrupted, and only it may say how
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
