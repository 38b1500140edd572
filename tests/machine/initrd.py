"""What the machine's kernel starts with: the few modules of its disk, and a script that mounts it.

Debian's own takes an emulated machine longer than the rest of its boot.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Final

PROGRAMS: Final = ("/bin/sh", "/bin/mount", "/sbin/insmod", "/sbin/switch_root")
MODULES: Final = ("virtio_pci", "virtio_blk", "virtio-rng", "xfs")
INIT: Final = """#!/bin/sh
mount -n -t devtmpfs none /dev
mount -n -t proc none /proc
mount -n -t sysfs none /sys
mount -n -t tmpfs -o mode=755 none /run
for module in MODULES; do insmod /modules/$module; done
mount -o ro -t KIND /dev/vda /root
for place in dev proc sys run; do mount --move /$place /root/$place; done
exec switch_root /root /sbin/init
"""


def make(path: Path, base: Path, release: str, kind: str) -> None:
    """With the programs of a Debian, and modules of this host. Raises CalledProcessError."""
    tree = path.with_suffix(".tree")
    shutil.rmtree(tree, ignore_errors=True)
    for name in ("dev", "proc", "sys", "run", "root", "modules"):
        (tree / name).mkdir(parents=True)
    modules = _modules(release)
    for module in modules:
        shutil.copyfile(module, tree / "modules" / module.name)
    for name in {*PROGRAMS, *_libraries(base)}:
        (tree / name[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(base / name[1:], tree / name[1:])
    names = " ".join(module.name for module in modules)
    (tree / "init").write_text(INIT.replace("MODULES", names).replace("KIND", kind))
    (tree / "init").chmod(0o755)
    pack = 'cd "$1" && find . | cpio --quiet -o -H newc >"$2"'
    subprocess.run(["sh", "-c", pack, "sh", str(tree), f"{path}.part"], check=True)
    shutil.rmtree(tree)
    Path(f"{path}.part").rename(path)


def _libraries(base: Path) -> list[str]:
    command = ["chroot", str(base), "ldd", *PROGRAMS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    words = [word for line in done.stdout.splitlines() for word in line.split()]
    return [word for word in words if word.startswith("/") and not word.endswith(":")]


def _modules(release: str) -> list[Path]:
    """Those, each after what it needs."""
    found: dict[Path, None] = {}
    for name in MODULES:
        command = ["modprobe", "-S", release, "--show-depends", name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        for line in done.stdout.splitlines():
            if line.startswith("insmod "):
                found[Path(line.split()[1])] = None
    return [*found]
