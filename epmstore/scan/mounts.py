"""What is mounted below a directory, as the kernel tells it.

`st_dev` alone misses bind mounts of the same file system, and on overlays it differs between files
and directories of one mount; the mount table knows both.
"""

import os
from pathlib import Path

MOUNT_TABLE = Path("/proc/self/mountinfo")

_ESCAPES = ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\"))


def mounted_below(root_fd: int) -> frozenset[str]:
    """Paths below the root at which something is mounted, files too; none where /proc is not."""
    try:
        root = os.readlink(b"/proc/self/fd/%d" % root_fd)
        table = MOUNT_TABLE.read_bytes()
    except OSError:
        return frozenset()
    return below(root, table)


def below(root: bytes, table: bytes) -> frozenset[str]:
    """The paths below `root`, relative to it, that a mountinfo table lists."""
    prefix = root.rstrip(b"/") + b"/"
    found = (_unescape(line.split(b" ", 5)[4]) for line in table.splitlines())
    return frozenset(os.fsdecode(path[len(prefix) :]) for path in found if path.startswith(prefix))


def _unescape(path: bytes) -> bytes:
    for escape, plain in _ESCAPES:  # the backslash last
        path = path.replace(escape, plain)
    return path
