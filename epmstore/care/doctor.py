"""Whether this host and this store are in order: one HealthCheck for each thing that can be wrong.

Looks only. What it proposes it never applies; each check that is not `ok` has a hint.
"""

import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from epmstore import limits
from epmstore.care import leftovers
from epmstore.care.references import APPCAT, index_state, open_journals
from epmstore.catalog import appcat
from epmstore.catalog.appcat import App
from epmstore.checkout.transaction import transaction_files
from epmstore.clock import to_rfc3339
from epmstore.errors import DamagedError, EpmError
from epmstore.measures import format_duration
from epmstore.reckon import DAY, GRACE, Reckoning
from epmstore.record import change
from epmstore.record.recorder import Recorder
from epmstore.record.root import open_root
from epmstore.scan.detect import propose
from epmstore.scan.folders import FolderCache
from epmstore.scan.mounts import filesystem
from epmstore.store.reckoned import reckon
from epmstore.store.replay import is_behind
from epmstore.store.reserve import SIZE, has_reserve
from epmstore.store.store import Store

SAFE_SQLITE = (3, 51, 3)
"""From here on two connections cannot lose what is in the WAL."""
WATCHES = Path("/proc/sys/fs/inotify/max_user_watches")
LOW_SPACE = 4 * SIZE
LOW_INODES = 10_000
OLDEST = 1_700_000_000.0
"""A clock that shows less than this was never set."""


class HealthCheck(msgspec.Struct, frozen=True):
    """One thing looked at. `detail` says what was found, `hint` what to do about it."""

    name: str
    ok: bool
    detail: str
    hint: str | None = None


def examine(store: Store) -> list[HealthCheck]:
    """Everything, the store first. Raises nothing for what it finds."""
    return [
        _sqlite(),
        _permissions(store),
        _filesystem(store),
        _space(store),
        _reserve(store),
        _index(store),
        *_appcat_and_apps(store),
        _clock(store),
        _descriptors(),
        _proc(),
        *_leftovers(store),
    ]


def _proc() -> HealthCheck:
    if os.path.exists("/proc/self/fd"):
        return HealthCheck("proc", True, "/proc is mounted")
    return HealthCheck("proc", False, limits.NO_PROC, limits.MOUNT_PROC)


def _leftovers(store: Store) -> Iterator[HealthCheck]:
    """What killed commands left, what is in the quarantine, which applications are no longer
    recorded.
    """
    found = leftovers.find(store, reckon(store))
    stray = len(found.temporaries) + len(found.locks)
    if stray:
        first = (*found.temporaries, *(f"locks/{name}" for name in found.locks))[0]
        detail = f"{stray} files that commands left which were killed, or applications: {first}"
        yield HealthCheck("leftovers", False, detail, "`epmstore gc` takes them")
    if found.quarantined:
        detail = f"{len(found.quarantined)} files, {found.quarantined[0]} for one"
        days = f"{leftovers.KEEP / DAY:.0f} days after it saw them first"
        yield HealthCheck(
            "quarantine", True, f"{detail}; `epmstore gc` takes them {days}, with --quarantine now"
        )
    try:
        registered = {app.uuid for app in appcat.load(store.catalogs / APPCAT).apps}
    except EpmError:
        return  # said above
    gone = [app for app in store.recorded_apps() if app not in registered]
    if gone:
        detail = f"of {len(gone)} the history is still here: `epmstore app list --removed`"
        yield HealthCheck("removed applications", True, detail)


def _sqlite() -> HealthCheck:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info >= SAFE_SQLITE:
        return HealthCheck("sqlite", True, version)
    detail = f"{version}, which can lose a WAL that two connections reset; one writer at a time and"
    return HealthCheck("sqlite", True, f"{detail} an index that can be rebuilt make that harmless")


def _permissions(store: Store) -> HealthCheck:
    found = os.stat(store.path)
    mode = stat.S_IMODE(found.st_mode)
    hint = f"chmod 0700 {store.path}" if mode & 0o077 else None
    if found.st_uid != os.geteuid():
        hint = f"use it as the user {found.st_uid}, who owns it"
    return HealthCheck("permissions", hint is None, f"mode {mode:04o}, owner {found.st_uid}", hint)


def _filesystem(store: Store) -> HealthCheck:
    where = filesystem(store.path)
    name = where.name or "unknown"
    if where.network:
        hint = "move the store to a local disk: locks and syncs cannot be relied on there"
        return HealthCheck("file system", False, f"{name}, over the network", hint)
    if where.read_only:
        return HealthCheck("file system", False, f"{name}, read-only", "mount it writable")
    return HealthCheck("file system", True, name)


def _space(store: Store) -> HealthCheck:
    found = os.statvfs(store.path)
    free = found.f_bavail * found.f_frsize
    detail = f"{free >> 20} MiB free"
    few_inodes = found.f_files > 0 and found.f_favail < LOW_INODES
    if few_inodes:
        detail += f", {found.f_favail} inodes"
    is_low = free < LOW_SPACE or few_inodes
    hint = "`epmstore forget`, then `epmstore gc`; or free some space" if is_low else None
    return HealthCheck("space", not is_low, detail, hint)


def _reserve(store: Store) -> HealthCheck:
    if has_reserve(store.path):
        return HealthCheck("reserve", True, "kept for a full disk")
    hint = "`epmstore gc` makes it anew where there is room"
    return HealthCheck("reserve", False, "there is none: a full disk would stop gc too", hint)


def _index(store: Store) -> HealthCheck:
    try:
        behind = is_behind(store)
    except DamagedError as error:
        return HealthCheck("index", False, error.message, error.hint)
    detail = "behind the catalogs" if behind else "up to date"
    return HealthCheck(
        "index", not behind, detail, "any command catches up with them" if behind else None
    )


def _clock(store: Store) -> HealthCheck:
    """That it is set, not before what is recorded, and goes on as this host does."""
    now = store.clock.now()
    newest = OLDEST
    try:
        for app in store.recorded_apps():
            for info in index_state(store, app).versions[-1:]:
                newest = max(newest, info.reckoned)
    except DamagedError:
        pass
    if now < newest - 60:
        detail = f"{to_rfc3339(now)} is before {to_rfc3339(newest)}"
        return HealthCheck(
            "clock", False, detail, "set the clock: times of versions would be wrong"
        )
    found = reckon(store)
    return _leap(found) if found.has_leapt else HealthCheck("clock", True, _believed(found))


def _leap(found: Reckoning) -> HealthCheck:
    """Of a clock that went on otherwise than the host."""
    assert found.doubt is not None, "it leapt"
    by = format_duration(round(abs(found.ahead)))
    where = "ahead of" if found.ahead > 0 else "behind"
    detail = (
        f"{to_rfc3339(found.read.wall)} is {by} {where} {to_rfc3339(found.time)}, which is what the"
        " time was when it was last right and how long this host was up since"
    )
    left = format_duration(round(GRACE - found.doubt.lasted))
    hint = (
        "set the clock, if it is wrong; if it is right (the host was off, or the clock was wrong"
        f" before), nothing needs to be done: it is believed after {left} more of uptime, and until"
        " then nothing is forgotten by its word"
    )
    return HealthCheck("clock", False, detail, hint)


def _believed(found: Reckoning) -> str:
    now = to_rfc3339(found.read.wall)
    if found.doubt is None:
        return now
    left = format_duration(round(GRACE - found.doubt.lasted))
    return f"{now}; what a policy forgets is freed once it was observed for {left} more"


def _descriptors() -> HealthCheck:
    """That this process has room for more; the daemon tells its own in its metrics."""
    used, soft, hard = limits.descriptors()
    is_low = soft - used < limits.ENOUGH
    hint = f"raise the limit of open files (`ulimit -n`, LimitNOFILE=); {hard} is the most now"
    detail = f"{used} in use, {soft} allowed"
    return HealthCheck("descriptors", not is_low, detail, hint if is_low else None)


def _appcat_and_apps(store: Store) -> Iterator[HealthCheck]:
    try:
        apps = appcat.load(store.catalogs / APPCAT).apps
    except EpmError as error:
        yield HealthCheck("applications", False, error.message, error.hint)
        return
    yield HealthCheck("applications", True, f"{len(apps)} registered")
    yield _watches(store, [app.uuid for app in apps])
    busy = {path.name.partition(".")[0] for path in open_journals(store)}
    yield from _transactions(store)
    for app in apps:
        yield from _app(store, app, interrupted=app.uuid in busy)


def _transactions(store: Store) -> Iterator[HealthCheck]:
    """That what was decided about several applications can be read, and was carried out."""
    for one in transaction_files(store):
        name = f"transaction {one.path.stem}"
        try:
            found = one.load()
        except DamagedError as error:
            yield HealthCheck(name, False, error.message, error.hint)
            continue
        if found is not None:
            detail = f"decided {found.time}, and not ended"
            yield HealthCheck(name, False, detail, "epmstore recover --all")


def _watches(store: Store, apps: list[str]) -> HealthCheck:
    """That the kernel allows a watch on every folder."""
    try:
        limit = int(WATCHES.read_text())
    except (OSError, ValueError):
        return HealthCheck("inotify", True, "no limit is known")
    try:
        recorded = [app for app in apps if store.entries.position(app) is not None]
        folders = sum(len(store.entries.live_folders(app)) for app in recorded)
    except DamagedError:
        folders = 0
    ok = limit >= 2 * folders
    hint = None if ok else f"sysctl fs.inotify.max_user_watches={max(4 * folders, 524288)}"
    return HealthCheck("inotify", ok, f"{limit} watches allowed, {folders} folders recorded", hint)


def _app(store: Store, app: App, *, interrupted: bool) -> Iterator[HealthCheck]:
    name = f"{app.key}: root"
    try:
        with open_root(app) as root, FolderCache(root.fd) as folders:
            where = filesystem(root.fd)
            detail = f"{app.root} ({where.name or 'unknown'})"
            if where.network:
                hint = "other hosts may change it unseen; a checkout must be forced"
                yield HealthCheck(name, False, f"{detail}, over the network", hint)
            elif where.read_only:
                yield HealthCheck(name, False, f"{detail}, read-only", "it cannot be rolled back")
            else:
                yield HealthCheck(name, True, detail)
            found = propose(Recorder(store, app).walk(root), folders)
    except (EpmError, OSError) as error:
        yield HealthCheck(name, False, str(error), getattr(error, "hint", None))
    else:
        options = " ".join(f"--{one.path_class} '{one.pattern}'" for one in found)
        yield HealthCheck(
            f"{app.key}: classes",
            not found,
            "; ".join(f"{one.pattern}: {one.why}" for one in found) or "nothing to propose",
            f"epmstore app set {app.key} {options}" if found else None,
        )
    if interrupted:
        hint = f"epmstore recover --app {app.key}"
        yield HealthCheck(f"{app.key}: checkout", False, "one has not ended", hint)
    yield from _open_change(store, app)


def _open_change(store: Store, app: App) -> Iterator[HealthCheck]:
    try:
        found = change.find(store, app.uuid)
    except DamagedError as error:
        yield HealthCheck(f"{app.key}: change", False, error.message, error.hint)
        return
    if found is not None:
        detail = f"open since {found.since}: {found.label or 'no label'}"
        yield HealthCheck(f"{app.key}: change", True, detail)
