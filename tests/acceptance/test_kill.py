"""Killed at any moment, a checkout leaves the old tree or the new one, and history says which.

One host goes back and forth between two versions. Each try is killed, either before a mutating call
drawn from all that an undisturbed try makes, or at a random time; some of the recoveries are killed
as well. EPM_TEST_POINTS sets how many kills are tried, EPM_TEST_SEED which.
"""

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from epmstore.checkout.journal import Journal
from epmstore.workspace import Workspace
from tests.acceptance.trees import MTIME, make_new, make_old, replace, text, write
from tests.kit.program import SEED, Picture, ProgramHost, amount, differences, picture, strike

POINTS = amount("EPM_TEST_POINTS", 12)
STATES = ("PLANNED", "STAGED", "SWITCHED", "COMMITTED")


class Doomed(ProgramHost):
    """A host whose commands can be killed."""

    def kill(self, last: int, *args: str) -> bool:
        """Run a command that dies before its mutating call `last`; whether it came so far."""
        return self._killed(self.start(*args, program=strike("SIGKILL", last)))

    def kill_after(self, seconds: float, *args: str) -> bool:
        """Run a command for so long at most."""
        process = self.start(*args)
        time.sleep(seconds)
        process.kill()
        return self._killed(process)

    def _killed(self, process: subprocess.Popen[str]) -> bool:
        _, err = process.communicate()
        assert "Traceback" not in err, err
        return process.returncode == -signal.SIGKILL

    def state(self) -> str:
        """How far an interrupted checkout came, by its journal."""
        found = [path for path in (self.store / "journals").iterdir() if path.suffix == ".journal"]
        loaded = Journal(found[0]).load() if found else None
        return "none" if loaded is None else loaded.state or "begun"


class Swinging:
    """A host that swings between two versions; `checkouts` are killed, and judged."""

    def __init__(self, place: Path, files: int, seed: int) -> None:
        self.rng = random.Random(seed)
        self.host = Doomed(place)
        self.pictures: list[Picture] = []
        self.states: Counter[str] = Counter()
        self.recoveries: Counter[str] = Counter()
        make_old(self.host.root, files, self.rng)
        self.host.set_up()
        self._record("old")
        make_new(self.host.root, files, self.rng)
        self._record("new")
        self.at = 1
        self.calls = 0
        started = time.monotonic()
        for _ in range(2):
            self.calls = self.host.count("checkout", str(1 - self.at))
            self.at = 1 - self.at
            self.judge(self.at)
        self.seconds = (time.monotonic() - started) / 2
        self.history = self.host.log()

    def _record(self, label: str) -> None:
        assert self.host.snapshot("-m", label) == len(self.pictures)
        self.pictures.append(self.host.picture())

    def point(self, number: int, *, in_recovery: bool) -> None:
        """One kill, the recovery (itself killed, if asked for), and what must hold then."""
        to = 1 - self.at
        args = ("checkout", str(to))
        last = self.rng.randrange(1, self.calls + 1)
        if number % 4 == 3:
            died = self.host.kill_after(self.rng.uniform(0, self.seconds), *args)
        else:
            died = self.host.kill(last, *args)
        state = self.host.state() if died else "done"
        self.states[state] += 1
        if in_recovery:
            self._kill_recovery(state, self.calls - last)
        self._judge_recovered(to, state)

    def _kill_recovery(self, state: str, remaining: int) -> None:
        for most in (remaining + 10, 12):
            last = self.rng.randrange(1, most)
            found = self.host.state()
            if self.host.kill(last, "log"):
                self.recoveries[f"{state}, {found}"] += 1

    def _judge_recovered(self, to: int, state: str) -> None:
        before, after = self.history, self.host.log()  # any command recovers
        is_new = len(after) > len(before)
        assert after[: len(before)] == before, "history only grows"
        assert len(after) <= len(before) + 1
        if state in (*STATES[1:], "done"):
            assert is_new, f"{state}: forward after STAGED"
        if state in ("PLANNED", "begun"):
            assert not is_new, f"{state}: back before STAGED"
        if is_new:
            made = after[-1]
            assert (made["of"], made["kind"], made["reason"]) == (to, "change", "checkout"), made
            self.at = to
        self.judge(self.at)
        if is_new and self.rng.random() < 0.2:
            self.host.ok("undo")
            self.at = 1 - to
            self.judge(self.at)
            after = self.host.log()
            assert (after[-1]["of"], after[-1]["reason"]) == (before[-1]["version"], "undo"), after[
                -1
            ]
        self.history = after

    def judge(self, version: int) -> None:
        """The root is this version and nothing else; there is nothing left to do."""
        assert differences(self.host.picture(), self.pictures[version]) == []
        assert self.host.leftovers() == []
        with Workspace.open(self.host.store, recover=False) as workspace:
            handle = workspace.app("crm")
            assert handle.recover() is None, "there is nothing left to do"
            assert handle.status().clean
        assert differences(self.host.picture(), self.pictures[version]) == []


@pytest.mark.slow
@pytest.mark.timeout(120 + 10 * POINTS)
@pytest.mark.parametrize("files", [24, 240])
def test_a_killed_checkout_is_old_or_new(
    tmp_path: Path, files: int, capsys: pytest.CaptureFixture[str]
) -> None:
    points = POINTS // 3 if files < 100 else POINTS - POINTS // 3
    swinging = Swinging(tmp_path, files, SEED)
    for one in range(points):
        swinging.point(one, in_recovery=one % 3 == 0)
    died, again = swinging.states, swinging.recoveries
    with capsys.disabled():
        sys.stdout.write(f"\nseed {SEED}, {files} files: killed {dict(died)}, then {dict(again)}\n")
    past = sum(died[state] for state in STATES[1:])
    assert past >= points // 5
    assert again.total() >= points // 12


@pytest.mark.slow
@pytest.mark.timeout(120 + 10 * POINTS)
def test_a_killed_snapshot_loses_nothing(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    host = Doomed(tmp_path)
    make_old(host.root, 60, rng)
    host.set_up()
    before = host.log()
    for one in range(max(6, POINTS // 4)):
        died = _kill_snapshot(host, rng, one)
        after, live = host.log(), host.picture()
        assert after[: len(before)] == before, "history only grows"
        assert len(after) - len(before) <= 1
        assert died or len(after) > len(before)
        with Workspace.open(host.store) as workspace:
            handle = workspace.app("crm")
            newest = handle.snapshot("now").version
            assert newest == len(handle.versions()) - 1 == len(before), "one change, one version"
            assert handle.status().clean
            handle.export("latest", tmp_path / f"{one}")
        assert differences(picture(tmp_path / f"{one}"), live) == []
        assert host.leftovers() == []
        before = host.log()
        _edit(host.root, rng, one)


def _kill_snapshot(host: Doomed, rng: random.Random, one: int) -> bool:
    if one % 3 == 2:
        return host.kill_after(rng.uniform(0.1, 0.6), "snapshot", "-m", f"change {one}")
    return host.kill(rng.randrange(1, 60), "snapshot", "-m", f"change {one}")


def _edit(root: Path, rng: random.Random, one: int) -> None:
    for number in rng.sample(range(60), 8):
        path = root / f"d{number % 9}/e{number % 4}/f{number}"
        if not path.exists():
            write(path, text(rng), rng)
        elif rng.random() < 0.3:
            path.unlink()
        else:
            replace(path, text(rng), rng)
    write(root / f"new/{one}", b"%d %d" % (one, MTIME), rng)
