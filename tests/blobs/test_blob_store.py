import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from epmstore import atomic
from epmstore.blobs import frames
from epmstore.blobs.blob_store import PackStore, stored_share
from epmstore.blobs.interface import BlobReader
from epmstore.blobs.pack import PART_THRESHOLD, GroupWriter, publish_pack
from epmstore.blobs.packlog import PackLog
from epmstore.blobs.reader import FrameReader, PackFiles
from epmstore.digest import BlobInfo, Digest, Sha256, identify
from epmstore.errors import (
    BlobNotFoundError,
    CollisionError,
    DamagedError,
    DigestMismatchError,
    UsageError,
)
from epmstore.pack_table import Place
from epmstore.seal import SIZE, RecordKind, Seal
from tests.blobs.contract import BlobReaderContract
from tests.blobs.table import MemoryTable, Shelf, group_of, noise, text

ROOT = Path(__file__).resolve().parents[2]
COLLISIONS = Path(
    os.environ.get("EPM_TEST_COLLISIONS", ROOT.parent / "shared/fixtures/sha1-collisions")
)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path)
    yield made
    made.store.close()


class TestPackStore(BlobReaderContract):
    def reader(self, folder: Path, contents: Sequence[bytes]) -> BlobReader:
        shelf = Shelf(folder)
        shelf.keep(*contents, frame_size=4096)
        return shelf.store


class TestPackLogStore(BlobReaderContract):
    def reader(self, folder: Path, contents: Sequence[bytes]) -> BlobReader:
        shelf = Shelf(folder)
        log = PackLog(shelf.packs, shelf.quarantine)
        for data in contents:
            written = group_of(shelf.packs, data)
            ((file, start),) = [(at.file, at.start) for at in log.append([written])]
            shelf.table.add_group(file, start, written.group)
        return shelf.store


class TestLargeContents(BlobReaderContract):
    """Everything in parts of a hundred bytes: read one by one."""

    def reader(self, folder: Path, contents: Sequence[bytes]) -> BlobReader:
        shelf = Shelf(folder)
        with GroupWriter(shelf.packs, part_size=100, spill=100) as writer:
            for data in contents:
                writer.add_large([data])
            shelf.publish(writer.finish())
        return shelf.store

    def test_many_come_once_each(self, tmp_path: Path) -> None:
        reader = self.reader(tmp_path, [text(10)])
        with pytest.raises(UsageError):
            list(reader.read_many([identify(text(10))]))


def base_for(shelf: Shelf, info: BlobInfo) -> Place | None:
    return shelf.store.bases_for([info]).get(info)


def with_delta(shelf: Shelf, old: bytes, new: bytes) -> None:
    base = base_for(shelf, identify(old))
    assert base is not None
    ((_, base_data),) = shelf.store.read_places([base])
    with shelf.writer() as writer:
        assert writer.add_delta(identify(new), new, base.sha256, base_data)
        shelf.publish(writer.finish())


def keep_large(shelf: Shelf, data: bytes) -> tuple[str, BlobInfo]:
    with shelf.writer(part_size=1000) as writer:
        large = writer.add_large([data])
        return shelf.publish(writer.finish()), large


def test_a_delta_comes_back(shelf: Shelf) -> None:
    shelf.keep(text(900), text(900, 1))
    with_delta(shelf, text(900), text(900) + b"more\n")
    new = identify(text(900) + b"more\n")
    assert shelf.table.found[new.sha256].kind is RecordKind.DELTA
    assert shelf.store.read(new) == text(900) + b"more\n"


def test_the_base_of_a_delta_is_that_of_the_next(shelf: Shelf) -> None:
    first = text(900)
    shelf.keep(first)
    for n in range(3):
        old = first + b"x" * n
        with_delta(shelf, old, first + b"x" * (n + 1))
    place = shelf.table.found[identify(first + b"xxx").sha256]
    assert place.base == identify(first).sha256
    many = [identify(first + b"x" * n) for n in range(4)]
    assert {len(data) - len(first) for _, data in shelf.store.read_many(many)} == {0, 1, 2, 3}


def test_deltas_that_add_up_to_a_copy_end_a_base(shelf: Shelf) -> None:
    first = text(900)
    shelf.keep(first)
    place = shelf.table.found[identify(first).sha256]
    n = 0
    while base_for(shelf, identify(first)) is not None:
        n += 1
        with_delta(shelf, first, first + noise(500, n))
    assert n > 1
    assert shelf.table.delta_bytes(place.sha256) >= stored_share(place)
    assert base_for(shelf, identify(first + noise(500, 1))) is None


def test_empty_large_and_delta_contents_are_no_base(shelf: Shelf) -> None:
    shelf.keep(b"")
    with GroupWriter(shelf.packs, part_size=100) as writer:
        large = writer.add_large([text(100)])
        shelf.publish(writer.finish())
    assert base_for(shelf, identify(b"")) is None
    assert base_for(shelf, large) is None
    assert base_for(shelf, identify(b"never stored")) is None
    data = text(5)
    place = Place(
        identify(data).sha256, PART_THRESHOLD + 1, "aa/x.pack", RecordKind.STORED, 0, 0, 9, 9, 0, 9
    )
    shelf.table.found[place.sha256] = place
    assert base_for(shelf, identify(data)) is None


def test_each_frame_is_decoded_once(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [text(60, n) for n in range(60)]
    shelf.keep(*contents, frame_size=8000)
    for data in contents[::3]:
        with_delta(shelf, data, data + b"\n")
    decoded: list[tuple[str, int]] = []
    decode = FrameReader._decode

    def counted(self: FrameReader, place: Place, wanted: int | None) -> bytes:
        decoded.append((place.file, place.seal_offset))
        return decode(self, place, wanted)

    monkeypatch.setattr(FrameReader, "_decode", counted)
    wanted = [*contents, *(data + b"\n" for data in contents[::3])]
    infos = [identify(data) for data in wanted]
    places = shelf.table.found.values()
    frames = {(place.file, place.seal_offset) for place in places}
    with PackStore(shelf.packs, shelf.table) as store:
        # room for two frames only: the order alone must do it
        store._reader._cache._limit = 16_000
        found = list(store.read_many(infos))
    assert dict(found) == dict(zip(infos, wanted, strict=True))
    assert sorted(decoded) == sorted(frames)


def test_a_frame_is_decoded_as_far_as_it_is_wanted(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [text(60, n) for n in range(60)]
    shelf.keep(*contents, frame_size=1 << 20)
    with_delta(shelf, contents[10], contents[10] + b"\n")
    infos = [identify(data) for data in (*contents, contents[10] + b"\n")]
    plain: list[int] = []
    plain_bytes = frames.plain_bytes

    def measured(found: Seal, body: bytes | memoryview, wanted: int | None = None) -> bytes:
        data = plain_bytes(found, body, wanted)
        plain.append(len(data))
        return data

    monkeypatch.setattr(frames, "plain_bytes", measured)
    whole = sum(map(len, contents))
    with PackStore(shelf.packs, shelf.table) as store:
        assert store.read(infos[3]) == contents[3]  # decodes 4 of them
        assert store.read(infos[0]) == contents[0]  # which are there
        assert store.read(infos[60]) == contents[10] + b"\n"  # 11, for the base
        assert dict(store.read_many(infos[8:20])) == dict(
            zip(infos[8:20], contents[8:20], strict=True)
        )
        assert store.read(infos[59]) == contents[59]  # the last one
        assert store.read(infos[58]) == contents[58]
    assert plain == [sum(map(len, contents[:count])) for count in (4, 11, 20, 60)]
    assert plain[-1] == whole


def test_frames_of_one_content_are_not_cached(shelf: Shelf) -> None:
    """A stream of parts that do not compress would drive out what is asked for again."""
    _, large = keep_large(shelf, noise(20000))
    shelf.keep(noise(5000, 1))
    shelf.keep(text(50), text(60))
    assert b"".join(shelf.store.stream(large)) == noise(20000)
    assert shelf.store.read(identify(noise(5000, 1))) == noise(5000, 1)
    assert shelf.store.read(identify(text(50))) == text(50)
    assert list(shelf.store._reader._cache._frames.values()) == [text(50)]


def test_damage_behind_what_is_wanted_is_noticed(shelf: Shelf) -> None:
    contents = [text(60, n) for n in range(60)]
    file = shelf.keep(*contents, frame_size=1 << 20)
    place = shelf.table.found[identify(contents[0]).sha256]
    with (shelf.packs / file).open("r+b") as pack:
        pack.seek(place.seal_offset + SIZE + place.head_length + place.body_length - 1)
        last = pack.read(1)
        pack.seek(-1, os.SEEK_CUR)
        pack.write(bytes([last[0] ^ 1]))
    with pytest.raises(DamagedError):
        shelf.store.read(identify(contents[0]))


def test_a_merged_pack_is_looked_up_again(shelf: Shelf) -> None:
    one = shelf.keep(text(50))
    merged = group_of(shelf.packs, text(50), text(60))

    class Stale:
        """Answers the first question from before the merge."""

        def __init__(self) -> None:
            self.before: list[Place] | None = list(shelf.table.found.values())

        def with_digest(self, digest: Digest) -> list[BlobInfo]:
            return []

        def places(self, wanted: Sequence[object]) -> dict[object, Place]:
            before, self.before = self.before, None
            held = before or shelf.table.found.values()
            return {place.sha256: place for place in held if place.sha256 in wanted}

        def delta_bytes(self, base: object) -> int:
            return 0

    stale = Stale()
    shelf.table.forget_file(one)
    shelf.publish(merged)
    atomic.remove_file(shelf.packs / one)
    with PackStore(shelf.packs, stale) as store:  # type: ignore[arg-type]
        assert store.read(identify(text(50))) == text(50)


def test_a_lost_pack_is_not_found(shelf: Shelf) -> None:
    file = shelf.keep(text(50))
    atomic.remove_file(shelf.packs / file)
    with pytest.raises(BlobNotFoundError) as caught:
        shelf.store.read(identify(text(50)))
    assert caught.value.data["file"] == file


def test_an_open_pack_that_was_removed_is_not_read(shelf: Shelf) -> None:
    file = shelf.keep(text(50), noise(100))
    assert shelf.store.read(identify(text(50)))
    shelf.store._reader._cache.clear()
    atomic.remove_file(shelf.packs / file)
    with pytest.raises(BlobNotFoundError):
        shelf.store.read(identify(noise(100)))


def test_a_lost_base_is_not_found(shelf: Shelf) -> None:
    shelf.keep(text(900))
    with_delta(shelf, text(900), text(901))
    del shelf.table.found[identify(text(900)).sha256]
    with pytest.raises(BlobNotFoundError):
        shelf.store.read(identify(text(901)))


def test_a_lost_part_ends_a_stream_early(shelf: Shelf) -> None:
    _, large = keep_large(shelf, text(900))
    del shelf.table.found[shelf.table.found[large.sha256].parts[-1]]
    with pytest.raises(BlobNotFoundError):
        list(shelf.store.stream(large))


def test_a_stream_goes_on_in_the_pack_its_parts_were_merged_into(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is the reader who asks where they are: its thread has the lock of the index."""
    old, large = keep_large(shelf, text(900))
    with shelf.writer(part_size=1000) as writer:
        writer.add(identify(text(50)), text(50))
        writer.add_large([text(900)])
        merged = writer.finish()
    asked: set[int] = set()
    find = MemoryTable.places

    def places(table: MemoryTable, wanted: Sequence[Sha256]) -> dict[Sha256, Place]:
        asked.add(threading.get_ident())
        return find(table, wanted)

    monkeypatch.setattr(MemoryTable, "places", places)
    pieces = shelf.store.stream(large)
    got = [next(pieces)]
    shelf.table.forget_file(old)
    shelf.publish(merged)
    atomic.remove_file(shelf.packs / old)
    shelf.store.close()
    assert b"".join([*got, *pieces]) == text(900)
    assert asked == {threading.get_ident()}


def test_a_stream_that_ends_early_leaves_nothing_running(shelf: Shelf) -> None:
    before = threading.active_count()
    file, large = keep_large(shelf, noise(20000))
    pieces = shelf.store.stream(large)
    assert next(pieces) == noise(20000)[:1000]
    pieces.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before

    third = shelf.table.found[shelf.table.found[large.sha256].parts[2]]
    with (shelf.packs / file).open("r+b") as pack:
        pack.seek(third.seal_offset + SIZE + third.head_length + 500)
        pack.write(b"damage")
    shelf.store.close()  # and what it has decoded
    pieces = shelf.store.stream(large)
    assert next(pieces) == noise(20000)[:1000]
    with pytest.raises(DamagedError):
        list(pieces)
    assert threading.active_count() == before


def test_parts_in_a_wrong_order_are_found_out(shelf: Shelf) -> None:
    _, large = keep_large(shelf, text(900))
    place = shelf.table.found[large.sha256]
    turned = Place(
        large.sha256, large.size, place.file, None, 0, 0, 0, 0, 0, 0, None, place.parts[::-1]
    )
    shelf.table.found[large.sha256] = turned
    pieces = shelf.store.stream(large)
    got = [next(pieces) for _ in place.parts[1:]]
    assert len(got) == len(place.parts) - 1
    with pytest.raises(DigestMismatchError):
        next(pieces)


def test_a_wrong_place_gives_no_bytes(shelf: Shelf) -> None:
    """The index is a cache: whatever it says, what comes out is right or an error."""
    shelf.keep(text(50), text(50, 1), noise(700))
    one, two, three = shelf.table.found.values()
    wrong = [
        Place(one.sha256, two.size, *_rest(two)),
        Place(one.sha256, one.size, *_rest(three)),
        Place(one.sha256, one.size, one.file, one.kind, one.seal_offset + 1, *_rest(one)[3:]),
        Place(one.sha256, one.size, one.file, one.kind, 1 << 40, *_rest(one)[3:]),
        Place(one.sha256, one.size, one.file, RecordKind.DELTA, *_rest(one)[2:]),
        Place(one.sha256, one.size, *_rest(one)[:-1], one.length - 1),
    ]
    for place in wrong:
        shelf.table.found[one.sha256] = place
        shelf.store.close()
        with pytest.raises((DamagedError, BlobNotFoundError)):
            shelf.store.read(identify(text(50)))


def _rest(place: Place) -> tuple[str, RecordKind | None, int, int, int, int, int, int]:
    return (
        place.file,
        place.kind,
        place.seal_offset,
        place.head_length,
        place.body_length,
        place.plain_size,
        place.offset,
        place.length,
    )


def test_a_base_that_is_a_delta_is_refused(shelf: Shelf) -> None:
    shelf.keep(text(900))
    with_delta(shelf, text(900), text(900) + b"1")
    with_delta(shelf, text(900), text(900) + b"2")
    first, second = (shelf.table.found[identify(text(900) + n).sha256] for n in (b"1", b"2"))
    shelf.table.found[second.sha256] = Place(
        second.sha256, second.size, *_rest(second), first.sha256
    )
    with pytest.raises(DamagedError):
        shelf.store.read(identify(text(900) + b"2"))


@pytest.mark.skipif(not COLLISIONS.is_dir(), reason=f"no collisions in {COLLISIONS}")
def test_the_second_of_two_colliding_contents_is_refused(shelf: Shelf) -> None:
    one = (COLLISIONS / "sha-mbles-1.bin").read_bytes()
    two = (COLLISIONS / "sha-mbles-2.bin").read_bytes()
    assert identify(one).digest == identify(two).digest
    shelf.keep(one)
    with shelf.writer() as writer:
        shelf.store.check_no_collision(identify(one))
        with pytest.raises(CollisionError):
            shelf.store.check_no_collision(identify(two))
        # recording goes on: the witness tells them apart
        writer.add(identify(two), two)
        shelf.publish(writer.finish())
    assert shelf.store.read(identify(one)) == one
    assert shelf.store.read(identify(two)) == two


def test_several_threads_read(shelf: Shelf) -> None:
    contents = [text(40, n) for n in range(200)]
    for part in range(4):
        shelf.keep(*contents[part::4], frame_size=3000)
    shelf.store._reader._files._limit = 1
    shelf.store._reader._cache._limit = 10_000
    infos = {identify(data): data for data in contents}
    wrong: list[object] = []

    def read(order: list[BlobInfo]) -> None:
        try:
            wrong.extend(info for info in order if shelf.store.read(info) != infos[info])
        except Exception as error:  # a thread has nobody to raise to
            wrong.append(error)

    threads = [
        threading.Thread(target=read, args=(list(infos)[n:] + list(infos)[:n],))
        for n in (0, 50, 100, 150)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_descriptors_are_bounded(tmp_path: Path) -> None:
    for n in range(5):
        atomic.replace_file(tmp_path / str(n), b"%d" % n)
    before = len(os.listdir("/proc/self/fd"))
    files = PackFiles(tmp_path, limit=2)
    with files.open("0") as held:
        for n in range(1, 5):
            with files.open(str(n)) as fd:
                assert os.pread(fd, 9, 0) == b"%d" % n
        assert len(os.listdir("/proc/self/fd")) - before <= 3
        assert os.pread(held, 9, 0) == b"0"
    files.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_name_that_stands_for_another_file_is_opened_again(tmp_path: Path) -> None:
    atomic.replace_file(tmp_path / "log", b"old")
    before = len(os.listdir("/proc/self/fd"))
    files = PackFiles(tmp_path)
    with files.open("log") as old:
        atomic.replace_file(tmp_path / "log", b"new")
        with files.open("log") as new:
            assert (os.pread(old, 9, 0), os.pread(new, 9, 0)) == (b"old", b"new")
    with files.open("log") as again:
        assert os.pread(again, 9, 0) == b"new"
    files.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_published_twice_is_one_pack(shelf: Shelf) -> None:
    one, two = (publish_pack(shelf.packs, group_of(shelf.packs, b"same")) for _ in range(2))
    assert one == two
    assert [path.name for path in shelf.packs.iterdir()] == [one[:2]]
