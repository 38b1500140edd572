"""Which packages of the system own paths that a checkout changed: their next upgrade will change
them again, and their database does not know.

What dpkg has installed is in text files; of rpm the program is asked, where there is a database.
Nothing here fails a checkout: what cannot be found out is not said.
"""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from epmstore.checkout.run import CompletedCheckout

DPKG: Final = Path("/var/lib/dpkg/info")
RPM: Final = ("/usr/lib/sysimage/rpm", "/var/lib/rpm")
RPM_SECONDS: Final = 20.0
_MERGED: Final = (b"/bin/", b"/sbin/", b"/lib/", b"/lib32/", b"/lib64/", b"/libx32/")
_ALL_FILES: Final = ("rpm", "-qa", "--qf", "[%{=NAME}\\t%{FILENAMES}\\n]")


def owners(root: str, done: CompletedCheckout) -> tuple[str, ...]:
    """The names of packages that own files which a checkout put, changed or removed, in order."""
    if done.applied is None:
        return ()
    changed = [
        step.path for step in done.applied.steps if step.op in ("put", "retype", "unlink", "set")
    ]
    return owners_of(root, changed)


def owners_of(root: str, changed: Iterable[str], dpkg: Path = DPKG) -> tuple[str, ...]:
    """The packages that own these paths below a root."""
    top = os.fsencode(root.rstrip("/"))
    paths = {_modern(top + b"/" + os.fsencode(path)) for path in changed}
    found = {name for name, listed in _dpkg(dpkg, _modern(top)) if not paths.isdisjoint(listed)}
    found |= {name for name, path in _rpm() if path in paths}
    return tuple(sorted(found))


def _modern(path: bytes) -> bytes:
    """One spelling for what is one folder: /lib/x of older packages is /usr/lib/x."""
    return b"/usr" + path if path.startswith(_MERGED) else path


def _dpkg(folder: Path, top: bytes) -> Iterable[tuple[str, set[bytes]]]:
    """(package, its paths) of every package that may have some below `top`."""
    try:
        lists = sorted(path for path in folder.iterdir() if path.suffix == ".list")
    except OSError:
        return
    for path in lists:
        try:
            data = path.read_bytes()
        except OSError:
            continue
        if top.removeprefix(b"/usr") in data:  # most packages have nothing there
            yield path.stem.partition(":")[0], set(map(_modern, data.splitlines()))


def _rpm() -> Iterable[tuple[str, bytes]]:
    """(package, path) of everything that is installed."""
    if not any(map(os.path.isdir, RPM)):
        return
    try:
        done = subprocess.run(
            _ALL_FILES,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8"},
            timeout=RPM_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return
    for line in done.stdout.splitlines():
        name, _, path = line.partition(b"\t")
        yield os.fsdecode(name), _modern(path)
