"""File systems that have no room: `python -m tests.faults.full --out full.jsonl`.

A scenario is prepared in a tmpfs, which is then left so much room (bytes, or inodes) and no more: a
step more each time, from none until the task succeeds three times. At every step the task is done
or fails in a way that says so; then there is room again, and the store is opened and judged. Or the
file system is read-only meanwhile. One JSON line a step; root is needed.
"""

import argparse
import errno
import json
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from epmstore import errors
from epmstore.store import reserve
from tests.faults import disk
from tests.faults.lines import Lines
from tests.faults.points import ALL, Answer, act, in_process, preload, prepared
from tests.faults.scenarios import Ack, Scenario, Stage
from tests.faults.shim import Shim
from tests.faults.verdict import judge

TASKS = (
    "snapshot",
    "snapshot, packs",
    "snapshot, parts",
    "run",
    "checkout",
    "checkout over drift",
    "checkout, parts",
    "undo",
    "gc, packs",
    "purge",
    "rebuild",
    "import",
    "copy",
    "export",
    "together",
)
What: TypeAlias = Literal["bytes", "inodes", "read-only"]
STEPS: dict[What, int] = {"bytes": 64 << 10, "inodes": 4, "read-only": 0}
MOST = 400
ENOUGH = 3
"""Successes in a row after which more room changes nothing."""
PLENTY = "size=256m,nr_inodes=100000"


class Step(NamedTuple):
    scenario: str
    what: What
    room: int


class Room:
    """One scenario in a file system of its own."""

    def __init__(self, folder: Path, scenario: Scenario, seed: int) -> None:
        self._place, self._scenario, self._seed = folder, scenario, seed

    def try_step(self, step: Step) -> dict[str, Any]:
        """What came of it, on a fresh file system."""
        disk.call(["mount", "-t", "tmpfs", "-o", PLENTY, "epm", str(self._place)])
        try:
            stage = Stage(self._place / "here", random.Random(self._seed))
            stage.root.mkdir(parents=True)
            answer = self._apart(lambda: {"stage": prepared(self._scenario, stage)})
            stage.take(answer["stage"])
            self._remount(self._limits(step))
            answer = self._apart(lambda: act(stage, self._scenario, Shim(), lambda: None))
            self._remount("rw," + PLENTY)
            verdict = self._judged(stage, answer.get("done", Ack()))
        finally:
            disk.unmount(self._place)
        problems = verdict.get("problems", [f"the judge died: {verdict}"])
        if "unexpected" in answer:
            problems.append(answer["unexpected"])
        if issubclass(getattr(errors, answer.get("error", ""), Exception), errors.DamagedError):
            problems.append(f"called damaged: {answer['says']}")
        if os.strerror(errno.EIO) in answer.get("says", ""):
            problems.append(f"called a broken disk: {answer['says']}")
        ended = "done" if "done" in answer else answer.get("error", "died")
        return {
            **step._asdict(),
            "ended": ended,
            "says": answer.get("says", ""),
            "verdict": problems or "ok",
        }

    def _judged(self, stage: Stage, done: Ack) -> Answer:
        return self._apart(lambda: {"problems": judge(stage, self._scenario, done)})

    def _limits(self, step: Step) -> str:
        if step.what == "read-only":
            return "ro"
        found = os.statvfs(self._place)
        if step.what == "inodes":
            return f"nr_inodes={found.f_files - found.f_ffree + step.room}"
        return f"size={(found.f_blocks - found.f_bfree) * found.f_frsize + step.room}"

    def _remount(self, options: str) -> None:
        disk.call(["mount", "-o", f"remount,{options}", str(self._place)])

    def _apart(self, work: Any) -> Answer:
        def work_as_set() -> Answer:
            self._scenario.setting()
            found: Answer = work()
            return found

        return in_process(work_as_set)


def steps(room: Room, name: str, what: What) -> Iterator[dict[str, Any]]:
    """From no room at all to enough."""
    successes = 0
    for number in range(MOST):
        line = room.try_step(Step(name, what, number * STEPS[what]))
        yield line
        successes = successes + 1 if line["ended"] == "done" else 0
        if successes == ENOUGH or what == "read-only":
            return


def missing() -> str | None:
    return None if os.geteuid() == 0 else "needs root"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", action="append", choices=[*ALL])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    disk.hide_mounts()
    reserve.SIZE = 1 << 16
    preload()
    folder = Path(tempfile.mkdtemp(prefix="epm-full-"))
    counts = Counter[str]()
    try:
        for name in options.scenario or TASKS:
            for what in STEPS:
                lines = Lines(options.out, scenario=name, what=what, seed=options.seed)
                if lines.known:
                    continue
                room = Room(folder, ALL[name], options.seed)
                for line in [*steps(room, name, what)]:
                    lines.add(**line)
                    counts["ok" if line["verdict"] == "ok" else "failed"] += 1
    finally:
        shutil.rmtree(folder)
    sys.stderr.write(json.dumps({"seed": options.seed, **counts}) + "\n")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
