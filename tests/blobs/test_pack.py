import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore import fsio
from epmstore.blobs import frames
from epmstore.blobs.pack import GroupWriter, WrittenGroup, discard_written, publish_pack
from epmstore.blobs.records import load_group, open_pack, walk
from epmstore.digest import BlobInfo, Sha256, identify
from epmstore.errors import DamagedError
from epmstore.pack_table import NO_FRAME
from epmstore.seal import RecordKind
from tests.blobs.table import Shelf, group_of, noise, text


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path)
    yield made
    made.store.close()


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def kinds(written: WrittenGroup) -> str:
    return "".join(frame.kind.decode() for frame in written.group.frames)


def test_small_contents_share_frames_in_the_order_given(shelf: Shelf) -> None:
    contents = [text(30, n) for n in range(20)]
    written = group_of(shelf.packs, *contents, frame_size=2000)
    assert [row.sha256 for row in written.group.blobs] == [identify(c).sha256 for c in contents]
    assert [row.frame for row in written.group.blobs] == sorted(
        row.frame for row in written.group.blobs
    )
    assert 1 < len(written.group.frames) < len(contents)
    assert all(frame.plain_size <= 2000 for frame in written.group.frames)


def test_contents_larger_than_a_frame_get_their_own(shelf: Shelf) -> None:
    written = group_of(shelf.packs, text(3), text(400), text(4), frame_size=2000)
    by_content = {row.sha256: row.frame for row in written.group.blobs}
    large = by_content[identify(text(400)).sha256]
    assert [row.frame for row in written.group.blobs].count(large) == 1
    assert by_content[identify(text(3)).sha256] == by_content[identify(text(4)).sha256]


def test_a_content_is_written_once(shelf: Shelf) -> None:
    once = group_of(shelf.packs, text(9))
    assert group_of(shelf.packs, text(9), text(9)) == once


def test_small_groups_stay_in_memory_and_large_ones_do_not(shelf: Shelf) -> None:
    small = group_of(shelf.packs, noise(100))
    assert small.memory is not None and small.temporary is None
    assert len(small.memory) == small.group.length
    assert files_below(shelf.packs) == []
    large = group_of(shelf.packs, noise(5000), spill=4000)
    assert large.memory is None and large.temporary is not None
    assert files_below(shelf.packs) == [large.temporary]
    assert load_group(large.temporary) == large.group


@pytest.mark.parametrize("spill", [0, 1 << 20])
def test_a_pack_has_the_name_of_its_table(shelf: Shelf, spill: int) -> None:
    written = group_of(shelf.packs, noise(500), text(50), spill=spill)
    group = written.group
    file = publish_pack(shelf.packs, written)
    assert file == f"{written.id[:2]}/{written.id}.pack"
    assert files_below(shelf.packs) == [shelf.packs / file]
    assert load_group(shelf.packs / file) == group
    fd = open_pack(shelf.packs / file)
    *_, last, end = [found.seal for found in walk(fd)]  # type: ignore[union-attr]
    assert (last.kind, end.kind) == (RecordKind.FOOTER, RecordKind.TRAILER)
    assert (end.head.hex(), end.number) == (written.id, last.offset)
    assert group.length == written.length == last.end


def test_in_memory_or_in_a_file_a_pack_is_the_same(shelf: Shelf) -> None:
    one = publish_pack(shelf.packs, group_of(shelf.packs, noise(500), spill=0))
    data = (shelf.packs / one).read_bytes()
    two = publish_pack(shelf.packs, group_of(shelf.packs, noise(500)))
    assert (one, data) == (two, (shelf.packs / two).read_bytes())


def test_unfinished_writer_leaves_no_file(shelf: Shelf) -> None:
    with shelf.writer(spill=10, frame_size=10) as writer:
        writer.add(identify(noise(500)), noise(500))
        assert len(files_below(shelf.packs)) == 1
    assert files_below(shelf.packs) == []
    discard_written(group_of(shelf.packs, noise(500), spill=0))
    assert files_below(shelf.packs) == []


def test_an_empty_group(shelf: Shelf) -> None:
    with shelf.writer() as writer:
        written = writer.finish()
    assert written.group.blobs == ()
    assert load_group(shelf.packs / publish_pack(shelf.packs, written)) == written.group


def test_deltas_share_a_frame(shelf: Shelf) -> None:
    base = text(900)
    with shelf.writer() as writer:
        for n in range(frames.DELTA_COUNT + 10):
            data = base + b"%d" % n
            assert writer.add_delta(identify(data), data, identify(base).sha256, base)
        written = writer.finish()
    assert kinds(written) == "DD"
    assert all(row.base == identify(base).sha256 for row in written.group.blobs)


def test_a_delta_that_saves_little_is_not_made(shelf: Shelf) -> None:
    with shelf.writer() as writer:
        data = noise(3000)
        assert not writer.add_delta(identify(data), data, identify(text(900)).sha256, text(900))
        written = writer.finish()
    assert kinds(written) == "R"


def test_a_large_content_that_makes_no_delta_has_the_frame_that_said_so(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed, made = frames.solid, []

    def count(blobs: Sequence[bytes]) -> frames.Frame:
        made.append(blobs)
        return packed(blobs)

    monkeypatch.setattr(frames, "solid", count)
    shelf.keep(text(900))
    made.clear()
    with shelf.writer(frame_size=500) as writer:
        for _ in range(2):
            data, base = noise(3000), text(900)
            assert not writer.add_delta(identify(data), data, identify(base).sha256, base)
        shelf.publish(writer.finish())
    assert made == [[noise(3000)]]
    assert shelf.store.read(identify(noise(3000))) == noise(3000)


def test_deltas_and_others_in_one_group(shelf: Shelf) -> None:
    shelf.keep(text(900))
    base = identify(text(900)).sha256
    with shelf.writer(part_size=1000, frame_size=500) as writer:
        writer.add(identify(b"one"), b"one")
        writer.add_delta(identify(text(901)), text(901), base, text(900))
        large = writer.add_large([noise(1500), text(100)])
        writer.add(identify(b"two"), b"two")
        shelf.publish(writer.finish())
    for data in (b"one", b"two", text(901), noise(1500) + text(100)):
        assert shelf.store.read(identify(data)) == data
    assert large == identify(noise(1500) + text(100))


def test_parts_that_are_stored_are_not_written_again(shelf: Shelf) -> None:
    data = noise(1000, 1) + noise(1000, 2) + noise(500, 3)
    with shelf.writer(part_size=1000) as writer:
        writer.add_large([data])
        shelf.publish(writer.finish())
    grown = data[:2000] + noise(1000, 4)
    with shelf.writer(part_size=1000) as writer:
        info = writer.add_large(
            (grown[at : at + 7] for at in range(0, len(grown), 7)),
            lambda sha256: sha256 in shelf.table.found,
        )
        written = writer.finish()
    assert [row.size for row in written.group.blobs] == [1000, 3000]
    shelf.publish(written)
    assert b"".join(shelf.store.stream(info)) == grown


def keep_edit(shelf: Shelf, before: BlobInfo, data: bytes) -> tuple[BlobInfo, WrittenGroup]:
    with shelf.writer(part_size=1000) as writer:
        info = writer.add_large(
            [data], lambda part: part in shelf.table.found, shelf.store.part_bases(before)
        )
        written = writer.finish()
    shelf.publish(written)
    assert b"".join(shelf.store.stream(info)) == data
    return info, written


def test_parts_of_a_new_version_are_deltas(shelf: Shelf) -> None:
    old = b"".join(noise(1000, n) for n in range(6))
    with shelf.writer(part_size=1000) as writer:
        first = writer.add_large([old])
        shelf.publish(writer.finish())
    second, shifted = keep_edit(shelf, first, b"0123456789" + old)
    assert {row.base for row in shifted.group.blobs if row.size == 1000} <= set(
        shelf.table.found[first.sha256].parts
    )
    assert kinds(shifted) == "RD"  # the rest is what was pushed out at the end
    assert sum(frame.body_length for frame in shifted.group.frames) < 700
    # as deep as that: what is made of a delta is made of its base
    third, _ = keep_edit(shelf, second, b"012345678" + old)
    bases = [shelf.table.found[part].base for part in shelf.table.found[third.sha256].parts]
    assert set(bases[:6]) <= set(shelf.table.found[first.sha256].parts)


def test_parts_that_moved_are_compared_with_those_they_were(shelf: Shelf) -> None:
    old = b"".join(noise(1000, n) for n in range(6))
    with shelf.writer(part_size=1000) as writer:
        first = writer.add_large([old])
        shelf.publish(writer.finish())
    edited = noise(2000, 9) + old[:2000] + b"!" + old[2001:4100] + b"?" + old[4101:]
    _, written = keep_edit(shelf, first, edited)
    deltas = [row for row in written.group.blobs if row.base is not None]
    assert len(deltas) == 2 and all(row.length < 60 for row in deltas)


def test_failure_in_a_part_leaves_no_group(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    packed, before = frames.part, threading.active_count()

    def fail(data: bytes) -> frames.Frame:
        if data == noise(1000, 4):
            raise MemoryError
        return packed(data)

    monkeypatch.setattr(frames, "part", fail)
    with pytest.raises(MemoryError), shelf.writer(part_size=1000, spill=0) as writer:
        writer.add_large([noise(1000, n) for n in range(9)])
    assert files_below(shelf.packs) == []
    assert threading.active_count() == before


def test_a_part_that_repeats_is_written_once(shelf: Shelf) -> None:
    with shelf.writer(part_size=1000) as writer:
        info = writer.add_large([bytes(10_000)])
        written = writer.finish()
    assert len(written.group.frames) == 1
    shelf.publish(written)
    assert shelf.store.read(info) == bytes(10_000)


def test_a_part_may_be_a_file_as_well(shelf: Shelf) -> None:
    part = noise(1000)
    for first in (True, False):
        with shelf.writer(part_size=1000) as writer:
            if first:
                writer.add(identify(part), part)
            writer.add_large([part, text(100)])
            if not first:
                writer.add(identify(part), part)
            written = writer.finish()
        rows = [row for row in written.group.blobs if row.sha256 == identify(part).sha256]
        assert [row.digest for row in rows] == [identify(part).digest]
        shelf.publish(written)
        assert shelf.store.read(identify(part)) == part
        assert shelf.store.read(identify(part + text(100))) == part + text(100)


def test_a_part_that_is_a_delta_may_be_a_file_as_well(shelf: Shelf) -> None:
    old = noise(2000)
    with shelf.writer(part_size=1000) as writer:
        first = writer.add_large([old])
        shelf.publish(writer.finish())
    part = b"!" + old[1:1000]
    with shelf.writer(part_size=1000) as writer:
        writer.add_large([part + old[1000:]], bases=shelf.store.part_bases(first))
        writer.add(identify(part), part)
        written = writer.finish()
    (row,) = [row for row in written.group.blobs if row.sha256 == identify(part).sha256]
    assert row.base is not None
    assert row.digest == identify(part).digest


def test_contents_of_one_part_are_stored_as_small(shelf: Shelf) -> None:
    with shelf.writer() as writer:
        assert writer.add_large([]) == identify(b"")
        assert writer.add_large([b"sm", b"all"]) == identify(b"small")
        assert writer.add_large([b"stored"], lambda _: True) == identify(b"stored")
        written = writer.finish()
    assert [row.size for row in written.group.blobs] == [0, 5]
    assert NO_FRAME not in [row.frame for row in written.group.blobs]


contents = st.one_of(
    st.binary(max_size=200),
    st.builds(text, st.integers(0, 60), st.integers(0, 3)),
    st.builds(noise, st.integers(0, 900), st.integers(0, 3)),
)
jobs = st.lists(st.tuples(st.sampled_from(["add", "delta", "large"]), contents), max_size=12)


@given(
    st.lists(jobs, min_size=1, max_size=3), st.sampled_from([1, 300, 5000]), st.integers(0, 3000)
)
def test_whatever_is_given_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    groups: list[list[tuple[str, bytes]]],
    frame_size: int,
    spill: int,
) -> None:
    shelf = Shelf(tmp_path_factory.mktemp("shelf"))
    given: dict[BlobInfo, bytes] = {}
    for group in groups:
        with shelf.writer(frame_size=frame_size, part_size=150, spill=spill) as writer:
            for how, data in group:
                give(shelf, writer, how, data, list(given))
                given[identify(data)] = data
            shelf.publish(writer.finish())
    for info, data in given.items():
        assert shelf.store.read(info) == data
        assert shelf.table.with_digest(info.digest) == [info]
    shelf.store.close()


def give(shelf: Shelf, writer: GroupWriter, how: str, data: bytes, known: list[BlobInfo]) -> None:
    info = identify(data)
    bases = shelf.store.bases_for(known)
    if how == "large":
        assert writer.add_large([data], lambda sha256: sha256 in shelf.table.found) == info
    elif how == "delta" and bases:
        base = max(bases.values(), key=lambda place: (place.size, place.sha256))
        ((_, base_data),) = shelf.store.read_places([base])
        if base.sha256 != info.sha256:
            writer.add_delta(info, data, base.sha256, base_data)
    else:
        writer.add(info, data)


def test_several_writers_at_once(shelf: Shelf) -> None:
    made: list[WrittenGroup] = []

    def work(seed: int) -> None:
        made.append(group_of(shelf.packs, *(text(50, seed + n) for n in range(50)), spill=500))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for written in made:
        shelf.publish(written)
    for n in (0, 49, 100, 149, 200, 249):
        assert shelf.store.read(identify(text(50, n))) == text(50, n)


@pytest.mark.parametrize("call", ["create", "write", "fsync", "mkdir", "rename", "fsyncdir"])
def test_an_error_leaves_no_pack_and_no_debris(shelf: Shelf, call: str) -> None:
    def fail(name: str, _: tuple[object, ...]) -> None:
        if name == call:
            raise OSError(28, "no space left")

    fsio.install_fault(fail)
    try:
        with pytest.raises(OSError, match="no space"):
            publish_pack(shelf.packs, group_of(shelf.packs, noise(500), spill=0))
    finally:
        fsio.install_fault(None)
    assert files_below(shelf.packs) == []


def test_a_pack_cut_anywhere_is_no_pack(shelf: Shelf) -> None:
    path = shelf.packs / shelf.keep(b"one", text(9))
    whole = path.read_bytes()
    short = shelf.packs / "short"
    for size in range(len(whole)):
        short.write_bytes(whole[:size])
        with pytest.raises(DamagedError):
            load_group(short)


def test_the_table_of_another_pack_is_refused(shelf: Shelf) -> None:
    one = (shelf.packs / shelf.keep(b"one")).read_bytes()
    two = (shelf.packs / shelf.keep(b"two")).read_bytes()
    assert len(one) == len(two)
    size = len(one) - 96
    (shelf.packs / "mixed").write_bytes(one[:size] + two[size:])
    with pytest.raises(DamagedError):
        load_group(shelf.packs / "mixed")


def test_sizes_of_parts_are_kept(shelf: Shelf) -> None:
    with shelf.writer(part_size=10) as writer:
        info = writer.add_large([b"0123456789abcde"])
        written = writer.finish()
    *parts, large = written.group.blobs
    assert [row.size for row in parts] == [10, 5]
    assert large.parts == tuple(Sha256(row.sha256) for row in parts)
    assert (large.digest, large.size) == (info.digest, 15)
