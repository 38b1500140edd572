"""Points: one task, one mutating call of it that goes wrong, and the verdict afterwards.

    python -m tests.faults.points --how kill --every 1 --out kills.jsonl

A scenario begins from a template (a store and a root), is carried out in a process of its own, and
at one call it is killed, torn, or failed (once, or from then on), with one of several errors. Then
another process opens the store, which recovers, and judges. One JSON line a point; with `--out`
points that are in the file already are not tried again. No root, no mounts: what a disk forgets is
the business of campaign.py.

Calls are those of `fsio`; with a way that begins with `sql-` those that SQLite makes by itself.
"""

import argparse
import errno
import gc
import importlib
import json
import os
import pickle
import pkgutil
import random
import shutil
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import epmstore
from epmstore.checkout import system_packages
from epmstore.checkout.journal import Journal
from epmstore.errors import DamagedError, EpmError
from epmstore.store import reserve
from tests.faults.further import BIG, FURTHER
from tests.faults.installs import INSTALLS
from tests.faults.lines import Lines
from tests.faults.scenarios import ROOTS, SCENARIOS, Ack, Scenario, Stage
from tests.faults.shim import LOG, SYNCS, Fault, Shim
from tests.faults.together import TOGETHER
from tests.faults.verdict import judge
from tests.faults.within import Within

WITHIN = "sql-"
"""Of ways to go wrong within SQLite: between two calls of its own (within.py)."""
HOWS = (
    *("kill", "again", "tear", "drop", "lose", "fail"),
    *("sql-kill", "sql-again", "sql-tear", "sql-fail"),
)
ERRORS = ("EIO", "ENOSPC", "EDQUOT", "EACCES", "EROFS", "EMFILE", "EINTR")
ALL = {**SCENARIOS, **FURTHER, **INSTALLS, **TOGETHER}
RECOVERIES = 4
"""That are killed in a row at most, before one is let through."""
Answer: TypeAlias = dict[str, Any]


class Point(NamedTuple):
    """Before which call of which scenario what goes wrong. `recovery`: the recovery is killed too,
    before that call of its own, and so is the recovery from that, at an earlier one, and so on.
    """

    scenario: str
    how: str
    at: int
    error: str = ""
    sticky: bool = False
    recovery: int = 0

    @property
    def fault(self) -> Fault:
        code = getattr(errno, self.error) if self.error else 0
        how: Any = self.how.removeprefix(WITHIN)
        return Fault(how, self.at, code, self.sticky)

    @property
    def is_fatal(self) -> bool:
        """Whether the task is killed there, and before that nothing at all fails."""
        return not self.error

    @property
    def is_whole(self) -> bool:
        """Whether a kill is all that happens: what was called was done."""
        return self.how.removeprefix(WITHIN) in ("kill", "again")

    @property
    def shim(self) -> type[Shim | Within]:
        return shim(self.how)

    def recoveries(self) -> Iterator[Fault]:
        rng, at = random.Random(repr(self)), self.recovery
        for _ in range(RECOVERIES if at else 0):
            yield Fault("kill", at)
            at = rng.randint(1, at)


def nothing() -> None:
    """No bug."""


class Runner:
    """Tries points of one scenario, in one place."""

    def __init__(
        self, place: Path, scenario: Scenario, seed: int, bug: Callable[[], None] = nothing
    ) -> None:
        """`bug` is brought about in the process of the task, and in no other."""
        self._scenario = scenario
        self._bug = bug
        self._template = place / "template"
        self._stage = Stage(place / "here", random.Random(seed))
        self._stage.root.mkdir(parents=True)
        answer = self._apart(lambda: {"stage": prepared(scenario, self._stage)})
        assert "stage" in answer, answer
        self._stage.take(answer["stage"])
        self._template.mkdir()
        subprocess.run(["cp", "-a", f"{self._stage.place}/.", self._template], check=True)
        self._restore()  # what was copied is looked at once more: the calls of each point
        undisturbed = self._act(LOG, Shim)
        assert bug is not nothing or "done" in undisturbed, undisturbed
        self.names: list[str] = undisturbed["calls"]
        self.calls = len(self.names)
        self._within: list[str] = []

    def names_of(self, how: str) -> list[str]:
        """The calls that may go wrong in this way."""
        if not how.startswith(WITHIN):
            return self.names
        if not self._within:
            self._restore()
            self._within = self._act(LOG, Within)["calls"]
        return self._within

    def try_point(self, point: Point) -> dict[str, object]:
        """What came of it, as the line to print."""
        names = self.names_of(point.how)
        self._restore()
        answer = self._act(point.fault, point.shim)
        state = journal_state(self._stage.store)
        kills = int(not answer)
        for fault in point.recoveries():
            if self._recover(fault, point.shim):
                break
            kills += 1
        done = answer.get("done", Ack())
        verdict = self._apart(
            lambda: {
                "problems": judge(
                    self._stage, self._scenario, done, point.at, is_whole=point.is_whole
                )
            }
        )
        problems = verdict.get("problems", [f"the judge died: {verdict}"])
        if "unexpected" in answer:
            problems.append(answer["unexpected"])
        if point.is_fatal and "error" in answer:
            problems.append(f"nothing failed, and it ended with {answer['error']}")
        name = names[point.at - 1] if point.at <= len(names) else "none"
        return {
            **point._asdict(),
            "call": name,
            "journal": state,
            "kills": kills,
            "ended": "done" if "done" in answer else answer.get("error", "killed"),
            "verdict": problems or "ok",
        }

    def _restore(self) -> None:
        """Roots themselves stay: an application knows its own by the inode."""
        here = self._stage.place
        for name in os.listdir(here):
            (empty if name in ROOTS else remove)(here / name)
        subprocess.run(["cp", "-a", f"{self._template}/.", here], check=True)

    def _act(self, fault: Fault, shim: type[Shim | Within]) -> Answer:
        return self._apart(lambda: act(self._stage, self._scenario, shim(fault), self._bug))

    def _recover(self, fault: Fault, shim: type[Shim | Within]) -> Answer:
        """Nothing, if it was killed."""
        return self._apart(lambda: recover(self._stage, shim(fault)))

    def _apart(self, work: Callable[[], Answer]) -> Answer:
        def work_as_set() -> Answer:
            self._scenario.setting()
            return work()

        return in_process(work_as_set)


def shim(how: str) -> type[Shim | Within]:
    return Within if how.startswith(WITHIN) else Shim


def prepared(scenario: Scenario, stage: Stage) -> Stage:
    scenario.prepare(stage)
    return stage


def act(stage: Stage, scenario: Scenario, shim: Shim | Within, bug: Callable[[], None]) -> Answer:
    """Carry out a task; what it promised, or the error that it ended with."""
    bug()
    answer: Answer = {}
    try:
        with shim:
            answer["done"] = scenario.act(stage)
    except (EpmError, OSError) as error:
        answer |= {"error": type(error).__name__, "says": str(error)}
    except Exception:
        answer["error"] = "unexpected"
        answer["unexpected"] = traceback.format_exc(limit=-4)
    answer["calls"] = [call.name for call in shim.calls]
    return answer


def recover(stage: Stage, shim: Shim | Within) -> Answer:
    with shim, stage.open():
        return {"recovered": True}


def in_process(work: Callable[[], Answer]) -> Answer:
    """What a function returns in a process of its own; nothing if it was killed."""
    read_fd, write_fd = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(read_fd)
        without_packages()
        try:
            answer = work()
        except BaseException:
            answer = {"problems": [traceback.format_exc(limit=-6)], "error": "died"}
        with os.fdopen(write_fd, "wb") as pipe:
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(write_fd)
    with os.fdopen(read_fd, "rb") as pipe:
        data = pipe.read()
    os.waitpid(process, 0)
    found: Answer = pickle.loads(data) if data else {}
    return found


def without_packages() -> None:
    """What the packages of this host own is not looked for after each checkout: it would be the
    larger part of the work.
    """
    system_packages.owners_of.__defaults__ = (Path("/nonexistent"),)


def journal_state(store: Path) -> str:
    """How far an interrupted checkout came."""
    found = [*(store / "journals").glob("*.journal")] if store.is_dir() else []
    if not found:
        return "none"
    try:
        loaded = Journal(found[0]).load()
    except DamagedError:
        return "damaged"
    return "begun" if loaded is None else loaded.state or "begun"


def empty(folder: Path) -> None:
    for name in os.listdir(folder):
        remove(folder / name)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def preload() -> None:
    """Import all of the program now, so that the thousands of processes that are forked need not.
    The garbage collector leaves what is there alone, so that its pages stay shared.
    """
    for module in pkgutil.walk_packages(epmstore.__path__, "epmstore."):
        importlib.import_module(module.name)
    gc.collect()
    gc.freeze()


def points(
    scenario: str, names: Sequence[str], how: str, every: int, rng: random.Random
) -> Iterator[Point]:
    """Every `every`-th of all that there are, beginning somewhere; `names` are the calls."""
    found: list[Point] = []
    calls = len(names)
    for at, name in enumerate(names, 1):
        if how in ("kill", "lose", "sql-kill", "sql-tear"):
            found.append(Point(scenario, how, at))
        elif how.endswith("again"):
            recovery = int((calls - at + 20) ** rng.random())  # most recoveries are short
            found.append(Point(scenario, how.replace("again", "kill"), at, recovery=recovery))
        elif how == "sql-fail":
            found += [
                Point(scenario, how, at, error, sticky)
                for error in ("EIO", "ENOSPC")
                for sticky in (False, True)
            ]
        elif how == "tear":
            found += [Point(scenario, how, at), Point(scenario, how, at, "EIO")]
        elif how == "drop":
            found += [Point(scenario, how, at, "EIO")] if name in SYNCS else []
        else:
            found += [
                Point(scenario, how, at, error, sticky)
                for error in ERRORS
                for sticky in (False, True)
            ]
    yield from found[rng.randrange(every) :: every]


def key(line: dict[str, Any]) -> str:
    return json.dumps([line[name] for name in Point._fields])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--how", default="kill", choices=HOWS)
    parser.add_argument("--scenario", action="append", choices=[*ALL, *BIG])
    parser.add_argument("--every", type=int, default=1, help="one of so many points")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shard", default="0/1", help="this one of so many")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--place", type=Path, default=Path("/dev/shm"))
    options = parser.parse_args()
    reserve.SIZE = 1 << 16
    preload()
    shard, shards = map(int, options.shard.split("/"))
    lines, counts = Lines(options.out, seed=options.seed), Counter[str]()
    done = {key(line) for line in lines.known if line["verdict"] == "ok"}  # the others once more
    for name in options.scenario or ALL:
        place = options.place / f"epm-points-{os.getpid()}"
        try:
            runner = Runner(place, {**ALL, **BIG}[name], options.seed)
            rng = random.Random(f"{options.seed}/{name}/{options.how}")
            found = [
                *points(*(name, runner.names_of(options.how), options.how), options.every, rng)
            ]
            for point in found[shard::shards]:
                if key(point._asdict()) in done:
                    continue
                line = runner.try_point(point)
                lines.add(**line)
                counts["ok" if line["verdict"] == "ok" else "failed"] += 1
        finally:
            shutil.rmtree(place, ignore_errors=True)
    summary = {"seed": options.seed, "how": options.how, **counts}
    sys.stderr.write(json.dumps(summary) + "\n")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
