"""A change that is made to a root on purpose: recorded before, left alone while it lasts, recorded
after as one.

`run` holds the app's lock for as long as the command runs. What it runs is durable before the
command begins, so that the next recording of the root says whose doing that was, whatever became of
`run`. `begin` and `end` do the same across processes with a small file, which keeps the daemon
from recording the parts.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from epmstore.atomic import read_file, remove_file, replace_read
from epmstore.catalog.model import RecordedActor
from epmstore.errors import ConflictError, DamagedError, UsageError
from epmstore.relpath import text_from_json, text_to_json
from epmstore.store.store import Store

LIMIT = 1 << 16
RUN_LIMIT = 1 << 24
LONGEST_COMMAND = 1 << 14
"""Characters of a command that are recorded of it."""


class ChangeOpenError(ConflictError):
    """A change is open, and nothing is to be recorded before its end."""

    code = "change_open"


class OpenChange(msgspec.Struct, frozen=True):
    """A change that was begun and has not ended."""

    since: str
    label: str | None = None
    actor: RecordedActor | None = None


class StartedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A command that was run and whose changes are not recorded yet. `id` is the transaction id of
    the version that they become; `exit_status` is None until the command has ended, and stays so if
    no process lived to see that.
    """

    id: str
    since: str | None = None
    command: tuple[str, ...] = ()
    label: str | None = None
    actor: RecordedActor | None = None
    exit_status: int | None = None


def marker(store: Store, app: str) -> Path:
    return store.journals / f"{app}.change"


def find(store: Store, app: str) -> OpenChange | None:
    """Raises DamagedError."""
    path = marker(store, app)
    try:
        return _parse(read_file(path, LIMIT))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError):
        raise DamagedError(
            f"{path.name} is damaged", hint="`epmstore change end` closes it", file=path.name
        ) from None


def _parse(data: bytes) -> OpenChange:
    return msgspec.json.decode(data, type=OpenChange)


def check_closed(store: Store, app: str) -> None:
    """Raises ChangeOpenError, DamagedError."""
    found = find(store, app)
    if found is not None:
        raise ChangeOpenError(
            f"a change is open since {found.since}: {found.label or 'no label'}",
            hint="close it with `epmstore change end`",
        )


def begin(store: Store, app: str, change: OpenChange) -> None:
    """Durable. Raises ChangeOpenError if one is open already."""
    check_closed(store, app)
    replace_read(marker(store, app), msgspec.json.encode(change), _parse)


def end(store: Store, app: str) -> None:
    """Forget that a change was open."""
    remove_file(marker(store, app))


def check_label(label: str | None) -> None:
    """Raises UsageError for a label that no catalog can hold."""
    try:
        (label or "").encode()
    except UnicodeEncodeError:
        raise UsageError("the label is not UTF-8") from None


def note_run(store: Store, app: str, run: StartedRun) -> None:
    """Durable: before the command begins, and once more when it has ended. Under the app's lock.
    Raises UsageError for a label that no catalog can hold, which is to be known before.
    """
    command = tuple(map(text_to_json, shortened(run.command)))
    try:
        data = msgspec.json.encode(msgspec.structs.replace(run, command=command))
    except UnicodeEncodeError:
        raise UsageError("the label is not UTF-8") from None
    replace_read(_run_file(store, app), data, _parse_run)


def shortened(command: Sequence[str]) -> tuple[str, ...]:
    """A command as it is recorded: whole, unless it has thousands of arguments."""
    room = LONGEST_COMMAND
    kept: list[str] = []
    for word in command:
        if len(word) > room:
            return (*kept, word[:room] + "...")
        kept.append(word)
        room -= len(word)
    return tuple(kept)


def find_run(store: Store, app: str) -> StartedRun | None:
    """The command that is being run, or, for who holds the app's lock, one whose `run` did not
    live to record it. Of a damaged file no more is known than that there was one.
    """
    try:
        data = read_file(_run_file(store, app), RUN_LIMIT)
    except FileNotFoundError:
        return None
    try:
        found = _parse_run(data)
    except (ValueError, RecursionError):
        return StartedRun(id=hashlib.sha256(data).hexdigest()[:32])
    return msgspec.structs.replace(found, command=tuple(map(text_from_json, found.command)))


def _parse_run(data: bytes) -> StartedRun:
    return msgspec.json.decode(data, type=StartedRun)


def forget_run(store: Store, app: str) -> None:
    """It is recorded, or never began."""
    remove_file(_run_file(store, app))


def _run_file(store: Store, app: str) -> Path:
    return store.journals / f"{app}.run"
