"""What has changed since the last committed report: values in, lines out.

Machines differ, and one machine from day to day. So times are not compared, but what epmstore took
against the same peer at the same stage, then and now. It is worse (or better) only if the ratios of
the rounds then and now do not overlap, for more than half of the peers.
"""

import statistics
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.results import Figure, Measured, Record, Results
from benchmarks.targets import MILLION, ratios

SAME = 0.01
"""Sizes that differ by less are the same; memory by less than ten times that."""


class Shift(NamedTuple):
    """One quantity: `change` is now against then, smaller is better; `beyond` whether the spread
    does not explain it.
    """

    what: str
    then: str
    now: str
    change: float
    beyond: bool

    @property
    def verdict(self) -> str:
        if not self.beyond:
            return ""
        return "**worse**" if self.change > 1 else "better"


def shifts(then: Record, now: Record) -> list[Shift]:
    """Of all parts that both have and that were measured anew."""
    found: list[Shift] = []
    for name, tree in now.trees.items():
        old = then.trees.get(name)
        if old is not None and old.about != tree.about and old.releases == tree.releases:
            found += _tree(old, tree)
    for name, table in now.tables.items():
        before = then.tables.get(name)
        if before is not None and before.about != table.about:
            same = before.about.machine == table.about.machine
            found += _figures(table.title, before.figures, table.figures, same_machine=same)
    return found


def _tree(then: Results, now: Results) -> Iterator[Shift]:
    for stage, of in now.stages.items():
        ours, before = of.get("epmstore"), then.find(stage, "epmstore")
        if ours is None or before is None:
            continue
        what = f"{now.tree}, {stage}"
        times = _times(then, now, stage)
        if times is not None:
            yield times._replace(what=f"{what}, time against {times.what}")
        for part, size in ours.grown.items():
            yield from _size(f"{what}, growth of {part}", before.grown.get(part), size, SAME)
        peaks = before.summary.peak_bytes, ours.summary.peak_bytes
        yield from _size(f"{what}, peak memory", *peaks, 10 * SAME)


def _times(then: Results, now: Results, stage: str) -> Shift | None:
    """Against all peers that were there both times; `what` is who they are."""
    old, new, names = [], [], []
    for name in now.stages[stage]:
        other = then.find(stage, name)
        if name != "epmstore" and other is not None and other.samples:
            old.append(ratios(_ours(then, stage), other))
            new.append(ratios(_ours(now, stage), now.stages[stage][name]))
            names.append(name)
    if not names:
        return None
    changes = [statistics.median(b) / statistics.median(a) for a, b in zip(old, new, strict=True)]
    apart = [max(b) < min(a) or min(b) > max(a) for a, b in zip(old, new, strict=True)]
    return Shift(
        ", ".join(names),
        ", ".join(f"{statistics.median(one):.2f}" for one in old),
        ", ".join(f"{statistics.median(one):.2f}" for one in new),
        statistics.median(changes),
        sum(apart) * 2 > len(names),
    )


def _ours(results: Results, stage: str) -> Measured:
    return results.stages[stage]["epmstore"]


def _size(what: str, then: int | None, now: int, same: float) -> Iterator[Shift]:
    if not then or not now:
        return
    change = now / then
    if abs(change - 1) > same:
        yield Shift(what, f"{then / MILLION:.2f} MB", f"{now / MILLION:.2f} MB", change, True)


def _figures(
    title: str, then: list[Figure], now: list[Figure], *, same_machine: bool
) -> Iterator[Shift]:
    """What is a ratio or a size can be compared anywhere, the rest on one machine only, and there
    within a third.
    """
    before = {one.what: one for one in then}
    for one in now:
        old = before.get(one.what)
        if old is None or not old.median or not one.median:
            continue
        anywhere = one.unit in ("x", "MB", "bytes")
        change = one.median / old.median
        if (anywhere or same_machine) and abs(change - 1) > (SAME if anywhere else 1 / 3):
            yield Shift(
                f"{title}: {one.what}",
                f"{old.median:.3g} {one.unit}",
                f"{one.median:.3g} {one.unit}",
                change,
                True,
            )


def lines(then: Record | None, now: Record) -> list[str]:
    """The section of the report."""
    if then is None:
        return ["No report was committed before this one that could be compared with."]
    found = shifts(then, now)
    if not found:
        return ["Nothing that the committed report has was measured anew, or nothing differs."]
    worse = sum(one.verdict == "**worse**" for one in found)
    commits = {tree.about.commit for tree in then.trees.values()}
    rows = [
        f"| {one.what} | {one.then} | {one.now} | {one.change:.2f} | {one.verdict} |"
        for one in found
    ]
    return [
        f"Compared with the report of {', '.join(sorted(commits))}: {worse} of {len(found)} "
        "quantities got worse beyond the spread. Times are ratios to the same peers, then and "
        "now; what is marked lies outside the spread of the rounds. Sizes and memory that did not "
        "change are left out.",
        "",
        "| what | then | now | now / then | |",
        "|---|---|---|---|---|",
        *rows,
    ]
