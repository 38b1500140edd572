"""Questions to the history (P8): 1,000 versions of an application of 100,000 paths.

Asked in process through the public API, as the command line does. The history is made up: each
version changes 100 files, as a busy application would; its contents are digests without bytes. It
is committed as a recording commits, so catalog and index are real.
"""

import random
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec.structs import replace

from benchmarks import refcat
from benchmarks.results import Figure
from epmstore.catalog.model import Counts, VersionPart, VersionRecord
from epmstore.digest import BlobInfo
from epmstore.relpath import RelPath
from epmstore.store.commit import HistoryHead, commit_version
from epmstore.tree import shifted_sum
from epmstore.workspace import AppHandle, Workspace

PATHS = 100_000
VERSIONS = 1_000
CHANGED = 100
TOUCHED = 100
"""Versions after these, in which files got another mtime and nothing else."""
RELEASES = 20
ASKED = 200
LIMIT = 50.0


class History:
    """The application that does not exist, and how to make its next version."""

    def __init__(self, paths: int) -> None:
        self.tree = refcat.Tree(paths, refcat.SEED)
        self.contents: list[BlobInfo] = []
        self._dice = random.Random(7)

    @property
    def paths(self) -> list[RelPath]:
        return list(self.tree.entries)

    def touch(self, head: HistoryHead, app: str) -> VersionPart:
        """A version in which the same number of files has another mtime only."""
        assert head.number is not None
        gone = [self.tree.entries[p] for p in self._dice.sample(sorted(self.tree.entries), CHANGED)]
        come = [replace(entry, mtime_ns=time.time_ns()) for entry in gone]
        self.tree.sum = shifted_sum(self.tree.sum, gone=gone, come=come)
        self.tree.entries.update((entry.path, entry) for entry in come)
        header = _header(head.number + 1, app, self.tree.sum, Counts(0, CHANGED, 0))
        return VersionPart(header, [], [replace(entry, content=None) for entry in come], [])

    def next(self, head: HistoryHead, app: str) -> VersionPart:
        version = 0 if head.number is None else head.number + 1
        if version:
            chosen = self._dice.sample(sorted(self.tree.entries), CHANGED)
            come = [self.tree.fresh(path) for path in chosen]
            gone = [self.tree.entries[path] for path in chosen]
            self.tree.sum = shifted_sum(self.tree.sum, gone=gone, come=come)
            self.tree.entries.update((entry.path, entry) for entry in come)
            counts = Counts(0, CHANGED, 0)
        else:
            come, _, counts = self.tree.step(0)
        self.contents += [entry.content for entry in come if entry.content is not None]
        return VersionPart(_header(version, app, self.tree.sum, counts), come, [], [])


def _header(version: int, app: str, total: int, counts: Counts) -> VersionRecord:
    return VersionRecord(
        version=version,
        app=app,
        key="busy",
        txid=f"{version:032x}",
        kind="change",
        reason="snapshot",
        tree=f"{total:064x}",
        counts=counts,
        time=f"2026-01-{version // 1440 + 1:02}T{version // 60 % 24:02}:{version % 60:02}:00.000Z",
        label=f"patch {version}",
    )


def measure(folder: Path, paths: int = PATHS, versions: int = VERSIONS) -> list[Figure]:
    """Make the history below `folder`, ask, and remove it."""
    shutil.rmtree(folder, ignore_errors=True)
    root = folder / "root"
    root.mkdir(parents=True)
    history = History(paths)
    try:
        with Workspace.init(folder / "store") as workspace:
            app = workspace.apps.add("busy", root).app.uuid
            sizes = [*_commit(workspace, app, history.next, 1)]
            sizes += _commit(workspace, app, history.next, versions - 1)
        with Workspace.open(folder / "store") as workspace:
            figures = [*_ask(workspace.app("busy"), history, versions)]
            sizes += _commit(workspace, app, history.touch, TOUCHED)
        figures += _sizes(sizes, paths, versions)
        return [*figures, *_identify(folder, paths)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _commit(
    workspace: Workspace, app: str, make: Callable[[HistoryHead, str], VersionPart], count: int
) -> tuple[int, int]:
    """(bytes of the index, bytes of the catalogs) after `count` more versions."""
    store = workspace._store
    for number in range(count):
        with store.keep_packs():
            commit_version(store, app, lambda head: make(head, app), txid=f"{app}{number}{count}")
    with store.database.write() as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        size = db.execute("PRAGMA page_size").fetchone()[0]
    catalogs = sum(file.stat().st_size for file in store.catalogs.glob("*.syscat.zst"))
    return pages * size, catalogs


def _sizes(sizes: list[int], paths: int, versions: int) -> Iterator[Figure]:
    index, catalog, index_after, catalog_after, index_touched, catalog_touched = sizes
    changes = (versions - 1) * CHANGED
    yield Figure("index, for each entry", "bytes", index / paths, limit=300, target="P2")
    grown = (index_after - index) / changes
    yield Figure("index, for each change of content", "bytes", grown, limit=80, target="P2")
    touched = (index_touched - index_after) / (TOUCHED * CHANGED)
    yield Figure("index, for each change of metadata", "bytes", touched, limit=80, target="P2")
    yield Figure("catalog, for each entry", "bytes", catalog / paths)
    yield Figure(
        "catalog, for each change of content", "bytes", (catalog_after - catalog) / changes
    )
    touched = (catalog_touched - catalog_after) / (TOUCHED * CHANGED)
    yield Figure("catalog, for each change of metadata", "bytes", touched)


def _ask(app: AppHandle, history: History, versions: int) -> Iterator[Figure]:
    dice = random.Random(8)
    paths, folders = history.paths, sorted({path.rpartition("/")[0] for path in history.paths})

    def version() -> str:
        return str(dice.randrange(1, versions))

    def neighbours() -> None:
        number = dice.randrange(1, versions)
        assert len(app.diff(str(number - 1), str(number))) == CHANGED

    def folder() -> None:
        assert app.ls(version(), RelPath(dice.choice(folders)))

    def pattern() -> str:
        return f"*/{dice.choice(paths).rpartition('/')[2]}"

    def content() -> None:
        assert app.reading.find_content(dice.choice(history.contents).digest)

    begun = time.perf_counter()
    assert len(app.versions()) == versions
    first = (time.perf_counter() - begun) * 1000
    yield Figure("`log`, for the first time in a process", "ms", first)
    asked = ASKED
    yield _timed("`history PATH`", lambda: app.history(dice.choice(paths)), asked, "P8")
    yield _timed("`ls VERSION:FILE`", lambda: app.ls(version(), dice.choice(paths)), 20)
    yield _timed("`ls VERSION:FOLDER`", folder, 20)
    yield _timed("`ls VERSION`, all of it", lambda: app.ls(version()), 5)
    yield _timed("`diff`, two neighbours", neighbours, asked)
    yield _timed("`diff`, any two", lambda: app.diff(version(), version()), 20)
    yield _timed("`find SHA1`", content, asked)
    yield _timed("`find '*/NAME'`", lambda: app.find(pattern()), 20)


def _identify(folder: Path, paths: int) -> Iterator[Figure]:
    """Over a vendor's catalog of as many paths, in a store of its own."""
    file = folder / "big.refcat"
    refcat.write(file, RELEASES, paths, refcat.SEED)
    with Workspace.init(folder / "vendor") as workspace:
        workspace.catalogs.import_(file, allow_unsigned=True)
        tree = refcat.Tree(paths, refcat.SEED)
        come, _, _ = tree.step(0)
        contents = [entry.content for entry in come if entry.content is not None]
        dice = random.Random(9)
        what = f"`identify`, one content, {RELEASES} releases of {paths:,} files"
        yield _timed(what, lambda: workspace.origins.origins([dice.choice(contents)]), ASKED)


def _timed(what: str, ask: Callable[[], object], asked: int, target: str = "") -> Figure:
    ask()
    samples = []
    for _ in range(asked):
        begun = time.perf_counter()
        ask()
        samples.append((time.perf_counter() - begun) * 1000)
    samples.sort()
    limit = LIMIT if target else None
    most = samples[-max(1, asked // 100)]
    return Figure(what, "ms", statistics.median(samples), most, limit, target)
