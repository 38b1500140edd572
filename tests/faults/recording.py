"""The power goes while the daemon records: `python -m tests.faults.recording --help`.

Somebody edits a root that a daemon watches, and syncs nothing. At a random moment the power goes;
the daemon may live on for a while, finds every call failing, and must not claim anything that is
not so. Then the file systems are mounted, and the daemon is started again. Every version that it
said it made is there and can be restored, what it recorded while nobody edited is the same, and the
root as the power left it becomes the newest version. One JSON line a cut, and one at the end.
"""

import argparse
import json
import os
import random
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from epmstore.errors import EpmError
from epmstore.scan import fsclock
from epmstore.store import reserve
from epmstore.workspace import Workspace
from tests.acceptance.trees import make_old, replace, text, write
from tests.faults.disk import KINDS, Machine, cut, hide_mounts
from tests.faults.lines import Lines
from tests.faults.verdict import as_recorded, recorded
from tests.kit.daemon import Daemon
from tests.kit.program import Picture, differences, picture

KEY = "crm"
FILES = 40
LIFE = 12
"""Cuts until the disks are made anew."""
LONGEST = 1.5
"""Seconds of edits before a cut."""
PATIENCE = 60.0
SETTINGS = {
    "EPMSTORE_DAEMON_SETTLE": "50ms",
    "EPMSTORE_DAEMON_SETTLE_MAX": "200ms",
    "EPMSTORE_STORE_MIN_FREE": "off",
}
START = """
import sys
from pathlib import Path
from epmstore import fsio
from epmstore.store import reserve
from epmstore.scan import fsclock
from epmstored.main import main
fsclock.BOOT_ID, without = Path(sys.argv.pop(1)), sys.argv.pop(1)
reserve.SIZE = 1 << 16
if without:
    setattr(fsio, without, lambda fd: None)
sys.exit(main())
"""


class Recording:
    """One machine, and what its daemon said."""

    def __init__(self, machine: Machine, seed: int, without: str, lines: Lines) -> None:
        self._machine = machine
        self._seed = seed
        self._without = without
        self._lines = lines
        self._rng = random.Random(seed)
        self._said: set[int] = set()
        self._quiet: dict[int, Picture] = {}
        self._daemon: Daemon | None = None
        self.cuts = sum(line["cuts"] for line in lines.known)
        self._life = max((line["life"] for line in lines.known), default=0)
        self.failed = 0

    def run(self, cuts: int) -> None:
        """Until so many were made, or one was not survived."""
        while self.cuts < cuts and not self.failed:
            self._life += 1
            self._rng = random.Random(f"{self._seed}/{self._life}")
            self._begin()
            for number in range(LIFE):
                if self.cuts < cuts and not self.failed:
                    self._point(number)

    def _begin(self) -> None:
        machine = self._machine
        self._said, self._quiet = set(), {}
        machine.install()
        machine.root.mkdir()
        make_old(machine.root, FILES, self._rng)
        with Workspace.init(machine.store) as workspace:
            workspace.apps.add(KEY, machine.root)
        machine.sync()

    def _point(self, number: int) -> None:
        """From one start of the daemon to the next."""
        daemon = self._start()
        problems = self._recorded(daemon)
        self._edit(self._rng.uniform(0, LONGEST))
        is_quiet = not problems and self._rng.random() < 0.5
        if is_quiet:
            problems += self._recorded(daemon)
            with Workspace.open(self._machine.store) as workspace:
                newest = workspace.app(KEY).versions()[-1].version
            self._quiet[newest] = picture(self._machine.root)
            self._edit(self._rng.uniform(0, LONGEST / 3))
        lingers = self._cut()
        daemon.kill()
        self._said |= said(daemon)
        self._machine.reboot()
        try:
            problems += self._after()
        except (EpmError, OSError, AssertionError) as error:  # whatever cannot be done any more
            problems.append(f"{type(error).__name__}: {error}")
        self.cuts += 1
        self.failed += bool(problems)
        line = {"life": self._life, "point": number, "task": "daemon", "at": -1, "cuts": 1}
        line |= {"call": "anywhere", "lingers": lingers, "noise": 0.0, "files": FILES}
        self._lines.add(**line, quiet=is_quiet, said=len(self._said), verdict=problems or "ok")

    def _after(self) -> list[str]:
        """What is wrong once the power is back."""
        daemon = self._start()
        problems = self._recorded(daemon)
        if daemon.stop():
            problems.append(f"the daemon failed: {daemon.lines[-3:]}")
        self._said |= said(daemon)
        return [*problems, *self._judged()]

    def _start(self) -> Daemon:
        given = (str(self._machine.boot), self._without)
        starts = [sys.executable, "-c", START, *given]
        daemon = self._daemon = Daemon(self._machine.store, starts=starts, **SETTINGS)
        daemon.wait_for("INFO: ready")
        return daemon

    def end(self) -> None:
        """Nobody of ours runs."""
        if self._daemon is not None and self._daemon.process.poll() is None:
            self._daemon.kill()

    def _cut(self) -> bool:
        """Whether the daemon lived on for a while."""
        descriptors = self._machine.open()
        cut(descriptors)
        for fd in descriptors:
            os.close(fd)
        lingers = self._rng.random() < 0.5
        time.sleep(self._rng.uniform(0, 0.3) if lingers else 0)
        return lingers

    def _recorded(self, daemon: Daemon) -> list[str]:
        """Wait until the newest version is the root."""
        deadline, wrong = time.monotonic() + PATIENCE, [b"everything"]
        while wrong and time.monotonic() < deadline and daemon.process.poll() is None:
            if any(" ERROR: " in line for line in daemon.lines):
                return [f"the daemon has an error: {daemon.lines[-3:]}"]
            time.sleep(0.1)
            with Workspace.open(self._machine.store) as workspace:
                handle = workspace.app(KEY)
                if versions := handle.versions():
                    newest = recorded(handle, versions[-1].version)
                    wrong = differences(newest, as_recorded(picture(self._machine.root)))
        return [f"never recorded: {wrong[:5]}, {daemon.lines[-3:]}"] if wrong else []

    def _judged(self) -> list[str]:
        problems: list[str] = []
        with Workspace.open(self._machine.store) as workspace:
            handle = workspace.app(KEY)
            infos = {info.version: info for info in handle.versions()}
            if lost := self._said - infos.keys():
                problems.append(f"lost versions that the daemon said it made: {sorted(lost)}")
            problems += [f"{n} cannot be restored" for n in infos if not infos[n].restorable]
            for version, expected in self._quiet.items():
                target = self._machine.outside / "exported"
                handle.export(str(version), target)
                if wrong := differences(picture(target), expected):
                    problems.append(f"version {version} is wrong in {wrong[:5]}")
                shutil.rmtree(target)
            report = workspace.care.fsck(1.0)
            if not report.clean:
                problems.append(f"fsck: {report.findings}")
            if not handle.status().clean:
                problems.append("the root is not what is recorded")
        return problems

    def _edit(self, seconds: float) -> None:
        """As somebody does it who does not care about durability."""
        root, rng, end = self._machine.root, self._rng, time.monotonic() + seconds
        while time.monotonic() < end:
            paths = [p for p in root.glob("d*/e*/*") if p.is_file() and not p.is_symlink()]
            path, way = rng.choice(paths), rng.randrange(6)
            if way == 0 and len(paths) > FILES // 2:
                path.unlink()
            elif way == 1:
                path.write_bytes(rng.randbytes(rng.randrange(9000)))
            elif way == 2:
                path.chmod(rng.choice((0o600, 0o640, 0o755)))
            elif way == 3:
                path.rename(path.with_name(f"moved-{rng.randrange(40)}"))
            elif way == 4:
                write(root / f"d0/e0/new-{rng.randrange(40)}", text(rng), rng)
            else:
                replace(path, text(rng), rng)
            time.sleep(rng.uniform(0, 0.04))


def said(daemon: Daemon) -> set[int]:
    """The versions that it reported."""
    found = (re.search(r": version (\d+)", line) for line in daemon.lines)
    return {int(match[1]) for match in found if match}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.recording")
    parser.add_argument("--kind", choices=[*KINDS], default="xfs")
    parser.add_argument("--split", action="store_true", help="store and root on two file systems")
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--without", default="", help="a function of fsio that is to do nothing")
    parser.add_argument("--out", type=Path, help="a file of lines, where it goes on")
    given = parser.parse_args()
    hide_mounts()
    reserve.SIZE = 1 << 16
    os.umask(0o022)
    folder = Path(tempfile.mkdtemp(prefix="epm-recording-", dir="/dev/shm"))
    machine = Machine(KINDS[given.kind], folder, is_split=given.split)
    machine.boot.write_text("first")
    fsclock.BOOT_ID = machine.boot
    lines = Lines(given.out, kind=given.kind, split=given.split, seed=given.seed)
    recording = Recording(machine, given.seed, given.without, lines)
    try:
        recording.run(given.cuts)
    finally:
        recording.end()
        machine.end()
        shutil.rmtree(folder)
    end = {"kind": given.kind, "cuts": recording.cuts, "failed": recording.failed}
    sys.stdout.write(json.dumps(end) + "\n")
    return bool(recording.failed)


if __name__ == "__main__":
    sys.exit(main())
