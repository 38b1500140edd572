"""What the report says against the one before: ratios of ratios, spread, sizes."""

from pathlib import Path

from benchmarks import compare
from benchmarks.measure import Sample
from benchmarks.results import About, Figure, Measured, Record, Results, Table, load

THEN = About("aaa", "2026-01-01 00:00", "one machine", "3.11")
NOW = About("bbb", "2026-02-01 00:00", "another machine", "3.11")


def make(about: About, ours: list[float], theirs: list[float], growth: int = 1000) -> Record:
    samples = {"epmstore": ours, "git": theirs}
    stage = {
        name: Measured([Sample(one, one, 50_000_000) for one in seconds])
        for name, seconds in samples.items()
    }
    stage["epmstore"].grown = {"packs": growth}
    tree = Results("linux", ("1", "2"), 10, 1000, about, stages={"cold": stage})
    return Record(trees={"linux": tree})


def test_a_slower_machine_is_not_a_slower_program() -> None:
    then = make(THEN, [1.0, 1.1, 0.9], [2.0, 2.1, 1.9])
    now = make(NOW, [3.0, 3.3, 2.7], [6.0, 6.3, 5.7])
    (found,) = compare.shifts(then, now)
    assert abs(found.change - 1) < 0.01
    assert found.verdict == ""


def test_worse_beyond_the_spread_is_marked() -> None:
    then = make(THEN, [1.0, 1.1, 0.9], [2.0, 2.0, 2.0])
    now = make(NOW, [1.5, 1.6, 1.4], [2.0, 2.0, 2.0])
    (found,) = compare.shifts(then, now)
    assert found.verdict == "**worse**"
    (found,) = compare.shifts(make(THEN, *_of(now)), make(NOW, *_of(then)))
    assert found.verdict == "better"


def test_worse_within_the_spread_is_not() -> None:
    then = make(THEN, [1.0, 1.5, 0.9], [2.0, 2.0, 2.0])
    now = make(NOW, [1.4, 1.6, 1.4], [2.0, 2.0, 2.0])
    (found,) = compare.shifts(then, now)
    assert found.change > 1.3
    assert found.verdict == ""


def test_growth_is_compared_by_bytes() -> None:
    then = make(THEN, [1.0], [2.0])
    found = compare.shifts(then, make(NOW, [1.0], [2.0], growth=1100))
    assert [one.verdict for one in found if "growth of packs" in one.what] == ["**worse**"]
    assert len(compare.shifts(then, make(NOW, [1.0], [2.0], growth=1005))) == 1


def test_other_releases_and_what_was_not_measured_anew_are_left_out() -> None:
    then = make(THEN, [1.0], [2.0])
    assert compare.shifts(then, then) == []
    now = make(NOW, [9.0], [2.0])
    now.trees["linux"].releases = ("1", "3")
    assert compare.shifts(then, now) == []


def test_seconds_are_compared_on_one_machine_only() -> None:
    def tables(about: About, unit: str, value: float) -> Record:
        return Record(tables={"daemon": Table("daemon", about, [Figure("late", unit, value)])})

    assert compare.shifts(tables(THEN, "ms", 10), tables(NOW, "ms", 100)) == []
    (found,) = compare.shifts(tables(THEN, "x", 2), tables(NOW, "x", 3))
    assert found.verdict == "**worse**"


def test_a_report_comes_back_as_it_was(tmp_path: Path) -> None:
    record = make(NOW, [1.0, 3.0], [2.0, 2.0])
    record.save(tmp_path / "report.json")
    assert '"median": 2.0' in (tmp_path / "report.json").read_text()
    assert load(tmp_path / "report.json") == record


def _of(record: Record) -> tuple[list[float], list[float]]:
    stage = record.trees["linux"].stages["cold"]
    ours, theirs = ([s.seconds for s in stage[name].samples] for name in ("epmstore", "git"))
    return ours, theirs
