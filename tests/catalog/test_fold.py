"""Trees from records: what was recorded is what comes back, at every version."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore import seal
from epmstore.catalog.fold import check_sum, fold
from epmstore.catalog.format import decode_line, encode, open_line
from epmstore.catalog.model import START, Decoded, PinRecord, VersionPart, Written
from epmstore.errors import DamagedError, VersionNotFoundError
from epmstore.relpath import RelPath
from epmstore.tree import Entry
from tests.catalog.trees import file, folder, header, trees, version_between


@given(st.lists(trees(), min_size=1, max_size=5))
def test_every_version_comes_back(history: list[dict[RelPath, Entry]]) -> None:
    written: list[Written] = []
    for number, (old, new) in enumerate(zip([{}, *history], history, strict=False)):
        written += [version_between(old, new, number), PinRecord(time="", version=0, pinned=True)]
    records: list[Decoded] = []
    for stored, _ in encode(written, START):
        records.append(decode_line(open_line(*seal.read(stored)))[1])
    for number, tree in enumerate(history):
        found = fold(records, number)
        assert found == tree
        header_of = records[number * 2]
        assert isinstance(header_of, VersionPart)
        check_sum(found, header_of.header)
    assert fold(records) == history[-1]
    with pytest.raises(VersionNotFoundError):
        fold(records, len(history))


def test_a_version_of_many_lines_is_folded_whole() -> None:
    parts: list[Decoded] = [
        VersionPart(header(0, part=1, parts=2), [file("a")]),
        VersionPart(header(0, part=2, parts=2), [file("b")]),
        VersionPart(header(1), [], [], [RelPath("a")]),
    ]
    assert sorted(fold(parts, 0)) == ["a", "b"]
    assert sorted(fold(parts, 1)) == ["b"]


@pytest.mark.parametrize(
    "misfit",
    [
        VersionPart(header(1), [], [], [RelPath("b")]),
        VersionPart(header(1), [], [file("b")]),
        VersionPart(header(1), [], [file("bin")]),
    ],
)
def test_records_that_contradict_each_other_are_damage(misfit: VersionPart) -> None:
    with pytest.raises(DamagedError, match="version 1") as caught:
        fold([VersionPart(header(0), [file("a"), folder("bin")]), misfit])
    assert caught.value.data == {"version": 1}


def test_a_tree_with_another_sum_is_damage() -> None:
    tree = {RelPath("a"): file("a")}
    version = version_between({}, tree, 0)
    check_sum(tree, version.header)
    with pytest.raises(DamagedError, match="sum"):
        check_sum({RelPath("a"): file("a", mode=0o600)}, version.header)
    with pytest.raises(DamagedError, match="sum"):
        check_sum({}, version.header)
