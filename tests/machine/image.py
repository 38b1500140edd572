"""The machine's image: Debian 12 with systemd, the agent on its second serial line, and nothing of
epmstore. Made once, into a folder outside of the clone: EPM_MACHINE, or ~/.cache/epmstore-machine.
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

from tests.machine import initrd

HERE: Final = Path(__file__).parent
PACKAGES: Final = "systemd,systemd-sysv,udev,dbus,kmod,procps,python3,xfsprogs,postgresql-15"
MIRROR: Final = os.environ.get("EPM_MACHINE_MIRROR", "http://deb.debian.org/debian")
SIZE: Final = 2 << 30
TOOLS: Final = ("qemu-system-x86_64", "debootstrap", "mkfs.ext4", "mkfs.xfs", "dpkg-deb", "cpio")
KINDS: Final = {
    "ext4": ("mkfs.ext4", "-q", "-F", "-b", "4096"),
    "xfs": ("mkfs.xfs", "-q", "-f", "-s", "size=4096"),
}
"""With sectors of 4 KiB, which is what the drive has."""

AGENT: Final = """
[Unit]
Description=carries out what tests ask for
[Service]
ExecStart=/usr/bin/python3 /usr/local/lib/agent.py
Restart=on-failure
[Install]
WantedBy=multi-user.target
"""
FILES: Final = {
    "etc/hostname": "machine\n",
    "etc/machine-id": "",
    "etc/systemd/system/agent.service": AGENT,
    # An emulated machine is slow: what Debian has as a minute is ten here.
    "etc/systemd/system.conf.d/slow.conf": "[Manager]\nDefaultTimeoutStartSec=15min\n",
    "usr/local/lib/agent.py": (HERE / "agent.py").read_text(),
}
OFF: Final = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer"),
    *("e2scrub_reap.service", "fstrim.timer", "postgresql.service", "systemd-binfmt.service"),
    *("systemd-logind.service", "systemd-networkd.service", "dev-hugepages.mount"),
    *("dev-mqueue.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount"),
    *(f"modprobe@{name}.service" for name in ("configfs", "dm_mod", "drm", "efi_pstore", "fuse")),
    *("modprobe@loop.service", "sys-fs-fuse-connections.mount", "sys-kernel-config.mount"),
)
"""Masked: what a machine without a network, and for minutes, has no use for."""


class Image(NamedTuple):
    """What a machine is started from. Nothing writes to it."""

    kind: str
    disk: Path
    kernel: Path
    initrd: Path


def missing() -> str | None:
    """Why there can be no machine here."""
    if os.geteuid() != 0:
        return "needs root"
    for tool in TOOLS:
        if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            return f"needs {tool}"
    return None if _kernels() else "needs the kernel of linux-image-cloud-amd64 in /boot"


def cache() -> Path:
    given = os.environ.get("EPM_MACHINE")
    return Path(given) if given else Path.home() / ".cache/epmstore-machine"


def image(kind: str) -> Image:
    """The image with this file system; made if it is not there. Raises CalledProcessError."""
    kernel = _kernels()[-1]
    release = kernel.name.removeprefix("vmlinuz-")
    said = repr((PACKAGES, FILES, OFF, KINDS[kind], SIZE, release, initrd.INIT))
    disk = cache() / f"{kind}-{hashlib.sha256(said.encode()).hexdigest()[:12]}.img"
    first = disk.with_suffix(".initrd")
    if not first.exists():
        initrd.make(first, _base(), release, kind)
    if not disk.exists():
        _make(disk, kind, _base(), release)
    return Image(kind, disk, kernel, first)


def _kernels() -> list[Path]:
    return sorted(
        Path("/boot").glob("vmlinuz-*-cloud-amd64"), key=lambda path: path.stat().st_mtime
    )


def _base() -> Path:
    """The files of a bare Debian."""
    base = cache() / f"base-{hashlib.sha256(PACKAGES.encode()).hexdigest()[:12]}"
    if not base.exists():
        cache().mkdir(parents=True, exist_ok=True)
        made = base.with_suffix(".part")
        shutil.rmtree(made, ignore_errors=True)
        options = ["--variant=minbase", f"--include={PACKAGES}"]
        with (cache() / "debootstrap.log").open("w") as log:
            command = ["debootstrap", *options, "bookworm", str(made), MIRROR]
            subprocess.run(command, stdout=log, stderr=log, check=True)
        made.rename(base)
    return base


FILL = """
set -e
mount --make-rprivate /
mount -o loop "$1" "$2"
cp -ax "$3/." "$2/"
rm -rf "$2"/var/cache/apt/* "$2"/var/lib/apt/lists/*
mkdir -p "$2/lib/modules"
cp -a "/lib/modules/$4" "$2/lib/modules/"
cp -a "$5/." "$2/"
chroot "$2" systemctl --quiet enable agent.service
for unit in $6; do ln -s /dev/null "$2/etc/systemd/system/$unit"; done
umount "$2"
"""


def _make(disk: Path, kind: str, base: Path, release: str) -> None:
    made, place, own = (disk.with_suffix(f".{name}") for name in ("part", "mnt", "own"))
    for folder in (place, own):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    table = f"/dev/vda / {kind} defaults 0 {int(kind == 'ext4')}\n"
    for name, text in {**FILES, "etc/fstab": table}.items():
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_text(text)
    with made.open("wb") as file:
        file.truncate(SIZE)
    subprocess.run([*KINDS[kind], str(made)], check=True)
    words = [str(word) for word in (made, place, base, release, own, " ".join(OFF))]
    subprocess.run(["unshare", "-m", "sh", "-c", FILL, "sh", *words], check=True)
    place.rmdir()
    shutil.rmtree(own)
    made.rename(disk)
