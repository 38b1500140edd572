"""What is stored of contents that were read, and as what."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from epmstore.blobs.pack import GroupWriter
from epmstore.clock import FixedClock
from epmstore.digest import identify
from epmstore.record import deltas
from epmstore.record.deltas import DeltaWriter, Fresh
from epmstore.relpath import RelPath
from epmstore.store.commit import store_groups
from epmstore.store.dedup import Dedup
from epmstore.store.store import Store
from epmstore.workspace.opening import make_store

rng = random.Random(5)
OLD = [rng.randbytes(3000) for _ in range(40)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with make_store(tmp_path / "store", FixedClock()) as made:
        keep(made, [(data, None) for data in OLD])
        yield made


def keep(store: Store, contents: Sequence[tuple[bytes, bytes | None]]) -> dict[bytes, bytes | None]:
    """Store contents, each with the one before it; witness to that of its base, of what is new."""
    with store.keep_packs():
        dedup = Dedup(store.packs, store.contents, store.blobs)
        with GroupWriter(store.packs) as writer:
            found = DeltaWriter(dedup, writer)
            for number, (data, before) in enumerate(contents):
                old = None if before is None else identify(before)
                found.add(Fresh(RelPath(f"f{number}"), identify(data), data, old))
            found.flush()
            written = writer.finish()
        rows = written.group.blobs
        with store.lock_write():
            store_groups(store, [written])
    return {row.sha256: row.base for row in rows}


def edited(data: bytes, at: int = 1000) -> bytes:
    return data[:at] + b"edited" + data[at:]


@pytest.mark.parametrize("together", [1, deltas.TOGETHER])
def test_edits_become_differences_to_what_was_there(
    store: Store, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deltas, "TOGETHER", together)
    new = [(edited(data), data) for data in reversed(OLD)]
    stored = keep(store, [*new, (b"nothing was there " * 99, None)])
    for data, before in new:
        assert stored[identify(data).sha256] == identify(before).sha256
        assert store.blobs.read(identify(data)) == data
    assert stored[identify(b"nothing was there " * 99).sha256] is None


def test_several_edits_of_one_content_share_its_base(store: Store) -> None:
    edits = [edited(OLD[0], at) for at in range(0, 3000, 500)]
    stored = keep(store, [(data, OLD[0]) for data in edits])
    assert set(stored.values()) == {identify(OLD[0]).sha256}
    assert [store.blobs.read(identify(data)) for data in edits] == edits


def test_an_edit_of_an_edit_goes_back_to_the_first(store: Store) -> None:
    once = edited(OLD[1])
    twice = edited(once, 2000)
    keep(store, [(once, OLD[1])])
    assert list(keep(store, [(twice, once)]).values()) == [identify(OLD[1]).sha256]
    assert store.blobs.read(identify(twice)) == twice


def test_known_contents_are_not_stored_again(store: Store) -> None:
    once = edited(OLD[2])
    stored = keep(store, [(once, OLD[2]), (once, OLD[3]), (OLD[4], OLD[5]), (OLD[6], None)])
    assert stored == {identify(once).sha256: identify(OLD[2]).sha256}


def test_unlike_contents_are_stored_in_full(store: Store) -> None:
    alien = random.Random(9).randbytes(3000)
    unknown = random.Random(10).randbytes(3000)
    new: list[tuple[bytes, bytes | None]] = [
        (alien, OLD[7]),  # nothing in common
        (edited(unknown), unknown),  # a base that is not stored
        (b"short", OLD[8]),
        (edited(OLD[9] * 9), OLD[9][:100]),  # sizes too far apart
    ]
    assert set(keep(store, new).values()) == {None}
    assert [store.blobs.read(identify(data)) for data, _ in new] == [data for data, _ in new]
