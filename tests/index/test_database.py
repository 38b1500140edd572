"""Reading an index: what one block sees."""

from pathlib import Path

import pytest

from epmstore.errors import DamagedError
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


@pytest.mark.parametrize("mistake", [TypeError, ValueError, KeyError])
def test_only_a_damaged_index_makes_damage_of_a_mistake(
    tmp_path: Path, mistake: type[Exception]
) -> None:
    make(tmp_path / "index", "uuid")
    database = Database(tmp_path / "index", "uuid")
    with pytest.raises(mistake), database.read():
        raise mistake
    with pytest.raises(DamagedError), database.read():
        data = (tmp_path / "index").read_bytes()
        (tmp_path / "index").write_bytes(data[:4096] + bytes(len(data) - 4096))
        raise mistake
    database.close()
