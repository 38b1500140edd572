"""Samples of commands, and what they come to. Times are only ever compared within one run."""

import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

LAUNCH = Path(__file__).with_name("launch.py")


class CommandError(Exception):
    """A measured command failed, so there is nothing to compare."""


class Sample(NamedTuple):
    """One run: wall time; CPU time and the largest resident set of the command and its children;
    what reached the device by the end, metadata and journal included, where that can be known.
    """

    seconds: float
    cpu: float
    peak_bytes: int
    written_bytes: int | None = None


class Summary(NamedTuple):
    """Samples of one command; medians but for `least`, `most` and the peak."""

    median: float
    least: float
    most: float
    cpu: float
    peak_bytes: int
    written_bytes: float | None

    @classmethod
    def of(cls, samples: list[Sample]) -> "Summary":
        seconds = [sample.seconds for sample in samples]
        written = [s.written_bytes for s in samples if s.written_bytes is not None]
        return cls(
            statistics.median(seconds),
            min(seconds),
            max(seconds),
            statistics.median(sample.cpu for sample in samples),
            max(sample.peak_bytes for sample in samples),
            statistics.median(written) if written else None,
        )


def timed(
    command: str,
    cwd: Path,
    env: Mapping[str, str],
    allowed: tuple[int, ...] = (0,),
    below: Sequence[str] = (),
) -> Sample:
    """Run a shell command once. `below` is what runs what times it: none of its own time counts.
    Raises CommandError with its output if it fails.
    """
    done = subprocess.run(
        [*below, sys.executable, "-I", "-S", str(LAUNCH), command],
        cwd=cwd,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, cpu, peak, code = done.stdout.split()
    if int(code) not in allowed:
        raise CommandError(f"exit code {code}: {command}\n{done.stderr[-2000:]}")
    return Sample(float(seconds), float(cpu), int(peak) * 1024)


def untimed(command: str, cwd: Path, env: Mapping[str, str]) -> None:
    """What has to happen between measurements. Raises CommandError."""
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=cwd,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CommandError(f"exit code {done.returncode}: {command}\n{done.stderr[-2000:]}")


def apparent_bytes(folder: Path, *patterns: str) -> int:
    """Sum of the sizes of the files below those paths of a folder (globs)."""
    found = {path for pattern in patterns for path in folder.glob(pattern)}
    files = {
        file
        for path in found
        for file in (path.rglob("*") if path.is_dir() else (path,))
        if file.is_file() and not file.is_symlink()
    }
    return sum(file.stat().st_size for file in files)
