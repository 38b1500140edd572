"""What every version of every app consisted of: the index side of the catalogs.

Entries go in version by version (`apply`), and come out as trees, differences and histories.
Records are kept as the bytes they were given as; what they mean is the business of
epmstore/catalog. Every row of an entry has a sum over what it says (rowsum.py), which is checked
whenever an entry is made of it: what is recorded next is computed from that.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from functools import partial
from itertools import groupby, islice
from typing import Any, TypeAlias

import msgspec

from epmstore.digest import BlobInfo, Digest, Sha256
from epmstore.errors import AppNotFoundError
from epmstore.index.database import VENDOR, Database, damaged_index
from epmstore.index.entryrows import (
    BATCH,
    COLUMNS,
    CONTENT_JOIN,
    EntryReader,
    EntryWriter,
    row_path,
)
from epmstore.index.lookup import live_contents, rows_with_content, shipped_rows
from epmstore.index.rowsum import SUM_WITH_CONTENT, is_sound_record, record_sum
from epmstore.relpath import RelPath, is_utf8, join, split, to_bytes
from epmstore.tree import Entry

IndexedPosition: TypeAlias = tuple[int, str, int]
"""How far a catalog has been entered: its length in bytes, the hash of its last line (hex), and the
number of records up to there.
"""


class IndexedRecord(msgspec.Struct, frozen=True):
    """One record of a catalog as it was given: `form` is its JSON without the entries."""

    seq: int
    type: str
    version: int | None
    form: bytes


class Span(msgspec.Struct, frozen=True):
    """An entry and the versions that have it: from `since` until before `until` (None: still)."""

    entry: Entry
    since: int
    until: int | None


class ShippedRow(msgspec.Struct, frozen=True, gc=False):
    """A path of a vendor's catalog that had a content in the versions from `since` until before
    `until` (None: still).
    """

    catalog: str
    path: RelPath
    since: int
    until: int | None


class Entries:
    """The entry tables of one index. Reading methods may be called from any thread."""

    def __init__(self, database: Database) -> None:
        self.database = database

    # Catalog positions and records.

    def position(self, app: str) -> IndexedPosition | None:
        """How far the catalog of an app (UUID) has been entered; None if nothing of it has."""
        with self.database.read() as db:
            row: IndexedPosition | None = db.execute(
                "SELECT length, head, seq FROM apps WHERE uuid = ?", (app,)
            ).fetchone()
        if row is not None and [*map(type, row)] != [int, str, int]:
            raise damaged_index()
        return row

    def catalogs(self) -> list[str]:
        """Names of all that something was entered of, whether or not the files are there."""
        with self.database.read() as db:
            names = [name for (name,) in db.execute("SELECT uuid FROM apps WHERE length > 0")]
        if not all(isinstance(name, str) for name in names):
            raise damaged_index()
        return names

    def records(self, app: str) -> list[IndexedRecord]:
        """All records of an app in order."""
        with self.database.read() as db:
            rows = db.execute(
                "SELECT r.seq, type, version, form, sum FROM records r JOIN apps a ON a.id = r.app"
                " WHERE a.uuid = ? ORDER BY r.seq",
                (app,),
            ).fetchall()
        return [_record(row) for row in rows]

    def last_version(self, app: str) -> IndexedRecord | None:
        """The record of the newest version (of its first line, if it has several)."""
        return self._one_record(app, "type = 'version' ORDER BY version DESC, r.seq LIMIT 1", ())

    def version_of_txid(self, app: str, txid: str) -> IndexedRecord | None:
        """The record of the version that a transaction made. Looks at the newest ones only."""
        return self._one_record(
            app,
            "type = 'version' AND instr(form, ?) AND r.seq > a.seq - 256"
            " ORDER BY r.seq DESC LIMIT 1",
            (f'"txid":"{txid}"'.encode(),),
        )

    def says_rules(self, app: str, digest: str) -> bool:
        """Whether a version of this digest of the rules in force says which these are."""
        ignored, rules = f'"ignored":"{digest}"'.encode(), b'"rules":{'
        where = "type = 'version' AND instr(form, ?) AND instr(form, ?) ORDER BY r.seq DESC LIMIT 1"
        return self._one_record(app, where, (ignored, rules)) is not None

    def _one_record(
        self, app: str, where: str, arguments: tuple[object, ...]
    ) -> IndexedRecord | None:
        with self.database.read() as db:
            row = db.execute(
                "SELECT r.seq, type, version, form, sum FROM records r JOIN apps a ON a.id = r.app"
                f" WHERE a.uuid = ? AND {where}",
                (app, *arguments),
            ).fetchone()
        return None if row is None else _record(row)

    def add_records(
        self, app: str, records: Iterable[IndexedRecord], position: IndexedPosition
    ) -> None:
        """Enter records that are durable in the catalog, up to `position`."""
        with self.database.write() as db:
            number = app_number(db, app, create=True)
            db.executemany(
                "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?)",
                [(number, *_record_row(r)) for r in records],
            )
            db.execute(
                "UPDATE apps SET length = ?, head = ?, seq = ? WHERE id = ?",
                (*position, number),
            )

    # Entries.

    def begin(
        self,
        app: str,
        version: int,
        *,
        entries: Iterable[Entry],
        meta: Iterable[Entry],
        removed: Iterable[RelPath],
    ) -> Callable[[], None]:
        """Make `version` out of the newest one, but for what SQLite does alone: that is done by
        calling what comes back, from any thread, while no other thread uses the transaction. Within
        `database.write`. `meta` entries keep the content that their path has.

        Applying the same part twice changes nothing.
        """
        with self.database.write() as db:
            number = app_number(db, app, create=True)
            writer = EntryWriter(db, self.database.interned)
            if _has_none(db, number):
                insert = (
                    f"INSERT OR REPLACE INTO live VALUES ({number}, ?, ?, {version}, ?, ?, ?, ?)"
                )
                writer.insert(insert, entries)
                writer.insert(insert, meta)
            else:
                insert = "INSERT OR REPLACE INTO incoming VALUES (?, ?, ?, {}, ?, ?, ?)"
                writer.insert(insert.format(0), entries)
                writer.insert(insert.format(1), map(_without_content, meta))
                _remove(db, number, version, [writer.key(path) for path in removed])
            if version:  # what version 0 changed is never asked
                db.executemany(
                    f"INSERT OR IGNORE INTO changes VALUES ({number}, {version}, ?)",
                    ((folder,) for folder in writer.folders()),
                )
        return partial(_merge_incoming, db, number, version)

    def live_at(self, app: str, paths: Iterable[RelPath]) -> dict[RelPath, Entry]:
        """Those of these paths that the newest version has. Quickest if neighbours follow each
        other.
        """
        found: dict[RelPath, Entry] = {}
        with self.database.read() as db:
            reader = EntryReader(db)
            number = app_number(db, app)
            for folder, inside in groupby(paths, lambda path: split(path)[0]):
                wanted = {to_bytes(split(path)[1]): path for path in inside}
                at = _folder_number(db, folder)
                for name, row in _live_rows(db, number, at, wanted.keys()):
                    if (path := wanted.get(name)) is not None:
                        found[path] = reader.entry(path, row)
        return found

    def live_folder(self, app: str, folder: str) -> dict[str, Entry]:
        """Name to entry of one folder in the newest version."""
        with self.database.read() as db:
            reader = EntryReader(db)
            rows = db.execute(
                f"SELECT e.name, {COLUMNS} FROM live e {CONTENT_JOIN} WHERE app = ? AND folder = ?",
                (app_number(db, app), _folder_number(db, folder)),
            )
            return {
                name: reader.entry(join(folder, name), row)
                for name, row in ((row_path(b"", r[0]), r[1:]) for r in rows)
            }

    def live_folders(self, app: str) -> list[str]:
        """Every folder that has an entry in the newest version."""
        with self.database.read() as db:
            rows = db.execute(
                "SELECT path FROM folders WHERE id IN (SELECT folder FROM live WHERE app = ?)",
                (app_number(db, app),),
            ).fetchall()
        return [str(row_path(b"", row[0])) for row in rows]

    def live_below(self, app: str, folder: str) -> list[Entry]:
        """Every entry below a folder, at any depth, in the newest version."""
        prefix = to_bytes(folder)
        with self.database.read() as db:
            return list(
                EntryReader(db).entries(
                    f"SELECT f.path, e.name, {COLUMNS} FROM folders f JOIN live e"
                    f" ON e.folder = f.id AND e.app = ? {CONTENT_JOIN}"
                    " WHERE f.path = ? OR (f.path > ? AND f.path < ?)",
                    (app_number(db, app), prefix, prefix + b"/", prefix + b"0"),
                )
            )

    def tree(self, app: str, version: int) -> Iterator[Entry]:
        """Every entry of a version, folder by folder, in no promised order. Streams."""
        with self.database.read() as db:
            number = app_number(db, app)
            yield from EntryReader(db).entries(
                f"SELECT f.path, e.name, {COLUMNS} FROM live e JOIN folders f ON f.id = e.folder"
                f" {CONTENT_JOIN} WHERE app = ? AND since <= ?",
                (number, version),
            )
            yield from EntryReader(db).entries(
                f"SELECT f.path, e.name, {COLUMNS} FROM past e JOIN folders f ON f.id = e.folder"
                f" {CONTENT_JOIN} WHERE app = ? AND until > ? AND since <= ?",
                (number, version, version),
            )

    def below(self, app: str, version: int, path: RelPath) -> list[Entry]:
        """A path and everything below it, at any depth, in a version. What else there is costs
        nothing.
        """
        entry = self.at(app, version, path)
        folder = to_bytes(path)
        inside = (folder, folder + b"/", folder + b"0")
        with self.database.read() as db:
            number, reader = app_number(db, app), EntryReader(db)
            found = [] if entry is None else [entry]
            for table, alive in (("live", ""), ("past", f"AND e.until > {version}")):
                found += reader.entries(
                    f"SELECT f.path, e.name, {COLUMNS} FROM folders f CROSS JOIN {table} e"
                    f" ON e.app = ? AND e.folder = f.id {CONTENT_JOIN}"
                    f" WHERE (f.path = ? OR (f.path > ? AND f.path < ?)) AND e.since <= ? {alive}",
                    (number, *inside, version),
                )
        return found

    def at(self, app: str, version: int, path: RelPath) -> Entry | None:
        """One path in a version."""
        for span in self.history(app, path):
            if span.since <= version and (span.until is None or version < span.until):
                return span.entry
        return None

    def history(self, app: str, path: RelPath) -> list[Span]:
        """Every state that a path was in, oldest first."""
        folder, name = split(path)
        key = (to_bytes(folder), to_bytes(name))
        with self.database.read() as db:
            number, reader = app_number(db, app), EntryReader(db)
            where = "app = ? AND folder = (SELECT id FROM folders WHERE path = ?) AND name = ?"
            rows = db.execute(
                f"SELECT since, until, {COLUMNS} FROM past e {CONTENT_JOIN} WHERE {where}"
                f" UNION ALL SELECT since, NULL, {COLUMNS} FROM live e {CONTENT_JOIN}"
                f" WHERE {where} ORDER BY since",
                (number, *key, number, *key),
            )
            return [Span(reader.entry(path, row[2:]), row[0], row[1]) for row in rows]

    def versions_of(self, app: str, path: RelPath) -> set[int]:
        """The versions that changed a path, or something below it."""
        folder, name = split(path)
        top = to_bytes(path)
        with self.database.read() as db:
            where = (
                "e.app = ? AND ((e.name = ? AND f.path = ?) OR f.path = ?"
                " OR (f.path > ? AND f.path < ?))"
            )
            asked = (
                app_number(db, app),
                *(to_bytes(name), to_bytes(folder)),
                *(top, top + b"/", top + b"0"),
            )
            joined = "e JOIN folders f ON f.id = e.folder WHERE"
            rows = db.execute(
                f"SELECT e.since FROM live {joined} {where}"
                f" UNION SELECT e.since FROM past {joined} {where}"
                f" UNION SELECT e.until FROM past {joined} {where}",
                asked * 3,
            )
            return {version for (version,) in rows}

    def changed(self, app: str, one: int, two: int) -> list[tuple[Entry | None, Entry | None]]:
        """(entry in `one`, entry in `two`) of every path that may differ between two versions.

        Paths that changed and changed back in between are in neither list; equal pairs are left
        out.
        """
        low, high = min(one, two), max(one, two)
        with self.database.read() as db:
            arguments = {"app": app_number(db, app), "low": low, "high": high}
            old, new = (
                {row[:2]: row[2:] for row in db.execute(query, arguments)}
                for query in (_WENT, _CAME)
            )
            first, second = (old, new) if one <= two else (new, old)
            reader = EntryReader(db)
            return [
                (reader.entry_of(key, first.get(key)), reader.entry_of(key, second.get(key)))
                for key in old.keys() | new.keys()
                if old.get(key) != new.get(key)
            ]

    def sizes(self, app: str) -> list[tuple[int, int | None, int]]:
        """(since, until, bytes): what the files together hold that were there between these
        versions (None: still are).
        """
        with self.database.read() as db:
            number = app_number(db, app)
            rows = db.execute(
                "SELECT since, until, CAST(total(size) AS INTEGER) FROM"
                " (SELECT app, since, NULL AS until, content FROM live"
                " UNION ALL SELECT app, since, until, content FROM past) e"
                f" {CONTENT_JOIN} WHERE app = ? GROUP BY since, until",
                (number,),
            ).fetchall()
        return [(since, until, size) for since, until, size in rows]

    def contents(self, app: str) -> list[BlobInfo]:
        """Every content that any version of an app has."""
        with self.database.read() as db:
            rows = db.execute(
                "SELECT sha1, sha256, size FROM contents WHERE sha1 IS NOT NULL AND id IN"
                " (SELECT content FROM live WHERE app = ?1 UNION"
                " SELECT content FROM past WHERE app = ?1)",
                (app_number(db, app),),
            ).fetchall()
        return [BlobInfo(Digest(sha1), Sha256(sha256), size) for sha1, sha256, size in rows]

    def paths_like(self, app: str, pattern: str) -> list[RelPath]:
        """Every path of any version that matches a shell pattern (`*` crosses folders)."""
        with self.database.read() as db:
            number = app_number(db, app)
            rows = db.execute(
                "SELECT DISTINCT f.path, e.name FROM (SELECT app, folder, name FROM live"
                " UNION SELECT app, folder, name FROM past) e JOIN folders f ON f.id = e.folder"
                " WHERE e.app = ? AND (CASE WHEN f.path = x'' THEN CAST(e.name AS TEXT)"
                " ELSE CAST(f.path || '/' || e.name AS TEXT) END) GLOB CAST(? AS TEXT)",
                (number, to_bytes(pattern)),
            ).fetchall()
            found = [row_path(folder, name) for folder, name in rows]
            if is_utf8(pattern):
                return found
            # to SQLite all bytes that are no text are the same: asked again with letters for them
            text, sql = _text(pattern), "SELECT ? GLOB ?"
            return [path for path in found if db.execute(sql, (_text(path), text)).fetchone()[0]]

    def with_content(self, digest: Digest) -> list[tuple[str, Span]]:
        """(app UUID, span) of every entry, past and present, that has a content.

        The catalogs of vendors are looked up; the history of applications is read from end to end,
        which takes about 0.1 microseconds an entry and saves an index over all of it.
        """
        with self.database.read() as db:
            reader = EntryReader(db)
            found = [
                (row[0], Span(reader.entry(row_path(row[1], row[2]), row[5:]), row[3], row[4]))
                for row in rows_with_content(db, digest)
            ]
        return sorted(found, key=lambda one: (one[0], os.fsencode(one[1].entry.path), one[1].since))

    def live_contents(self, digests: Iterable[Digest]) -> set[Digest]:
        """Those that a file of the newest version of some application has; catalogs of vendors do
        not count. One pass over these versions, however many are asked for.
        """
        with self.database.read() as db:
            return live_contents(db, digests)

    def shipped(self, wanted: Iterable[Sha256]) -> dict[Sha256, list[ShippedRow]]:
        """Where the catalogs of vendors have these contents, in order of catalog, path and version;
        a content that none has is left out. Indexed: the cost is that of what is found.
        """
        found: dict[Sha256, list[ShippedRow]] = {}
        left = iter(dict.fromkeys(wanted))
        with self.database.read() as db:
            if not _has_vendors(db):
                return {}
            while batch := list(islice(left, BATCH // 8)):
                for row in shipped_rows(db, batch):
                    _add_shipped(found.setdefault(Sha256(row[0]), []), row)
        return found

    def forget_app(self, app: str) -> None:
        """Take an app and its whole history out of the index."""
        with self.database.write() as db:
            row = db.execute("SELECT id FROM apps WHERE uuid = ?", (app,)).fetchone()
            for table in ("records", "live", "past", "changes") if row else ():
                db.execute(f"DELETE FROM {table} WHERE app = ?", row)
            db.execute("DELETE FROM apps WHERE uuid = ?", (app,))


def _record_row(record: IndexedRecord) -> tuple[int, str, int | None, bytes, int]:
    total = record_sum(record.type, record.version, record.form)
    return record.seq, record.type, record.version, record.form, total


def _record(row: Sequence[Any]) -> IndexedRecord:
    *fields, total = row
    if not is_sound_record(fields[1:], total):
        raise damaged_index()
    return IndexedRecord(*fields)


def _without_content(entry: Entry) -> Entry:
    """Its content is the one that the path has, and so is the sum that goes with it."""
    return entry if entry.content is None else msgspec.structs.replace(entry, content=None)


def _has_none(db: sqlite3.Connection, app: int) -> bool:
    """Whether the newest version of an app has no entry at all, or there is none."""
    found = db.execute("SELECT EXISTS (SELECT 1 FROM live WHERE app = ?)", (app,)).fetchone()
    return not found[0]


def _merge_incoming(db: sqlite3.Connection, app: int, version: int) -> None:
    db.execute(
        "UPDATE incoming SET content = (SELECT l.content FROM live l WHERE l.app = ?"
        " AND l.folder = incoming.folder AND l.name = incoming.name) WHERE keep",
        (app,),
    )
    db.execute(f"UPDATE incoming SET sum = {SUM_WITH_CONTENT} WHERE keep")
    db.execute(  # CROSS JOIN: what is incoming first, or all of a large tree is read for one file
        "INSERT OR REPLACE INTO past SELECT l.app, l.folder, l.name, l.since, ?, l.content,"
        " l.meta, l.mtime, l.sum FROM incoming i CROSS JOIN live l ON l.app = ?"
        " AND l.folder = i.folder AND l.name = i.name WHERE l.since < ?",
        (version, app, version),
    )
    db.execute(
        "INSERT OR REPLACE INTO live"
        " SELECT ?, folder, name, ?, content, meta, mtime, sum FROM incoming",
        (app, version),
    )
    db.execute("DELETE FROM incoming")


def _remove(
    db: sqlite3.Connection, app: int, version: int, keys: Sequence[tuple[int, bytes]]
) -> None:
    where = "app = ? AND folder = ? AND name = ?"
    db.executemany(
        "INSERT OR REPLACE INTO past"
        " SELECT app, folder, name, since, ?, content, meta, mtime, sum"
        f" FROM live WHERE since < ? AND {where}",
        [(version, version, app, *key) for key in keys],
    )
    db.executemany(f"DELETE FROM live WHERE {where}", [(app, *key) for key in keys])


_TOUCHED = (
    "(SELECT DISTINCT folder FROM changes WHERE app = :app AND version > :low AND version <= :high)"
)


def _in_touched(table: str, where: str) -> str:
    # CROSS JOIN: the folders first, then what is known of each
    return (
        f"SELECT f.path, e.name, {COLUMNS} FROM {_TOUCHED} t CROSS JOIN {table} e ON e.app = :app"
        f" AND e.folder = t.folder JOIN folders f ON f.id = e.folder {CONTENT_JOIN} WHERE {where}"
    )


_WENT = _in_touched("past", "e.since <= :low AND e.until > :low AND e.until <= :high")
"""What version `low` had and `high` has no more."""
_CAME = " UNION ALL ".join(
    _in_touched(table, f"e.since > :low AND e.since <= :high {alive}")
    for table, alive in (("live", ""), ("past", "AND e.until > :high"))
)
"""What version `high` has and `low` did not have."""


_LIVE_IN_FOLDER = (
    f"SELECT e.name, {COLUMNS} FROM live e {CONTENT_JOIN} WHERE e.app = ? AND e.folder = ?"
)
_FEW = 8
_SPARSE = 4
"""Neighbours that are read for each name that is wanted, at most: as much as looking it up costs.
"""


def _live_rows(
    db: sqlite3.Connection, app: int, folder: int | None, names: Set[bytes]
) -> Iterator[tuple[bytes, Sequence[Any]]]:
    """(name, COLUMNS) of what has these names in one folder of the newest version, and perhaps of
    some of their neighbours: of many, it is quickest to read on from the first.
    """
    left: Iterable[bytes] = names
    if len(names) > _FEW:
        limit = _SPARSE * len(names)
        rows = db.execute(
            f"{_LIVE_IN_FOLDER} AND e.name >= ? AND e.name <= ? ORDER BY e.name LIMIT ?",
            (app, folder, min(names), max(names), limit),
        ).fetchall()
        yield from ((row[0], row[1:]) for row in rows)
        left = names - {row[0] for row in rows} if len(rows) == limit else ()
    for name in left:
        for row in db.execute(f"{_LIVE_IN_FOLDER} AND e.name = ?", (app, folder, name)):
            yield row[0], row[1:]


def _folder_number(db: sqlite3.Connection, folder: str) -> int | None:
    row = db.execute("SELECT id FROM folders WHERE path = ?", (to_bytes(folder),)).fetchone()
    return None if row is None else int(row[0])


def _has_vendors(db: sqlite3.Connection) -> bool:
    found = db.execute("SELECT EXISTS (SELECT 1 FROM apps WHERE id < 0)").fetchone()
    return bool(found[0])


def _add_shipped(known: list[ShippedRow], row: tuple[Any, ...]) -> None:
    """One more span; one that only goes on with other metadata is joined."""
    _, catalog, folder, name, since, until = row
    span = ShippedRow(catalog, row_path(folder, name), since, until)
    last = known[-1] if known else None
    if last is not None and (last.catalog, last.path, last.until) == (catalog, span.path, since):
        known[-1] = msgspec.structs.replace(last, until=until)
    else:
        known.append(span)


def app_number(db: sqlite3.Connection, uuid: str, *, create: bool = False) -> int:
    row = db.execute("SELECT id FROM apps WHERE uuid = ?", (uuid,)).fetchone()
    if row is not None:
        return int(row[0])
    if not create:
        raise AppNotFoundError(f"nothing is recorded of app {uuid}")
    is_vendors = uuid.endswith(VENDOR)
    edge = "min(coalesce(min(id), 0), 0) - 1" if is_vendors else "max(coalesce(max(id), 0), 0) + 1"
    cursor = db.execute(
        f"INSERT INTO apps (id, uuid, length, head, seq) SELECT {edge}, ?, 0, '', 0 FROM apps",
        (uuid,),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


_BYTES = {0xDC00 + byte: 0xF700 + byte for byte in range(0x80, 0x100)}


def _text(path: str) -> str:
    """With a letter for private use in the place of each byte that is no UTF-8."""
    return path.translate(_BYTES)
