"""What a checkout promised is kept by the daemon: without being asked, and across its own death."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from epmstore import locks
from epmstore.catalog.hooks import Hooks
from epmstore.clock import FixedClock
from epmstore.errors import EpmError
from epmstore.places import DAEMON_LOCK
from epmstore.workspace import Workspace
from epmstored.aftermath import AGAIN, AftermathTasks
from epmstored.bridge import Bridge
from tests.kit.clock import FakeDaemonClock
from tests.kit.daemon import running


class NoSystemd:
    def __init__(self, *, needed: bool = False, fails: bool = False) -> None:
        self.needed = needed
        self.fails = fails
        self.started: list[str] = []

    def is_needed(self, root: str) -> bool:
        return self.needed

    def start(self, unit: str, *, wait: bool) -> None:
        self.started.append(unit)
        if self.fails:
            raise EpmError("no")


class Place:
    """A store with crm at version 1, and both versions' content in `tool`."""

    def __init__(self, base: Path) -> None:
        self.store = base / "store"
        self.tool = base / "root" / "tool"
        self.tool.parent.mkdir()
        self.wall = FixedClock()
        Workspace.init(self.store).close()
        with self.open() as workspace:
            workspace.apps.add("crm", self.tool.parent)
            for content in ("one", "two"):
                self.tool.write_text(content)
                workspace.app("crm").snapshot(content)

    def open(self) -> Workspace:
        return Workspace.open(self.store, clock=self.wall)

    def checkout(self, *, confirm: float) -> None:
        with locks.hold(self.store / "locks", DAEMON_LOCK), self.open() as workspace:
            workspace.app("crm").checkout("0", confirm=confirm)

    def aftermath(self, systemd: NoSystemd | None = None) -> AftermathTasks:
        self.clock = FakeDaemonClock()
        bridge = Bridge("unused", self.open)
        return AftermathTasks(self.store, bridge, self.clock, systemd or NoSystemd())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_nothing_is_owed_most_of_the_time(place: Place) -> None:
    aftermath = place.aftermath()
    assert not aftermath.is_anything_owed()
    place.checkout(confirm=60)
    assert aftermath.is_anything_owed()


def test_unconfirmed_checkout_is_undone_in_time_and_not_before(place: Place) -> None:
    place.checkout(confirm=60)
    aftermath = place.aftermath()
    with place.open() as workspace:
        place.wall.advance(59)
        aftermath.settle(workspace)
        assert place.tool.read_text() == "one"
        place.wall.advance(1)
        aftermath.settle(workspace)
    assert place.tool.read_text() == "two"
    assert not aftermath.is_anything_owed()


def test_next_unconfirmed_checkout_is_undone_in_time_too(place: Place) -> None:
    aftermath = place.aftermath()
    for _ in range(2):
        place.checkout(confirm=10)
        assert place.tool.read_text() == "one"
        place.wall.advance(10)
        place.clock.advance(10)
        with place.open() as workspace:
            aftermath.settle(workspace)
        assert place.tool.read_text() == "two"


def test_a_root_that_is_read_only_here_is_left_to_a_unit(place: Place) -> None:
    place.checkout(confirm=60)
    place.wall.advance(60)
    systemd = NoSystemd(needed=True)
    aftermath = place.aftermath(systemd)
    with place.open() as workspace:
        aftermath.settle(workspace)
        aftermath.settle(workspace)
        assert systemd.started == ["epmstore-recover@crm.service"]
        place.clock.advance(AGAIN)
        aftermath.settle(workspace)
    assert len(systemd.started) == 2
    assert place.tool.read_text() == "one"


def test_failed_undo_is_tried_again_later(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.checkout(confirm=60)
    place.wall.advance(60)
    systemd = NoSystemd(needed=True, fails=True)
    aftermath = place.aftermath(systemd)
    with place.open() as workspace:
        aftermath.settle(workspace)
        assert "crm: no" in caplog.text
        systemd.needed = False
        aftermath.settle(workspace)
        assert place.tool.read_text() == "one"
        place.clock.advance(AGAIN)
        aftermath.settle(workspace)
    assert place.tool.read_text() == "two"


def test_a_command_that_is_at_it_is_left_alone(place: Place) -> None:
    place.checkout(confirm=60)
    place.wall.advance(60)
    aftermath = place.aftermath()
    with place.open() as workspace:
        uuid = workspace.app("crm").app.uuid
        with locks.hold(place.store / "locks", f"app-{uuid}"):
            aftermath.settle(workspace)
        assert place.tool.read_text() == "one"
        aftermath.settle(workspace)
    assert place.tool.read_text() == "two"


async def test_it_goes_on_by_itself_until_it_is_cancelled(place: Place) -> None:
    place.checkout(confirm=60)
    place.wall.advance(60)
    bridge = Bridge("aftermath", place.open)
    aftermath = AftermathTasks(place.store, bridge, FakeDaemonClock(), NoSystemd())
    task = asyncio.create_task(aftermath.run())
    await asyncio.sleep(0)  # it has begun
    await bridge.run(lambda workspace: None)  # and what it began is done
    assert not aftermath.is_anything_owed()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await bridge.close(wait=10)
    assert place.tool.read_text() == "two"


@pytest.mark.slow
def test_the_daemon_undoes_what_nobody_confirms(place: Place) -> None:
    with running(place.store) as daemon:
        with Workspace.open(place.store) as workspace:
            assert workspace.app("crm").checkout("0", confirm=0.1).confirm_by is not None
        daemon.wait_for("crm: version 3 is live")
        assert place.tool.read_text() == "two"


@pytest.mark.slow
def test_a_daemon_that_was_killed_keeps_the_promise_of_the_one_before(place: Place) -> None:
    with running(place.store) as daemon:
        with Workspace.open(place.store) as workspace:
            workspace.app("crm").checkout("0", confirm=3600.0)
        daemon.kill()
    assert place.tool.read_text() == "one"
    with Workspace.open(place.store) as workspace:
        pending = workspace.app("crm").obligations.pending
        assert pending is not None and pending.seconds > 3000
        workspace.app("crm").confirm()
        with locks.hold(place.store / "locks", DAEMON_LOCK):
            workspace.app("crm").undo()
            workspace.app("crm").checkout("0", confirm=0.01)
    with running(place.store) as daemon:
        daemon.wait_for("crm: a checkout was not confirmed in time")
        daemon.wait_for(r"crm: version \d+ is live")
        assert place.tool.read_text() == "two"


@pytest.mark.slow
def test_the_daemon_starts_what_a_killed_checkout_had_stopped(place: Place, tmp_path: Path) -> None:
    mark = tmp_path / "started"
    kills = f"test -e {mark} || {{ touch {mark}; kill -9 $PPID; }}"
    with Workspace.open(place.store) as workspace:
        workspace.apps.set("crm", hooks=Hooks(start=("sh", "-c", kills)))
    script = (
        "import sys; from pathlib import Path; from epmstore.workspace import Workspace\n"
        "with Workspace.open(Path(sys.argv[1])) as ws: ws.app('crm').checkout('0')"
    )
    done = subprocess.run([sys.executable, "-c", script, place.store], check=False)
    assert done.returncode == -signal.SIGKILL
    with running(place.store) as daemon:
        daemon.wait_for("crm: a checkout did not come to its end")
        daemon.wait_for("crm: version 2 is live")
    assert place.tool.read_text() == "one"
    assert not [name for name in os.listdir(place.store / "journals") if "owed" in name]


@pytest.mark.slow
def test_declared_applications_are_watched_from_the_start_and_on_reload(
    place: Place, tmp_path: Path
) -> None:
    folder = place.store / "apps.d"
    folder.mkdir()
    for key in ("erp", "hrm"):
        (tmp_path / key).mkdir()
    (folder / "erp.toml").write_text(f"root = '{tmp_path / 'erp'}'\n")
    with running(place.store) as daemon:
        daemon.wait_for("erp: added, as declared")
        (folder / "hrm.toml").write_text(f"root = '{tmp_path / 'hrm'}'\n")
        (folder / "bad.toml").write_text("rot = 1\n")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("hrm: watching")
        daemon.wait_for("bad was not applied")
