"""The way into threads."""

import asyncio
import contextlib
import os
import resource
import threading
from pathlib import Path

import pytest

from epmstore.errors import NoStoreError
from epmstore.workspace import Workspace
from epmstored.bridge import Bridge
from epmstored.cancellation import StoppedError


@pytest.fixture
def store(tmp_path: Path) -> Path:
    Workspace.init(tmp_path / "store").close()
    return tmp_path / "store"


async def test_everything_is_done_in_order_in_one_thread(store: Path) -> None:
    bridge = Bridge("one", lambda: Workspace.open(store))
    first = await bridge.run(lambda ws: (ws, threading.get_ident()))
    second = await bridge.run(lambda ws: (ws, threading.get_ident()))
    assert first == second
    assert first[1] != threading.get_ident()
    assert await bridge.close(wait=60)


async def test_bridge_returns_errors_and_goes_on(store: Path) -> None:
    bridge = Bridge("one", lambda: Workspace.open(store))
    with pytest.raises(ZeroDivisionError):
        await bridge.run(lambda ws: 1 // 0)
    assert await bridge.run(lambda ws: ws.path) == store
    assert await bridge.close(wait=60)


async def test_a_store_that_is_not_there_is_tried_again(tmp_path: Path) -> None:
    bridge = Bridge("one", lambda: Workspace.open(tmp_path / "store"))
    with pytest.raises(NoStoreError):
        await bridge.run(lambda ws: ws.path)
    Workspace.init(tmp_path / "store").close()
    assert await bridge.run(lambda ws: ws.path) == tmp_path / "store"
    assert await bridge.close(wait=60)


async def test_it_goes_on_when_descriptors_had_run_out(store: Path) -> None:
    """What is done between two jobs needs some, too, and nobody would hear of it."""
    bridge = Bridge("one", lambda: Workspace.open(store))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[int] = []
    has_rested = threading.Event()

    def exhaust(workspace: Workspace) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
        rest = workspace.rest

        def rest_and_exhaust() -> None:
            rest()
            with contextlib.suppress(OSError):
                while True:
                    held.append(os.dup(0))
            has_rested.set()

        workspace.rest = rest_and_exhaust  # type: ignore[method-assign]

    try:
        await bridge.run(exhaust)
        await asyncio.to_thread(has_rested.wait, 60)
        other = bridge.give(lambda ws: ws.path)
        assert await asyncio.wait_for(asyncio.wrap_future(other), 10) == store
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for fd in held:
            os.close(fd)
    assert await bridge.close(wait=60)


async def test_bridge_close_does_not_wait_for_a_hanging_call(store: Path) -> None:
    bridge, go_on = Bridge("one", lambda: Workspace.open(store)), threading.Event()
    started = threading.Event()

    def hang(workspace: Workspace) -> bool:
        started.set()
        return go_on.wait(60)

    job = bridge.give(hang)
    assert started.wait(60)
    assert not await bridge.close(wait=0)
    with pytest.raises(StoppedError):
        await bridge.run(lambda ws: ws.path)
    go_on.set()
    assert job.result(60)
