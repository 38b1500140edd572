"""Records of builds in tables, by statements that SQLite and PostgreSQL both know; only the marks
of parameters differ, and how locks are taken.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

import msgspec

from epmstore.errors import ChangedError, NotFoundError
from epmstore.publish.build import Author, BuildDraft, BuildRecord, Transaction

SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS builds (
  number BIGINT PRIMARY KEY, product TEXT NOT NULL, kind TEXT NOT NULL, payload TEXT NOT NULL,
  path TEXT NOT NULL, owner TEXT NOT NULL, since DOUBLE PRECISION NOT NULL, state TEXT NOT NULL,
  association TEXT NOT NULL, revision BIGINT NOT NULL, failures BIGINT NOT NULL,
  due DOUBLE PRECISION NOT NULL, error TEXT, size BIGINT, md5 TEXT, sha1 TEXT, sha256 TEXT,
  built DOUBLE PRECISION, remote_path TEXT, release BIGINT)""",
    """CREATE TABLE IF NOT EXISTS transactions (
  number BIGINT PRIMARY KEY, build BIGINT NOT NULL, product TEXT NOT NULL, before TEXT,
  after TEXT NOT NULL, association TEXT NOT NULL, time DOUBLE PRECISION NOT NULL,
  host TEXT NOT NULL, actor TEXT NOT NULL, why TEXT NOT NULL)""",
)
_BUILD: Final = BuildRecord.__struct_fields__
_LINE: Final = Transaction.__struct_fields__


class SqlDatabase(Protocol):
    """A connection. Raises BusyError, DiskFullError, DamagedError, EpmError."""

    def rows(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
        """What a statement gives; `?` are its parameters."""
        ...

    def writing(self) -> AbstractContextManager[None]:
        """The block is one transaction, and no other process writes meanwhile."""
        ...

    def alone(self, build: int | None) -> AbstractContextManager[None]:
        """As of BuildRecords."""
        ...

    def close(self) -> None: ...


class SqlRecords:
    """Of one spool; each call is a transaction of its own."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def close(self) -> None:
        self._database.close()

    def add(self, draft: BuildDraft, author: Author, now: float) -> BuildRecord:
        with self._database.writing():
            number = self._next("builds")
            build = BuildRecord(
                number=number, since=now, owner=author.actor, **msgspec.structs.asdict(draft)
            )
            self._insert("builds", build)
            self._note(build, None, author, now, "added")
        return build

    def get(self, number: int) -> BuildRecord:
        rows = self._database.rows(
            f"SELECT {', '.join(_BUILD)} FROM builds WHERE number = ?", number
        )
        if not rows:
            raise NotFoundError(
                f"there is no build {number}", hint="`epmstore publish list` lists them"
            )
        return _build(rows[0])

    def find(self, states: Sequence[str]) -> Sequence[BuildRecord]:
        marks = ", ".join("?" * len(states))
        rows = self._database.rows(
            f"SELECT {', '.join(_BUILD)} FROM builds WHERE state IN ({marks}) ORDER BY number",
            *states,
        )
        return [_build(row) for row in rows]

    def change(self, build: BuildRecord, author: Author, now: float, why: str) -> BuildRecord:
        with self._database.writing():
            found = self.get(build.number)
            new = msgspec.structs.replace(build, revision=build.revision + 1)
            names = ", ".join(f"{name} = ?" for name in _BUILD)
            values = [getattr(new, name) for name in _BUILD]
            changed = self._database.rows(
                f"UPDATE builds SET {names} WHERE number = ? AND revision = ? RETURNING number",
                *(*values, build.number, build.revision),
            )
            if not changed:
                raise ChangedError(
                    f"build {build.number} was changed meanwhile: it is {found.state!r} now",
                    hint="try again",
                )
            self._note(new, found.state, author, now, why)
        return new

    def log(self, after: int) -> Sequence[Transaction]:
        rows = self._database.rows(
            f"SELECT {', '.join(_LINE)} FROM transactions WHERE number > ? ORDER BY number", after
        )
        return [Transaction(**dict(zip(_LINE, row, strict=True))) for row in rows]

    def alone(self, build: int | None = None) -> AbstractContextManager[None]:
        return self._database.alone(build)

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
        return int(self._database.rows(f"SELECT COALESCE(MAX(number), 0) + 1 FROM {table}")[0][0])

    def _insert(self, table: str, value: BuildRecord | Transaction) -> None:
        values: dict[str, Any] = msgspec.structs.asdict(value)
        marks = ", ".join("?" * len(values))
        self._database.rows(
            f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})",
            *values.values(),
        )


def _build(row: Sequence[Any]) -> BuildRecord:
    return BuildRecord(**dict(zip(_BUILD, row, strict=True)))
