"""How cost grows with the number of files: one row of figures for each tree, for docs/scale.md.

    python -m benchmarks.scale TREE [TREE ...]
    python -m benchmarks.scale --fit TREE [TREE ...]       and straight lines through the rows

Measured on copies of the trees: a first snapshot; `snapshot` and `status` with nothing changed; a
snapshot after 100 files changed; the start of a daemon, its memory, and what the kernel keeps for
its watches. Times are CPU seconds, children included, so that a busy machine does not matter much.
"""

import argparse
import os
import random
import shutil
import statistics
import sys
import time
from pathlib import Path

from benchmarks.chains import Place
from benchmarks.contestants import EPMSTORE
from benchmarks.daemon import Daemon, files_of
from benchmarks.measure import timed, untimed
from benchmarks.scratch import Scratch
from benchmarks.trees import CACHE

CHANGED = 100
PINNED = ("inotify_inode_mark", "ext4_inode_cache", "dentry")
"""What the kernel keeps for each watch, by names of /proc/slabinfo."""

Row = dict[str, float]


def measure(tree: Path, work: Path) -> Row:
    """Everything about one tree, on a copy of it below `work`."""
    place = Place(EPMSTORE, tree, work)
    place.prepare()
    row: Row = {
        "files": sum(len(names) for _, _, names in os.walk(place.root)),
        "folders": sum(1 for _ in os.walk(place.root)),
        "bytes": sum(one.lstat().st_size for one in files_of(place.root)),
    }
    _run(place, row, "cold", "epmstore snapshot -m cold")
    sizes = place.stored()
    for part, size in sizes.items():
        row[f"{part}, bytes a file"] = size / row["files"]
    _run(place, row, "again", "epmstore snapshot")
    _run(place, row, "status", "epmstore status")
    for path in random.Random(5).sample(files_of(place.root), CHANGED):
        with path.open("ab") as file:
            file.write(b"\nchanged\n")
    _run(place, row, "100 changed", "epmstore snapshot -m changed")
    for part, size in place.stored().items():
        row[f"{part}, bytes a change"] = (size - sizes[part]) / CHANGED
    _daemon(place, row)
    return row


def _run(place: Place, row: Row, what: str, command: str) -> None:
    sample = timed(command, place.root, place.env)
    row[f"{what}, CPU s"] = sample.cpu
    row[f"{what}, peak MB"] = sample.peak_bytes / 1e6


def _daemon(place: Place, row: Row) -> None:
    daemon = Daemon(Path(place.env["EPMSTORE_STORE"]))
    try:
        daemon.wait_for("INFO: ready")
        time.sleep(3)
        row["daemon: start, CPU s"] = daemon.cpu()
        row["daemon: memory, MiB"] = daemon.memory()
        row["daemon: most memory, MiB"] = daemon.memory("VmHWM")
        row["daemon: watches"] = _watches(daemon.process.pid)
    finally:
        daemon.stop()


def _watches(process: int) -> int:
    folder = Path(f"/proc/{process}/fdinfo")
    return sum(file.read_text().count("inotify wd:") for file in folder.iterdir())


def kernel_bytes() -> dict[str, int]:
    """Sizes of the kernel's objects that a watch pins. Needs root."""
    lines = [line.split() for line in Path("/proc/slabinfo").read_text().splitlines()]
    return {line[0]: int(line[3]) for line in lines if line[0] in PINNED}


def show(rows: dict[str, Row]) -> None:
    print(f"\n| | {' | '.join(rows)} |\n|---|{'---|' * len(rows)}")
    for what in next(iter(rows.values())):
        print(f"| {what} | {' | '.join(_text(row[what]) for row in rows.values())} |")


def _text(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:.3g}"


def fit(rows: dict[str, Row]) -> None:
    """Straight lines over the number of files: what is there anyway, and what a file costs."""
    print("\n| | fixed | for 1,000 files |\n|---|---|---|")
    files = [row["files"] for row in rows.values()]
    for what in next(iter(rows.values())):
        if "CPU s" in what or " MB" in what or "MiB" in what:
            found = [row[what] for row in rows.values()]
            slope, fixed = statistics.linear_regression(files, found)
            print(f"| {what} | {fixed:.2f} | {slope * 1000:.4f} |")


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure how cost grows with the files.")
    parser.add_argument("trees", nargs="+", type=Path)
    parser.add_argument("--fit", action="store_true", help="lines through the rows")
    options = parser.parse_args()
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    untimed("epmstore --version", Path.cwd(), {})
    rows: dict[str, Row] = {}
    for tree in options.trees:
        print(tree.name, file=sys.stderr, flush=True)
        with Scratch(CACHE / "work.scale") as work:
            rows[tree.name] = measure(tree.absolute(), work)
            shutil.rmtree(work / EPMSTORE.name)
    show(rows)
    if options.fit:
        fit(rows)
    print("\nThe kernel, bytes for a watch:", kernel_bytes())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
