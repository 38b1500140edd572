import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from epmstore.scan.compare import pack_stats
from epmstore.scan.databases import DatabaseUnit, databases, may_hold_databases
from epmstore.scan.folders import FolderCache
from epmstore.scan.walk import Classify, walk


def find(root_fd: int, classify: Classify | None = None) -> list[DatabaseUnit]:
    with FolderCache(root_fd) as folders:
        return list(databases(walk(root_fd, classify=classify), folders))


def test_no_database_is_where_no_name_is_a_sign_of_one(root: Path, root_fd: int) -> None:
    for path in ("a.db", "one/b", "two/c.sqlite", "two/d.s3db"):
        make_sqlite(root / path)
    (root / "one/b-journal").write_bytes(b"hot")
    (root / "pg/deep").mkdir(parents=True)
    (root / "pg/PG_VERSION").write_text("15")
    (root / "none").mkdir()
    listings = [
        found
        for found in walk(root_fd)
        if may_hold_databases(pack_stats(found.names, found.stats, found.own))
    ]
    assert {found.folder for found in listings} == {"", "one", "pg", "two"}
    with FolderCache(root_fd) as folders:
        assert list(databases(listings, folders)) == find(root_fd)
    assert len(find(root_fd)) == 5


def test_names_that_are_no_sign_of_a_database(root: Path, root_fd: int) -> None:
    for name in ("PG_VERSION.txt", "a.db.c", "db", "walk-wall", "x.sqlite33"):
        (root / name).write_text(name)
    (listing,) = walk(root_fd)
    assert not may_hold_databases(pack_stats(listing.names, listing.stats, listing.own))


def make_sqlite(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")


def test_sqlite_at_rest(root: Path, root_fd: int) -> None:
    make_sqlite(root / "var/app.db")
    (root / "var/notes.db").write_text("no database " * 100)
    (root / "var/tiny.sqlite").write_text("SQLite format 3\0")
    (root / "var/empty.db").write_text("")
    make_sqlite(root / "var/unsuspected")
    (only,) = find(root_fd)
    assert only == DatabaseUnit("var/app.db", "sqlite", ("var/app.db",), "program")  # type: ignore[arg-type]


def test_sqlite_in_use_is_one_unit(root: Path, root_fd: int) -> None:
    make_sqlite(root / "data")
    with closing(sqlite3.connect(root / "data")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.commit()
        (only,) = find(root_fd)
    assert only.path == "data"
    assert only.members == ("data", "data-shm", "data-wal")
    assert only.covers("data-wal")
    assert not only.covers("data-old")
    assert not only.covers("database")


def test_a_hot_journal_gives_a_database_away(root: Path, root_fd: int) -> None:
    make_sqlite(root / "plain")
    (root / "plain-journal").write_bytes(b"\0" * 512)
    (root / "other").write_bytes(b"x" * 512)
    (root / "other-journal").write_bytes(b"")
    (only,) = find(root_fd)
    assert only.members == ("plain", "plain-journal")


def test_both_companions_of_something_unreadable_are_enough(root: Path, root_fd: int) -> None:
    for name in ("vault", "vault-wal", "vault-shm"):
        (root / name).write_bytes(os.urandom(100))
    (only,) = find(root_fd)
    assert only.path == "vault"


def test_companions_alone_are_nothing(root: Path, root_fd: int) -> None:
    for name in ("lost-wal", "lost-shm", "-wal", "-shm"):
        (root / name).write_bytes(b"")
    (root / "folder.db").mkdir()
    (root / "link.db").symlink_to("/etc/passwd")
    assert find(root_fd) == []


def make_postgres(path: Path) -> None:
    (path / "base/1").mkdir(parents=True)
    (path / "PG_VERSION").write_text("15\n")
    (path / "base/1/PG_VERSION").write_text("15\n")


def test_a_postgresql_folder_is_one_unit(root: Path, root_fd: int) -> None:
    make_postgres(root / "var/pg")
    make_sqlite(root / "var/pg/base/strange.db")
    make_postgres(root / "var/pg-two")
    found = find(root_fd)
    assert [(d.kind, d.path) for d in found] == [
        ("postgresql", "var/pg"),
        ("postgresql", "var/pg-two"),
    ]
    assert found[0].covers("var/pg")
    assert found[0].covers("var/pg/base/1/16384")
    assert not found[0].covers("var/pg-two/base")


def test_a_root_that_is_a_database(root: Path, root_fd: int) -> None:
    make_postgres(root)
    (only,) = find(root_fd)
    assert only.path == ""
    assert only.covers("base/1/16384")


def test_the_class_that_a_database_has(root: Path, root_fd: int) -> None:
    make_sqlite(root / "app.db")
    make_postgres(root / "pg")
    (app, pg) = find(root_fd, lambda path, is_directory: "config")
    assert (app.path_class, pg.path_class) == ("config", "config")
    assert find(root_fd, lambda path, is_directory: "ignore") == []


def test_few_files_are_read(root: Path, root_fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(50):
        (root / f"file-{n}").write_bytes(b"x" * 512)
    make_sqlite(root / "a.db")
    read: list[int] = []
    real = os.read

    def count(fd: int, size: int) -> bytes:
        read.append(size)
        return real(fd, size)

    monkeypatch.setattr(os, "read", count)
    assert len(find(root_fd)) == 1
    assert read == [16]
