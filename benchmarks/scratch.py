"""Where a contestant works: a file system that is made anew for each chain, so that nobody pays for
what was left behind, neither on the disk nor in memory.

ext4 does not give an inode number out again within minutes of its removal, but looks at it each
time: on a file system where a tree was just removed, making files takes several times as long. The
image below is read and written past the page cache: what is in the file system is cached once.
"""

import os
import shutil
import subprocess
import time
from pathlib import Path

SIZE = 40 << 30
"""Of the image, which is sparse: it takes what is in it."""
BUSY = 30.0
"""Seconds for which somebody who looks into it may keep it from being unmounted."""
INODE_RATIO = 16384
"""Bytes of the image for which it has room for one more file or folder."""
SECTOR = 512


class Scratch:
    """A folder. As root, a loop-mounted ext4; else part of the file system that it lies on.

    As a context manager it gives the folder, empty, and removes it at the end.
    """

    def __init__(self, folder: Path, size: int = SIZE) -> None:
        """`size` in bytes, of the file system if it is one of its own."""
        self.folder = folder
        self._size = size
        self._image = folder.with_name(folder.name + ".img")
        self._device = ""

    def __enter__(self) -> Path:
        self.renew()
        return self.folder

    def __exit__(self, *_: object) -> None:
        self.remove()

    def renew(self) -> None:
        """Make it empty."""
        self.remove()
        self.folder.mkdir(parents=True)
        if os.geteuid() == 0 and shutil.which("mkfs.ext4"):
            self._mount()

    def remove(self) -> None:
        if self._device:
            _unmount(self.folder)
            subprocess.run(["losetup", "-d", self._device], check=True)
            self._device = ""
        self._image.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def kind(self) -> str:
        own = "a new ext4 for each contestant and chain"
        return own if self._device else "one file system for all"

    def written(self) -> int | None:
        """Bytes that its device was given so far, everything synced first. None: it has none."""
        os.sync()  # also so that nobody pays for what others have left to write
        if not self._device:
            return None
        stat = Path("/sys/block", Path(self._device).name, "stat")
        return int(stat.read_text().split()[6]) * SECTOR

    def _mount(self) -> None:
        """Where it cannot be had, as in some containers, the folder stays one."""
        with self._image.open("wb") as image:
            image.truncate(self._size)
        eager = "lazy_itable_init=0,lazy_journal_init=0"  # or it would go on behind our back
        options = ["-q", "-F", "-i", str(INODE_RATIO), "-J", "size=256", "-E", eager]
        loop = ["losetup", "--find", "--show", "--direct-io=on", str(self._image)]
        if _run(["mkfs.ext4", *options, str(self._image)]) is None:
            return
        device = _run(loop)
        if device and _run(["mount", device, str(self.folder)]) is None:
            _run(["losetup", "-d", device])
        elif device:
            self._device = device


def _unmount(folder: Path) -> None:
    """Raises CalledProcessError if it stays busy."""
    until = time.monotonic() + BUSY
    while _run(["umount", str(folder)]) is None:
        if time.monotonic() > until:
            raise subprocess.CalledProcessError(32, ["umount", str(folder)])
        time.sleep(0.1)


def _run(command: list[str]) -> str | None:
    """What it prints; None if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
