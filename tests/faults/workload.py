"""What runs while the power goes: one task of a workspace, in a process that dies with it.

Acknowledgements go through a pipe at once: what was sent was promised.
"""

import contextlib
import itertools
import os
import pickle
import random
import signal
import sqlite3
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from epmstore import fsio, sqlite
from epmstore.digest import Digest
from epmstore.errors import ConflictError, EpmError
from epmstore.store import commit
from epmstore.store.store import INDEX
from epmstore.workspace import AppHandle, Workspace
from tests.faults.disk import Machine, cut
from tests.kit.program import picture

KEY = "crm"


class Task(NamedTuple):
    """`kind` names a function below; the rest is what it needs."""

    kind: str
    version: int = 0
    old: tuple[int, ...] = ()
    script: str = ""
    digest: Digest | None = None


class Doom(NamedTuple):
    """How the power goes: before the mutating call `at` (0: never, from within). The process dies
    there and then, unless it `lingers` on: then every call fails, and nothing may be promised that
    is not so. `noise` is the share of calls before which somebody else on this host syncs something
    of his own. `without` is a function of fsio that does nothing: then the tests must fail.
    """

    at: int = 0
    lingers: bool = False
    noise: float = 0.0
    seed: int = 0
    without: str = ""


class Pipe:
    """Pickles, each with its length before it; what was cut off is not there."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def send(self, **message: Any) -> None:
        data = pickle.dumps(message)
        view = memoryview(struct.pack("<Q", len(data)) + data)
        while view:
            view = view[os.write(self._fd, view) :]


def messages(data: bytes) -> list[dict[str, Any]]:
    found, at = [], 0
    while at + 8 <= len(data):
        end = at + 8 + int(struct.unpack_from("<Q", data, at)[0])
        if end > len(data):
            break
        found.append(pickle.loads(data[at + 8 : end]))
        at = end
    return found


def work(task: Task, machine: Machine, doom: Doom, pipe: Pipe) -> None:
    """Carry out a task; the last message says how it ended, if it did."""
    calls = _arm(machine, doom, pipe)
    if doom.seed // 2 % 2:
        commit.LOG_LIMIT = 0  # packs, for collections to work on
    try:
        if task.kind == "init":
            Workspace.init(machine.store).close()
        else:
            with _reader(machine.store, doom), Workspace.open(machine.store) as workspace:
                TASKS[task.kind](task, workspace, machine, pipe)
        pipe.send(done=next(calls) - 1)
    except (EpmError, OSError, AssertionError) as error:
        pipe.send(error=repr(error), calls=next(calls) - 1)


@contextlib.contextmanager
def _reader(store: Path, doom: Doom) -> Iterator[None]:
    """Somebody who reads the index, in every second case: then a writer that closes it does not
    fold the WAL into it.
    """
    if doom.seed % 2 or not (store / INDEX).exists():
        yield
        return
    with contextlib.closing(sqlite.open_reader(store / INDEX)) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM packs").fetchone()
        yield


def _arm(machine: Machine, doom: Doom, pipe: Pipe) -> "itertools.count[int]":
    calls = itertools.count(1)
    descriptors = machine.open()
    rng = random.Random(doom.seed)
    lock = threading.Lock()
    if doom.without:
        setattr(fsio, doom.without, lambda fd: None)

    def fault(call: str, arguments: tuple[object, ...]) -> None:
        with lock:
            number = next(calls)
            if number == doom.at:
                pipe.send(cut=call)
                cut(descriptors)
                if not doom.lingers:
                    os.kill(os.getpid(), signal.SIGKILL)
            elif rng.random() < doom.noise and not 0 < doom.at < number:
                _disturb(rng.choice(machine.disks).place)

    fsio.install_fault(fault)
    _watch_sqlite(fault)
    return calls


def _watch_sqlite(fault: fsio.FaultHook) -> None:
    """SQLite writes by itself: between its statements the power may go as well."""
    connect = sqlite.open_writer

    def trace(statement: str) -> None:
        verb = statement.split(maxsplit=1)[0] if statement else ""
        if verb in ("BEGIN", "COMMIT", "CREATE", "PRAGMA"):
            fault(f"sql {verb}", ())

    def open_writer(path: Path) -> sqlite3.Connection:
        fault("sql open", ())
        connection = connect(path)
        connection.set_trace_callback(trace)
        return connection

    sqlite.open_writer = open_writer


def _disturb(place: Path) -> None:
    """Somebody commits the log of the file system, and with it names and sizes of ours."""
    fd = os.open(place / "noise", os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(fd, os.fstat(fd).st_size ^ 1)
    os.fsync(fd)
    os.close(fd)


def _add(task: Task, workspace: Workspace, machine: Machine, pipe: Pipe) -> None:
    workspace.apps.add(KEY, machine.root)
    pipe.send(added=True)


def _snapshot(task: Task, workspace: Workspace, machine: Machine, pipe: Pipe) -> None:
    pipe.send(version=workspace.app(KEY).snapshot("cut").version, what="old")


def _run(task: Task, workspace: Workspace, machine: Machine, pipe: Pipe) -> None:
    result = workspace.app(KEY).run(["sh", "-c", task.script], "patch")
    pipe.send(version=result.version, picture=picture(machine.root))


def _checkout(task: Task, workspace: Workspace, machine: Machine, pipe: Pipe) -> None:
    result = workspace.app(KEY).checkout(str(task.version), exact=True)
    pipe.send(version=result.version, what="new", verified=result.verified)


def _undo(task: Task, workspace: Workspace, machine: Machine, pipe: Pipe) -> None:
    result = workspace.app(KEY).undo()
    pipe.send(version=result.version, what="new", verified=result.verified)


def _gc(task: Task, workspace: Workspace, machine: Machine, pipe: Pipe) -> None:
    forgotten = [version for version in task.old if _forget(workspace, version)]
    pipe.send(forgotten=forgotten)
    workspace.care.gc()


def _forget(workspace: Workspace, version: int) -> bool:
    try:
        workspace.care.forget(KEY, [version])
    except ConflictError:  # an undo may need it
        return False
    return True


def _pattern(task: Task, workspace: Workspace, machine: Machine, pipe: Pipe) -> None:
    name = f"/no-such-{task.version}"
    workspace.apps.set(KEY, add={"ignore": [name]})
    pipe.send(pattern=name)


def _export(task: Task, workspace: Workspace, machine: Machine, pipe: Pipe) -> None:
    workspace.app(KEY).export(str(task.version), machine.disks[-1].place / "exported")
    pipe.send(exported=True)


def _purge(task: Task, workspace: Workspace, machine: Machine, pipe: Pipe) -> None:
    assert task.digest is not None
    workspace.care.purge([task.digest])
    pipe.send(purged=True)


def _copy(task: Task, workspace: Workspace, machine: Machine, pipe: Pipe) -> None:
    workspace.care.copy(machine.copy)
    pipe.send(copied=True)


def _import(task: Task, workspace: Workspace, machine: Machine, pipe: Pipe) -> None:
    workspace.catalogs.import_(machine.refcat, app=KEY, allow_unsigned=True)
    pipe.send(imported=True)


def _open(task: Task, workspace: Workspace, machine: Machine, pipe: Pipe) -> None:
    """Opening recovers, and replays an index that is gone."""


Action = Callable[[Task, Workspace, Machine, Pipe], None]
TASKS: dict[str, Action] = {
    "add": _add,
    "snapshot": _snapshot,
    "run": _run,
    "checkout": _checkout,
    "undo": _undo,
    "gc": _gc,
    "pattern": _pattern,
    "export": _export,
    "purge": _purge,
    "copy": _copy,
    "import": _import,
    "recover": _open,
    "reindex": _open,
}


def leftovers(handle: AppHandle) -> list[str]:
    """What a finished command may never leave behind in a root."""
    found = []
    for folder, folders, files in os.walk(handle.app.root):
        found += [f"{folder}/{n}" for n in (*folders, *files) if n.startswith(".epm-")]
    return found
