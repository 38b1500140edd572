"""The stat cache: what `stat` said of a root when it was last known to equal a version.

One row a folder: the packed stats that epmstore/scan/compare.py makes of its listing. "The stats of
a file are those in the cache" means "the file is what the newest version says". A file of its own
for each app; it may be lost or deleted at any time, which costs reading the root again, and it
carries a digest in each row, so that damage costs no more than that either. Written only under the
app's lock.

A power cut may take what was written to a file and leave its new stats: both were only in memory,
and file systems save them apart. So after another boot no row counts that speaks of a change made
less than UNWRITTEN_NS before it was entered.
"""

import contextlib
import hashlib
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

import msgspec

from epmstore import sqlite
from epmstore.atomic import remove_file
from epmstore.errors import DamagedError

UNWRITTEN_NS = 600 * 10**9
"""Longer than any kernel keeps data to itself by far: 35 seconds are usual."""
SCHEMA_VERSION = 2
SCHEMA = """
CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 0), form BLOB NOT NULL) STRICT;
CREATE TABLE folders (path BLOB PRIMARY KEY, stats BLOB NOT NULL, digest BLOB NOT NULL)
    STRICT, WITHOUT ROWID;
"""
DIGEST_SIZE = 8


class StatCacheState(msgspec.Struct, frozen=True):
    """What the rows are valid for: a version (`txid` tells it from another of that number), the
    rules in force (digest) and the root directory (device-independent: inode).
    """

    version: int
    txid: str
    rules: str
    root_inode: int


class _Saved(msgspec.Struct, frozen=True):
    """`boot` and `time_ns` (since 1970): when the state was entered."""

    state: StatCacheState
    boot: str
    time_ns: int


class StatCache:
    """The stat cache of one app. Every method treats an unusable file as an empty one.

    `boot` names the time since the host was started, `newest_ns` says when the latest of the
    changes was made that a row speaks of.
    """

    def __init__(
        self, path: Path, boot: str = "", newest_ns: Callable[[bytes], int] = lambda stats: 0
    ) -> None:
        self.path = path
        self._boot = boot
        self._newest_ns = newest_ns

    def load(
        self, only: Collection[bytes] | None = None
    ) -> tuple[StatCacheState | None, dict[bytes, bytes]]:
        """(state, folder to packed stats); (None, {}) if there is nothing usable. `only` asks for
        the rows of these folders.
        """
        try:
            with contextlib.closing(sqlite.open_reader(self.path)) as db:
                sqlite.check(db, user_version=SCHEMA_VERSION)
                db.execute("BEGIN")
                state = db.execute("SELECT form FROM state").fetchone()
                rows = _rows(db, only)
        except (*sqlite.ERRORS, DamagedError):
            return None, {}
        if state is None:
            return None, {}
        try:
            saved = msgspec.json.decode(state[0], type=_Saved)
        except (ValueError, TypeError, RecursionError):
            return None, {}
        lost = self._lost(saved, rows)
        return saved.state, {
            path: stats
            for path, stats, digest in rows
            if _is_sound(path, stats, digest) and path not in lost
        }

    def state(self) -> StatCacheState | None:
        """What the rows are valid for; None if there is nothing usable."""
        return self.load(())[0]

    def update(
        self, state: StatCacheState, rows: Mapping[bytes, bytes], gone: Iterable[bytes] = ()
    ) -> None:
        """Enter rows, drop others, and say what the whole is valid for, in one transaction."""
        try:
            self._update(state, rows, gone)
        except (*sqlite.ERRORS, DamagedError):
            self.drop()

    def replace(self, state: StatCacheState, rows: Mapping[bytes, bytes]) -> None:
        """These rows and no others."""
        self.drop()
        self.update(state, rows)

    def empty(self) -> None:
        """No row counts any more; which version was the newest is still known."""
        state = self.state()
        if state is not None:
            with contextlib.suppress(OSError):
                self.replace(msgspec.structs.replace(state, txid=""), {})

    def drop(self) -> None:
        """Nothing is known any more."""
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                remove_file(self.path.with_name(self.path.name + suffix))

    def _update(
        self, state: StatCacheState, rows: Mapping[bytes, bytes], gone: Iterable[bytes]
    ) -> None:
        with contextlib.closing(sqlite.open_writer(self.path)) as db:
            if db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0:
                db.executescript(SCHEMA)
                sqlite.stamp(db, user_version=SCHEMA_VERSION)
            sqlite.check(db, user_version=SCHEMA_VERSION)
            db.execute("BEGIN IMMEDIATE")
            gone = [*gone, *self._lost_in(db)]
            db.executemany("DELETE FROM folders WHERE path = ?", [(path,) for path in gone])
            db.executemany(
                "INSERT OR REPLACE INTO folders VALUES (?, ?, ?)",
                [(path, stats, _digest(path, stats)) for path, stats in rows.items()],
            )
            saved = _Saved(state, self._boot, time.time_ns())
            db.execute("INSERT OR REPLACE INTO state VALUES (0, ?)", (msgspec.json.encode(saved),))
            db.execute("COMMIT")

    def _lost_in(self, db: sqlite3.Connection) -> set[bytes]:
        """Rows that must not be taken over to this boot."""
        found = db.execute("SELECT form FROM state").fetchone()
        if found is None:
            return set()
        try:
            saved = msgspec.json.decode(found[0], type=_Saved)
        except (ValueError, TypeError, RecursionError):
            raise DamagedError("the stat cache makes no sense") from None
        if saved.boot == self._boot:
            return set()
        return self._lost(saved, db.execute("SELECT path, stats, digest FROM folders").fetchall())

    def _lost(self, saved: _Saved, rows: Iterable[tuple[bytes, bytes, bytes]]) -> set[bytes]:
        """Rows that speak of what may not have been written when the host went down."""
        if saved.boot == self._boot:
            return set()
        until = saved.time_ns - UNWRITTEN_NS
        return {
            path
            for path, stats, digest in rows
            if _is_sound(path, stats, digest) and self._newest_ns(stats) > until
        }


def _rows(
    db: sqlite3.Connection, only: Collection[bytes] | None
) -> list[tuple[bytes, bytes, bytes]]:
    if only is None:
        return db.execute("SELECT path, stats, digest FROM folders").fetchall()
    query = "SELECT path, stats, digest FROM folders WHERE path = ?"
    return [row for path in only for row in db.execute(query, (path,))]


def _is_sound(path: object, stats: object, digest: object) -> bool:
    """Damage changes not only values: what was written as bytes may be read as anything."""
    if not isinstance(path, bytes) or not isinstance(stats, bytes):
        return False
    return digest == _digest(path, stats)


def _digest(path: bytes, stats: bytes) -> bytes:
    return hashlib.blake2b(stats, digest_size=DIGEST_SIZE, key=path[-64:]).digest()
