"""The power goes while the daemon records: what it said it recorded is there, and it goes on.

EPM_TEST_RECORDING_CUTS: how many cuts each file system gets; EPM_TEST_SEED: which.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.disk import missing, missing_for
from tests.kit.program import SEED, amount

CUTS = amount("EPM_TEST_RECORDING_CUTS", 3)
TOP = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(300 + 10 * CUTS)]


def campaign(kind: str, *options: str) -> list[dict[str, Any]]:
    """What was said of each cut, and at the end."""
    why = missing() or missing_for(kind)
    if why is not None:
        pytest.skip(f"power cuts on {kind}: {why}")
    command = [sys.executable, "-m", "tests.faults.recording", "--kind", kind, *options]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(("kind", "layout"), [("xfs", ("--split",)), ("ext4-noauto_da_alloc", ())])
def test_versions_announced_by_the_daemon_survive_cuts(kind: str, layout: tuple[str, ...]) -> None:
    *points, end = campaign(kind, *layout, "--cuts", str(CUTS), "--seed", str(SEED))
    assert [point for point in points if point["verdict"] != "ok"] == []
    assert end["cuts"] == CUTS


def test_a_sync_left_out_is_noticed() -> None:
    """Or the cuts above prove nothing."""
    *_, end = campaign("xfs", "--split", "--cuts", "20", "--without", "sync_data")
    assert end["failed"]
