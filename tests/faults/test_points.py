"""Whatever call goes wrong, in whatever task: what was promised is there, and nothing is half done.

A share of all points by default: EPM_TEST_EVERY=1 tries them all, EPM_TEST_SEED says which trees.
"""

import random
import shutil
import sys
from pathlib import Path

import pytest

from epmstore.store import reserve
from tests.faults.points import ALL, Point, Runner, in_process, points
from tests.faults.scenarios import SCENARIOS
from tests.kit.program import SEED, amount

EVERY = amount("EPM_TEST_EVERY", 320)
HOWS = {
    **{"kill": 1, "lose": 1, "again": 2, "tear": 3, "drop": 0.2, "fail": 9},
    **{"sql-kill": 3, "sql-again": 6, "sql-tear": 6, "sql-fail": 12},
}
"""The share of each: there are fourteen times as many ways to fail."""


@pytest.mark.slow
@pytest.mark.timeout(120 + 60_000 // EVERY)
@pytest.mark.parametrize("scenario", ALL)
def test_every_point(
    tmp_path: Path,
    scenario: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reserve, "SIZE", 1 << 16)
    place = tmp_path / "points"
    runner = Runner(place, ALL[scenario], SEED)
    tried, wrong = 0, []
    for how, share in HOWS.items():
        rng = random.Random(f"{SEED}/{scenario}/{how}")
        every = max(1, int(EVERY * share)) if EVERY > 1 else 1
        names = runner.names_of(how)
        every = min(every, len(names)) if how == "kill" else every  # at least one
        for point in points(scenario, names, how, every, rng):
            line = runner.try_point(point)
            tried += 1
            wrong += [line] if line["verdict"] != "ok" else []
    shutil.rmtree(place)
    with capsys.disabled():
        sys.stdout.write(f"\nseed {SEED}, {scenario}: {tried} points of {runner.calls} calls\n")
    assert wrong == []


def test_a_point_hits_the_call_that_it_names(tmp_path: Path) -> None:
    runner = Runner(tmp_path, SCENARIOS["checkout"], SEED)
    at = runner.names.index("exchange") + 1
    line = runner.try_point(Point("checkout", "kill", at))
    assert (line["call"], line["journal"], line["ended"]) == ("exchange", "STAGED", "killed")
    line = runner.try_point(Point("checkout", "fail", at, "EIO"))
    assert line["ended"] in ("OSError", "DiskFullError"), line
    line = runner.try_point(Point("checkout", "kill", runner.calls + 1))
    assert (line["call"], line["ended"]) == ("none", "done")


def test_a_point_within_sqlite_hits_the_call_that_it_names(tmp_path: Path) -> None:
    runner = Runner(tmp_path, SCENARIOS["snapshot"], SEED)
    names = runner.names_of("sql-kill")
    assert {*names} == {f"sqlite {x}" for x in ("write", "truncate", "sync", "remove")}
    at = names.index("sqlite truncate") + 1
    line = runner.try_point(Point("snapshot", "sql-kill", at))
    assert (line["call"], line["kills"], line["ended"]) == ("sqlite truncate", 1, "killed")
    line = runner.try_point(Point("snapshot", "sql-tear", len(names) + 1))
    assert (line["call"], line["ended"]) == ("none", "done")


@pytest.mark.parametrize("scenario", ["rebuild", "lost index", "old index"])
def test_an_index_that_could_not_be_folded_is_not_put_in_place(
    tmp_path: Path, scenario: str
) -> None:
    """The last writes fold the WAL into the database, and SQLite says nothing when they fail."""
    runner = Runner(tmp_path, SCENARIOS[scenario], SEED)
    names = runner.names_of("sql-fail")
    folds = [at for at, name in enumerate(names, 1) if name == "sqlite truncate"]
    ended = set()
    for fold in folds:
        for at in range(max(1, fold - 8), fold, 3):
            line = runner.try_point(Point(scenario, "sql-fail", at, "EIO", sticky=True))
            assert line["verdict"] == "ok", line
            ended.add(line["ended"])
    assert "OSError" in ended


def test_dying_child_answers_nothing() -> None:
    assert in_process(lambda: {"x": 1}) == {"x": 1}
    assert "Error" in in_process(lambda: {"x": 1 // 0})["problems"][0]
