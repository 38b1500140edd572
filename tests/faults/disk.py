"""File systems in files, and the power cut: FS_IOC_SHUTDOWN without a flush of the log.

What was not made durable is gone after the next mount, and what the kernel had not written yet will
never be. What this is not: a drive that lies about its cache, or writes half a sector.
"""

import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
CLONE_NEWNS = 0x00020000
PATIENCE = 20.0
"""Seconds that a killed process may take until it lets go of its files."""


class Kind(NamedTuple):
    """A file system to cut. ext4 by default flushes what is renamed over a file (auto_da_alloc),
    which hides a missing fsync; the variant without it does not.
    """

    make: tuple[str, ...]
    size: int
    options: str = ""


KINDS = {
    "ext4": Kind(("mkfs.ext4", "-q", "-F"), 96 << 20),
    "ext4-noauto_da_alloc": Kind(("mkfs.ext4", "-q", "-F"), 96 << 20, ",noauto_da_alloc"),
    "xfs": Kind(("mkfs.xfs", "-q", "-f"), 320 << 20),
}


def missing() -> str | None:
    """Why nothing can be cut here."""
    if os.geteuid() != 0:
        return "needs root"
    if not Path("/dev/loop-control").exists():
        return "needs loop devices"
    if not os.access("/dev/shm", os.W_OK):
        return "needs /dev/shm"
    return None


def missing_for(kind: str) -> str | None:
    tool = KINDS[kind].make[0]
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    return None if shutil.which(tool, path=path) else f"needs {tool}"


class Disk:
    """One file system on a loop device, mounted at `place`."""

    def __init__(self, kind: Kind, folder: Path, name: str) -> None:
        self._kind = kind
        self._image = folder / f"{name}.img"
        self.place = folder / name
        self.place.mkdir()

    def format(self) -> None:
        with self._image.open("wb") as file:
            file.truncate(self._kind.size)
        _call([*self._kind.make, str(self._image)])

    def mount(self) -> None:
        options = f"loop{self._kind.options}"
        _call(["mount", "-o", options, str(self._image), str(self.place)])

    def unmount(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while subprocess.run(["umount", self.place], capture_output=True, check=False).returncode:
            if time.monotonic() > deadline:
                _call(["umount", str(self.place)])
            os.sched_yield()

    def sync(self) -> None:
        _call(["sync", "-f", str(self.place)])


class Machine:
    """Where the store and the root are: on one file system, or on two that lose power together."""

    def __init__(self, kind: Kind, folder: Path, *, is_split: bool) -> None:
        self.is_split = is_split
        self.disks = [Disk(kind, folder, name) for name in ("one", "two")[: 1 + is_split]]
        self.store = self.disks[0].place / "store"
        self.root = self.disks[-1].place / "root"
        self.outside = folder / "outside"
        self.outside.mkdir()
        self.boot = folder / "boot_id"
        """As in /proc: another one after each start."""
        self._is_on = False

    def install(self) -> None:
        """Empty file systems, mounted."""
        self.off()
        for disk in self.disks:
            disk.format()
            disk.mount()
        self._is_on = True

    def off(self) -> None:
        if self._is_on:
            for disk in self.disks:
                disk.unmount()
        self._is_on = False

    def reboot(self) -> None:
        """After a cut: mounting replays the logs."""
        self.off()
        self.boot.write_text(uuid.uuid4().hex)
        for disk in self.disks:
            disk.mount()
        self._is_on = True

    def sync(self) -> None:
        for disk in self.disks:
            disk.sync()

    def open(self) -> list[int]:
        """Descriptors to cut with."""
        return [os.open(disk.place, os.O_RDONLY | os.O_DIRECTORY) for disk in self.disks]


def hide_mounts() -> None:
    """From now on this process mounts for itself and its children alone. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    _call(["mount", "--make-rprivate", "/"])


def cut(descriptors: Sequence[int]) -> None:
    """The power goes."""
    for fd in descriptors:
        fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))


def _call(command: list[str]) -> None:
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    done = subprocess.run(
        command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
