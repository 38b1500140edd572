"""Rows by witness, packed and not."""

import hashlib

import pytest

from epmstore.digest import Sha256
from epmstore.index import content_map
from epmstore.index.content_map import ContentMap


def witness(text: str) -> Sha256:
    return Sha256(hashlib.sha256(text.encode()).digest())


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_map, "PLAIN", 100)
    monkeypatch.setattr(content_map, "STEP", 7)


@pytest.mark.parametrize("count", [0, 1, 100, 101, 108, 1000])
def test_map_finds_exactly_what_was_added(count: int) -> None:
    rows = ContentMap()
    expected = {witness(f"content {n}"): n * n + 1 for n in range(count)}
    for one, number in expected.items():
        rows.add(one, number)
        assert rows.get(one) == number
    assert {one: rows.get(one) for one in expected} == expected
    assert all(rows.get(witness(f"another {n}")) is None for n in range(1000))


def test_a_large_number_comes_back() -> None:
    rows = ContentMap()
    for n in range(200):
        rows.add(witness(str(n)), (1 << 48) - 1 - n)
    assert rows.get(witness("0")) == (1 << 48) - 1
    assert rows.get(witness("199")) == (1 << 48) - 200


def test_bytes_that_lie_across_two_witnesses_are_none_of_them() -> None:
    first = Sha256(b"ab" + bytes(8) + b"ab" + bytes(range(20)))
    second = Sha256(b"ab" + b"\xff" * 30)
    across = Sha256(first[10:] + (5).to_bytes(6, "little") + second[:4])
    rows = ContentMap()
    rows.add(first, 5)
    rows.add(second, 6)
    for n in range(200):
        rows.add(witness(str(n)), n)
    assert (rows.get(first), rows.get(second), rows.get(across)) == (5, 6, None)
    rows.add(across, 7)
    for n in range(200, 300):
        rows.add(witness(str(n)), n)
    assert (rows.get(first), rows.get(second), rows.get(across)) == (5, 6, 7)
