"""The measurements as Markdown and plots."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks import compare, plans
from benchmarks.contestants import ALL, Contestant, earlier
from benchmarks.plot import Bar, bars
from benchmarks.results import About, Calls, Figure, Measured, Record, Results, Table
from benchmarks.stages import CHAINS, MAIN, SLOW_FROM, Stage
from benchmarks.targets import MILLION, Verdict, judge_all

MAIN_TREE = "linux"
HEAD = f"""# Benchmark report

Written by `make bench` from `report.json` beside it, where every sample is. Only ratios within one
run mean anything. Contestants take turns (A, B, A, B; another one begins in each round), each on
its own copy of the tree and with a new store; times are medians of the rounds, with the least and
the most. Before the first round each one does everything once over a small tree (warm-up), and the
trees have been read: the page cache is warm.

epmstore's times include making the result durable, hashing twice and, for a checkout, the journal
and verification; what a checkout wrote is compared with the original. The others do what they do
with the options shown. Peak memory of less than 10 MB cannot be told apart. *Written* is what
reached the device until all was synced, the file system's metadata and journal included.
All that is there at one time fits into the page cache: so those that are slow over large trees are
measured in rounds of their own there, with epmstore among them, and (over more than {SLOW_FROM:,}
files) without some stages: see the end.
"""


def render(record: Record, committed: Record | None) -> str:
    """The whole report."""
    lines = [HEAD]
    main = record.trees.get(MAIN_TREE) or next(iter(record.trees.values()), None)
    lines += ["## Targets", "", *target_table(main, record)]
    lines += ["", "## Since the last report", "", *compare.lines(committed, record)]
    if main is not None:
        lines += ["", f"## {main.tree}: {_what(main)}", "", *_about_tree(main)]
        for stage in _stages(main):
            lines += ["", f"### {stage.targets}: {stage.title}", "", *stage_table(main, stage)]
            lines += ["", f"![{stage.name}](plots/{stage.name}.svg)"]
    for table in record.tables.values():
        lines += ["", f"## {table.title}", "", _about(table.about), "", *figure_table(table)]
    if record.calls is not None:
        lines += ["", "## System calls", "", *calls_table(record.calls)]
    for tree in record.trees.values():
        if tree is not main:
            lines += ["", f"## {tree.tree}: {_what(tree)}", "", *_about_tree(tree), ""]
            lines += tree_table(tree)
    lines += ["", "## Contestants", "", *contestant_lines(record)]
    return "\n".join(lines).rstrip() + "\n"


def write(record: Record, committed: Record | None, target: Path) -> None:
    """`target`, `report.json` beside it, and `plots/<stage>.svg`."""
    record.save(target.with_suffix(".json"))
    target.write_text(render(record, committed))
    main = record.trees.get(MAIN_TREE)
    if main is not None:
        plots = target.parent / "plots"
        plots.mkdir(parents=True, exist_ok=True)
        for stage in _stages(main):
            (plots / f"{stage.name}.svg").write_text(stage_plot(main, stage))


def _what(tree: Results) -> str:
    return plans.PLANS[tree.tree].what if tree.tree in plans.PLANS else ""


def _about(about: About) -> str:
    return f"Measured {about.date}, {about.commit}: {about.machine}, Python {about.python}."


def _about_tree(tree: Results) -> Iterator[str]:
    yield (
        f"{tree.releases[0]}, then {tree.releases[1]}: {tree.files:,} files, "
        f"{tree.tree_bytes / MILLION:,.0f} MB. Rounds: {tree.rounds}. Work folder: {tree.place}. "
        + _about(tree.about)
    )
    if tree.failures:
        yield ""
        yield from (f"- failed: {failure}" for failure in dict.fromkeys(tree.failures))


def _stages(tree: Results) -> list[Stage]:
    return [stage for chain in CHAINS.values() for stage in chain if tree.stages.get(stage.name)]


def target_table(main: Results | None, record: Record) -> Iterator[str]:
    yield "| target | what | limit | measured (spread) | |"
    yield "|---|---|---|---|---|"
    for verdict in judge_all(main) if main is not None else ():
        yield _verdict_row(verdict)
    for table in record.tables.values():
        for one in table.figures:
            if one.target and one.limit is not None:
                name, limit = f"| {one.target} | {one.what}", f"{one.limit:g} {one.unit}"
                yield f"{name} | {limit} | {_value(one)} | {_mark(one.is_met)} |"


def _verdict_row(verdict: Verdict) -> str:
    columns = verdict.target.name, verdict.against, verdict.limit, verdict.text
    return f"| {' | '.join(columns)} | {_mark(verdict.met)} |"


def _mark(met: bool | None) -> str:
    return "" if met is None else "met" if met else "**missed**"


SHOWN = (*ALL, earlier("epmstore"))
"""Those that may have taken part; another release of epmstore only where one was asked for."""


def label(contestant: Contestant) -> str:
    return "tar, zstd -3" if contestant.name == "zstd" else contestant.name


def _rows(tree: Results, stage: str) -> list[tuple[Contestant, Measured]]:
    found = [(one, tree.find(stage, one.name)) for one in SHOWN]
    return [(one, measured) for one, measured in found if measured is not None]


def stage_table(tree: Results, stage: Stage) -> Iterator[str]:
    ours = tree.find(stage.name, "epmstore")
    heads = ("", "seconds (median)", "least - most", "rounds", "epmstore is", "CPU, s")
    sizes = ("peak memory, MB", "written, MB", "store, MB", "growth, MB")
    yield f"| {' | '.join((*heads, *sizes))} |"
    yield "|" + "---|" * (len(heads) + len(sizes))
    for one, measured in _rows(tree, stage.name):
        summary = measured.summary
        written = summary.written_bytes
        is_ours = ours is None or one.name == "epmstore"
        ratio = "" if is_ours or ours is None else f"{ours.summary.median / summary.median:.2f} x"
        yield (
            f"| {label(one)} | {summary.median:.3f} | {summary.least:.3f} - {summary.most:.3f} "
            f"| {len(measured.samples)} | {ratio} | {summary.cpu:.2f} "
            f"| {summary.peak_bytes / MILLION:.0f} "
            f"| {'' if written is None else f'{written / MILLION:.1f}'} "
            f"| {_sizes(measured.stored)} | {_sizes(measured.grown)} |"
        )


def _sizes(found: dict[str, int]) -> str:
    if len(found) < 2:
        return "".join(f"{size / MILLION:.2f}" for size in found.values())
    return ", ".join(f"{part} {size / MILLION:.2f}" for part, size in found.items() if size)


def tree_table(tree: Results) -> Iterator[str]:
    """Everything about a tree in one table: a row for each contestant, seconds for each stage."""
    stages = [stage for stage in MAIN if tree.stages.get(stage.name)]
    heads = [f"{stage.name}, s" for stage in stages]
    heads += ["store after cold, MB", "growth for patch, MB", "peak, MB"]
    yield f"| | {' | '.join(heads)} |"
    yield "|" + "---|" * (len(stages) + 4)
    for one in SHOWN:
        found = {stage.name: tree.find(stage.name, one.name) for stage in stages}
        there = {name: measured for name, measured in found.items() if measured is not None}
        if there:
            times = [_seconds(there.get(stage.name)) for stage in stages]
            peak = max(measured.summary.peak_bytes for measured in there.values())
            sizes = _total(there.get("cold"), "stored"), _total(there.get("patch"), "grown")
            yield f"| {label(one)} | {' | '.join((*times, *sizes))} | {peak / MILLION:.0f} |"


def _seconds(measured: Measured | None) -> str:
    if measured is None:
        return ""
    summary = measured.summary
    return f"{summary.median:.2f} ({summary.least:.2f} - {summary.most:.2f})"


def _total(measured: Measured | None, which: str) -> str:
    """Of packs and catalogs, where a store has such parts: the rest can be made from them."""
    sizes = {} if measured is None else getattr(measured, which)
    lasting = {part: size for part, size in sizes.items() if part in ("packs", "catalogs")}
    return f"{sum((lasting or sizes).values()) / MILLION:.2f}" if sizes else ""


def figure_table(table: Table) -> Iterator[str]:
    if table.note:
        yield table.note
        yield ""
    yield "| what | median | 99th percentile or most | limit | |"
    yield "|---|---|---|---|---|"
    for one in table.figures:
        limit = "" if one.limit is None else f"{one.limit:g}"
        most = "" if one.most is None else _number(one.most)
        median = f"{_number(one.median)} {one.unit}".strip()
        yield f"| {one.what} | {median} | {most} | {limit} | {_mark(one.is_met)} |"


def _value(one: Figure) -> str:
    most = "" if one.most is None else f", 99th percentile or most {_number(one.most)}"
    return f"{_number(one.median)} {one.unit}{most}"


def _number(value: float) -> str:
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def calls_table(calls: Calls) -> Iterator[str]:
    yield (
        f"Counted by `strace -f -c` in a run of its own over {calls.tree} ({calls.files:,} files): "
        "calls for each file of the tree, and in brackets all that sync (fsync and the like). "
        + _about(calls.about)
    )
    yield ""
    yield f"| | {' | '.join(calls.counts)} |"
    yield "|" + "---|" * (len(calls.counts) + 1)
    for one in SHOWN:
        cells = [
            f"{found[0] / calls.files:.1f} ({found[1]})"
            if (found := counts.get(one.name)) is not None
            else ""
            for counts in calls.counts.values()
        ]
        if any(cells):
            yield f"| {label(one)} | {' | '.join(cells)} |"


def stage_plot(tree: Results, stage: Stage) -> str:
    drawn = []
    for one, measured in _rows(tree, stage.name):
        s = measured.summary
        is_ours = one.name == "epmstore"
        drawn.append(Bar(label(one), s.median, s.least, s.most, f"{s.median:.2f} s", is_ours))
    return bars(f"{stage.title} (seconds)", drawn)


def contestant_lines(record: Record) -> Iterable[str]:
    versions: dict[str, str] = {}
    for tree in record.trees.values():
        versions |= tree.versions
    for one in ALL:
        name = label(one)
        if one.name not in versions:
            yield f"- **{name}** took no part (to install it: `{one.install}`)"
            continue
        notes = [one.note] if one.note else []
        if one.costly:
            notes.append(f"left out over large trees: {', '.join(sorted(one.costly))}")
        install = f", `{one.install}`" if one.install else ""
        commands = "; ".join(f"{stage}: `{line}`" for stage, line in one.stages.items())
        setup = f"before: `{one.setup}`; " if one.setup else ""
        about = f" {'; '.join(notes)}." if notes else ""
        yield f"- **{name}** ({versions[one.name]}{install}).{about} {setup}{commands}"


def overview(record: Record, main: Results | None) -> str:
    """A few lines for the terminal."""
    rows = [
        f"{v.target.name:4} {'met   ' if v.met else 'MISSED'} {v.text:>26}"
        f"  limit {v.limit}: {v.against}"
        for v in (judge_all(main) if main is not None else ())
    ]
    rows += [
        f"{one.target:4} {'met   ' if one.is_met else 'MISSED'} {_value(one):>26}"
        f"  limit {one.limit:g}: {one.what}"
        for table in record.tables.values()
        for one in table.figures
        if one.target and one.limit is not None
    ]
    return "\n".join(rows)
