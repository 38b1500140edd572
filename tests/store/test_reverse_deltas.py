"""Reverse deltas are a cache: whatever happens to their file, it gives right ones, or none."""

import itertools
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore.digest import BlobInfo, Sha256, identify
from epmstore.pack_table import DeltaFrame
from epmstore.store import reverse_deltas
from epmstore.store.reverse_deltas import ReverseDeltas, applied, chains, reverse_delta


def versions(count: int, seed: int = 1) -> list[tuple[BlobInfo, bytes]]:
    """A file of some size, edited again and again."""
    source = random.Random(seed)
    data = source.randbytes(20_000)
    made = [(identify(data), data)]
    for _ in range(count - 1):
        at = source.randrange(len(data))
        data = data[:at] + source.randbytes(40) + data[at + 20 :]
        made.append((identify(data), data))
    return made


def back(made: list[tuple[BlobInfo, bytes]]) -> list[DeltaFrame]:
    """From each version to the one before."""
    found = [
        reverse_delta(old, old_data, new.sha256, new_data)
        for (old, old_data), (new, new_data) in itertools.pairwise(made)
    ]
    return [one for one in found if one is not None]


@pytest.fixture
def kept(tmp_path: Path) -> ReverseDeltas:
    return ReverseDeltas(tmp_path / "app.reverse")


@given(st.integers(2, 7), st.data())
def test_each_older_version_is_made_of_each_newer_one(count: int, data: st.DataObject) -> None:
    made = versions(count)
    live = data.draw(st.integers(1, count - 1))
    wanted = data.draw(st.integers(0, live - 1))
    (info, content), (at, there) = made[wanted], made[live]
    chain = chains(back(made), {info.sha256: at.sha256})[info.sha256]
    assert len(chain) == live - wanted
    assert applied(chain, there, info) == content
    assert applied(chain, there[:-1] + b"?", info) is None
    assert applied(chain, b"", info) is None
    assert not chains(back(made), {at.sha256: info.sha256})


def test_blocks_are_added_and_the_newest_come_first(kept: ReverseDeltas) -> None:
    deltas = back(versions(4))
    assert kept.load() == []
    kept.add([])
    kept.add(deltas[:1])
    kept.add(deltas[1:])
    assert kept.load() == deltas[::-1]


def test_only_deltas_between_stored_contents_are_kept(kept: ReverseDeltas) -> None:
    made = versions(4)
    kept.add(back(made))
    gone = made[1][0].sha256
    kept.keep(lambda named: {sha256 for sha256 in named if sha256 != gone})
    assert kept.load() == back(made)[2:]
    kept.keep(lambda named: ())
    assert kept.load() == []


def test_a_file_is_bounded(kept: ReverseDeltas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reverse_deltas, "LIMIT", 2000)
    deltas = back(versions(30))
    for one in deltas:
        kept.add([one])
        assert kept._path.stat().st_size <= 2000
    found = kept.load()
    assert found == deltas[::-1][: len(found)]
    assert found


@pytest.mark.parametrize("torn", [1, 40, 100])
def test_a_torn_end_is_not_built_upon(kept: ReverseDeltas, torn: int) -> None:
    one, two, three = back(versions(4))
    kept.add([one])
    kept.add([two])
    os.truncate(kept._path, kept._path.stat().st_size - torn)
    assert kept.load() == [one]
    kept.add([three])
    assert kept.load() == [three, one]


def test_damage_costs_a_block_and_never_gives_a_wrong_delta(kept: ReverseDeltas) -> None:
    deltas = back(versions(3))
    for one in deltas:
        kept.add([one])
    whole = kept._path.read_bytes()
    for at in range(0, len(whole), 7):
        spoiled = bytearray(whole)
        spoiled[at] ^= 0x55
        kept._path.write_bytes(spoiled)
        assert set(kept.load()) < set(deltas)
    first = bytearray(whole[: len(whole) // 2])
    first[60] ^= 1
    kept._path.write_bytes(first + whole[len(first) : -1])  # damaged, and torn
    kept.add(deltas[:1])
    assert kept.load() == deltas[:1]


def test_a_folder_in_its_place_counts_as_none(kept: ReverseDeltas) -> None:
    kept._path.mkdir()
    assert kept.load() == []
    kept.add(back(versions(2)))
    assert kept.load() == []


def test_a_delta_that_does_not_pay_is_not_kept() -> None:
    source = random.Random(2)
    old, new = source.randbytes(1000), source.randbytes(1000)
    assert reverse_delta(identify(old), old, Sha256(identify(new).sha256), new) is None
