import grp
import os
import pwd
import stat
import struct
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from epmstore.errors import UsageError
from epmstore.relpath import RelPath
from epmstore.scan.metadata import OwnerNames, describe, group_links, kind_of
from epmstore.scan.set_metadata import apply_link_metadata, apply_metadata
from epmstore.tree import Entry, PathClass, Xattrs, changed_fields

# Read for everybody, write for the owner, read and write for user 12; the mask lets both through.
ACL = struct.pack(
    "<I" + "HHI" * 5,
    2,
    *(1, 6, 0xFFFFFFFF),
    *(2, 6, 12),
    *(4, 4, 0xFFFFFFFF),
    *(16, 6, 0xFFFFFFFF),
    *(32, 4, 0xFFFFFFFF),
)
# cap_net_bind_service, permitted and effective
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
OLD = 1_000_000_000_123_456_789


@pytest.fixture(scope="module")
def owners() -> OwnerNames:
    return OwnerNames()


def look(root_fd: int, name: str, owners: OwnerNames, path_class: PathClass = "program") -> Entry:
    found = os.lstat(name, dir_fd=root_fd)
    path = RelPath(name)
    return describe(root_fd, name, path, found, path_class=path_class, owners=owners)


def set_xattr(path: Path, name: str, value: bytes) -> None:
    try:
        os.setxattr(path, name, value, follow_symlinks=False)
    except OSError as error:
        pytest.skip(f"no {name} here: {error.strerror}")


def test_a_file(root: Path, root_fd: int, owners: OwnerNames) -> None:
    path = root / "file"
    path.write_text("hello")
    path.chmod(0o4751)
    os.utime(path, ns=(OLD, OLD))
    entry = look(root_fd, "file", owners)
    assert entry == Entry(
        path=RelPath("file"),
        kind="file",
        mode=0o4751,
        uid=os.geteuid(),
        gid=path.stat().st_gid,
        user=pwd.getpwuid(os.geteuid()).pw_name,
        group=grp.getgrgid(path.stat().st_gid).gr_name,
        mtime_ns=OLD,
    )


def test_a_directory_has_no_time(root: Path, root_fd: int, owners: OwnerNames) -> None:
    (root / "sub").mkdir()
    (root / "sub").chmod(0o3770)
    entry = look(root_fd, "sub", owners)
    assert (entry.kind, entry.mode, entry.mtime_ns) == ("directory", 0o3770, None)


@pytest.mark.parametrize("target", [b"/", b"missing", b"new\nline", b"\xff\xfe", b"x" * 4000])
def test_a_symlink(root: Path, root_fd: int, owners: OwnerNames, target: bytes) -> None:
    os.symlink(target, os.fsencode(root / "link"))
    os.utime(root / "link", ns=(OLD, OLD), follow_symlinks=False)
    entry = look(root_fd, "link", owners)
    assert (entry.kind, entry.mtime_ns) == ("symlink", OLD)
    assert entry.target is not None
    assert os.fsencode(entry.target) == target


def test_special_files_have_no_kind(root: Path) -> None:
    os.mkfifo(root / "fifo")
    with pytest.raises(UsageError):
        kind_of(os.lstat(root / "fifo"))


def test_holes(root: Path, root_fd: int, owners: OwnerNames) -> None:
    with (root / "holes").open("wb") as file:
        file.truncate(1 << 20)
    (root / "full").write_bytes(b"x" * (1 << 20))
    (root / "empty").write_bytes(b"")
    for name in ("holes", "full", "empty"):
        with (root / name).open("rb") as file:
            os.fsync(file.fileno())  # blocks are counted once they are written
        assert look(root_fd, name, owners).sparse == (name == "holes")


def test_a_state_file_says_little(root: Path, root_fd: int, owners: OwnerNames) -> None:
    with (root / "log").open("wb") as file:
        file.truncate(1 << 20)
    entry = look(root_fd, "log", owners, "state")
    assert (entry.path_class, entry.mtime_ns, entry.sparse) == ("state", None, False)
    assert entry.mode == stat.S_IMODE((root / "log").stat().st_mode)


def test_attributes_in_name_order(root: Path, root_fd: int, owners: OwnerNames) -> None:
    path = root / "file"
    path.write_text("")
    wanted: Xattrs = (("user.a", b""), ("user.b", b"\0\xff"), ("user.c", b"x" * 200))
    for name, value in reversed(wanted):
        set_xattr(path, name, value)
    assert look(root_fd, "file", owners).xattrs == wanted
    with path.open() as file:
        entry = describe(
            root_fd, "file", RelPath("file"), path.stat(), fd=file.fileno(), owners=owners
        )
    assert entry.xattrs == wanted


@pytest.mark.root
@pytest.mark.parametrize("kind", ["file", "directory", "symlink"])
def test_attributes_of_root(root: Path, root_fd: int, owners: OwnerNames, kind: str) -> None:
    path = root / "it"
    make(path, kind)
    set_xattr(path, "trusted.epm", b"value")
    assert look(root_fd, "it", owners).xattrs == (("trusted.epm", b"value"),)


def test_a_symlink_is_not_followed_to_attributes(
    root: Path, root_fd: int, tmp_path: Path, owners: OwnerNames
) -> None:
    (tmp_path / "outside").write_text("")
    set_xattr(tmp_path / "outside", "user.secret", b"x")
    (root / "link").symlink_to(tmp_path / "outside")
    assert look(root_fd, "link", owners).xattrs == ()


def test_ids_without_names(owners: OwnerNames) -> None:
    assert owners.user(4_000_000_001) is None
    assert owners.group(4_000_000_001) is None
    assert owners.user(0) == owners.user(0) == "root"


def test_hard_links_name_the_first_path(root: Path) -> None:
    (root / "m").write_text("")
    for name in ("z", "a.x", "a/y"):
        (root / name).parent.mkdir(exist_ok=True)
        os.link(root / "m", root / name)
    (root / "alone").write_text("")
    os.link(root / "alone", root.parent / "outside")
    odd = os.fsdecode(b"\xff")
    os.link(root / "m", os.fsencode(root) + b"/\xff")
    names = ["z", odd, "m", "a/y", "alone", "a.x"]
    found = [(RelPath(name), os.lstat(root / name)) for name in names]
    assert group_links(found) == dict.fromkeys(["a/y", "m", "z", odd], "a.x")


# Putting it back.


def make(path: Path, kind: str) -> None:
    if kind == "file":
        path.write_text("content")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("target")


def apply(root: Path, name: str, entry: Entry, privileged: bool = True) -> list[str]:
    fd = os.open(root / name, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        return apply_metadata(fd, entry, privileged)
    finally:
        os.close(fd)


WITH_ACL: Xattrs = (("system.posix_acl_access", ACL), ("user.note", b"hi"))


@pytest.mark.root
@pytest.mark.parametrize("kind", ["file", "directory"])
@pytest.mark.parametrize("mode", [0o000, 0o644, 0o4755, 0o2711, 0o7777])
@pytest.mark.parametrize("xattrs", [(), WITH_ACL, (("trusted.a", b"1"), ("user.b", b""))])
@pytest.mark.parametrize("present", [(), WITH_ACL])
def test_metadata_comes_back(
    root: Path,
    root_fd: int,
    owners: OwnerNames,
    kind: str,
    mode: int,
    xattrs: Xattrs,
    present: Xattrs,
) -> None:
    make(root / "it", kind)
    for name, value in present:
        set_xattr(root / "it", name, value)
    if any("acl" in name for name, _ in xattrs):  # a mode and its ACL say the same of the three
        mode = mode & 0o7000 | 0o664
    entry = Entry(
        path=RelPath("it"),
        kind="file" if kind == "file" else "directory",
        mode=mode,
        uid=12,
        gid=34,
        user=owners.user(12),
        group=owners.group(34),
        mtime_ns=OLD if kind == "file" else None,
        xattrs=xattrs,
    )
    assert apply(root, "it", entry) == []
    assert changed_fields(look(root_fd, "it", owners), entry) == []


@pytest.mark.root
def test_capabilities_come_back_after_a_change_of_owner(
    root: Path, root_fd: int, owners: OwnerNames
) -> None:
    make(root / "tool", "file")
    set_xattr(root / "tool", "security.capability", CAPABILITY)
    wanted = look(root_fd, "tool", owners)
    assert wanted.xattrs == (("security.capability", CAPABILITY),)
    os.chown(root / "tool", 12, 34)
    assert look(root_fd, "tool", owners).xattrs == ()
    assert apply(root, "tool", wanted) == []
    assert changed_fields(look(root_fd, "tool", owners), wanted) == []


@pytest.mark.root
def test_default_acls_of_directories(root: Path, root_fd: int, owners: OwnerNames) -> None:
    make(root / "one", "directory")
    set_xattr(root / "one", "system.posix_acl_default", ACL)
    entry = look(root_fd, "one", owners)
    assert entry.xattrs == (("system.posix_acl_default", ACL),)
    make(root / "two", "directory")
    assert apply(root, "two", entry) == []
    assert look(root_fd, "two", owners).xattrs == entry.xattrs


@pytest.mark.root
def test_an_inherited_acl_goes(root: Path, root_fd: int, owners: OwnerNames) -> None:
    make(root / "file", "file")
    plain = look(root_fd, "file", owners)
    make(root / "sub", "directory")
    set_xattr(root / "sub", "system.posix_acl_default", ACL)
    (root / "sub/file").write_text("")
    assert os.listxattr(root / "sub/file") == ["system.posix_acl_access"]
    assert apply(root, "sub/file", plain) == []
    assert os.listxattr(root / "sub/file") == []
    assert stat.S_IMODE((root / "sub/file").stat().st_mode) == plain.mode


def test_nothing_is_written_that_is_already_so(
    root: Path, root_fd: int, owners: OwnerNames
) -> None:
    make(root / "file", "file")
    before = (root / "file").stat()
    assert apply(root, "file", look(root_fd, "file", owners)) == []
    assert (root / "file").stat() == before


@pytest.mark.root
def test_a_symlinks_metadata_comes_back(root: Path, root_fd: int, owners: OwnerNames) -> None:
    make(root / "target", "file")
    make(root / "link", "symlink")
    before = (root / "target").stat()
    set_xattr(root / "link", "trusted.old", b"x")
    entry = Entry(
        path=RelPath("link"),
        kind="symlink",
        mode=0o777,
        uid=12,
        gid=34,
        user=owners.user(12),
        group=owners.group(34),
        mtime_ns=OLD,
        target="target",
        xattrs=(("trusted.new", b"y"),),
    )
    assert apply_link_metadata(root_fd, "link", entry, True) == []
    assert changed_fields(look(root_fd, "link", owners), entry) == []
    assert (root / "target").stat() == before


@pytest.mark.root
def test_metadata_that_may_not_be_set_is_named(
    root: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    make(root / "file", "file")
    make(root / "link", "symlink")
    for name in ("file", "link"):
        os.chown(root / name, 65534, 65534, follow_symlinks=False)
    wanted: Xattrs = (("trusted.a", b""), ("user.b", b"kept"))
    entry = Entry(
        path=RelPath("file"), kind="file", mode=0o6755, uid=0, gid=0, mtime_ns=OLD, xattrs=wanted
    )
    fd = os.open(root / "file", os.O_RDONLY)
    root_fd = os.open(root, os.O_RDONLY)
    with unprivileged():
        assert apply_metadata(fd, entry, False) == ["owner", "trusted.a", "mode"]
        assert apply_link_metadata(root_fd, "link", entry, False)[0] == "owner"
    os.close(root_fd)
    os.close(fd)
    found = (root / "file").stat()
    assert stat.S_IMODE(found.st_mode) == 0o755  # never setuid for somebody else
    assert found.st_mtime_ns == OLD
    assert os.getxattr(root / "file", "user.b") == b"kept"


@pytest.mark.root
def test_files_of_others_are_refused_altogether(
    root: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    make(root / "file", "file")
    before = (root / "file").stat()
    entry = Entry(path=RelPath("file"), kind="file", mode=0o600, uid=7, gid=7, mtime_ns=OLD)
    fd = os.open(root / "file", os.O_RDONLY)
    with unprivileged():
        assert apply_metadata(fd, entry, False) == ["owner", "mode", "mtime"]
    os.close(fd)
    assert (root / "file").stat() == before


def test_a_read_only_file_gets_its_attributes(
    root: Path,
    root_fd: int,
    owners: OwnerNames,
    unprivileged: Callable[[], AbstractContextManager[None]],
) -> None:
    make(root / "file", "file")
    set_xattr(root / "file", "user.a", b"value")
    (root / "file").chmod(0o444)
    wanted = look(root_fd, "file", owners)
    fd = os.open(root / "file", os.O_RDONLY)
    os.fchmod(fd, 0o600)
    os.removexattr(root / "file", "user.a")
    if os.geteuid() == 0:
        os.fchown(fd, 65534, 65534)
        found = os.fstat(fd)
        wanted = Entry(
            path=wanted.path,
            kind="file",
            mode=wanted.mode,
            uid=found.st_uid,
            gid=found.st_gid,
            mtime_ns=wanted.mtime_ns,
            xattrs=wanted.xattrs,
        )
    with unprivileged():
        assert apply_metadata(fd, wanted, False) == []
    os.close(fd)
    assert os.getxattr(root / "file", "user.a") == b"value"
    assert stat.S_IMODE((root / "file").stat().st_mode) == 0o444
