"""The blob table: places, deltas, parts and addresses, in whatever order groups become known."""

import itertools
from pathlib import Path

import pytest

from epmstore.digest import BlobInfo, identify
from epmstore.errors import DamagedError
from epmstore.index.contents import Contents
from epmstore.index.database import Database
from epmstore.pack_table import NO_FRAME, BlobRow, FrameRow, GroupTable
from epmstore.seal import RecordKind

ONE, TWO, PART = (identify(text) for text in (b"one", b"two", b"part"))
LARGE = identify(b"large")


def row(info: BlobInfo, frame: int, length: int, *, base: BlobInfo | None = None) -> BlobRow:
    return BlobRow(
        info.digest, info.sha256, info.size, frame, 0, length, base.sha256 if base else None
    )


FULL = GroupTable((FrameRow(RecordKind.SOLID, 0, 2, 30, 3),), (row(ONE, 0, 3),), 100)
DELTA = GroupTable((FrameRow(RecordKind.DELTA, 0, 9, 20, 3),), (row(TWO, 0, 20, base=ONE),), 90)


@pytest.fixture
def contents(tmp_path: Path) -> Contents:
    return Contents(Database(tmp_path / "index.sqlite", "store"))


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_places_do_not_depend_on_the_order_of_groups(contents: Contents, order: list[int]) -> None:
    groups = [("aa/full.pack", 0, FULL), ("log/1", 1000, DELTA)]
    for n in order:
        contents.add_group(*groups[n])
    places = contents.places([ONE.sha256, TWO.sha256, PART.sha256])
    assert places.keys() == {ONE.sha256, TWO.sha256}
    assert places[ONE.sha256].size == 3
    assert (places[TWO.sha256].file, places[TWO.sha256].seal_offset) == ("log/1", 1000)
    assert places[TWO.sha256].base == ONE.sha256
    assert contents.with_digest(ONE.digest) == [ONE]
    assert contents.delta_bytes(ONE.sha256) == 20
    assert contents.totals() == (2, 6)
    assert contents.files() == {"aa/full.pack": 100, "log/1": 1090}


def test_a_content_keeps_its_first_place(contents: Contents) -> None:
    contents.add_group("aa/full.pack", 0, FULL)
    contents.add_group("bb/again.pack", 0, FULL)
    assert contents.places([ONE.sha256])[ONE.sha256].file == "aa/full.pack"
    contents.forget_file("aa/full.pack")
    assert contents.places([ONE.sha256]) == {}


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_a_full_copy_comes_before_a_delta(contents: Contents, order: list[int]) -> None:
    full = GroupTable((FrameRow(RecordKind.SOLID, 0, 2, 30, 3),), (row(TWO, 0, 3),), 100)
    groups = [("aa/full.pack", 0, full), ("log/1", 1000, DELTA)]
    for n in order:
        contents.add_group(*groups[n])
    place = contents.places([TWO.sha256])[TWO.sha256]
    assert (place.file, place.kind, place.base) == ("aa/full.pack", RecordKind.SOLID, None)
    assert contents.delta_bytes(ONE.sha256) == 0


def test_large_contents_lie_in_parts(contents: Contents) -> None:
    part = BlobRow(None, PART.sha256, PART.size, 0, 0, PART.size)
    large = BlobRow(
        LARGE.digest, LARGE.sha256, LARGE.size, NO_FRAME, 0, 0, parts=(PART.sha256, PART.sha256)
    )
    group = GroupTable((FrameRow(RecordKind.PART, 0, 1, 9, 4),), (part, large), 80)
    contents.add_group("cc/large.pack", 0, group)
    place = contents.places([LARGE.sha256])[LARGE.sha256]
    assert (place.kind, place.parts) == (None, (PART.sha256, PART.sha256))
    assert contents.with_digest(LARGE.digest) == [LARGE]
    named = BlobRow(PART.digest, PART.sha256, PART.size, 0, 0, PART.size)
    contents.add_group(
        "dd/x.pack", 0, GroupTable((FrameRow(RecordKind.SOLID, 0, 1, 9, 4),), (named,), 80)
    )
    assert contents.with_digest(PART.digest) == [PART]
    contents.forget_large(LARGE.sha256)
    assert contents.places([LARGE.sha256]) == {}


def test_two_contents_with_one_address_are_both_known(contents: Contents) -> None:
    twin = BlobInfo(ONE.digest, TWO.sha256, 3)
    contents.add_group("aa/full.pack", 0, FULL)
    contents.add_group("bb/twin.pack", 0, GroupTable(FULL.frames, (row(twin, 0, 3),), 100))
    assert sorted(i.sha256 for i in contents.with_digest(ONE.digest)) == sorted(
        [ONE.sha256, TWO.sha256]
    )


def test_an_index_of_another_store_is_refused(tmp_path: Path) -> None:
    Contents(Database(tmp_path / "index.sqlite", "store")).add_group("aa/f.pack", 0, FULL)
    with pytest.raises(DamagedError, match="another store"):
        Contents(Database(tmp_path / "index.sqlite", "other")).files()


def test_a_missing_index_is_damage_that_a_rebuild_mends(contents: Contents) -> None:
    with pytest.raises(DamagedError) as caught:
        contents.files()
    assert caught.value.hint is not None and "rebuild" in caught.value.hint


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path / "index.sqlite", "store")
    contents = Contents(database)
    with pytest.raises(KeyError), database.write():
        contents.add_group("aa/full.pack", 0, FULL)
        raise KeyError
    assert contents.files() == {}


def test_a_replaced_index_is_opened_anew(tmp_path: Path) -> None:
    one = Contents(Database(tmp_path / "index.sqlite", "store"))
    one.add_group("aa/full.pack", 0, FULL)
    assert one.totals() == (1, 3)
    other = Contents(Database(tmp_path / "other.sqlite", "store"))
    other.add_group("aa/full.pack", 0, FULL)
    other.add_group("log/1", 0, DELTA)
    (tmp_path / "other.sqlite").rename(tmp_path / "index.sqlite")
    assert one.totals() == (2, 6)


PARTED = GroupTable(
    (FrameRow(RecordKind.PART, 0, 1, 9, 4),),
    (
        BlobRow(None, PART.sha256, PART.size, 0, 0, PART.size),
        BlobRow(LARGE.digest, LARGE.sha256, LARGE.size, NO_FRAME, 0, 0, parts=(PART.sha256,)),
    ),
    80,
)
NAMED = GroupTable((FrameRow(RecordKind.SOLID, 0, 1, 9, 4),), (row(PART, 0, PART.size),), 80)
GROUPS = [
    ("aa/full.pack", 0, FULL),
    ("log/1", 1000, DELTA),
    ("cc/large.pack", 0, PARTED),
    ("dd/named.pack", 0, NAMED),
]


def indexes(database: Database) -> set[str]:
    with database.read() as db:
        return {sql for (sql,) in db.execute("SELECT sql FROM sqlite_schema WHERE type = 'index'")}


def everything(contents: Contents) -> tuple[object, ...]:
    infos = (ONE, TWO, PART, LARGE)
    places = contents.places([info.sha256 for info in infos])
    named = [contents.with_digest(info.digest) for info in infos]
    return places, named, contents.totals(), contents.files(), contents.delta_bytes(ONE.sha256)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_an_empty_table_may_be_filled_before_it_is_indexed(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    """All in one transaction; groups may come before those that they speak of."""
    one = Contents(Database(tmp_path / "one.sqlite", "store"))
    for n in order:
        one.add_group(*GROUPS[n])
    other = Contents(Database(tmp_path / "other.sqlite", "store"))
    with other.database.write():
        finish = other.begin()
        for n in order:
            other.add_group(*GROUPS[n])
        finish()
    assert everything(other) == everything(one)
    assert indexes(other.database) == indexes(one.database)
    with other.database.write():
        finish = other.begin()  # this time there is something in it
        other.add_group("ee/again.pack", 0, NAMED)
        finish()
    assert everything(other)[:3] == everything(one)[:3]
    assert indexes(other.database) == indexes(one.database)


def test_indexes_outlive_a_failure_to_fill_the_table(tmp_path: Path) -> None:
    contents = Contents(Database(tmp_path / "index.sqlite", "store"))
    with contents.database.write():
        pass
    before = indexes(contents.database)
    with pytest.raises(KeyError), contents.database.write():
        contents.begin()
        contents.add_group("aa/full.pack", 0, FULL)
        raise KeyError
    assert indexes(contents.database) == before
    assert contents.files() == {}
