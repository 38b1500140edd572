"""What is not observed is not absent, and what changed within a tick is seen."""

import errno
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from epmstore import fsio
from epmstore.errors import RootError
from epmstore.workspace import Workspace
from tests.kit.place import Place

PROGRAM = str(Path(sys.executable).with_name("epmstore"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("number", range(20))
def test_a_write_within_the_same_tick_is_seen(place: Place, number: int) -> None:
    place.write("file", b"old bytes")
    place.snapshot()
    with (place.root / "file").open("r+b") as file:
        file.write(b"new")
    before = (place.root / "file").stat()
    os.utime(place.root / "file", ns=(before.st_atime_ns, before.st_mtime_ns))
    with place.crm() as crm:
        assert crm.status().modified == ["file"]
    assert place.snapshot() == 1
    assert place.cat("file") == b"new bytes"


def test_a_write_right_after_each_of_many_snapshots_is_seen(place: Place) -> None:
    for number in range(10):
        place.write("file", b"%03d" % number)
        assert place.snapshot() == number
    assert [place.cat("file", number) for number in range(10)] == [b"%03d" % n for n in range(10)]


@pytest.mark.root
def test_unreadable_paths_keep_their_entry(place: Place) -> None:
    place.write("open", b"1")
    place.write("file", b"kept")
    place.write("folder/inside", b"kept")
    place.snapshot()
    place.write("open", b"22")
    place.write("new", b"never read")
    for name, mode in (("file", 0o600), ("new", 0), ("folder", 0o700)):
        os.chown(place.root / name, 65534, 65534)
        (place.root / name).chmod(mode)
    (place.root / "file").write_bytes(b"other bytes")
    found = subprocess.run(
        ["setpriv", "--bounding-set=-all", "--inh-caps=-all", PROGRAM, "snapshot"],
        env={**os.environ, "EPMSTORE_STORE": str(place.path)},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 3, found
    for name in ("file", "folder", "new"):
        assert name in found.stderr
    assert place.cat("open", 1) == b"22"
    assert place.cat("file", 1) == b"kept"
    assert place.cat("folder/inside", 1) == b"kept"
    assert "new" not in place.names(1)
    with place.crm() as crm:
        assert (crm.versions()[1].record.counts.removed, crm.snapshot().version) == (0, 2)
    assert place.cat("file", 2) == b"other bytes"


def test_a_path_that_a_catalog_may_not_hold_does_not_spoil_the_history(place: Place) -> None:
    place.write("file")
    where = os.open(place.root, os.O_RDONLY)
    for _ in range(30):
        os.mkdir("d" * 200, dir_fd=where)
        inner = os.open("d" * 200, os.O_RDONLY, dir_fd=where)
        os.close(where)
        where = inner
    os.close(where)
    with place.crm() as crm:
        result = crm.snapshot()
    assert [problem.kind for problem in result.unobserved] == ["unreadable"]
    names = place.names()
    assert "file" in names
    with Workspace.open(place.path) as workspace:
        assert workspace.care.fsck().clean
        assert workspace.care.rebuild() == []
    assert place.names() == names


@pytest.mark.parametrize(
    "code, hint", [(errno.EACCES, "run it as root"), (errno.EIO, "the file system says so")]
)
def test_a_root_that_cannot_be_opened_says_what_helps(
    place: Place, monkeypatch: pytest.MonkeyPatch, code: int, hint: str
) -> None:
    def refuse(path: str) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fsio, "open_root", refuse)
    with place.crm() as crm, pytest.raises(RootError) as caught:
        crm.status()
    assert (caught.value.hint or "").startswith(hint)


def test_special_files_are_named_and_nothing_fails(place: Place) -> None:
    place.write("file")
    os.mkfifo(place.root / "fifo")
    here = os.open(place.root, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{here}/socket")
    os.close(here)
    with place.crm() as crm:
        result = crm.snapshot()
        assert {problem.path for problem in result.skipped} == {"fifo", "socket"}
        assert not result.incomplete
    assert place.names() == {"file"}


def test_a_file_that_becomes_a_fifo_is_removed(place: Place) -> None:
    place.write("file")
    place.snapshot()
    (place.root / "file").unlink()
    os.mkfifo(place.root / "file")
    with place.crm() as crm:
        result = crm.snapshot()
    assert stat.S_ISFIFO((place.root / "file").lstat().st_mode)
    assert (result.removed, result.version) == (1, 1)


def test_the_store_inside_the_root_is_left_out(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "var").mkdir(parents=True)
    with Workspace.init(root / "var/store") as workspace:
        workspace.apps.add("crm", root)
        crm = workspace.app("crm")
        assert crm.snapshot().version == 0
        assert [entry.path for entry in crm.ls("0")] == ["var"]
        assert crm.status().clean
        (root / "var/store").rename(root / "var/moved")
    with Workspace.open(root / "var/moved") as workspace:
        assert workspace.app("crm").status().clean, "it is known by what it is, not by its name"


@pytest.fixture
def vanishing(place: Place) -> Iterator[threading.Thread]:
    """Somebody who makes and removes files all the time."""
    stop = threading.Event()

    def run() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            folder = place.root / f"busy/{number % 7}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "file").write_bytes(b"%d" % number)
            (folder / "file").unlink()
            folder.rmdir()

    thread = threading.Thread(target=run)
    thread.start()
    yield thread
    stop.set()
    thread.join()


@pytest.mark.slow
def test_files_that_vanish_meanwhile_do_no_harm(place: Place, vanishing: threading.Thread) -> None:
    for number in range(50):
        place.write(f"quiet/{number}", b"%d" % number)
    for number in range(8):
        place.write("quiet/edited", b"%d" % number)
        place.snapshot()
        names = place.names()
        assert {f"quiet/{n}" for n in range(50)} | {"quiet/edited"} <= names
        assert place.cat("quiet/edited") == b"%d" % number


def test_a_crash_between_catalog_and_index_is_caught_up_with(place: Place) -> None:
    place.write("file", b"1")
    place.snapshot()
    saved = {path: path.read_bytes() for path in place.path.glob("index.sqlite*")}
    place.write("file", b"22")
    place.write("other", b"3")
    place.snapshot("after")
    place.drop_index()
    for path, data in saved.items():
        path.write_bytes(data)
    with place.crm() as crm:
        assert [info.label for info in crm.versions()] == [None, "after"]
        assert crm.status().clean
    assert place.cat("file", 1) == b"22"
    place.write("other", b"4")
    assert place.snapshot() == 2


def test_a_failing_write_of_the_index_is_caught_up_with(place: Place) -> None:
    """Every mutating call of a snapshot fails once; the next snapshot is right."""
    place.write("file", b"0")
    place.snapshot()
    for last in range(1, 40):
        place.write("file", b"%d" % last * 3)
        calls = 0

        def fault(name: str, arguments: tuple[object, ...], last: int = last) -> None:
            nonlocal calls
            calls += 1
            if calls == last:
                raise OSError(5, "Input/output error")

        fsio.install_fault(fault)
        try:
            place.snapshot()
        except OSError:
            pass
        finally:
            fsio.install_fault(None)
        version = place.snapshot()
        assert version == last, "one change is one version"
        assert place.cat("file") == b"%d" % last * 3
        if calls < last:
            break
    assert calls < last, "there were fewer calls than that"
