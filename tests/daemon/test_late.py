"""What no event tells of: stores to mapped files, and contents that changed without a trace."""

import logging
import mmap
import os
from pathlib import Path

import pytest

from epmstore.config import DaemonConfig
from epmstore.relpath import RelPath
from epmstore.scan.compare import pack_stats
from epmstore.scan.fsclock import probe_clock
from epmstore.workspace import Workspace
from epmstored.late import Late
from epmstored.timing import Timing
from tests.kit.recorder import WatchedHost


def test_folders_wait_until_pages_are_written() -> None:
    late = Late()
    assert late.due is None and late.take(1e9) == frozenset()
    late.note(["a"], 100.0, is_certain=False)
    late.note(["b"], 110.0, is_certain=True)
    late.note([], 120.0, is_certain=False)
    assert late.due == 100.0 + late.wait and late.is_certain
    assert late.take(late.due - 1) == frozenset()
    assert late.take(late.due) == {"a", "b"}
    assert late.due is None and not late.is_certain


@pytest.mark.parametrize(
    ("reconcile", "read_back", "shares"),
    [(86_400.0, 30 * 86_400.0, 27), (86_400.0, 3600.0, 1), (None, 1.0, 0), (60.0, None, 0)],
)
def test_everything_is_read_within_its_time(
    reconcile: float | None, read_back: float | None, shares: int
) -> None:
    timing = Timing.of(DaemonConfig(reconcile=reconcile, read_back=read_back))
    assert timing.shares == shares


@pytest.mark.slow
async def test_stores_to_mapped_files_are_recorded(tmp_path: Path) -> None:
    host = WatchedHost(tmp_path)
    (host.root / "data").write_bytes(bytes(4096))
    with (host.root / "data").open("r+b") as file, mmap.mmap(file.fileno(), 0) as pages:
        pages[:4] = b"AAAA"
        async with host.recorder() as recorder:
            await recorder.step()
            before = os.lstat(host.root / "data")
            pages[:4] = b"BBBB"
            assert os.lstat(host.root / "data").st_ctime_ns == before.st_ctime_ns
            due = recorder.due()
            assert due is not None and due <= host.clock.monotonic() + recorder._late.wait
            host.clock.advance(recorder._late.wait)
            await recorder.step()
            await recorder.step()
            assert host.versions() == [("drift", "startup-scan"), ("drift", "event")]
            if os.geteuid() == 0:
                assert not recorder.state.quiet, "it may change again, and nobody would tell"


@pytest.mark.slow
async def test_contents_that_rotted_are_found_by_the_looks_at_everything(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    host = WatchedHost(tmp_path)
    names = [f"f{number}" for number in range(12)]
    for name in names:
        (host.root / name).write_bytes(b"good " + name.encode())
    async with host.recorder() as recorder:
        recorder.follow(Timing(reconcile=86_400.0, read_back=4 * 86_400.0))
        await recorder.step()
        _rot(host, names)
        with caplog.at_level(logging.WARNING):
            for _ in range(recorder._timing.shares):
                host.clock.advance(1.1 * 86_400.0)
                await recorder.step()
    told = [one for one in caplog.messages if "no stat shows it" in one]
    assert told
    with Workspace.open(host.store) as workspace:
        crm = workspace.app("crm")
        for name in names:
            assert b"".join(crm.cat("latest", RelPath(name))) == b"rot! " + name.encode()
        labels = {info.record.label for info in crm.versions()[1:]}
    assert len(labels) == 1 and "no stat shows" in str(labels.pop())


def _rot(host: WatchedHost, names: list[str]) -> None:
    """Other bytes, and a stat cache that has their stats as if nothing had happened."""
    stats = {name: os.lstat(host.root / name) for name in sorted(names)}
    for name, found in stats.items():
        (host.root / name).write_bytes(b"rot! " + name.encode())
        os.utime(host.root / name, ns=(found.st_atime_ns, found.st_mtime_ns))
    now = [os.lstat(host.root / name) for name in stats]
    here = os.open(host.root, os.O_RDONLY)
    while probe_clock(here).settled_ns() <= max(found.st_ctime_ns for found in now):
        pass  # a tick, or they would be read again for that
    os.close(here)
    with Workspace.open(host.store) as workspace:
        cache = workspace._store.live(workspace.apps.get("crm").uuid)
        state, _ = cache.load()
        assert state is not None
        cache.update(state, {b"": pack_stats(list(stats), now, os.lstat(host.root))})
