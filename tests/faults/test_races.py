"""Somebody who may write in a root swaps a folder, or a file, of it with a symlink to somewhere
else while we work there. Nothing elsewhere is changed, and nothing of it is recorded.

EPM_TEST_RACE sets for how many seconds each kind of work is tried.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from epmstore import fsio
from epmstore.digest import identify
from epmstore.errors import BlobNotFoundError, EpmError
from epmstore.workspace import AppHandle, Workspace
from tests.kit.program import Picture, amount, picture

SECONDS = amount("EPM_TEST_RACE", 1)
RACER = str(Path(__file__).with_name("racer.py"))
FILES = 6
ELSEWHERE = b"nobody may read this\n" * 20


class Arena:
    """A root with two versions, and a folder elsewhere with files of the same names."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.root, self.elsewhere, self.link = place / "root", place / "elsewhere", place / "link"
        self.store = place / "store"
        self.root.mkdir(parents=True)
        self._fill(self.root / "d", b"first")
        (self.root / "other").write_bytes(b"other")
        self._fill(self.elsewhere, ELSEWHERE)
        os.setxattr(self.elsewhere / "f0", "user.mine", b"mine")
        Workspace.init(self.store).close()
        with Workspace.open(self.store) as workspace:
            workspace.apps.add("crm", self.root)
            workspace.app("crm").snapshot("first")
            self._fill(self.root / "d", b"second")
            (self.root / "d/f1").chmod(0o600)
            os.setxattr(self.root / "d/f2", "user.x", b"x")
            (self.root / "d/more").mkdir()
            (self.root / "d/more/f").write_bytes(b"more")
            (self.root / "d/f3").unlink()
            workspace.app("crm").snapshot("second")
        self.before: Picture = picture(self.elsewhere)

    def _fill(self, folder: Path, data: bytes) -> None:
        folder.mkdir(exist_ok=True)
        for number in range(FILES):
            (folder / f"f{number}").write_bytes(data + b"%d" % number)

    @contextlib.contextmanager
    def raced(self, level: str) -> Iterator[list[int]]:
        """Within the block the swapping goes on; afterwards the list has how often it was done."""
        inside = self.root / "d" if level == "folder" else self.root / "d/f0"
        self.link.symlink_to(self.elsewhere if level == "folder" else self.elsewhere / "f0")
        command = [sys.executable, RACER, str(inside), str(self.link)]
        racer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert racer.stdout is not None and racer.stdin is not None
        assert racer.stdout.readline() == "running\n"
        swaps: list[int] = []
        try:
            yield swaps
        finally:
            racer.stdin.write("end\n")
            racer.stdin.flush()
            swaps.append(int(racer.stdout.readline()))
            racer.communicate()

    def escapes(self) -> list[str]:
        """What of elsewhere was changed, or recorded."""
        found = []
        if picture(self.elsewhere) != self.before:
            found.append("something elsewhere was changed")
        with Workspace.open(self.store, recover=False) as workspace:
            for number in range(FILES):
                content = identify(ELSEWHERE + b"%d" % number)
                with contextlib.suppress(BlobNotFoundError):
                    workspace.blobs.stat(content.digest)
                    found.append(f"f{number} of elsewhere is stored")
                if workspace.app("crm").reading.find_content(content.digest):
                    found.append(f"f{number} of elsewhere is recorded")
        return found


def write(handle: AppHandle, turn: int) -> None:
    handle.checkout(str(turn % 2), exact=True)


def read(handle: AppHandle, turn: int) -> None:
    handle.snapshot(f"turn {turn}")


def look(handle: AppHandle, turn: int) -> None:
    handle.status()
    handle.plan("0", exact=True)


WORK: dict[str, Callable[[AppHandle, int], None]] = {"checkout": write, "snapshot": read}
WORK["status"] = look


def work(arena: Arena, kind: str, seconds: float) -> int:
    """Again and again, whatever comes of it; how often."""
    turn, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        turn += 1
        with contextlib.suppress(EpmError, OSError), Workspace.open(arena.store) as workspace:
            WORK[kind](workspace.app("crm"), turn)
    return turn


@pytest.mark.slow
@pytest.mark.timeout(120 + 3 * SECONDS)
@pytest.mark.parametrize("level", ["folder", "file"])
@pytest.mark.parametrize("kind", WORK)
def test_nothing_gets_out(
    tmp_path: Path, kind: str, level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arena = Arena(tmp_path)
    with arena.raced(level) as swaps:
        turns = work(arena, kind, SECONDS)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{kind}, {level}: {turns} turns, {swaps[0] // SECONDS} swaps a second\n"
        )
    assert arena.escapes() == []
    assert turns > 3 and swaps[0] > 100 * SECONDS


@pytest.mark.slow
def test_who_looks_first_and_opens_then_gets_out(tmp_path: Path) -> None:
    """Or the test above proves nothing."""
    arena = Arena(tmp_path)
    escapes, end = 0, time.monotonic() + 60
    with arena.raced("folder"):
        while escapes <= 20 and time.monotonic() < end:
            folder = arena.root / "d"
            if not folder.is_symlink():
                with contextlib.suppress(OSError):
                    (folder / "naive").write_bytes(b"x")
            escapes += (arena.elsewhere / "naive").exists()
            (arena.elsewhere / "naive").unlink(missing_ok=True)
    assert escapes > 20


def swapped_at(arena: Arena, last: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """A checkout in which the folder becomes a link right before the `last` opening of a folder;
    whether it came so far.
    """
    opened = 0
    open_directory = fsio.open_directory

    def swap_first(name: str | bytes, parent: int) -> int:
        nonlocal opened
        opened += 1
        if opened == last:
            (arena.root / "d").rename(arena.place / "aside")
            (arena.root / "d").symlink_to(arena.elsewhere)
        return open_directory(name, parent)

    with monkeypatch.context() as patch:
        patch.setattr(fsio, "open_directory", swap_first)
        with contextlib.suppress(EpmError, OSError), Workspace.open(arena.store) as workspace:
            workspace.app("crm").checkout("0", exact=True)
    return opened >= last


def escapes_anywhere(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    for last in range(1, 100):
        arena = Arena(place / f"{last}")
        if not swapped_at(arena, last, monkeypatch):
            return found
        found += arena.escapes()
    pytest.fail("a checkout opens fewer folders")


def test_swapped_before_any_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert escapes_anywhere(tmp_path, monkeypatch) == []


def test_following_links_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with the flag left out that keeps symlinks from being followed."""
    monkeypatch.setattr(fsio, "DIRECTORY", fsio.DIRECTORY & ~os.O_NOFOLLOW)
    assert escapes_anywhere(tmp_path, monkeypatch) != []
