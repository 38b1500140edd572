"""The power goes in the middle of a checkout, and the host starts again: `python -m
tests.faults.boot --help`.

At boot the command of `epmstore-boot@.service` runs, word for word; sometimes the power goes in
the middle of it, too. Then the application's start looks at its files: they are the old ones or the
new ones. One JSON line a cut, and one at the end.
"""

import argparse
import contextlib
import io
import json
import os
import random
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from epmstore import fsio, locks
from epmstore.cli.main import main as epmstore
from epmstore.places import DAEMON_LOCK, SYSTEM_STORE
from epmstore.scan import fsclock
from epmstore.store import reserve
from epmstore.workspace import Workspace
from tests.acceptance.trees import make_new, make_old
from tests.faults.disk import KINDS, Machine, cut, hide_mounts
from tests.kit.program import Picture, differences, picture

UNIT = Path(__file__).parents[2] / "daemon" / "systemd" / "system" / "epmstore-boot@.service"
FILES = 40
NEVER = 10**9
DONE_IN_PART = 3
"""Which the unit counts as success."""


class Boot:
    """One application whose new version is live; it is cut on the way back to the old one."""

    def __init__(self, machine: Machine, seed: int, *, has_unit: bool) -> None:
        self._machine = machine
        self._has_unit = has_unit
        self._rng = random.Random(seed)
        self._hooks = machine.outside / "hooks"
        self._calls = {"checkout": 0, "recover": 0}
        self.cuts = 0
        self.failed = 0
        self.ends = {"old": 0, "new": 0}

    def prepare(self) -> None:
        machine, rng = self._machine, self._rng
        machine.install()
        machine.root.mkdir()
        make_old(machine.root, FILES, rng)
        self.old = picture(machine.root)
        Workspace.init(machine.store).close()
        self._epmstore("app", "add", "crm", str(machine.root))
        say = shlex.quote(f"echo $EPMSTORE_HOOK >> {self._hooks}")
        hooks = [
            word for hook in ("stop", "start", "health") for word in (f"--{hook}", f"sh -c {say}")
        ]
        self._epmstore("app", "set", "crm", *hooks)
        self._epmstore("snapshot")
        make_new(machine.root, FILES, rng)
        self._epmstore("snapshot")
        self.new = picture(machine.root)
        machine.sync()

    def measure(self) -> None:
        """How many calls there are to be cut at."""
        self._calls["checkout"] = self._child(lambda: self._checkout(confirm=False), NEVER)
        self._back()
        self._calls["recover"] = 40

    def point(self) -> None:
        """One cut, the start of the host, and what is there then."""
        confirm = self._rng.random() < 0.5
        at = self._rng.randint(1, self._calls["checkout"])
        self._hooks.write_text("")
        self._child(lambda: self._checkout(confirm=confirm), at)
        self.cuts += 1
        self._machine.reboot()
        if self._rng.random() < 0.5:
            self._child(self._recover, self._rng.randint(1, self._calls["recover"]))
            self.cuts += 1
            self._machine.reboot()
        self._hooks.write_text("")
        code = self._recover()
        found = picture(self._machine.root)
        problems = self._problems(found, code, confirm=confirm)
        self.failed += bool(problems)
        end = "old" if found == self.old else "new"
        self.ends[end] += not problems
        _print(at=at, confirm=confirm, end=end, problems=problems)
        if not problems:
            self._back()

    def _problems(self, found: Picture, code: int, *, confirm: bool) -> list[str]:
        problems = []
        if code not in (0, DONE_IN_PART):
            problems.append(f"the unit fails with {code}, and the application does not start")
        if found not in (self.old, self.new):
            problems += ["between old and new:", *map(repr, differences(self.new, found)[:5])]
        if self._hooks.read_text():
            problems.append(f"hooks ran at boot: {self._hooks.read_text().split()}")
        with Workspace.open(self._machine.store) as workspace:
            handle = workspace.app("crm")
            if not handle.status().clean:
                problems.append("what is there is not what is recorded")
            waits = handle.obligations.owed is not None
        if waits and not (confirm and found == self.old):
            problems.append("something is still owed")
        if confirm and found == self.old and not waits:
            problems.append("nobody would undo what nobody confirmed")
        return problems

    def _back(self) -> None:
        """The new version is live again, and nothing is owed."""
        with Workspace.open(self._machine.store) as workspace:
            handle = workspace.app("crm")
            if handle.obligations.pending is not None:
                handle.confirm()
            handle.checkout("1", hooks=False)
        assert picture(self._machine.root) == self.new
        self._machine.sync()

    # What is cut.

    def _checkout(self, *, confirm: bool) -> None:
        with contextlib.ExitStack() as stack:
            if confirm:  # as if there were a daemon
                stack.enter_context(locks.hold(self._machine.store / "locks", DAEMON_LOCK))
            self._epmstore("checkout", "0", *(["--confirm", "10w"] if confirm else []))

    def _recover(self) -> int:
        """As the unit says, for the store of this machine."""
        if not self._has_unit:
            return 0
        [line] = [x for x in UNIT.read_text().splitlines() if x.startswith("ExecStart=")]
        words = shlex.split(line.removeprefix("ExecStart=").replace("%i", "crm"))
        assert words.pop(0) == "epmstore"
        own = [str(self._machine.store) if word == str(SYSTEM_STORE) else word for word in words]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return epmstore(own)

    def _epmstore(self, *words: str) -> None:
        said = io.StringIO()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            code = epmstore([*words, "--store", str(self._machine.store)])
        assert code == 0, said.getvalue()

    def _child(self, act: Callable[[], Any], at: int) -> int:
        """In a process of its own, with the power going at its call `at`; how many calls it made,
        if that was beyond the last.
        """
        reader, writer = os.pipe()
        child = os.fork()
        if child:
            os.close(writer)
            with os.fdopen(reader) as answer:
                said = answer.read()
            os.waitpid(child, 0)
            return int(said or 0)
        try:
            calls = self._arm(at)
            act()
            os.write(writer, str(len(calls)).encode())
            if at < NEVER:
                cut(self._machine.open())  # it was over: the power goes then
        finally:
            os._exit(0)

    def _arm(self, at: int) -> list[str]:
        calls: list[str] = []
        descriptors = self._machine.open()

        def fault(call: str, arguments: tuple[object, ...]) -> None:
            calls.append(call)
            if len(calls) == at:
                cut(descriptors)
                os.kill(os.getpid(), signal.SIGKILL)

        fsio.install_fault(fault)
        return calls


def _print(**line: object) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.boot")
    parser.add_argument("--kind", choices=[*KINDS], default="xfs")
    parser.add_argument("--split", action="store_true", help="store and root on two file systems")
    parser.add_argument("--cuts", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--without-unit", action="store_true", help="nothing runs at boot")
    given = parser.parse_args()
    hide_mounts()
    reserve.SIZE = 1 << 16
    os.umask(0o022)
    folder = Path(tempfile.mkdtemp(prefix="epm-boot-", dir="/dev/shm"))
    machine = Machine(KINDS[given.kind], folder, is_split=given.split)
    machine.boot.write_text("first")
    fsclock.BOOT_ID = machine.boot
    boot = Boot(machine, given.seed, has_unit=not given.without_unit)
    try:
        boot.prepare()
        boot.measure()
        while boot.cuts < given.cuts and not boot.failed:
            boot.point()
    finally:
        machine.end()
        shutil.rmtree(folder)
    _print(seed=given.seed, kind=given.kind, cuts=boot.cuts, failed=boot.failed, **boot.ends)
    return 1 if boot.failed else 0


if __name__ == "__main__":
    sys.exit(main())
