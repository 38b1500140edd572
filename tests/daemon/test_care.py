"""Care of a real store on schedule, with a clock that is set by hand."""

import asyncio
import errno
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from epmstore import locks
from epmstore.care import drill, ledger
from epmstore.clock import FixedClock, SystemClock
from epmstore.config import CareConfig, Config, RetentionConfig, StoreConfig
from epmstore.errors import EpmError
from epmstore.relpath import RelPath
from epmstore.workspace import Workspace
from epmstored import priority
from epmstored.care import Carer
from epmstored.caretasks import CareOrder, TaskProcess, perform
from epmstored.health import troubles
from epmstored.schedule import DAY, FIRST
from tests.kit.clock import FakeDaemonClock
from tests.kit.recorder import WatchedHost


class Told:
    """What a supervisor would be told of the room."""

    def __init__(self) -> None:
        self.why: list[str | None] = []

    def set_room(self, *, why_full: str | None) -> None:
        self.why.append(why_full)


class Place:
    def __init__(self, base: Path) -> None:
        self.store, self.root = base / "store", base / "crm"
        self.root.mkdir()
        (self.root / "program").write_bytes(os.urandom(5000))
        with Workspace.init(self.store) as workspace:
            workspace.apps.add("crm", self.root)
            self.uuid = workspace.apps.get("crm").uuid
            workspace.app("crm").snapshot()
        self.clock = FakeDaemonClock()
        self.told = Told()

    def carer(self, config: Config = Config()) -> Carer:  # noqa: B008 - frozen
        def open_workspace() -> Workspace:
            return Workspace.open(self.store, recover=False)

        return Carer(self.store, self.told, open_workspace, config=config, clock=self.clock)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    yield Place(tmp_path)


async def everything(carer: Carer) -> list[str]:
    """All that is due now, one after the other."""
    found: list[str] = []
    while (task := await carer.step()) is not None:
        found.append(task)
    return found


async def test_everything_is_done_once_a_day(place: Place) -> None:
    carer = place.carer()
    assert await everything(carer) == []
    place.clock.advance(FIRST * 2)
    assert await everything(carer) == ["forget", "gc", "data", "drill"]
    assert await everything(carer) == []
    place.clock.advance(DAY * 1.2)
    assert await everything(carer) == ["forget", "gc", "data"]
    place.clock.advance(DAY * 8)
    assert "drill" in await everything(carer)


async def test_care_goes_on_when_drill_leftovers_cannot_be_removed(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def clear(store: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(drill, "clear", clear)
    caring = asyncio.create_task(place.carer().run())
    while not place.told.why:
        await asyncio.wait({caring}, timeout=0.01)
        assert not caring.done()
    caring.cancel()
    await asyncio.wait({caring})
    assert "cannot be removed" in caplog.text


async def test_settings_count_from_the_next_step_on(place: Place) -> None:
    carer = place.carer()
    carer.follow(Config(store=StoreConfig(max_size=1)))
    await carer.step()
    assert carer.room.level == "full"
    carer.follow(Config())
    await carer.step()
    assert carer.room.level != "full"


async def test_a_restart_repeats_nothing(place: Place) -> None:
    carer = place.carer()
    place.clock.advance(FIRST * 2)
    await everything(carer)
    again = place.carer()
    place.clock.advance(FIRST * 2)
    assert await everything(again) == []
    proven = again.proven(place.uuid)
    assert proven is not None and proven[0] == 0


async def test_nothing_is_done_while_a_change_is_under_way(place: Place) -> None:
    carer = place.carer()
    place.clock.advance(FIRST * 2)
    with Workspace.open(place.store) as workspace:
        workspace.app("crm").change_begin()
        assert await everything(carer) == []
        workspace.app("crm").change_end()
    assert await everything(carer) == ["forget", "gc", "data", "drill"]


async def test_the_check_reads_everything_in_shares(place: Place) -> None:
    carer = place.carer(Config(care=CareConfig(fsck_percent=25.0)))
    for number in range(1, 5):
        place.clock.advance(DAY * 1.2)
        await everything(carer)
        rolling = ledger.load(place.store).data
        assert rolling.position == pytest.approx(0.25 * number if number < 4 else 0.0)
    assert (rolling.round, rolling.seed) == (1, 1)


def order(place: Place, parent: int) -> CareOrder:
    return CareOrder(str(place.store), "drill", CareConfig(), RetentionConfig(), parent)


async def test_a_task_is_a_process_that_ends_when_nobody_waits(place: Place) -> None:
    assert TaskProcess().run(order(place, os.getpid())).done
    stopped = TaskProcess()
    stopped.stop()
    with pytest.raises(EpmError, match="ended with -15"):
        stopped.run(order(place, os.getpid()))
    with pytest.raises(EpmError, match="ended with 1"):  # its parent has gone meanwhile
        TaskProcess().run(order(place, os.getpid() + 1))


def test_a_drill_waits_for_that_of_somebody_else(place: Place) -> None:
    with Workspace.open(place.store) as workspace, locks.hold(place.store / "locks", "drill"):
        outcome = perform(workspace, order(place, os.getpid()))
    assert not outcome.done
    assert [one.level for one in outcome.said] == [logging.INFO]


async def test_damage_is_found_said_and_remembered(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    for pack in (place.store / "packs").rglob("*"):
        if pack.is_file():
            data = bytearray(pack.read_bytes())
            data[len(data) // 3] ^= 1
            pack.write_bytes(data)
    carer = place.carer(Config(care=CareConfig(fsck_percent=100.0)))
    place.clock.advance(FIRST * 2)
    with caplog.at_level(logging.ERROR):
        assert await everything(carer)
    assert carer.damage > 0
    assert place.carer().damage == carer.damage
    assert "epmstore fsck --repair" in caplog.text
    assert "crm: cannot be restored" in caplog.text
    assert carer.proven(place.uuid) is None


async def test_too_little_room_is_told_and_told_again_when_there_is(place: Place) -> None:
    tight = place.carer(Config(store=StoreConfig(max_size=1)))
    await tight.step()
    assert tight.room.level == "full"
    assert place.told.why[-1] == tight.room.why
    roomy = place.carer(Config(store=StoreConfig(max_size=1 << 40, min_free=None)))
    await roomy.step()
    assert place.told.why[-1] is None


async def test_a_full_store_records_what_changed_without_its_content(tmp_path: Path) -> None:
    """What was recorded keeps its content, and once there is room the rest gets its own."""
    host = WatchedHost(tmp_path)
    (host.root / "old").write_bytes(b"old")
    (host.root / "changes").write_bytes(b"before")
    async with host.recorder() as recorder:
        await host.settle(recorder)
        recorder.set_room(why_full="no room")
        (host.root / "new").write_bytes(b"new content")
        (host.root / "changes").write_bytes(b"after that")
        (host.root / "old").chmod(0o600)
        for _ in range(3):  # until nobody could take what was written last for racy
            host.watcher.say("")
            await host.settle(recorder)
        assert "recorded without contents: no room" in recorder.state.degraded
        assert contents(host) == {"old": True, "new": False, "changes": False}
        recorder.set_room(why_full=None)
        await host.settle(recorder)
        assert recorder.state.degraded == ()
        assert contents(host) == {"old": True, "new": True, "changes": True}
    with Workspace.open(host.store) as workspace:
        assert b"".join(workspace.app("crm").cat("latest", RelPath("new"))) == b"new content"
        assert workspace.care.fsck(1.0).findings == ()
        latest = workspace.app("crm").versions()[-1].version
        assert workspace.app("crm").status().clean
        workspace.app("crm").checkout(str(latest - 1))  # nothing that it lacks is touched
    assert (host.root / "new").read_bytes() == b"new content"


def contents(host: WatchedHost) -> dict[str, bool]:
    """Of which files the newest version has the content."""
    with Workspace.open(host.store) as workspace:
        entries = workspace.app("crm").ls("latest")
    return {str(e.path): e.content is not None for e in entries if e.kind == "file"}


async def test_a_clock_that_leaps_is_known_until_it_is_believed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place, host = Place(tmp_path), FixedClock(SystemClock().now())
    caplog.set_level(logging.INFO)

    def open_workspace() -> Workspace:
        return Workspace.open(place.store, clock=host, recover=False)

    carer = Carer(place.store, place.told, open_workspace, config=Config(), clock=place.clock)
    for _ in range(8):
        host.advance(DAY)
        await carer.step()
    assert carer.leap is None
    host.set(host.now() - 3 * DAY)
    await carer.step()
    assert carer.leap == pytest.approx(-3 * DAY)
    [trouble] = troubles([], carer.room, carer.damage, carer.leap)
    assert (trouble.app, trouble.kind) == (None, "clock") and "3d behind" in trouble.why
    host.set(host.now() + 3 * DAY)
    await carer.step()
    assert carer.leap is None and troubles([], carer.room, carer.damage, carer.leap) == []
    said = [one.message for one in caplog.records if "the clock" in one.message]
    assert [one[:15] for one in said] == ["the clock leapt", "the clock is be"]


async def test_it_ends_when_it_is_told_to(place: Place) -> None:
    carer = place.carer()
    task = asyncio.create_task(carer.run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_giving_way_is_of_this_thread_alone() -> None:
    import threading  # noqa: PLC0415

    before = os.getpriority(os.PRIO_PROCESS, 0)
    found: list[int] = []

    def work() -> None:
        priority.give_way(19)
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [19]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
