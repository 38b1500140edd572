"""What the daemon costs and how late it is, over real roots at once.

    python -m benchmarks.daemon COPY [COPY ...] [--idle 60] [--changes 1000] [--soak MINUTES]

The roots are changed (lines are added to their files): give copies. Measured are the start over a
known root, CPU while nothing happens, memory, and for single changes further apart than the settle
time, how long after it each is recorded, and that each became a version of its own with its path.
`--soak` goes on changing files and says how memory grows; descriptors must not grow.
"""

import argparse
import itertools
import os
import random
import re
import stat
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from benchmarks.results import Figure
from epmstore.care import ledger
from epmstore.measures import parse_duration
from epmstore.workspace import Workspace
from epmstored.schedule import ORDER

SETTLE = parse_duration(os.environ.get("EPMSTORE_DAEMON_SETTLE", "2s"))
ASKED = 20
TITLE = "P7, P10: the daemon"
STEP = 2.0
"""MiB by which the daemon may be larger at the end of a soak, without having grown all the time."""
TICKS = os.sysconf("SC_CLK_TCK")


class Daemon:
    """A process, what it says and when, and what it uses."""

    def __init__(self, store: Path) -> None:
        command = [str(Path(sys.executable).with_name("epmstored")), "run", "--store", str(store)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.begun = time.monotonic()
        self.lines: list[tuple[float, str]] = []
        self._more = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def wait_for(self, pattern: str, after: int = 0, timeout: float = 600) -> tuple[int, float]:
        """(number of lines so far, when it was said)."""
        deadline = time.monotonic() + timeout
        with self._more:
            while True:
                for number, (at, line) in enumerate(self.lines[after:], after + 1):
                    if re.search(pattern, line):
                        return number, at
                if not self._more.wait(deadline - time.monotonic()):
                    raise SystemExit(f"never said: {pattern}; {self.lines[-5:]}")

    def cpu(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self, name: str = "VmRSS") -> float:
        """MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (found,) = [line for line in status.splitlines() if line.startswith(name)]
        return int(found.split()[1]) / 1024

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self) -> None:
        self.process.terminate()
        if self.process.wait(120):
            raise SystemExit(f"ended with {self.process.returncode}: {self.lines[-5:]}")

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._more:
                self.lines.append((time.monotonic(), line.rstrip()))
                self._more.notify_all()


def say(figures: list[Figure]) -> None:
    for one in figures:
        most = "" if one.most is None else f", {one.most:.3f}"
        missed = "" if one.is_met is not False else f"  MISSED: {one.limit:g} at most"
        print(f"{one.what:<56} {one.median:.3f}{most} {one.unit}{missed}", flush=True)


def files_of(root: Path) -> list[Path]:
    """Regular files with one name."""
    found = []
    for folder, _, names in os.walk(root):
        for name in names:
            stats = os.lstat(os.path.join(folder, name))
            if stat.S_ISREG(stats.st_mode) and stats.st_nlink == 1:
                found.append(Path(folder, name))
    return found


def changes(roots: dict[str, Path]) -> Iterator[tuple[str, str]]:
    """(key, path) of one file after the other that a line was added to."""
    chance = random.Random(7)
    files = {key: files_of(root) for key, root in roots.items()}
    while True:
        key = chance.choice(sorted(roots))
        path = chance.choice(files[key])
        with path.open("a") as file:
            file.write("\n")
        yield key, str(path.relative_to(roots[key]))


def measure_changes(
    daemon: Daemon, store: Path, roots: dict[str, Path], count: int
) -> list[Figure]:
    """One file after the other, each a version of its own with exactly that path."""
    late, made, seen, cpu = [], [], len(daemon.lines), daemon.cpu()
    for key, path in changes(roots):
        changed = time.monotonic()
        seen, at = daemon.wait_for(rf"{key}: version (\d+) \(event\), 1 paths", seen)
        late.append((at - changed - SETTLE) * 1000)
        made.append((key, path, re.findall(r"version (\d+)", daemon.lines[seen - 1][1])[0]))
        if len(late) >= count:
            break
    cpu = (daemon.cpu() - cpu) / count * 1000
    with Workspace.open(store) as workspace:
        for key, path, version in made:
            found = [one.path for one in workspace.app(key).diff(str(int(version) - 1), version)]
            if found != [path]:
                raise SystemExit(f"{key} {version} is {found} and not {path}")
    late.sort()
    most = late[min(len(late) - 1, len(late) * 99 // 100)]
    what = f"from a change to its version, beyond the settle time ({count} changes)"
    return [
        Figure(what, "ms", statistics.median(late), most, 100, "P7"),
        Figure("CPU of the daemon for a change", "ms", cpu),
    ]


def measure_status(store: Path, root: Path) -> list[Figure]:
    """`epmstore status`, which asks the daemon, and a Python that does nothing, in turn."""
    programs = Path(sys.executable).parent
    commands = {
        "status": [str(programs / "epmstore"), "status"],
        "pass": [sys.executable, "-c", "pass"],
        "version": [str(programs / "epmstore"), "--version"],
    }
    environment = {**os.environ, "EPMSTORE_STORE": str(store)}
    took: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ASKED):
        for name, command in commands.items():
            begun = time.perf_counter()
            done = subprocess.run(command, cwd=root, env=environment, capture_output=True)
            took[name].append(time.perf_counter() - begun)
            if done.returncode:
                raise SystemExit(f"{name}: {done.stderr.decode()}")
    status, version, nothing = (sorted(took[name]) for name in ("status", "version", "pass"))
    middle = statistics.median(nothing)
    against = "against `python -c pass`"
    return [
        Figure("`epmstore status`", "s", statistics.median(status), limit=0.15, target="P4"),
        Figure(
            f"`epmstore status`, {against}", "x", statistics.median(status) / middle, None, 6, "P10"
        ),
        Figure(
            f"`epmstore --version`, {against}",
            "x",
            statistics.median(version) / middle,
            None,
            6,
            "P10",
        ),
    ]


def put_care_off(store: Path) -> None:
    """The first proofs, checks and collections of a new store would begin after ten minutes: they
    are work of another kind, and are said to be done.
    """
    now = time.time()
    done = {task: ledger.TaskTimes(now, now) for task in ORDER}
    ledger.change(store, lambda old: msgspec.structs.replace(old, tasks=done))


def soak(daemon: Daemon, roots: dict[str, Path], minutes: float) -> list[Figure]:
    """A change every half second, and a look at what the daemon holds; the first third is warming
    up. Nothing is left out of the rest: growth is its median slope, and a step, which a slope may
    pass over, shows between the medians of its first and its last tenth.
    """
    samples: list[tuple[float, float, int]] = []
    end, begun = time.monotonic() + minutes * 60, time.monotonic()
    for _ in changes(roots):
        time.sleep(0.5)
        samples.append((time.monotonic() - begun, daemon.memory(), daemon.descriptors()))
        if time.monotonic() > end:
            break
    return grown(samples, minutes)


def grown(samples: Sequence[tuple[float, float, int]], minutes: float) -> list[Figure]:
    """What a soak came to, of (second, MiB, descriptors)."""
    rest = samples[len(samples) // 3 :]
    memory = [(at, size) for at, size, _ in rest]
    files = [(at, count) for at, _, count in rest]
    first, last = ends(memory)
    over = f"growth over {minutes:.0f} min of soak"
    return [
        Figure(f"memory, {over}", "MiB an hour", median_slope(memory) * 3600, None, 1, "soak"),
        Figure("memory, first and last tenth of it", "MiB", first, last, first + STEP, "soak"),
        Figure("memory, most while it records", "MiB", max(size for _, size in memory)),
        Figure(f"descriptors, {over}", "an hour", median_slope(files) * 3600, None, 0, "soak"),
        Figure("descriptors, first and last tenth of it", "", *ends(files)),
        Figure("descriptors, most while it records", "", max(count for _, count in files)),
    ]


def ends(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Medians of the first and of the last tenth."""
    tenth = max(len(points) // 10, 1)
    values = [value for _, value in points]
    return statistics.median(values[:tenth]), statistics.median(values[-tenth:])


def median_slope(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs (Theil and Sen): a moment in which more was needed
    does not tilt it.
    """
    return statistics.median(
        (y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in itertools.combinations(points, 2)
    )


def measure(
    roots: dict[str, Path], store: Path, changed: int, idle: float, minutes: float = 0
) -> list[Figure]:
    """Record the roots into a new store, watch, change. The store stays."""
    found = []
    with Workspace.init(store) as workspace:
        for key, root in roots.items():
            workspace.apps.add(key, root)
            found.append(
                Figure(f"files of {root.name}", "", workspace.app(key).snapshot("base").added)
            )
    put_care_off(store)
    daemon = Daemon(store)
    try:
        started = daemon.wait_for("INFO: ready")[1] - daemon.begun
        found.append(Figure("start over roots that are known", "s", started))
        time.sleep(3)  # what it does after it said so is not idleness
        cpu = daemon.cpu()
        time.sleep(idle)
        spent = (daemon.cpu() - cpu) / idle * 100
        found += [
            Figure(f"CPU while nothing happens ({idle:.0f} s)", "%", spent, limit=0.1, target="P7"),
            Figure("memory, and the most of it", "MiB", daemon.memory(), daemon.memory("VmHWM")),
            *measure_status(store, next(iter(roots.values()))),
            *measure_changes(daemon, store, roots, changed),
        ]
        if minutes:
            found += soak(daemon, roots, minutes)
        found.append(Figure("memory at the end", "MiB", daemon.memory(), daemon.memory("VmHWM")))
    finally:
        daemon.stop()
    troubles = [line for _, line in daemon.lines if "WARNING" in line or "ERROR" in line]
    print("\n".join(troubles[:5]), file=sys.stderr)
    return [*found, Figure("warnings and errors", "", len(troubles), limit=0)]


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the daemon on copies of real trees.")
    parser.add_argument("roots", nargs="+", type=Path)
    parser.add_argument("--idle", type=float, default=60, help="seconds of watching nothing")
    parser.add_argument("--changes", type=int, default=1000)
    parser.add_argument("--soak", type=float, default=0, help="minutes")
    options = parser.parse_args()
    roots = {f"root{number}": root.absolute() for number, root in enumerate(options.roots)}
    with tempfile.TemporaryDirectory(dir=options.roots[0].absolute().parent) as scratch:
        store = Path(scratch, "store")
        say(measure(roots, store, options.changes, options.idle, options.soak))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
