"""What an entry and a change take of the index (the budget: 300 and 80 bytes)."""

import random
from collections.abc import Iterable
from pathlib import Path

from epmstore.digest import identify
from epmstore.index.database import Database
from epmstore.index.entries import Entries
from epmstore.relpath import RelPath
from epmstore.tree import Entry
from tests.index.versions import enter

APP = "0" * 32
FILES, VERSIONS, CHANGED = 10_000, 200, 50
PATHS = [RelPath(f"part{n // 20:05}/file{n:07}.c") for n in range(FILES)]


def entry(path: RelPath, version: int, *, content: bool) -> Entry:
    return Entry(
        path=path,
        kind="file",
        mode=0o644,
        mtime_ns=1_760_000_000_123_456_789 + version * 10**9,
        content=identify(f"{path} {version}".encode()) if content else None,
    )


def size(folder: Path) -> int:
    with Database(folder / "index.sqlite", "store").read() as db:
        pages, page = (
            db.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "page_size")
        )
    return int(pages * page)


def first(folder: Path) -> Entries:
    entries = Entries(Database(folder / "index.sqlite", "store"))
    enter(entries, APP, 0, entries=[entry(p, 0, content=True) for p in PATHS])
    return entries


def chosen() -> Iterable[tuple[int, list[RelPath]]]:
    dice = random.Random(5)
    return ((version, dice.sample(PATHS, CHANGED)) for version in range(1, VERSIONS))


def test_an_entry(tmp_path: Path) -> None:
    first(tmp_path)
    assert size(tmp_path) / FILES < 160


def test_a_change_of_metadata(tmp_path: Path) -> None:
    entries = first(tmp_path)
    before = size(tmp_path)
    for version, paths in chosen():
        found = [entry(path, version, content=False) for path in paths]
        enter(entries, APP, version, meta=found)
    assert (size(tmp_path) - before) / ((VERSIONS - 1) * CHANGED) < 70


def test_a_change_of_content(tmp_path: Path) -> None:
    """Of which 100 bytes are the content: 52 of digests, and that it is found by either."""
    entries = first(tmp_path)
    before = size(tmp_path)
    for version, paths in chosen():
        found = [entry(path, version, content=True) for path in paths]
        enter(entries, APP, version, entries=found)
    assert (size(tmp_path) - before) / ((VERSIONS - 1) * CHANGED) < 165
