"""Children that help: what they are not for, and that they end with their parent."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from epmstore import child
from epmstore.child import cores

PARENT = """
import subprocess, sys
code = "import sys, os, time; from epmstore.child import die_with; die_with(os.getppid());"
process = subprocess.Popen([sys.executable, "-c", code + "print(flush=True); time.sleep(60)"])
print(process.pid, flush=True)
sys.stdin.readline()
"""


def test_there_is_one_for_each_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)))
    assert [cores(4), cores(8)] == [4, 6]
    monkeypatch.setattr(sys, "executable", "")
    assert cores(4) == 1


def test_there_is_none_after_an_upgrade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would be the new program, and their parent is the old one."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    file = tmp_path / "child.py"
    file.write_text("old")
    monkeypatch.setattr(child, "__file__", str(file))
    monkeypatch.setattr(child, "_LOADED", child._stamp())
    assert cores(4) == 2
    (tmp_path / "new").write_text("new")
    (tmp_path / "new").rename(file)
    assert cores(4) == 1
    file.unlink()
    assert cores(4) == 1


def test_one_ends_with_its_parent() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        lines = {parent.stdout.readline().strip(), parent.stdout.readline().strip()}
        [pid] = lines - {""}
        assert Path(f"/proc/{pid}").exists()
        parent.kill()
        assert parent.stdout.read() == "", "whoever had our output is gone"
