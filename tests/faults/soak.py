"""Several processes work on one store and die at random: `python -m tests.faults.soak --help`.

Workers have an application each: they edit its root, record it, and go back and forth, and write
down what was acknowledged. A caretaker forgets, collects, checks, copies and rebuilds. A supervisor
kills one of them every now and then and starts it again; what a worker finds then must be the state
before or after what it was about. At the end everything that was acknowledged is compared. One JSON
line at the end.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from epmstore import locks
from epmstore.errors import BusyError, ConflictError, EpmError, NotRestorableError
from epmstore.store import reserve
from epmstore.workspace import AppHandle, Workspace
from tests.acceptance.trees import make_old, text
from tests.kit.program import picture

WORKERS = 3
FILES = 20
PAUSE = (0.2, 2.0)
"""Seconds between two kills."""
KEPT = 6
"""Newest versions of an application that the caretaker leaves alone."""


def digest(root: Path) -> str:
    return hashlib.sha256(repr(sorted(picture(root).items())).encode()).hexdigest()


class Notebook:
    """What a process wrote down, line by line, outside of the store; a torn last line is none."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, **line: Any) -> None:
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(fd, json.dumps(line).encode() + b"\n")
        os.close(fd)

    def lines(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        whole = self.path.read_bytes().split(b"\n")[:-1]
        return [json.loads(line) for line in whole]


class Worker:
    """One application: its root, and its notebook."""

    def __init__(self, place: Path, number: int) -> None:
        self.key = f"app{number}"
        self.store, self.root = place / "store", place / self.key
        self.notes = Notebook(place / f"{self.key}.notes")
        self._rng = random.Random(f"{number}/{os.getpid()}/{time.time_ns()}")

    def run(self) -> None:
        self._settle()
        while True:
            with contextlib.suppress(BusyError):
                self._turn()

    def _settle(self) -> None:
        """Whatever was under way, the root is as it was before or as it was to be."""
        with patient(self.store) as workspace:
            handle = workspace.app(self.key)
            while handle.obligations.is_interrupted:
                with contextlib.suppress(BusyError):
                    handle.recover()
        about = next((n for n in reversed(self.notes.lines()) if "about" in n), None)
        found = digest(self.root)
        if about is not None and about["about"] and found not in about["about"]:
            self.notes.add(problem="the root is neither old nor new", kind=about["kind"])

    def _turn(self) -> None:
        self._edit()
        now = digest(self.root)
        self.notes.add(kind="snapshot", about=[now])
        with patient(self.store) as workspace:
            handle = workspace.app(self.key)
            version = handle.snapshot("soak").version
            self.notes.add(version=version, digest=now)
            if self._rng.random() < 0.6:
                self._go_back(handle, now)

    def _edit(self) -> None:
        names = [path for path in self.root.rglob("f*") if path.is_file()]
        self.notes.add(kind="edit", about=[])  # a kill in between: anything goes
        for path in self._rng.sample(names, min(4, len(names))):
            path.write_bytes(text(self._rng))
        (self.root / f"d1/e1/f{self._rng.randrange(100)}").write_bytes(text(self._rng))
        self.notes.add(kind="edited", about=[digest(self.root)])

    def _go_back(self, handle: AppHandle, now: str) -> None:
        known = {n["version"]: n["digest"] for n in self.notes.lines() if "version" in n}
        there = [info.version for info in handle.versions() if info.restorable]
        version = self._rng.choice([v for v in there if v in known])
        self.notes.add(kind="checkout", about=[now, known[version]])
        try:
            made = handle.checkout(str(version), exact=True).version
        except NotRestorableError:
            if all(info.restorable for info in handle.versions() if info.version == version):
                raise  # it was not forgotten meanwhile
            return
        if digest(self.root) != known[version]:
            self.notes.add(problem=f"a checkout of {version} made something else")
        self.notes.add(version=made, digest=known[version])


class Caretaker:
    def __init__(self, place: Path) -> None:
        self.place, self.store = place, place / "store"
        self.notes = Notebook(place / "caretaker.notes")
        self._rng = random.Random(time.time_ns())

    def run(self) -> None:
        while True:
            with contextlib.suppress(BusyError):
                self._turn()

    def _turn(self) -> None:
        with patient(self.store) as workspace:
            kind = self._rng.choice(["forget", "gc", "gc", "fsck", "copy", "rebuild"])
            if kind == "forget":
                self._forget(workspace)
            elif kind == "gc":
                workspace.care.gc()
            elif kind == "fsck":
                report = workspace.care.fsck(1.0)
                if not report.clean:
                    self.notes.add(problem=f"fsck: {report.findings}")
            elif kind == "copy":
                workspace.care.copy(self.place / "copy")
            else:
                workspace.care.rebuild()
            self.notes.add(did=kind)

    def _forget(self, workspace: Workspace) -> None:
        key = f"app{self._rng.randrange(WORKERS)}"
        old = [i.version for i in workspace.app(key).versions()[:-KEPT] if i.restorable]
        for version in self._rng.sample(old, min(3, len(old))):
            with contextlib.suppress(ConflictError):
                workspace.care.forget(key, [version])


@contextlib.contextmanager
def patient(store: Path) -> Any:
    """Open a store, however busy it is."""
    while True:
        try:
            workspace = Workspace.open(store)
            break
        except BusyError:
            continue
    with workspace:
        yield workspace


def start(place: Path, number: int) -> int:
    """A worker, or (with the last number) the caretaker, in a process of its own."""
    process = os.fork()
    if process:
        return process
    who = Worker(place, number) if number < WORKERS else Caretaker(place)
    try:
        who.run()
    except Exception:
        who.notes.add(problem=traceback.format_exc(limit=-5))
    os._exit(1)


def prepare(place: Path, rng: random.Random) -> None:
    with Workspace.init(place / "store") as workspace:
        for number in range(WORKERS):
            worker = Worker(place, number)
            make_old(worker.root, FILES, rng)
            workspace.apps.add(worker.key, worker.root)


def soak(place: Path, seconds: float, seed: int) -> dict[str, Any]:
    """Let them work and die; what came of it."""
    rng = random.Random(seed)
    prepare(place, rng)
    processes = [start(place, number) for number in range(WORKERS + 1)]
    kills, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(rng.uniform(*PAUSE))
        number = rng.randrange(WORKERS + 1)
        os.kill(processes[number], signal.SIGKILL)
        os.waitpid(processes[number], 0)
        kills += 1
        processes[number] = start(place, number)
    for process in processes:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    return {"seed": seed, "seconds": seconds, "kills": kills, **judge(place)}


def judge(place: Path) -> dict[str, Any]:
    """Everything that was acknowledged is there, and what is there is sound."""
    problems: list[str] = []
    versions = compared = 0
    for number in range(WORKERS):
        worker = Worker(place, number)
        worker._settle()
        problems += [line["problem"] for line in worker.notes.lines() if "problem" in line]
        known = {n["version"]: n["digest"] for n in worker.notes.lines() if "version" in n}
        with Workspace.open(place / "store") as workspace:
            handle = workspace.app(worker.key)
            there = {info.version: info for info in handle.versions()}
            problems += [f"lost version {version}" for version in known.keys() - there.keys()]
            versions += len(there)
            for version, found in known.items():
                if version in there and there[version].restorable:
                    handle.export(str(version), place / "out")
                    compared += 1
                    if digest(place / "out") != found:
                        problems.append(f"version {version} of {worker.key} is wrong")
                    shutil.rmtree(place / "out")
    caretaker = Caretaker(place).notes.lines()
    problems += [line["problem"] for line in caretaker if "problem" in line]
    with Workspace.open(place / "store") as workspace:
        report = workspace.care.fsck(1.0, seed=1)
        problems += [str(finding) for finding in report.findings]
    cared = sum("did" in line for line in caretaker)
    return {"versions": versions, "compared": compared, "cared": cared, "problems": problems}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--place", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--without-locks", action="store_true", help="then it must fail")
    options = parser.parse_args()
    if options.without_locks:
        setattr(locks, "hold", lambda *_, **said: contextlib.nullcontext())  # noqa: B010
    reserve.SIZE = 1 << 16
    place = options.place / f"epm-soak-{os.getpid()}"
    place.mkdir()
    try:
        found = soak(place, options.seconds, options.seed)
    except (EpmError, OSError) as error:
        found = {"seed": options.seed, "problems": [repr(error)]}
    finally:
        shutil.rmtree(place, ignore_errors=True)
    sys.stdout.write(json.dumps(found) + "\n")
    return 1 if found["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
