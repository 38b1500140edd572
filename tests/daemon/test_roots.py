"""Whether the root is the one that was declared: gone, replaced, covered, emptied."""

import asyncio
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from epmstore import fsio
from epmstore.workspace import Workspace
from epmstored.watching import chooser
from tests.kit.recorder import RHYTHM, WatchedHost

pytestmark = pytest.mark.slow


@pytest.fixture
def host(tmp_path: Path) -> WatchedHost:
    host = WatchedHost(tmp_path)
    (host.root / "bin").mkdir()
    (host.root / "bin/tool").write_text("one")
    return host


@pytest.mark.parametrize(
    "code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES, errno.EIO, errno.EPERM]
)
async def test_a_root_of_which_nothing_is_known_is_not_gone(
    host: WatchedHost, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is its watcher given up; and when it can be looked at again, everything is."""

    def refuse(path: object) -> int:
        raise OSError(code, os.strerror(code))

    async with host.recorder() as recorder:
        await recorder.step()
        with monkeypatch.context() as patch:
            patch.setattr(fsio, "open_root", refuse)
            (host.root / "bin/tool").write_text("two")
            host.clock.advance(RHYTHM.root)
            await recorder.step()
            state = recorder.state
            assert state.phase == "error"
            assert state.error and "gone" not in state.error
            assert not host.watcher.closed
        host.clock.advance(RHYTHM.root)
        await host.settle(recorder)
        assert recorder.state.phase == "watching"
        assert recorder.state.error is None
    assert host.versions()[-1] == ("drift", "scan")
    assert len(host.watchers) == 1


async def test_a_root_that_vanishes_is_gone_and_not_empty(
    host: WatchedHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "epmstored")
    async with host.recorder() as recorder:
        await recorder.step()
        host.root.rename(tmp_path / "elsewhere")
        host.watcher.say("", root=True)
        await host.settle(recorder)
        state = recorder.state
        assert state.phase == "gone"
        assert state.error is not None
        assert "cannot be opened" in state.error
        assert host.watcher.closed
        (tmp_path / "elsewhere/new").write_text("made while it was away")
        (tmp_path / "elsewhere").rename(host.root)
        host.clock.advance(RHYTHM.root)
        await recorder.step()
        assert (recorder.state.phase, recorder.state.error) == ("watching", None)
    assert "crm: the root is there again, and watched" in caplog.messages
    assert host.versions() == [("drift", "startup-scan"), ("drift", "scan")]
    assert host.newest() == {"bin", "bin/tool", "new"}


async def test_another_directory_in_the_place_of_the_root_is_not_recorded(
    host: WatchedHost, tmp_path: Path
) -> None:
    async with host.recorder() as recorder:
        await recorder.step()
        host.root.rename(tmp_path / "elsewhere")
        host.root.mkdir()
        host.clock.advance(RHYTHM.root)
        await recorder.step()
        assert recorder.state.phase == "gone"
        assert "was replaced" in (recorder.state.error or "")
    assert len(host.versions()) == 1


class Mount:
    """A file system that comes and goes."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.is_there = False

    def come(self) -> None:
        command = ["mount", "-t", "tmpfs", "none", str(self.place)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("needs to mount")
        self.is_there = True

    def go(self) -> None:
        subprocess.run(["umount", "-l", self.place], check=True)
        self.is_there = False


@pytest.fixture
def inside(host: WatchedHost) -> Iterator[Mount]:
    """Within the root, where it covers a file."""
    place = host.root / "inside"
    place.mkdir()
    (place / "covered").write_text("x")
    mount = Mount(place)
    mount.come()
    yield mount
    if mount.is_there:
        mount.go()


@pytest.mark.root
@pytest.mark.parametrize("cross_mounts", [False, True])
async def test_a_file_system_that_comes_or_goes_within_the_root_is_noticed(
    host: WatchedHost, inside: Mount, *, cross_mounts: bool
) -> None:
    """No event tells of a mount, and of what it covered, or covers, none ever came."""
    with Workspace.open(host.store) as workspace:
        workspace.apps.remove("crm")
        workspace.apps.add("crm", host.root, cross_mounts=cross_mounts)
    async with host.recorder(chooser(host.store, host.clock, 60.0)) as recorder:
        await recorder.step()
        assert "inside/covered" not in host.newest()
        inside.go()
        host.clock.advance(RHYTHM.root)
        await recorder.step()
        assert "inside/covered" in host.newest()
        inside.come()
        (inside.place / "new").write_text("y")
        host.clock.advance(RHYTHM.root)
        await recorder.step()
        assert ("inside/new" in host.newest()) == cross_mounts
        assert ("inside/covered" in host.newest()) != cross_mounts, "not seen is not gone"
        looks = recorder.state.counters.looks
        host.clock.advance(RHYTHM.root)
        await recorder.step()
        assert recorder.state.counters.looks == looks
        await recorder.finish()


@pytest.mark.root
async def test_a_version_names_what_a_file_system_covers(host: WatchedHost, inside: Mount) -> None:
    inside.go()
    async with host.recorder(chooser(host.store, host.clock, 60.0)) as recorder:
        await recorder.step()
        inside.come()
        host.clock.advance(RHYTHM.root)
        await recorder.step()
        assert len(host.versions()) == 1
        (host.root / "bin/tool").write_text("two")
        while len(host.versions()) == 1:
            await asyncio.sleep(0.05)
            await host.settle(recorder)
        assert host.unobserved() == [("inside", "mount")]
        await recorder.finish()


async def test_an_emptied_root_is_believed(host: WatchedHost) -> None:
    async with host.recorder() as recorder:
        await recorder.step()
        shutil.rmtree(host.root / "bin")
        host.watcher.say("")
        await host.settle(recorder)
    assert host.newest() == set()
