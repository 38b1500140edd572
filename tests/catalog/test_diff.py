"""Differences of trees: they lead from one to the other, and can be joined and turned around."""

import msgspec
from hypothesis import given

from epmstore.catalog.diff import Change, ChangesByPath, compare, count, merge, reverse
from epmstore.catalog.model import Counts
from epmstore.relpath import RelPath, sort_paths
from epmstore.tree import Entry
from tests.catalog.trees import file, folder, trees

Found = dict[RelPath, Entry]


def led_by(delta: ChangesByPath, tree: Found) -> Found:
    """The tree that a delta leads to."""
    result = dict(tree)
    for path, change in delta.items():
        assert tree.get(path) == change.old
        if change.new is None:
            del result[path]
        else:
            result[path] = change.new
    return result


@given(trees(), trees())
def test_a_delta_leads_from_old_to_new_and_back(old: Found, new: Found) -> None:
    delta = compare(old, new)
    assert led_by(delta, old) == new
    assert led_by(reverse(delta), new) == old
    assert list(delta) == sort_paths(delta)
    assert reverse(reverse(delta)) == delta
    assert bool(delta) == (old != new)


@given(trees(), trees(), trees())
def test_two_deltas_make_one(first: Found, second: Found, third: Found) -> None:
    merged = merge(compare(first, second), compare(second, third))
    assert merged == compare(first, third)
    assert list(merged) == sort_paths(merged)


def test_diff_says_kind_fields_and_both_entries() -> None:
    old = {RelPath(path): file(path, b"x") for path in ("bin/a", "bin/b", "bin/c", "bin/d")}
    new = {
        RelPath("bin/a"): file("bin/a", b"x", 0o755),
        RelPath("bin/b"): file("bin/b", b"y"),
        RelPath("bin/d"): folder("bin/d"),
        RelPath("bin/e"): file("bin/e"),
    }
    delta = compare(old, new)
    said = {path: (change.change, change.fields) for path, change in delta.items()}
    assert said == {
        "bin/a": ("modified", ("mode",)),
        "bin/b": ("modified", ("content",)),
        "bin/c": ("removed", ()),
        "bin/d": ("modified", ("content", "kind", "mode", "mtime")),
        "bin/e": ("added", ()),
    }
    assert count(delta.values()) == Counts(1, 3, 1)
    assert delta[RelPath("bin/c")] == Change(
        RelPath("bin/c"), "removed", (), old[RelPath("bin/c")], None
    )


def test_another_class_is_no_change() -> None:
    one = file("a")
    other = msgspec.structs.replace(one, path_class="config")
    assert compare({one.path: one}, {one.path: other}) == {}
