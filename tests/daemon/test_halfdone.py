"""Half-written files make no versions."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore.catalog.format import decode_line, encode_line
from epmstore.catalog.model import START, VersionPart, VersionRecord
from epmstore.relpath import RelPath
from epmstore.scan.writers import Writers
from epmstore.workspace import Workspace
from epmstored import halfdone
from epmstored.debounce import Batch
from epmstored.halfdone import is_half_done, look_at_writers, needs_a_look
from tests.kit.daemon import running
from tests.kit.recorder import RHYTHM, WatchedHost

pytestmark = pytest.mark.slow
WRITER = """
import sys
with open(sys.argv[1], "w") as file:
    file.write("half")
    file.flush()
    print(flush=True)
    sys.stdin.readline()
    file.write(" and half")
"""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Somebody has written one half; he writes the other when the block ends."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.communicate(b"\n", timeout=60)


@pytest.fixture
def host(tmp_path: Path) -> WatchedHost:
    host = WatchedHost(tmp_path)
    (host.root / "bin").mkdir()
    return host


def contents(store: Path, path: str) -> list[str]:
    """What each version that has it says that it is."""
    with Workspace.open(store) as workspace:
        crm = workspace.app("crm")
        return [
            b"".join(crm.cat(str(version.version), RelPath(path))).decode()
            for version in crm.versions()
            if path in {str(entry.path) for entry in crm.ls(str(version.version))}
        ]


async def test_a_file_that_was_open_before_anybody_looked_is_waited_for(host: WatchedHost) -> None:
    async with host.recorder() as recorder:
        with writing(host.root / "bin/tool"):
            await recorder.step()
            assert recorder.ready.is_set()
            assert host.versions() == []
            host.clock.advance(RHYTHM.settle)
            await recorder.step()
            assert host.versions() == []
        host.clock.advance(RHYTHM.settle)
        await recorder.step()
    assert contents(host.store, "bin/tool") == ["half and half"]


async def test_it_is_not_waited_for_longer_than_anything(host: WatchedHost) -> None:
    async with host.recorder() as recorder:
        with writing(host.root / "bin/tool"):
            await recorder.step()
            host.clock.advance(RHYTHM.longest)
            await recorder.step()
            assert len(host.versions()) == 1


async def test_at_the_end_it_is_left_to_the_next_start(host: WatchedHost) -> None:
    async with host.recorder() as recorder:
        await recorder.step()
        with writing(host.root / "bin/tool"):
            host.watcher.say("bin", unsure=True)
            recorder.stop()
            await recorder.run()
    assert len(host.versions()) == 1


async def test_a_reconcile_waits_for_it_too(host: WatchedHost) -> None:
    async with host.recorder() as recorder:
        await recorder.step()
        recorder.reconcile_soon()
        with writing(host.root / "bin/tool"):
            host.watcher.say("bin", unsure=True)
            await recorder.step()
            assert recorder.state.counters.reconciles == 0
        await host.settle(recorder)
        await recorder.step()
        assert recorder.state.counters.reconciles == 1
    assert contents(host.store, "bin/tool") == ["half and half"]


async def test_writers_of_ignored_and_state_files_are_not_waited_for(host: WatchedHost) -> None:
    with Workspace.open(host.store) as workspace:
        app = workspace.apps.set("crm", add={"state": ["*.log"], "ignore": ["tmp/"]})
    (host.root / "tmp").mkdir()
    with writing(host.root / "a.log"), writing(host.root / "tmp/x"), writing(host.root / "tool"):
        assert look_at_writers(app, 0.0).paths == {"tool"}


def test_events_are_believed_where_nobody_may_look(
    host: WatchedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Workspace.open(host.store) as workspace:
        app = workspace.apps.get("crm")
    told = Batch(frozenset({"bin"}), None, 0.0, writing=frozenset({"bin/tool"}))
    unsure = Batch(frozenset({"bin"}), None, 0.0, unsure=True)
    assert needs_a_look(told) and needs_a_look(unsure)
    assert not needs_a_look(Batch(frozenset({"bin"}), None, 0.0))
    found = Writers(incomplete=True)
    monkeypatch.setattr(halfdone, "writers_below", lambda *_: found)
    assert not is_half_done(app, told, 0.0), "it is not there any more"
    (host.root / "bin/tool").write_text("half")
    assert is_half_done(app, told, 0.0)
    assert not is_half_done(app, unsure, 0.0)
    assert not is_half_done(app, told, time.time() + 60), "it was only kept open"
    (host.root / "bin/tool").unlink()
    (host.root / "bin/tool").symlink_to("other")
    assert not is_half_done(app, told, 0.0), "nobody writes into a symlink"
    found = Writers()
    assert not is_half_done(app, told, 0.0), "it is not open any more"


async def test_writer_hints_from_before_an_overflow_are_not_believed(
    host: WatchedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event that tells of its end may be among those that were lost."""
    monkeypatch.setattr(halfdone, "writers_below", lambda *_: Writers(incomplete=True))
    async with host.recorder() as recorder:
        await recorder.step()
        (host.root / "bin/tool").write_text("whole")
        host.watcher.say("bin", writing=["bin/tool"], lost=True)
        await host.settle(recorder)
    assert contents(host.store, "bin/tool") == ["whole"]


def test_a_pause_in_the_middle_of_writing_makes_no_version(tmp_path: Path) -> None:
    """Longer than the settle time, and in a folder that is new."""
    root = tmp_path / "root"
    root.mkdir()
    with Workspace.init(tmp_path / "store") as workspace:
        workspace.apps.add("crm", root)
    with running(tmp_path / "store", EPMSTORE_DAEMON_SETTLE="200ms") as daemon:
        (root / "new").mkdir()
        with writing(root / "new/tool"), pytest.raises(AssertionError, match="no 'version 1"):
            daemon.wait_for("version 1", timeout=3)
        daemon.wait_for(r"version 1 \(event\), 2 paths")
        assert daemon.stop() == 0
    assert contents(tmp_path / "store", "new/tool") == ["half and half"]


async def test_half_done_files_are_recorded_as_such(host: WatchedHost) -> None:
    """At the latest time a version is made of what is there; it does not pass for whole."""
    (host.root / "bin/done").write_text("done")
    async with host.recorder() as recorder:
        with writing(host.root / "bin/half"):
            await recorder.step()
            host.clock.advance(RHYTHM.longest)
            await recorder.step()
        host.watcher.say("bin")
        await host.settle(recorder)
    with Workspace.open(host.store) as workspace:
        versions = workspace.app("crm").versions()
    assert [info.record.writing for info in versions] == [("bin/half",), ()]
    assert contents(host.store, "bin/half") == ["half", "half and half"]


@given(st.lists(st.binary(min_size=1, max_size=8), unique=True, max_size=4))
def test_names_of_any_bytes_come_back(names: list[bytes]) -> None:
    paths = tuple(
        RelPath(os.fsdecode(name))
        for name in names
        if b"/" not in name and b"\0" not in name and name not in (b".", b"..")
    )
    header = VersionRecord(
        time="2026-01-01T00:00:00Z", version=0, app="0" * 32, key="crm", txid="1" * 32,
        kind="drift", reason="event", tree="0" * 64, writing=paths,
    )  # fmt: skip
    line = encode_line(VersionPart(header), START)
    _, found = decode_line(line)
    assert isinstance(found, VersionPart)
    assert found.header.writing == paths
