"""What is written in great amounts is written out meanwhile; the sync at the end is what counts."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from epmstore import fsio
from epmstore.checkout import files
from epmstore.workspace import Workspace
from tests.kit.place import Place

Calls = list[tuple[int, int]]
"""(descriptor, inode) of each sync."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(files, "FLUSH_FROM", 100)
    monkeypatch.setattr(files, "PART_FILES", 5)
    made = Place(tmp_path)
    for number in range(30):
        made.write(f"f{number}", b"content %d" % number * 5)
    made.snapshot("first")
    return made


def syncs(monkeypatch: pytest.MonkeyPatch, fails: Callable[[int], bool]) -> Calls:
    """Those that are asked for from now on; a sync fails if its number says so."""
    calls: Calls = []
    sync = fsio.sync_filesystem

    def record(fd: int) -> None:
        calls.append((fd, os.fstat(fd).st_ino))
        if fails(len(calls)):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(fd)

    monkeypatch.setattr(fsio, "sync_filesystem", record)
    return calls


def export(place: Place, target: Path) -> None:
    with Workspace.open(place.path, clock=place.clock) as workspace:
        workspace.app("crm").export("0", target)


def test_the_last_sync_has_a_descriptor_that_was_told_nothing(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors of writing are told once to each who has the file system open."""
    calls = syncs(monkeypatch, lambda number: False)
    export(place, tmp_path / "copy")
    *early, last = calls
    assert early, "with so much to write there are some before"
    assert last[0] not in {fd for fd, _ in early}
    assert len(list((tmp_path / "copy").iterdir())) == 30


def test_who_waits_for_nothing_is_told_nothing(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = syncs(monkeypatch, lambda number: number == 1)
    export(place, tmp_path / "copy")
    assert len(calls) > 1
    assert (tmp_path / "copy/f7").read_bytes() == b"content 7" * 5


def test_the_last_sync_decides(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs(monkeypatch, lambda number: True)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        export(place, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert {entry.name for entry in tmp_path.iterdir()} == {"root", "store"}
