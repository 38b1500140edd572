"""A copy of a database with its log is what SQLite itself reads of them."""

import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from epmstore import sqlite, sqlitecopy
from epmstore.errors import BusyError

ROWS = "SELECT key, value FROM pairs ORDER BY key"


def made(path: Path, rng: random.Random) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    """A writer in the middle of things, and a reader that keeps the log from being folded."""
    writer = sqlite.open_writer(path)
    writer.execute("CREATE TABLE IF NOT EXISTS pairs (key INTEGER PRIMARY KEY, value BLOB)")
    writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    reader.execute("SELECT 1 FROM pairs").fetchall()
    for _ in range(rng.randrange(1, 12)):
        change(writer, rng)
        if rng.random() < 0.2:
            writer.execute("PRAGMA wal_checkpoint(PASSIVE)")
    return writer, reader


def change(writer: sqlite3.Connection, rng: random.Random) -> None:
    writer.execute("BEGIN")
    for _ in range(rng.randrange(1, 30)):
        key, value = rng.randrange(200), rng.randbytes(rng.choice((3, 700, 9000)))
        if rng.random() < 0.3:
            writer.execute("DELETE FROM pairs WHERE key BETWEEN ? AND ?", (key, key + 20))
        else:
            writer.execute("INSERT OR REPLACE INTO pairs VALUES (?, ?)", (key, value))
    writer.execute("COMMIT" if rng.random() < 0.8 else "ROLLBACK")


@pytest.mark.parametrize("seed", range(12))
def test_a_copy_is_what_a_reader_sees(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    path = tmp_path / "a.sqlite"
    writer, reader = made(path, rng)
    writer.execute("BEGIN")
    writer.execute("INSERT OR REPLACE INTO pairs VALUES (1000, x'00')")  # nobody sees this yet
    wanted = reader.execute(ROWS).fetchall()
    copy = sqlitecopy.open_copy(path)
    assert copy.execute(ROWS).fetchall() == wanted
    assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    copy.execute("DELETE FROM pairs")
    assert reader.execute(ROWS).fetchall() == wanted
    for connection in (copy, writer, reader):
        connection.close()


@pytest.mark.parametrize("seed", range(8))
def test_a_log_that_a_crash_cut_is_read_as_sqlite_reads_it(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    writer, reader = made(tmp_path / "a.sqlite", rng)
    cut = tmp_path / "cut.sqlite"
    shutil.copy(tmp_path / "a.sqlite", cut)
    log = (tmp_path / "a.sqlite-wal").read_bytes()
    end = rng.randrange(len(log) + 1)
    torn = bytearray(log[:end])
    if torn and rng.random() < 0.5:
        torn[rng.randrange(len(torn))] ^= 0x10
    (tmp_path / "cut.sqlite-wal").write_bytes(torn)
    for connection in (writer, reader):
        connection.close()
    found = sqlitecopy.open_copy(cut)
    with sqlite.open_writer(cut) as ours:  # which recovers
        assert found.execute(ROWS).fetchall() == ours.execute(ROWS).fetchall()
    found.close()


def test_changing_databases_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, reader = made(tmp_path / "a.sqlite", random.Random(1))
    counts = iter(range(1000))
    monkeypatch.setattr(sqlitecopy, "signature", lambda path: ((next(counts), 0, 0), None))
    monkeypatch.setattr(sqlitecopy, "PATIENCE", 0.0)
    with pytest.raises(BusyError):
        sqlitecopy.open_copy(tmp_path / "a.sqlite")
    for connection in (writer, reader):
        connection.close()
