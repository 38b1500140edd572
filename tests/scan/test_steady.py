import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore import fsio
from epmstore.relpath import RelPath
from epmstore.scan.problem import Problem, UnreadError, judge
from epmstore.scan.steady import TRIES, Steady, read_steady, stream_steady

MANY = 1 << 30


def read(root_fd: int, name: str = "file", limit: int = MANY) -> Steady:
    return read_steady(root_fd, name, os.lstat(name, dir_fd=root_fd), limit)


def kind_of_failure(read_it: Callable[[], object]) -> str:
    with pytest.raises(UnreadError) as caught:
        read_it()
    return caught.value.kind


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 10_000])
def test_reads_whole_files(root: Path, root_fd: int, data: bytes) -> None:
    (root / "file").write_bytes(data)
    found = read(root_fd)
    assert found.data == data
    assert found.stat == os.lstat(root / "file")


@given(data=st.binary(max_size=5000), size=st.integers(1, 3000))
def test_streams_in_pieces(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, size: int
) -> None:
    root = tmp_path_factory.mktemp("stream")
    (root / "file").write_bytes(data)
    fd = os.open(root, os.O_RDONLY)
    with stream_steady(fd, "file", os.lstat(root / "file"), MANY) as stream:
        pieces = list(stream.chunks(size))
        assert os.fstat(stream.fd).st_ino == stream.stat.st_ino
    os.close(fd)
    assert b"".join(pieces) == data
    assert all(len(piece) == size for piece in pieces[:-1])


def test_short_reads_are_no_end(root: Path, root_fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes(range(256)) * 50
    (root / "file").write_bytes(data)
    real = os.read
    monkeypatch.setattr(os, "read", lambda fd, size: real(fd, min(size, 1000)))
    assert read(root_fd).data == data
    with stream_steady(root_fd, "file", os.lstat(root / "file"), MANY) as stream:
        assert b"".join(stream.chunks(5000)) == data


class Meddler:
    """Changes the file before each of the first `times` reads, and reads for real."""

    def __init__(self, change: Callable[[], object], times: int) -> None:
        self._real = os.read
        self._change = change
        self.left = times

    def __call__(self, fd: int, size: int) -> bytes:
        if self.left:
            self.left -= 1
            self._change()
        return self._real(fd, size)


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def shrink(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


@pytest.mark.parametrize("change", [append, shrink])
def test_a_change_while_reading_means_reading_again(
    root: Path, root_fd: int, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    path = root / "file"
    path.write_bytes(b"hello world")
    monkeypatch.setattr(os, "read", Meddler(lambda: change(path), 1))
    found = read(root_fd)
    assert found.data == path.read_bytes() != b"hello world"
    assert found.stat == os.lstat(path)


@pytest.mark.parametrize("change", [append, shrink])
def test_a_file_that_always_changes_is_unstable(
    root: Path, root_fd: int, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    path = root / "file"
    path.write_bytes(b"hello world" * 10)
    meddler = Meddler(lambda: change(path), 1000)
    monkeypatch.setattr(os, "read", meddler)
    assert kind_of_failure(lambda: read(root_fd)) == "unstable"
    assert meddler.left >= 1000 - 3 * TRIES


@pytest.mark.parametrize("change", [append, shrink])
def test_a_stream_that_changes_is_unstable(
    root: Path, root_fd: int, change: Callable[[Path], None]
) -> None:
    (root / "file").write_bytes(b"hello world")
    with stream_steady(root_fd, "file", os.lstat(root / "file"), MANY) as stream:
        chunks = stream.chunks(4)
        assert next(chunks) == b"hell"
        change(root / "file")
        assert kind_of_failure(lambda: list(chunks)) == "unstable"


def test_rewriting_in_place_is_seen_by_its_times(root: Path, root_fd: int) -> None:
    (root / "file").write_bytes(b"hello world")
    with stream_steady(root_fd, "file", os.lstat(root / "file"), MANY) as stream:
        chunks = stream.chunks(4)
        next(chunks)
        os.utime(root / "file", ns=(1, 1))
        assert kind_of_failure(lambda: list(chunks)) == "unstable"


def test_a_file_that_grows_without_end_does_not_hold_us(root: Path, root_fd: int) -> None:
    path = root / "file"
    path.write_bytes(b"x" * 100_000)
    stop = threading.Event()

    def grow() -> None:
        with path.open("ab", buffering=0) as file:
            while not stop.is_set() and file.tell() < 1 << 26:
                file.write(b"x" * 10_000)

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        for _ in range(50):
            try:
                found = read(root_fd)
            except UnreadError as error:
                assert error.kind == "unstable"
            else:
                assert len(found.data) == found.stat.st_size
    finally:
        stop.set()
        thread.join()


def test_larger_than_the_limit(root: Path, root_fd: int) -> None:
    path = root / "file"
    path.write_bytes(b"12345")
    expected = os.lstat(path)
    assert read(root_fd, limit=5).data == b"12345"
    append(path)
    assert kind_of_failure(lambda: read_steady(root_fd, "file", expected, 5)) == "unstable"

    def stream() -> None:
        with stream_steady(root_fd, "file", expected, 5):
            pass

    assert kind_of_failure(stream) == "unreadable", "it does not change all the time for that"


def test_a_file_changed_since_it_was_listed_is_read_as_it_is(root: Path, root_fd: int) -> None:
    (root / "file").write_bytes(b"old")
    expected = os.lstat(root / "file")
    (root / "file").write_bytes(b"newer")
    found = read_steady(root_fd, "file", expected, MANY)
    assert (found.data, found.stat.st_size) == (b"newer", 5)


def test_another_file_of_the_same_name_is_not_read(root: Path, root_fd: int) -> None:
    (root / "file").write_bytes(b"old")
    (root / "other").write_bytes(b"new")
    expected = os.lstat(root / "file")
    (root / "other").rename(root / "file")
    assert kind_of_failure(lambda: read_steady(root_fd, "file", expected, MANY)) == "unstable"


def replace_by_link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


@pytest.mark.parametrize(
    ("replace", "kind"),
    [
        (lambda path: None, "vanished"),
        (replace_by_link, "vanished"),
        (os.mkfifo, "unstable"),
        (os.mkdir, "unstable"),
    ],
)
def test_replaced_files_are_not_read(
    root: Path, root_fd: int, replace: Callable[[Path], None], kind: str
) -> None:
    (root / "file").write_bytes(b"data")
    expected = os.lstat(root / "file")
    (root / "file").unlink()
    replace(root / "file")
    assert kind_of_failure(lambda: read_steady(root_fd, "file", expected, MANY)) == kind


def test_a_fifo_does_not_hang(root: Path, root_fd: int) -> None:
    os.mkfifo(root / "file")
    assert kind_of_failure(lambda: read(root_fd)) == "special"


def test_an_unreadable_file(
    root: Path, root_fd: int, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    (root / "file").write_bytes(b"data")
    (root / "file").chmod(0)
    with unprivileged():
        assert kind_of_failure(lambda: read(root_fd)) == "unreadable"


def test_nothing_stays_open(root: Path, root_fd: int) -> None:
    (root / "file").write_bytes(b"data")
    before = os.listdir("/proc/self/fd")
    read(root_fd)
    with pytest.raises(UnreadError):
        read(root_fd, limit=1)
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_no_byte_from_outside_is_ever_read(root: Path, root_fd: int, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    (root / "file").write_bytes(b"mine")
    (root / "link").symlink_to(tmp_path / "outside")
    expected = os.lstat(root / "file")
    stop = threading.Event()

    def flip() -> None:
        while not stop.is_set():
            fsio.exchange("file", root_fd, "link", root_fd)

    thread = threading.Thread(target=flip)
    thread.start()
    read_it: set[bytes] = set()
    try:
        for _ in range(3000):
            try:
                read_it.add(read_steady(root_fd, "file", expected, MANY).data)
            except UnreadError as error:
                assert error.kind in ("vanished", "unstable")
    finally:
        stop.set()
        thread.join()
    assert read_it == {b"mine"}


def test_errors_become_problems() -> None:
    error = UnreadError("name", "unstable", "why")
    assert error.problem(RelPath("a/name")) == Problem(RelPath("a/name"), "unstable", "why")
    assert error.exit_code == 3
    assert judge(PermissionError(13, "no"))[0] == "unreadable"
    assert judge(OSError(5, "bad disk")) == ("unreadable", "Input/output error")
    with pytest.raises(OSError, match="too many"):
        judge(OSError(24, "too many"))
