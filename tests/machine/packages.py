"""What is installed in the machine: the .deb of `make dist`, and one that stands for the release
before it: it does the same, and its files do not go with ours, as a function has another name.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.machine.image import cache

DIST: Final = Path(__file__).parents[2] / "dist"
OWN: Final = ("epmstore", "epmstored")
RENAMED: Final = r"\bsync_directory\b", "sync_the_directory"
EARLIER: Final = "0.0.1"
INSTALL: Final = "cp /mnt/$1.deb /tmp/epmstore_$1.deb && apt-get install -y /tmp/epmstore_$1.deb"


def newest() -> Path:
    """What EPM_MACHINE_DEB names, or the newest in dist/. Raises FileNotFoundError."""
    if given := os.environ.get("EPM_MACHINE_DEB"):
        return Path(given)
    found = sorted(DIST.glob("epmstore_*_amd64.deb"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise FileNotFoundError("no .deb in dist/: make dist")
    return found[-1]


def earlier(deb: Path) -> Path:
    """What EPM_MACHINE_EARLIER names, or one made of this one."""
    if given := os.environ.get("EPM_MACHINE_EARLIER"):
        return Path(given)
    made = cache() / f"epmstore_{EARLIER}_{deb.stat().st_mtime_ns}.deb"
    if not made.exists():
        tree = made.with_suffix(".tree")
        shutil.rmtree(tree, ignore_errors=True)
        subprocess.run(["dpkg-deb", "-R", str(deb), str(tree)], check=True)
        _age(tree)
        command = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", str(tree), str(made)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(tree)
    return made


def payload() -> Path:
    """The second disk of the machine, with `newer.deb` and `earlier.deb`."""
    deb = newest()
    folder = cache() / f"payload-{deb.stat().st_mtime_ns}"
    disk = folder / "payload.img"
    if not disk.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        files = {"newer": deb, "earlier": earlier(deb)}
        _disk(folder, files)
    return disk


def _age(tree: Path) -> None:
    control = tree / "DEBIAN/control"
    lines = control.read_text().splitlines()
    kept = [f"Version: {EARLIER}" if line.startswith("Version:") else line for line in lines]
    control.write_text("\n".join(kept) + "\n")
    sums = tree / "DEBIAN/md5sums"
    sums.unlink(missing_ok=True)
    [home] = tree.glob("opt/epmstore/releases/*")
    release = f"{EARLIER}-earlier"
    (tree / "opt/epmstore/newest").write_text(f"{release}\n")
    for program in (home / "bin").glob("epm*"):
        program.write_text(program.read_text().replace(home.name, release))
    for site in home.glob("lib/python*/site-packages"):
        for name in OWN:
            for path in (site / name).rglob("*.py"):
                path.write_text(re.sub(*RENAMED, path.read_text()))
    home.rename(home.with_name(release))


def _disk(folder: Path, debs: dict[str, Path]) -> None:
    files = folder / "files"
    files.mkdir()
    for name, deb in debs.items():
        shutil.copyfile(deb, files / f"{name}.deb")
    made = folder / "payload.part"
    command = ["mkfs.ext4", "-q", "-F", "-b", "4096", "-d", str(files), str(made), "96M"]
    subprocess.run(command, check=True)
    shutil.rmtree(files)
    made.rename(folder / "payload.img")
