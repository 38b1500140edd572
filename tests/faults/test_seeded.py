"""Each seeded bug is noticed: by the scenario that it names, at one of its points at the latest."""

import random
from pathlib import Path

import pytest

from epmstore import codec, relpath
from epmstore.blobs import frames
from epmstore.errors import DamagedError
from epmstore.seal import RecordKind
from epmstore.store import reserve
from tests.faults import test_bombs, test_hostile_names
from tests.faults.points import Point, Runner, points
from tests.faults.scenarios import SCENARIOS
from tests.faults.seeded import BUGS, CUT
from tests.kit.program import SEED


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, bug in BUGS.items() if bug.how != CUT])
def test_a_seeded_bug_is_noticed(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reserve, "SIZE", 1 << 16)
    bug = BUGS[name]
    runner = Runner(tmp_path, SCENARIOS[bug.scenario], SEED, bug.make)
    rng = random.Random(SEED)
    found = [*points(bug.scenario, runner.names, bug.how, 1, rng)]
    found = [one for one in found if bug.call in (None, runner.names[one.at - 1])]
    rng.shuffle(found)
    done = Point(bug.scenario, "kill", runner.calls + 1)
    for point in (done, *found):
        line = runner.try_point(point)
        if line["verdict"] != "ok" or line["ended"] == "unexpected":
            return
    pytest.fail(f"{name}: {len(found) + 1} points, and nobody noticed")


def test_rules_of_names_left_out_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relpath, "parse_relpath", relpath.RelPath)
    with pytest.raises(AssertionError):
        test_hostile_names.test_names_that_lead_out_are_refused("links")


def test_limits_left_out_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "_check_size", lambda frame, size: None)
    frame, size = test_bombs.CASES["more than was said"]
    monkeypatch.setattr(codec, "_exactly", lambda data, size: data)
    assert len(codec.decompress(frame, size)) > size
    monkeypatch.undo()
    monkeypatch.setattr(frames, "LARGEST", 1 << 60)
    with pytest.raises(pytest.fail.Exception):
        test_bombs.test_frames_have_a_largest_size(RecordKind.STORED)
    with pytest.raises(DamagedError):
        codec.decompress(frame, size)
