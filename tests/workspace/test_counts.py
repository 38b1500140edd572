"""Numbers add up: the same paths are counted the same by whoever tells of them."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore.catalog.diff import tally
from epmstore.catalog.model import Counts
from epmstore.compact import CompactEntries
from epmstore.record.result import Result
from epmstore.tree import Entry
from epmstore.workspace import AppHandle, Workspace
from tests.catalog.trees import ENTRIES


@pytest.fixture
def crm(tmp_path: Path) -> AppHandle:
    root = tmp_path / "crm"
    (root / "lib/deep").mkdir(parents=True)
    for number in range(7):
        (root / f"lib/deep/{number}").write_text(f"{number}")
    (root / "current").symlink_to("lib")
    workspace = Workspace.init(tmp_path / "store")
    workspace.apps.add("crm", root)
    return workspace.app("crm")


def check(crm: AppHandle, result: Result) -> None:
    """The result, the record and what two versions differ in say the same."""
    record = crm.versions()[-1].record
    counts = Counts(result.added, result.modified, result.removed)
    assert (record.counts, record.folders, record.times) == (counts, result.folders, result.times)
    if record.version:
        found = crm.diff(str(record.version - 1), str(record.version))
        told = tally((one.old, one.new) for one in found)
        assert (told.counts, told.folders, told.times) == (counts, result.folders, result.times)


def test_snapshot_and_checkout_count_alike(crm: AppHandle, tmp_path: Path) -> None:
    root = tmp_path / "crm"
    first = crm.snapshot()
    assert (first.added, first.folders, first.times) == (10, Counts(2, 0, 0), 0)
    check(crm, first)
    os.utime(root / "lib/deep/0", (1, 1))  # its time alone
    (root / "lib/deep/1").write_text("new")
    (root / "lib/deep").chmod(0o700)
    (root / "new/empty").mkdir(parents=True)
    (root / "lib/deep/2").unlink()
    second = crm.snapshot()
    assert (second.added, second.modified, second.removed) == (2, 3, 1)
    assert (second.folders, second.times) == (Counts(2, 1, 0), 1)
    check(crm, second)
    plan = crm.plan("0").plan.tally
    back = crm.checkout("0", exact=True)
    check(crm, back)
    assert (back.added, back.modified, back.folders) == (1, 3, Counts(0, 1, 2))
    assert (plan.counts.modified, plan.times) == (back.modified, back.times)


@given(st.lists(ENTRIES, unique_by=lambda entry: entry.path, max_size=12))
def test_folders_are_counted_however_entries_are_held(entries: list[Entry]) -> None:
    packed = CompactEntries()
    packed.add(entries)
    folders = sum(entry.kind == "directory" for entry in entries)
    assert packed.folders == packed.joined([]).folders == folders
    assert tally((None, entry) for entry in entries).folders == Counts(folders, 0, 0)
