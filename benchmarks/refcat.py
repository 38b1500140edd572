"""A vendor's catalog in full size: how long importing it takes, and looking a content up in it.

    python -m benchmarks.refcat                     500 releases of 100,000 files
    python -m benchmarks.refcat --releases 50       fewer
    python -m benchmarks.refcat --write big.refcat  only write the catalog
    python -m benchmarks.refcat --root linux-6.1    the first release is this tree, and is verified

The catalog is made up: paths like those of a source tree, and contents that are digests without
bytes. From release to release so many paths change as between two patch releases of the kernel
(0.5 % modified, a few added and removed), spread over the tree as patches are. With `--root` it
grows from a real tree, which is only read; `verify` of it is held against `status`.
"""

import argparse
import hashlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from epmstore.catalog.format import encode
from epmstore.catalog.model import (
    START,
    AboutRecord,
    CatalogPosition,
    Counts,
    VersionPart,
    VersionRecord,
    Written,
)
from epmstore.digest import BlobInfo, Digest, Sha256
from epmstore.refcat.releases import Releases
from epmstore.relpath import RelPath, sort_paths
from epmstore.tree import Entry, shifted_sum
from epmstore.workspace import Workspace
from epmstore.workspace.vendors import Source

APP = "5fa0518feb5541b2863aad127f62c969"
FOLDER_FILES = 14
MODIFIED, ADDED, REMOVED = 0.005, 0.0002, 0.0001
LOOK_UPS = 200
ROUNDS = 5
SEED = 20260101


class Tree:
    """The tree of an application that does not exist."""

    def __init__(self, files: int, seed: int, first: Sequence[Entry] = ()) -> None:
        self.random = random.Random(seed)
        self._first = first
        self.entries: dict[RelPath, Entry] = {}
        self.sum = 0
        self._made = 0
        self._files = files

    def path(self) -> RelPath:
        self._made += 1
        folder = self.random.randrange(max(1, self._files // FOLDER_FILES))
        parts = (f"sub{folder % 23:02}", f"area{folder % 331:03}", f"part{folder:05}")
        return RelPath("/".join((*parts, f"file{self._made:07}.c")))

    def fresh(self, path: RelPath) -> Entry:
        self._made += 1
        seed = b"%d" % self._made
        digest = Digest(hashlib.sha1(seed, usedforsecurity=False).digest())
        info = BlobInfo(digest, Sha256(hashlib.sha256(seed).digest()), 1000 + self._made % 90_000)
        return Entry(path=path, kind="file", mode=0o644, mtime_ns=self._made, content=info)

    def step(self, version: int) -> tuple[list[Entry], list[RelPath], Counts]:
        """(entries, paths removed, counts) of the next release."""
        gone: list[RelPath]
        known = [path for path, entry in self.entries.items() if entry.kind == "file"]
        if not known and self._first:
            come, gone, modified = list(self._first), [], 0
        elif not known:
            come = [self.fresh(self.path()) for _ in range(self._files)]
            gone, modified = [], 0
        else:
            chosen = self.random.sample(known, int(len(known) * (MODIFIED + REMOVED)))
            cut = int(len(known) * REMOVED)
            gone, again = chosen[:cut], chosen[cut:]
            come = [self.fresh(path) for path in again]
            come += [self.fresh(self.path()) for _ in range(int(len(known) * ADDED))]
            modified = len(again)
        before = [self.entries[e.path] for e in come if e.path in self.entries]
        before += [self.entries.pop(path) for path in gone]
        self.sum = shifted_sum(self.sum, gone=before, come=come)
        self.entries.update((entry.path, entry) for entry in come)
        return come, sort_paths(gone), Counts(len(come) - modified, modified, len(gone))


def records(releases: int, files: int, seed: int, first: Sequence[Entry] = ()) -> Iterator[Written]:
    yield AboutRecord(time="2026-01-01T00:00:00.000Z", app=APP, key="big")
    tree = Tree(files, seed, first)
    for version in range(releases):
        come, gone, counts = tree.step(version)
        header = VersionRecord(
            version=version,
            app=APP,
            key="big",
            txid=f"{version:032x}",
            kind="change",
            reason="release",
            tree=f"{tree.sum:064x}",
            counts=counts,
            time=f"2026-01-01T{version // 60 % 24:02}:{version % 60:02}:00.000Z",
            label=f"1.{version}",
        )
        yield VersionPart(header, come, [], gone)


def write(path: Path, releases: int, files: int, seed: int, first: Sequence[Entry] = ()) -> None:
    """The catalog in the form of a store's own file."""
    position: CatalogPosition = START
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), "wb") as file:
        for record in records(releases, files, seed, first):
            for stored, behind in encode([record], position):
                file.write(stored)
                position = behind


def as_released(root: Path, place: Path) -> list[Entry]:
    """What a release that is made of a tree consists of."""
    with Workspace.init(place / "vendor") as vendor:
        app = vendor.apps.add("big", root)
        version = vendor.app("big").snapshot().version
        vendor.vendors.init("big")
        vendor.vendors.add("big", Source(app=app.app.uuid, version=version))
        return vendor.vendors.tree("big", 0)


def compare(root: Path, store: Path) -> None:
    """`verify` beside `status`, as commands, with everything that can be warm."""
    seconds: dict[str, list[float]] = {"status": [], "verify": []}
    for _ in range(ROUNDS + 1):
        for word, times in seconds.items():
            command = [sys.executable, "-m", "epmstore", "--store", str(store), word]
            start = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            times.append(time.perf_counter() - start)
            if done.returncode:
                sys.exit(f"{word} failed: {done.stdout[-500:]}{done.stderr[-500:]}")
    status, verify = (statistics.median(times[1:]) for times in seconds.values())
    print(f"status   {status:8.2f} s of {root.name}")
    print(f"verify   {verify:8.2f} s: {verify / status:.2f} x; {done.stdout.splitlines()[0]}")


def measure(file: Path, place: Path, root: Path | None = None) -> None:
    """Import it as a user does, and look contents up in the process."""
    store = place / "store"
    with Workspace.init(store) as workspace:
        if root is not None:
            workspace.apps.add("big", root)
            workspace.app("big").snapshot()
    command = [sys.executable, "-m", "epmstore", "--store", str(store), "catalog", "import"]
    start = time.perf_counter()
    done = subprocess.Popen(
        [*command, str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(done.pid, 0)
    wall = time.perf_counter() - start
    done.returncode = status
    cpu = usage.ru_utime + usage.ru_stime
    print(f"file     {file.stat().st_size / 1e6:8.1f} MB")
    print(f"import   {wall:8.1f} s wall, {cpu:.1f} s CPU, {usage.ru_maxrss / 1024:.0f} MB at most")
    print(f"index    {(store / 'index.sqlite').stat().st_size / 1e6:8.1f} MB")
    if status:
        sys.exit(f"the import failed: {status}")
    with Workspace.open(store) as workspace:
        look_up(workspace)
        if root is not None:
            look_for_paths(workspace)
    if root is not None:
        compare(root, store)


def look_up(workspace: Workspace) -> None:
    releases = Releases(workspace._store, APP)
    latest = releases.latest()
    assert latest is not None
    tree = list({e.content for e in releases.tree(latest.version) if e.content is not None})
    times = []
    for info in random.Random(1).sample(tree, min(LOOK_UPS, len(tree))):
        start = time.perf_counter()
        found = releases.spans([info.sha256])
        times.append(time.perf_counter() - start)
        assert found
    print(f"look up  {statistics.median(times) * 1e3:8.2f} ms, {max(times) * 1e3:.2f} ms at most")
    start = time.perf_counter()
    assert len(releases.spans(info.sha256 for info in tree)) == len(tree)
    print(f"all      {time.perf_counter() - start:8.2f} s for {len(tree):,} contents")


def look_for_paths(workspace: Workspace) -> None:
    """Every state of a path that had a content, of applications and catalogs."""
    handle, times = workspace.app("big"), []
    tree = [entry.content for entry in handle.ls("latest") if entry.content is not None]
    for info in random.Random(1).sample(tree, 20):
        start = time.perf_counter()
        assert handle.reading.find_content(info.digest)
        times.append(time.perf_counter() - start)
    print(f"paths    {statistics.median(times) * 1e3:8.2f} ms, {max(times) * 1e3:.2f} ms at most")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--releases", type=int, default=500)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--write", type=Path, help="only write the catalog to this file")
    parser.add_argument("--place", type=Path, help="a folder to work in; a temporary one else")
    parser.add_argument("--root", type=Path, help="a real tree for the first release")
    given = parser.parse_args()
    if given.write is not None:
        write(given.write, given.releases, given.files, given.seed)
        return
    with tempfile.TemporaryDirectory(dir=given.place) as place:
        file = Path(place) / "big.refcat.zst"
        first = as_released(given.root.resolve(), Path(place)) if given.root else ()
        write(file, given.releases, given.files, given.seed, first)
        measure(file, Path(place), given.root and given.root.resolve())


if __name__ == "__main__":
    main()
