"""The targets, and whether what was measured reaches them: values in, verdicts out."""

from typing import NamedTuple

from benchmarks.results import Measured, Results

MILLION = 1_000_000


class Target(NamedTuple):
    """`ours` of epmstore at a stage against `theirs`; measure: seconds, stored, grown or peak.

    Without an opponent the limit is absolute. An opponent `stage:NAME` is epmstore at that stage;
    of `A|B` the better one counts.
    `per_file` is added to an absolute limit for each file of the tree.
    """

    name: str
    stage: str
    measure: str
    opponent: str | None
    limit: float
    parts: tuple[str, ...] = ()
    per_file: float = 0.0
    trees: tuple[str, ...] = ()


TARGETS = (
    Target("P1", "cold", "seconds", "zstd", 1.3),
    Target("P1", "cold", "seconds", "restic", 0.25),
    Target("P1", "cold", "seconds", "git", 0.2),
    Target("P2", "cold", "stored", "zstd", 1.08, ("packs", "catalogs")),
    Target("P2", "cold", "stored", "restic", 0.85, ("packs", "catalogs")),
    Target("P2", "cold", "stored", None, 0, ("index",), per_file=300),
    Target("P3", "patch", "seconds", "restic", 0.3),
    Target("P3", "patch", "grown", None, 2.5 * MILLION, ("packs",), trees=("linux",)),
    Target("P3", "patch", "grown", "restic", 0.05, ("packs",)),
    Target("P3b", "touched", "seconds", "restic", 0.5),
    Target("P3b", "touched", "grown", None, 2.5 * MILLION, ("packs",), trees=("linux",)),
    Target("P3b", "touched", "grown", None, 0, ("catalogs", "index"), per_file=120),
    Target("P4", "again", "seconds", "rsync", 1.5),
    Target("P4", "again", "seconds", "restic", 0.2),
    Target("P4", "status", "seconds", "again:rsync", 1.5),
    Target("P5", "back", "seconds", "git", 1.0),
    Target("P5", "back", "seconds", "restic", 0.2),
    Target("P6", "full", "seconds", "cp", 0.8),
    Target("P9", "cold", "seconds", "tenth:epmstore", 11),
    Target("P9", "cold", "peak", None, 150 * MILLION, per_file=400),
    Target("P9", "huge", "peak", None, 64 * MILLION + (4 << 20)),
    *(
        Target("P11", stage, "grown", "restic|borg", 1.1)
        for stage in ("random", "ahead", "before", "behind")
    ),
    Target("P10", "start", "seconds", "python", 6),
)


class Verdict(NamedTuple):
    """A target and what was measured for it; `text` is the measured value."""

    target: Target
    against: str
    limit: str
    text: str
    met: bool


def quantity(results: Results, target: Target, stage: str, name: str) -> float | None:
    """The number that a target compares, of one contestant; None if it was not measured."""
    found = results.find(stage, name)
    if found is None or not found.samples:
        return None
    if target.measure == "seconds":
        return found.summary.median
    if target.measure == "peak":
        return found.summary.peak_bytes
    sizes = found.stored if target.measure == "stored" else found.grown
    if not sizes:
        return None
    parts = target.parts if name == "epmstore" else ()
    return sum(size for part, size in sizes.items() if not parts or part in parts)


def ratios(ours: Measured, theirs: Measured) -> list[float]:
    """Of the times within each round in which both took part."""
    pairs = zip(ours.samples, theirs.samples, strict=False)
    return [a.seconds / b.seconds for a, b in pairs]


def judge(results: Results, target: Target) -> Verdict | None:
    """None if the target does not apply to what was measured."""
    ours = quantity(results, target, target.stage, "epmstore")
    if ours is None or (target.trees and results.tree not in target.trees):
        return None
    what = f"{target.stage}, {target.measure}"
    what += f" ({' + '.join(target.parts)})" if target.parts else ""
    if target.opponent is None:
        return _judge_alone(results, target, ours, what)
    stage, _, names = target.opponent.rpartition(":")
    stage = stage or target.stage
    found = [(quantity(results, target, stage, one), one) for one in names.split("|")]
    theirs, name = min(((n, one) for n, one in found if n), default=(0, ""))
    mine, other = results.find(target.stage, "epmstore"), results.find(stage, name)
    if not theirs or mine is None or other is None:
        return None
    text = f"{ours / theirs:.2f}"
    if target.measure == "seconds" and results.rounds > 1:
        spread = ratios(mine, other)
        text += f" ({min(spread):.2f} - {max(spread):.2f})"
    against = f"{what}, against {name if stage == target.stage else target.opponent}"
    return Verdict(target, against, f"{target.limit:g}", text, ours / theirs <= target.limit)


def _judge_alone(results: Results, target: Target, ours: float, what: str) -> Verdict:
    limit = target.limit + target.per_file * results.files
    text = f"{ours / MILLION:.2f} MB"
    if not target.limit:
        text += f", {ours / results.files:.0f} bytes a file"
    return Verdict(target, what, f"{limit / MILLION:.2f} MB", text, ours <= limit)


def judge_all(results: Results) -> list[Verdict]:
    return [found for target in TARGETS if (found := judge(results, target)) is not None]
