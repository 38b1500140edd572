"""Block replay: what a disk may hold when the power goes, judged state by state.

    python -m tests.faults.replay --kind xfs --out states.jsonl

A scenario is carried out once on a disk that remembers (blockdev.py). Then, for every flush in it:
all that was written before the flush, alone or with some of what was written after it and before
the next one, in pieces of 4 KiB, as a drive with a cache may keep it. Each such image is mounted,
and the store on it is opened and judged. What was acknowledged before that flush must be there. One
JSON line a state; root, FUSE and loop devices are needed.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from epmstore import fsio
from epmstore.scan import fsclock
from epmstore.store import reserve
from tests.faults import disk
from tests.faults.blockdev import Disk, Write
from tests.faults.lines import Lines
from tests.faults.points import ALL, Answer, act, in_process, preload, prepared
from tests.faults.scenarios import Ack, Scenario, Stage
from tests.faults.shim import Shim
from tests.faults.verdict import judge

KINDS = {
    **disk.KINDS,
    "btrfs": disk.Kind(("mkfs.btrfs", "-q", "-f"), 128 << 20),
}
TASKS = (
    "snapshot",
    "snapshot, parts",
    "checkout",
    "checkout over drift",
    "undo",
    "forget",
    "gc, packs",
    "purge",
    "copy",
    "import",
    "together",
)
PIECE = 4096
SUBSETS = 8


class State(NamedTuple):
    """Everything up to entry `flush` of the log, and those `kept` of the pieces that follow."""

    flush: int
    kept: tuple[int, ...] = ()


class Recording(NamedTuple):
    """`log` begins with an empty file system; the task began at entry `start`, and was acknowledged
    when there were `end`.
    """

    log: Sequence[Write | None]
    start: int
    end: int
    done: Ack

    def flushes(self) -> list[int]:
        """From the last one before the task on: where it may have been cut."""
        found = [n for n, entry in enumerate(self.log) if entry is None]
        before = [n for n in found if n < self.start]
        return [*before[-1:], *(n for n in found if n >= self.start)]

    def after(self, flush: int) -> list[Write]:
        """What was under way between this flush and the next one, in pieces."""
        found: list[Write] = []
        for entry in self.log[flush + 1 :]:
            if entry is None:
                break
            found += entry.pieces(PIECE)
        return found

    def promised(self, flush: int) -> Ack:
        """What was acknowledged, if this flush is the last before that, or later."""
        later = any(entry is None for entry in self.log[flush + 1 : self.end])
        return Ack() if later else self.done


class Replay:
    """One scenario on one kind of file system."""

    def __init__(
        self, folder: Path, kind: disk.Kind, scenario: Scenario, seed: int, without: str = ""
    ) -> None:
        self._without = without
        self._folder, self._kind, self._scenario, self._seed = folder, kind, scenario, seed
        self._empty, self._full, self._image = (
            folder / name for name in ("empty", "full", "state")
        )
        self._boot = folder / "boot_id"
        self._place = folder / "place"
        self._place.mkdir(exist_ok=True)
        self._stage = Stage(self._place / "here", random.Random(seed))
        self._at = 0
        fsclock.BOOT_ID = self._boot
        self.recording = self._record()
        shutil.copyfile(self._empty, self._full)

    def _record(self) -> Recording:
        self._boot.write_text("first")
        with self._empty.open("wb") as file:
            file.truncate(self._kind.size)
        disk.call([*self._kind.make, str(self._empty)])
        image = self._folder / "live"
        disk.call(["cp", "--sparse=always", str(self._empty), str(image)])
        with Disk(image, self._folder) as device:
            disk.mount(device.device, self._place, self._kind)
            try:
                start, answer = self._carry_out(device)
            finally:
                disk.unmount(self._place)
            log = device.log()
        image.unlink()
        assert "done" in answer, answer
        return Recording(log, start, answer["end"], answer["done"])

    def _carry_out(self, device: Disk) -> tuple[int, Answer]:
        stage, scenario = self._stage, self._scenario
        stage.root.mkdir(parents=True)

        def prepare() -> Answer:
            scenario.setting()
            return {"stage": prepared(scenario, stage)}

        def carry_out() -> Answer:
            scenario.setting()
            if self._without:
                setattr(fsio, self._without, lambda fd: None)
            return {**act(stage, scenario, Shim(), lambda: None), "end": device.position()}

        answer = in_process(prepare)
        assert "stage" in answer, answer
        stage.take(answer["stage"])
        disk.sync(self._place)
        return device.position(), in_process(carry_out)

    def states(self) -> Iterator[State]:
        """Each flush without and with some of what was under way; no state comes twice."""
        rng = random.Random(self._seed)
        for flush in self.recording.flushes():
            count = len(self.recording.after(flush))
            found = dict.fromkeys(chosen(count, rng) for _ in range(SUBSETS))
            yield from (State(flush, kept) for kept in {(): None, **found})

    def try_state(self, state: State) -> dict[str, Any]:
        """What came of it. States come in the order of their flushes."""
        self._advance(state.flush)
        under_way = self.recording.after(state.flush)
        disk.call(["cp", "--sparse=always", str(self._full), str(self._image)])
        apply(self._image, [under_way[number] for number in state.kept])
        done = self.recording.promised(state.flush)
        return {
            "flush": state.flush,
            "kept": len(state.kept),
            "under_way": len(under_way),
            "acknowledged": done is self.recording.done,
            "verdict": self._judge(done, state.flush) or "ok",
        }

    def _advance(self, flush: int) -> None:
        """Bring the image up to a flush."""
        apply(self._full, (entry for entry in self.recording.log[self._at : flush] if entry))
        self._at = max(self._at, flush)

    def _judge(self, done: Ack, turn: int) -> list[str]:
        self._boot.write_text(uuid.uuid4().hex)
        device = disk.call(["losetup", "--find", "--show", str(self._image)]).strip()
        try:
            disk.mount(device, self._place, self._kind)
            try:
                answer = in_process(self._judged(done, turn))
            finally:
                disk.unmount(self._place)
        except OSError as error:
            return [f"not mounted: {error}"]
        finally:
            disk.call(["losetup", "-d", device])
        found: list[str] = answer.get("problems", [f"the judge died: {answer}"])
        return found

    def _judged(self, done: Ack, turn: int) -> Any:
        def work() -> Answer:
            self._scenario.setting()
            return {"problems": judge(self._stage, self._scenario, done, turn)}

        return work


def chosen(count: int, rng: random.Random) -> tuple[int, ...]:
    """Of so many pieces each with a chance that is drawn first. Later ones stay later."""
    chance = rng.random()
    return tuple(number for number in range(count) if rng.random() < chance)


def apply(image: Path, writes: Sequence[Write] | Iterator[Write]) -> None:
    fd = os.open(image, os.O_WRONLY)
    for offset, data in writes:
        os.pwrite(fd, data, offset)
    os.close(fd)


def missing() -> str | None:
    """Why nothing can be replayed here."""
    return disk.missing() or (None if Path("/dev/fuse").exists() else "needs /dev/fuse")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=[*KINDS], default="xfs")
    parser.add_argument("--scenario", action="append", choices=[*ALL])
    parser.add_argument("--every", type=int, default=1, help="one of so many states")
    parser.add_argument("--limit", type=int, help="at most so many states of a scenario")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--without", default="", help="a function of fsio that is to do nothing")
    parser.add_argument("--stop", action="store_true", help="at the first failure")
    parser.add_argument("--out", type=Path, help="a file of lines, where it goes on")
    options = parser.parse_args()
    disk.hide_mounts()
    reserve.SIZE = 1 << 16
    preload()
    os.umask(0o022)
    counts = Counter[str]()
    for name in options.scenario or TASKS:
        replay_one(name, options, counts)
    sys.stderr.write(json.dumps({"kind": options.kind, "seed": options.seed, **counts}) + "\n")
    return 1 if counts["failed"] else 0


def replay_one(name: str, options: argparse.Namespace, counts: Counter[str]) -> None:
    """A recording is never twice the same: a scenario that is in the file, whole or in part, is
    not begun again.
    """
    lines = Lines(options.out, kind=options.kind, scenario=name, seed=options.seed)
    if lines.known:
        return
    folder = Path(tempfile.mkdtemp(prefix="epm-replay-", dir="/dev/shm"))
    try:
        kind = KINDS[options.kind]
        replay = Replay(folder, kind, ALL[name], options.seed, options.without)
        for state in some([*replay.states()][:: options.every], options.limit):
            line = replay.try_state(state)
            counts["ok" if line["verdict"] == "ok" else "failed"] += 1
            lines.add(**line)
            if options.stop and counts["failed"]:
                break
    finally:
        shutil.rmtree(folder)


def some(states: list[State], limit: int | None) -> list[State]:
    """At most so many, from all over."""
    return states if limit is None else states[:: -(-len(states) // limit)]


if __name__ == "__main__":
    sys.exit(main())
