"""Entries of any shape, and versions that hold them, for the tests of catalogs."""

import os

import msgspec
from hypothesis import strategies as st

from epmstore.catalog.model import VersionPart, VersionRecord
from epmstore.digest import identify
from epmstore.relpath import RelPath
from epmstore.tree import Entry, PathClass, tree_sum

NAMES = st.one_of(
    st.sampled_from([b"bin", b"etc", b"a", b"b", b"c.conf"]),
    st.binary(min_size=1, max_size=8),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4).map(str.encode),
).filter(lambda name: name not in (b".", b"..") and not set(name) & set(b"/\0"))
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(
    lambda names: RelPath(os.fsdecode(b"/".join(names)))
)
# What a link can point to: anything but NUL, `//` at its beginning too.
TARGETS = st.one_of(st.sampled_from(["//x", "/", "..", "//%2F"]), PATHS)
CONTENTS = st.sampled_from([identify(bytes([n]) * n) for n in range(6)])
CLASSES: st.SearchStrategy[PathClass] = st.sampled_from(["program", "config", "state", "secret"])
XATTRS = st.dictionaries(TARGETS, st.binary(max_size=9), max_size=2).map(
    lambda found: tuple(sorted(found.items()))
)
METADATA = {
    "mode": st.sampled_from([0, 0o644, 0o755, 0o777, 0o4755, 0o7777]),
    "uid": st.integers(0, 2**32 - 2),
    "gid": st.sampled_from([0, 100]),
    "user": st.sampled_from([None, "root", "mémé"]),
    "group": st.sampled_from([None, "root"]),
    "mtime_ns": st.none() | st.integers(-(2**62), 2**62),
    "xattrs": XATTRS,
    "same_as": st.none() | PATHS,
    "sparse": st.booleans(),
    "path_class": CLASSES,
}
FILES = st.builds(Entry, path=PATHS, kind=st.just("file"), content=st.none() | CONTENTS, **METADATA)
LINKS = st.builds(Entry, path=PATHS, kind=st.just("symlink"), target=TARGETS, **METADATA)
DIRECTORIES = st.builds(Entry, path=PATHS, kind=st.just("directory"), **METADATA)
ENTRIES = st.one_of(FILES, FILES, LINKS, DIRECTORIES)
META = FILES.map(lambda entry: msgspec.structs.replace(entry, content=None))


def header(version: int = 0, **other: object) -> VersionRecord:
    record = VersionRecord(
        version=version,
        app="0b9d3b0e-6d3c-4f0e-9c51-0d6a3f9c3f1a",
        key="crm",
        txid=f"{version:032x}",
        time="2026-10-03T14:02:03.123Z",
        kind="change",
        reason="snapshot",
        tree="0" * 64,
    )
    return msgspec.structs.replace(record, **other)


@st.composite
def deltas(draw: st.DrawFn, version: int = 0, max_size: int = 12) -> VersionPart:
    """One version with entries of every kind, each path once."""
    by_path = st.lists(ENTRIES, max_size=max_size, unique_by=lambda entry: entry.path)
    entries = draw(by_path)
    taken = {entry.path for entry in entries}
    meta = draw(st.lists(META, max_size=4, unique_by=lambda entry: entry.path))
    meta = [entry for entry in meta if entry.path not in taken]
    taken |= {entry.path for entry in meta}
    removed = sorted(draw(st.sets(PATHS, max_size=4)) - taken)
    return VersionPart(header(version), entries, meta, removed)


def file(path: str, content: bytes = b"", mode: int = 0o644) -> Entry:
    """A plain file, as most of them are."""
    return Entry(path=RelPath(path), kind="file", mode=mode, mtime_ns=1, content=identify(content))


def folder(path: str) -> Entry:
    return Entry(path=RelPath(path), kind="directory", mode=0o755)


def trees() -> st.SearchStrategy[dict[RelPath, Entry]]:
    """Small trees with few paths, so that two of them have much in common."""
    entry = st.builds(
        Entry,
        path=st.sampled_from([RelPath(path) for path in ("a", "b", "c/d", "\udcff", "é", "z")]),
        kind=st.just("file"),
        mode=st.sampled_from([0o644, 0o755]),
        content=CONTENTS,
        mtime_ns=st.integers(1, 2),
    )
    link = st.builds(
        Entry, path=st.just(RelPath("a")), kind=st.just("symlink"), mode=st.just(0o777),
        target=TARGETS,
    )  # fmt: skip
    entries = st.lists(st.one_of(entry, entry, link), max_size=5, unique_by=lambda each: each.path)
    return entries.map(lambda found: {each.path: each for each in found})


def version_between(
    old: dict[RelPath, Entry], new: dict[RelPath, Entry], version: int
) -> VersionPart:
    """A version as a recorder would write it, with the sum of the new tree."""
    entries: list[Entry] = []
    meta: list[Entry] = []
    for path, entry in new.items():
        before = old.get(path)
        if before == entry:
            continue
        if before and before.kind == entry.kind == "file" and before.content == entry.content:
            meta.append(msgspec.structs.replace(entry, content=None))
        else:
            entries.append(entry)
    removed = [path for path in old if path not in new]
    about = header(version, tree=f"{tree_sum(new.values()):064x}")
    return VersionPart(about, entries, meta, removed)
