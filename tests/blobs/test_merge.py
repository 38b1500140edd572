import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore import atomic
from epmstore.blobs.merge import SMALL, merge_packs, plan_merge, reclaimable, rewrite, seal_log
from epmstore.blobs.pack import WrittenGroup
from epmstore.blobs.packlog import PackLog
from epmstore.blobs.records import load_group, open_pack, read_at
from epmstore.digest import BlobInfo, Sha256, identify
from epmstore.errors import DamagedError
from epmstore.pack_table import NO_FRAME
from epmstore.seal import SIZE, RecordKind
from tests.blobs.table import Shelf, group_of, noise, text


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path)
    yield made
    made.store.close()


def replace(shelf: Shelf, files: list[str], written: WrittenGroup) -> str:
    """What who merges does, in its order."""
    for file in files:
        shelf.table.forget_file(file)
    file = shelf.publish(written)
    for old in {*files} - {file}:  # what did not change has its old name
        atomic.remove_file(shelf.packs / old)
    return file


def frames_of(packs: Path, file: str) -> list[bytes]:
    fd = open_pack(packs / file)
    try:
        return [
            read_at(fd, frame.offset, SIZE + frame.head_length + frame.body_length)
            for frame in load_group(packs / file).frames
        ]
    finally:
        os.close(fd)


def fill(shelf: Shelf, *contents: bytes, base: bytes = b"", large: bytes = b"") -> str:
    """A pack of contents, with a delta for each against `base`, and a large one."""
    with shelf.writer(frame_size=1000, part_size=300) as writer:
        for data in contents:
            writer.add(identify(data), data)
        if base:
            delta = base + b"delta"
            assert writer.add_delta(identify(delta), delta, identify(base).sha256, base)
        if large:
            writer.add_large([large])
        return shelf.publish(writer.finish())


def test_small_packs_are_merged_by_eights() -> None:
    sizes = {f"{n}": 1000 + n for n in range(19)} | {"large": SMALL, "almost": SMALL - 1}
    plan = plan_merge(sizes)
    assert [len(files) for files in plan] == [8, 8]
    assert [file for files in plan for file in files] == [f"{n}" for n in range(16)]
    assert plan_merge({}) == plan_merge({"one": 1}) == []


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 2 * SMALL), max_size=40))
def test_a_plan_names_each_small_pack_at_most_once(sizes: dict[str, int]) -> None:
    planned = [file for files in plan_merge(sizes) for file in files]
    assert len(planned) == len(set(planned))
    assert all(sizes[file] < SMALL for file in planned)
    assert sum(size < SMALL for size in sizes.values()) - len(planned) < 8


def test_merging_keeps_everything_and_copies_frames(shelf: Shelf) -> None:
    base = text(100)
    files = [
        fill(shelf, base, noise(50), base=base),
        fill(shelf, *(text(20, n) for n in range(9)), large=noise(1000)),
        fill(shelf, b"", base=base),
    ]
    infos = {info for known in shelf.table.infos.values() for info in known}
    before = {info: shelf.store.read(info) for info in infos}
    records = [record for file in files for record in frames_of(shelf.packs, file)]
    merged = replace(shelf, files, merge_packs(shelf.packs, files))
    # the delta of the third pack is that of the first; its frame is not copied
    assert sorted(frames_of(shelf.packs, merged)) == sorted(set(records))
    assert {info: shelf.store.read(info) for info in infos} == before
    assert sorted(path.name for path in (shelf.packs / merged).parent.iterdir()) == [
        Path(merged).name
    ]


def test_of_a_delta_and_a_full_copy_the_full_one_stays(shelf: Shelf) -> None:
    old, new, newer = text(100), text(100) + b"delta", text(100) + b"delta" * 2
    files = [fill(shelf, old, base=old), fill(shelf, new)]
    assert shelf.table.found[identify(new).sha256].base is None
    with shelf.writer() as writer:
        writer.add_delta(identify(newer), newer, identify(new).sha256, new)
        shelf.publish(writer.finish())
    for order in (files, files[::-1]):
        group = merge_packs(shelf.packs, order)
        rows = [row for row in group.group.blobs if row.sha256 == identify(new).sha256]
        assert [row.base for row in rows] == [None]
    replace(shelf, files, group)
    assert shelf.store.read(identify(newer)) == newer


def test_damage_is_not_merged(shelf: Shelf) -> None:
    files = [fill(shelf, text(50)), fill(shelf, text(60))]
    path = shelf.packs / files[1]
    hurt = bytearray(path.read_bytes())
    hurt[80] ^= 1
    path.write_bytes(hurt)
    with pytest.raises(DamagedError):
        merge_packs(shelf.packs, files)
    with pytest.raises(DamagedError):
        rewrite(shelf.packs, files[1], lambda _: True)
    assert [path.name for path in shelf.packs.iterdir() if path.is_file()] == []


def test_rewriting_leaves_dead_frames_out_and_packs_wasteful_ones_again(shelf: Shelf) -> None:
    contents = [noise(100, n) for n in range(30)]  # ten in each frame
    file = fill(shelf, *contents)
    live = {identify(data).sha256 for data in [contents[0], contents[9], *contents[20:28]]}
    keep = live.__contains__
    group = load_group(shelf.packs / file)
    saved = reclaimable(group, keep)
    written = rewrite(shelf.packs, file, keep)
    rewritten = written.group
    new = replace(shelf, [file], written)
    stored = {row.sha256 for row in rewritten.blobs}
    # a frame of which less than a quarter is dead is copied with all that is in it
    assert stored == live | {identify(data).sha256 for data in contents[20:]}
    assert len(rewritten.frames) == 2
    for data in [contents[0], contents[9], *contents[20:]]:
        assert shelf.store.read(identify(data)) == data
    assert saved == 1800
    assert reclaimable(load_group(shelf.packs / new), keep) == 0


def test_rewriting_deltas_and_large_contents(shelf: Shelf) -> None:
    base = text(100)
    with shelf.writer(part_size=300) as writer:
        for n in range(10):
            data = base + noise(9, n)
            writer.add_delta(identify(data), data, identify(base).sha256, base)
        one = writer.add_large([noise(900, 1)])
        two = writer.add_large([noise(900, 2)])
        file = shelf.publish(writer.finish())
    shelf.keep(base)
    kept = base + noise(9, 3)
    live = {identify(kept).sha256, one.sha256, *shelf.table.found[one.sha256].parts}
    replace(shelf, [file], rewrite(shelf.packs, file, live.__contains__))
    assert shelf.store.read(identify(kept)) == kept
    assert shelf.store.read(one) == noise(900, 1)
    assert not shelf.store.has(two)
    assert not shelf.store.has(identify(base + noise(9, 4)))


def test_parts_that_are_deltas_are_merged_sealed_and_rewritten(shelf: Shelf) -> None:
    old = noise(3000, 1)
    with shelf.writer(part_size=1000) as writer:
        first = writer.add_large([old])
        base_file = shelf.publish(writer.finish())
    new = b"0123456789" + old
    with shelf.writer(part_size=1000) as writer:
        second = writer.add_large([new], bases=shelf.store.part_bases(first))
        file = shelf.publish(writer.finish())
    parts = shelf.table.found[second.sha256].parts
    live = {second.sha256, *parts, *filter(None, (shelf.table.found[p].base for p in parts))}
    replace(shelf, [file], rewrite(shelf.packs, file, live.__contains__))
    assert shelf.store.read(second) == new
    replace(shelf, [base_file], rewrite(shelf.packs, base_file, live.__contains__))
    assert shelf.store.read(second) == new
    assert not shelf.store.has(first)


def test_nothing_is_left_of_a_dead_pack(shelf: Shelf) -> None:
    file = fill(shelf, text(50), base=text(50), large=noise(700))
    written = rewrite(shelf.packs, file, lambda _: False)
    assert written.group.blobs == ()
    group = load_group(shelf.packs / file)
    assert reclaimable(group, lambda _: False) == sum(f.body_length for f in group.frames)


ways = st.lists(
    st.tuples(st.integers(0, 30), st.booleans(), st.booleans()), min_size=1, max_size=12
)


@given(ways, st.integers(1, 3))
def test_merge_keeps_every_live_content(
    tmp_path_factory: pytest.TempPathFactory, made: list[tuple[int, bool, bool]], packs: int
) -> None:
    shelf = Shelf(tmp_path_factory.mktemp("shelf"))
    base = text(40)
    files = [shelf.keep(base)]
    live: set[Sha256] = {identify(base).sha256}
    wanted: dict[BlobInfo, bytes] = {identify(base): base}
    for n in range(packs):
        with shelf.writer(frame_size=300) as writer:
            for seed, as_delta, is_live in made[n::packs]:
                data = text(40) + noise(3, seed) if as_delta else text(8, seed)
                if as_delta:
                    writer.add_delta(identify(data), data, identify(base).sha256, base)
                else:
                    writer.add(identify(data), data)
                if is_live:
                    live.add(identify(data).sha256)
                    wanted[identify(data)] = data
            files.append(shelf.publish(writer.finish()))
    for file in dict.fromkeys(files):
        replace(shelf, [file], rewrite(shelf.packs, file, live.__contains__))
    assert {info: shelf.store.read(info) for info in wanted} == wanted
    files = sorted({place.file for place in shelf.table.found.values()})
    replace(shelf, files, merge_packs(shelf.packs, files))
    assert dict(shelf.store.read_many(wanted)) == wanted
    shelf.store.close()


def test_a_log_becomes_a_solid_pack_in_the_order_given(shelf: Shelf) -> None:
    base = text(100)
    contents = [text(20, n) for n in range(9)]
    log = PackLog(shelf.packs, shelf.quarantine)
    groups = [group_of(shelf.packs, data) for data in contents]
    groups.append(group_of(shelf.packs, noise(700_000)))
    with shelf.writer(part_size=300) as writer:
        writer.add_delta(identify(base + b"1"), base + b"1", identify(base).sha256, base)
        large = writer.add_large([noise(1000, 1)])
        groups.append(writer.finish())
    groups.append(group_of(shelf.packs, base, contents[0]))
    for at, written in zip(log.append(groups), groups, strict=True):
        shelf.table.add_group(at.file, at.start, written.group)
    known = {info: shelf.store.read(info) for all in shelf.table.infos.values() for info in all}
    order = [identify(data).sha256 for data in (base, *reversed(contents))]
    log.begin_next()
    written = seal_log(shelf.packs, "log/0", order)
    pack = written.group
    (first,) = {row.frame for row in pack.blobs if row.sha256 in order}
    assert [row.sha256 for row in pack.blobs if row.frame == first] == order
    assert [frame.kind for frame in pack.frames].count(RecordKind.SOLID) == 1
    replace(shelf, ["log/0"], written)
    assert {info: shelf.store.read(info) for info in known} == known
    assert shelf.store.read(large) == noise(1000, 1)
    assert [row.sha256 for row in pack.blobs if row.frame == NO_FRAME] == [large.sha256]
    assert shelf.table.found[identify(base + b"1").sha256].kind is RecordKind.DELTA


@pytest.mark.parametrize(("live", "is_packed_again"), [(5, False), (4, True)])
def test_a_large_frame_of_a_log_is_copied_unless_a_good_part_of_it_is_dead(
    shelf: Shelf, live: int, is_packed_again: bool
) -> None:
    contents = [noise(60_000, n) for n in range(6)]
    log = PackLog(shelf.packs, shelf.quarantine)
    group = group_of(shelf.packs, *contents)
    (at,) = log.append([group])
    shelf.table.add_group(at.file, at.start, group.group)
    log.begin_next()
    kept = {identify(data).sha256 for data in contents[:live]}
    written = seal_log(shelf.packs, "log/0", keep=kept.__contains__)
    (frame,) = written.group.frames
    assert frame.plain_size == (live if is_packed_again else len(contents)) * 60_000
    assert {row.sha256 for row in written.group.blobs} == kept
    replace(shelf, ["log/0"], written)
    assert [shelf.store.read(identify(data)) for data in contents[:live]] == contents[:live]


def test_a_damaged_or_torn_log(shelf: Shelf) -> None:
    log = PackLog(shelf.packs, shelf.quarantine)
    log.append([group_of(shelf.packs, text(20)), group_of(shelf.packs, text(30))])
    path = shelf.packs / "log/0"
    good = path.read_bytes()
    path.write_bytes(good + b"torn")
    assert len(seal_log(shelf.packs, "log/0").group.blobs) == 2
    path.write_bytes(good[:70] + b"?" + good[71:])
    with pytest.raises(DamagedError):
        seal_log(shelf.packs, "log/0")
