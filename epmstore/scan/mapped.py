"""Which files may still change without showing it, because a process has them mapped.

A store to a page of a mapped file moves its times only when the page was clean: the kernel then
faults, and marks it. From there until the page is written out, nothing that is stored to it shows
in any stat. So a file that was read is to be believed unread the next time only if

- its ctime is older than the kernel lets pages stay dirty (`Outstanding.since_ns`), or
- no process had it mapped shared *before* it was read: a mapping that is made later starts with
  pages that fault.

Files in memory (tmpfs and the like) are never written out, and may not even fault: there a mapping
counts at any age, and one that was made and ended between two looks leaves no trace at all.

Mappings are compared by inode alone, for the table of a process names other devices than `stat`
does on btrfs and overlays; what is taken for another file's costs one more reading. Where not every
process can be looked into, every young file is in doubt.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from epmstore.scan.compare import ANY_AGE_NS, Settled
from epmstore.scan.fsclock import FilesystemClock

WRITEBACK = Path("/proc/sys/vm")
USUAL_NS = 35 * 10**9
"""How long pages stay dirty where the kernel does not say otherwise: dirty_expire and
dirty_writeback.
"""
PATIENCE = 2
"""A disk that has much to write takes its time: so many times that long is waited for."""

_WRITES_OUT = frozenset({
    "bcachefs", "btrfs", "ceph", "cifs", "exfat", "ext2", "ext3", "ext4", "f2fs", "fuse", "fuseblk",
    "jfs", "nfs", "nfs4", "nilfs2", "ntfs3", "ocfs2", "reiserfs", "smb3", "vfat", "xfs", "zfs",
})  # fmt: skip
# Shared mappings of files, whatever may be done to their pages now: that can be asked for again.
_SHARED = re.compile(rb"^[0-9a-f]+-[0-9a-f]+ ...s [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ +([1-9]\d*)", re.M)
_INIT = "1"
"""Of the whole host: it has no application's files mapped, where even root may not look into it."""
_FIRST_NAMESPACE = "pid:[4026531836]"
_CAP_SYS_PTRACE = 1 << 19


def read_mapped(proc: Path = Path("/proc")) -> frozenset[int] | None:
    """The inodes of all files that any process has mapped shared, by the numbers in its table; None
    where not every process can be looked into.
    """
    if not _sees_all(proc):
        return None
    found: set[int] = set()
    looked: set[str] = set()
    # A process may end while its child, which has its mappings, is not in the list yet.
    while new := {name for name in os.listdir(proc) if name.isdigit()} - looked:
        looked |= new
        for name in new:
            try:
                found.update(_shared_inodes(f"{proc}/{name}/maps"))
            except PermissionError:
                if name != _INIT:
                    return None
            except OSError:
                continue  # it has ended
    return frozenset(found)


def _shared_inodes(table: str) -> Iterator[int]:
    fd = os.open(table, os.O_RDONLY | os.O_CLOEXEC)
    try:
        pieces = []
        while piece := os.read(fd, 1 << 20):
            pieces.append(piece)
    finally:
        os.close(fd)
    return map(int, _SHARED.findall(b"".join(pieces)))


def _sees_all(proc: Path) -> bool:
    """Whether no process is hidden from this one: by a namespace, or for want of privilege."""
    try:
        if os.readlink(proc / "self/ns/pid") != _FIRST_NAMESPACE:
            return False
        status = (proc / "self/status").read_bytes()
    except OSError:
        return False
    found = re.search(rb"^CapEff:\s*([0-9a-f]+)", status, re.M)
    return found is not None and bool(int(found[1], 16) & _CAP_SYS_PTRACE)


class Outstanding(msgspec.Struct, frozen=True):
    """What one look has to doubt: files whose ctime is later than `since_ns`, and those that are
    mapped and whose ctime is later than `mapped_since_ns`.
    """

    clock: FilesystemClock
    since_ns: int
    mapped_since_ns: int

    @property
    def is_in_memory(self) -> bool:
        return self.mapped_since_ns == ANY_AGE_NS

    def settled(self, mapped: frozenset[int] | None) -> Settled:
        """What rows of this look are to be judged by."""
        since = self.since_ns if mapped is None else self.mapped_since_ns
        return Settled(self.clock.settled_ns(), since, mapped)


def outstanding(clock: FilesystemClock, *, one_filesystem: bool = True) -> Outstanding:
    """By a clock that was read before anything else of the look."""
    longest = dirty_ns()
    since = ANY_AGE_NS if longest is None else clock.now_ns - PATIENCE * longest
    usual = clock.now_ns - PATIENCE * (longest or USUAL_NS)
    writes_out = one_filesystem and clock.filesystem.partition(".")[0] in _WRITES_OUT
    return Outstanding(clock, usual, since if writes_out else ANY_AGE_NS)


def dirty_ns(settings: Path = WRITEBACK) -> int | None:
    """How long a page may stay dirty, in ns; None: for ever."""
    try:
        expire, every = (
            int((settings / f"dirty_{name}_centisecs").read_bytes())
            for name in ("expire", "writeback")
        )
    except (OSError, ValueError):
        return USUAL_NS
    return (expire + every) * 10**7 if every else None
