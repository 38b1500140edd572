"""What forgetting and collecting give back: bytes really freed, and bytes written for it.

A history of real bytes: the tenth of a tree, and in each of ten versions one file in twelve gets
the content of another file of the whole tree, which the store never saw. All versions but the last
are forgotten, then the space is collected. More than half of the first pack is dead by then.
"""

import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import apparent_bytes
from benchmarks.results import Figure
from benchmarks.stages import files_of, make_tenth
from epmstore.workspace import Workspace

TITLE = "Forgetting and collecting"
VERSIONS = 10
SHARE = 12
MB = 1_000_000


def measure(work: Path, older: Path) -> list[Figure]:
    """Below `work`, which is empty; `older` is only read."""
    tenth = make_tenth(older, older.with_name(older.name + ".tenth"))
    root, store = work / "root", work / "store"
    shutil.copytree(tenth, root, symlinks=True)
    with Workspace.init(store) as workspace:
        workspace.apps.add("tree", root)
        app = workspace.app("tree")
        app.snapshot("base")
        for path in _changes(older, root):
            if path is None:
                app.snapshot("changed")
        before, index = apparent_bytes(store, "packs"), apparent_bytes(store, "index.sqlite*")
        begun = time.perf_counter()
        forgotten = workspace.care.forget("tree", range(VERSIONS))
        forgetting = time.perf_counter() - begun
        begun = time.perf_counter()
        done = workspace.care.gc()
        collecting = time.perf_counter() - begun
        freed = before - apparent_bytes(store, "packs")
    needed = _needed(work, root)
    return [
        Figure("packs before", "MB", before / MB),
        Figure("versions forgotten", "", len(forgotten.versions)),
        Figure("forget", "s", forgetting),
        Figure("gc", "s", collecting),
        Figure("freed, as the file system sees it", "MB", freed / MB),
        Figure("freed, as gc says", "MB", done.freed / MB),
        Figure("bytes written anew for it", "MB", done.rewritten / MB),
        Figure("written for each byte freed", "x", done.rewritten / max(freed, 1)),
        Figure(
            "packs after, against a new store of what is needed", "x", (before - freed) / needed
        ),
        Figure("index before", "MB", index / MB),
        Figure("index after", "MB", apparent_bytes(store, "index.sqlite*") / MB),
    ]


def _changes(older: Path, root: Path) -> Iterator[str | None]:
    """Changes the root; None whenever a version is complete."""
    dice = random.Random(11)
    mine = [path for path in files_of(root) if not (root / path).is_symlink()]
    there = set(mine)
    others = [path for path in files_of(older) if path not in there]
    others = [path for path in others if not (older / path).is_symlink()]
    dice.shuffle(others)
    for _ in range(VERSIONS):
        for path in dice.sample(mine, len(mine) // SHARE):
            (root / path).write_bytes((older / others.pop()).read_bytes())
            yield path
        yield None


def _needed(work: Path, root: Path) -> int:
    """Bytes of packs of a store that has only what the root is now."""
    fresh = work / "fresh"
    with Workspace.init(fresh) as workspace:
        workspace.apps.add("tree", root)
        workspace.app("tree").snapshot("all")
    return apparent_bytes(fresh, "packs")
