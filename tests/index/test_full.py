"""A file system without room for SQLite's own files is full, not damaged."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from epmstore.errors import DamagedError, DiskFullError, EpmError
from epmstore.index.database import Database
from epmstore.index.entries import Entries
from tests.mounts import tmpfs

pytestmark = pytest.mark.root


def remount(where: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(where)], check=True)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few inodes."""
    with tmpfs(tmp_path / "small", "size=4m,nr_inodes=12") as where:
        yield where


def test_no_inodes_left_is_no_damage(small: Path) -> None:
    database = Database(small / "index.sqlite", "store")
    with database.write():
        pass
    database.close()
    with pytest.raises(OSError):
        for number in range(20):
            (small / f"{number}").touch()
    try:
        with pytest.raises(DiskFullError):
            Entries(database).records("0" * 32)
    finally:
        database.close()


@pytest.fixture
def database(small: Path) -> Iterator[Database]:
    database = Database(small / "index.sqlite", "store")
    with database.write():
        pass
    database.close()
    yield database
    database.close()


def test_no_bytes_left_is_no_damage(small: Path, database: Database) -> None:
    with (small / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError):
        while True:
            filler.write(bytes(4096))
    with pytest.raises(DiskFullError):
        Entries(database).records("0" * 32)


def test_a_read_only_file_system_is_no_damage(small: Path, database: Database) -> None:
    remount(small, "ro")
    with pytest.raises(EpmError, match="read-only") as caught:
        Entries(database).records("0" * 32)
    assert not isinstance(caught.value, DamagedError)
    assert "epmstore-rescue" in str(caught.value.hint)
    remount(small, "rw")
    assert Entries(database).records("0" * 32) == []
