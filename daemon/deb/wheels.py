"""Wheels: fetched by what the lock says, and laid out as one folder of packages.

They are unpacked and not installed by pip, so that nothing in them says where they were built.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from zipfile import ZipFile

PLATFORMS: Final = ("2_36", "2_34", "2_31", "2_28", "2_17")
"""The C libraries (manylinux) that a program may be built for. Debian 12 has 2.36."""


def fetch(requirements: str, folder: Path) -> list[Path]:
    """Wheels for Debian 12 from the package index, each checked against its hash; in order.

    Raises CalledProcessError if there is none, or none that is as the lock says.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--only-binary", ":all:", "--python-version", "3.11"]
    command += ["--implementation", "cp", "--abi", "cp311"]
    for platform in PLATFORMS:
        command += ["--platform", f"manylinux_{platform}_x86_64"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(requirements)
        file.flush()
        subprocess.run([*command, "--dest", folder, "--requirement", file.name], check=True)
    return sorted(folder.glob("*.whl"))


def unpack(wheels: Iterable[Path], folder: Path) -> None:
    """The packages of wheels, side by side. What a wheel has for elsewhere (programs, units) is
    left out, and so is its RECORD: dpkg has a list of all files.

    Raises ValueError if two wheels bring one file, or one has a folder that is not known here.
    """
    folder.mkdir(parents=True)
    for wheel in wheels:
        with ZipFile(wheel) as archive:
            for member in archive.infolist():
                place = _place(member.filename)
                if place is None or member.is_dir():
                    continue
                target = folder / place
                if target.exists():
                    raise ValueError(f"{wheel.name}: {place} is there already")
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, target.open("wb") as made:
                    shutil.copyfileobj(source, made)


def _place(name: str) -> str | None:
    """Where a member belongs; null if it is not wanted."""
    top, _, rest = name.partition("/")
    if top.endswith(".dist-info") and rest == "RECORD":
        return None
    if not top.endswith(".data"):
        return name
    kind, _, rest = rest.partition("/")
    if kind in ("purelib", "platlib"):
        return rest
    if kind in ("data", "scripts"):
        return None
    raise ValueError(f"{name}: not known what this is")
