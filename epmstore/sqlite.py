"""Opening SQLite the way epmstore needs it: a cache that is replayed from the truth, never trusted
alone.

WAL with synchronous=NORMAL; only who holds the `write` lock writes or checkpoints; readers open
`mode=ro`, so that they never checkpoint (SQLite before 3.51.3 can lose the WAL when two connections
do), and without writing where nothing can be written.
"""

import contextlib
import errno
import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from epmstore import fsio, sqlitecopy
from epmstore.atomic import directory
from epmstore.errors import DamagedError, OutdatedIndexError
from epmstore.limits import is_out_of_descriptors

ERRORS = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What a damaged database raises: messages of SQLite quote it, and that may be no text."""
APPLICATION_ID = 0x45504D53
"""`EPMS`: what `file` shows for our databases."""


def open_writer(path: Path) -> sqlite3.Connection:
    """For the holder of the `write` lock. Creates the file, which no other user can read, whatever
    the umask. Raises sqlite3.Error, OSError.
    """
    if not path.exists():
        _create(path)
    connection = _connect(path, "rwc")
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
    except BaseException:
        connection.close()
        raise
    return connection


def _create(path: Path) -> None:
    """SQLite gives the mode of a database to the files that it puts beside it."""
    with directory(path.parent) as parent, contextlib.suppress(FileExistsError):
        os.close(fsio.create(path.name, parent))


_CANNOT_SHARE = (
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_FULL,
)
_NO_SHARED_FILE = (
    sqlite3.SQLITE_IOERR_SHMOPEN,
    sqlite3.SQLITE_IOERR_SHMSIZE,
    sqlite3.SQLITE_IOERR_SHMMAP,
    sqlite3.SQLITE_IOERR_SHMLOCK,
)


def open_reader(path: Path) -> sqlite3.Connection:
    """Reading needs no write: where nothing can be put beside the file, what is read is a copy in
    memory, as it is now. Raises sqlite3.Error if the file is not there or is no database.
    """
    try:
        connection = _connect(path, "ro")
        try:
            _pragma(connection, "user_version")  # looks into the file, if nothing before did
        except BaseException:
            connection.close()
            raise
    except sqlite3.DatabaseError as error:
        if not _lacks_shared_file(error) or not path.is_file() or is_out_of_descriptors():
            raise
        return _prepared(sqlitecopy.open_copy(path))
    return connection


def _lacks_shared_file(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and (code & 0xFF in _CANNOT_SHARE or code in _NO_SHARED_FILE)


def is_copy(connection: sqlite3.Connection) -> bool:
    """Whether it reads a copy in memory, which shows nothing of what is written later."""
    return isinstance(connection, sqlitecopy.MemoryCopy)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    if path.exists() and not path.is_file():  # of a FIFO SQLite would wait for a writer
        raise DamagedError(f"{path} is not a regular file", hint="run `epmstore rebuild`")
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=10.0,
    )
    return _prepared(connection)


def _prepared(connection: sqlite3.Connection) -> sqlite3.Connection:
    try:
        for pragma in (
            "trusted_schema=OFF",
            "cell_size_check=ON",
            "mmap_size=0",
            "cache_size=-32768",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def check_folded(path: Path) -> None:
    """Whether a database that was closed is all in its own file, before that alone is given another
    name: a WAL that could not be written back stays, and closing does not say so, nor why. Raises
    OSError.
    """
    wal = path.with_name(f"{path.name}-wal")
    left = wal.stat().st_size if wal.exists() else 0
    if left:
        found = os.statvfs(path.parent)
        code = errno.ENOSPC if found.f_bavail * found.f_frsize < left else errno.EIO
        raise OSError(code, os.strerror(code), str(path))


def check(connection: sqlite3.Connection, *, user_version: int) -> None:
    """Raises DamagedError unless the file is our database of exactly this schema;
    OutdatedIndexError if it is one of an earlier release.
    """
    found = _pragma(connection, "user_version")
    if _pragma(connection, "application_id") != APPLICATION_ID or found > user_version:
        raise DamagedError("the index is of another schema", hint="run `epmstore rebuild`")
    if found < user_version:
        raise OutdatedIndexError(
            "the index is of an earlier release", hint="run `epmstore rebuild`"
        )


def stamp(connection: sqlite3.Connection, *, user_version: int) -> None:
    """Mark a new database as ours."""
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={user_version}")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
