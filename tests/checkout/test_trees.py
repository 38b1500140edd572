"""From any tree to any other, on a real file system."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kit.bench import MTIME, Bench, Dir, File, Link, Node, Same, build, clear, picture

NAMES = ("a", "b", "c")
paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
files = st.builds(
    File,
    st.sampled_from([b"", b"one", b"two", b"x" * 5000]),
    st.sampled_from([0o644, 0o755, 0o600, 0o4755]),
    st.sampled_from([MTIME, MTIME + 1_000_000_007]),
)
nodes = st.one_of(
    files,
    st.builds(Dir, st.sampled_from([0o755, 0o700, 0o2775, 0o500])),
    st.builds(Link, st.sampled_from(["a", "../b", "/nowhere"])),
    st.builds(Same, paths),
)


def fitting(found: dict[str, Node]) -> dict[str, Node]:
    """Without what cannot be: paths below something that is no folder, links to nothing."""
    kept: dict[str, Node] = {}
    for path in sorted(found):
        above = [path.rsplit("/", n)[0] for n in range(1, path.count("/") + 1)]
        node = found[path]
        if any(not isinstance(kept.get(folder, Dir()), Dir) for folder in above):
            continue
        if isinstance(node, Same) and not isinstance(kept.get(node.path), File):
            continue
        kept[path] = node
    return kept


trees = st.dictionaries(paths, nodes, max_size=10).map(fitting)
SLOWLY = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.slow
@SLOWLY
@given(one=trees, two=trees)
def test_a_checkout_brings_back_exactly_the_tree_that_was_recorded(
    one: dict[str, Node], two: dict[str, Node]
) -> None:
    with tempfile.TemporaryDirectory() as base, Bench(Path(base)) as bench:
        first = bench.recorded(one)
        second = bench.recorded(two)
        bench.live.checkout("0", exact=True)
        assert bench.picture() == first
        assert bench.is_clean()
        if first != second:
            bench.live.undo()
            assert bench.picture() == second
            assert bench.is_clean()
        assert bench.leftovers() == []


@pytest.mark.slow
@SLOWLY
@given(one=trees, two=trees)
def test_undo_brings_back_unrecorded_files(one: dict[str, Node], two: dict[str, Node]) -> None:
    with tempfile.TemporaryDirectory() as base, Bench(Path(base)) as bench:
        first = bench.recorded(one)
        second = bench.put(two)
        result = bench.live.checkout("0", exact=True)
        assert bench.picture() == first
        if result.changed:
            bench.live.undo()
            assert bench.picture() == second
        assert bench.leftovers() == []


@pytest.mark.slow
@SLOWLY
@given(one=trees, two=trees)
def test_a_version_elsewhere_is_the_same_tree(one: dict[str, Node], two: dict[str, Node]) -> None:
    with tempfile.TemporaryDirectory() as base, Bench(Path(base)) as bench:
        first = bench.recorded(one)
        second = bench.put(two)
        bench.live.export("0", Path(base) / "copy")
        assert picture(Path(base) / "copy") == first
        assert bench.picture() == second


@pytest.mark.slow
@SLOWLY
@given(one=trees, two=trees)
def test_the_plan_that_is_shown_is_the_plan_that_is_carried_out(
    one: dict[str, Node], two: dict[str, Node]
) -> None:
    with tempfile.TemporaryDirectory() as base, Bench(Path(base)) as bench:
        first = bench.recorded(one)
        clear(bench.root)
        build(bench.root, two)
        prepared = bench.live.plan("0", exact=True)
        bench.live.apply(prepared)
        assert bench.picture() == first
