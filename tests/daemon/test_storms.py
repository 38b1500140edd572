"""Storms: whatever happens to a root, and however often the daemon is killed, in the end the newest
version is the root, exactly.

Small by default; `make storms` runs the full figures.
"""

import contextlib
import hashlib
import json
import os
import random
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from epmstore.tree import Entry
from epmstore.workspace import Workspace
from tests.daemon import storm
from tests.kit.daemon import Daemon, running

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("EPM_STORM_SECONDS", "1.5"))
ROUNDS = int(os.environ.get("EPM_STORM_ROUNDS", "1"))
KILLS = int(os.environ.get("EPM_STORM_KILLS", "3"))
LEAST_RATE = float(os.environ.get("EPM_STORM_RATE", "0"))
"""Operations a second below which a run is void; a shared machine promises nothing."""
LIMIT = Path("/proc/sys/fs/inotify/max_queued_events")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.fixture
def store(tmp_path: Path, root: Path) -> Path:
    with Workspace.init(tmp_path / "store") as workspace:
        workspace.apps.add("crm", root)
    return tmp_path / "store"


@pytest.fixture(params=[None, 64], ids=["queue", "queue of 64"])
def queue(request: pytest.FixtureRequest) -> Iterator[None]:
    """The length of the kernel's queues that are made during the test."""
    if request.param is None:
        yield
        return
    if os.geteuid() != 0:
        pytest.skip("needs root to set fs.inotify.max_queued_events")
    before = LIMIT.read_text()
    LIMIT.write_text(str(request.param))
    try:
        yield
    finally:
        LIMIT.write_text(before)


def begin(root: Path, seconds: float, seed: int) -> subprocess.Popen[str]:
    command = [sys.executable, storm.__file__, str(root), str(seconds), str(seed)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str]) -> float:
    """Wait for a storm; operations a second."""
    out, _ = process.communicate()
    assert process.returncode == 0
    rate = float(json.loads(out)["rate"])
    sys.stdout.write(f"{rate:,.0f} operations a second\n")
    return rate


def differences(store: Path, root: Path) -> list[str]:
    """What of the root is not in the newest version, and the other way round."""
    with Workspace.open(store) as workspace:
        recorded = {str(entry.path): entry for entry in workspace.app("crm").ls("latest")}
    found = {str(path.relative_to(root)): path for path in root.rglob("*")}
    wrong = sorted(recorded.keys() ^ found.keys())
    return wrong + [
        p for p, path in found.items() if p in recorded and not agrees(path, recorded[p])
    ]


def agrees(path: Path, entry: Entry) -> bool:
    found = path.lstat()
    if stat.S_IMODE(found.st_mode) != entry.mode or stat.S_ISDIR(found.st_mode) != (
        entry.kind == "directory"
    ):
        return False
    if entry.kind == "directory":
        return True
    assert entry.content is not None
    digest = hashlib.sha256(path.read_bytes()).digest()
    return entry.content.sha256 == digest and entry.mtime_ns == found.st_mtime_ns


def wait_until_recorded(daemon: Daemon, store: Path, root: Path) -> None:
    """After each further version it is looked whether that was the last."""
    seen = 0
    while wrong := differences(store, root):
        with contextlib.suppress(AssertionError):
            seen = daemon.wait_for(r": version \d+", after=seen, timeout=90)
            continue
        pytest.fail(f"never recorded: {wrong[:10]} of {len(wrong)}; {daemon.lines[-10:]}")


def check(store: Path) -> None:
    with Workspace.open(store) as workspace:
        report = workspace.care.fsck(1.0)
        assert report.clean, report.findings
        assert workspace.app("crm").status().clean


@pytest.mark.parametrize("seed", range(ROUNDS))
@pytest.mark.usefixtures("queue")
def test_after_a_storm_the_newest_version_is_the_root(store: Path, root: Path, seed: int) -> None:
    with running(store) as daemon:
        rate = end(begin(root, SECONDS, seed + 1))
        wait_until_recorded(daemon, store, root)
        assert daemon.stop() == 0
        overflows = sum("events were lost" in line for line in daemon.lines)
        looks = sum("(after-overflow)" in line for line in daemon.lines)
        assert overflows <= looks + 1, "each is reported once"
        assert not [line for line in daemon.lines if "ERROR" in line]
    check(store)
    if rate < LEAST_RATE:
        pytest.skip(f"all is well, but the run is void: {rate:,.0f} operations a second")


def test_killed_at_any_moment_it_misses_nothing(store: Path, root: Path) -> None:
    chance = random.Random(KILLS)
    daemon = Daemon(store)
    for kill in range(KILLS):
        blowing = begin(root, 0.5 + chance.random(), kill + 1)
        with contextlib.suppress(subprocess.TimeoutExpired):
            blowing.wait(chance.random() * 5)
        daemon.kill()
        end(blowing)
        (root / f"while it was down {kill}").write_text("x")
        daemon = Daemon(store)
    daemon.wait_for("INFO: ready")
    wait_until_recorded(daemon, store, root)
    assert daemon.stop() == 0
    check(store)
