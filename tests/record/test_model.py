"""Versions of any trees, against the trees themselves."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epmstore.errors import PathNotFoundError
from epmstore.relpath import RelPath
from epmstore.workspace import AppHandle
from tests.kit.place import Node, Place, recorded

NAMES = ("a", "b", "\udcff", "new\nline")
paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
nodes: st.SearchStrategy[Node] = st.one_of(
    st.sampled_from([b"", b"one", b"two", b"one" * 3000]),
    st.sampled_from(["a", "../b", "/no\udcfe"]),
    st.none(),
)


def fitting(found: dict[str, Node]) -> dict[str, Node]:
    """With the folders above everything, and nothing below what is no folder."""
    kept: dict[str, Node] = {}
    for path in sorted(found):
        above = [path.rsplit("/", n)[0] for n in range(path.count("/"), 0, -1)]
        if all(kept.setdefault(folder, None) is None for folder in above):
            kept[path] = None if path in kept else found[path]
    return kept


trees = st.dictionaries(paths, nodes, max_size=8).map(fitting)


@pytest.mark.slow
@settings(max_examples=40)
@given(st.lists(trees, min_size=1, max_size=5), st.booleans())
def test_versions_are_the_trees_that_were_recorded(
    found: list[dict[str, Node]], drops_index: bool
) -> None:
    with tempfile.TemporaryDirectory() as base:
        place = Place(Path(base))
        versions: list[dict[str, Node]] = []
        for number, tree in enumerate(found):
            place.put(tree)
            version = place.snapshot()
            if not versions or versions[-1] != tree:
                versions.append(tree)
            assert version == len(versions) - 1, number
        if drops_index:
            place.drop_index()
        with place.crm() as crm:
            assert crm.status().clean
            check_versions(crm, versions)


def check_versions(crm: AppHandle, versions: Sequence[dict[str, Node]]) -> None:
    assert [info.version for info in crm.versions()] == list(range(len(versions)))
    for number, tree in enumerate(versions):
        assert recorded(crm, number) == tree
    for one, old in enumerate(versions):
        for two, new in enumerate(versions):
            check_difference(crm, one, two, old, new)
    for path in {path for tree in versions for path in tree}:
        check_history(crm, path, versions)
    with pytest.raises(PathNotFoundError):
        crm.history(RelPath("never"))


def check_difference(
    crm: AppHandle, one: int, two: int, old: dict[str, Node], new: dict[str, Node]
) -> None:
    found = {str(change.path): change.change for change in crm.diff(str(one), str(two))}
    assert {path for path, what in found.items() if what == "added"} == new.keys() - old.keys()
    assert {path for path, what in found.items() if what == "removed"} == old.keys() - new.keys()
    modified = {path for path, what in found.items() if what == "modified"}
    both = old.keys() & new.keys()
    assert {path for path in both if old[path] != new[path]} <= modified <= both


def check_history(crm: AppHandle, path: str, versions: Sequence[dict[str, Node]]) -> None:
    covered: set[int] = set()
    for span in crm.history(RelPath(path)):
        until = len(versions) if span.until is None else span.until
        for version in range(span.since, until):
            assert version not in covered
            covered.add(version)
            node = versions[version][path]
            kind = "directory" if node is None else "file"
            assert span.entry.kind == ("symlink" if isinstance(node, str) else kind)
            assert not isinstance(node, str) or span.entry.target == node
            if isinstance(node, bytes) and span.entry.content is not None:
                assert span.entry.content.size == len(node)
    assert covered == {number for number, tree in enumerate(versions) if path in tree}
