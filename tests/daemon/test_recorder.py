"""One application, step by step: no loops, no waiting, a clock that is told."""

import asyncio
import errno
import fcntl
import os
import signal
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from epmstore.catalog.appcat import App
from epmstore.errors import DiskFullError
from epmstore.relpath import RelPath
from epmstore.workspace import Workspace
from epmstored import gauge
from epmstored.app_report import Report
from epmstored.app_state import Pause
from epmstored.apprecorder import PUT_OFF
from epmstored.bridge import Bridge
from epmstored.cancellation import Cancellation
from epmstored.gauge import Doing
from epmstored.noisy_files import RUNNING
from epmstored.outcome import record
from epmstored.polling import PollingWatcher
from epmstored.watcher import Notify
from epmstored.watching import Watched, Watching, identity_of
from tests.kit.recorder import RHYTHM, WatchedHost

pytestmark = pytest.mark.slow


@pytest.fixture
def host(tmp_path: Path) -> WatchedHost:
    host = WatchedHost(tmp_path)
    (host.root / "bin").mkdir()
    (host.root / "bin/tool").write_text("one")
    return host


async def test_the_first_look_is_the_baseline(host: WatchedHost) -> None:
    async with host.recorder() as recorder:
        assert recorder.state.phase == "starting"
        await recorder.step()
        state = recorder.state
    assert host.versions() == [("drift", "startup-scan")]
    assert (state.phase, state.version, state.queue, state.lag) == ("watching", 0, 0, 0)
    assert state.looked is not None
    assert recorder.ready.is_set()


async def test_paths_found_by_others_are_looked_at(host: WatchedHost) -> None:
    outside = host.root.parent / "outside"
    outside.hardlink_to(host.root / "bin/tool")
    async with host.recorder() as recorder:
        await recorder.step()
        outside.write_text("changed where nobody watches")
        await host.settle(recorder)
        assert len(host.versions()) == 1
        recorder.hint({"bin"})
        await host.settle(recorder)
    assert host.versions() == [("drift", "startup-scan"), ("drift", "event")]


async def test_a_change_is_recorded_when_it_has_settled(host: WatchedHost) -> None:
    async with host.recorder() as recorder:
        await recorder.step()
        (host.root / "bin/tool").write_text("two")
        host.watcher.say("bin")
        await recorder.step()
        assert recorder.state.queue == 1
        host.clock.advance(RHYTHM.settle - 0.1)
        await recorder.step()
        assert len(host.versions()) == 1
        host.clock.advance(0.1)
        await recorder.step()
        state = recorder.state
    assert host.versions()[1:] == [("drift", "event")]
    assert (state.version, state.counters.drift_versions, state.queue) == (1, 1, 0)


async def test_only_what_was_named_is_looked_at(host: WatchedHost) -> None:
    async with host.recorder() as recorder:
        await recorder.step()
        (host.root / "unnoticed").write_text("x")
        (host.root / "bin/tool").write_text("two")
        host.watcher.say("bin")
        await host.settle(recorder)
        assert "unnoticed" not in host.newest()
        host.clock.advance(1.2 * 86_400)
        await recorder.step()
        counters = recorder.state.counters
    assert "unnoticed" in host.newest()
    assert host.versions()[-1] == ("drift", "scan")
    assert (counters.reconciles, counters.found_by_reconcile) == (1, 1)


async def test_a_version_names_what_a_look_before_it_could_not_read(
    host: WatchedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_ = os.open

    def refuse(name: str, *args: Any, **more: Any) -> int:
        if name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied")
        return open_(name, *args, **more)

    monkeypatch.setattr(os, "open", refuse)
    async with host.recorder() as recorder:
        await recorder.step()
        (host.root / "closed").write_text("x")
        host.watcher.say("")
        await host.settle(recorder)
        assert len(host.versions()) == 1
        (host.root / "bin/tool").write_text("two")
        host.watcher.say("bin")
        await host.settle(recorder)
    assert (len(host.versions()), host.unobserved()) == (2, [("closed", "unreadable")])


async def test_a_stop_is_heard_though_folders_wait_to_be_quiet(
    host: WatchedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with host.recorder() as recorder:
        await recorder.step()
        recorder.follow(msgspec.structs.replace(RHYTHM, settle=3600.0, longest=3600.0))
        (host.root / "bin/tool").write_text("two")
        host.watcher.say("bin")
        step = recorder.step

        async def stopped_meanwhile() -> None:
            await step()
            recorder.stop()

        monkeypatch.setattr(recorder, "step", stopped_meanwhile)
        async with asyncio.timeout(10):
            await recorder.run()
    assert host.versions()[1:] == [("drift", "event")]


async def test_a_hint_of_nothing_makes_no_version(host: WatchedHost) -> None:
    async with host.recorder() as recorder:
        await recorder.step()
        host.watcher.say("bin", "not/there")
        await host.settle(recorder)
        assert recorder.state.counters.looks == 2
    assert len(host.versions()) == 1


async def test_after_an_overflow_everything_is_looked_at(host: WatchedHost) -> None:
    async with host.recorder() as recorder:
        await recorder.step()
        (host.root / "somewhere").write_text("x")
        host.watcher.say(lost=True)
        await host.settle(recorder)
        state = recorder.state
    assert host.versions()[1:] == [("drift", "after-overflow")]
    assert state.counters.overflows == 1
    assert host.watcher.renewed == 2, "before each whole look"


async def test_a_pause_remembers_what_changed(host: WatchedHost) -> None:
    async with host.recorder() as recorder:
        await recorder.step()
        recorder.pause(Pause("2026-01-01T00:00:00Z", "root"))
        (host.root / "bin/tool").write_text("two")
        host.watcher.say("bin")
        await host.settle(recorder)
        assert (recorder.state.phase, recorder.state.queue) == ("paused", 1)
        assert len(host.versions()) == 1
        recorder.resume()
        await recorder.step()
        assert recorder.state.phase == "watching"
    assert len(host.versions()) == 2


async def test_an_open_change_is_left_alone_and_recorded_once(host: WatchedHost) -> None:
    async with host.recorder() as recorder:
        await recorder.step()
        with Workspace.open(host.store) as workspace:
            workspace.app("crm").change_begin("patch 41")
            (host.root / "bin/tool").write_text("two")
            host.watcher.say("bin")
            await host.settle(recorder)
            state = recorder.state
            assert (state.phase, state.queue) == ("held", 1)
            assert state.held is not None
            assert "patch 41" in state.held
            workspace.app("crm").change_end()
        host.clock.advance(5.0)
        await recorder.step()
        assert (recorder.state.phase, recorder.state.held) == ("watching", None)
    assert host.versions() == [("drift", "startup-scan"), ("change", "run")]


async def test_whoever_holds_the_app_goes_first(host: WatchedHost) -> None:
    async with host.recorder() as recorder:
        await recorder.step()
        (host.root / "bin/tool").write_text("two")
        host.watcher.say("bin")
        with (
            Workspace.open(host.store) as workspace,
            workspace._store.lock_app(workspace.apps.get("crm").uuid),
        ):
            await host.settle(recorder)
            assert recorder.state.phase == "held"
        host.clock.advance(5.0)
        await recorder.step()
    assert host.versions()[1:] == [("drift", "event")]


async def test_unwatchable_root_is_polled_and_watched_when_asked(host: WatchedHost) -> None:
    limited = [True]

    def watch(app: App, notify: Notify) -> Watching:
        if not limited[0]:
            return host.watch(app, notify)
        watcher = PollingWatcher(host.clock, 60.0)
        watcher.start()
        return Watching(watcher, Watched(identity_of(host.root.stat())), ("no more watches",))

    async with host.recorder(watch) as recorder:
        await recorder.step()
        assert (recorder.state.phase, recorder.state.degraded) == ("polling", ("no more watches",))
        (host.root / "new").write_text("x")
        host.clock.advance(60.0)
        await host.settle(recorder)
        assert host.versions()[1:] == [("drift", "scan")]
        limited[0] = False
        recorder.follow(RHYTHM)
        await recorder.step()
        assert (recorder.state.phase, recorder.state.degraded) == ("watching", ())


async def test_more_folders_than_the_host_allows_are_polled(host: WatchedHost) -> None:
    async with host.recorder() as recorder:
        await recorder.step()
        (host.root / "one too many").mkdir()
        host.watcher.say("", limit=True)
        await recorder.step()
        assert len(host.watchers) == 2, "what watches it is chosen anew"
    assert host.watchers[0].closed


async def test_a_recording_can_be_stopped(host: WatchedHost) -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    async with host.recorder() as recorder:
        stopped = Bridge(
            "s", lambda: Workspace.open(host.store, progress=cancellation, recover=False)
        )
        recorder.bridge = stopped
        await recorder.step()
        assert recorder.state.error == "the daemon ends; its next start goes on"
        assert await stopped.close(wait=60)
    assert host.versions() == []


async def test_a_failure_is_shown_and_tried_again(host: WatchedHost) -> None:
    async with host.recorder() as recorder:
        await recorder.step()
        catalogs = host.store / "catalogs"
        catalog = next(catalogs.glob("*.syscat.zst"))
        catalog.rename(catalogs / "away")
        (host.root / "bin/tool").write_text("two")
        host.watcher.say("bin")
        await host.settle(recorder)
        assert recorder.state.phase == "error"
        assert recorder.state.queue == 1
        (catalogs / "away").rename(catalog)
        host.clock.advance(RHYTHM.retry)
        await recorder.step()
        assert (recorder.state.phase, recorder.state.error) == ("watching", None)
    assert len(host.versions()) == 2


async def test_a_look_at_another_root_keeps_nobody_waiting(host: WatchedHost) -> None:
    """The thread for looks that have time is there for all applications, and one may hang."""
    let_go = threading.Event()
    async with host.recorder() as recorder:
        await recorder.step()
        other = recorder._slow.give(lambda _: let_go.wait(60))
        host.clock.advance(1.2 * 86_400)
        await asyncio.wait_for(recorder.step(), 10)
        (host.root / "bin/tool").write_text("two")
        host.watcher.say("bin")
        await asyncio.wait_for(host.settle(recorder), 10)
        assert host.versions()[1:] == [("drift", "event")]
        assert recorder.state.counters.reconciles == 0
        host.clock.advance(PUT_OFF)
        await asyncio.wait_for(recorder.step(), 10)
        assert recorder.state.counters.reconciles == 1, (
            "nor does it keep this one from being looked at"
        )
        host.clock.advance(1.2 * 86_400)
        await asyncio.wait_for(recorder.step(), 10)
        let_go.set()
        await asyncio.wrap_future(other)
        host.clock.advance(RHYTHM.settle)
        await recorder.step()
        assert recorder.state.counters.reconciles == 2


async def test_a_store_that_fails_while_the_root_is_checked_is_said_and_tried_again(
    host: WatchedHost,
) -> None:
    """On a full disk, an index that is not open yet cannot be opened."""

    def full() -> Workspace:
        raise DiskFullError("no space is left")

    async with host.recorder() as recorder:
        usable = recorder.bridge._open_workspace
        recorder.bridge._open_workspace = full
        await recorder.step()
        assert (recorder.state.phase, recorder.state.error) == ("error", "no space is left")
        assert recorder.ready.is_set()
        recorder.bridge._open_workspace = usable
        host.clock.advance(RHYTHM.root)
        await recorder.step()
        assert (recorder.state.phase, recorder.state.error) == ("watching", None)
    assert host.versions() == [("drift", "startup-scan")]


async def test_finish_records_dirty_folders(host: WatchedHost) -> None:
    async with host.recorder() as recorder:
        await recorder.step()
        (host.root / "bin/tool").write_text("two")
        host.watcher.say("bin")
        await recorder.finish()
        assert host.watcher.closed
    assert host.versions()[1:] == [("drift", "event")]


async def test_a_file_that_always_changes_is_recorded_without_content(host: WatchedHost) -> None:
    log = host.root / "bin/server.out"
    log.write_text("begin\n")
    async with host.recorder() as recorder:
        await recorder.step()
        for number in range(RUNNING):
            log.write_text(f"{number}\n")
            host.watcher.say("bin")
            await host.settle(recorder)
        with Workspace.open(host.store) as workspace:
            assert workspace.apps.get("crm").noisy == ("bin/server.out",)
    versions = len(host.versions())
    async with host.recorder() as recorder:  # as a reload makes it
        await recorder.step()
        assert recorder.state.noisy == ("bin/server.out",)
        assert "1 files change all the time" in recorder.state.degraded[0]
        for number in range(3):
            log.write_text(f"again {number}\n")
            host.watcher.say("bin")
            await host.settle(recorder)
    assert len(host.versions()) == versions + 1, "that it is state now, and nothing after"
    with Workspace.open(host.store) as workspace:
        (entry,) = workspace.app("crm").ls("latest", RelPath("bin/server.out"))
        assert (entry.path_class, entry.content) == ("state", None)
        assert workspace.app("crm").status().clean
        workspace.apps.set("crm", add={"config": ["*.out"]})
        assert workspace.apps.get("crm").noisy == ()


async def test_a_checkout_that_was_killed_is_recovered(host: WatchedHost) -> None:
    """The journal of one that got nowhere is enough."""
    async with host.recorder() as recorder:
        await recorder.step()
        (host.root / "bin/tool").write_text("two")
        host.watcher.say("bin")
        with Workspace.open(host.store) as workspace:
            journal = workspace._store.journal(workspace.apps.get("crm").uuid)
        journal.write_bytes(b"")
        await host.settle(recorder)
        assert not journal.exists()
        host.clock.advance(RHYTHM.retry)
        await recorder.step()
    assert host.versions()[1:] == [("drift", "event")]


async def test_unstable_files_are_tried_again_without_holding_up_others(
    host: WatchedHost,
) -> None:
    """A lease keeps others from opening a file, as long as its holder likes."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    busy = host.root / "bin/busy"
    try:
        async with host.recorder() as recorder:
            await recorder.step()
            with busy.open("w") as file:
                file.write("x")
                file.flush()
                fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
                host.watcher.say("bin")
                await host.settle(recorder)
                assert recorder.state.unstable == ("bin/busy",)
                assert len(host.versions()) == 1
                host.clock.advance(RHYTHM.settle)
                await recorder.step()
                assert recorder.state.counters.looks == 3
                (host.root / "other").write_text("x")
                host.watcher.say("")
                await host.settle(recorder)
                assert recorder.state.unstable == ("bin/busy",)
                assert len(host.versions()) == 2, "recorded while the other is waited for"
                assert host.unobserved() == [("bin/busy", "unstable")]
                fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
            host.clock.advance(RHYTHM.retry_longest)
            await recorder.step()
            assert not recorder.state.unstable
        assert host.newest() >= {"bin/busy", "other"}
    finally:
        signal.signal(signal.SIGIO, before)


def test_who_held_a_root_that_is_gone_is_not_named_any_more() -> None:
    report = Report(App(uuid="0" * 32, key="crm", root="/opt/crm"))
    report.held("somebody")
    report.gone("there is no root")
    assert (report.state.phase, report.state.held) == ("gone", None)


def test_report_says_unreadable_files(host: WatchedHost) -> None:
    report = Report(App(uuid="0" * 32, key="crm", root="/opt/crm"))
    with Workspace.open(host.store) as workspace:
        outcome = record(workspace.app("crm"), "event", None)
    unread = msgspec.structs.replace(outcome, unread=("lib/x", "lib/y"))
    report.recorded(unread, "scan", looked="now")
    assert report.degraded() == ("cannot be read: lib/x and 1 others",)
    report.recorded(outcome, "event", looked=None)
    assert report.degraded() == ()


async def test_events_during_the_root_check_are_not_put_off(
    host: WatchedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing wakes the loop for it: something else is dirty already."""
    async with host.recorder() as recorder:
        await host.settle(recorder)
        (host.root / "one").write_text("1")
        host.watcher.say("")
        await recorder.step()
        host.clock.advance(RHYTHM.root)
        checked = recorder._root.check

        async def check() -> bool:
            (host.root / "lib").mkdir()
            host.watcher.say("lib")
            return await checked()

        monkeypatch.setattr(recorder._root, "check", check)
        await recorder.step()
        due = recorder.due()
        assert due is not None and due <= host.clock.monotonic() + RHYTHM.settle
        await host.settle(recorder)
        assert {"one", "lib"} <= host.newest()


async def test_how_far_a_first_look_is_can_be_asked_also_when_it_is_tried_again(
    host: WatchedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gauge, "QUICK", 0.0)
    seen: list[tuple[str, Doing | None]] = []
    fails = [True]

    async with host.recorder() as recorder:

        def end(self: object) -> None:
            seen.append((recorder.state.phase, recorder.state.doing))
            if fails.pop() if fails else False:
                raise DiskFullError("no room")

        monkeypatch.setattr(gauge.Gauge, "end", end)
        for _ in range(2):
            await recorder.step()
            assert recorder.state.doing is None
            host.clock.advance(RHYTHM.retry_longest)
        assert recorder.state.phase == "watching"
    assert [phase for phase, _ in seen][:2] == ["starting", "error"]
    assert all(doing is not None and doing.what for _, doing in seen)
