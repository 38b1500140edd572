"""Every name, kind and attribute that Linux allows survives record, wreck and checkout."""

import os
import shutil
import socket
import stat
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from epmstore.workspace import Workspace
from tests.kit.program import PROGRAM, Picture, ProgramHost, differences, picture

IS_ROOT = os.geteuid() == 0
HOLE = 50 << 20
NAMES = (
    b"new\nline",
    b"not \xff utf-8 \xc3(",
    b"\x01\x1b[31mred",
    b" begins with a blank",
    b"%2F",
    b"-rf",
    b" spaces ",
    b"back\\slash",
    "\u0141\u00f3d\u017a".encode(),
    "o\u0308 and \u00f6".encode(),
    b"n" * 255,
    b"\xfe" * 255,
    b"*?[a]",
    b"#comment",
    b"!not",
    b"~",
    b"...",
)
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, bits, who)
    for tag, bits, who in (
        (0x01, 7, 0xFFFF_FFFF),  # the owner
        (0x02, 6, 12345),  # a user by number
        (0x04, 5, 0xFFFF_FFFF),  # the group
        (0x10, 7, 0xFFFF_FFFF),  # the mask
        (0x20, 4, 0xFFFF_FFFF),  # others
    )
)
CAPABILITY = struct.pack("<IIIII", 0x0200_0001, 1 << 10, 0, 0, 0)  # cap_net_bind_service=ep


@pytest.fixture
def host(tmp_path: Path) -> ProgramHost:
    found = ProgramHost(tmp_path)
    found.set_up()
    return found


def build(root: Path) -> None:
    """One of everything, and some of it in several places."""
    _names(root / "names")
    _modes(root / "modes")
    _links(root / "links")
    _attributes(root / "attributes")
    _holes(root / "holes")
    (root / "empty/nested/deep").mkdir(parents=True)
    (root / "empty/closed").mkdir(mode=0o500)
    if IS_ROOT:
        _owners(root / "owners")


def _names(folder: Path) -> None:
    folder.mkdir()
    for name in NAMES:
        (folder / os.fsdecode(name)).write_bytes(name)
        inside = folder / "folders" / os.fsdecode(name)
        inside.mkdir(parents=True)
        (inside / os.fsdecode(name)).write_bytes(b"in " + name)
        (inside / "link").symlink_to(os.fsdecode(name))


def _modes(folder: Path) -> None:
    folder.mkdir()
    for mode in (0, 0o400, 0o777, 0o4755, 0o2755, 0o6711, 0o1644, 0o7777):
        if IS_ROOT or mode & 0o400:
            (folder / f"f{mode:o}").write_bytes(b"%o" % mode)
            (folder / f"f{mode:o}").chmod(mode)
        if IS_ROOT or mode & 0o500 == 0o500:
            (folder / f"d{mode:o}").mkdir()
            (folder / f"d{mode:o}").chmod(mode)
    for number, mtime in enumerate(
        (0, 1, -1_000_000_001, 2**33 * 10**9, 1_234_567_890_123_456_789)
    ):
        (folder / f"time{number}").write_bytes(b"")
        os.utime(folder / f"time{number}", ns=(mtime, mtime))


def _links(folder: Path) -> None:
    (folder / "far").mkdir(parents=True)
    (folder / "one").write_bytes(b"three names")
    (folder / "two").hardlink_to(folder / "one")
    (folder / "far/three").hardlink_to(folder / "one")
    targets = (b"nowhere", b"/etc/hostname", b"\xff\n", b"far", b"../..", b"l" * 4000, b"self")
    for number, target in enumerate(targets):
        link = folder / f"symlink{number}"
        link.symlink_to(os.fsdecode(target))
        os.utime(link, ns=(number * 10**9 + 7, number * 10**9 + 7), follow_symlinks=False)
        if IS_ROOT:
            os.chown(link, 4000 + number, 5000 + number, follow_symlinks=False)
    (folder / "self").symlink_to("self")


def _attributes(folder: Path) -> None:
    folder.mkdir()
    for path in (folder / "file", folder / "folder"):
        path.mkdir() if path.name == "folder" else path.write_bytes(b"attributes")
        os.setxattr(path, "user.empty", b"")
        os.setxattr(path, "user.binary", bytes(range(256)))
        os.setxattr(path, "user.n\xf6n", b"a name that is not ASCII")
        os.setxattr(path, "system.posix_acl_access", ACL)
    os.setxattr(folder / "folder", "system.posix_acl_default", ACL)
    (folder / "folder/inherits").write_bytes(b"has what its folder gave it")
    (folder / "program").write_bytes(b"may bind low ports")
    if IS_ROOT:
        os.setxattr(folder / "program", "security.capability", CAPABILITY)
        os.setxattr(folder / "file", "trusted.epm", b"only root sees it")


def _holes(folder: Path) -> None:
    folder.mkdir()
    with (folder / "middle").open("wb") as file:
        file.write(b"head")
        file.seek(HOLE)
        file.write(b"tail")
    with (folder / "all").open("wb") as file:
        file.truncate(HOLE)
    (folder / "zeros").write_bytes(bytes(100_000))


def _owners(folder: Path) -> None:
    folder.mkdir()
    for number, owner in enumerate(((1, 1), (65534, 65534), (12345, 54321), (2**31, 2**31))):
        for path in (folder / f"f{number}", folder / f"d{number}"):
            path.mkdir() if path.name[0] == "d" else path.write_bytes(b"owned")
            os.chown(path, *owner)
    (folder / "setuid").write_bytes(b"not root's")
    os.chown(folder / "setuid", 1, 1)
    (folder / "setuid").chmod(0o6755)


def wreck(root: Path) -> None:
    """Other contents, owners, modes, times, attributes and kinds; a few things are gone."""
    for number, path in enumerate(sorted(root.rglob("*"), key=os.fsencode)):
        if path.is_symlink():
            path.unlink()
            path.write_bytes(b"a file now")
        elif path.is_dir():
            path.chmod(0o777)
        elif number % 4 == 0:
            path.unlink()
        elif number % 4 == 1:
            path.chmod(0o600)
            path.write_bytes(b"other bytes")
        elif number % 4 == 2:
            path.chmod(0o640)
            os.utime(path, ns=(5, 5))
            for name in os.listxattr(path):
                os.removexattr(path, name)
        else:
            path.unlink()
            path.symlink_to("elsewhere")
        if IS_ROOT and number % 3 == 0 and path.is_dir() and not path.is_symlink():
            os.chown(path, 77, 77)
    shutil.rmtree(root / "empty")
    (root / "empty").write_bytes(b"a file now")


def check_holes(root: Path) -> None:
    for name in ("middle", "all"):
        found = (root / "holes" / name).stat()
        assert found.st_blocks * 512 <= 1 << 20, name
        assert found.st_size >= HOLE


@pytest.mark.slow
def test_everything_survives(host: ProgramHost, tmp_path: Path) -> None:
    build(host.root)
    recorded = host.picture()
    host.ok("snapshot")
    wreck(host.root)
    wrecked = host.picture()
    assert differences(recorded, wrecked)
    host.ok("checkout", "0", "--exact")
    assert differences(host.picture(), recorded) == []
    check_holes(host.root)
    assert host.is_clean()

    host.ok("undo")
    assert differences(host.picture(), wrecked) == []
    host.ok("checkout", "0", "--target", str(tmp_path / "copy"))
    assert differences(picture(tmp_path / "copy"), recorded) == []
    check_holes(tmp_path / "copy")
    stored = sum(p.stat().st_size for p in (host.store / "packs").rglob("*") if p.is_file())
    assert stored < 1 << 20, "a hole costs nothing"


@pytest.mark.slow
def test_a_deleted_index_changes_nothing(host: ProgramHost) -> None:
    build(host.root)
    recorded = host.picture()
    host.ok("snapshot")
    for path in host.store.glob("index.sqlite*"):
        path.unlink()
    assert host.is_clean()
    wreck(host.root)
    host.ok("checkout", "0", "--exact")
    assert differences(host.picture(), recorded) == []


def edits(root: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """Paths, each with how one attribute of it is changed."""
    file, folder, link = root / "modes/f777", root / "empty/nested", root / "links/symlink0"
    acl = "system.posix_acl_default"
    yield "modes/f777", lambda: file.chmod(0o776)
    yield "modes/f777", lambda: os.utime(file, ns=(1, file.stat().st_mtime_ns + 1))
    yield "modes/f777", lambda: os.setxattr(file, "user.new", b"")
    yield "empty/nested", lambda: folder.chmod(0o751)
    yield "empty/nested", lambda: os.setxattr(folder, "user.new", b"x")
    yield "attributes/folder", lambda: os.removexattr(root / "attributes/folder", acl)
    yield "links/symlink0", lambda: os.utime(link, ns=(3, 3), follow_symlinks=False)
    if IS_ROOT:
        yield "links/symlink0", lambda: os.chown(link, 9, 9, follow_symlinks=False)
        yield "owners/d0", lambda: os.chown(root / "owners/d0", 1, 2)
        program = root / "attributes/program"
        yield "attributes/program", lambda: os.removexattr(program, "security.capability")


@pytest.mark.slow
def test_each_attribute_alone_is_seen_and_restored(host: ProgramHost) -> None:
    build(host.root)
    recorded: Picture = host.picture()
    host.ok("snapshot")
    with Workspace.open(host.store) as workspace:
        handle = workspace.app("crm")
        for path, edit in edits(host.root):
            edit()
            assert differences(host.picture(), recorded) == [path.encode()]
            assert [str(one) for one in handle.status().modified] == [path]
            result = handle.rollback()
            assert (result.modified, result.verified) == (1, True)
            assert differences(host.picture(), recorded) == []


def test_snapshot_names_and_skips_special_files(host: ProgramHost) -> None:
    root = host.root
    (root / "file").write_bytes(b"a file")
    os.mkfifo(root / "fifo")
    here = os.open(root, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{here}/socket")
    os.close(here)
    expected = {"fifo", "socket"}
    if IS_ROOT:
        os.mknod(root / "device", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        expected.add("device")
    found = host.json("snapshot")[-1]
    assert {one["path"] for one in found["skipped"]} == expected
    assert found["added"] == 1
    (root / "file").write_bytes(b"wrecked")
    host.ok("rollback")
    assert stat.S_ISFIFO((root / "fifo").lstat().st_mode)
    assert stat.S_ISSOCK((root / "socket").lstat().st_mode)
    assert (root / "file").read_bytes() == b"a file"
    host.ok("checkout", "0", "--exact")
    assert (root / "fifo").exists()


def test_names_and_attributes_can_be_asked_for(host: ProgramHost) -> None:
    build(host.root)
    host.ok("snapshot")
    found = {entry["path"]: entry for entry in host.json("ls", "0")}
    paths = [path.relative_to(host.root) for path in host.root.rglob("*")]
    assert len(found) == len(paths)
    assert found["modes/f7777"]["mode"] == "7777"
    assert found["links/two"]["same_as"] == "links/far/three"
    assert any(path.startswith("//names/not") for path in found)
    for name in (NAMES[0], NAMES[1], NAMES[-1]):
        path = os.fsdecode(name)
        words = [PROGRAM, "cat", f"0:names/{path}"]
        shown = subprocess.run(words, env=host.environment, cwd=host.root, capture_output=True)
        assert (shown.returncode, shown.stdout) == (0, name), shown
