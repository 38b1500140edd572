"""A file system without room for SQLite's own files is full, not damaged."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from epmstore.errors import DiskFullError
from epmstore.index.database import Database
from epmstore.index.entries import Entries

pytestmark = pytest.mark.root


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few inodes."""
    if os.geteuid():
        pytest.skip("needs root to mount a file system")
    where = tmp_path / "small"
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=12", "tmpfs", str(where)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield where
    subprocess.run(["umount", str(where)], check=True)


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
