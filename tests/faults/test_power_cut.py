"""The power goes, on real file systems: what was promised is there, and nothing is half done.

EPM_TEST_CUTS sets how many cuts each file system gets, EPM_TEST_SEED which: docs/reliability.md.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.disk import KINDS, missing, missing_for
from tests.kit.program import SEED, amount

CUTS = amount("EPM_TEST_CUTS", 10)
TOP = Path(__file__).parents[2]
LAYOUTS: dict[str, tuple[str, ...]] = {"together": (), "apart": ("--split",)}
SYNCS = ("sync_file", "sync_data", "sync_directory", "sync_filesystem")

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(300 + 5 * CUTS)]


def campaign(kind: str, *options: str) -> list[dict[str, Any]]:
    """What it said of each point, and at the end."""
    why = missing() or missing_for(kind)
    if why is not None:
        pytest.skip(f"power cuts on {kind}: {why}")
    command = [sys.executable, "-m", "tests.faults.campaign", "--kind", kind, *options]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_power_goes(kind: str, layout: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = (*LAYOUTS[layout], "--cuts", str(-(-CUTS // 2)), "--seed", str(SEED))
    *points, end = campaign(kind, *options)
    with capsys.disabled():
        sys.stdout.write(f"\nseed {SEED}, {kind}, store and root {layout}: {end['cuts']} cuts\n")
    assert [point for point in points if point["verdict"] != "ok"] == []
    assert end["cuts"] >= CUTS // 2


@pytest.mark.parametrize("sync", SYNCS)
def test_a_sync_left_out_is_noticed(sync: str) -> None:
    """Or the cuts above prove nothing."""
    *_, end = campaign("xfs", "--split", "--cuts", "60", "--without", sync, "--stop")
    assert end["failed"]
