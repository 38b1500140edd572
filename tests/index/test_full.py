"""Where nothing can be written an index is read all the same, and never called damaged."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from epmstore.errors import DamagedError, DiskFullError, EpmError
from epmstore.index.database import Database
from epmstore.index.entries import Entries
from tests.kit.mounts import tmpfs

pytestmark = pytest.mark.root


def remount(where: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(where)], check=True)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few inodes."""
    with tmpfs(tmp_path / "small", "size=4m,nr_inodes=12") as where:
        yield where


@pytest.fixture
def database(small: Path) -> Iterator[Database]:
    database = Database(small / "index.sqlite", "store")
    with database.write():
        pass
    database.close()
    yield database
    database.close()


def is_read(database: Database) -> bool:
    return Entries(database).records("0" * 32) == []


def is_refused(database: Database) -> EpmError:
    """What whoever writes is told: never that something is damaged."""
    with pytest.raises(EpmError) as caught, database.write() as db:
        db.execute("INSERT INTO store VALUES ('x', 'y')")
    assert not isinstance(caught.value, DamagedError)
    return caught.value


def test_without_an_inode_it_is_read_and_not_written(small: Path, database: Database) -> None:
    with pytest.raises(OSError):
        for number in range(20):
            (small / f"{number}").touch()
    assert is_read(database)
    assert isinstance(is_refused(database), DiskFullError)
    assert is_read(database)


def test_without_a_byte_it_is_read_and_not_written(small: Path, database: Database) -> None:
    with (small / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError):
        while True:
            filler.write(bytes(4096))
    assert is_read(database)
    assert isinstance(is_refused(database), DiskFullError)
    assert is_read(database)


def test_read_only_it_is_read_and_not_written(small: Path, database: Database) -> None:
    remount(small, "ro")
    assert is_read(database)
    assert "read-only" in str(is_refused(database))
    remount(small, "rw")
    with database.write() as db:
        db.execute("INSERT INTO store VALUES ('x', x'01')")
    with database.read() as db:  # what was a copy shows it
        assert db.execute("SELECT value FROM store WHERE key = 'x'").fetchone() == (b"\x01",)


def test_an_index_that_cannot_be_made_without_space_is_not_called_damaged(small: Path) -> None:
    with (small / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError):
        while True:
            filler.write(bytes(4096))
    database = Database(small / "index.sqlite", "store")
    assert isinstance(is_refused(database), DiskFullError)
    (small / "filler").unlink()
    with database.write():
        pass
    assert is_read(database)
    database.close()
