"""Every value that an entry is made of is under a sum; an index of an earlier release is remade."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from epmstore.digest import identify
from epmstore.errors import DamagedError
from epmstore.index.database import SCHEMA_VERSION, Database
from epmstore.index.entries import Entries, IndexedRecord
from epmstore.index.entryrows import read_meta, row_path
from epmstore.relpath import RelPath
from epmstore.tree import Entry
from epmstore.workspace import Workspace
from tests.index.versions import enter

APP = "0" * 32
OLD = Entry(
    path=RelPath("a/b"), kind="file", mode=0o644, user="root", mtime_ns=5, content=identify(b"old")
)
NEW = Entry(
    path=RelPath("a/b"), kind="file", mode=0o600, user="root", mtime_ns=6, content=identify(b"new")
)

CHANGES = [
    "UPDATE folders SET path = x'62'",
    "UPDATE {} SET name = x'63'",
    "UPDATE {} SET content = NULL",
    "UPDATE {} SET content = 3 - content",
    "UPDATE {} SET content = 77",
    "UPDATE {} SET meta = 3 - meta",
    "UPDATE {} SET mtime = mtime + 1",
    "UPDATE {} SET mtime = NULL",
    "UPDATE {} SET sum = sum + 1",
    "UPDATE contents SET size = size + 1",
    "UPDATE contents SET sha1 = zeroblob(20)",
    "UPDATE contents SET sha256 = zeroblob(32)",
    "UPDATE contents SET sum = 0",
    "UPDATE metas SET form = CAST(replace(form, 'root', 'toor') AS BLOB)",
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("table", ["live", "past"])
def test_a_row_that_reads_otherwise_is_damage(tmp_path: Path, change: str, table: str) -> None:
    entries = Entries(Database(tmp_path / "index.sqlite", "store"))
    enter(entries, APP, 0, entries=[OLD])
    enter(entries, APP, 1, entries=[NEW])
    version, expected = (1, NEW) if table == "live" else (0, OLD)
    assert list(entries.tree(APP, version)) == [expected]
    with sqlite3.connect(tmp_path / "index.sqlite") as db:
        assert db.execute(change.format(table)).rowcount > 0
    db.close()
    with pytest.raises(DamagedError, match="the index is damaged"):
        list(Entries(Database(tmp_path / "index.sqlite", "store")).tree(APP, version))


@pytest.mark.parametrize("change", ["type = 'pin'", "version = 7", "form = x'31'", "sum = 1"])
def test_a_record_that_reads_otherwise_is_damage(tmp_path: Path, change: str) -> None:
    entries = Entries(Database(tmp_path / "index.sqlite", "store"))
    given = IndexedRecord(0, "version", 0, b"{}")
    entries.add_records(APP, [given], (2, "head", 1))
    assert entries.records(APP) == [given]
    with sqlite3.connect(tmp_path / "index.sqlite") as db:
        db.execute(f"UPDATE records SET {change}")
    db.close()
    with pytest.raises(DamagedError, match="the index is damaged"):
        Entries(Database(tmp_path / "index.sqlite", "store")).records(APP)


@pytest.mark.parametrize("form", ["text", 7, 0.5, None, b"", b"\xc1"])
def test_metadata_of_another_type_is_damage(form: Any) -> None:
    """As a page in the place of another may have it."""
    with pytest.raises(DamagedError, match="the index is damaged"):
        read_meta((form,))
    if not isinstance(form, bytes | None):
        with pytest.raises(DamagedError, match="the index is damaged"):
            row_path(form, b"name")


def test_metadata_alone_keeps_the_sum_right(tmp_path: Path) -> None:
    entries = Entries(Database(tmp_path / "index.sqlite", "store"))
    enter(entries, APP, 0, entries=[OLD])
    touched = Entry(path=OLD.path, kind="file", mode=0o755, mtime_ns=9)
    enter(entries, APP, 1, meta=[touched])
    (found,) = entries.tree(APP, 1)
    assert (found.mode, found.mtime_ns, found.content) == (0o755, 9, OLD.content)
    assert list(entries.tree(APP, 0)) == [OLD]


def test_an_index_of_an_earlier_release_is_made_anew(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").write_bytes(b"content")
    with Workspace.init(tmp_path / "store") as workspace:
        workspace.apps.add("crm", root)
        workspace.app("crm").snapshot("first")
    index = tmp_path / "store" / "index.sqlite"
    with sqlite3.connect(index) as db:
        db.execute("DROP TABLE live")
        db.execute("PRAGMA user_version = 1")
    db.close()
    with Workspace.open(tmp_path / "store") as workspace:
        assert [v.label for v in workspace.app("crm").versions()] == ["first"]
        assert workspace.app("crm").status().clean


def test_an_index_of_an_earlier_release_is_not_used(tmp_path: Path) -> None:
    """Even if it seems to have everything."""
    (tmp_path / "root").mkdir()
    with Workspace.init(tmp_path / "store") as workspace:
        workspace.apps.add("crm", tmp_path / "root")
        workspace.app("crm").snapshot("first")
    index = tmp_path / "store" / "index.sqlite"
    with contextlib.closing(sqlite3.connect(index)) as db:
        db.execute("PRAGMA user_version = 1")
    with Workspace.open(tmp_path / "store") as workspace:
        assert len(workspace.app("crm").versions()) == 1
    with contextlib.closing(sqlite3.connect(index)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
