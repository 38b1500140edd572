import contextlib
import errno
import os
import resource
from pathlib import Path

import pytest

from epmstore.scan.mounts import (
    FilesystemInfo,
    below,
    describe_mount,
    filesystem,
    mounted_below,
)

TABLE = rb"""22 27 0:21 / / rw,relatime - ext4 /dev/vda rw
23 22 0:22 / /opt/app rw - tmpfs none rw
24 23 0:23 / /opt/app/with\040space rw - tmpfs none rw
25 23 0:23 /etc /opt/app/back\134slash\011tab\012line rw - tmpfs none rw
26 22 0:24 / /opt/application rw - tmpfs none rw
30 22 0:30 / /srv/a rw,relatime shared:7 master:2 - nfs4 host:/a rw,vers=4.2
31 22 0:31 / /srv/b ro,relatime - overlay overlay rw,lowerdir=/l
32 22 0:32 / /srv/c rw - fuse.sshfs host:/c ro,user_id=0
"""


def test_below_finds_mounts_in_a_root() -> None:
    assert below(b"/opt/app", TABLE) == {"with space", "back\\slash\ttab\nline"}
    assert "opt/app" in below(b"/", TABLE)
    assert below(b"/mnt", TABLE) == frozenset()


def test_escapes_are_not_escaped_twice() -> None:
    assert below(b"/a", rb"1 2 0:1 / /a/x\134040y rw - t s rw") == {"x\\040y"}


def test_the_real_table() -> None:
    fd = os.open("/", os.O_RDONLY)
    try:
        assert "proc" in mounted_below(fd)
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("mount_id", "expected"),
    [
        (b"22", FilesystemInfo("ext4")),
        (b"30", FilesystemInfo("nfs4", network=True)),
        (b"31", FilesystemInfo("overlay", overlay=True, read_only=True)),
        (b"32", FilesystemInfo("fuse.sshfs", network=True, fuse=True, read_only=True)),
        (b"99", FilesystemInfo("")),
    ],
)
def test_describe_mount_names_type_and_options(mount_id: bytes, expected: FilesystemInfo) -> None:
    assert describe_mount(mount_id, TABLE) == expected


def test_file_systems_of_paths_and_descriptors(tmp_path: Path) -> None:
    assert filesystem("/proc") == FilesystemInfo("proc")
    fd = os.open(tmp_path, os.O_RDONLY)
    assert filesystem(fd) == filesystem(tmp_path) == filesystem(str(tmp_path))
    os.close(fd)
    assert filesystem(tmp_path).name != ""
    with pytest.raises(FileNotFoundError):
        filesystem(tmp_path / "missing")


def test_for_want_of_descriptors_nothing_is_said(tmp_path: Path) -> None:
    """Or a bind mount would be recorded as part of the root, and a server's disk watched as ours is
    watched.
    """
    root = os.open(tmp_path, os.O_RDONLY)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (root + 1, before[1]))
    held: list[int] = []
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.dup(root))
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            mounted_below(root)
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            filesystem(root)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for fd in [*held, root]:
            os.close(fd)
