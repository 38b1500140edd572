"""The entry tables against a plain model: every version, difference and history comes back."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epmstore.digest import identify
from epmstore.index.database import Database
from epmstore.index.entries import Entries, IndexedRecord
from epmstore.relpath import RelPath
from epmstore.tree import Entry, Tree
from tests.index.versions import enter

APP = "0" * 32
NAMES = ["a", "b", "b/c", "b/d", "b/d/e", "b.c", "\udcff", "z/\udc80/y"]


def make_entry(path: str, seed: int) -> Entry:
    if seed % 5 == 0:
        return Entry(path=RelPath(path), kind="symlink", mode=0o777, mtime_ns=seed, target="\udcfe")
    return Entry(
        path=RelPath(path),
        kind="file",
        mode=0o644 + seed % 2,
        user="root",
        mtime_ns=seed // 2,
        content=identify(bytes(seed % 3)),
        xattrs=(("user.\udcff", b"\0"),) if seed % 4 == 1 else (),
    )


versions = st.lists(
    st.dictionaries(st.sampled_from(NAMES), st.integers(0, 12), max_size=6), min_size=1, max_size=7
)


def delta(old: Tree, new: Tree) -> tuple[list[Entry], list[Entry], list[RelPath]]:
    entries: list[Entry] = []
    meta: list[Entry] = []
    for path, entry in new.items():
        before = old.get(path)
        if before == entry:
            continue
        same = before is not None and before.content == entry.content and before.kind == entry.kind
        (meta if same else entries).append(entry)
    return entries, meta, [path for path in old if path not in new]


def record(tmp: Path, history: list[dict[str, int]]) -> tuple[Entries, list[Tree]]:
    entries = Entries(Database(tmp / "index.sqlite", "store"))
    trees: list[Tree] = []
    last: Tree = {}
    for number, found in enumerate(history):
        tree = {RelPath(p): make_entry(p, seed) for p, seed in found.items()}
        changed, meta, removed = delta(last, tree)
        for _ in range(2):  # entering a part twice is harmless
            enter(entries, APP, number, entries=changed, meta=meta, removed=removed)
        trees.append(tree)
        last = tree
    return entries, trees


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=versions)
def test_every_version_comes_back(tmp_path: Path, history: list[dict[str, int]]) -> None:
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    folder.mkdir()
    entries, trees = record(folder, history)
    for number, tree in enumerate(trees):
        assert {e.path: e for e in entries.tree(APP, number)} == tree
    for one, old in enumerate(trees):
        for two, new in enumerate(trees):
            expected = {
                (old.get(path), new.get(path))
                for path in old.keys() | new.keys()
                if old.get(path) != new.get(path)
            }
            assert set(entries.changed(APP, one, two)) == expected
    for number, tree in enumerate(trees):
        for path in NAMES:
            inside = {p: e for p, e in tree.items() if p == path or p.startswith(f"{path}/")}
            assert {e.path: e for e in entries.below(APP, number, RelPath(path))} == inside
    for path in {path for tree in trees for path in tree}:
        spans = entries.history(APP, path)
        for number, tree in enumerate(trees):
            assert entries.at(APP, number, path) == tree.get(path)
        assert all(a.until is not None and a.until <= b.since for a, b in pairwise(spans))


def test_live_folder_and_below(tmp_path: Path) -> None:
    entries, trees = record(tmp_path, [{"b/c": 1, "b/d/e": 2, "b.c": 3, "b": 5}])
    assert {e.path for e in entries.live_below(APP, "b")} == {"b/c", "b/d/e"}
    assert entries.live_folder(APP, "b") == {"c": trees[0][RelPath("b/c")]}
    assert entries.live_folder(APP, "nowhere") == {}


def test_live_paths_are_looked_up_by_name(tmp_path: Path) -> None:
    later = {"b/c": 4, "b/\udcff": 2, "a": 3}
    entries, trees = record(tmp_path, [{**later, "b/c": 1, "b/d": 2}, later])
    wanted = [RelPath(path) for path in ("b/c", "b/d", "b/\udcff", "b/none", "a", "none/at/all")]
    assert entries.live_at(APP, wanted) == trees[1]


@pytest.mark.parametrize("step", [1, 2, 3, 50])
def test_many_paths_of_a_folder_are_looked_up_as_one_is(tmp_path: Path, step: int) -> None:
    names = [*(f"{n:03}" for n in range(600)), *(f"\udcff{n:03}" for n in range(600)), "last"]
    entries, (tree,) = record(tmp_path, [{f"{at}/{name}": 3 for name in names for at in "ab"}])
    wanted = [RelPath(f"b/{name}") for name in [*names[::step], "none", "zzz"]]
    found = entries.live_at(APP, [RelPath("a/000"), *wanted, RelPath("a/001")])
    known = [RelPath("a/000"), *wanted[:-2], RelPath("a/001")]
    assert found == {path: tree[path] for path in known}


def test_contents_lead_to_every_path_that_had_them(tmp_path: Path) -> None:
    entries, _ = record(tmp_path, [{"a": 1, "b/c": 4}, {"a": 2, "b/c": 4}])
    found = entries.with_content(identify(bytes(1)).digest)
    assert [(span.entry.path, span.since, span.until) for _, span in found] == [
        ("a", 0, 1),
        ("b/c", 0, None),
    ]


def test_contents_of_newest_versions_are_looked_up_together(tmp_path: Path) -> None:
    # the content of a seed is as many zeros as it has modulo three
    entries, _ = record(tmp_path, [{"a": 1, "d": 2}, {"a": 3, "d": 2}])
    gone, *there = [identify(bytes(n)).digest for n in (1, 0, 2)]
    never = identify(b"never").digest
    assert entries.live_contents([gone, never, *there]) == set(there)
    assert entries.live_contents([gone, never]) == set()


def test_patterns_cross_folders(tmp_path: Path) -> None:
    entries, _ = record(tmp_path, [{"a": 1, "b/c": 4, "b/d/e": 1}, {}])
    assert sorted(entries.paths_like(APP, "b/*")) == ["b/c", "b/d/e"]
    assert entries.paths_like(APP, "?") == ["a"]


def test_records_keep_their_bytes_and_the_position(tmp_path: Path) -> None:
    entries = Entries(Database(tmp_path / "index.sqlite", "store"))
    kept = [IndexedRecord(0, "version", 0, b"{}"), IndexedRecord(1, "tag", 0, b"[]")]
    entries.add_records(APP, kept, (10, "ab", 2))
    assert entries.records(APP) == kept
    assert entries.position(APP) == (10, "ab", 2)
    entries.forget_app(APP)
    assert entries.position(APP) is None


def test_a_small_version_does_not_read_the_newest_one_whole(tmp_path: Path) -> None:
    database = Database(tmp_path / "index.sqlite", "1" * 32)
    entries = Entries(database)
    first = [make_entry(name, 1) for name in NAMES]
    enter(entries, APP, 0, entries=first)
    seen: list[str] = []
    with database.write() as db:
        db.set_trace_callback(seen.append)
        enter(entries, APP, 1, entries=[make_entry("a", 2)], meta=[make_entry("b", 1)])
        db.set_trace_callback(None)
        both = [statement for statement in seen if "live l" in statement]
        assert len(both) == 2
        for statement in both:
            plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}")]
            wanted = "SEARCH l USING PRIMARY KEY (app=? AND folder=? AND name=?)"
            assert wanted in plan, plan
    database.close()
