"""An index is there and whole, or not there: whoever dies while one is made leaves none."""

import sqlite3
from pathlib import Path

import pytest

from epmstore.errors import BusyError
from epmstore.index.database import Database
from tests.kit.faults import Calls, Killed, faults


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_death_while_it_is_made(tmp_path: Path, call: str) -> None:
    database = Database(tmp_path / "index.sqlite", "uuid")

    with faults(Calls(1, only=call)), pytest.raises(Killed), database.write():
        pass
    assert not database.exists()
    with database.write():
        pass
    assert database.exists()
    database.check()
    assert not list(tmp_path.glob("*.new*"))


def test_leftover_wal_of_a_deleted_index_is_not_replayed(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).write_bytes(b"of another database")
    with Database(path, "uuid").write() as db:
        assert db.execute("SELECT count(*) FROM apps").fetchone() == (0,)


@pytest.mark.parametrize("code", [5, 6, 261, 262, 517, 773])
def test_busy_is_busy_whatever_for(tmp_path: Path, code: int) -> None:
    """Such as while somebody recovers the WAL of who was killed: nothing is damaged."""
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = code
    database = Database(tmp_path / "index.sqlite", "store")
    with pytest.raises(BusyError), database.write():
        raise error
