"""Which contents are stored, and where: the index side of packs and the pack log."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

import msgspec

from epmstore.digest import BlobInfo, Digest, Purges, Sha256, read_purges
from epmstore.errors import UsageError
from epmstore.index.database import CONTENT_INDEXES, Database, Interned, damaged_index
from epmstore.index.rowsum import content_sum
from epmstore.pack_table import NO_FRAME, BlobRow, GroupTable, Place
from epmstore.seal import RecordKind

PREFIX = 4
"""Bytes of a digest that are indexed; the rest is compared."""
SHA1_SIZE = 20
BATCH = 500
"""Contents that one query looks up."""
ROWS = 4096
"""Contents that are made rows of at a time."""

_KINDS = {kind.value.decode(): kind for kind in RecordKind}


class _Purge(msgspec.Struct, frozen=True):
    """What a purge record says of a content."""

    digest: str | None = None
    sha256: str | None = None


_purge_decoder = msgspec.json.Decoder(_Purge)

UNKNOWN_SIZE = -1
"""Of a content that so far is only named, as a delta's base or a part, by the table of another
group.
"""


class _Unnamed(msgspec.Struct, frozen=True, gc=False):
    """A content that is only referred to so far."""

    sha256: Sha256
    size: int = UNKNOWN_SIZE
    digest: None = None


_Known: TypeAlias = BlobInfo | BlobRow | _Unnamed


class Contents:
    """The blob table of one index. Reading methods may be called from any thread."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def with_digest(self, digest: Digest) -> list[BlobInfo]:
        """Stored contents with this address; more than one only after a collision."""
        with self.database.read() as db:
            rows = db.execute(
                "SELECT sha256, size FROM contents JOIN stored ON content = id"
                " WHERE substr(sha1, 1, 4) = ? AND sha1 = ? AND sha1 IS NOT NULL",
                (digest[:PREFIX], digest),
            ).fetchall()
        return [BlobInfo(digest, Sha256(sha256), size) for sha256, size in rows]

    def seen(self, digest: Digest) -> list[BlobInfo]:
        """Contents with this address that any recorded entry names, stored or not."""
        with self.database.read() as db:
            rows = db.execute(
                "SELECT sha256, size FROM contents WHERE substr(sha1, 1, 4) = ? AND sha1 = ?"
                " AND sha1 IS NOT NULL",
                (digest[:PREFIX], digest),
            ).fetchall()
        return [BlobInfo(digest, Sha256(sha256), size) for sha256, size in rows]

    def named(self, sha256: Sha256) -> BlobInfo | None:
        """A content that is stored, or that any recorded entry names; None for what is neither, or
        of which no more than this is known.
        """
        with self.database.read() as db:
            row = db.execute(
                "SELECT sha1, size FROM contents WHERE substr(sha256, 1, 4) = ? AND sha256 = ?"
                " AND sha1 IS NOT NULL",
                (sha256[:PREFIX], sha256),
            ).fetchone()
        return None if row is None else BlobInfo(Digest(row[0]), sha256, row[1])

    def all_named(self) -> list[BlobInfo]:
        """Every content that has an address."""
        with self.database.read() as db:
            rows = db.execute(
                "SELECT sha1, sha256, size FROM contents WHERE sha1 IS NOT NULL AND size >= 0"
            ).fetchall()
        return [BlobInfo(Digest(sha1), Sha256(sha256), size) for sha1, sha256, size in rows]

    def meant(self, address: Digest | Sha256) -> list[BlobInfo]:
        """The contents, stored or named, that have a SHA-1, or a SHA-256."""
        if len(address) == SHA1_SIZE:
            return self.seen(Digest(address))
        info = self.named(Sha256(address))
        return [] if info is None else [info]

    def purged(self) -> Purges:
        """What any catalog says was purged."""
        with self.database.read() as db:
            rows = db.execute("SELECT form FROM records WHERE type = 'purge'").fetchall()
        try:
            said = [_purge_decoder.decode(form) for (form,) in rows]
            return read_purges((one.digest, one.sha256) for one in said)
        except (ValueError, TypeError, RecursionError, UsageError):
            raise damaged_index() from None

    def beginning(self, digits: str) -> list[BlobInfo]:
        """Stored or recorded contents whose address begins with these digits (lower-case hex)."""
        even = digits[: len(digits) // 2 * 2]
        low = bytes.fromhex(even)[:PREFIX]
        high = low + b"\xff" * (PREFIX + 1 - len(low))
        with self.database.read() as db:
            rows = db.execute(
                "SELECT sha1, sha256, size FROM contents WHERE substr(sha1, 1, 4) >= ?"
                " AND substr(sha1, 1, 4) <= ? AND sha1 IS NOT NULL",
                (low, high),
            ).fetchall()
        return [
            BlobInfo(Digest(sha1), Sha256(sha256), size)
            for sha1, sha256, size in rows
            if sha1.hex().startswith(digits)
        ]

    def colliding(self, infos: Sequence[BlobInfo]) -> list[BlobInfo]:
        """Those whose address is that of another content which is stored or recorded."""
        found: list[BlobInfo] = []
        with self.database.read() as db:
            for start in range(0, len(infos), BATCH):
                batch = {info.digest: info for info in infos[start : start + BATCH]}
                marks = ", ".join("?" * len(batch))
                rows = db.execute(
                    f"SELECT sha1, sha256 FROM contents WHERE substr(sha1, 1, 4) IN ({marks})"
                    " AND sha1 IS NOT NULL",
                    [digest[:PREFIX] for digest in batch],
                )
                for sha1, sha256 in rows:
                    info = batch.get(sha1)
                    if info is not None and info.sha256 != sha256:
                        found.append(info)
        return found

    def places(self, wanted: Sequence[Sha256]) -> dict[Sha256, Place]:
        """Where contents (and parts) lie; what is not stored is left out."""
        found: dict[Sha256, Place] = {}
        asked = list(dict.fromkeys(wanted))
        with self.database.read() as db:
            for start in range(0, len(asked), BATCH):
                found.update(_places(db, asked[start : start + BATCH]))
        return found

    def delta_bytes(self, base: Sha256) -> int:
        """Stored bytes of all deltas made against this content."""
        with self.database.read() as db:
            row = db.execute(
                "SELECT total(s.length) FROM contents c JOIN stored s ON s.base = c.id"
                " WHERE substr(c.sha256, 1, 4) = ? AND c.sha256 = ?",
                (base[:PREFIX], base),
            ).fetchone()
        return int(row[0])

    def files(self) -> dict[str, int]:
        """Every pack and pack log that the index knows, with the length it has read of it."""
        with self.database.read() as db:
            return dict(db.execute("SELECT file, length FROM packs"))

    def rows(self, file: str) -> list[tuple[Digest | None, Sha256, int, Sha256 | None]]:
        """(digest, witness, size, base) of every content that lies in a file."""
        with self.database.read() as db:
            return db.execute(
                "SELECT c.sha1, c.sha256, c.size, b.sha256 FROM packs p"
                " JOIN frames f ON f.pack = p.id JOIN stored s ON s.frame = f.id"
                " JOIN contents c ON c.id = s.content LEFT JOIN contents b ON b.id = s.base"
                " WHERE p.file = ?",
                (file,),
            ).fetchall()

    def address(self, sha256: Sha256) -> Digest | None:
        """The address of a content, as far as the index knows it."""
        with self.database.read() as db:
            row = db.execute(
                "SELECT sha1 FROM contents WHERE substr(sha256, 1, 4) = ? AND sha256 = ?",
                (sha256[:PREFIX], sha256),
            ).fetchone()
        return None if row is None or row[0] is None else Digest(row[0])

    def is_empty(self) -> bool:
        """Whether nothing at all is stored."""
        with self.database.read() as db:
            row = db.execute("SELECT EXISTS (SELECT 1 FROM stored)").fetchone()
        return not row[0]

    def totals(self) -> tuple[int, int]:
        """(number, plain bytes) of the stored contents that have an address."""
        with self.database.read() as db:
            row = db.execute(
                "SELECT count(*), total(size) FROM contents JOIN stored ON content = id"
                " WHERE sha1 IS NOT NULL"
            ).fetchone()
        return int(row[0]), int(row[1])

    def add_group(self, file: str, start: int, group: GroupTable) -> None:
        """Enter a durable group that begins at `start` of `file`. A content known before keeps its
        place, unless that is a delta and here it is in full: deltas may be made against it.
        """
        with self.database.write() as db:
            db.execute(
                "INSERT INTO packs (file, length) VALUES (?, ?)"
                " ON CONFLICT (file) DO UPDATE SET length = max(length, excluded.length)",
                (file, start + group.length),
            )
            pack = db.execute("SELECT id FROM packs WHERE file = ?", (file,)).fetchone()[0]
            first = _next_id(db, "frames")
            db.executemany(
                "INSERT INTO frames VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        first + n,
                        pack,
                        frame.kind.value.decode(),
                        start + frame.offset,
                        frame.head_length,
                        frame.body_length,
                        frame.plain_size,
                    )
                    for n, frame in enumerate(group.frames)
                ],
            )
            for blobs in _in_batches(group.blobs):
                _add_rows(db, first, blobs, self.database.interned)

    def begin(self) -> Callable[[], None]:
        """Before many groups are entered: what comes back is to be called when they are, as that of
        `Entries.begin`. An empty table is filled quicker without indexes, which are made then.
        Within `database.write`.
        """
        with self.database.write() as db:
            if not _is_empty(db):
                return _nothing_left
            for name in CONTENT_INDEXES:
                db.execute(f"DROP INDEX IF EXISTS {name}")
        return partial(_index, db)

    def forget_file(self, file: str) -> None:
        """Take a file and everything in it out of the index; entries keep the identities."""
        with self.database.write() as db:
            row = db.execute("SELECT id FROM packs WHERE file = ?", (file,)).fetchone()
            if row is None:
                return
            frames = "(SELECT id FROM frames WHERE pack = ?)"
            db.execute(f"DELETE FROM stored WHERE frame IN {frames}", row)
            db.execute("DELETE FROM frames WHERE pack = ?", row)
            db.execute("DELETE FROM packs WHERE id = ?", row)

    def forget_place(self, sha256: Sha256) -> None:
        """Where a content lies is not known any more; that it was recorded is."""
        with self.database.write() as db:
            row = _content(db, sha256)
            if row is not None:
                db.execute("DELETE FROM stored WHERE content = ?", row[:1])
                db.execute("DELETE FROM parts WHERE content = ?", row[:1])

    def forget_large(self, sha256: Sha256) -> None:
        """Take a large blob, which lies in parts and in no frame, out of the index."""
        with self.database.write() as db:
            row = _content(db, sha256)
            if row is not None:
                db.execute("DELETE FROM stored WHERE content = ? AND frame = ?", (row[0], NO_FRAME))
                db.execute("DELETE FROM parts WHERE content = ?", row[:1])


def _nothing_left() -> None:
    """Indexes that are there grow with each row."""


def _index(db: sqlite3.Connection) -> None:
    for statement in CONTENT_INDEXES.values():
        db.execute(statement)


def _is_empty(db: sqlite3.Connection) -> bool:
    return not db.execute("SELECT EXISTS (SELECT 1 FROM contents)").fetchone()[0]


def _in_batches(blobs: Sequence[BlobRow]) -> Iterator[Sequence[BlobRow]]:
    return (blobs[start : start + ROWS] for start in range(0, len(blobs), ROWS))


def intern(db: sqlite3.Connection, infos: Iterable[_Known], known: Interned) -> dict[bytes, int]:
    """The row of each content, by witness; unknown ones get one, half-known ones what `infos` adds.

    `known` is the transaction's.
    """
    if known.has_all is None:
        known.has_all = _is_empty(db)
    found: dict[bytes, int] = {}
    fresh: list[_Known] = []
    first = _next_id(db, "contents")
    for info in infos:
        sha256 = info.sha256
        if sha256 in found:
            continue
        number = known.rows.get(sha256)
        if number is not None:
            found[sha256] = number
            continue
        if known.has_all:
            half = known.half.get(sha256)
            row = None if half is None else (half, True)
        else:
            row = _content(db, sha256)
        if row is None:
            found[sha256] = first + len(fresh)
            fresh.append(info)
        else:
            found[sha256] = row[0]
            if row[1]:
                _complete(db, row[0], info)
        if info.digest is not None:
            known.rows.add(sha256, found[sha256])
        else:
            known.half[sha256] = found[sha256]
    db.executemany(
        "INSERT INTO contents VALUES (?, ?, ?, ?, ?)",
        ((first + n, *_content_row(info)) for n, info in enumerate(fresh)),
    )
    return found


def _complete(db: sqlite3.Connection, row: int, info: _Known) -> None:
    """Add what a half-known content lacked: its address, and perhaps its size."""
    if info.size != UNKNOWN_SIZE:
        db.execute(
            "UPDATE contents SET sha1 = ?, sha256 = ?, size = ?, sum = ? WHERE id = ?",
            (*_content_row(info), row),
        )


def _content_row(info: _Known) -> tuple[bytes | None, bytes, int, int]:
    sha1, sha256, size = info.digest, info.sha256, info.size
    return sha1, sha256, size, content_sum(sha1, sha256, size)


def _add_rows(
    db: sqlite3.Connection,
    first_frame: int,
    blobs: Sequence[BlobRow],
    interned: Interned,
) -> None:
    ids = intern(db, blobs, interned)
    others = {s for row in blobs for s in (row.base, *row.parts) if s is not None and s not in ids}
    ids.update(intern(db, map(_Unnamed, others), interned))
    db.executemany(
        "INSERT INTO stored VALUES (?, ?, ?, ?, ?) ON CONFLICT (content) DO UPDATE"
        " SET frame = excluded.frame, offset = excluded.offset, length = excluded.length,"
        " base = NULL WHERE base IS NOT NULL AND excluded.base IS NULL",
        (
            (
                ids[row.sha256],
                NO_FRAME if row.frame == NO_FRAME else first_frame + row.frame,
                row.offset,
                row.length,
                None if row.base is None else ids[row.base],
            )
            for row in blobs
        ),
    )
    db.executemany(
        "INSERT OR IGNORE INTO parts VALUES (?, ?, ?)",
        (
            (ids[row.sha256], position, ids[part])
            for row in blobs
            for position, part in enumerate(row.parts)
        ),
    )


def _places(db: sqlite3.Connection, wanted: Sequence[Sha256]) -> Iterator[tuple[Sha256, Place]]:
    asked = frozenset(wanted)
    rows = db.execute(
        "SELECT c.sha256, c.id, c.size, s.frame, s.offset, s.length, b.sha256,"
        " p.file, f.kind, f.offset, f.head, f.body, f.plain"
        " FROM contents c JOIN stored s ON s.content = c.id LEFT JOIN contents b ON b.id = s.base"
        " LEFT JOIN frames f ON f.id = s.frame LEFT JOIN packs p ON p.id = f.pack"
        f" WHERE substr(c.sha256, 1, 4) IN ({', '.join('?' * len(wanted))})",
        [sha256[:PREFIX] for sha256 in wanted],
    ).fetchall()
    for sha256, content, size, frame, offset, length, base, *where in rows:
        if sha256 not in asked:
            continue
        file, kind, seal_offset, head, body, plain = where
        if frame == NO_FRAME:
            yield sha256, Place(sha256, size, "", None, 0, 0, 0, 0, 0, 0, None, _parts(db, content))
        elif file is not None:
            lies = (file, _KINDS[kind], seal_offset, head, body, plain)
            yield sha256, Place(sha256, size, *lies, offset, length, base)


def _parts(db: sqlite3.Connection, content: int) -> tuple[Sha256, ...]:
    rows = db.execute(
        "SELECT sha256 FROM parts JOIN contents ON id = part WHERE content = ? ORDER BY position",
        (content,),
    )
    return tuple(Sha256(row[0]) for row in rows)


def _content(db: sqlite3.Connection, sha256: Sha256) -> tuple[int, bool] | None:
    """(row, whether its address or size is still unknown)."""
    row: tuple[int, bool] | None = db.execute(
        "SELECT id, sha1 IS NULL OR size < 0 FROM contents"
        " WHERE substr(sha256, 1, 4) = ? AND sha256 = ?",
        (sha256[:PREFIX], sha256),
    ).fetchone()
    return row


def _next_id(db: sqlite3.Connection, table: str) -> int:
    return int(db.execute(f"SELECT coalesce(max(id), 0) + 1 FROM {table}").fetchone()[0])
