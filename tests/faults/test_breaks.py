"""Each rule that an ordinary test stands for has a bug, and that test fails with it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.sabotage.breaks import BREAKS

TOP = Path(__file__).parents[2]
SABOTAGE = str(Path(__file__).with_name("sabotage"))
FAILED = 1
"""The exit code of pytest if tests ran and some failed; others say that none ran at all."""


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", BREAKS)
def test_a_bug_makes_its_test_fail(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-qx", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command += [f"--basetemp={tmp_path}/below", BREAKS[name].caught_by]
    environment = {**os.environ, "PYTHONPATH": SABOTAGE, "EPM_TEST_BUG": name}
    done = subprocess.run(
        command, cwd=TOP, env=environment, capture_output=True, text=True, check=False
    )
    if "skipped" in done.stdout and "failed" not in done.stdout:
        pytest.skip(f"{BREAKS[name].caught_by} is skipped here")
    assert done.returncode == FAILED, done.stdout[-2000:] + done.stderr[-2000:]
