"""Several processes work on one store and die. EPM_TEST_SOAK says for how many seconds."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kit.program import SEED, amount

SECONDS = amount("EPM_TEST_SOAK", 10)
TOP = Path(__file__).parents[2]


def soak(*options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.faults.soak", "--seed", str(SEED), *options]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.timeout(120 + 3 * SECONDS)
def test_nothing_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    found = soak("--seconds", str(SECONDS))
    with capsys.disabled():
        sys.stdout.write(f"\nseed {SEED}: {found['kills']} kills, {found['compared']} versions\n")
    assert found["problems"] == []
    assert found["kills"] > SECONDS // 3 and found["compared"] > 10


@pytest.mark.slow
def test_locks_left_out_are_noticed() -> None:
    """Or the test above proves nothing."""
    assert soak("--seconds", "4", "--without-locks")["problems"] != []
