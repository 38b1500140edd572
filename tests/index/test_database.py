"""Reading an index: what one block sees."""

from pathlib import Path

from epmstore.index.database import Database


def make(path: Path, uuid: str) -> None:
    database = Database(path, uuid)
    with database.write() as db:
        db.execute("INSERT INTO store VALUES ('which', ?)", (path.name.encode(),))


def which(database: Database) -> bytes:
    with database.read() as db:
        found: bytes = db.execute("SELECT value FROM store WHERE key = 'which'").fetchone()[0]
    return found


def test_a_block_goes_on_with_the_index_that_it_began_with(tmp_path: Path) -> None:
    """One that is put in its place meanwhile is for the next block."""
    make(tmp_path / "old", "uuid")
    make(tmp_path / "new", "uuid")
    database = Database(tmp_path / "old", "uuid")
    with database.read():
        assert which(database) == b"old"
        (tmp_path / "new").rename(tmp_path / "old")
        assert which(database) == b"old"
    assert which(database) == b"new"
    database.close()
