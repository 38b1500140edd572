"""What a disk may hold when the power goes: docs/reliability.md.

EPM_TEST_STATES sets how many states each file system gets, EPM_TEST_SEED which trees.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.faults import disk
from tests.faults.blockdev import Write
from tests.faults.points import in_process
from tests.faults.replay import KINDS, Recording, apply, missing, replay_one
from tests.faults.scenarios import Ack
from tests.kit.program import SEED, amount

STATES = amount("EPM_TEST_STATES", 12)
TASKS = ("checkout, parts", "snapshot")


def replayed(name: str, kind: str, **options: object) -> Counter[str]:
    """How many states were right, and how many wrong."""
    if why := missing() or missing_tool(kind):
        pytest.skip(f"block replay on {kind}: {why}")
    given = {"kind": kind, "seed": SEED, "out": None, "without": "", "stop": False, "every": 1}
    asked = argparse.Namespace(**{**given, "limit": None, **options})

    def work() -> dict[str, object]:
        disk.hide_mounts()
        counts = Counter[str]()
        sys.stdout = sys.stderr
        replay_one(name, asked, counts)
        return {"counts": counts}

    answer = in_process(work)
    assert "counts" in answer, answer
    found: Counter[str] = answer["counts"]
    return found


def missing_tool(kind: str) -> str | None:
    return disk.missing_tool(KINDS[kind])


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.timeout(300 + 3 * STATES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_state_is_survived(kind: str) -> None:
    for name in TASKS:
        counts = replayed(name, kind, limit=-(-STATES // len(TASKS)))
        assert counts["ok"] > 0
        assert counts["failed"] == 0


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.parametrize(("kind", "sync"), [("xfs", "sync_data"), ("btrfs", "sync_data")])
def test_a_sync_left_out_is_noticed(kind: str, sync: str) -> None:
    """Or the states above prove nothing."""
    assert replayed("snapshot, packs", kind, without=sync, stop=True)["failed"]


def test_replay_promises_what_was_acknowledged_before_the_last_flush() -> None:
    """Three writes with a flush after each; the task began after the first, and was acknowledged
    after the second.
    """
    write, done = Write(0, b"x" * 10_000), Ack(7)
    found = Recording([write, None, write, None, write, None], 2, 4, done)
    assert found.flushes() == [1, 3, 5]
    assert [found.promised(flush) for flush in found.flushes()] == [Ack(), done, done]
    assert [(x.offset, len(x.data)) for x in found.after(1)] == [
        (0, 4096),
        (4096, 4096),
        (8192, 1808),
    ]
    assert found.after(5) == []


def test_later_writes_stay_later(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"....")
    apply(image, [Write(0, b"aa"), Write(1, b"bb")])
    assert image.read_bytes() == b"abb."
