"""Records of builds in PostgreSQL, where several hosts share them. One database, or one schema of
it, is for one spool.

A writer holds an advisory lock of the schema, so that numbers have no gaps, and changes a row only
if that is still as it was. Locks of preparing and of builds are advisory ones of the session: they
end with its connection, which the server looks after, so that a host that vanished holds none for
long.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import psycopg
from psycopg import errors

from epmstore.errors import BusyError, DamagedError, DiskFullError, EpmError
from epmstore.publish.sqlrecords import SCHEMA, SqlRecords

CONNECT_SECONDS: Final = 20
_PATIENCE: Final[dict[str, Any]] = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""A server that is not heard of any more is given up within about a minute: else after hours."""
_SETTINGS: Final = (
    "SET lock_timeout = '30s'",
    "SET statement_timeout = '60s'",
    "SET idle_in_transaction_session_timeout = '5min'",
    "SET synchronous_commit = on",
    "SET tcp_keepalives_idle = 30",
    "SET tcp_keepalives_interval = 10",
    "SET tcp_keepalives_count = 3",
)
_CLASS: Final = "hashtext('epmstore ' || current_schema())"
_WRITING: Final = -1
"""Locks of a schema are numbers: this is for writing, 0 for preparing, else that of a build."""


class PostgresRecords(SqlRecords):
    """Of one spool."""

    def __init__(self, url: str) -> None:
        """Raises EpmError where the database cannot be reached, or does not let us in."""
        super().__init__(_PostgresDatabase(url))


class _PostgresDatabase:
    def __init__(self, url: str) -> None:
        try:
            self._connection: Any = psycopg.connect(
                url,
                autocommit=True,
                connect_timeout=CONNECT_SECONDS,
                application_name="epmstore",
                **_PATIENCE,
            )
        except psycopg.Error as error:
            raise EpmError(
                f"the database of the records is not reached: {_first_line(error)}",
                hint="look at it with `psql URL`: it may be down, or not let this user in",
            ) from None
        try:
            for statement in _SETTINGS:
                self.rows(statement)
            with self.writing():
                for statement in SCHEMA:
                    self.rows(statement)
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        self._connection.close()

    def rows(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
        with _translated():
            found = self._connection.execute(statement.replace("?", "%s"), values)
            rows: list[tuple[Any, ...]] = found.fetchall() if found.description else []
            return rows

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        with _translated(), self._connection.transaction():
            self.rows(f"SELECT pg_advisory_xact_lock({_CLASS}, ?::int)", _WRITING)
            yield

    @contextlib.contextmanager
    def alone(self, build: int | None) -> Iterator[None]:
        number = build or 0
        if not self.rows(f"SELECT pg_try_advisory_lock({_CLASS}, ?::int)", number)[0][0]:
            raise BusyError(
                "somebody else prepares" if build is None else f"a process is at build {build}",
                hint="try again when it is done",
            )
        try:
            yield
        finally:
            with contextlib.suppress(EpmError):  # with a connection that ended the lock ended, too
                self.rows(f"SELECT pg_advisory_unlock({_CLASS}, ?::int)", number)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (errors.LockNotAvailable, errors.QueryCanceled, errors.TooManyConnections) as error:
        raise BusyError(f"the records are busy: {_first_line(error)}", hint="try again") from None
    except errors.DiskFull as error:
        raise DiskFullError(f"the database of the records is full: {_first_line(error)}") from None
    except (errors.DataCorrupted, errors.IndexCorrupted) as error:
        raise DamagedError(f"the records are damaged: {_first_line(error)}") from None
    except psycopg.Error as error:
        raise EpmError(f"the records cannot be used: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
