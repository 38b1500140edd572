import ast
import errno
import inspect
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from epmstore import fsio

LOOKING = {
    "attribute_flags",
    "is_protected",
    "install_fault",
    "is_full",
    "lstat",
    "open_append",
    "open_directory",
    "open_file",
    "open_place",
    "open_root",
    "create_unnamed",
}


class Place:
    """A folder with a bit of everything in it, and descriptors of what calls are made on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "file").write_bytes(b"content")
        (path / "other").write_bytes(b"other content")
        (path / "sub").mkdir()
        (path / "link").symlink_to("file")
        os.setxattr(path / "file", "user.here", b"value")
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        self.file = os.open(path / "file", os.O_RDWR)

    def close(self) -> None:
        os.close(self.file)
        os.close(self.fd)

    def state(self) -> dict[str, object]:
        """Everything that a call could have changed."""
        return {
            name: (
                os.readlink(path) if path.is_symlink() else path.is_file() and path.read_bytes(),
                found.st_mode,
                found.st_uid,
                found.st_gid,
                found.st_mtime_ns,
                found.st_nlink,
                found.st_ino,
                found.st_size,
                () if path.is_symlink() else tuple(os.listxattr(path)),
            )
            for name in sorted(os.listdir(self.path))
            for path in [self.path / name]
            for found in [path.lstat()]
        }


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "place").mkdir()
    try:
        found = Place(tmp_path / "place")
    except OSError as error:
        pytest.skip(f"no extended attributes here: {error.strerror}")
    yield found
    found.close()


def bind(parent: int) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        fsio.bind_socket(listener, "new", parent)


Call = Callable[[Place], object]
# Every mutating call: how it shows to a fault, and one use of it.
CALLS: dict[str, tuple[str, Call]] = {
    "create": ("create", lambda p: os.close(fsio.create("new", p.fd))),
    "write": ("write", lambda p: fsio.write(p.file, b"NEW")),
    "write_at": ("write", lambda p: fsio.write_at(p.file, b"NEW", 2)),
    "truncate": ("truncate", lambda p: fsio.truncate(p.file, 2)),
    "allocate": ("allocate", lambda p: fsio.allocate(p.file, 10_000)),
    "sync_file": ("fsync", lambda p: fsio.sync_file(p.file)),
    "sync_data": ("fdatasync", lambda p: fsio.sync_data(p.file)),
    "sync_directory": ("fsyncdir", lambda p: fsio.sync_directory(p.fd)),
    "sync_filesystem": ("syncfs", lambda p: fsio.sync_filesystem(p.fd)),
    "rename": ("rename", lambda p: fsio.rename("file", p.fd, "other", p.fd)),
    "rename_new": ("rename", lambda p: fsio.rename_new("file", p.fd, "new", p.fd)),
    "exchange": ("exchange", lambda p: fsio.exchange("file", p.fd, "sub", p.fd)),
    "unlink": ("unlink", lambda p: fsio.unlink("file", p.fd)),
    "make_directory": ("mkdir", lambda p: fsio.make_directory("new", p.fd)),
    "remove_directory": ("rmdir", lambda p: fsio.remove_directory("sub", p.fd)),
    "make_symlink": ("symlink", lambda p: fsio.make_symlink("to", "new", p.fd)),
    "make_link": ("link", lambda p: fsio.make_link("file", p.fd, "new", p.fd)),
    "set_mode": ("chmod", lambda p: fsio.set_mode(p.file, 0o711)),
    "set_owner": ("chown", lambda p: fsio.set_owner(p.file, 12, 34)),
    "set_link_owner": ("chown", lambda p: fsio.set_link_owner("link", p.fd, 12, 34)),
    "bind_socket": ("bind", lambda p: bind(p.fd)),
    "set_named_mode": ("chmod", lambda p: fsio.set_named_mode("file", p.fd, 0o711)),
    "set_times": ("utime", lambda p: fsio.set_times(p.file, 1)),
    "set_opened_times": ("utime", lambda p: fsio.set_opened_times(p.file, 1)),
    "set_link_times": ("utime", lambda p: fsio.set_link_times("link", p.fd, 1)),
    "set_xattr": ("setxattr", lambda p: fsio.set_xattr(p.file, "user.new", b"value")),
    "remove_xattr": ("removexattr", lambda p: fsio.remove_xattr(p.file, "user.here")),
}
SYNCS = {"sync_file", "sync_data", "sync_directory", "sync_filesystem"}
OWNERS = {"set_owner", "set_link_owner"}


class Stopped(Exception):
    pass


@pytest.fixture
def faults() -> Iterator[list[str]]:
    """The calls that were announced, in order."""
    seen: list[str] = []
    fsio.install_fault(lambda call, arguments: seen.append(call))
    yield seen
    fsio.install_fault(None)


def needs_root(name: str) -> None:
    if name in OWNERS and os.geteuid() != 0:
        pytest.skip("needs root")


def test_every_call_is_tried() -> None:
    functions = {
        name
        for name, value in vars(fsio).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }
    assert functions == set(CALLS) | LOOKING


@pytest.mark.parametrize("name", CALLS)
def test_a_fault_sees_each_mutating_call(place: Place, faults: list[str], name: str) -> None:
    needs_root(name)
    shown, call = CALLS[name]
    before = place.state()
    call(place)
    assert faults == [shown]
    assert (place.state() == before) == (name in SYNCS)


@pytest.mark.parametrize("name", CALLS)
def test_a_fault_that_raises_comes_before_the_change(place: Place, name: str) -> None:
    def stop(call: str, arguments: tuple[object, ...]) -> None:
        raise Stopped

    before = place.state()
    fsio.install_fault(stop)
    try:
        with pytest.raises(Stopped):
            CALLS[name][1](place)
    finally:
        fsio.install_fault(None)
    assert place.state() == before


@pytest.mark.parametrize("name", ["link", "file", "missing"])
def test_only_directories_are_opened_as_such(place: Place, name: str) -> None:
    (place.path / "to-sub").symlink_to("sub")
    os.close(fsio.open_directory("sub", place.fd))
    for wrong in (name, "to-sub"):
        with pytest.raises(OSError):
            fsio.open_directory(wrong, place.fd)
        with pytest.raises(OSError):
            fsio.open_root(str(place.path / wrong))


def test_no_file_is_opened_through_a_symlink(place: Place) -> None:
    for call in (fsio.open_file, fsio.open_append):
        os.close(call("file", place.fd))
        with pytest.raises(OSError) as caught:
            call("link", place.fd)
        assert caught.value.errno == errno.ELOOP


def test_opening_a_fifo_does_not_hang(place: Place) -> None:
    os.mkfifo(place.path / "fifo")
    os.close(fsio.open_file("fifo", place.fd))


def test_create_is_exclusive_and_private(place: Place) -> None:
    os.close(fsio.create("new", place.fd))
    assert stat.S_IMODE((place.path / "new").stat().st_mode) == 0o600
    (place.path / "dangling").symlink_to("nowhere")
    for name in ("new", "link", "dangling", "sub"):
        with pytest.raises(FileExistsError):
            fsio.create(name, place.fd)
    assert not (place.path / "nowhere").exists()


@pytest.mark.parametrize("name", ["write", "write_at"])
def test_short_writes_are_continued(
    place: Place, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    data = bytes(range(256)) * 10
    write, pwrite = os.write, os.pwrite
    monkeypatch.setattr(os, "write", lambda fd, view: write(fd, view[:100]))
    monkeypatch.setattr(os, "pwrite", lambda fd, view, at: pwrite(fd, view[:100], at))
    if name == "write":
        fsio.write(place.file, data)
    else:
        fsio.write_at(place.file, data, 0)
    assert (place.path / "file").read_bytes() == data


def test_writing_at_an_offset_keeps_what_is_around(place: Place) -> None:
    fsio.write_at(place.file, b"NT", 3)
    assert (place.path / "file").read_bytes() == b"conNTnt"
    assert os.lseek(place.file, 0, os.SEEK_CUR) == 0


def test_allocated_space_reads_as_zeros(place: Place) -> None:
    fsio.allocate(place.file, 0)
    fsio.allocate(place.file, 10_000)
    assert (place.path / "file").read_bytes() == b"content".ljust(10_000, b"\0")


def test_rename_replaces_and_rename_new_does_not(place: Place) -> None:
    with pytest.raises(FileExistsError):
        fsio.rename_new("file", place.fd, "other", place.fd)
    fsio.rename("file", place.fd, "other", place.fd)
    assert (place.path / "other").read_bytes() == b"content"
    assert not (place.path / "file").exists()


def test_between_two_directories(place: Place) -> None:
    sub = fsio.open_directory("sub", place.fd)
    fsio.rename("file", place.fd, "moved", sub)
    fsio.make_link("moved", sub, "linked", place.fd)
    fsio.exchange("other", place.fd, "moved", sub)
    os.close(sub)
    assert (place.path / "sub/moved").read_bytes() == b"other content"
    assert (place.path / "other").samefile(place.path / "linked")


def test_exchange_swaps_unlike_things(place: Place) -> None:
    fsio.exchange("file", place.fd, "sub", place.fd)
    assert (place.path / "file").is_dir()
    assert (place.path / "sub").read_bytes() == b"content"
    with pytest.raises(FileNotFoundError) as caught:
        fsio.exchange("missing", place.fd, "sub", place.fd)
    assert caught.value.filename == "missing"


@pytest.mark.parametrize("name", [b"\xff\xfe", "a\nb", "ä"])
def test_names_are_bytes_or_text(place: Place, name: str | bytes) -> None:
    fsio.rename_new("file", place.fd, name, place.fd)
    fsio.exchange(name, place.fd, "other", place.fd)
    assert (place.path / "other").read_bytes() == b"content"
    assert fsio.lstat(name, place.fd).st_size == len(b"other content")


def test_links_are_changed_themselves(place: Place) -> None:
    before = (place.path / "file").stat()
    fsio.set_link_times("link", place.fd, 1_000_000_007)
    fsio.make_link("link", place.fd, "second", place.fd)
    assert (place.path / "link").lstat().st_mtime_ns == 1_000_000_007
    assert (place.path / "second").is_symlink()
    assert fsio.lstat("link", place.fd).st_nlink == 2
    assert (place.path / "file").stat() == before
    fsio.unlink("link", place.fd)
    assert (place.path / "file").exists()


@pytest.mark.root
def test_attributes_of_links_are_their_own(place: Place) -> None:
    where = f"/proc/self/fd/{place.fd}/link"
    fsio.set_xattr(where, "trusted.a", b"value")
    assert os.listxattr(place.path / "link", follow_symlinks=False) == ["trusted.a"]
    assert os.listxattr(place.path / "file") == ["user.here"]
    fsio.remove_xattr(where, "trusted.a")
    assert os.listxattr(place.path / "link", follow_symlinks=False) == []


def test_times_are_nanoseconds(place: Place) -> None:
    fsio.set_times(place.file, 1_234_567_890_123_456_789)
    assert os.fstat(place.file).st_mtime_ns == 1_234_567_890_123_456_789


def test_flags_of_a_file_and_of_what_has_none(place: Place) -> None:
    assert fsio.attribute_flags(place.file) >= 0
    reader, writer = os.pipe()
    assert fsio.attribute_flags(reader) == 0
    assert not fsio.is_protected("file", place.fd)
    with pytest.raises(FileNotFoundError):
        fsio.is_protected("nothing", place.fd)
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize(
    ("code", "full"),
    [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EIO, False), (errno.EROFS, False)],
)
def test_full(code: int, full: bool) -> None:
    assert fsio.is_full(OSError(code, "")) == full


def test_descriptors_are_not_inherited(place: Place) -> None:
    opened = [
        fsio.open_root(str(place.path)),
        fsio.open_directory("sub", place.fd),
        fsio.open_file("file", place.fd),
        fsio.open_append("file", place.fd),
        fsio.create("new", place.fd),
    ]
    assert not any(os.get_inheritable(fd) for fd in opened)
    for fd in opened:
        os.close(fd)


def test_every_mutating_function_announces_itself_first() -> None:
    """Whoever adds a call and forgets the fault is told so here."""
    source = ast.parse(inspect.getsource(fsio))
    for node in source.body:
        if isinstance(node, ast.FunctionDef) and node.name in CALLS:
            body = node.body[1:] if ast.get_docstring(node) else node.body
            assert ast.unparse(body[0]).startswith("_before("), node.name
