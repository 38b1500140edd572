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

CUTS = 1500
"""For each file system and layout."""
DAEMON_CUTS = 100
"""The same, while the daemon records."""
SEEDS = (11, 12)


class Part(NamedTuple):
    """A campaign: its module, what it is asked for, the file of its lines, and why it cannot be."""

    module: str
    words: tuple[str, ...]
    file: str
    missing: str | None = None


def parts() -> Iterator[Part]:
    for seed in SEEDS:
        given = ("--seed", str(seed))
        for how in ("kill", "again", "lose", "tear", "drop"):
            yield Part("points", ("--how", how, *given), f"points-{how}")
        yield Part("points", ("--how", "fail", "--every", "6", *given), "points-fail")
        for how, every in (("kill", "2"), ("again", "4"), ("tear", "4"), ("fail", "8")):
            words = ("--how", f"sql-{how}", "--every", every, *given)
            yield Part("points", words, "points-sqlite")
    for name in BIG:
        words = ("--how", "kill", "--scenario", name, "--seed", str(SEEDS[0]))
        yield Part("points", words, "points-kill")
    for seed in SEEDS:
        yield Part("crashes", ("--each", "30", "--seed", str(seed)), "crashes")
    yield Part("bitrot", (), "rot")
    yield Part("bitrot", ("--level", "whole"), "rot")
    yield Part("full", (), "full", full.missing())
    for kind in disk.KINDS:
        for layout in ((), ("--split",)):
            words = ("--kind", kind, *layout, "--cuts", str(CUTS), "--seed", str(SEEDS[0]))
            why = disk.missing() or disk.missing_for(kind)
            yield Part("campaign", words, "cuts", why)
            words = ("--kind", kind, *layout, "--cuts", str(DAEMON_CUTS), "--seed", str(SEEDS[0]))
            yield Part("recording", words, "cuts-daemon", why)
    for kind, made in replay.KINDS.items():
        why = replay.missing() or disk.missing_tool(made)
        words = ("--kind", kind, "--every", "2", "--seed", str(SEEDS[0]))
        yield Part("replay", words, "states", why)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="a folder")
    options = parser.parse_args()
    options.out.mkdir(exist_ok=True)
    failed = 0
    for part in parts():
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
