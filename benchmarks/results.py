"""What was measured, and `report.json`: the same for machines, so that runs can be compared.

Part by part: a run replaces the parts that it measured anew and leaves the others as they are.
"""

import os
import platform
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.measure import Sample, Summary

FORMAT = 1


class About(msgspec.Struct, frozen=True):
    """When and on what a part was measured."""

    commit: str
    date: str
    machine: str
    python: str

    @classmethod
    def now(cls) -> "About":
        date = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
        return cls(_commit(), date, machine(), platform.python_version())


class Measured(msgspec.Struct):
    """One contestant at one stage: a sample of each round; bytes by part of its store."""

    samples: list[Sample] = []
    stored: dict[str, int] = {}
    grown: dict[str, int] = {}

    @property
    def summary(self) -> Summary:
        return Summary.of(self.samples)


class Results(msgspec.Struct):
    """Everything about one tree (and the release after it): by stage and contestant."""

    tree: str
    releases: tuple[str, str]
    files: int
    tree_bytes: int
    about: About
    place: str = ""
    stages: dict[str, dict[str, Measured]] = {}
    versions: dict[str, str] = {}
    failures: list[str] = []

    def is_like(self, other: "Results") -> bool:
        """Whether samples of both may stand beside each other: same program, machine and tree."""
        mine, theirs = self.about, other.about
        return (mine.commit, mine.machine, self.releases, self.files) == (
            theirs.commit,
            theirs.machine,
            other.releases,
            other.files,
        )

    def of(self, stage: str, name: str) -> Measured:
        """To add to."""
        return self.stages.setdefault(stage, {}).setdefault(name, Measured())

    def find(self, stage: str, name: str) -> Measured | None:
        return self.stages.get(stage, {}).get(name)

    @property
    def rounds(self) -> int:
        """The most that any contestant had at any stage."""
        every = (one for of in self.stages.values() for one in of.values())
        return max((len(one.samples) for one in every), default=0)


class Figure(msgspec.Struct, frozen=True):
    """One number of its own: a median and, of many, what 99 of 100 stay below (`most`). The limit,
    if there is one, is for `most` where it is given.
    """

    what: str
    unit: str
    median: float
    most: float | None = None
    limit: float | None = None
    target: str = ""

    @property
    def is_met(self) -> bool | None:
        reached = self.median if self.most is None else self.most
        return None if self.limit is None else reached <= self.limit


class Table(msgspec.Struct):
    """Figures under a heading."""

    title: str
    about: About
    figures: list[Figure]
    note: str = ""


class Calls(msgspec.Struct):
    """System calls: (all, syncs of any kind), by stage and contestant."""

    about: About
    tree: str
    files: int
    counts: dict[str, dict[str, tuple[int, int]]] = {}


class Record(msgspec.Struct):
    """All parts."""

    format: int = FORMAT
    trees: dict[str, Results] = {}
    tables: dict[str, Table] = {}
    calls: Calls | None = None

    def save(self, path: Path) -> None:
        """As JSON, with the medians and the spread in it for whoever reads it otherwise."""
        document = msgspec.to_builtins(self)
        for tree in document["trees"].values():
            for of in tree["stages"].values():
                for measured in of.values():
                    measured["seconds"] = _seconds(measured)
        text = msgspec.json.format(msgspec.json.encode(document), indent=1)
        path.write_bytes(text + b"\n")


def _seconds(measured: dict[str, Any]) -> dict[str, float]:
    seconds = [sample[0] for sample in measured["samples"]]
    if not seconds:
        return {}
    return {"median": statistics.median(seconds), "least": min(seconds), "most": max(seconds)}


def parse(data: bytes) -> Record:
    """Raises msgspec.ValidationError, or ValueError for a format that is another one."""
    record = msgspec.json.decode(data, type=Record)
    if record.format != FORMAT:
        raise ValueError(f"format {record.format} of the report is not known")
    return record


def load(path: Path) -> Record:
    """What was measured before and not committed, too; empty if there is none that can be read."""
    try:
        return parse(path.read_bytes())
    except (FileNotFoundError, ValueError) as error:
        if not isinstance(error, FileNotFoundError):
            print(f"{path} is made anew: {error}")
        return Record()


def load_committed(path: Path) -> Record | None:
    """The report as it is in the last commit."""
    command = ["git", "show", f"HEAD:./{path.name}"]
    done = subprocess.run(command, cwd=path.parent, capture_output=True, check=False)
    try:
        return parse(done.stdout) if done.returncode == 0 else None
    except ValueError:
        return None


def machine() -> str:
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {platform.release()}"
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, {system}"


def _commit() -> str:
    """And whether anything differs from it, reports apart."""
    name = _git("describe", "--always", "--abbrev=10") or "unknown"
    reports = (":!benchmarks/report.*", ":!benchmarks/plots")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", *reports)
    return f"{name}-dirty" if changed else name


def _git(*words: str) -> str:
    here = Path(__file__).parents[1]
    done = subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=False)
    return done.stdout.strip()
