"""What is mounted where, as the kernel's mount table tells it.

`st_dev` alone misses bind mounts of the same file system, and on overlays it differs between files
and directories of one mount; the table knows both, and the names of file systems.
"""

import os
from pathlib import Path

import msgspec

from epmstore.scan.problem import judge

MOUNT_TABLE = Path("/proc/self/mountinfo")

_ESCAPES = ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\"))
_NETWORK = {
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "gfs2", "gpfs", "lustre", "nfs", "nfs4", "ocfs2",
    "orangefs", "smb3", "virtiofs",
    "fuse.ceph", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs",
}  # fmt: skip


class FilesystemInfo(msgspec.Struct, frozen=True):
    """The file system that a path is on. `name` is the kernel's (`ext4`), '' where unknown."""

    name: str
    network: bool = False
    overlay: bool = False
    fuse: bool = False
    read_only: bool = False


def filesystem(where: int | str | Path) -> FilesystemInfo:
    """Of an open descriptor, or of an existing path. Raises OSError if there is no such path, or
    descriptors or memory run out.
    """
    if isinstance(where, int):
        return _filesystem(where)
    fd = os.open(where, os.O_PATH | os.O_CLOEXEC)
    try:
        return _filesystem(fd)
    finally:
        os.close(fd)


def mounted_below(root_fd: int) -> frozenset[str]:
    """Paths below the root at which something is mounted, files too; none where /proc is not.

    Raises OSError if descriptors or memory run out.
    """
    try:
        root = os.readlink(b"/proc/self/fd/%d" % root_fd)
        table = MOUNT_TABLE.read_bytes()
    except OSError as error:
        judge(error)
        return frozenset()
    return below(root, table)


def below(root: bytes, table: bytes) -> frozenset[str]:
    """The paths below `root`, relative to it, that a mountinfo table lists."""
    prefix = root.rstrip(b"/") + b"/"
    found = (_unescape(line.split(b" ", 5)[4]) for line in table.splitlines())
    return frozenset(os.fsdecode(path[len(prefix) :]) for path in found if path.startswith(prefix))


def describe_mount(mount_id: bytes, table: bytes) -> FilesystemInfo:
    """The mount of that number in a mountinfo table; nameless if it has none."""
    for line in table.splitlines():
        left, _, right = line.partition(b" - ")
        fields = left.split(b" ")
        if fields[0] == mount_id:
            kind, _, options = right.split(b" ", 2)
            name = kind.decode(errors="replace")
            return FilesystemInfo(
                name,
                network=name in _NETWORK,
                overlay=name in ("overlay", "aufs", "fuse.fuse-overlayfs"),
                fuse=name == "fuse" or name.startswith(("fuse.", "fuseblk")),
                read_only=b"ro" in fields[5].split(b",") + options.split(b","),
            )
    return FilesystemInfo("")


def _filesystem(fd: int) -> FilesystemInfo:
    try:
        about = Path(f"/proc/self/fdinfo/{fd}").read_bytes()
        table = MOUNT_TABLE.read_bytes()
    except OSError as error:
        judge(error)
        return FilesystemInfo("")
    facts = dict(line.split(b":", 1) for line in about.splitlines() if b":" in line)
    return describe_mount(facts.get(b"mnt_id", b"").strip(), table)


def _unescape(path: bytes) -> bytes:
    for escape, plain in _ESCAPES:  # the backslash last
        path = path.replace(escape, plain)
    return path
