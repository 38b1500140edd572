"""Too little room, a little more each time: it is said, nothing is lost, and then it goes on.

EPM_TEST_ROOM=1 tries every task and every step (docs/reliability.md).
"""

from pathlib import Path

import pytest

from tests.faults import disk
from tests.faults.full import STEPS, TASKS, Room, Step, What, missing, steps
from tests.faults.points import ALL, in_process
from tests.kit.program import SEED, amount

ALL_OF_THEM = amount("EPM_TEST_ROOM", 0)
FEW = ("snapshot", "checkout, parts")


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.timeout(300 + 600 * ALL_OF_THEM)
@pytest.mark.parametrize("what", STEPS)
@pytest.mark.parametrize("name", TASKS if ALL_OF_THEM else FEW)
def test_there_is_no_room(name: str, what: What, tmp_path: Path) -> None:
    if why := missing():
        pytest.skip(f"small file systems: {why}")

    def work() -> dict[str, object]:
        disk.hide_mounts()
        return {"lines": [*steps(Room(tmp_path, ALL[name], SEED), name, what)]}

    lines = in_process(work)["lines"]
    assert [line for line in lines if line["verdict"] != "ok"] == []
    assert lines[0]["ended"] != "done"
    assert what == "read-only" or lines[-1]["ended"] == "done"


@pytest.mark.root
def test_a_step_has_the_room_that_it_says(tmp_path: Path) -> None:
    if why := missing():
        pytest.skip(f"small file systems: {why}")

    def work() -> dict[str, object]:
        disk.hide_mounts()
        room = Room(tmp_path, ALL["snapshot"], SEED)
        return {"lines": [room.try_step(Step("snapshot", "bytes", size)) for size in (0, 64 << 20)]}

    none, plenty = in_process(work)["lines"]
    assert (none["ended"], plenty["ended"]) == ("DiskFullError", "done")
