"""A folder as a remote: the contract, what others put there, what a file server does to calls."""

import contextlib
import errno
import os
import stat
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from epmstore.errors import (
    BadObjectError,
    ForeignError,
    LimitError,
    RemoteDeniedError,
    RemoteError,
    RemoteFullError,
    RemoteTransientError,
)
from epmstore.remotes.folder_remote import STALE_SECONDS, FolderRemote
from epmstore.remotes.remote import Remote
from tests.kit.faults import Calls, Killed, faults, full
from tests.remotes.contract import RemoteContract, everything, put, sha256

is_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def fill(folder: Path, objects: Mapping[str, bytes]) -> FolderRemote:
    for name, data in objects.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return FolderRemote(folder)


class TestFolderRemote(RemoteContract):
    def remote(self, folder: Path, objects: Mapping[str, bytes]) -> Remote:
        return fill(folder, objects)


def names_of(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="no folder") as caught:
        FolderRemote(tmp_path / "mnt/depot")
    assert "mount" in (caught.value.hint or "")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RemoteError, match="no folder"):
        FolderRemote(tmp_path / "file")
    assert names_of(tmp_path) == ["file"]


def test_another_folder_in_its_place_is_not_written_to(tmp_path: Path) -> None:
    depot = tmp_path / "depot"
    depot.mkdir()
    remote = FolderRemote(depot)
    depot.rename(tmp_path / "away")  # as when it is unmounted, and the empty mount point is there
    depot.mkdir()
    put(remote, "packs/x", b"content")
    assert names_of(tmp_path) == ["away/packs/x"]


@pytest.mark.parametrize("where", ["packs", "packs/x"])
@pytest.mark.parametrize("kind", ["link", "fifo", "dangling"])
def test_nothing_else_is_followed_or_waited_for(tmp_path: Path, where: str, kind: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_bytes(b"private")
    depot = tmp_path / "depot"
    depot.mkdir()
    place = depot / where
    place.parent.mkdir(exist_ok=True)
    if kind == "fifo":
        os.mkfifo(place)
    else:
        target = outside if where == "packs" else outside / "x"
        place.symlink_to(target if kind == "link" else tmp_path / "nothing")
    remote = FolderRemote(depot)
    with pytest.raises(BadObjectError, match="something else"):
        remote.stat("packs/x")
    with pytest.raises(BadObjectError, match="something else"):
        list(remote.read("packs/x"))
    with pytest.raises(BadObjectError, match="something else"):
        remote.delete("packs/x")
    with pytest.raises(BadObjectError, match="something else"):
        remote.replace("packs/x", b"new", b"private")
    if where == "packs":
        with pytest.raises(BadObjectError, match="something else"):
            put(remote, "packs/x", b"new")
    else:
        put(remote, "packs/x", b"new")  # the link goes, what it leads to stays
        assert everything(remote) == {"packs/x": b"new"}
    assert [o.name for o in remote.list("")] == ([] if where == "packs" else ["packs/x"])
    assert (outside / "x").read_bytes() == b"private"


def test_a_folder_in_the_place_of_an_object_is_named(tmp_path: Path) -> None:
    (tmp_path / "packs/x").mkdir(parents=True)
    remote = FolderRemote(tmp_path)
    with pytest.raises(BadObjectError):
        remote.stat("packs/x")
    with pytest.raises(RemoteError):
        put(remote, "packs/x", b"new")
    assert list(remote.list("")) == []


def test_folders_without_an_end_are_not_gone_into(tmp_path: Path) -> None:
    remote = fill(tmp_path, {"/".join("a" * 8): b"as deep as a name may be"})
    place = tmp_path / "b"
    place.mkdir()
    with contextlib.chdir(place):
        for _ in range(1500):
            os.mkdir("d")
            os.chdir("d")
    assert [o.name for o in remote.list("")] == ["/".join("a" * 8)]
    subprocess.run(["rm", "-r", place], check=True)


def test_nothing_is_below_an_object(tmp_path: Path) -> None:
    remote = fill(tmp_path, {"packs": b"an object"})
    assert remote.stat("packs/x") is None
    assert list(remote.list("packs/")) == []
    with pytest.raises(BadObjectError, match="no folder"):
        put(remote, "packs/x", b"content")
    assert everything(remote) == {"packs": b"an object"}


def test_files_of_servers_and_people_are_left_alone(tmp_path: Path) -> None:
    mine = {".snapshot/old/packs/x": b"1", "packs/.nfs0001": b"2", "read me.txt": b"3"}
    remote = fill(tmp_path, {**mine, "packs/x": b"4", "packs/.tmp-00": b"5"})
    assert everything(remote) == {"packs/x": b"4"}
    remote.delete("packs/x")
    assert set(mine) <= set(names_of(tmp_path))


def test_temporaries_of_a_day_ago_are_taken_away_and_younger_ones_are_not(tmp_path: Path) -> None:
    remote = fill(tmp_path, {"packs/.tmp-old": b"1", "packs/.tmp-new": b"2", "packs/.other": b"3"})
    past = os.stat(tmp_path).st_mtime - STALE_SECONDS - 10
    for name in (".tmp-old", ".other"):
        os.utime(tmp_path / "packs" / name, (past, past))
    put(remote, "packs/x", b"content")
    assert names_of(tmp_path) == ["packs/.other", "packs/.tmp-new", "packs/x"]


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755, 0o2775])
def test_others_may_what_they_may_with_the_folder(tmp_path: Path, mode: int) -> None:
    depot = tmp_path / "depot"
    depot.mkdir()
    depot.chmod(mode)
    umask = os.umask(0o077)
    try:
        put(FolderRemote(depot), "packs/x", b"content")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((depot / "packs").stat().st_mode) == mode
    assert stat.S_IMODE((depot / "packs/x").stat().st_mode) == 0o600 | mode & 0o644


def write_one(remote: FolderRemote) -> None:
    put(remote, "packs/new", b"content")


def replace_one(remote: FolderRemote) -> None:
    remote.replace("hosts/h/head", b"new", b"old")


def delete_one(remote: FolderRemote) -> None:
    remote.delete("hosts/h/head")


@pytest.mark.parametrize("act", [write_one, replace_one, delete_one])
@pytest.mark.parametrize("error", [Killed, full, lambda: OSError(errno.EIO, "Input/output error")])
def test_an_object_is_whole_or_not_there_whichever_call_is_the_last(
    tmp_path: Path, act: Callable[[FolderRemote], None], error: Callable[[], BaseException]
) -> None:
    before = {"hosts/h/head": b"old"}
    n = 1
    while True:
        depot = tmp_path / str(n)
        remote = fill(depot, before)
        calls = Calls(n, error)
        try:
            with faults(calls):
                act(remote)
        except (Killed, RemoteFullError, RemoteTransientError):
            pass
        if not calls.struck:
            break
        assert everything(remote) in (
            before, {**before, "packs/new": b"content"}, {"hosts/h/head": b"new"}, {},
        )  # fmt: skip
        remote.close()
        put(fill(depot, {}), "packs/new", b"content")
        assert (depot / "packs/new").read_bytes() == b"content"
        n += 1
    assert n > 2


def test_a_full_remote_says_so_and_leaves_no_temporary(tmp_path: Path) -> None:
    remote = fill(tmp_path, {"packs/x": b"content"})
    with faults(Calls(1, full, only="fsync", once=True)), pytest.raises(RemoteFullError) as caught:
        put(remote, "packs/y", b"more")
    assert names_of(tmp_path) == ["packs/x"]
    assert caught.value.exit_code == 12 and "make room" in (caught.value.hint or "")


def test_data_is_durable_before_it_has_its_name_and_the_name_before_the_answer(
    tmp_path: Path,
) -> None:
    calls = Calls()
    with faults(calls):
        put(FolderRemote(tmp_path), "a/b/x", b"content")
    assert [name for name in calls.names if name != "chmod"] == [
        "mkdir", "fsyncdir", "mkdir", "fsyncdir", "create", "write", "fsync", "rename", "fsyncdir",
    ]  # fmt: skip


class Twice:
    """A file server whose answer is lost: the call has its effect, and is then sent again."""

    def __init__(self, call: str) -> None:
        self._call = call

    def __call__(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name != self._call:
            return
        if name == "rename":
            old, new, old_parent, new_parent = arguments
            os.rename(old, new, src_dir_fd=old_parent, dst_dir_fd=new_parent)
        elif name == "unlink":
            os.unlink(arguments[0], dir_fd=arguments[1])
        else:
            os.mkdir(arguments[0], dir_fd=arguments[1])


@pytest.mark.parametrize("call", ["rename", "unlink", "mkdir"])
def test_a_call_that_is_sent_twice_is_done(tmp_path: Path, call: str) -> None:
    remote = fill(tmp_path, {"h/head": b"old"})
    with faults(Twice(call)):
        remote.replace("h/head", b"new", b"old")
        put(remote, "packs/x", b"content")
        remote.delete("packs/x")
    assert names_of(tmp_path) == ["h/head"]
    assert everything(remote) == {"h/head": b"new"}


def test_a_temporary_that_another_took_is_not_taken_for_written(tmp_path: Path) -> None:
    remote = fill(tmp_path, {"h/head": b"old"})

    def take(name: str, arguments: tuple[Any, ...]) -> None:
        if name == "rename":
            os.unlink(arguments[0], dir_fd=arguments[2])

    with faults(take), pytest.raises(RemoteTransientError):
        remote.replace("h/head", b"new", b"old")
    assert everything(remote) == {"h/head": b"old"}


def test_a_local_file_that_cannot_be_read_is_no_fault_of_the_remote(tmp_path: Path) -> None:
    class Broken:
        def __iter__(self) -> Any:
            raise OSError(errno.EIO, "Input/output error", "/var/lib/epmstore/packs/x")

    with pytest.raises(Exception, match="/var/lib/epmstore/packs/x") as caught:
        FolderRemote(tmp_path).write("x", Broken(), 1, sha256(b"x"))
    assert not isinstance(caught.value, RemoteError)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ESTALE, RemoteTransientError), (errno.EACCES, RemoteDeniedError),
        (errno.EROFS, RemoteDeniedError), (errno.EDQUOT, RemoteFullError),
        (errno.EMFILE, LimitError), (errno.EFBIG, RemoteError),
    ],
)  # fmt: skip
def test_errors_of_the_system_are_those_of_a_remote(
    tmp_path: Path, number: int, kind: type[Exception]
) -> None:
    error = Calls(1, lambda: OSError(number, os.strerror(number)), only="create")
    with faults(error), pytest.raises(kind):
        put(FolderRemote(tmp_path), "x", b"content")


@is_root
@pytest.mark.root
def test_a_link_of_another_user_on_the_way_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to("real")
    os.chown(link, 12345, 12345, follow_symlinks=False)
    with pytest.raises(ForeignError):
        FolderRemote(link / "")


@is_root
@pytest.mark.root
def test_a_folder_of_another_user_is_used_and_its_owner_is_known(tmp_path: Path) -> None:
    depot = tmp_path / "depot"
    depot.mkdir(mode=0o777)
    depot.chmod(0o1777)
    os.chown(depot, 12345, 12345)
    remote = FolderRemote(depot)
    put(remote, "packs/x", b"content")
    assert remote.owner().st_uid == 12345
    assert everything(remote) == {"packs/x": b"content"}


def test_an_object_that_shrinks_while_it_is_read_is_no_answer(tmp_path: Path) -> None:
    remote = fill(tmp_path, {"x": bytes(1 << 20)})
    pieces = iter(remote.read("x", 0, 1 << 20))
    next(pieces)
    os.truncate(tmp_path / "x", 1000)
    with pytest.raises(RemoteTransientError):
        list(pieces)


def test_descriptors_do_not_leak(tmp_path: Path) -> None:
    remote = fill(tmp_path, {"a/b/x": bytes(1 << 20), "l/x": b""})
    (tmp_path / "link").symlink_to("a")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        next(iter(remote.read("a/b/x")))
        list(remote.list(""))
        put(remote, "c/d/e", b"x")
        remote.delete("c/d/e")
        with pytest.raises(RemoteError):
            remote.stat("link/x")
        with pytest.raises(RemoteError):
            remote.stat("a/b")
    assert len(os.listdir("/proc/self/fd")) == before
    remote.close()
