"""Power cuts, one after another: `python -m tests.faults.campaign --help`.

A life begins with empty file systems; then come points. A point is a task that is cut, at a
mutating call or at a random moment, sometimes a recovery that is cut too, and the verdict of the
oracle. One JSON line a point, and one at the end.
"""

import argparse
import json
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from epmstore.digest import Digest, identify
from epmstore.scan import fsclock
from epmstore.store import reserve
from tests.acceptance.trees import make_new, make_old, replace, text, write
from tests.faults import sizes
from tests.faults.disk import KINDS, Machine, cut, hide_mounts
from tests.faults.lines import Lines
from tests.faults.oracle import Ledger, Oracle, Verdict
from tests.faults.points import preload, without_packages
from tests.faults.workload import KEY, Doom, Pipe, Task, messages, work
from tests.kit.program import Picture, picture
from tests.kit.vendors import Vendor

LIFE = 24
"""Points until the disks are made anew. A life follows from the seed and its number alone, up to
cuts at a random time: a campaign that is broken off goes on with the next one.
"""
FILES = (12, 120)
"""Sizes of trees that take turns: a few files are synced one by one, many by one syncfs."""
HUNG = 120.0
GOLDEN = 0.6180339887
NEVER = 10**6
"""More calls than any task makes."""
FIXED = {"init": 64, "recover": 60}
"""Calls of tasks that are not measured: most recoveries have nothing to do."""
WEIGHTS = {
    "checkout": 10,
    "snapshot": 5,
    "run": 3,
    "undo": 3,
    "gc": 3,
    "pattern": 2,
    "export": 1,
    "reindex": 1,
    "purge": 2,
    "copy": 2,
    "import": 1,
}
LARGE = 200_000
"""A file in parts: sizes.py."""
REAL = 70 << 20
"""The same where sizes are not lowered; a life has fewer points then: its pictures are large."""
REAL_LIFE = 8
ROOM = 2 << 30
EXAMINED = 4
"""Of so many lives one ends with a look at the file systems by their own checkers."""


class Campaign:
    """Cuts the power `cuts` times, on one kind of file system."""

    def __init__(
        self, machine: Machine, seed: int, without: str, lines: Lines, *, real: bool = False
    ) -> None:
        """`real`: with contents and packs of the sizes that they have outside of tests."""
        self._large, self._points_each = (REAL, REAL_LIFE) if real else (LARGE, LIFE)
        self._machine = machine
        self._seed = seed
        self._rng = random.Random(seed)
        self._without = without
        self._lines = lines
        self._calls: dict[str, int] = {}
        self._seconds: dict[str, float] = {}
        self._tried: Counter[str] = Counter()
        self._points: dict[str, set[int]] = {}
        self.cuts: Counter[str] = Counter()
        self.at: Counter[str] = Counter()
        self.failed = 0
        self._life = 0
        self._number = 0
        self._ledger = Ledger()
        self._root: Picture = {}
        self._undo: Picture | None = None
        """What an undo would bring back, if that is known."""
        self._files = FILES[not machine.is_split]

    def run(self, cuts: int, *, stop: bool) -> None:
        """Until so many cuts were made; `stop`: or one was not survived."""
        known = self._lines.known
        self._life = max((line["life"] for line in known), default=0)
        cuts -= sum(line["cuts"] for line in known)
        for line in known:
            if line.get("calls"):
                self._calls[f"{line['task']}/{line['files']}"] = line["calls"]
        while self.cuts.total() < cuts:
            self._life += 1
            self._rng = random.Random(f"{self._seed}/{self._life}")
            self._begin()
            for _ in range(self._points_each):
                if self.cuts.total() >= cuts or not self._point(self._next()):
                    break
            if self._life % EXAMINED == 0 and (found := self._machine.examine()):
                self._report(Task("examine"), Doom(), "", found, 0)
            if stop and self.failed:
                break

    def coverage(self) -> dict[str, str]:
        return {k: f"{len(self._points[k])}/{self._calls.get(k, 0)}" for k in self._points}

    # A life.

    def _begin(self) -> None:
        """A store that survived being cut while it was made, and two versions."""
        machine, rng = self._machine, self._rng
        machine.install()
        self._ledger, self._undo = Ledger(), None
        self._files = FILES[(self._life + machine.is_split) % 2]
        machine.root.mkdir()
        make_old(machine.root, self._files, rng)
        write(machine.root / "large", rng.randbytes(self._large), rng)
        machine.sync()
        self._make_store()
        self._record()
        make_new(machine.root, self._files, rng)
        machine.sync()
        self._record()

    def _record(self) -> None:
        self._root = picture(self._machine.root)
        found, _ = self._child(Task("snapshot"), Doom())
        self._ledger.versions[found[0]["version"]] = self._root

    def _make_store(self) -> None:
        """Cut while it is made; then there is none, which can be made, or one that works."""
        doom = self._doom("init")
        _, call = self._child(Task("init"), doom)
        self._machine.reboot()
        if (self._machine.store / "FORMAT").exists():
            found, _ = self._child(Task("add"), Doom())
            if "added" in found[0]:
                return
            self._report(Task("init"), doom, call, [f"no store: {found}"], 1)
        else:
            self._report(Task("init"), doom, call, [], 1)
        shutil.rmtree(self._machine.store, ignore_errors=True)
        for task in (Task("init"), Task("add")):
            found, _ = self._child(task, Doom())
            assert "error" not in found[0], found

    def _next(self) -> Task:
        kind = self._rng.choices([*WEIGHTS], [*WEIGHTS.values()])[0]
        if kind == "undo" and self._undo is None:
            kind = "checkout"
        if kind == "import" and self._ledger.is_imported:
            kind = "snapshot"
        rng, ledger = self._rng, self._ledger
        known = sorted(ledger.versions.keys() - ledger.forgotten - ledger.purged)
        if kind in ("checkout", "export"):
            others = [v for v in known if ledger.versions[v] != self._root]
            return Task(kind, version=rng.choice(others or known))
        if kind == "gc":
            return Task(kind, old=tuple(known[:-4]))
        if kind == "purge":
            return Task(kind, digest=self._leak())
        if kind == "pattern":
            return Task(kind, version=rng.randrange(10**9))
        return Task(kind, script=self._script() if kind == "run" else "")

    def _point(self, task: Task) -> bool:
        """Whether this life goes on: after a point that failed it does not."""
        before = self.cuts.total()
        self._prepare(task)
        doom = self._doom(task.kind)
        found, call = self._child(task, doom)
        problems = self._note(task, found)
        self._machine.reboot()
        if self._rng.random() < 0.3:
            self._child(Task("recover"), self._doom("recover"))
            self._machine.reboot()
        everything = self._number % 10 == 0
        oracle = Oracle(self._machine, self._ledger, self._rng, everything=everything)
        verdict = self._fork(lambda: oracle.judge(self._machine.root))
        if isinstance(verdict, Verdict):
            problems += verdict.problems
            self._learn(task, verdict)
        else:
            problems.append(str(verdict))
        exported = self._judge_export(task, found)
        cuts = self.cuts.total() - before
        self._report(task, doom, call, [*problems, *exported], cuts)
        return not problems

    def _prepare(self, task: Task) -> None:
        """Bring about what the task begins with, durably; say what may become of it."""
        machine, rng, ledger = self._machine, self._rng, self._ledger
        if task.kind == "snapshot" or (task.kind == "checkout" and rng.random() < 0.4):
            self._edit()
        if task.kind == "reindex":
            for path in machine.store.glob("index.sqlite*"):
                path.unlink()
        machine.sync()
        self._root = picture(machine.root)
        ledger.kind, ledger.old, ledger.new = task.kind, self._root, None
        ledger.roots = None if task.kind == "run" else [self._root]
        ledger.may_be_forgotten = set(task.old)
        if task.kind == "checkout":
            ledger.new = ledger.versions[task.version]
        elif task.kind == "undo":
            ledger.new = self._undo
        if ledger.new is not None:
            ledger.roots = [self._root, ledger.new]

    def _note(self, task: Task, found: list[dict[str, Any]]) -> list[str]:
        """Enter what was acknowledged; what is wrong with it."""
        ledger, problems = self._ledger, []
        was_cut = False
        for one in found:
            was_cut |= "cut" in one
            if "version" in one and not (was_cut and "picture" in one):  # taken of a dead disk
                new = ledger.old if one.get("what") == "old" else ledger.new
                ledger.versions[one["version"]] = one.get("picture") or new or {}
                if one.get("what") == "new":
                    ledger.roots = [ledger.new or {}]
                if one.get("verified") is False:
                    problems.append("not verified")
            ledger.forgotten.update(one.get("forgotten", ()))
            ledger.is_imported |= "imported" in one
            if "copied" in one:
                ledger.copied = {*ledger.versions}
            if "pattern" in one:
                ledger.patterns.add(one["pattern"])
            if "error" in one and not was_cut:
                problems.append(f"{task.kind} failed by itself: {one['error']}")
        return problems

    def _learn(self, task: Task, verdict: Verdict) -> None:
        ledger = self._ledger
        self._root = verdict.root
        ledger.versions.update(verdict.learned)
        ledger.forgotten.update(verdict.forgotten)
        if verdict.added is not None:
            ledger.versions.setdefault(verdict.added, verdict.root)
        went = ledger.new is not None and verdict.root == ledger.new != ledger.old
        if task.kind == "checkout" and went:
            self._undo = ledger.old
        elif verdict.root != ledger.old or task.kind in ("snapshot", "undo", "run"):
            self._undo = None

    def _judge_export(self, task: Task, found: list[dict[str, Any]]) -> list[str]:
        """A copy is whole or not there; a temporary beside it is nobody's."""
        place = self._machine.disks[-1].place
        target, problems = place / "exported", []
        if task.kind == "export":
            is_told = any("exported" in one for one in found)
            wanted = self._ledger.versions[task.version]
            if (is_told or target.exists()) and not target.exists():
                problems.append("lost an acknowledged copy")
            elif target.exists() and picture(target) != wanted:
                problems.append("the copy is not whole")
        for path in (target, *place.glob(".epm-*")):
            shutil.rmtree(path, ignore_errors=True)
        return problems

    # Processes.

    def _doom(self, kind: str) -> Doom:
        rng, like = self._rng, f"{kind}/{self._files}"
        calls = FIXED.get(kind, self._calls.get(like, NEVER))
        at = calls + 1
        if calls != NEVER:
            self._tried[kind] += 1
            at = 1 + int((self._tried[kind] * GOLDEN) % 1.0 * (calls + 1))
        if rng.random() < 0.25 and like in self._seconds:
            at = -1
        return Doom(
            at,
            lingers=rng.random() < 0.3,
            noise=rng.choice((0.0, 0.1, 0.5)),
            seed=rng.randrange(2**32),
            without=self._without,
        )

    def _child(self, task: Task, doom: Doom) -> tuple[list[dict[str, Any]], str]:
        """Carry out a task, and cut the power in it or, at the latest, right behind it; what it
        said, and where it was cut.
        """
        read_fd, write_fd = os.pipe()
        process = os.fork()
        if process == 0:
            os.setpgid(0, 0)
            os.close(read_fd)
            _to_the_end(lambda: work(task, self._machine, doom, Pipe(write_fd)))
        os.setpgid(process, process)  # whoever of both comes first
        os.close(write_fd)
        begun, like = time.monotonic(), f"{task.kind}/{self._files}"
        limit = HUNG
        if doom.at == -1:
            limit = self._rng.uniform(0, self._seconds[like] * 1.1)
        data, is_done = _listen(read_fd, limit)
        if not is_done:
            os.killpg(process, signal.SIGSTOP)
        found = messages(data)
        done = next((one["done"] for one in found if "done" in one), None)
        call = next((one["cut"] for one in found if "cut" in one), "")
        if doom.at != 0 and not call:
            self._cut()
            call = "after" if done is not None else "anywhere"
        if not is_done:
            os.killpg(process, signal.SIGKILL)
            found += messages(data + _listen(read_fd, HUNG)[0])[len(found) :]
        os.close(read_fd)
        os.waitpid(process, 0)
        if done is not None and task.kind not in FIXED:
            self._calls[like] = max(done, self._calls.get(like, 0) * 3 // 4)
            self._seconds[like] = time.monotonic() - begun
        if doom.at != 0:
            self.cuts[task.kind] += 1
            self.at[call] += 1
            if doom.at > 0:
                self._points.setdefault(like, set()).add(doom.at)
        return found, call

    def _cut(self) -> None:
        descriptors = self._machine.open()
        cut(descriptors)
        for fd in descriptors:
            os.close(fd)

    def _fork(self, judge: Callable[[], Verdict]) -> object:
        """What a function returns that runs in a process of its own, or how it failed."""
        read_fd, write_fd = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(read_fd)
            _to_the_end(lambda: _answer(judge, Pipe(write_fd)))
        os.close(write_fd)
        data, is_done = _listen(read_fd, HUNG)
        if not is_done:
            os.kill(process, signal.SIGKILL)
        os.close(read_fd)
        os.waitpid(process, 0)
        found = messages(data)
        return found[0]["answer"] if found else "the oracle hung, or died"

    # Changes to the root.

    def _leak(self) -> Digest:
        """A secret becomes part of a version, and is taken out of the root again."""
        path, secret = self._machine.root / "key", self._rng.randbytes(900).hex().encode()
        path.write_bytes(secret)
        self._record()
        self._ledger.purged.add(max(self._ledger.versions))
        path.write_bytes(b"another")
        self._undo = None
        return identify(secret).digest

    def _edit(self) -> None:
        """Somebody changes a few files, as a package manager does or in place."""
        root, rng, self._undo = self._machine.root, self._rng, None
        paths = [p for p in root.glob("d*/e*/*") if p.is_file() and not p.is_symlink()]
        for path in rng.sample(paths, min(6, len(paths))):
            way = rng.randrange(4)
            if way == 0:
                path.unlink()
            elif way == 1:
                with path.open("r+b") as file:
                    file.write(rng.randbytes(path.stat().st_size))
            elif way == 2:
                path.chmod(rng.choice((0o600, 0o640, 0o755)))
            else:
                replace(path, text(rng), rng)
        if rng.random() < 0.3 and (large := root / "large").is_file():
            with large.open("r+b") as file:
                file.seek(rng.randrange(self._large))
                file.write(rng.randbytes(100))
        write(root / f"d0/e0/new-{rng.randrange(40)}", rng.randbytes(rng.randrange(9000)), rng)
        links = [p for p in root.glob("x*/*") if p.is_symlink()]
        for link in rng.sample(links, min(2, len(links))):
            os.utime(link, ns=(1, rng.randrange(10**18)), follow_symlinks=False)

    def _script(self) -> str:
        """The same as a command, which does not care about durability."""
        rng, root = self._rng, self._machine.root
        paths = [p for p in root.glob("d*/e*/*") if p.is_file() and not p.is_symlink()]
        lines = [f"cd '{root}'"]
        for path in rng.sample(paths, min(6, len(paths))):
            name, size = path.relative_to(root), path.stat().st_size
            lines.append(
                rng.choice(
                    (
                        f"rm '{name}'",
                        f"head -c {size} /dev/urandom | dd of='{name}' conv=notrunc status=none",
                        f"echo {rng.random()} > '{name}.t'; mv '{name}.t' '{name}'",
                        f"mkdir -p 'd1/e1/{rng.randrange(9)}'",
                        f"cp -p '{name}' '{name}-{rng.randrange(9)}'",
                    )
                )
            )
        return "\n".join(lines)

    def _report(self, task: Task, doom: Doom, call: str, problems: list[str], cuts: int) -> None:
        self._number += 1
        self.failed += bool(problems)
        line = {"life": self._life, "point": self._number, "task": task.kind, "at": doom.at}
        line |= {"call": call, "cuts": cuts, "lingers": doom.lingers, "noise": doom.noise}
        line |= {"files": self._files, "calls": self._calls.get(f"{task.kind}/{self._files}", 0)}
        self._lines.add(**line, verdict=problems or "ok")


def _listen(fd: int, seconds: float) -> tuple[bytes, bool]:
    """What comes until the end, and whether that came in time."""
    data, deadline = bytearray(), time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if select.select([fd], [], [], left)[0]:
            piece = os.read(fd, 1 << 20)
            if not piece:
                return bytes(data), True
            data += piece
    return bytes(data), False


def _answer(judge: Callable[[], Verdict], pipe: Pipe) -> None:
    try:
        answer: object = judge()
    except Exception:
        answer = traceback.format_exc(limit=-6)
    pipe.send(answer=answer)


def _to_the_end(action: Callable[[], None]) -> None:
    """The rest of a forked process; it must not go on as its parent."""
    try:
        action()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _print(**line: object) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def make_catalog(machine: Machine) -> None:
    """Of a vendor with one release."""
    vendor = Vendor(machine.outside, key=KEY)
    vendor.release({"bin/a": b"a\n", "lib/b": b"b\n" * 900}, "1.0")
    with vendor.open() as workspace:
        machine.refcat.write_bytes(b"".join(workspace.catalogs.export(KEY)))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign")
    parser.add_argument("--kind", choices=[*KINDS], default="xfs")
    parser.add_argument("--split", action="store_true", help="store and root on two file systems")
    parser.add_argument("--real", action="store_true", help="sizes are not lowered")
    parser.add_argument("--cuts", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--without", default="", help="a function of fsio that is to do nothing")
    parser.add_argument("--out", type=Path, help="a file of lines, where it goes on")
    parser.add_argument("--stop", action="store_true", help="at the first failure")
    given = parser.parse_args()
    hide_mounts()
    reserve.SIZE = 1 << 16
    preload()
    without_packages()
    if not given.real:
        sizes.lower()
    os.umask(0o022)
    begun = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="epm-faults-", dir="/dev/shm"))
    kind = KINDS[given.kind]
    kind = kind._replace(size=ROOM) if given.real else kind
    machine = Machine(kind, folder, is_split=given.split)
    fsclock.BOOT_ID = machine.boot
    sized = {"real": True} if given.real else {}
    lines = Lines(given.out, kind=given.kind, split=given.split, seed=given.seed, **sized)
    campaign = Campaign(machine, given.seed, given.without, lines, real=given.real)
    try:
        make_catalog(machine)
        campaign.run(given.cuts, stop=given.stop)
    finally:
        machine.end()
        shutil.rmtree(folder)
    _print(
        kind=given.kind,
        split=given.split,
        seed=given.seed,
        without=given.without,
        cuts=campaign.cuts.total(),
        failed=campaign.failed,
        seconds=round(time.monotonic() - begun, 1),
        tasks=campaign.cuts,
        calls=campaign.at,
        covered=campaign.coverage(),
    )
    return bool(campaign.failed)


if __name__ == "__main__":
    sys.exit(main())
