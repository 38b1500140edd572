"""A power cut in the middle of a checkout: what an application finds when its unit is started.

EPM_TEST_BOOT_CUTS: how many cuts each file system gets; EPM_TEST_SEED: which (docs/reliability.md).
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.disk import missing, missing_for
from tests.kit.program import SEED, amount

CUTS = amount("EPM_TEST_BOOT_CUTS", 12)
TOP = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(300 + 10 * CUTS)]


def boots(kind: str, *options: str) -> list[dict[str, Any]]:
    """What was said of each cut, and at the end."""
    why = missing() or missing_for(kind)
    if why is not None:
        pytest.skip(f"power cuts on {kind}: {why}")
    command = [sys.executable, "-m", "tests.faults.boot", "--kind", kind, *options]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(("kind", "layout"), [("xfs", ("--split",)), ("ext4", ())])
def test_the_application_starts_on_old_or_new(kind: str, layout: tuple[str, ...]) -> None:
    *points, end = boots(kind, *layout, "--cuts", str(CUTS), "--seed", str(SEED))
    assert [point for point in points if point["problems"]] == []
    assert end["cuts"] >= CUTS


def test_a_host_without_the_unit_is_noticed() -> None:
    """Or the cuts above prove nothing."""
    *_, end = boots("xfs", "--without-unit", "--cuts", "60")
    assert end["failed"]
