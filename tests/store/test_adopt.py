"""Frames of others, at the store's door."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from epmstore import codec, seal
from epmstore.blobs import frames
from epmstore.blobs.foreign import Foreign, check_rows, open_frame
from epmstore.clock import FixedClock
from epmstore.digest import BlobInfo, Sha256, identify
from epmstore.errors import BadPackageError, BlobNotFoundError, CollisionError
from epmstore.pack_table import NO_FRAME, BlobRow
from epmstore.seal import RecordKind
from epmstore.store.adopt import Adopter
from epmstore.store.deposit import Deposit
from epmstore.store.store import Store
from epmstore.workspace import Workspace

RNG = random.Random(1)
OLD = RNG.randbytes(20_000)
NEW = OLD[:10_000] + b"changed" + OLD[10_000:]
NEWER = NEW + b"and more"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    path = tmp_path / "store"
    with Workspace.init(path, clock=FixedClock()) as ws:
        yield ws._store


def solid(*contents: bytes) -> Foreign:
    rows, at = [], 0
    for data in contents:
        info = identify(data)
        rows.append(BlobRow(info.digest, info.sha256, info.size, NO_FRAME, at, info.size))
        at += len(data)
    return Foreign(frames.solid(contents).sealed(), tuple(rows))


def delta(data: bytes, base: bytes) -> Foreign:
    one = frames.Delta(identify(base).sha256, codec.compress_delta(data, base), len(data))
    info = identify(data)
    lies = (NO_FRAME, 0, len(one.frame), one.base)
    return Foreign(
        frames.deltas([one]).sealed(), (BlobRow(info.digest, info.sha256, info.size, *lies),)
    )


def adopt(store: Store, *foreign: Foreign, bases: Sequence[bytes] = ()) -> None:
    with Deposit(store) as deposit:
        adopter = Adopter(deposit, [identify(base).sha256 for base in bases])
        for one in foreign:
            adopter.adopt(one)
        deposit.commit()


def kind_of(store: Store, data: bytes) -> RecordKind | None:
    return store.contents.places([identify(data).sha256])[identify(data).sha256].kind


def read(store: Store, data: bytes) -> bytes:
    return store.blobs.read(identify(data))


def test_a_plain_frame_is_stored_as_it_is(store: Store) -> None:
    foreign = solid(b"one" * 100, b"two" * 100, b"")
    adopt(store, foreign)
    assert read(store, b"two" * 100) == b"two" * 100
    assert read(store, b"") == b""
    held = b"".join(path.read_bytes() for path in store.packs.rglob("*") if path.is_file())
    assert foreign.record in held


def test_a_frame_that_is_mostly_known_is_not_stored_again(store: Store) -> None:
    adopt(store, solid(OLD))
    foreign = solid(OLD, b"new")
    adopt(store, foreign)
    assert read(store, b"new") == b"new"
    held = b"".join(path.read_bytes() for path in store.packs.rglob("*") if path.is_file())
    assert foreign.record not in held
    before = store.contents.files()
    adopt(store, foreign)
    assert store.contents.files() == before


def test_a_delta_on_what_is_stored_in_full_is_kept(store: Store) -> None:
    adopt(store, solid(OLD))
    adopt(store, delta(NEW, OLD))
    assert kind_of(store, NEW) is RecordKind.DELTA
    assert read(store, NEW) == NEW


def test_a_delta_on_a_delta_is_stored_in_full(store: Store) -> None:
    """Entered as it is, it could never be read."""
    adopt(store, solid(OLD))
    adopt(store, delta(NEW, OLD))
    adopt(store, delta(NEWER, NEW))
    assert kind_of(store, NEWER) is RecordKind.SOLID or kind_of(store, NEWER) is RecordKind.STORED
    assert read(store, NEWER) == NEWER


def test_a_base_may_come_with_its_deltas(store: Store) -> None:
    adopt(store, solid(OLD), delta(NEW, OLD), bases=[OLD])
    assert kind_of(store, NEW) is RecordKind.DELTA
    assert read(store, NEW) == NEW


def test_a_chain_of_deltas_that_come_together_is_not_stored_as_one(store: Store) -> None:
    adopt(store, solid(OLD), delta(NEW, OLD), delta(NEWER, NEW), bases=[OLD, NEW])
    assert kind_of(store, NEW) is RecordKind.DELTA
    assert kind_of(store, NEWER) is not RecordKind.DELTA
    assert read(store, NEWER) == NEWER


def test_a_delta_on_nothing_is_refused(store: Store) -> None:
    with pytest.raises(BlobNotFoundError):
        adopt(store, delta(NEW, OLD))
    assert store.contents.is_empty()


def test_a_bad_frame_among_good_ones_leaves_nothing(store: Store) -> None:
    good, bad = solid(b"good"), solid(b"bad")
    (row,) = bad.rows
    lie = BlobRow(identify(b"x").digest, identify(b"x").sha256, 3, NO_FRAME, 0, 3)
    with pytest.raises(BadPackageError, match="another content"):
        adopt(store, good, Foreign(bad.record, (lie,)))
    assert row.size == 3
    assert store.contents.is_empty()
    assert [path for path in store.packs.rglob("*.pack")] == []


def test_an_address_of_another_content_is_refused(store: Store) -> None:
    with Deposit(store) as deposit:
        info = identify(b"here")
        deposit.add(info, b"here")
        other = BlobInfo(info.digest, identify(b"there").sha256, 5)
        with pytest.raises(CollisionError):
            deposit.check(other)


@pytest.mark.parametrize("kind", [RecordKind.FOOTER, RecordKind.TRAILER, RecordKind.LINE])
def test_records_that_hold_no_contents_are_refused(kind: RecordKind) -> None:
    record = seal.seal(kind, b"x", number=1) + b"x"
    with pytest.raises(BadPackageError, match="holds no contents"):
        open_frame(record)


def test_pieces_are_there_once_and_all_of_them() -> None:
    foreign = solid(b"one", b"two")
    found, _ = open_frame(foreign.record)
    check_rows(found, foreign.rows)
    for rows in (foreign.rows[:1], (*foreign.rows, foreign.rows[0]), ()):
        with pytest.raises(BadPackageError):
            check_rows(found, rows)


def parts_of(data: bytes, size: int) -> list[Foreign]:
    found = []
    for at in range(0, len(data), size):
        piece = data[at : at + size]
        row = BlobRow(None, identify(piece).sha256, len(piece), NO_FRAME, 0, len(piece))
        found.append(Foreign(frames.part(piece).sealed(), (row,)))
    return found


def test_a_large_content_is_compared_as_a_whole(store: Store) -> None:
    data = OLD * 3 + bytes(30_000)
    parts = parts_of(data, 20_000)
    with Deposit(store) as deposit:
        adopter = Adopter(deposit)
        with pytest.raises(BadPackageError, match="another content"):
            adopter.adopt_large(identify(data), parts[:-1])
    with Deposit(store) as deposit:
        Adopter(deposit).adopt_large(identify(data), parts)
        deposit.commit()
    assert read(store, data) == data
    again = OLD * 2
    held: list[Foreign | Sha256] = [identify(OLD).sha256, identify(OLD).sha256]
    with Deposit(store) as deposit:
        Adopter(deposit).adopt_large(identify(again), held)
        deposit.commit()
    assert read(store, again) == again
