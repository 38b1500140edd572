"""Records of builds in SQLite, in the spool.

A rollback journal, and not a write-ahead log, which has memory that hosts do not share. Statements
are plain SQL that PostgreSQL knows, too.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from epmstore.errors import (
    BusyError,
    ChangedError,
    DamagedError,
    DiskFullError,
    EpmError,
    NotFoundError,
)
from epmstore.publish.build import Author, BuildDraft, BuildRecord, Transaction
from epmstore.publish.buildlocks import hold_build, hold_preparing

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS builds (
  number INTEGER PRIMARY KEY, product TEXT NOT NULL, kind TEXT NOT NULL, payload TEXT NOT NULL,
  path TEXT NOT NULL, owner TEXT NOT NULL, since REAL NOT NULL, state TEXT NOT NULL,
  association TEXT NOT NULL, revision INTEGER NOT NULL, failures INTEGER NOT NULL,
  due REAL NOT NULL, error TEXT, size INTEGER, md5 TEXT, sha1 TEXT, sha256 TEXT, built REAL,
  remote_path TEXT, release INTEGER);
CREATE TABLE IF NOT EXISTS transactions (
  number INTEGER PRIMARY KEY, build INTEGER NOT NULL, product TEXT NOT NULL, before TEXT,
  after TEXT NOT NULL, association TEXT NOT NULL, time REAL NOT NULL, host TEXT NOT NULL,
  actor TEXT NOT NULL, why TEXT NOT NULL);
"""
_BUILD: Final = BuildRecord.__struct_fields__
_LINE: Final = Transaction.__struct_fields__


class SqliteRecords:
    """Of one spool; each call is a transaction of its own."""

    def __init__(self, path: Path, lock_folder: Path) -> None:
        """Raises DamagedError if the file is no such database."""
        self._locks = lock_folder
        self._connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode=rwc", uri=True, isolation_level=None, timeout=30.0
        )
        try:
            with _translated():
                self._connection.execute("PRAGMA synchronous=EXTRA")
                for statement in _SCHEMA.strip().split(";\n"):
                    self._connection.execute(statement)
                columns = self._connection.execute("PRAGMA table_info(builds)").fetchall()
                if "release" not in [row[1] for row in columns]:  # made by an older program
                    self._connection.execute("ALTER TABLE builds ADD COLUMN release INTEGER")
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        self._connection.close()

    def add(self, draft: BuildDraft, author: Author, now: float) -> BuildRecord:
        with self._transaction():
            number = self._next("builds")
            build = BuildRecord(
                number=number, since=now, owner=author.actor, **msgspec.structs.asdict(draft)
            )
            self._insert("builds", build)
            self._note(build, None, author, now, "added")
        return build

    def get(self, number: int) -> BuildRecord:
        with _translated():
            row = self._connection.execute(
                f"SELECT {', '.join(_BUILD)} FROM builds WHERE number = ?", (number,)
            ).fetchone()
        if row is None:
            raise NotFoundError(
                f"there is no build {number}", hint="`epmstore publish list` lists them"
            )
        return _build(row)

    def find(self, states: Sequence[str]) -> Sequence[BuildRecord]:
        marks = ", ".join("?" * len(states))
        with _translated():
            rows = self._connection.execute(
                f"SELECT {', '.join(_BUILD)} FROM builds WHERE state IN ({marks}) ORDER BY number",
                tuple(states),
            ).fetchall()
        return [_build(row) for row in rows]

    def change(self, build: BuildRecord, author: Author, now: float, why: str) -> BuildRecord:
        with self._transaction():
            found = self.get(build.number)
            if found.revision != build.revision:
                raise ChangedError(
                    f"build {build.number} was changed meanwhile: it is {found.state!r} now",
                    hint="try again",
                )
            new = msgspec.structs.replace(build, revision=build.revision + 1)
            names = ", ".join(f"{name} = ?" for name in _BUILD)
            values = [getattr(new, name) for name in _BUILD]
            self._connection.execute(
                f"UPDATE builds SET {names} WHERE number = ?", (*values, new.number)
            )
            self._note(new, found.state, author, now, why)
        return new

    def log(self, after: int) -> Sequence[Transaction]:
        with _translated():
            rows = self._connection.execute(
                f"SELECT {', '.join(_LINE)} FROM transactions WHERE number > ? ORDER BY number",
                (after,),
            ).fetchall()
        return [Transaction(**dict(zip(_LINE, row, strict=True))) for row in rows]

    @contextlib.contextmanager
    def alone(self, build: int | None = None) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            if build is None:
                stack.enter_context(hold_preparing(self._locks))
            else:
                stack.enter_context(hold_build(self._locks, build))
            yield

    def _note(
        self, build: BuildRecord, before: str | None, author: Author, now: float, why: str
    ) -> None:
        line = Transaction(
            number=self._next("transactions"),
            build=build.number,
            product=build.product,
            before=before,
            after=build.state,
            association=build.association,
            time=now,
            host=author.host,
            actor=author.actor,
            why=why,
        )
        self._insert("transactions", line)

    def _next(self, table: str) -> int:
        row = self._connection.execute(f"SELECT COALESCE(MAX(number), 0) + 1 FROM {table}")
        return int(row.fetchone()[0])

    def _insert(self, table: str, value: BuildRecord | Transaction) -> None:
        values: dict[str, Any] = msgspec.structs.asdict(value)
        self._connection.execute(
            f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})",
            tuple(values.values()),
        )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with _translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


def _build(row: Sequence[Any]) -> BuildRecord:
    return BuildRecord(**dict(zip(_BUILD, row, strict=True)))


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
