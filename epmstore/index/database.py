"""`index.sqlite`: its schema, and how it is opened, written and replaced.

The index is a cache of packs and catalogs. It answers every question about contents and history,
and it may be deleted at any time: the next opening replays what it lacks. Rules:

- one writer, who holds the `write` lock for as long as the connection is open; readers open
  `mode=ro`;
- each transaction first checks that the file it has open is still the one of that name;
- times are nanoseconds, sizes bytes, paths the bytes of the names.

An entry lives in `live` while it is part of the newest version, and in `past` with the versions
`since` (first that has it) and `until` (first that has it no more). In which folders a version
changed anything is in `changes`; what, is found by looking at all that is known of those. What most
entries share is interned. Refcats have negative numbers in `apps`, so that an index of which
release shipped which content costs nothing where hosts record. See ADR 24 for what takes how much.
"""

import contextlib
import errno
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from epmstore import fsio, limits, sqlite, sqlitecopy
from epmstore.atomic import directory, remove_file
from epmstore.errors import (
    BusyError,
    DamagedError,
    DiskFullError,
    EpmError,
    OutdatedIndexError,
)
from epmstore.index.content_map import ContentMap
from epmstore.sqlitecopy import signature

SCHEMA_VERSION = 5
VENDOR = "/refcat"
"""What the name of a vendor's catalog ends with; that of a host's is the UUID of the app alone."""

SCHEMA = """
CREATE TABLE store (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE packs (id INTEGER PRIMARY KEY, file TEXT NOT NULL UNIQUE, length INTEGER NOT NULL)
STRICT; CREATE TABLE frames (
    id INTEGER PRIMARY KEY, pack INTEGER NOT NULL, kind TEXT NOT NULL, offset INTEGER NOT NULL,
    head INTEGER NOT NULL, body INTEGER NOT NULL, plain INTEGER NOT NULL) STRICT;
CREATE INDEX frames_by_pack ON frames (pack);
CREATE TABLE contents (
    id INTEGER PRIMARY KEY, sha1 BLOB, sha256 BLOB NOT NULL, size INTEGER NOT NULL,
    sum INTEGER NOT NULL) STRICT;
CREATE INDEX contents_by_address ON contents (substr(sha1, 1, 4)) WHERE sha1 IS NOT NULL;
CREATE INDEX contents_by_witness ON contents (substr(sha256, 1, 4));
CREATE TABLE stored (
    content INTEGER PRIMARY KEY, frame INTEGER NOT NULL, offset INTEGER NOT NULL,
    length INTEGER NOT NULL, base INTEGER) STRICT;
CREATE INDEX stored_by_base ON stored (base) WHERE base IS NOT NULL;
CREATE INDEX stored_by_frame ON stored (frame);
CREATE TABLE parts (
    content INTEGER NOT NULL, position INTEGER NOT NULL, part INTEGER NOT NULL,
    PRIMARY KEY (content, position)) STRICT, WITHOUT ROWID;

CREATE TABLE apps (
    id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, length INTEGER NOT NULL,
    head TEXT NOT NULL, seq INTEGER NOT NULL) STRICT;
CREATE TABLE records (
    app INTEGER NOT NULL, seq INTEGER NOT NULL, type TEXT NOT NULL, version INTEGER,
    form BLOB NOT NULL, sum INTEGER NOT NULL, PRIMARY KEY (app, seq)) STRICT, WITHOUT ROWID;
CREATE TABLE folders (id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE) STRICT;
CREATE TABLE metas (id INTEGER PRIMARY KEY, form BLOB NOT NULL UNIQUE) STRICT;
CREATE TABLE live (
    app INTEGER NOT NULL, folder INTEGER NOT NULL, name BLOB NOT NULL, since INTEGER NOT NULL,
    content INTEGER, meta INTEGER NOT NULL, mtime INTEGER, sum INTEGER NOT NULL,
    PRIMARY KEY (app, folder, name)) STRICT, WITHOUT ROWID;
CREATE TABLE past (
    app INTEGER NOT NULL, folder INTEGER NOT NULL, name BLOB NOT NULL, since INTEGER NOT NULL,
    until INTEGER NOT NULL, content INTEGER, meta INTEGER NOT NULL, mtime INTEGER,
    sum INTEGER NOT NULL, PRIMARY KEY (app, folder, name, since)) STRICT, WITHOUT ROWID;
CREATE TABLE changes (
    app INTEGER NOT NULL, version INTEGER NOT NULL, folder INTEGER NOT NULL,
    PRIMARY KEY (app, version, folder)) STRICT, WITHOUT ROWID;

CREATE INDEX live_shipped ON live (content) WHERE app < 0;
CREATE INDEX past_shipped ON past (content) WHERE app < 0;

CREATE TEMP TABLE incoming (
    folder INTEGER NOT NULL, name BLOB NOT NULL, content INTEGER, keep INTEGER NOT NULL,
    meta INTEGER, mtime INTEGER, sum INTEGER NOT NULL,
    PRIMARY KEY (folder, name)) STRICT, WITHOUT ROWID;
"""

TEMPORARY_TABLES = SCHEMA[SCHEMA.index("CREATE TEMP TABLE") :]
PERMANENT_TABLES = SCHEMA[: SCHEMA.index("CREATE TEMP TABLE")]
CONTENT_INDEXES = {
    text.split()[2]: text.strip()
    for text in PERMANENT_TABLES.split(";")
    if text.split()[:2] == ["CREATE", "INDEX"] and text.split()[4] in ("contents", "stored")
}
"""By name: which are made anew when they have been dropped."""
LATER_INDEXES = [
    text.strip().replace("INDEX", "INDEX IF NOT EXISTS", 1)
    for text in PERMANENT_TABLES.split(";")
    if "_shipped" in text
]
"""What an index that was made by an older release lacks: it answers without them, but slowly."""


class Interned:
    """What a transaction knows of the contents table, so that it asks once.

    `rows` are those of contents that are wholly known, by witness; `half` are those of others that
    it made or met. `has_all` says that there are no more: the table was empty when it began.
    """

    def __init__(self) -> None:
        self.rows = ContentMap()
        self.half: dict[bytes, int] = {}
        self.has_all: bool | None = None


class Database:
    """One index. Reading is safe from several threads; writing belongs to the lock's holder."""

    def __init__(self, path: Path, store_uuid: str) -> None:
        self.path = path
        self.store_uuid = store_uuid
        self._lock = threading.RLock()
        self._reader: sqlite3.Connection | None = None
        self._seen: object = None
        """What the file was like when the reader was opened."""
        self._aside: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self.interned = Interned()

    def close(self) -> None:
        with self._lock:
            for connection in (self._reader, self._aside):
                if connection is not None:
                    connection.close()
            self._reader = self._aside = None

    def exists(self) -> bool:
        return self._aside is not None or self.path.exists()

    def read_aside(self) -> None:
        """From now on work on a copy in memory (an empty one if the index is missing or of an
        earlier release), which no other process sees: for a reader of a store in which nothing can
        be written, and whose index has to be caught up first. Raises DamagedError, OSError.
        """
        self.close()
        with self._lock, _translated(self):
            try:
                found = sqlitecopy.open_copy(self.path)
                self._check(found)
            except (FileNotFoundError, OutdatedIndexError):
                found = sqlitecopy.connect(b"")
                self._create(found)
            self._equip(found)
            self._aside = found

    @property
    def is_aside(self) -> bool:
        """Whether it is a copy in memory."""
        return self._aside is not None

    def check(self) -> None:
        """Look at every page. Raises DamagedError unless the file is a sound database of ours."""
        with self.read() as db:
            found = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise DamagedError(f"the index is damaged: {found}", hint="run `epmstore rebuild`")

    def is_sound(self) -> bool:
        """Whether every page is, as far as can be told: of an index that cannot be opened, too."""
        try:
            with contextlib.closing(sqlite.open_reader(self.path)) as db:
                return bool(db.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok")
        except sqlite.ERRORS:
            return False

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one state of the index for the whole block.

        Raises DamagedError for an index that is missing, of another store or schema, or no
        database.
        """
        with self._lock, _translated(self):
            if self._writer is not None:
                yield self._writer
                return
            open_already = self._aside or self._reader
            if open_already is not None and open_already.in_transaction:
                yield open_already
                return
            connection = self._current_reader()
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.rollback()

    @contextlib.contextmanager
    def write(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """A transaction: everything of the block or nothing. Only under the `write` lock.

        Nested blocks join the outer one. The connection is closed, and with it the WAL folded into
        the database, before the lock is given back; but not while a process reads, so a caller that
        goes on to take away what the index spoke of asks for a `durable` one.
        """
        with self._lock, _translated(self):
            if self._writer is not None:
                yield self._writer
                return
            connection = self._aside
            if connection is None:
                self.close()
                connection = self._open_writer()
            try:
                if durable:
                    connection.execute("PRAGMA synchronous=FULL")
                connection.execute("BEGIN IMMEDIATE")
                self._writer = connection
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.rollback()
                raise
            finally:
                self._writer = None
                self.interned = Interned()
                if connection is not self._aside:
                    connection.close()

    def _current_reader(self) -> sqlite3.Connection:
        if self._aside is not None:
            return self._aside
        if self._reader is None or self._seen != self._look(self._reader):
            self.close()
            connection = self._opened()
            self._reader, self._seen = connection, self._look(connection)
        return self._reader

    def _opened(self) -> sqlite3.Connection:
        """The index of that name. While it is being replaced, what is opened may be of both."""
        for _ in range(OPENINGS):
            inode = inode_of(self.path)
            connection = sqlite.open_reader(self.path)
            try:
                self._check(connection)
            except (*sqlite.ERRORS, DamagedError):
                connection.close()
                if inode == inode_of(self.path):
                    raise
                continue
            except BaseException:
                connection.close()
                raise
            return connection
        raise BusyError("the index is being replaced", hint="try again")

    def _look(self, reader: sqlite3.Connection) -> object:
        """What differs when another file has the name; and, of a copy, after every change."""
        return signature(self.path) if sqlite.is_copy(reader) else inode_of(self.path)

    @property
    def is_replaced(self) -> bool:
        """Whether what is being read is not the index any more, but what was one."""
        return isinstance(self._seen, int) and self._seen != inode_of(self.path)

    def _open_writer(self) -> sqlite3.Connection:
        if not self.path.exists():
            self._make()
        connection = sqlite.open_writer(self.path)
        try:
            self._check(connection)
            self._equip(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _equip(self, connection: sqlite3.Connection) -> None:
        """With what only who writes needs, and what an earlier release did not make."""
        connection.executescript(";".join((TEMPORARY_TABLES.rstrip("; \n"), *LATER_INDEXES)))

    def _make(self) -> None:
        """An empty index, which gets its name when it is whole: what a power cut left of one would
        be taken for an index of something else.
        """
        fresh = self.path.with_name(f"{self.path.name}.new")
        for path in (fresh, self.path):
            for suffix in ("", "-wal", "-shm", "-journal"):
                old = path.with_name(path.name + suffix)
                if old.exists():
                    remove_file(old)
        with contextlib.closing(sqlite.open_writer(fresh)) as connection:
            self._create(connection)
        sqlite.check_folded(fresh)
        with directory(fresh.parent) as parent:
            fd = fsio.open_append(fresh.name, parent)
            try:
                fsio.sync_file(fd)
            finally:
                os.close(fd)
            fsio.rename(fresh.name, parent, self.path.name, parent)
            fsio.sync_directory(parent)

    def _create(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN")
        for statement in PERMANENT_TABLES.split(";"):
            connection.execute(statement)
        connection.execute("INSERT INTO store VALUES ('uuid', ?)", (self.store_uuid.encode(),))
        sqlite.stamp(connection, user_version=SCHEMA_VERSION)
        connection.execute("COMMIT")

    def _check(self, connection: sqlite3.Connection) -> None:
        sqlite.check(connection, user_version=SCHEMA_VERSION)
        row = connection.execute("SELECT value FROM store WHERE key = 'uuid'").fetchone()
        if row is None or row[0] != self.store_uuid.encode():
            raise DamagedError("the index belongs to another store", hint="run `epmstore rebuild`")


def damaged_index() -> DamagedError:
    return DamagedError("the index is damaged", hint="run `epmstore rebuild`")


OPENINGS = 100
"""How often an index that is replaced meanwhile is opened anew."""
_DAMAGED = (
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_FORMAT,
    sqlite3.SQLITE_ERROR,  # no such table, no such column
    sqlite3.SQLITE_SCHEMA,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_TOOBIG,
)
"""What SQLite says of bytes. All else it says of the file, the host, or of others."""
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)


@contextlib.contextmanager
def _translated(database: Database) -> Iterator[None]:
    try:
        yield
    except sqlite.ERRORS as error:
        raise _known(error, database) from error
    except _CONFUSED as error:
        # Pages in each other's place make rows of other tables: values of types that nothing wrote.
        if not database.is_sound():
            raise damaged_index() from error
        raise


_CONFUSED = (TypeError, ValueError, LookupError, AttributeError, OverflowError)
"""What a mistake of ours raises, and a value that cannot be where it was found."""


def _known(error: Exception, database: Database) -> EpmError:
    """As one of ours. Only what SQLite says of the bytes themselves is damage."""
    path, code = database.path, getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_CORRUPT
    kind = code & 0xFF
    what = f"{path}: the index cannot be used now"
    if kind in _BUSY or database.is_replaced:
        return BusyError("the index is busy", hint="try again")
    is_missing = not path.exists() and kind != sqlite3.SQLITE_FULL  # which ends the making of one
    if kind in _DAMAGED or code == sqlite3.SQLITE_IOERR_SHORT_READ or is_missing:
        return DamagedError(f"the index cannot be used: {error}", hint="run `epmstore rebuild`")
    if kind == sqlite3.SQLITE_NOMEM or code == sqlite3.SQLITE_IOERR_NOMEM:
        return limits.memory_error(what)
    if limits.is_out_of_descriptors():
        return limits.descriptors_error(what)
    if kind == sqlite3.SQLITE_FULL or _is_full(path.parent):
        return DiskFullError(
            f"no space left to write the index in {path.parent}",
            hint=f"remove what is not the store's from the file system of {path.parent} (1 MiB"
            " is enough to begin with); then `epmstore gc` can free more",
            file=str(path),
        )
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return EpmError(
            f"{path}: the index cannot be written where the file system is read-only",
            hint="mount it writable; what only reads needs no write",
            file=str(path),
            errno=errno.EROFS,
        )
    return EpmError(
        f"{what}: {error}",
        hint="try again; if it stays so, the permissions of the store and `dmesg` may say why",
        file=str(path),
    )


_NEEDED = 32 << 10
"""Bytes of the file that all who write a database share."""


def inode_of(path: Path) -> int:
    """-1 if there is none."""
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return -1


def _is_full(folder: Path) -> bool:
    """Whether a file system has no room for what SQLite puts beside a database."""
    found = os.statvfs(folder)
    blocks = found.f_bavail if os.geteuid() else found.f_bfree
    return blocks * found.f_frsize < _NEEDED or (found.f_files > 0 and found.f_ffree == 0)
