from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from epmstore.errors import DamagedError
from epmstore.publish.buildrecords import BuildRecords
from epmstore.publish.sqliterecords import SqliteRecords
from tests.publish.contract import RecordsContract


class TestSqliteRecords(RecordsContract):
    @pytest.fixture
    def pair(self, tmp_path: Path) -> Iterator[tuple[BuildRecords, BuildRecords]]:
        one = SqliteRecords(tmp_path / "builds.sqlite", tmp_path)
        two = SqliteRecords(tmp_path / "builds.sqlite", tmp_path)
        with closing(one), closing(two):
            yield one, two


def test_a_file_that_is_no_database_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "builds.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(DamagedError):
        SqliteRecords(tmp_path / "builds.sqlite", tmp_path)
