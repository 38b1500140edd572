"""Records of builds in SQLite, in the spool: with a rollback journal, and not a write-ahead log,
which has memory that hosts do not share.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from epmstore.errors import BusyError, DamagedError, DiskFullError, EpmError
from epmstore.publish.buildlocks import hold_build, hold_preparing
from epmstore.publish.sqlrecords import SCHEMA, SqlRecords


class SqliteRecords(SqlRecords):
    """Of one spool."""

    def __init__(self, path: Path, lock_folder: Path) -> None:
        """Raises DamagedError if the file is no such database."""
        super().__init__(_SqliteDatabase(path, lock_folder))


class _SqliteDatabase:
    def __init__(self, path: Path, lock_folder: Path) -> None:
        self._locks = lock_folder
        self._connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode=rwc", uri=True, isolation_level=None, timeout=30.0
        )
        try:
            self.rows("PRAGMA synchronous=EXTRA")
            for statement in SCHEMA:
                self.rows(statement)
            columns = self.rows("PRAGMA table_info(builds)")
            if "release" not in [row[1] for row in columns]:  # made by an older program
                self.rows("ALTER TABLE builds ADD COLUMN release BIGINT")
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        self._connection.close()

    def rows(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
        with _translated():
            return self._connection.execute(statement, values).fetchall()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        with _translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def alone(self, build: int | None) -> contextlib.AbstractContextManager[None]:
        return hold_preparing(self._locks) if build is None else hold_build(self._locks, build)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            raise BusyError("the records are busy", hint="try again") from None
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL:
            raise DiskFullError("there is no room for the records of the spool") from None
        raise EpmError(f"the records cannot be used: {error}") from None
    except sqlite3.DatabaseError as error:
        raise DamagedError(f"the records are damaged: {error}") from None
