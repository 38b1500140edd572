"""What reads a package from elsewhere: in a process of its own, within the limits of
epmstore/limited.py. The only one that opens its SQLite.

Order: the signature, over the bytes of the file; the schema, before anything else is asked of the
database; its pages; the lines, each as strict as those of a catalog; what is said to be in it; and
then the frames. Nothing here is decoded but lines. The first fault ends it.
"""

import re
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from epmstore import seal
from epmstore.catalog.format import open_line
from epmstore.catalog.model import VersionPart
from epmstore.errors import BadPackageError, DamagedError, EpmError
from epmstore.limited import serve
from epmstore.package.content_tables import Holding
from epmstore.package.file_format import HOST, TABLES
from epmstore.package.messages import (
    Begun,
    Blob,
    Held,
    Lacking,
    Large,
    LineBytes,
    Order,
    Piece,
    Sealed,
    Sound,
    Tagged,
)
from epmstore.package.patching import changed
from epmstore.package.table_check import compare, tags_of
from epmstore.package.tables import PackagedRelease
from epmstore.refcat import packaging_form
from epmstore.refcat.checker import CheckedCatalog, Checker
from epmstore.refcat.signature import check_signature
from epmstore.refcat.strict import MAX_LINE
from epmstore.tree import Entry

CHUNK: Final = 4 << 20
"""Bytes of a message, about."""
FREE_LINES: Final = 96 << 20
"""Plain bytes that the lines of any package may come to; beyond, RATIO for each of their own."""
RATIO: Final = 200
BATCH: Final = 10_000
LONGEST: Final = 72 << 20
"""Bytes of one value of the database."""
_LIMITS: Final = (
    (sqlite3.SQLITE_LIMIT_LENGTH, LONGEST),
    (sqlite3.SQLITE_LIMIT_SQL_LENGTH, 100_000),
    (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
    (sqlite3.SQLITE_LIMIT_VDBE_OP, 25_000),
    (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 10),
    (sqlite3.SQLITE_LIMIT_COLUMN, 100),
    (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 3),
    (sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 1),
)
_UUID: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HARDEN: Final = (
    "trusted_schema=OFF", "query_only=ON", "cell_size_check=ON", "mmap_size=0",
    "temp_store=MEMORY", "cache_size=-8192",
)  # fmt: skip


def read(setting: bytes) -> Iterator[object]:
    order = msgspec.msgpack.decode(setting, type=Order)
    signer = None
    if order.signature is not None:
        path = Path(order.path)
        signer = check_signature(path, order.signature, order.keys, order.now).fingerprint
    try:
        db = open_hardened(order.path, whole=order.whole)
        yield from _Package(db, order).read(signer)
    except (sqlite3.Error, UnicodeDecodeError, OverflowError) as error:
        raise BadPackageError(f"its database is damaged: {error}") from None


def open_hardened(path: str, *, whole: bool) -> sqlite3.Connection:
    """A connection that has looked at schema and pages, and reads known tables alone. Raises
    BadPackageError, sqlite3.Error.
    """
    uri = f"file:{quote(path)}?mode=ro&immutable=1"
    db = sqlite3.connect(uri, uri=True, isolation_level=None)
    for kind, most in _LIMITS:
        db.setlimit(kind, most)
    if sys.version_info >= (3, 12):
        db.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
    for pragma in _HARDEN:
        db.execute(f"PRAGMA {pragma}")
    _check_schema(db)
    found = db.execute("PRAGMA quick_check(1)").fetchone()
    if found != ("ok",):
        raise BadPackageError(f"its database is damaged: {_short(found)}")
    allowed = frozenset(TABLES if whole else HOST)

    def authorize(action: int, one: str | None, *_: str | None) -> int:
        is_read = action == sqlite3.SQLITE_READ and one in allowed
        is_fine = action == sqlite3.SQLITE_SELECT or is_read
        return sqlite3.SQLITE_OK if is_fine else sqlite3.SQLITE_DENY

    db.set_authorizer(authorize)
    return db


def _check_schema(db: sqlite3.Connection) -> None:
    """Tables, each as this program writes it, and nothing else."""
    query = "SELECT type, name, tbl_name, sql FROM sqlite_schema LIMIT 1000"
    known = sqlite3.connect(":memory:")
    for statement in TABLES.values():
        known.execute(statement)
    wanted = {row[:2]: row for row in known.execute(query)}
    known.close()
    for row in db.execute(query):
        if wanted.pop(row[:2], None) != row:
            raise BadPackageError(f"its schema is another: {_short(row[:2])}")
    if wanted:
        raise BadPackageError(f"its schema is another: there is no {_short(next(iter(wanted)))}")


def _short(said: object) -> str:
    text = " ".join(map(str, said)) if isinstance(said, tuple) else str(said)
    return ascii(text[:80])


class _Package:
    def __init__(self, db: sqlite3.Connection, order: Order) -> None:
        self._db = db
        self._order = order
        self._left = order.most
        """Plain bytes that may still come."""

    def read(self, signer: str | None) -> Iterator[object]:
        begun = self._begin()
        yield begun
        checker, known = self._checker(begun)
        before = known.tree if known is not None and self._order.whole else ()
        del known
        last: object = None
        pending = bytearray()
        for plain in self._lines(begun):
            _, last = checker.add(plain)
            pending += plain
            while len(pending) >= CHUNK:
                yield LineBytes(bytes(memoryview(pending)[:CHUNK]))
                del pending[:CHUNK]
        if checker.finish().app != begun.product:
            raise BadPackageError("its lines are of another product than it says")
        if pending:
            yield LineBytes(bytes(pending))
        del pending
        if not isinstance(last, VersionPart):
            raise BadPackageError("it does not end with the release that it is of")
        if not checker.package:
            raise BadPackageError("its release does not say how it is a package")
        holding = Holding(self._db, checker)
        bases = holding.bases
        yield Sound(checker.lines, checker.head, checker.releases, signer, bases)
        yield from self._lacking(holding, is_full=begun.first == 0)
        yield from self._contents(holding)
        if self._order.whole:
            self._compare(checker, last, before)
            yield Tagged(tags_of(self._db))

    def _begin(self) -> Begun:
        rows = self._db.execute("SELECT DISTINCT product FROM catalog LIMIT 2").fetchall()
        if len(rows) != 1:
            what = "it has no lines" if not rows else "it is of several products"
            raise BadPackageError(what)
        product = rows[0][0]
        if not isinstance(product, str) or not _UUID.fullmatch(product):
            raise BadPackageError("it is of no product")
        first = self._db.execute("SELECT seq, line FROM catalog ORDER BY seq LIMIT 1").fetchone()
        said = msgspec.json.decode(self._plain(first[1]), type=_Begins)
        release = self._first_release() if first[0] else None
        return Begun(product, int(first[0]), said.prev, release)

    def _first_release(self) -> int | None:
        """Of a package of later lines; a hint for messages, so it is not looked for for long."""
        for (line,) in self._db.execute("SELECT line FROM catalog ORDER BY seq LIMIT 10"):
            said = msgspec.json.decode(self._plain(line), type=_Begins)
            if said.type == "version":
                return said.version
        return None

    def _checker(self, begun: Begun) -> tuple[Checker, CheckedCatalog | None]:
        others = {app: needs for app, needs in self._order.needs.items() if app != begun.product}
        if begun.first == 0:
            return Checker(others), None
        with open(self._order.known, "rb", closefd=False) as pipe:
            known = msgspec.msgpack.decode(pipe.read(), type=CheckedCatalog)
        return Checker.resume(known, others), known

    def _lines(self, begun: Begun) -> Iterator[bytes]:
        rows = self._db.execute("SELECT product, seq, line FROM catalog ORDER BY seq")
        left = FREE_LINES
        for number, (product, seq, line) in enumerate(rows, begun.first):
            if product != begun.product or seq != number:
                raise BadPackageError(f"line {number + 1} is not in it")
            plain = self._plain(line)
            left += RATIO * len(line) - len(plain)
            if left < 0:
                raise BadPackageError("its lines come to more than such a package may")
            yield plain

    def _plain(self, line: object) -> bytes:
        if not isinstance(line, bytes):
            raise BadPackageError("a line is no bytes")
        found, body = seal.read(line)
        if found.end != len(line) or found.number > MAX_LINE:
            raise BadPackageError("a line is too long")
        return open_line(found, body)

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise BadPackageError(f"it comes to more than {self._order.most >> 20:,} MiB")

    def _lacking(self, holding: Holding, *, is_full: bool) -> Iterator[Lacking]:
        batch: list[Blob] = []
        for path, info in holding.lacking():
            if is_full:
                raise BadPackageError(f"it lacks the content of {path!a}")
            batch.append(Blob(info.sha256, info.digest, info.size))
        batch += [Blob(one.sha256, one.digest, one.size) for one in holding.bases_elsewhere()]
        for start in range(0, len(batch), BATCH):
            yield Lacking(batch[start : start + BATCH])

    def _contents(self, holding: Holding) -> Iterator[object]:
        for number, blobs in holding.frames():
            yield from self._sealed(number, blobs)
        for blob in holding.large:
            yield Large(blob)
            for part in blob.parts:
                place = holding.part(part)
                if place is None:
                    yield Held(part)
                else:
                    yield from self._sealed(place[0], [place[1]])

    def _sealed(self, number: int, blobs: list[Blob]) -> Iterator[object]:
        row = self._db.execute("SELECT bytes FROM frames WHERE id = ?", (number,)).fetchone()
        if row is None or not isinstance(row[0], bytes):
            raise BadPackageError(f"frame {number} is not in it")
        record = row[0]
        found = seal.parse(record)
        if found.end != len(record):
            raise BadPackageError(f"frame {number} is not one record")
        self._take(found.number)
        yield Sealed(len(record), blobs)
        for start in range(0, len(record), CHUNK):
            yield Piece(record[start : start + CHUNK])

    def _compare(self, checker: Checker, last: VersionPart, before: Sequence[Entry]) -> None:
        """What people read against what hosts read: of a patch, what is new since `before`."""
        release = PackagedRelease(
            about=checker.finish(),
            record=last.header,
            package=packaging_form.read(checker.package),
            entries=changed(before, list(checker.tree())),
            digest=checker.head,
        )
        compare(self._db, release)


class _Begins(msgspec.Struct):
    prev: str
    type: str | None = None
    version: int | None = None


def main() -> None:
    serve(_told)


def _told(setting: bytes) -> Iterator[object]:
    """Each fault names what it is of."""
    try:
        yield from read(setting)
    except (DamagedError, ValueError) as error:
        if isinstance(error, BadPackageError):
            raise
        why = error.message if isinstance(error, EpmError) else str(error)
        data = error.data if isinstance(error, EpmError) else {}
        raise BadPackageError(why, **data) from None
