"""Which files below a folder a process has open for writing, by /proc.

A snapshot: it says that a file may be half done, never that it is not. Processes that may not be
looked into make the answer incomplete, and that is said.
"""

import os
import stat
from collections.abc import Iterator

import msgspec

from epmstore.scan.holders import flags_of


class Writers(msgspec.Struct, frozen=True):
    """Paths of regular files, relative to the folder. `incomplete`: some process could not be
    looked into.
    """

    paths: frozenset[str] = frozenset()
    incomplete: bool = False


def writers_below(folder: str, since: float) -> Writers:
    """The files below a folder (a real path) that other processes have open for writing, and that
    have changed at or after a time (seconds since 1970): what is only kept open is not half done.
    """
    prefix = f"{folder.rstrip('/')}/"
    found: set[str] = set()
    incomplete = False
    for name in filter(str.isdigit, os.listdir("/proc")):
        if int(name) == os.getpid():
            continue
        try:
            found.update(_written_by(f"/proc/{name}", prefix, since))
        except PermissionError:
            incomplete = True
        except OSError:
            continue  # it has ended
    return Writers(frozenset(found), incomplete)


def _written_by(process: str, prefix: str, since: float) -> Iterator[str]:
    """Raises OSError if the process cannot be looked into."""
    for number in os.listdir(f"{process}/fd"):
        link = f"{process}/fd/{number}"
        try:
            path = os.readlink(link)
            if path.startswith(prefix) and _is_written(link, process, number, path, since):
                yield path.removeprefix(prefix)
        except PermissionError:
            raise
        except OSError:
            continue  # closed meanwhile, or has another file under its name now


def _is_written(link: str, process: str, number: str, path: str, since: float) -> bool:
    flags = flags_of(f"{process}/fdinfo/{number}")
    if flags & os.O_PATH or not flags & os.O_ACCMODE:
        return False
    opened, named = os.stat(link), os.lstat(path)
    return (
        stat.S_ISREG(opened.st_mode)
        and (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino)
        and opened.st_ctime >= since
    )
