import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from epmstore.filestat import FileId
from epmstore.scan.holders import Holder, holders


@contextmanager
def process(program: str, *arguments: object) -> Iterator[int]:
    """A process that runs a piece of Python, says that it is ready, and waits for its end."""
    script = f"import mmap, os, sys\n{program}\nprint(flush=True)\nsys.stdin.read()"
    running = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert running.stdout is not None
    running.stdout.readline()
    try:
        yield running.pid
    finally:
        running.communicate()


def identity(path: Path) -> FileId:
    found = path.stat()
    return found.st_dev, found.st_ino


def modes(pid: int, *files: Path) -> list[str]:
    found = holders({identity(path) for path in files}).found
    return [holder.mode for holder in found if holder.pid == pid]


@pytest.mark.parametrize(
    ("flags", "mode"),
    [
        ("os.O_RDONLY", ["read"]),
        ("os.O_WRONLY", ["write"]),
        ("os.O_RDWR | os.O_APPEND", ["write"]),
        ("os.O_PATH", []),
    ],
)
def test_open_files(root: Path, flags: str, mode: list[str]) -> None:
    (root / "file").write_text("data")
    (root / "other").write_text("data")
    with process(f"os.open(sys.argv[1], {flags})", root / "file") as pid:
        assert modes(pid, root / "file") == mode
        assert modes(pid, root / "other") == []
    assert modes(pid, root / "file") == []


@pytest.mark.parametrize(
    ("access", "flags", "mode"),
    [
        ("ACCESS_READ", "os.O_RDONLY", ["mapped"]),
        ("ACCESS_COPY", "os.O_RDONLY", ["mapped"]),
        ("ACCESS_WRITE", "os.O_RDWR", ["write"]),
    ],
)
def test_mapped_files(root: Path, access: str, flags: str, mode: list[str]) -> None:
    (root / "a name\nof two lines").write_text("data")
    program = (
        f"fd = os.open(sys.argv[1], {flags})\n"
        f"held = mmap.mmap(fd, 0, access=mmap.{access})\n"
        "os.close(fd)\n"
        "for name in os.listdir('/proc/self/fd'):\n"  # mmap keeps a descriptor of its own
        "    if int(name) > 2:\n"
        "        try: os.close(int(name))\n"
        "        except OSError: pass"
    )
    with process(program, root / "a name\nof two lines") as pid:
        assert modes(pid, root / "a name\nof two lines") == mode


def test_a_running_program_is_executing_and_not_also_mapped(root: Path) -> None:
    cat = shutil.which("cat")
    assert cat is not None
    shutil.copy(cat, root / "tool")
    running = subprocess.Popen([root / "tool"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert running.stdin is not None
    assert running.stdout is not None
    running.stdin.write(b"ready\n")
    running.stdin.flush()
    running.stdout.readline()
    found = holders({identity(root / "tool")}).found
    running.communicate()
    assert found == (Holder(running.pid, "tool", identity(root / "tool"), "executing"),)


def test_one_process_may_hold_several(root: Path) -> None:
    for name in "ab":
        (root / name).write_text("")
    program = "held = [open(sys.argv[1]), open(sys.argv[2], 'a'), open(sys.argv[2])]"
    with process(program, root / "a", root / "b") as pid:
        assert sorted(modes(pid, root / "a", root / "b")) == ["read", "read", "write"]


def test_this_process_does_not_count(root: Path) -> None:
    (root / "file").write_text("")
    with (root / "file").open():
        assert holders({identity(root / "file")}).found == ()


def test_a_removed_file_that_is_still_open(root: Path) -> None:
    (root / "file").write_text("")
    held = {identity(root / "file")}
    with process("held = open(sys.argv[1], 'w')", root / "file") as pid:
        (root / "file").unlink()
        assert [holder.pid for holder in holders(held).found] == [pid]


@pytest.mark.root
def test_unreadable_processes_make_holders_incomplete(
    root: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    (root / "file").write_text("")
    wanted = {identity(root / "file")}
    with process("held = open(sys.argv[1])", root / "file"), unprivileged():
        found = holders(wanted)
        assert found.incomplete
        assert found.found == ()


def test_nobody_holds_nothing() -> None:
    assert holders(set()).found == ()
    assert os.getpid() not in [holder.pid for holder in holders({(0, 0)}).found]
