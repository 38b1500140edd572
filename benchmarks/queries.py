"""Questions to the index (P8): 1,000 versions of an application of 100,000 paths, asked in process.

The history is made up: each version changes 100 files, as a busy application would.
"""

import random
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from epmstore.digest import BlobInfo, identify
from epmstore.index.database import Database
from epmstore.index.entries import Entries
from epmstore.relpath import RelPath
from epmstore.tree import Entry

APP = "0" * 32
PATHS = 100_000
VERSIONS = 1_000
CHANGED = 100
ASKED = 200


class Query(NamedTuple):
    """Milliseconds that an answer takes: median, and what 99 of 100 stay below."""

    what: str
    median: float
    most: float
    limit: float | None


def measure(folder: Path, paths: int = PATHS, versions: int = VERSIONS) -> list[Query]:
    """Make the index below `folder`, ask, and remove it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    database = Database(folder / "index.sqlite", "bench")
    entries = Entries(database)
    try:
        contents = _fill(entries, paths, versions)
        size = (folder / "index.sqlite").stat().st_size
        per_entry = (
            f"index: {size / 1e6:.0f} MB for {paths} entries and {versions * CHANGED} changes"
        )
        return [*_ask(entries, contents, paths, versions), Query(per_entry, 0, 0, None)]
    finally:
        database.close()
        shutil.rmtree(folder, ignore_errors=True)


def _path(number: int) -> RelPath:
    return RelPath(f"opt/module{number % 997}/part{number % 13}/file{number}.so")


def _entry(number: int, version: int) -> Entry:
    return Entry(
        path=_path(number),
        kind="file",
        mode=0o644,
        user="root",
        group="root",
        mtime_ns=1_700_000_000_000_000_000 + version * 10**9 + number,
        content=identify(b"%d %d" % (number, version)),
    )


def _fill(entries: Entries, paths: int, versions: int) -> list[BlobInfo]:
    """The contents that changed files got."""
    dice = random.Random(7)
    first = [_entry(number, 0) for number in range(paths)]
    entries.apply(APP, 0, entries=first, meta=[], removed=[])
    contents: list[BlobInfo] = []
    for version in range(1, versions):
        changed = [_entry(number, version) for number in dice.sample(range(paths), CHANGED)]
        contents += [entry.content for entry in changed if entry.content is not None]
        entries.apply(APP, version, entries=changed, meta=[], removed=[])
    return contents


def _ask(entries: Entries, contents: list[BlobInfo], paths: int, versions: int) -> Iterator[Query]:
    dice = random.Random(8)

    def some_path() -> RelPath:
        return _path(dice.randrange(paths))

    def some_version() -> int:
        return dice.randrange(1, versions)

    def neighbours() -> None:
        version = some_version()
        assert entries.changed(APP, version - 1, version)

    def distant() -> None:
        entries.changed(APP, some_version(), some_version())

    def folder() -> None:
        entries.live_folder(APP, f"opt/module{dice.randrange(997)}/part{dice.randrange(13)}")

    yield _timed("history of a path", lambda: entries.history(APP, some_path()), 50)
    yield _timed("a path at a version", lambda: entries.at(APP, some_version(), some_path()), 50)
    yield _timed("a folder", folder, None)
    yield _timed("what a version changed", neighbours, None)
    yield _timed("what changed between any two", distant, None, asked=20)
    yield _timed(
        "where a content is", lambda: entries.with_content(dice.choice(contents).digest), None
    )
    yield _timed("the whole tree of a version", lambda: _drain(entries, some_version()), None, 5)


def _drain(entries: Entries, version: int) -> None:
    for _ in entries.tree(APP, version):
        pass


def _timed(what: str, ask: Callable[[], object], limit: float | None, asked: int = ASKED) -> Query:
    ask()
    samples = []
    for _ in range(asked):
        begun = time.perf_counter()
        ask()
        samples.append((time.perf_counter() - begun) * 1000)
    samples.sort()
    return Query(what, statistics.median(samples), samples[-max(1, asked // 100)], limit)
