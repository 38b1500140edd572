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
    "ext4-noauto_da_alloc": Kind(("mkfs.ext4", "-q", "-F"), 96 << 20, "noauto_da_alloc"),
    "xfs": Kind(("mkfs.xfs", "-q", "-f"), 320 << 20),
}

CHECKS = {
    "mkfs.ext4": ("fsck.ext4", "-f", "-n"),
    "mkfs.xfs": ("xfs_repair", "-n"),
}
libc = ctypes.CDLL(None, use_errno=True)


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
    return missing_tool(KINDS[kind])


def missing_tool(kind: Kind) -> str | None:
    path = environment()["PATH"]
    return None if shutil.which(kind.make[0], path=path) else f"needs {kind.make[0]}"


class Disk:
    """One file system on a loop device, mounted at `place`."""

    def __init__(self, kind: Kind, folder: Path, name: str) -> None:
        self._kind = kind
        self._image = folder / f"{name}.img"
        self._empty = folder / f"{name}.empty"
        self._device = ""
        self.place = folder / name
        self.place.mkdir()

    def format(self) -> None:
        """As the first time, of which a copy is kept: that is quicker than to make it anew."""
        self.detach()
        if not self._empty.exists():
            with self._empty.open("wb") as file:
                file.truncate(self._kind.size)
            call([*self._kind.make, str(self._empty)])
        call(["cp", "--sparse=always", str(self._empty), str(self._image)])
        self._device = call(["losetup", "--find", "--show", str(self._image)]).strip()

    def mount(self) -> None:
        mount(self._device, self.place, self._kind)

    def unmount(self) -> None:
        unmount(self.place)

    def detach(self) -> None:
        if self._device:
            call(["losetup", "-d", self._device])
        self._device = ""

    def sync(self) -> None:
        sync(self.place)

    def examine(self) -> list[str]:
        """What the checker of this file system says is wrong; to be called while it is off."""
        command = [*CHECKS[self._kind.make[0]], self._device]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True)
        return [f"{command[0]}: {done.stdout[-300:]}"] if done.returncode else []


class Machine:
    """Where the store and the root are: on one file system, or on two that lose power together."""

    def __init__(self, kind: Kind, folder: Path, *, is_split: bool) -> None:
        self.is_split = is_split
        self.disks = [Disk(kind, folder, name) for name in ("one", "two")[: 1 + is_split]]
        self.store = self.disks[0].place / "store"
        self.root = self.disks[-1].place / "root"
        self.copy = self.disks[-1].place / "copy"
        """Of the store."""
        self.refcat = folder / "crm.refcat"
        """Of a vendor, to be imported."""
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

    def end(self) -> None:
        """Nothing is left of it on this host, its files apart."""
        self.off()
        for disk in self.disks:
            disk.detach()

    def examine(self) -> list[str]:
        """Whether the file systems are sound, says who made them: then no cut was too hard."""
        self.off()
        found = [text for disk in self.disks for text in disk.examine()]
        self.reboot()
        return found

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
    check(libc.unshare(CLONE_NEWNS), "unshare")
    call(["mount", "--make-rprivate", "/"])


def mount(device: str, place: Path, kind: Kind) -> None:
    """Raises OSError."""
    words = (device, str(place), kind.make[0].removeprefix("mkfs."))
    source, target, name = map(os.fsencode, words)
    check(libc.mount(source, target, name, 0, kind.options.encode()), device)


def unmount(place: Path) -> None:
    """Whoever was killed may still be dying, and holds on to it. Raises OSError."""
    deadline = time.monotonic() + PATIENCE
    while libc.umount2(os.fsencode(place), 0):
        if time.monotonic() > deadline:
            check(-1, str(place))
        time.sleep(0.0005)


def sync(place: Path) -> None:
    """Everything on a file system."""
    fd = os.open(place, os.O_RDONLY)
    check(libc.syncfs(fd), str(place))
    os.close(fd)


def cut(descriptors: Sequence[int]) -> None:
    """The power goes."""
    for fd in descriptors:
        fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))


def check(result: int, what: str) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)


def environment() -> dict[str, str]:
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    return {**os.environ, "PATH": path}


def call(command: list[str]) -> str:
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
