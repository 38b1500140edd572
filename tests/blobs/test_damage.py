"""Every flipped byte and every cut of a pack and of a pack log: found, or harmless; never wrong
bytes.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from epmstore.blobs.blob_store import PackStore
from epmstore.blobs.packlog import PackLog, read_groups
from epmstore.blobs.records import DamagedRange, SealedRecord, load_group, open_pack, walk
from epmstore.blobs.salvage import scan_frames
from epmstore.digest import Sha256, identify
from epmstore.errors import DamagedError, NotFoundError
from epmstore.seal import RecordKind
from tests.blobs.table import MemoryTable, Shelf, group_of, noise, text

BASE = text(60)
CONTENTS = [b"", b"one", BASE, noise(90), BASE + b"changed\n", text(9, 5) + noise(120, 6)]


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path)
    yield made
    made.store.close()


def fill(shelf: Shelf) -> Path:
    """A pack with a frame of each kind."""
    with shelf.writer(frame_size=400, part_size=100) as writer:
        for data in CONTENTS[:4]:
            writer.add(identify(data), data)
        writer.add_delta(identify(CONTENTS[4]), CONTENTS[4], identify(BASE).sha256, BASE)
        writer.add_large([CONTENTS[5]])
        written = writer.finish()
    kinds = {frame.kind for frame in written.group.frames}
    assert kinds == {RecordKind.SOLID, RecordKind.STORED, RecordKind.DELTA, RecordKind.PART}
    return shelf.packs / shelf.publish(written)


def fill_log(shelf: Shelf) -> Path:
    groups = [group_of(shelf.packs, *CONTENTS[:2]), group_of(shelf.packs, *CONTENTS[2:])]
    for at, written in zip(
        PackLog(shelf.packs, shelf.quarantine).append(groups), groups, strict=True
    ):
        shelf.table.add_group(at.file, at.start, written.group)
    return shelf.packs / "log/0"


def right_or_nothing(packs: Path, table: MemoryTable) -> int:
    """How many of the contents are still read; all others raise."""
    right = 0
    with PackStore(packs, table) as store:
        for data in CONTENTS:
            try:
                assert store.read(identify(data)) == data
            except (DamagedError, NotFoundError):
                continue
            right += 1
    return right


def found_by(path: Path) -> list[SealedRecord | DamagedRange]:
    fd = open_pack(path)
    try:
        return list(walk(fd))
    finally:
        os.close(fd)


@pytest.mark.slow
@pytest.mark.parametrize("fill", [fill, fill_log])
def test_every_flipped_byte_is_found(shelf: Shelf, fill: Callable[[Shelf], Path]) -> None:
    path = fill(shelf)
    good = path.read_bytes()
    assert right_or_nothing(shelf.packs, shelf.table) == len(CONTENTS)
    whole = found_by(path)
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :])
        right_or_nothing(shelf.packs, shelf.table)
        damage = [found for found in found_by(path) if isinstance(found, DamagedRange)]
        assert len(damage) == 1 and damage[0].start <= at < damage[0].end
        assert len(found_by(path)) == len(whole), "only the record with the byte is lost"
    path.write_bytes(good)
    assert right_or_nothing(shelf.packs, shelf.table) == len(CONTENTS)


@pytest.mark.slow
@pytest.mark.parametrize("fill", [fill, fill_log])
def test_every_cut_is_found(shelf: Shelf, fill: Callable[[Shelf], Path]) -> None:
    path = fill(shelf)
    good = path.read_bytes()
    ends = {found.seal.end for found in found_by(path) if isinstance(found, SealedRecord)}
    for size in range(len(good)):
        path.write_bytes(good[:size])
        right_or_nothing(shelf.packs, shelf.table)
        damage = [found for found in found_by(path) if isinstance(found, DamagedRange)]
        assert [(found.end, found.is_tail) for found in damage] == (
            [] if size in ends | {0} else [(size, True)]
        )


@pytest.mark.slow
def test_scan_of_a_damaged_file_names_only_contents_that_are_there(shelf: Shelf) -> None:
    """Whatever byte is flipped, and with no table to go by. A large blob that lost a part becomes
    another: true to its bytes, and nobody's.
    """
    path = fill(shelf)
    good = path.read_bytes()
    for at in range(0, len(good), 3):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :])
        found = scan_frames(
            path, find_base=lambda _: [(identify(BASE).sha256, BASE)], part_size=100
        )
        assert [damage.start <= at < damage.end for damage in found.damage] == [True]
        table = MemoryTable()
        table.add_group(str(path.relative_to(shelf.packs)), 0, found.group)
        with PackStore(shelf.packs, table) as store:
            for info in (info for infos in table.infos.values() for info in infos):
                hurt_base = info == identify(CONTENTS[4]) and not store.has(identify(BASE))
                assert hurt_base or identify(store.read(info)) == info
        lost = [data for data in CONTENTS if not table.with_digest(identify(data).digest)]
        assert len(lost) <= 3, "no more than one frame"


@pytest.mark.parametrize("fill", [fill, fill_log])
def test_a_scan_finds_what_the_table_has(shelf: Shelf, fill: Callable[[Shelf], Path]) -> None:
    path = fill(shelf)
    found = scan_frames(path, find_base=lambda _: [(identify(BASE).sha256, BASE)], part_size=100)
    assert found.damage == () and found.lost == ()
    table = MemoryTable()
    table.add_group(str(path.relative_to(shelf.packs)), 0, found.group)
    assert table.found == shelf.table.found
    assert table.infos == shelf.table.infos


def test_a_pack_without_its_table_is_scanned(shelf: Shelf) -> None:
    path = fill(shelf)
    group = load_group(path)
    last = group.frames[-1]
    end = last.offset + 64 + last.head_length + last.body_length
    path.write_bytes(path.read_bytes()[:end])
    found = scan_frames(path, part_size=100)
    assert found.damage == ()
    assert [row.digest for row in found.group.blobs] == [
        row.digest for row in group.blobs if row.base is None
    ]
    (lost,) = found.lost
    assert lost.head.base_prefix == identify(BASE).sha256[:8]
    assert found.group.frames[lost.frame].kind is RecordKind.DELTA


def test_a_base_whose_digest_only_begins_alike_is_passed_over(shelf: Shelf) -> None:
    path = fill(shelf)
    real = identify(BASE).sha256
    asked: list[bytes] = []

    def find(prefix: bytes) -> list[tuple[Sha256, bytes]]:
        asked.append(prefix)
        return [(Sha256(prefix + bytes(24)), b"another content"), (real, BASE)]

    found = scan_frames(path, find_base=find, part_size=100)
    assert asked == [real[:8]]
    (row,) = [row for row in found.group.blobs if row.base is not None]
    assert (row.base, row.sha256) == (real, identify(CONTENTS[4]).sha256)


def test_a_wrong_length_is_walked_over(shelf: Shelf) -> None:
    """A header that claims more than there is hides nothing of what follows."""
    path = fill(shelf)
    good = bytearray(path.read_bytes())
    whole = found_by(path)
    good[16 + 5] = 0xFF  # the body's length, in the first seal
    path.write_bytes(good)
    hurt = found_by(path)
    assert isinstance(hurt[0], DamagedRange) and not hurt[0].is_tail
    assert hurt[1:] == whole[1:]


def test_a_pack_stored_in_a_damaged_frame_is_not_taken_for_ours(shelf: Shelf) -> None:
    inner = fill(shelf).read_bytes() + noise(50_000)
    path = shelf.packs / shelf.keep(inner)
    whole = found_by(path)
    assert isinstance(whole[0], SealedRecord) and whole[0].seal.kind is RecordKind.STORED
    hurt = bytearray(path.read_bytes())
    hurt[-2000] ^= 1
    path.write_bytes(hurt)
    first, *others = found_by(path)
    assert isinstance(first, DamagedRange)
    assert others == whole[1:]


def test_logs_are_scanned_across_damage(shelf: Shelf) -> None:
    path = fill_log(shelf)
    fd = open_pack(path)
    try:
        first, second = read_groups(fd).groups
    finally:
        os.close(fd)
    hurt = bytearray(path.read_bytes())
    hurt[second.start - 1] ^= 1  # in the first table
    path.write_bytes(hurt)
    found = scan_frames(path)
    assert {row.sha256 for row in found.group.blobs} == {identify(d).sha256 for d in CONTENTS}
    (damage,) = found.damage
    assert damage.end == second.start and first.start < damage.start
