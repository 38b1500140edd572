"""What work took is given back once it is done."""

import asyncio
import platform
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from epmstore.workspace import Workspace
from epmstored import memory
from epmstored.bridge import Bridge
from epmstored.memory import GROWN, Ebb

PIECES = 48
LEFT = """
from epmstored.memory import keep_little, resident

if {is_told}:
    keep_little()
at_first = bytearray(8 << 20)  # the library learns from the first large thing that is freed
del at_first
before = resident()
held = [bytearray(b"x") * (1 << 20) for _ in range({pieces})]
after_all = bytearray(b"x") * (200 << 10)  # behind it: the heap cannot shrink
del held
print((resident() - before) >> 20)
"""


def test_ebb_gives_back_what_came_since_it_was_at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    sizes = [100 * GROWN]
    monkeypatch.setattr(memory, "resident", lambda: sizes[-1])
    monkeypatch.setattr(memory, "give_back", lambda: given.append(sizes[-1]))
    ebb = Ebb()

    def work(*after: int) -> list[int]:
        for size in after:
            sizes.append(size)
            ebb.after_work()
        return given

    assert work(100 * GROWN, 100 * GROWN + GROWN // 2, 101 * GROWN) == []  # a little each time
    too_large = 101 * GROWN + 1
    assert work(too_large, too_large) == [too_large]  # it cannot be had: that is what it has now
    assert work(50 * GROWN, 51 * GROWN) == [too_large]
    assert work(52 * GROWN) == [too_large, 52 * GROWN]


async def test_memory_is_given_back_after_what_was_read_with_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is freed later stays with the process, until the next work."""
    done: list[str] = []
    is_given_back = threading.Event()

    def work(workspace: Workspace) -> None:
        done.append("work")

    def let_go(workspace: Workspace) -> None:
        done.append("rest")
        rest(workspace)

    def give_back(ebb: Ebb) -> None:
        done.append("ebb")
        is_given_back.set()

    Workspace.init(tmp_path / "store").close()
    rest = Workspace.rest
    monkeypatch.setattr(Workspace, "rest", let_go)
    monkeypatch.setattr(Ebb, "after_work", give_back)
    bridge = Bridge("one", lambda: Workspace.open(tmp_path / "store"))
    await bridge.run(work)
    assert await asyncio.to_thread(is_given_back.wait, 60)
    assert await bridge.close(wait=60)
    assert done == ["work", "rest", "ebb"]


@pytest.mark.parametrize("is_told", [False, True])
def test_large_memory_is_given_back(is_told: bool) -> None:
    """As it does where the library is left alone: else there would be nothing to tell it."""
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("of glibc")
    script = LEFT.format(is_told=is_told, pieces=PIECES)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    left = int(done.stdout)
    assert (left < 2) is is_told, left


SEARCHED = """
import gc
import epmstored.main
from epmstored.memory import keep_little

before = len(gc.get_objects())
keep_little()
print(before, len(gc.get_objects()))
"""


def test_imported_objects_are_frozen_for_the_collector() -> None:
    """The search holds up whoever waits for a version to be recorded."""
    done = subprocess.run([sys.executable, "-c", SEARCHED], capture_output=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before > 10_000
    assert after < before // 100
