"""The plug is pulled on a whole machine: `python -m tests.machine.plug --help`.

A life begins with the machine of states.py; then come points. A point is a task, SIGKILL for qemu
at a random moment of it, sometimes once or twice more while the machine starts again, and the
verdict. One JSON line a point; a campaign that is broken off goes on with its next life.
"""

import argparse
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

from tests.faults.lines import Lines
from tests.machine import crm, image, states, verdict
from tests.machine.drive import Lost
from tests.machine.vm import Hung, Vm

LIFE: Final = 6
"""Points until the machine is a new one."""
WEIGHTS: Final = {"recording": 4, "checkout": 5, "full": 1, "upgrade": 3}
AGAIN: Final = (0, 0, 0, 1, 1, 2)
"""How often the power goes again while the machine starts."""
FIRST: Final = {"recording": 20.0, "checkout": 60.0, "full": 60.0, "upgrade": 120.0, "boot": 60.0}
"""Seconds that a task takes, until one of its kind came to an end."""
LEAPS: Final = 0.15
"""Of so many starts the clock of the hardware says 2000."""
BATTERY: Final = "2000-01-01T00:00:00"

EDIT: Final = """
cd /opt/crm/lib
n=0
while [ $n -lt 400 ]; do
    n=$((n + 1))
    head -c $((n * 37 % 9000)) /dev/urandom >"d$((n % 12))/extra$((n % 40))"
    case $((n % 7)) in
        0) rm -f "d$((n % 5))/extra$((n % 40))" ;;
        1) echo "port = $n" >/opt/crm/etc/crm.conf ;;
        2) [ $((n % 3)) = 0 ] && sync ;;
    esac
    sleep 0.$((n % 4))
done
"""
"""Somebody works in the root, and the daemon records."""
FILL = "free=$(df --output=avail -B1 / | tail -1); fallocate -l $((free - $1)) /var/tmp/fill; sync"


class Task(NamedTuple):
    """What is under way when the power goes."""

    kind: str
    words: tuple[str, ...]
    goal: str | None = None
    """The release of crm that is to be live after it."""


class Life:
    """One machine, until it has been cut `LIFE` times or a verdict is not good."""

    def __init__(self, vm: Vm, sums: dict[str, str], rng: random.Random) -> None:
        self._vm, self._sums, self._rng = vm, sums, rng
        self._seconds = dict(FIRST)
        self._live, self._package = crm.RELEASES[1], "newer"
        self.cuts = 0

    def begin(self) -> None:
        self._vm.start()
        self._vm.run("systemctl", "is-system-running", "--wait", check=False)

    def point(self) -> dict[str, object]:
        """The facts of one point; its cuts, and its verdict."""
        vm, rng = self._vm, self._rng
        task = self._next()
        known = verdict.Known(self._sums, {self._live}, verdict.versions(vm))
        if task.goal is not None:
            known.releases.add(task.goal)
        begun = time.monotonic()
        at = rng.uniform(0, self._seconds[task.kind] * 1.1)
        number = vm.ask(*task.words)
        is_done = vm.is_answered(number, at)
        if is_done:
            self._seconds[task.kind] = time.monotonic() - begun
            known = self._acknowledged(task, number, known)
        lost = [vm.cut(rng)]
        again = [self._again(lost) for _ in range(rng.choice(AGAIN))]
        clock = BATTERY if rng.random() < LEAPS else None
        line: dict[str, object] = {
            "task": task.kind, "goal": task.goal, "at": round(at, 2), "done": is_done,
            "again": again, "clock": clock, "lost": [tuple(one) for one in lost],
            "cuts": len(lost),
        }  # fmt: skip
        self.cuts += len(lost)
        return line | {"verdict": self._judge(task, known, clock)}

    def _next(self) -> Task:
        rng = self._rng
        kind = rng.choices([*WEIGHTS], [*WEIGHTS.values()])[0]
        if kind == "recording":
            return Task(kind, ("sh", "-c", EDIT))
        if kind == "upgrade":
            other = {"newer": "earlier", "earlier": "newer"}[self._package]
            self._vm.sh("mountpoint -q /mnt || mount -o ro /dev/vdb /mnt")
            return Task(kind, ("dpkg", "-i", f"/mnt/{other}.deb"))
        if kind == "full":
            self._vm.sh(FILL, "sh", str(rng.choice((0, 1 << 20, 8 << 20))))
        goal = next(name for name in crm.RELEASES if name != self._live)
        version = crm.RELEASES.index(goal)
        return Task(kind, ("epmstore", "checkout", str(version), "--app", "crm"), goal)

    def _acknowledged(self, task: Task, number: int, known: verdict.Known) -> verdict.Known:
        """What a task that came to its end adds to what must be true."""
        done = self._vm.answer(number)
        if task.goal is not None and done.code == 0:
            return verdict.Known(self._sums, {task.goal}, verdict.versions(self._vm))
        return known

    def _again(self, lost: list[Lost]) -> float:
        """The power goes while the machine starts; when."""
        at = self._rng.uniform(0.2, 1.2) * self._seconds["boot"]
        self._vm.start(wait=False)
        time.sleep(at)
        lost.append(self._vm.cut(self._rng))
        return round(at, 2)

    def _judge(self, task: Task, known: verdict.Known, clock: str | None) -> object:
        vm, begun = self._vm, time.monotonic()
        try:
            vm.start(clock=clock)
            vm.run("systemctl", "is-system-running", "--wait", check=False)
            self._seconds["boot"] = time.monotonic() - begun
            found = verdict.judge(vm, known)
            self._live = found.live or self._live
            problems = [*found.problems]
            vm.run("rm", "-f", "/var/tmp/fill")
            if task.kind == "upgrade" and not problems:
                problems += self._mend()
        except (Hung, AssertionError) as error:
            return [repr(error)[:4000]]
        return problems or "ok"

    def _mend(self) -> list[str]:
        """What an administrator, or an unattended upgrade, does next: it is installed again."""
        vm = self._vm
        installed = vm.sh("dpkg-query -W -f '${Status} ${Version}' epmstore").strip()
        name = "earlier" if installed.endswith(" 0.0.1") else "newer"
        if not installed.startswith("install ok installed"):
            vm.sh("mountpoint -q /mnt || mount -o ro /dev/vdb /mnt")
            done = vm.run("dpkg", "-i", f"/mnt/{name}.deb", check=False)
            if done.code:
                return [f"not to be installed after a cut: {done.err[-1000:]}"]
        self._package = name
        return verdict.services(vm)


def run(options: argparse.Namespace, lines: Lines) -> Counter[str]:
    """Until so many cuts were made, those of earlier runs among them; how many points were what."""
    state = states.installed(options.kind)
    seen = Counter("ok" if line["verdict"] == "ok" else "wrong" for line in lines.known)
    number = max((line["life"] for line in lines.known), default=0)
    left = options.cuts - sum(line["cuts"] for line in lines.known)
    end = time.monotonic() + options.minutes * 60
    while left > 0 and time.monotonic() < end:
        number += 1
        with states.running(state.image, state.platter) as vm:
            life = Life(vm, state.sums, random.Random(f"{options.seed}/{number}"))
            life.begin()
            for point in range(LIFE):
                line = life.point()
                lines.add(life=number, point=point, **line)
                seen["ok" if line["verdict"] == "ok" else "wrong"] += 1
                if line["verdict"] != "ok" or life.cuts >= left or time.monotonic() > end:
                    break
            left -= life.cuts
    return seen


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.machine.plug", description=__doc__)
    parser.add_argument("--kind", choices=[*image.KINDS], default="ext4")
    parser.add_argument("--cuts", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=10**6, help="begin no point after that")
    parser.add_argument("--out", type=Path, help="a file of lines, where it goes on")
    options = parser.parse_args()
    if why := image.missing():
        sys.stderr.write(f"{why}\n")
        return 2
    lines = Lines(options.out, kind=options.kind, seed=options.seed)
    seen = run(options, lines)
    sys.stderr.write(f"{options.kind}: {dict(seen)}\n")
    return bool(seen["wrong"])


if __name__ == "__main__":
    sys.exit(main())
