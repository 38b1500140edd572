"""What a power cut may leave by the rules of the weakest file system: nothing promised is lost.

A share of all states by default: EPM_TEST_CRASHES=1 tries all that the seed chooses.
"""

import random
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from epmstore.store import reserve
from tests.faults import scenarios
from tests.faults.crashes import EACH, FILES, TASKS, Crash, Model, make
from tests.faults.oplog import State, choices
from tests.faults.scenarios import SCENARIOS
from tests.faults.seeded import BUGS, CUT, Bug
from tests.kit.program import SEED, amount, differences, picture

EVERY = amount("EPM_TEST_CRASHES", 90)
CALLS = max(1, EVERY // 5)
"""Of so many calls one is looked at: to work out states that are not tried takes time, too."""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reserve, "SIZE", 1 << 16)
    monkeypatch.setattr(scenarios, "FILES", FILES)


@pytest.mark.slow
@pytest.mark.timeout(120 + 6000 // EVERY)
@pytest.mark.parametrize("name", TASKS)
def test_power_cuts_leave_recoverable_stores(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Model(tmp_path, TASKS[name], SEED)
    assert model.error == "" and model.log.calls
    rng, last = random.Random(f"{SEED}/{name}"), len(model.log.calls)
    some = [*model.crashes(name, SEED, EACH, rng.randrange(CALLS), CALLS)]
    every = EVERY // CALLS
    chosen = [*some[rng.randrange(every) :: every], *model.crashes(name, SEED, EACH, last)]
    lines = [model.try_state(crash, state) for crash, state in chosen]
    wrong = [line for line in lines if line["verdict"] != "ok"]
    with capsys.disabled():
        sys.stdout.write(f"\nseed {SEED}, {name}: {len(lines)} states\n")
    assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, bug in BUGS.items() if bug.how == CUT])
def test_a_seeded_bug_is_noticed(tmp_path: Path, name: str) -> None:
    """Or the test above proves nothing."""
    bug = BUGS[name]
    model = Model(tmp_path, TASKS[bug.scenario], SEED, bug.make)
    for crash, state in _likely(model, bug):
        if model.try_state(crash, state)["verdict"] != "ok":
            return
    pytest.fail(f"{name}: nobody noticed")


def _likely(model: Model, bug: Bug) -> Iterable[tuple[Crash, State]]:
    """States, from where the bug is said to be noticed on; else what was acknowledged first."""
    if bug.call is not None:
        return model.crashes(bug.scenario, SEED, EACH, model.log.calls.index(bug.call) + 1)
    found = [*model.crashes(bug.scenario, SEED, 2)]
    random.Random(SEED).shuffle(found)
    return sorted(found, key=lambda one: one[0].at < len(model.log.calls))


def test_all_that_was_done_is_one_of_the_states(tmp_path: Path) -> None:
    """The model agrees with the file system where nothing is lost."""
    model = Model(tmp_path, SCENARIOS["checkout"], SEED)
    log, end = model.log, len(model.log.calls)
    _, (kept, overlay, is_split) = [*choices(log, end, random.Random(SEED), 0)]
    state = log.state(end, kept, overlay, is_split=is_split)
    again = tmp_path / "again"
    (again / "root").mkdir(parents=True)
    expected = picture(tmp_path / "here/root")
    make(again, log.place, state)
    assert differences(picture(again / "root"), expected) == []
