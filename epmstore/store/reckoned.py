"""The reckoned time of a store (epmstore/reckon.py), and the file that it is carried on from.

    clock.json  {"format":1, "time":t, "wall":t, "boot":s, "uptime":t, "doubt":{"since":t,
                 "lasted":t} or null}

Each commit notes it, once an hour of uptime and whenever a doubt begins or ends. A file that is
lost or damaged costs time alone: it begins anew with the newest version, in doubt.
"""

import contextlib
from pathlib import Path
from typing import Final

import msgspec

from epmstore.atomic import read_file, replace_read
from epmstore.catalog.format import decode_line
from epmstore.catalog.model import VersionPart
from epmstore.clock import Clock, SystemClock, from_rfc3339
from epmstore.errors import DamagedError
from epmstore.reckon import OFF, ClockDoubt, ClockReading, Reckoning, begin, carry_on, is_due
from epmstore.scan.fsclock import boot_id
from epmstore.store.store import Store

FILE: Final = "clock.json"
FORMAT: Final = 1
LIMIT: Final = 1 << 12


class _Noted(msgspec.Struct, frozen=True):
    format: int
    time: float
    wall: float
    boot: str
    uptime: float
    doubt: ClockDoubt | None = None


def reckon(store: Store) -> Reckoning:
    """The time that may be relied upon now. Writes nothing."""
    return _carried(store, _load(store.path))


def keep(store: Store) -> Reckoning:
    """The same, noted if it is worth it and there is room for it."""
    old = _load(store.path)
    new = _carried(store, old)
    if old is None or is_due(old, new):
        with contextlib.suppress(OSError):
            _save(store.path, new)
    return new


def read(clock: Clock) -> ClockReading:
    boot = getattr(clock, "boot", boot_id)
    uptime = getattr(clock, "uptime", SystemClock().uptime)
    return ClockReading(clock.now(), boot(), uptime())


def _carried(store: Store, old: Reckoning | None) -> Reckoning:
    now = read(store.clock)
    return begin(now, _newest(store, now.wall)) if old is None else carry_on(old, now)


def _newest(store: Store, now: float) -> float | None:
    """When the newest version of any application was recorded; None if there is none."""
    found: list[float] = []
    try:
        for app in store.recorded_apps():
            record = store.entries.last_version(app)
            version = None if record is None else decode_line(record.form)[1]
            if isinstance(version, VersionPart):
                said = version.header.reckoned or version.header.time
                found.append(from_rfc3339(said))
    except DamagedError:
        return now - OFF  # not known: no reason to believe the clock
    return max(found, default=None)


def _load(store: Path) -> Reckoning | None:
    try:
        noted = _parse(read_file(store / FILE, LIMIT))
    except (OSError, DamagedError, ValueError, RecursionError):
        return None
    if noted.format != FORMAT:
        return None
    return Reckoning(noted.time, ClockReading(noted.wall, noted.boot, noted.uptime), noted.doubt)


def _save(store: Path, found: Reckoning) -> None:
    read = found.read
    noted = _Noted(FORMAT, found.time, read.wall, read.boot, read.uptime, found.doubt)
    replace_read(store / FILE, msgspec.json.encode(noted) + b"\n", _parse)


def _parse(data: bytes) -> _Noted:
    return msgspec.json.decode(data, type=_Noted)
