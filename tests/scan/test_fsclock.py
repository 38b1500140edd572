import os
import time
from pathlib import Path

import pytest

from epmstore.scan import fsclock
from epmstore.scan.fsclock import TICK_NS, UNKNOWN_NS, FilesystemClock, probe_clock
from epmstore.scan.mounts import filesystem

SECOND = 1_000_000_000


def test_a_reading_lies_among_ctimes(root: Path, root_fd: int) -> None:
    (root / "before").write_text("")
    clock = probe_clock(root_fd)
    (root / "after").write_text("")
    before = (root / "before").stat().st_ctime_ns
    after = (root / "after").stat().st_ctime_ns
    # a tick of tolerance: newer kernels give finer ctimes to files that are looked at
    assert before - clock.granularity_ns <= clock.now_ns <= after + clock.granularity_ns
    assert after > clock.settled_ns()
    assert clock.granularity_ns in (TICK_NS, UNKNOWN_NS)


def test_a_local_root_is_not_written_to(root: Path, root_fd: int) -> None:
    if filesystem(root_fd).name not in ("ext4", "xfs", "btrfs", "tmpfs"):
        pytest.skip("a file system with a clock of its own")
    before = root.stat()
    probe_clock(root_fd)
    assert root.stat() == before


def test_a_probe_is_taken_away(root: Path, root_fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fsclock, "_FINE", frozenset())
    clock = probe_clock(root_fd)
    assert os.listdir(root) == []
    assert clock.granularity_ns == UNKNOWN_NS
    assert abs(clock.now_ns - root.stat().st_ctime_ns) <= TICK_NS


def test_without_a_place_for_a_probe_it_is_the_kernels() -> None:
    """/proc takes no files, and is no file system whose clock is known."""
    fd = os.open("/proc", os.O_RDONLY)
    before = time.time_ns()
    clock = probe_clock(fd)
    os.close(fd)
    assert clock.granularity_ns == UNKNOWN_NS
    assert abs(clock.now_ns - before) < 60 * SECOND


def test_settled() -> None:
    assert FilesystemClock(1000, 10).settled_ns() == 990
