"""The live cache: what `stat` said of a root when it was last known to equal a version.

One row a folder: the packed stats that epmstore/scan/compare.py makes of its listing. "The stats of
a file are those in the cache" means "the file is what the newest version says". A file of its own
for each app; it may be lost or deleted at any time, which costs reading the root again, and it
carries a digest in each row, so that damage costs no more than that either. Written only under the
app's lock.
"""

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from epmstore import sqlite
from epmstore.atomic import remove_file
from epmstore.errors import DamagedError

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 0), form BLOB NOT NULL) STRICT;
CREATE TABLE folders (path BLOB PRIMARY KEY, stats BLOB NOT NULL, digest BLOB NOT NULL)
    STRICT, WITHOUT ROWID;
"""
DIGEST_SIZE = 8


class LiveState(msgspec.Struct, frozen=True):
    """What the rows are valid for: a version (`txid` tells it from another of that number), the
    rules in force (digest) and the root directory (device-independent: inode).
    """

    version: int
    txid: str
    rules: str
    root_inode: int


class LiveCache:
    """The live cache of one app. Every method treats an unusable file as an empty one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> tuple[LiveState | None, dict[bytes, bytes]]:
        """(state, folder to packed stats); (null, {}) if there is nothing usable."""
        try:
            with contextlib.closing(sqlite.open_reader(self.path)) as db:
                sqlite.check(db, user_version=SCHEMA_VERSION)
                db.execute("BEGIN")
                state = db.execute("SELECT form FROM state").fetchone()
                rows = db.execute("SELECT path, stats, digest FROM folders").fetchall()
        except (sqlite3.DatabaseError, DamagedError):
            return None, {}
        if state is None:
            return None, {}
        try:
            found = msgspec.json.decode(state[0], type=LiveState)
        except msgspec.DecodeError:
            return None, {}
        return found, {
            path: stats for path, stats, digest in rows if digest == _digest(path, stats)
        }

    def update(
        self, state: LiveState, rows: Mapping[bytes, bytes], gone: Iterable[bytes] = ()
    ) -> None:
        """Enter rows, drop others, and say what the whole is valid for, in one transaction."""
        try:
            self._update(state, rows, gone)
        except (sqlite3.DatabaseError, DamagedError):
            self.drop()

    def replace(self, state: LiveState, rows: Mapping[bytes, bytes]) -> None:
        """These rows and no others."""
        self.drop()
        self.update(state, rows)

    def drop(self) -> None:
        """Nothing is known any more."""
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                remove_file(self.path.with_name(self.path.name + suffix))

    def _update(self, state: LiveState, rows: Mapping[bytes, bytes], gone: Iterable[bytes]) -> None:
        with contextlib.closing(sqlite.open_writer(self.path)) as db:
            if db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0:
                db.executescript(SCHEMA)
                sqlite.stamp(db, user_version=SCHEMA_VERSION)
            sqlite.check(db, user_version=SCHEMA_VERSION)
            db.execute("BEGIN IMMEDIATE")
            db.executemany("DELETE FROM folders WHERE path = ?", [(path,) for path in gone])
            db.executemany(
                "INSERT OR REPLACE INTO folders VALUES (?, ?, ?)",
                [(path, stats, _digest(path, stats)) for path, stats in rows.items()],
            )
            db.execute("INSERT OR REPLACE INTO state VALUES (0, ?)", (msgspec.json.encode(state),))
            db.execute("COMMIT")


def _digest(path: bytes, stats: bytes) -> bytes:
    return hashlib.blake2b(stats, digest_size=DIGEST_SIZE, key=path[-64:]).digest()
