"""System calls of each contestant, counted once by strace over the tenth of a tree.

Not in the timed rounds, because counting takes many times as long as the work.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.chains import Place
from benchmarks.contestants import Contestant
from benchmarks.measure import CommandError, untimed
from benchmarks.results import About, Calls
from benchmarks.scratch import Scratch
from benchmarks.stages import files_of, make_tenth

STAGES = ("cold", "again", "full")
SYNCS = frozenset({"fsync", "fdatasync", "syncfs", "sync", "sync_file_range", "msync"})


def count(contestants: list[Contestant], older: Path) -> Calls:
    """Over every tenth file of `older`. Raises CommandError if strace is not there."""
    if shutil.which("strace") is None:
        raise CommandError("strace is needed to count system calls: apt install strace")
    tree = make_tenth(older, older.with_name(older.name + ".tenth"))
    found = Calls(About.now(), tree.name, sum(1 for _ in files_of(tree)))
    with Scratch(older.parent / "work") as work:
        for one in contestants:
            if "cold" in one.stages:
                _count_one(Place(one, tree, work), found)
    return found


def _count_one(place: Place, found: Calls) -> None:
    one = place.contestant
    place.prepare()
    for stage in STAGES:
        if stage not in one.stages:
            continue
        if stage == "full":
            place.out.mkdir()
        counts = _traced(place.text(one.stages[stage]), place)
        print(f"{one.name:14} {stage:8} {counts[0]:9} system calls", file=sys.stderr, flush=True)
        found.counts.setdefault(stage, {})[one.name] = counts
        if stage in one.after:
            untimed(place.text(one.after[stage]), place.root, place.env)


def _traced(command: str, place: Place) -> tuple[int, int]:
    """(calls, those of them that sync) of a command and its children."""
    table = place.home / "strace"
    done = subprocess.run(
        ["strace", "-f", "-c", "-o", str(table), "sh", "-c", command],
        cwd=place.root,
        env={**os.environ, **place.env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CommandError(f"exit code {done.returncode}: {command}\n{done.stderr[-2000:]}")
    return read_table(table.read_text())


def read_table(text: str) -> tuple[int, int]:
    """What `strace -c` wrote: share, seconds, microseconds a call, calls, errors (if any), name."""
    rows = [line.split() for line in text.splitlines()]
    calls = {row[-1]: int(row[3]) for row in rows if len(row) >= 5 and row[3].isdigit()}
    total = calls.pop("total")
    return total, sum(number for name, number in calls.items() if name in SYNCS)
