"""The clock of a file system: what its ctimes are taken from, and how coarse they are.

Local file systems take them from this kernel's coarse clock. Others have a clock of their own, on a
server or in a process, that only a file just made can tell.
"""

import contextlib
import os
import secrets
import time
from pathlib import Path

import msgspec

from epmstore import fsio
from epmstore.relpath import STAGE_PREFIX
from epmstore.scan.mounts import filesystem

TICK_NS = 10_000_000
"""The longest tick of a Linux kernel (100 Hz)."""
UNKNOWN_NS = 2_000_000_000
"""For file systems of which nothing is known; some count in steps of two seconds."""

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_KERNEL_CLOCK = 5  # CLOCK_REALTIME_COARSE, which the time module does not name
_FINE = frozenset({"btrfs", "ext4", "f2fs", "tmpfs", "xfs"})
_BORROWED = frozenset({"overlay"})
"""They have the clock of what is below them, which is as a rule one of those."""
_SECOND = 1_000_000_000


class FilesystemClock(msgspec.Struct, frozen=True):
    """A reading: nanoseconds since 1970 by the file system's own clock, and its granularity; the
    kernel's name of the file system, nothing where that is not known.
    """

    now_ns: int
    granularity_ns: int
    filesystem: str = ""

    def settled_ns(self) -> int:
        """A file that is read after this reading, and whose ctime is not later than this, cannot
        have changed since without a new ctime.
        """
        return self.now_ns - self.granularity_ns


def probe_clock(root_fd: int) -> FilesystemClock:
    """Read the clock of the file system that an open directory is on. Never raises OSError.

    A directory on a local file system is not written to.
    """
    name = _name(root_fd)
    granularity = TICK_NS if name in _FINE else UNKNOWN_NS
    if os.fstat(root_fd).st_ctime_ns % _SECOND == 0:  # small inodes have no room for fractions
        granularity = UNKNOWN_NS
    if name not in _FINE:
        with contextlib.suppress(OSError):
            return FilesystemClock(_probe(root_fd), granularity, name)
    return FilesystemClock(time.clock_gettime_ns(_KERNEL_CLOCK), granularity, name)


def watch_clock(root_fd: int) -> FilesystemClock | None:
    """The same without writing anything; None where it cannot be read so."""
    name = _name(root_fd)
    if name not in _FINE | _BORROWED:
        return None
    now = time.clock_gettime_ns(_KERNEL_CLOCK)
    return FilesystemClock(now, TICK_NS if name in _FINE else UNKNOWN_NS, name)


def _name(root_fd: int) -> str:
    try:
        return filesystem(root_fd).name
    except OSError:
        return ""


def _probe(directory: int) -> int:
    """The ctime of a file made for this and taken away again: one that no other process sees, where
    the file system has such. Raises OSError.
    """
    with contextlib.suppress(OSError):
        fd = fsio.create_unnamed(directory)
        try:
            return os.fstat(fd).st_ctime_ns
        finally:
            os.close(fd)
    name = f"{STAGE_PREFIX}clock-{secrets.token_hex(8)}"
    fd = fsio.create(name, directory)
    try:
        return os.fstat(fd).st_ctime_ns
    finally:
        os.close(fd)
        fsio.unlink(name, directory)


def boot_id() -> str:
    """A name of the time since this host was started; nothing where there is none."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""
