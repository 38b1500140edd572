"""One catalog's newest version beside a version of another: rows, not entries, because of a hundred
thousand nearly all are equal.

Contents and what entries share are interned, so that comparing two paths is comparing numbers. Call
everything within one `Database.read()`: the numbers mean something in one state of the index only.
"""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import msgspec

from epmstore.index.database import Database
from epmstore.index.entries import app_number
from epmstore.index.entryrows import EntryReader, row_path
from epmstore.relpath import RelPath, to_bytes
from epmstore.tree import Entry, Pair

CountedSpan: TypeAlias = tuple[int, int | None, int]
"""(since, until, files): so many from version `since` until before `until` (None: still)."""
Side: TypeAlias = tuple[int | None, int, int | None]
"""(content, meta, mtime) of a path in one of the two."""

_SAME_PATH = "folder = h.folder AND {0}.name = h.name"


class ComparedRow(msgspec.Struct, frozen=True, gc=False):
    """One path: folder and name, and what it is in the newest version of the one catalog and in the
    version of the other.
    """

    folder: int
    name: bytes
    one: Side | None
    two: Side | None


class Rows(msgspec.Struct, frozen=True):
    """`equal` counts by meta what is the same in everything but its time. `alike` have the same
    content and another meta, by the two metas. `unlike` is all the rest.
    """

    equal: Counter[int]
    alike: dict[tuple[int, int], list[ComparedRow]]
    unlike: list[ComparedRow]


class Comparison:
    """Compares the newest version of one catalog with versions of another, both by their names."""

    def __init__(self, database: Database, one: str, two: str) -> None:
        self._database = database
        self._one = one
        self._two = two

    def matches(self) -> list[CountedSpan]:
        """How many files of the newest version are as the other catalog has them in versions."""
        query = (
            "SELECT w.since, {0}, count(*) FROM live h CROSS JOIN {1} w ON w.app = :two"
            f" AND w.{_SAME_PATH.format('w')} WHERE h.app = :one AND h.content = w.content"
            " GROUP BY w.since, {0}"
        )
        with self._database.read() as db:
            return _intervals(db, query, self._numbers(db))

    def sizes(self) -> list[CountedSpan]:
        """How many files the other catalog has in which versions."""
        query = (
            "SELECT w.since, {0}, count(*) FROM {1} w WHERE w.app = :two"
            " AND w.content IS NOT NULL GROUP BY w.since, {0}"
        )
        with self._database.read() as db:
            return _intervals(db, query, {"two": app_number(db, self._two)})

    def rows(self, version: int) -> Rows:
        """Every path of the newest version and of `version` of the other catalog."""
        found = Rows(Counter(), defaultdict(list), [])
        with self._database.read() as db:
            for row in self._both(db, version):
                if row.one is None or row.two is None or row.one[0] != row.two[0]:
                    found.unlike.append(row)
                elif row.one[1] == row.two[1]:
                    found.equal[row.one[1]] += 1
                else:
                    found.alike[row.one[1], row.two[1]].append(row)
        return found

    def meta(self, number: int) -> Entry:
        """What a meta says, as an entry of no path."""
        with self._database.read() as db:
            return EntryReader(db).unchecked(RelPath(""), (None, None, None), number, None)

    def pairs(self, rows: Iterable[ComparedRow]) -> list[Pair]:
        """The entries of some rows."""
        with self._database.read() as db:
            makers = _Maker(db)
            return [(makers.entry(r, r.one), makers.entry(r, r.two)) for r in rows]

    def holds(self, folder: RelPath) -> bool:
        """Whether a folder holds anything in the newest version."""
        with self._database.read() as db:
            row = db.execute(
                "SELECT EXISTS (SELECT 1 FROM live WHERE app = ?"
                " AND folder = (SELECT id FROM folders WHERE path = ?))",
                (app_number(db, self._one), to_bytes(folder)),
            ).fetchone()
        return bool(row[0])

    def _both(self, db: sqlite3.Connection, version: int) -> Iterator[ComparedRow]:
        numbers = self._numbers(db)
        for row in db.execute(_LEFT, {**numbers, "at": version}):
            two: Side | None = None if row[6] is None else (row[5], row[6], row[7])
            yield ComparedRow(row[0], row[1], (row[2], row[3], row[4]), two)
        for row in db.execute(_RIGHT, {**numbers, "at": version}):
            yield ComparedRow(row[0], row[1], None, (row[2], row[3], row[4]))

    def _numbers(self, db: sqlite3.Connection) -> dict[str, int]:
        return {"one": app_number(db, self._one), "two": app_number(db, self._two)}


def _intervals(db: sqlite3.Connection, query: str, numbers: dict[str, int]) -> list[CountedSpan]:
    both = (query.format("NULL", "live"), query.format("w.until", "past"))
    return [row for one in both for row in db.execute(one, numbers)]


_LEFT = (
    "SELECT h.folder, h.name, h.content, h.meta, h.mtime, coalesce(l.content, p.content),"
    " coalesce(l.meta, p.meta), coalesce(l.mtime, p.mtime) FROM live h"
    f" LEFT JOIN live l ON l.app = :two AND l.{_SAME_PATH.format('l')} AND l.since <= :at"
    f" LEFT JOIN past p ON p.app = :two AND p.{_SAME_PATH.format('p')} AND p.since <= :at"
    " AND p.until > :at WHERE h.app = :one"
)
_RIGHT = " UNION ALL ".join(
    f"SELECT h.folder, h.name, h.content, h.meta, h.mtime FROM {table} h WHERE h.app = :two"
    f" AND h.since <= :at {alive} AND NOT EXISTS (SELECT 1 FROM live x WHERE x.app = :one"
    f" AND x.{_SAME_PATH.format('x')})"
    for table, alive in (("live", ""), ("past", "AND h.until > :at"))
)


class _Maker:
    """Makes entries of rows; asks for each folder and content once."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._reader = EntryReader(db)
        self._folders: dict[int, bytes] = {}
        self._contents: dict[int | None, Sequence[object]] = {None: (None, None, None)}

    def entry(self, row: ComparedRow, side: Side | None) -> Entry | None:
        if side is None:
            return None
        content, meta, mtime = side
        path = row_path(self._folder(row.folder), row.name)
        return self._reader.unchecked(path, self._content(content), meta, mtime)

    def _folder(self, number: int) -> bytes:
        found = self._folders.get(number)
        if found is None:
            row = self._db.execute("SELECT path FROM folders WHERE id = ?", (number,)).fetchone()
            found = self._folders[number] = row[0]
        return found

    def _content(self, number: int | None) -> Sequence[object]:
        found = self._contents.get(number)
        if found is None:
            query = "SELECT sha1, sha256, size FROM contents WHERE id = ?"
            found = self._contents[number] = self._db.execute(query, (number,)).fetchone()
        return found
