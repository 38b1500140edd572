"""Catalog files: what was appended is read back, and everything else is told apart."""

import errno
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epmstore import codec, fsio, seal
from epmstore.catalog import format as catalog_format
from epmstore.catalog import history
from epmstore.catalog.format import PART_ENTRIES
from epmstore.catalog.history import CatalogFile
from epmstore.catalog.model import (
    START,
    CatalogPosition,
    PinRecord,
    TagRecord,
    VersionPart,
    Written,
)
from epmstore.errors import ChangedError, DamagedError, TornError
from tests.catalog.trees import deltas, file, header

NOW = "2026-10-03T14:02:03.123Z"
PIN = PinRecord(time=NOW, version=0, pinned=True)


def version(number: int, *paths: str) -> VersionPart:
    return VersionPart(header(number), [file(path, path.encode()) for path in paths])


RECORDS: list[Written] = [version(0, "bin/a"), PIN, version(1, "bin/b"), version(2, "bin/c")]


@pytest.fixture
def catalog(tmp_path: Path) -> CatalogFile:
    return CatalogFile(tmp_path / "crm.syscat.zst")


@pytest.fixture
def faults() -> Iterator[None]:
    yield
    fsio.install_fault(None)


def positions(catalog: CatalogFile) -> list[CatalogPosition]:
    return [START, *(found.after for found in catalog.read())]


def records(
    catalog: CatalogFile, start: CatalogPosition = START, end: int | None = None
) -> list[Written]:
    return [found.record for found in catalog.read(start, end)]  # type: ignore[misc]


@settings(max_examples=30)
@given(st.data())
def test_records_come_back_in_order(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    catalog = CatalogFile(tmp_path_factory.mktemp("catalog") / "a.syscat.zst")
    position, count, wanted = START, 0, 0
    for _ in range(data.draw(st.integers(1, 3))):
        batch: list[Written] = []
        for _ in range(data.draw(st.integers(0, 3))):
            batch.append(data.draw(deltas(count)))
            count += 1
        batch += [PIN] * data.draw(st.integers(0, 2))
        wanted += len(batch)
        position = catalog.append(batch, position)
    assert len(records(catalog)) == wanted == position.seq
    assert catalog.tail(position).valid == position
    catalog.check(position)


def test_reading_goes_on_where_it_was_left(catalog: CatalogFile) -> None:
    catalog.append(RECORDS, START)
    for n, position in enumerate(positions(catalog)):
        assert records(catalog, position) == RECORDS[n:]
        assert records(catalog, START, position.length) == RECORDS[:n]


def test_a_file_that_is_not_there_is_empty(catalog: CatalogFile) -> None:
    assert records(catalog) == []
    assert catalog.tail().size == 0
    assert catalog.append([], START) == START
    assert not catalog.path.exists()


def test_an_append_is_one_write_and_one_sync(catalog: CatalogFile, faults: None) -> None:
    position = catalog.append([RECORDS[0]], START)
    calls: list[str] = []
    fsio.install_fault(lambda call, _: calls.append(call))
    catalog.append(RECORDS[1:], position)
    assert calls == ["write", "fdatasync"]


def test_a_new_catalog_has_a_durable_name(catalog: CatalogFile, faults: None) -> None:
    calls: list[str] = []
    fsio.install_fault(lambda call, _: calls.append(call))
    catalog.append([RECORDS[0]], START)
    assert calls == ["create", "fsyncdir", "write", "fdatasync"]


@pytest.mark.parametrize("failing", ["write", "fdatasync"])
def test_a_failed_append_leaves_nothing(catalog: CatalogFile, faults: None, failing: str) -> None:
    position = catalog.append(RECORDS[:1], START)

    def fail(call: str, _: tuple[object, ...]) -> None:
        if call == failing:
            raise OSError(errno.ENOSPC, "no space")

    fsio.install_fault(fail)
    with pytest.raises(OSError, match="no space"):
        catalog.append(RECORDS[1:], position)
    fsio.install_fault(None)
    assert catalog.path.stat().st_size == position.length
    catalog.append(RECORDS[1:], position)
    assert records(catalog) == RECORDS


def test_many_records_are_written_in_pieces(
    catalog: CatalogFile, faults: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a later piece that fails leaves is cut off; after a kill it is replayed."""
    whole = CatalogFile(tmp_path / "whole")
    whole.append(RECORDS, START)
    position = catalog.append(RECORDS[:1], START)
    monkeypatch.setattr(history, "_BUFFER", 2)
    writes = 0

    def fail(call: str, _: tuple[object, ...]) -> None:
        nonlocal writes
        writes += call == "write"
        if call == "write" and writes == 3:
            raise OSError(errno.ENOSPC, "no space")

    for is_killed in (False, True):  # who is killed does not cut it off either
        writes = 0
        fsio.install_fault(fail)
        with pytest.raises(OSError, match="no space"), monkeypatch.context() as patched:
            if is_killed:
                patched.setattr(fsio, "truncate", lambda fd, size: None)
            catalog.append(RECORDS[1:], position)
        fsio.install_fault(None)
        assert (catalog.path.stat().st_size > position.length) == is_killed
    assert catalog.tail(position).replay
    end = catalog.tail(position).valid
    assert records(catalog) == RECORDS[: end.seq]
    catalog.append(RECORDS[end.seq :], end)
    assert catalog.path.read_bytes() == whole.path.read_bytes()


def test_append_waits_for_replay_of_lines_the_index_missed(catalog: CatalogFile) -> None:
    catalog.append(RECORDS, START)
    committed, last = positions(catalog)[2], positions(catalog)[-1]
    tail = catalog.tail(committed)
    assert (tail.replay, tail.torn, tail.valid) == (True, 0, last)
    assert records(catalog, committed, tail.valid.length) == RECORDS[2:]
    with pytest.raises(ChangedError):
        catalog.append([PIN], committed)
    assert records(catalog) == RECORDS


@pytest.mark.slow
def test_every_truncation_is_torn_or_shorter(catalog: CatalogFile) -> None:
    catalog.append(RECORDS, START)
    data = catalog.path.read_bytes()
    ends = positions(catalog)
    for length in range(len(data)):
        catalog.path.write_bytes(data[:length])
        whole = [position for position in ends if position.length <= length]
        last = whole[-1]
        if last.length == length:
            assert records(catalog) == RECORDS[: len(whole) - 1]
        else:
            with pytest.raises(TornError, match=f"byte {last.length}"):
                records(catalog)
        tail = catalog.tail()
        assert (tail.valid, tail.torn, tail.replay) == (last, length - last.length, last != START)
        assert catalog.tail(last) == msgspec.structs.replace(tail, committed=last, top=-1)
        with pytest.raises(DamagedError, match="too early" if length else "is lost") as caught:
            catalog.tail(ends[len(whole)])
        assert not isinstance(caught.value, TornError)


@pytest.mark.slow
def test_every_flipped_byte_is_found(catalog: CatalogFile) -> None:
    catalog.append(RECORDS, START)
    data = catalog.path.read_bytes()
    ends = positions(catalog)
    for at in range(len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << (at % 8)
        catalog.path.write_bytes(flipped)
        [begin] = [a for a, b in pairwise(ends) if a.length <= at < b.length]
        with pytest.raises(DamagedError) as caught:
            records(catalog, START, len(data))
        assert not isinstance(caught.value, TornError)
        assert caught.value.data == {"file": str(catalog.path), "offset": begin.length}
        # beyond the committed length it is a tail, unless a record begins behind it that cannot be
        # of the same append; with no length known, only the last record is
        if begin != START:
            assert catalog.tail(begin, many=True).valid == begin
            assert begin != ends[-2] or catalog.tail(begin).valid == begin
        if begin == ends[-2]:
            assert catalog.tail().valid == begin
        else:
            with pytest.raises(DamagedError, match=f"byte {begin.length}"):
                catalog.tail()


def test_a_torn_tail_is_moved_to_the_quarantine(
    catalog: CatalogFile, tmp_path: Path, faults: None
) -> None:
    quarantine = tmp_path / "quarantine"
    quarantine.mkdir()
    position = catalog.append(RECORDS[:2], START)
    with catalog.path.open("ab") as stream:
        stream.write(b"half a rec")
    assert catalog.tail(position).torn == 10
    calls: list[str] = []
    fsio.install_fault(lambda call, _: calls.append(call))
    end = catalog.append(RECORDS[2:], position, quarantine)
    # safe in the quarantine before it is cut, and cut for good before more is written
    keep = ["create", "write", "fsync", "rename", "fsyncdir"]
    assert calls == [*keep, "truncate", "fsync", "write", "fdatasync"]
    assert records(catalog) == RECORDS
    assert catalog.tail(end).torn == 0
    [kept] = quarantine.iterdir()
    assert kept.read_bytes() == b"half a rec"
    assert kept.name.startswith(f"crm.syscat.zst-{position.length}-")


def test_a_stale_index_does_not_cut_a_good_history(catalog: CatalogFile, tmp_path: Path) -> None:
    catalog.append(RECORDS, START)
    data = catalog.path.read_bytes()
    for stale in (
        CatalogPosition(97, "0" * 64, 1),
        CatalogPosition(positions(catalog)[2].length, "1" * 64, 2),
    ):
        with pytest.raises(DamagedError):
            catalog.append([PIN], stale, tmp_path)
        assert catalog.path.read_bytes() == data


def test_a_shorter_file_is_damage(catalog: CatalogFile) -> None:
    position = catalog.append(RECORDS, START)
    with catalog.path.open("r+b") as stream:
        stream.truncate(position.length - 1)
    with pytest.raises(DamagedError, match="too early"):
        catalog.append([PIN], position)


def rewrite(catalog: CatalogFile, lines: list[bytes]) -> None:
    """Lines with seals that are right."""
    with catalog.path.open("wb") as stream:
        for line in lines:
            body = codec.compress(line)
            stream.write(seal.seal(seal.RecordKind.LINE, body, number=len(line)) + body)


def edited(line: bytes, **changes: object) -> bytes:
    return json.dumps(json.loads(line) | changes, separators=(",", ":")).encode() + b"\n"


def test_edits_break_the_chain_even_with_new_seals(catalog: CatalogFile) -> None:
    position = catalog.append(RECORDS, START)
    lines = [line.plain for line in catalog.lines()]
    rewrite(catalog, lines)
    assert records(catalog) == RECORDS
    edits = {
        "edited": [lines[0], edited(lines[1], pinned=False), *lines[2:]],
        "spaced": [lines[0], lines[1].replace(b":", b": ", 1), *lines[2:]],
        "reordered": [lines[0], lines[2], lines[1], lines[3]],
        "dropped": [lines[0], *lines[2:]],
        "dropped and counted anew": [
            lines[0],
            *(edited(a, seq=n) for n, a in enumerate(lines[2:], 1)),
        ],
        "first dropped": lines[1:],
        "doubled": [lines[0], lines[0], *lines[1:]],
        "counted wrong": [*lines[:3], edited(lines[3], seq=4)],
        "other version": [*lines[:3], edited(lines[3], version=4)],
        "same version": [*lines[:3], edited(lines[3], version=1)],
    }
    for name, changed in edits.items():
        rewrite(catalog, changed)
        with pytest.raises(DamagedError) as caught:
            records(catalog)
        assert not isinstance(caught.value, TornError), name
        with pytest.raises(DamagedError):
            catalog.tail()
        with pytest.raises(DamagedError):
            catalog.check(position)


def test_an_edit_of_the_last_line_is_seen_by_its_head(catalog: CatalogFile) -> None:
    catalog.append(RECORDS, START)
    lines = [line.plain for line in catalog.lines()]
    position = positions(catalog)[-1]
    rewrite(catalog, [*lines[:-1], edited(lines[-1], label="x")])
    altered = CatalogPosition(catalog.path.stat().st_size, position.head, position.seq)
    with pytest.raises(DamagedError, match="another history"):
        catalog.check(altered)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(catalog_format, "PART_ENTRIES", 2)
    return 2


def test_parts_of_a_version_belong_together(catalog: CatalogFile, small_parts: int) -> None:
    catalog.append([version(0, *"abcde"), PIN, version(1, "f")], START)
    assert PART_ENTRIES == 4096
    one, two, three, pin, last = (line.plain for line in catalog.lines())
    first = positions(catalog)
    for kept, end in (([one], 0), ([one, two], 0), ([one, two, three], 3)):
        rewrite(catalog, kept)
        assert catalog.tail().valid == first[end]
        assert (catalog.tail().torn > 0) == (end == 0)
    rewrite(catalog, [one, two])
    with pytest.raises(TornError, match="version 0 has 2 of 3 parts"):
        records(catalog)
    with pytest.raises(DamagedError, match="version 0 has 2 of 3 parts") as caught:
        records(catalog, START, catalog.path.stat().st_size)
    assert not isinstance(caught.value, TornError)
    chained = [(one, two, pin), (one, two, edited(three, label="x")), (one, three), (two, three)]
    for lines in (*chained, (one, two, three, pin, edited(last, part=2, parts=2))):
        rewrite(catalog, rechain(list(lines)))
        with pytest.raises(DamagedError) as caught:
            records(catalog)
        assert not isinstance(caught.value, TornError)


def rechain(lines: list[bytes]) -> list[bytes]:
    """Lines whose numbers and chain are right again."""
    made: list[bytes] = []
    position = START
    for line in lines:
        made.append(edited(line, seq=position.seq, prev=position.head))
        position = catalog_format.position_behind(position, made[-1], 0)
    return made


def test_rechained_lines_that_were_not_edited_are_right(catalog: CatalogFile) -> None:
    catalog.append(RECORDS, START)
    rewrite(catalog, rechain([line.plain for line in catalog.lines()]))
    assert records(catalog) == RECORDS


def test_an_unknown_record_stays_where_it_is(catalog: CatalogFile) -> None:
    catalog.append([RECORDS[0], TagRecord(time=NOW, name="x", version=0)], START)
    lines = [line.plain for line in catalog.lines()]
    rewrite(catalog, rechain([lines[0], edited(lines[1], type="moon")]))
    position = positions(catalog)[-1]
    catalog.append([PIN], position)
    assert [type(found.record).__name__ for found in catalog.read()] == [
        "VersionPart",
        "UnknownRecord",
        "PinRecord",
    ]
