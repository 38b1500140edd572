"""Packed entries: what is put in comes out, each once, in byte order where that is asked for."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epmstore import compact
from epmstore.compact import CompactEntries, in_order
from epmstore.relpath import to_bytes
from epmstore.tree import Entry, tree_sum
from tests.catalog.trees import ENTRIES, file


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(ENTRIES, max_size=30, unique_by=lambda entry: entry.path),
    st.integers(1, 9),
    st.sampled_from([0, 7, 1000]),
)
def test_compact_entries_return_what_was_added(
    monkeypatch: pytest.MonkeyPatch, entries: list[Entry], run: int, plain: int
) -> None:
    monkeypatch.setattr(compact, "PLAIN", plain)
    held = CompactEntries()
    for start in range(0, len(entries), run):
        held.add(entries[start : start + run])
    expected = sorted(((to_bytes(entry.path), entry) for entry in entries), key=lambda one: one[0])
    for _ in range(2):  # looking takes nothing out
        assert list(held.in_order()) == expected
        assert list(in_order(entries)) == expected
        assert sorted(held, key=lambda entry: to_bytes(entry.path)) == [e for _, e in expected]
    assert len(held) == len(entries) and bool(held) == bool(entries)
    assert held.sum == tree_sum(entries)
    assert all(entry in held for entry in entries)


def test_joining_leaves_both_as_they_are() -> None:
    held = CompactEntries()
    held.add([file("b"), file("a")])
    both = held.joined([file("aa")])
    assert [entry.path for _, entry in both.in_order()] == ["a", "aa", "b"]
    assert [entry.path for _, entry in held.in_order()] == ["a", "b"]
    assert both.sum == tree_sum([file("a"), file("aa"), file("b")])


def test_many_take_less_than_100_bytes_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is digests, which nothing makes smaller."""
    monkeypatch.setattr(compact, "PLAIN", 0)
    held = CompactEntries()
    for number in range(50):
        names = (f"some/folder{number}/a file of the usual length {n}.txt" for n in range(400))
        held.add([file(name, name.encode()) for name in names])
    assert sum(len(run.packed) for run in held._runs) / len(held) < 100
