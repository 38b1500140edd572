"""States that a power cut may leave, each opened and judged: `python -m tests.faults.crashes -h`.

The calls of a task are recorded once (oplog.py); of the cuts before every call of it, states are
chosen by a seed, made real in memory, opened with the usual recovery, and judged as points are. No
state is tried twice. One JSON line a state; with `--out` those that are in the file are not tried
again.
"""

import argparse
import json
import os
import random
import shutil
import stat
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from epmstore.checkout import journal, transaction
from epmstore.errors import EpmError
from epmstore.store import reserve
from tests.faults import scenarios
from tests.faults.lines import Lines
from tests.faults.oplog import Log, Node, Recorder, State, choices
from tests.faults.points import in_process, journal_state, preload, prepared
from tests.faults.scenarios import ROOTS, SCENARIOS, Ack, Scenario, Stage
from tests.faults.together import TOGETHER, TOGETHER_CUT
from tests.faults.verdict import judge

TASKS = {**SCENARIOS, **TOGETHER, **TOGETHER_CUT}
FILES = 8
EACH = 6
"""States at each call, beside that in which all is lost and that in which nothing is."""


class Crash(NamedTuple):
    """A state to try: the scenario, the call before which the power went, and which choice."""

    scenario: str
    at: int
    number: int
    seed: int


class Model:
    """The log of one task, and the place where states of it are made real."""

    def __init__(
        self, place: Path, scenario: Scenario, seed: int, bug: Callable[[], None] = lambda: None
    ) -> None:
        """`bug` is brought about in the process of the task, and in no other."""
        self._scenario = scenario
        self._stage = Stage(place / "here", random.Random(seed))
        self._stage.root.mkdir(parents=True)
        answer = in_process(self._prepare)
        self._stage.take(answer["stage"])
        recorded = in_process(lambda: self._record(bug))
        self.error: str = recorded.get("error", "")
        self.log: Log = recorded["log"]
        self._done: Ack = recorded.get("done", Ack())
        self._tried: set[str] = set()

    def _prepare(self) -> dict[str, Any]:
        self._scenario.setting()
        return {"stage": prepared(self._scenario, self._stage)}

    def _record(self, bug: Callable[[], None]) -> dict[str, Any]:
        self._scenario.setting()
        bug()
        answer: dict[str, Any] = {}
        recorder = Recorder(self._stage.place)
        try:
            with recorder:
                answer["done"] = self._scenario.act(self._stage)
        except (EpmError, OSError) as error:
            answer["error"] = repr(error)
        return {**answer, "log": recorder.log}

    def crashes(
        self, name: str, seed: int, each: int, shard: int = 0, shards: int = 1
    ) -> Iterator[tuple[Crash, State]]:
        """All states to try, none twice; of one of so many shards of the calls."""
        for at in range(shard, len(self.log.calls) + 1, shards):
            rng = random.Random(f"{seed}/{name}/{at}")
            for number, (kept, overlay, is_split) in enumerate(choices(self.log, at, rng, each)):
                state = self.log.state(at, kept, overlay, is_split=is_split)
                key = f"{at == len(self.log.calls)}/{state.digest}"
                if key not in self._tried:
                    self._tried.add(key)
                    yield Crash(name, at, number, seed), state

    def try_state(self, crash: Crash, state: State) -> dict[str, object]:
        """What came of it, as the line to print."""
        is_done = crash.at == len(self.log.calls) and not self.error
        done = self._done if is_done else Ack()
        verdict = in_process(lambda: self._judge(state, done, crash.at + crash.number))
        problems = verdict.get("problems", ["the judge died"])
        return {
            **crash._asdict(),
            "call": "none" if is_done else [*self.log.calls, "none"][crash.at],
            "loose": len(self.log.loose(crash.at)),
            "journal": verdict.get("journal", "unknown"),
            "state": state.digest,
            "verdict": problems or "ok",
        }

    def _judge(self, state: State, done: Ack, turn: int) -> dict[str, Any]:
        self._scenario.setting()
        inodes = make(self._stage.place, self.log.place, state)
        _translate(inodes)
        found = journal_state(self._stage.store)
        return {"journal": found, "problems": judge(self._stage, self._scenario, done, turn)}


def make(place: Path, ino: int, state: State) -> dict[int, os.stat_result]:
    """Make a state real, in place of what is there; what became of each inode. Roots stay the
    folders that they are, because an application knows its own by that.
    """
    for path in place.iterdir():
        if path.name not in ROOTS:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            continue
        for old in path.iterdir():
            shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    below: dict[int, list[tuple[bytes, int]]] = {}
    for (folder, name), child in state.names.items():
        below.setdefault(folder, []).append((name, child))
    made: dict[int, bytes] = {}
    _fill(os.fsencode(place), ino, state, below, made)
    for shown, data in state.overlay.items():
        if (place / shown).parent.is_dir():
            (place / shown).write_bytes(data)
            (place / shown).chmod(0o600)
    return {number: os.lstat(path) for number, path in made.items()}


def _fill(
    path: bytes,
    ino: int,
    state: State,
    below: dict[int, list[tuple[bytes, int]]],
    made: dict[int, bytes],
) -> None:
    for name, child in below.get(ino, ()):
        where, node = os.path.join(path, name), state.nodes[child]
        if child in made:
            os.link(made[child], where, follow_symlinks=False)
            continue
        made[child] = where
        if stat.S_ISDIR(node.kind):
            os.makedirs(where, exist_ok=True)
            _fill(where, child, state, below, made)
        elif node.target:
            os.symlink(node.target, where)
        else:
            with open(where, "wb") as file:
                file.write(node.data)
        _describe(where, node)


def _describe(where: bytes, node: Node) -> None:
    os.chown(where, *node.owner, follow_symlinks=False)
    if not node.target:
        os.chmod(where, node.mode)
    for name, value in node.xattrs.items():
        os.setxattr(where, name, value, follow_symlinks=False)
    if node.mtime is not None:
        os.utime(where, ns=(node.mtime, node.mtime), follow_symlinks=False)


def _translate(inodes: dict[int, os.stat_result]) -> None:
    """A journal speaks of inodes as they were in the log, and so does what was decided."""
    load, decided = journal.Journal.load, transaction.TransactionFile.load

    def now(said: dict[int, int]) -> dict[int, int]:
        return {n: inodes[i].st_ino if i in inodes else i for n, i in said.items()}

    def translated_decision(self: transaction.TransactionFile) -> transaction.Decision | None:
        found = decided(self)
        if found is None:
            return None
        members = [msgspec.structs.replace(m, inodes=now(m.inodes)) for m in found.members]
        return msgspec.structs.replace(found, members=tuple(members))

    def translated(self: journal.Journal) -> journal.Loaded | None:
        found = load(self)
        if found is None:
            return None
        steps = []
        for step in found.steps:
            seen = step.seen
            if seen is not None and seen.ino in inodes:
                made = inodes[seen.ino]
                seen = msgspec.structs.replace(
                    seen, dev=made.st_dev, ino=made.st_ino, ctime_ns=made.st_ctime_ns
                )
            steps.append(msgspec.structs.replace(step, seen=seen))
        stage = found.stage
        if stage is not None and stage.inode in inodes:
            stage = msgspec.structs.replace(stage, inode=inodes[stage.inode].st_ino)
        return msgspec.structs.replace(
            found, inodes=now(found.inodes), steps=tuple(steps), stage=stage
        )

    setattr(journal.Journal, "load", translated)  # noqa: B010
    setattr(transaction.TransactionFile, "load", translated_decision)  # noqa: B010


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", action="append", choices=list(TASKS))
    parser.add_argument("--each", type=int, default=EACH, help="states at each call, beside two")
    parser.add_argument("--files", type=int, default=FILES, help="about so many, in the root")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shard", default="0/1", help="this one of so many")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--place", type=Path, default=Path("/dev/shm"))
    options = parser.parse_args()
    reserve.SIZE = 1 << 16
    preload()
    scenarios.FILES = options.files
    shard, shards = map(int, options.shard.split("/"))
    lines, counts = Lines(options.out, seed=options.seed), Counter[str]()
    known = {Crash(*(x[n] for n in Crash._fields)) for x in lines.known if x["verdict"] == "ok"}
    for name in options.scenario or TASKS:
        place = options.place / f"epm-crashes-{os.getpid()}"
        try:
            model = Model(place, TASKS[name], options.seed)
            for crash, state in model.crashes(name, options.seed, options.each, shard, shards):
                if crash in known:
                    continue
                line = model.try_state(crash, state)
                counts["ok" if line["verdict"] == "ok" else "failed"] += 1
                lines.add(**line)
        finally:
            shutil.rmtree(place, ignore_errors=True)
    sys.stderr.write(json.dumps({"seed": options.seed, **counts}) + "\n")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
