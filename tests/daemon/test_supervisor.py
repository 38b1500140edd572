"""All applications of an appcat, with watchers that say what they are told to."""

import asyncio
import threading
from pathlib import Path

import pytest

from epmstore.workspace import Workspace
from epmstored import supervisor as module
from epmstored.supervisor import Supervisor
from tests.kit.recorder import RHYTHM, WatchedHost

pytestmark = pytest.mark.slow


def _supervisor(host: WatchedHost) -> Supervisor:
    return Supervisor(
        lambda: Workspace.open(host.store, recover=False),
        clock=host.clock,
        timing=RHYTHM,
        watch=host.watch,
    )


async def test_who_stops_takes_on_no_more(tmp_path: Path) -> None:
    """A reload that a signal began may come to its end later than the recording does."""
    host = WatchedHost(tmp_path)
    supervisor = _supervisor(host)
    running = asyncio.create_task(supervisor.run())
    await supervisor.ready()
    supervisor.stop()
    await running
    (tmp_path / "other").mkdir()
    with Workspace.open(host.store) as workspace:
        workspace.apps.add("erp", tmp_path / "other")
    await supervisor.reload()
    assert [state.app for state in supervisor.states()] == ["crm"]
    await supervisor.close()


async def test_an_application_that_hangs_does_not_keep_the_others_from_being_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a dead file system a look has no end; whoever removes the application waits for none."""
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    host, looks, let_go = WatchedHost(tmp_path), threading.Event(), threading.Event()
    supervisor = _supervisor(host)
    running = asyncio.create_task(supervisor.run())
    await supervisor.ready()

    def hang() -> None:
        looks.set()
        let_go.wait(60)

    host.watcher.renew = hang  # type: ignore[method-assign]
    host.watcher.say(lost=True)
    host.clock.advance(RHYTHM.settle * 2)
    supervisor.reconcile("crm")
    bridge = supervisor.bridge("crm")
    assert await asyncio.to_thread(looks.wait, 60)
    (tmp_path / "other").mkdir()
    with Workspace.open(host.store) as workspace:
        workspace.apps.remove("crm")
        workspace.apps.add("erp", tmp_path / "other")
    [hung] = host.watchers
    try:
        await asyncio.wait_for(supervisor.reload(), 20)
        assert [state.app for state in supervisor.states()] == ["erp"]
        assert not hung.closed
    finally:
        let_go.set()
        supervisor.stop()
        await running
        await supervisor.close()
    assert await bridge.close(wait=60)
    assert hung.closed, "as soon as it does not hang any more"
