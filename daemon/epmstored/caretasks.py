"""The tasks of care, each in a process of its own: `python -m epmstored.caretasks`.

They look at everything that was ever recorded, and only a process that ends gives all of its memory
back. What is to be done is read from standard input, what came of it is written to standard output,
as JSON; the daemon says it (care.py). A process ends with the daemon's thread that started it,
whatever it is doing: all of this is work that may be killed.
"""

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from epmstore.catalog.retention import Policy
from epmstore.child import die_with
from epmstore.config import CareConfig, RetentionConfig
from epmstore.errors import BusyError, DiskFullError, EpmError, NotFoundError
from epmstore.workspace import Workspace
from epmstore.workspace.actor import Actor
from epmstore.workspace.settings import SafeStores
from epmstored.schedule import CareTask

ACTOR: Final[Actor] = {"via": "daemon", "command": "epmstored"}
LINES: Final = 10
"""Findings of one kind that are said."""


class CareOrder(msgspec.Struct, frozen=True):
    store: str
    task: CareTask
    care: CareConfig
    retention: RetentionConfig
    parent: int


class Said(msgspec.Struct, frozen=True):
    """A line for the daemon's log; `level` as `logging` numbers them."""

    level: int
    text: str


class CareOutcome(msgspec.Struct, frozen=True):
    """What a task said, and whether it came to its end. One that did not, because another process
    is at work, says so and is tried again.
    """

    said: list[Said] = []
    done: bool = False


class TaskProcess:
    """Starts a task, and ends it if the daemon no longer waits for it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopped = False

    def run(self, order: CareOrder) -> CareOutcome:
        """Raises OSError, EpmError if the process died."""
        command = [sys.executable, "-I", "-m", "epmstored.caretasks"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
        ) as process:
            self._process = process
            if self._is_stopped:
                process.terminate()
            answer, _ = process.communicate(msgspec.json.encode(order))
        self._process = None
        try:
            return msgspec.json.decode(answer, type=CareOutcome)
        except msgspec.DecodeError:
            raise EpmError(f"the process ended with {process.returncode}") from None

    def stop(self) -> None:
        """From any thread."""
        self._is_stopped = True
        if self._process is not None:
            self._process.terminate()


def perform(workspace: Workspace, order: CareOrder) -> CareOutcome:
    """Do it here. Raises nothing that care can meet."""
    said: list[Said] = []
    try:
        TASKS[order.task](workspace, order, said)
    except BusyError as error:
        said.append(Said(logging.INFO, f"{order.task} waits: {error}"))
    except (EpmError, OSError) as error:
        said.append(Said(logging.ERROR, f"{order.task} failed: {error}"))
    else:
        return CareOutcome(said, done=True)
    return CareOutcome(said)


def _forget(workspace: Workspace, order: CareOrder, said: list[Said]) -> None:
    policy = policy_of(order.retention)
    if workspace.care.reckon().doubt is not None:
        said.append(Said(logging.INFO, "nothing is forgotten while the clock is in doubt"))
        return
    for app in workspace.apps.list():
        found = workspace.care.forget(app.key, policy)
        if found.versions:
            many = "version is" if len(found.versions) == 1 else "versions are"
            text = f"{app.key}: {len(found.versions)} {many} forgotten"
            said.append(Said(logging.INFO, text))


def _gc(workspace: Workspace, order: CareOrder, said: list[Said]) -> None:
    found = workspace.care.gc()
    if found.held:
        text = f"what {found.held} forgotten versions hold is kept for now"
        said.append(Said(logging.INFO, text))
    if found.freed or found.rewritten:
        text = f"{found.freed} bytes are freed, {found.rewritten} written anew"
        said.append(Said(logging.INFO, text))


def _data(workspace: Workspace, order: CareOrder, said: list[Said]) -> None:
    report = workspace.care.fsck_on(order.care.fsck_percent / 100)
    for finding in report.findings[:LINES]:
        text = f"{finding.kind}: {finding.file}: {finding.detail}"
        said.append(Said(logging.ERROR, text))
    if report.findings:
        count = len(report.findings)
        text = f"the store is damaged ({count} findings): epmstore fsck --repair"
        said.append(Said(logging.ERROR, text))


def _drill(workspace: Workspace, order: CareOrder, said: list[Said]) -> None:
    """One application after the other; what fails for one is no reason to leave the next."""
    failed: list[Exception] = []
    for app in workspace.apps.list():
        try:
            version, done = workspace.care.drill(app.key, seek=False)  # remotes may be slow
        except NotFoundError:
            continue  # nothing is recorded yet
        except BusyError:
            raise  # another process is at one
        except DiskFullError as error:
            said.append(Said(logging.WARNING, f"{app.key}: not proven: {error}"))
            continue
        except (EpmError, OSError) as error:
            said.append(Said(logging.ERROR, f"{app.key}: cannot be restored: {error}"))
            failed.append(error)
            continue
        if done.is_proven:
            text = f"{app.key}: version {version} is proven restorable"
            said.append(Said(logging.INFO, text))
        for path, what in done.differs[:LINES]:
            text = f"{app.key}: version {version}: {path} {what}"
            said.append(Said(logging.ERROR, text))
    if failed:
        raise failed[0]


TASKS: Final[dict[CareTask, Callable[[Workspace, CareOrder, list[Said]], None]]] = {
    "forget": _forget, "gc": _gc, "data": _data, "drill": _drill,
}  # fmt: skip


def policy_of(config: RetentionConfig) -> Policy:
    names = RetentionConfig.__struct_fields__[1:]
    return Policy(**{name: getattr(config, name) for name in names})


def main() -> None:
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=CareOrder)
    die_with(order.parent)
    try:
        with Workspace.open(
            Path(order.store), actor=ACTOR, recover=False, safe_stores=SafeStores(os.environ)
        ) as workspace:
            outcome = perform(workspace, order)
    except (EpmError, OSError) as error:
        outcome = CareOutcome([Said(logging.ERROR, f"{order.task} failed: {error}")])
    sys.stdout.buffer.write(msgspec.json.encode(outcome))


if __name__ == "__main__":
    main()
