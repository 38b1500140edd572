"""The measurements as Markdown and plots."""

import math
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from benchmarks.contestants import ALL, Contestant
from benchmarks.measure import Sample, Summary
from benchmarks.plot import Bar, bars
from benchmarks.queries import Query
from benchmarks.stages import CHAINS, TARGETS, Stage, Target

MB = 1_000_000


class Results:
    """Samples by stage and contestant, one for each round; store sizes by part after each."""

    def __init__(self, tree: str, files: int, tree_bytes: int, rounds: int) -> None:
        self.tree, self.files, self.tree_bytes, self.rounds = tree, files, tree_bytes, rounds
        self.samples: dict[tuple[str, str], list[Sample]] = {}
        self.stored: dict[tuple[str, str], dict[str, int]] = {}
        self.grown: dict[tuple[str, str], dict[str, int]] = {}
        self.absent: list[Contestant] = []
        self.failures: list[str] = []
        self.place = ""
        self.queries: list[Query] = []

    def add(self, stage: str, name: str, sample: Sample) -> None:
        self.samples.setdefault((stage, name), []).append(sample)

    def summary(self, stage: str, name: str) -> Summary | None:
        samples = self.samples.get((stage, name))
        return Summary.of(samples) if samples else None


class Verdict(NamedTuple):
    """A target and what was measured for it; `text` is the measured value."""

    target: Target
    against: str
    limit: str
    text: str
    met: bool


def parts_sum(sizes: dict[str, int], parts: tuple[str, ...]) -> int:
    return sum(size for part, size in sizes.items() if not parts or part in parts)


def quantity(results: Results, target: Target, stage: str, name: str) -> float | None:
    """The number that a target compares, of one contestant; None if it was not measured."""
    summary = results.summary(stage, name)
    if summary is None:
        return None
    if target.measure == "seconds":
        return summary.median
    if target.measure == "peak":
        return summary.peak_bytes
    sizes = results.stored if target.measure == "stored" else results.grown
    found = sizes.get((stage, name))
    parts = target.parts if name == "epmstore" else ()
    return None if found is None else parts_sum(found, parts)


def spread(results: Results, ours: tuple[str, str], theirs: tuple[str, str]) -> str:
    """Least and most of the ratios within each round."""
    pairs = zip(results.samples[ours], results.samples[theirs], strict=False)
    ratios = [a.seconds / b.seconds for a, b in pairs]
    return f"{min(ratios):.2f} - {max(ratios):.2f}"


def judge(results: Results, target: Target) -> Verdict | None:
    """None if the target does not apply to what was measured."""
    if target.trees and results.tree not in target.trees:
        return None
    ours = quantity(results, target, target.stage, "epmstore")
    if ours is None:
        return None
    what = f"{target.stage}, {target.measure}"
    what += f" ({' + '.join(target.parts)})" if target.parts else ""
    if target.opponent is None:
        limit = target.limit + target.per_file * results.files
        text = f"{ours / MB:.2f} MB"
        if not target.limit:
            text += f", {ours / results.files:.0f} bytes a file"
        return Verdict(target, what, f"{limit / MB:.2f} MB", text, ours <= limit)
    stage, _, name = target.opponent.rpartition(":")
    stage = stage or target.stage
    found = [(quantity(results, target, stage, one), one) for one in name.split("|")]
    theirs, name = min(((n, one) for n, one in found if n), default=(0, name))
    if not theirs:
        return None
    text = f"{ours / theirs:.2f}"
    if target.measure == "seconds" and results.rounds > 1:
        text += f" ({spread(results, (target.stage, 'epmstore'), (stage, name))})"
    against = f"{what}, against {name if stage == target.stage else target.opponent}"
    return Verdict(target, against, f"{target.limit:g}", text, ours / theirs <= target.limit)


def label(contestant: Contestant) -> str:
    return "tar, zstd -3" if contestant.name == "zstd" else contestant.name


def stage_rows(results: Results, stage: Stage) -> list[tuple[Contestant, Summary]]:
    rows = [(one, results.summary(stage.name, one.name)) for one in ALL]
    return [(one, summary) for one, summary in rows if summary is not None]


def stage_table(results: Results, stage: Stage) -> Iterable[str]:
    ours = results.summary(stage.name, "epmstore")
    heads = ("", "seconds (median)", "least - most", "epmstore is", "peak memory, MB")
    yield f"| {' | '.join((*heads, 'store, MB', 'growth, MB'))} |"
    yield "|---|---|---|---|---|---|---|"
    for one, summary in stage_rows(results, stage):
        key = (stage.name, one.name)
        times = f"{ours.median / summary.median:.2f} x" if ours else ""
        yield (
            f"| {label(one)} | {summary.median:.3f} | {summary.least:.3f} - {summary.most:.3f} "
            f"| {'' if one.name == 'epmstore' else times} | {summary.peak_bytes / MB:.0f} "
            f"| {sizes(results.stored.get(key))} | {sizes(results.grown.get(key))} |"
        )


def sizes(found: dict[str, int] | None) -> str:
    if not found:
        return ""
    if len(found) == 1:
        return f"{sum(found.values()) / MB:.2f}"
    return ", ".join(f"{part} {size / MB:.2f}" for part, size in found.items() if size)


def machine() -> str:
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {platform.release()}"
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, {system}"


def write_report(results: Results, target: Path) -> None:
    """`target` and, beside it, `plots/<stage>.svg`."""
    plots = target.parent / "plots"
    plots.mkdir(parents=True, exist_ok=True)
    lines = [
        "# Benchmark report",
        "",
        f"Tree: {results.tree}, {results.files} files, {results.tree_bytes / MB:.0f} MB. "
        f"Rounds: {results.rounds}, contestants in turn. Page cache warm. "
        f"Work folder: {results.place}.",
        "",
        f"Machine: {machine()}, Python {platform.python_version()}.",
        "",
        "Only ratios within one run mean anything. epmstore's times include making the result "
        "durable, hashing twice and, for a checkout, the journal and verification; the other tools "
        "do what they do with the options shown. Peak memory of less than 10 MB cannot be told "
        "apart.",
        "",
        "## Targets",
        "",
        "| target | what | limit | measured (spread) | |",
        "|---|---|---|---|---|",
    ]
    for wanted in TARGETS:
        verdict = judge(results, wanted)
        if verdict is not None:
            lines.append(
                f"| {wanted.name} | {verdict.against} | {verdict.limit} | {verdict.text} "
                f"| {'met' if verdict.met else '**missed**'} |"
            )
    for stage in (stage for chain in CHAINS.values() for stage in chain):
        rows = stage_rows(results, stage)
        if rows:
            lines += ["", f"## {stage.targets}: {stage.title}", "", *stage_table(results, stage)]
            lines += ["", f"![{stage.name}](plots/{stage.name}.svg)"]
            (plots / f"{stage.name}.svg").write_text(stage_plot(stage, rows))
    if results.queries:
        lines += ["", "## P8: questions to the index", "", *query_table(results.queries)]
    lines += ["", "## Contestants", "", *contestant_lines(results)]
    lines += ["", *(f"- failed: {failure}" for failure in dict.fromkeys(results.failures))]
    target.write_text("\n".join(lines).rstrip() + "\n")


def query_table(found: Iterable[Query]) -> Iterable[str]:
    yield "| question | median, ms | 99th percentile, ms | limit, ms | |"
    yield "|---|---|---|---|---|"
    for one in found:
        limit = "" if one.limit is None else f"{one.limit:g}"
        verdict = "" if one.limit is None else ("met" if one.most <= one.limit else "**missed**")
        yield f"| {one.what} | {one.median:.2f} | {one.most:.2f} | {limit} | {verdict} |"


def stage_plot(stage: Stage, rows: list[tuple[Contestant, Summary]]) -> str:
    drawn = [
        Bar(label(one), s.median, s.least, s.most, f"{s.median:.2f} s", one.name == "epmstore")
        for one, s in rows
    ]
    return bars(f"{stage.title} (seconds)", drawn)


def contestant_lines(results: Results) -> Iterable[str]:
    taken = {name for _, name in results.samples}
    for one in ALL:
        if one.name in taken:
            commands = "; ".join(f"{stage}: `{line}`" for stage, line in one.stages.items())
            yield f"- **{label(one)}** ({one.version_line()}). {commands}"
    for one in results.absent:
        yield f"- {label(one)} is not installed: `{one.install}`"


def overview(results: Results) -> str:
    """A few lines for the terminal."""
    verdicts = [found for wanted in TARGETS if (found := judge(results, wanted))]
    rows = [
        f"{v.target.name:4} {'met   ' if v.met else 'MISSED'} {v.text:>26}"
        f"  limit {v.limit}: {v.against}"
        for v in verdicts
    ]
    total = math.fsum(s.seconds for found in results.samples.values() for s in found)
    return "\n".join([*rows, f"{total:.0f} s of measured time"])
