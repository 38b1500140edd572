"""Entries and their sums: every fact counts, order does not."""

import hashlib
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore.digest import identify
from epmstore.relpath import RelPath
from epmstore.tree import (
    SUM_MODULUS,
    Entry,
    Field,
    changed_fields,
    entry_sum,
    shifted_sum,
    tree_sum,
)

FULL = Entry(
    path=RelPath("bin/a"),
    kind="file",
    mode=0o4755,
    uid=1,
    gid=2,
    user="app",
    group="staff",
    mtime_ns=1_790_000_000_000_000_000,
    content=identify(b"hello"),
    xattrs=(("user.x", b"\0\xff"),),
    same_as=RelPath("bin/0"),
    sparse=True,
)
LINK = Entry(path=RelPath("l\udcff"), kind="symlink", mode=0o777, target="//x\udcff")
# One other value for every fact, and the field that a change of it is shown as.
OTHERS: list[tuple[dict[str, object], Field]] = [
    ({"content": identify(b"hellp")}, "content"),
    ({"content": None}, "content"),
    ({"kind": "directory"}, "kind"),
    ({"mode": 0o755}, "mode"),
    ({"uid": 2}, "owner"),
    ({"gid": 1}, "owner"),
    ({"user": None}, "owner"),
    ({"group": "app"}, "owner"),
    ({"mtime_ns": 1_790_000_000_000_000_001}, "mtime"),
    ({"mtime_ns": None}, "mtime"),
    ({"target": "x"}, "target"),
    ({"xattrs": ()}, "xattrs"),
    ({"xattrs": (("user.x", b"\0"),)}, "xattrs"),
    ({"xattrs": (("user.y", b"\0\xff"),)}, "xattrs"),
    ({"same_as": None}, "link"),
    ({"sparse": False}, "link"),
]


@pytest.mark.parametrize(("other", "field"), OTHERS)
def test_every_fact_is_in_the_sum_and_in_the_difference(
    other: dict[str, object], field: Field
) -> None:
    changed = msgspec.structs.replace(FULL, **other)
    assert entry_sum(changed) != entry_sum(FULL)
    assert changed_fields(FULL, changed) == [field]
    assert changed_fields(changed, FULL) == [field]


def test_the_path_is_in_the_sum() -> None:
    assert entry_sum(msgspec.structs.replace(FULL, path=RelPath("bin/b"))) != entry_sum(FULL)


def test_the_class_is_in_neither() -> None:
    changed = msgspec.structs.replace(FULL, path_class="config")
    assert entry_sum(changed) == entry_sum(FULL)
    assert changed_fields(FULL, changed) == []
    assert changed != FULL


def test_fields_come_in_their_order() -> None:
    other = Entry(path=FULL.path, kind="symlink", mode=0o777, target="x")
    assert changed_fields(FULL, other) == [
        *("content", "kind", "mode", "owner", "mtime", "target", "xattrs", "link")
    ]


def test_the_form_that_is_summed() -> None:
    """The bytes that docs/formats/catalog.md draws: they may never change."""
    assert entry_sum(FULL) == number(
        '["bin/a","file",2541,1,2,"app","staff",1790000000000000000,'
        '"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",null,'
        '[["user.x","00ff"]],"bin/0",true]'
    )
    assert entry_sum(LINK) == number(
        '["//l%FF","symlink",511,0,0,null,null,null,null,"////x%FF",[],null,false]'
    )


def number(form: str) -> int:
    return int(hashlib.sha256(form.encode()).hexdigest(), 16)


ENTRIES = st.lists(
    st.builds(
        Entry,
        path=st.binary(min_size=1, max_size=3).map(lambda raw: RelPath(raw.hex())),
        kind=st.just("directory"),
        mode=st.integers(0, 0o7777),
    ),
    max_size=6,
)


@given(ENTRIES, st.randoms())
def test_order_does_not_matter(entries: list[Entry], random: Random) -> None:
    shuffled = list(entries)
    random.shuffle(shuffled)
    assert tree_sum(shuffled) == tree_sum(entries)
    assert 0 <= tree_sum(entries) < SUM_MODULUS


@given(ENTRIES, ENTRIES, ENTRIES)
def test_a_sum_follows_the_tree(stay: list[Entry], gone: list[Entry], come: list[Entry]) -> None:
    before = tree_sum([*stay, *gone])
    assert shifted_sum(before, gone=gone, come=come) == tree_sum([*stay, *come])
    assert tree_sum(gone, start=tree_sum(stay)) == before


def test_no_entries_no_sum() -> None:
    assert tree_sum([]) == 0
    assert tree_sum([FULL]) == entry_sum(FULL)
    assert tree_sum([FULL, LINK]) == (entry_sum(FULL) + entry_sum(LINK)) % SUM_MODULUS


def test_equal_entries_are_the_same_state() -> None:
    again = msgspec.structs.replace(FULL)
    assert again == FULL
    assert hash(again) == hash(FULL)
    assert changed_fields(again, FULL) == []
