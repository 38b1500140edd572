import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from epmstore import fsio
from epmstore.atomic import (
    TEMPORARY,
    directory,
    discard,
    make_directories,
    read_file,
    remove_file,
    replace_file,
    temporary_name,
)
from epmstore.errors import DamagedError


class Failing:
    """Fails the call with this number (from 1; 0 fails none), and keeps a list of all."""

    def __init__(self, number: int = 0) -> None:
        self.calls: list[str] = []
        self._number = number

    def __call__(self, call: str, arguments: tuple[object, ...]) -> None:
        self.calls.append(call)
        if len(self.calls) == self._number:
            raise OSError(5, f"{call} failed")


@contextmanager
def failing(number: int = 0) -> Iterator[Failing]:
    fault = Failing(number)
    fsio.install_fault(fault)
    try:
        yield fault
    finally:
        fsio.install_fault(None)


def test_replacing_makes_and_replaces(tmp_path: Path) -> None:
    for data in (b"one", b"", b"x" * 100_000):
        replace_file(tmp_path / "file", data)
        assert (tmp_path / "file").read_bytes() == data
    assert os.listdir(tmp_path) == ["file"]
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    replace_file(tmp_path / "file", b"", mode=0o640)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_replacing_a_symlink_leaves_its_target_alone(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"target")
    (tmp_path / "link").symlink_to("target")
    replace_file(tmp_path / "link", b"new")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"target"


def test_the_name_comes_after_the_data_is_durable(tmp_path: Path) -> None:
    with failing() as fault:
        replace_file(tmp_path / "file", b"data")
    assert fault.calls == ["create", "write", "fsync", "rename", "fsyncdir"]


@pytest.mark.parametrize("number", range(1, 6))
def test_a_failure_leaves_the_old_or_the_new_and_nothing_else(tmp_path: Path, number: int) -> None:
    replace_file(tmp_path / "file", b"old")
    with failing(number), pytest.raises(OSError, match="failed"):
        replace_file(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == (b"new" if number == 5 else b"old")
    assert os.listdir(tmp_path) == ["file"]


KILLED = """
import os, sys
from pathlib import Path
from epmstore import atomic, fsio
left = int(sys.argv[2])
def kill(call, arguments):
    global left
    left -= 1
    if left == 0:
        os._exit(9)
fsio.install_fault(kill)
atomic.replace_file(Path(sys.argv[1]), b"new")
"""


@pytest.mark.parametrize("number", range(1, 7))
def test_death_leaves_the_old_or_the_new(tmp_path: Path, number: int) -> None:
    replace_file(tmp_path / "file", b"old")
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "file", str(number)])
    assert done.returncode == (9 if number < 6 else 0)
    assert (tmp_path / "file").read_bytes() == (b"old" if number < 5 else b"new")
    left = set(os.listdir(tmp_path)) - {"file"}
    assert all(name.startswith(TEMPORARY) for name in left)


def test_temporary_names_differ() -> None:
    assert len({temporary_name() for _ in range(100)}) == 100


def test_folders_are_made_from_the_top(tmp_path: Path) -> None:
    with failing() as fault:
        make_directories(tmp_path / "a/b/c")
    assert fault.calls == ["mkdir", "fsyncdir"] * 3
    assert stat.S_IMODE((tmp_path / "a/b").stat().st_mode) == 0o700
    with failing() as fault:
        make_directories(tmp_path / "a/b/c")
    assert fault.calls == []


@pytest.mark.parametrize("path", ["file", "file/below", "dangling"])
def test_make_directories_fails_on_files_in_the_way(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(OSError):
        make_directories(tmp_path / path)


def test_make_directories_names_the_full_path_that_failed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with failing(1) as fault, pytest.raises(OSError) as caught:
        make_directories(tmp_path / "a/b/c")
    assert fault.calls == ["mkdir"]
    assert caught.value.filename == str(tmp_path / "a/b")


def test_removing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with failing() as fault:
        remove_file(tmp_path / "file")
    assert fault.calls == ["unlink", "fsyncdir"]
    remove_file(tmp_path / "file")
    assert os.listdir(tmp_path) == []


def test_discarding_never_raises(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    with directory(tmp_path) as parent:
        discard("missing", parent)
        discard("sub", parent)
    assert (tmp_path / "sub").is_dir()


def test_a_directory_is_closed_again(tmp_path: Path) -> None:
    with pytest.raises(ValueError), directory(tmp_path) as fd:
        raise ValueError
    with pytest.raises(OSError):
        os.fstat(fd)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError), directory(tmp_path / "file"):
        pass


def test_reading_has_a_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_file(tmp_path / "file", 5) == b"12345"
    with pytest.raises(DamagedError):
        read_file(tmp_path / "file", 4)
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "missing", 4)
