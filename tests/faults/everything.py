"""All campaigns in full, into a folder where they go on later: `python -m tests.faults.everything
--out campaigns`. Hours; what needs root says so and is left out without.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.faults import disk, full, replay
from tests.faults.further import BIG
from tests.faults.points import WITHIN

CUTS = 1500
"""For each file system and layout."""
DAEMON_CUTS = 100
"""The same, while the daemon records."""
PACKAGES = 20_000
SEEDS = (11, 12)
REAL_CUTS = 24
"""The same, with packs and contents of their real sizes."""
POINTS = {
    **{"kill": 1, "again": 1, "lose": 1, "tear": 1, "drop": 1, "fail": 6},
    **{"sql-kill": 2, "sql-again": 4, "sql-tear": 4, "sql-fail": 8},
}
"""One of so many points, for each way to go wrong."""


class Part(NamedTuple):
    """A campaign: its module, what it is asked for, the file of its lines, and why it cannot be."""

    module: str
    words: tuple[str, ...]
    file: str
    missing: str | None = None


def parts(of: int) -> Iterator[Part]:
    """All of them; with one `of` so many of what each tries, so that all of it is seen to work."""

    def share(every: int = 1) -> tuple[str, str]:
        return "--every", str(every * of)

    def cut(number: int) -> tuple[str, str]:
        return "--cuts", str(-(-number // of))

    for seed in map(str, SEEDS):
        for how, every in POINTS.items():
            file = "points-sqlite" if how.startswith(WITHIN) else f"points-{how}"
            yield Part("points", ("--how", how, *share(every), "--seed", seed), file)
        yield Part("crashes", ("--each", "30", "--shard", f"0/{of}", "--seed", seed), "crashes")
    seed = str(SEEDS[0])
    for name in BIG:
        words = ("--how", "kill", "--scenario", name, *share(), "--seed", seed)
        yield Part("points", words, "points-kill")
    for level in ("read", "whole", "copy"):
        yield Part("bitrot", ("--level", level, *share()), "rot")
    yield Part("full", (), "full", full.missing())
    yield Part("packages", ("--count", str(PACKAGES // of)), "packages")
    for kind in disk.KINDS:
        why = disk.missing() or disk.missing_for(kind)
        for layout in ((), ("--split",)):
            words = ("--kind", kind, *layout, "--seed", seed)
            yield Part("campaign", (*words, *cut(CUTS)), "cuts", why)
            yield Part("recording", (*words, *cut(DAEMON_CUTS)), "cuts-daemon", why)
            yield Part("campaign", (*words, "--real", *cut(REAL_CUTS)), "cuts-real", why)
    for kind, made in replay.KINDS.items():
        why = replay.missing() or disk.missing_tool(made)
        yield Part("replay", ("--kind", kind, *share(2), "--seed", seed), "states", why)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="a folder")
    parser.add_argument("--of", type=int, default=1, help="one of so many of what each tries")
    options = parser.parse_args()
    options.out.mkdir(exist_ok=True)
    failed = 0
    for part in parts(options.of):
        shown = f"{part.module} {' '.join(part.words)}"
        if part.missing:
            sys.stderr.write(f"skipped: {shown}: {part.missing}\n")
            continue
        sys.stderr.write(f"{shown}\n")
        lines = ["--out", str(options.out / f"{part.file}.jsonl")]
        command = [sys.executable, "-m", f"tests.faults.{part.module}", *part.words, *lines]
        failed += bool(subprocess.run(command, check=False).returncode)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
