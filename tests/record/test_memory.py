"""What a first snapshot holds in memory for each file."""

import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from epmstore import compact
from epmstore.catalog.model import VersionRecord
from epmstore.store import deposit
from epmstore.store.commit import commit_version
from epmstore.workspace import Workspace

FEW, MANY = 9_000, 18_000


def make_tree(root: Path, count: int) -> None:
    for number in range(count):
        path = root / f"some-folder-{number // 20}" / f"a file of the usual length {number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content %d" % number)
        os.utime(path, ns=(10**18 + number, 10**18 + number))


def peak(folder: Path, count: int, patch: pytest.MonkeyPatch) -> int:
    """Bytes of Python's objects in this process while the version is entered: all is known then."""
    found = 0

    def commit(*args: Any, **more: Any) -> VersionRecord:
        nonlocal found
        tracemalloc.reset_peak()
        version = commit_version(*args, **more)
        found = tracemalloc.get_traced_memory()[1]
        return version

    make_tree(folder / "root", count)
    with Workspace.init(folder / "store") as workspace, patch.context() as patched:
        workspace.apps.add("crm", folder / "root")
        patched.setattr(deposit, "commit_version", commit)
        tracemalloc.start()
        workspace.app("crm").snapshot()
        tracemalloc.stop()
    return found


@pytest.mark.slow
def test_memory_grows_little_with_each_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many: at first, all that is known of them is held as it is."""
    monkeypatch.setattr(compact, "PLAIN", 0)
    few = peak(tmp_path / "few", FEW, monkeypatch)
    many = peak(tmp_path / "many", MANY, monkeypatch)
    assert (many - few) / (MANY - FEW) < 500
