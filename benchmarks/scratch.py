"""Where contestants work: a file system that is made anew for each chain, so that nobody pays for
what another one left behind.

ext4 does not give an inode number out again within minutes of its removal, but looks at it each
time: on a file system where a tree was just removed, making files takes several times as long.
"""

import os
import shutil
import subprocess
from pathlib import Path

SIZE = 40 << 30
"""Of the image, which is sparse: it takes what is in it."""
SECTOR = 512


class Scratch:
    """A folder. As root, a loop-mounted ext4; else part of the file system that it lies on.

    As a context manager it gives the folder, empty, and removes it at the end.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._image = folder.with_name(folder.name + ".img")
        self._is_mounted = False

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
            self._is_mounted = self._mount()

    def remove(self) -> None:
        if self._is_mounted:
            subprocess.run(["umount", self.folder], check=True)
            self._is_mounted = False
        self._image.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def kind(self) -> str:
        return "a new ext4 for each chain" if self._is_mounted else "one folder for all"

    def written(self) -> int | None:
        """Bytes that its device was given so far, everything synced first. None: it has none."""
        os.sync()  # also so that nobody pays for what others have left to write
        if not self._is_mounted:
            return None
        device = self.folder.stat().st_dev
        stat = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat")
        return int(stat.read_text().split()[6]) * SECTOR

    def _mount(self) -> bool:
        with self._image.open("wb") as image:
            image.truncate(SIZE)
        eager = "lazy_itable_init=0,lazy_journal_init=0"  # or it would go on behind our back
        make = [
            "mkfs.ext4",
            "-q",
            "-F",
            "-i",
            "16384",
            "-J",
            "size=256",
            "-E",
            eager,
            str(self._image),
        ]
        mount = ["mount", "-o", "loop", str(self._image), str(self.folder)]
        return all(
            subprocess.run(command, capture_output=True, check=False).returncode == 0
            for command in (make, mount)
        )
