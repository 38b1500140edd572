"""All applications of an appcat, with watchers that say what they are told to."""

import asyncio
from pathlib import Path

import pytest

from epmstore.workspace import Workspace
from epmstored.supervisor import Supervisor
from tests.daemon.fakes import RHYTHM, Host

pytestmark = pytest.mark.slow


async def test_who_stops_takes_on_no_more(tmp_path: Path) -> None:
    """A reload that a signal began may come to its end later than the recording does."""
    host = Host(tmp_path)
    supervisor = Supervisor(
        lambda: Workspace.open(host.store, recover=False),
        clock=host.clock,
        rhythm=RHYTHM,
        watch=host.watch,
    )
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
