import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from epmstore import locks
from epmstore.errors import BusyError
from epmstore.locks import SHOWN, hold
from tests.faults.shim import Fault, Shim

HOLD = """
import sys
from pathlib import Path
from epmstore.locks import hold
with hold(Path(sys.argv[1]), "write", shared=sys.argv[2] == "shared", owner="other command"):
    print(flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(folder: Path, how: str = "exclusive") -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds the lock `write` for the length of the block."""
    running = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert running.stdout is not None
    running.stdout.readline()
    try:
        yield running
    finally:
        running.communicate()


def is_free(folder: Path, *, shared: bool = False) -> bool:
    try:
        with hold(folder, "write", shared=shared, wait=0):
            return True
    except BusyError:
        return False


def test_one_at_a_time(tmp_path: Path) -> None:
    with hold(tmp_path, "write"):
        assert not is_free(tmp_path)
        assert not is_free(tmp_path, shared=True)
    assert is_free(tmp_path)


def test_many_share(tmp_path: Path) -> None:
    with hold(tmp_path, "write", shared=True), hold(tmp_path, "write", shared=True):
        assert is_free(tmp_path, shared=True)
        assert not is_free(tmp_path)
    assert is_free(tmp_path)


def test_locks_of_other_names_are_other_locks(tmp_path: Path) -> None:
    with hold(tmp_path, "gc"), hold(tmp_path, "app"):
        assert is_free(tmp_path)


def test_a_lock_that_cannot_be_opened_is_named_in_full(tmp_path: Path) -> None:
    (tmp_path / "gc").mkdir()
    with pytest.raises(OSError) as caught, hold(tmp_path, "gc"):
        pass
    assert caught.value.filename == str(tmp_path / "gc")


def test_an_error_frees_the_lock(tmp_path: Path) -> None:
    with pytest.raises(ValueError), hold(tmp_path, "write"):
        raise ValueError
    assert is_free(tmp_path)


@pytest.mark.parametrize("how", ["exclusive", "shared"])
def test_processes_exclude_each_other(tmp_path: Path, how: str) -> None:
    with another_process(tmp_path, how):
        assert not is_free(tmp_path)
        assert is_free(tmp_path, shared=True) == (how == "shared")
    assert is_free(tmp_path)


def test_the_message_names_the_holder(tmp_path: Path) -> None:
    with (
        another_process(tmp_path) as running,
        pytest.raises(BusyError) as caught,
        hold(tmp_path, "write", wait=0),
    ):
        pass
    assert caught.value.data == {
        "lock": "write",
        "holder": f"process {running.pid} other command",
    }
    assert str(running.pid) in caught.value.message
    assert caught.value.exit_code == 11


def test_those_who_share_are_not_taken_for_the_last_owner(tmp_path: Path) -> None:
    with hold(tmp_path, "write", owner="a long story"):
        pass
    with (
        another_process(tmp_path, "shared") as running,
        pytest.raises(BusyError) as caught,
        hold(tmp_path, "write", wait=0),
    ):
        pass
    assert str(running.pid) in caught.value.data["holder"]
    assert "a long story" not in caught.value.message


def test_where_the_kernel_does_not_say_nobody_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LOCKS", tmp_path / "nothing")
    with (
        another_process(tmp_path, "shared"),
        pytest.raises(BusyError) as caught,
        hold(tmp_path, "write", wait=0),
    ):
        pass
    assert "another process" in caught.value.message


def test_a_shorter_name_leaves_nothing_of_a_longer_one(tmp_path: Path) -> None:
    with hold(tmp_path, "write", owner="a very long name of a command"):
        pass
    with hold(tmp_path, "write", owner="x"):
        assert (tmp_path / "write").read_text() == f"process {os.getpid()} x\n"


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EAGAIN, errno.EINTR])
def test_a_lock_is_held_though_its_holder_cannot_be_written_down(tmp_path: Path, code: int) -> None:
    with Shim(Fault("fail", 1, code, sticky=True, only=frozenset({"truncate", "write"}))) as shim:
        with hold(tmp_path, "write"):
            assert not is_free(tmp_path)
        assert is_free(tmp_path)
    assert shim.hits


def test_death_frees_the_lock(tmp_path: Path) -> None:
    with another_process(tmp_path) as running:
        running.kill()
        running.wait()
        assert is_free(tmp_path)


def test_a_child_does_not_inherit_the_lock(tmp_path: Path) -> None:
    with hold(tmp_path, "write"):
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            close_fds=False,
        )
        assert child.stdout is not None
        child.stdout.readline()  # only a program that runs has closed what it must not have
    free = is_free(tmp_path)
    child.communicate()
    assert free


def test_waiting_ends_when_the_lock_is_free(tmp_path: Path) -> None:
    got: list[str] = []

    def wait() -> None:
        with hold(tmp_path, "write", wait=60):
            got.append("it")

    with hold(tmp_path, "write"):
        thread = threading.Thread(target=wait)
        thread.start()
        assert got == []
    thread.join()
    assert got == ["it"]


def test_the_file_stays(tmp_path: Path) -> None:
    """A lock file that is deleted lets two in: one on the old inode, one on the new."""
    with hold(tmp_path, "write"):
        pass
    first = (tmp_path / "write").stat().st_ino
    with hold(tmp_path, "write"):
        assert (tmp_path / "write").stat().st_ino == first


def test_a_symlink_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / "write").symlink_to("target")
    with pytest.raises(OSError), hold(tmp_path, "write"):
        pass
    assert (tmp_path / "target").read_text() == "precious"


@pytest.mark.root
def test_who_only_reads_holds_it_where_the_file_system_is_read_only(tmp_path: Path) -> None:
    folder, view = tmp_path / "locks", tmp_path / "view"
    folder.mkdir()
    view.mkdir()
    with hold(folder, "write"):
        pass
    subprocess.run(["mount", "--bind", folder, view], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", view], check=True)
        with pytest.raises(OSError, match="Read-only"), hold(view, "write"):
            pass
        with hold(view, "write", reading=True):
            assert not is_free(folder, shared=True)
        with hold(view, "write", reading=True, shared=True):
            assert is_free(folder, shared=True) and not is_free(folder)
        with (
            another_process(folder),
            pytest.raises(BusyError, match="other command"),
            hold(view, "write", reading=True, wait=0),
        ):
            pass
    finally:
        subprocess.run(["umount", view], check=True)


@pytest.mark.parametrize("how", ["exclusive", "shared"])
def test_who_waits_is_told_for_whom(tmp_path: Path, how: str) -> None:
    """Also for those who share a lock, of whom nothing is written down; and not for who wrote his
    name into it and was killed.
    """
    with hold(tmp_path, "write"):
        pass
    (tmp_path / "write").write_text("process 1 (killed long ago)\n")
    with another_process(tmp_path, how) as running:
        with pytest.raises(BusyError) as caught, hold(tmp_path, "write", wait=0):
            pass
        assert f"process {running.pid} " in caught.value.message
        assert "killed" not in caught.value.message


def test_of_many_who_share_some_are_named(tmp_path: Path) -> None:
    holders = [another_process(tmp_path, "shared") for _ in range(SHOWN + 2)]
    with ExitStack() as stack:
        processes = [stack.enter_context(holder).pid for holder in holders]
        with pytest.raises(BusyError) as caught, hold(tmp_path, "write", wait=0):
            pass
    named = [pid for pid in processes if f"process {pid} " in caught.value.message]
    assert len(named) == SHOWN
    assert "and 2 more" in caught.value.message
