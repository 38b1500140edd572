"""The stat cache: what goes in comes out, and whatever is wrong with the file reads as nothing."""

import contextlib
import sqlite3
import time
from pathlib import Path

import pytest

from epmstore.index.stat_cache import StatCache, StatCacheState

STATE = StatCacheState(3, "aa", "rules", 77)
ROWS = {b"": b"one", b"bin/\xff": b"two" * 50}


def test_rows_come_back(tmp_path: Path) -> None:
    cache = StatCache(tmp_path / "live.sqlite")
    assert cache.load() == (None, {})
    cache.update(STATE, ROWS)
    assert cache.load() == (STATE, ROWS)
    cache.update(STATE, {b"": b"new"}, gone=[b"bin/\xff"])
    assert cache.load() == (STATE, {b"": b"new"})
    cache.replace(STATE, ROWS)
    assert cache.load() == (STATE, ROWS)


@pytest.mark.parametrize("damage", [b"", b"no database at all", b"SQLite format 3\0" + bytes(500)])
def test_an_unusable_file_is_an_empty_cache(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "live.sqlite"
    path.write_bytes(damage)
    cache = StatCache(path)
    assert cache.load() == (None, {})
    cache.update(STATE, ROWS)
    cache.update(STATE, ROWS)  # the first may have had to drop the file
    assert cache.load() == (STATE, ROWS)


def test_no_flipped_byte_changes_a_row(tmp_path: Path) -> None:
    path = tmp_path / "live.sqlite"
    StatCache(path).update(STATE, ROWS)
    good = path.read_bytes()
    for at in range(0, len(good), 7):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :])
        _, rows = StatCache(path).load()
        assert rows.items() <= ROWS.items()


def test_unsynced_rows_do_not_count_after_the_next_boot(
    tmp_path: Path,
) -> None:
    changed = {b"old": 0, b"new": time.time_ns()}
    rows = {b"": b"old", b"bin": b"new"}
    path = tmp_path / "live.sqlite"
    first = StatCache(path, "first boot", changed.__getitem__)
    first.update(STATE, rows)
    assert first.load() == (STATE, rows)
    second = StatCache(path, "second boot", changed.__getitem__)
    assert second.load() == (STATE, {b"": b"old"})
    second.update(STATE, {b"lib": b"new"})
    assert second.load() == (STATE, {b"": b"old", b"lib": b"new"}), "nor is it taken over"


def test_rows_that_are_no_bytes_any_more_are_left_out(tmp_path: Path) -> None:
    cache = StatCache(tmp_path / "live.sqlite")
    state = StatCacheState(1, "t", "r", 2)
    cache.replace(state, {b"a": b"stats", b"b": b"stats"})
    with contextlib.closing(sqlite3.connect(tmp_path / "live.sqlite")) as db:
        db.execute("CREATE TABLE other (path, stats, digest)")
        db.execute("INSERT INTO other SELECT * FROM folders WHERE path = x'61'")
        db.execute("INSERT INTO other VALUES (NULL, 'text', 5)")
        db.execute("DROP TABLE folders")
        db.execute("ALTER TABLE other RENAME TO folders")
        db.commit()
    assert cache.load() == (state, {b"a": b"stats"})
