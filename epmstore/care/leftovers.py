"""What will never be asked for again, beside contents: temporaries of writers that were killed,
what a drill left, the quarantine once it is old, locks of applications that are gone for good.

A temporary is abandoned if no process has it open (its writer does from beginning to end), or, on
file systems that cannot say, if it is older than a day. The quarantine is kept for KEEP of reckoned
time since a collection first saw what is in it: care.json says since when.
"""

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from epmstore import locks
from epmstore.atomic import TEMPORARY, directory, remove_file
from epmstore.care import drill, ledger
from epmstore.care.references import all_catalogs
from epmstore.catalog import appcat
from epmstore.checkout.target import remove_tree
from epmstore.errors import BusyError, EpmError
from epmstore.fsio import READ
from epmstore.reckon import DAY, Reckoning
from epmstore.store.store import Store, app_of

KEEP: Final = 90 * DAY
FOLDERS: Final = ("", "catalogs", "journals", "trust", "live", "packs/log", "apps.d", "scratch")
"""Where files of a store are replaced; that of packs is cleared under a lock of its own."""
LOCK: Final = "app-"


class Leftovers(msgspec.Struct, frozen=True, kw_only=True):
    """Paths in the store: what can go now, and what is in the quarantine."""

    temporaries: tuple[str, ...] = ()
    locks: tuple[str, ...] = ()
    quarantined: tuple[str, ...] = ()
    bytes: int = 0


def find(store: Store, now: Reckoning) -> Leftovers:
    """Looks only. `bytes` counts all of it. Raises OSError."""
    temporaries = tuple(name for name in _temporaries(store) if _is_abandoned(store, name, now))
    quarantined = tuple(f"quarantine/{name}" for name in sorted(os.listdir(store.quarantine)))
    size = sum(_size(store.path / name) for name in (*temporaries, *quarantined))
    return Leftovers(
        temporaries=temporaries,
        locks=tuple(_stray_locks(store)),
        quarantined=quarantined,
        bytes=size,
    )


def clear(store: Store, now: Reckoning, *, quarantine: bool = False) -> int:
    """Take away what can go, with everything in the `quarantine` if that is asked for; how many
    bytes that were. Raises OSError, BusyError.
    """
    found = find(store, now)
    old = found.quarantined if quarantine else _outlived(store, found.quarantined, now)
    gone = [*found.temporaries, *old]
    freed = sum(_size(store.path / name) for name in gone)
    for name in gone:
        _remove(store.path / name)
    for name in found.locks:
        _remove_lock(store, name)
    drill.clear(store.path)
    return freed


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():  # in the place of a file, once
        with directory(path.parent) as parent:
            remove_tree(path.name, parent)
    else:
        remove_file(path)


def foretell(store: Store, now: Reckoning, *, quarantine: bool = False) -> int:
    """How many bytes `clear` would take now. Raises OSError."""
    found, seen = find(store, now), ledger.load(store.path).quarantine
    names = found.quarantined
    old = [name for name in names if quarantine or _is_old(seen.get(_name(name)), now)]
    return sum(_size(store.path / name) for name in (*found.temporaries, *old))


def _temporaries(store: Store) -> Iterator[str]:
    for folder in FOLDERS:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for name in sorted(os.listdir(store.path / folder)):
                if name.startswith(TEMPORARY):
                    yield os.path.join(folder, name)


def _is_abandoned(store: Store, name: str, now: Reckoning) -> bool:
    try:
        found = os.lstat(store.path / name)
        if not stat.S_ISREG(found.st_mode):
            return False
        with directory((store.path / name).parent) as parent:
            fd = os.open(os.path.basename(name), READ, dir_fd=parent)
    except OSError:
        return False  # it went, or is nothing of ours
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return False  # a process has it open
    except OSError:
        return now.doubt is None and now.sure - found.st_mtime >= DAY
    finally:
        os.close(fd)
    return True


def _outlived(store: Store, names: tuple[str, ...], now: Reckoning) -> list[str]:
    """What has been in the quarantine for long enough; the rest is remembered from now on."""
    known = ledger.load(store.path).quarantine
    seen = {_name(name): known.get(_name(name), now.sure) for name in names}
    if seen != known:
        ledger.change(store.path, lambda old: msgspec.structs.replace(old, quarantine=seen))
    return [name for name in names if _is_old(seen[_name(name)], now)]


def _is_old(since: float | None, now: Reckoning) -> bool:
    return since is not None and now.doubt is None and now.sure - since >= KEEP


def _name(path: str) -> str:
    return os.path.basename(path)


def _stray_locks(store: Store) -> Iterator[str]:
    """Of applications that are neither registered nor have a history, nor anything under way."""
    try:
        cat = appcat.load(store.catalogs / "appcat.json")
    except EpmError:
        return  # not known
    known = {app.uuid for app in (*cat.apps, *cat.removed)}
    known |= {app_of(name) for name in all_catalogs(store)}
    known |= {name.partition(".")[0] for name in os.listdir(store.journals)}
    for name in sorted(os.listdir(store.path / "locks")):
        if name.startswith(LOCK) and name.removeprefix(LOCK) not in known:
            yield name


def _remove_lock(store: Store, name: str) -> None:
    """No process waits for it: what it guards is not there any more."""
    folder = store.path / "locks"
    with contextlib.suppress(BusyError), locks.hold(folder, name, wait=0):
        remove_file(folder / name)


def _size(path: Path) -> int:
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return 0
