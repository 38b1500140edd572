"""Packages that somebody made to do harm, or that were damaged: each a change of a sound one.

By hand: `CHANGES`, each with a name; at random: hostile_random.py. What is changed keeps its
seals, chains and sums right wherever that takes it further.
"""

import hashlib
import json
import os
import random
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from epmstore import codec, seal
from epmstore.blobs import frames
from epmstore.catalog.format import decode_line, open_line, seal_line
from epmstore.catalog.model import VersionPart
from epmstore.catalog.packaging import Package
from epmstore.digest import identify
from epmstore.errors import EpmError
from epmstore.package.file_format import HOST, PEOPLE
from epmstore.package.taking import Consent, check_package
from epmstore.progress import SILENT
from epmstore.seal import RecordKind
from epmstore.store.deposit import Deposit
from epmstore.tree import tree_sum
from tests.kit.vendors import Importer, Vendor
from tests.package.makers import FILES, everything, pack, release

Change = Callable[[Path], None]
CHANGES: dict[str, Change] = {}
HARMLESS = {
    "page size 512", "page size 65536", "people: paths empty", "people: a lie",
    "people: a file that runs", "vacuumed", "frames numbered otherwise",
}  # fmt: skip
"""What a host takes: all that it believes is as it was."""
NAMES = (
    "", "/etc/passwd", "../x", "a/../b", "./a", "a//b", "a/", "a\0b", "a\nb", "a\x7fb", "a\\b",
    "\u202ea", "a\u2028b", "e\u0301", "x" * 256, "a/" * 3000 + "a", "//%2e%2e/x", "//%ff",
    "d/" * 130 + "f",
    "\x1b[31m", ".", "..", "a/.", "a/..",
)  # fmt: skip


def db_of(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def sql(*statements: str, schema: bool = False) -> Change:
    """Nothing is left of what was there: free pages alone would be a reason to refuse."""

    def change(path: Path) -> None:
        with closing(db_of(path)) as db:
            if schema:
                db.execute("PRAGMA writable_schema=ON")
            for statement in statements:
                db.execute(statement)
            if not schema:
                db.execute("VACUUM")

    return change


def raw(offset: int, data: bytes) -> Change:
    def change(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
            file.write(data)

    return change


def cut(share: float) -> Change:
    return lambda path: os.truncate(path, int(path.stat().st_size * share))


def rebuilt(edit: Callable[[dict[str, str]], None]) -> Change:
    """The same rows in tables that are declared otherwise."""

    def change(path: Path) -> None:
        statements = {**HOST, **PEOPLE}
        edit(statements)
        other = path.with_name("other")
        with closing(db_of(path)) as old, closing(db_of(other)) as new:
            for pragma in ("application_id", "user_version"):
                value = old.execute(f"PRAGMA {pragma}").fetchone()[0]
                new.execute(f"PRAGMA {pragma}={value}")
            for name, statement in statements.items():
                new.execute(statement)
                rows = (
                    old.execute(f"SELECT * FROM {name}").fetchall()
                    if name in PEOPLE or name in HOST
                    else []
                )
                for row in rows:
                    marks = ", ".join("?" * len(row))
                    columns = [c[1] for c in old.execute(f"PRAGMA table_info({name})")]
                    named = ", ".join(f'"{column}"' for column in columns)
                    new.execute(f"INSERT INTO {name} ({named}) VALUES ({marks})", row)
        other.replace(path)

    return change


def declared(table: str, old: str, new: str) -> Change:
    def edit(statements: dict[str, str]) -> None:
        assert old in statements[table]
        statements[table] = statements[table].replace(old, new)

    return rebuilt(edit)


def lines(path: Path) -> list[dict[str, Any]]:
    with closing(db_of(path)) as db:
        rows = db.execute("SELECT line FROM catalog ORDER BY seq").fetchall()
    return [json.loads(open_line(*seal.read(row[0]))) for row in rows]


def put_lines(path: Path, said: list[dict[str, Any]], *, product: str | None = None) -> None:
    """Lines with a right chain, and right sums as far as they can be read."""
    head = "0" * 64
    with closing(db_of(path)) as db:
        product = product or db.execute("SELECT product FROM catalog").fetchone()[0]
        db.execute("DELETE FROM catalog")
        for number, one in enumerate(said):
            if one.get("prev") is not None and "kept" not in one:
                one["prev"] = head
            one.pop("kept", None)
            plain = json.dumps(one).encode() + b"\n"
            try:
                record = decode_line(plain)[1]
            except EpmError:
                record = None
            if isinstance(record, VersionPart):
                one["tree"] = f"{tree_sum(record.entries):064x}"
                one["counts"] = {"added": len(record.entries), "modified": 0, "removed": 0}
                plain = json.dumps(one).encode() + b"\n"
            head = hashlib.sha256(plain).hexdigest()
            row = (product, number, seal_line(plain))
            db.execute("INSERT INTO catalog VALUES (?, ?, ?)", row)
        db.execute("VACUUM")


def said(edit: Callable[[list[dict[str, Any]]], Any]) -> Change:
    def change(path: Path) -> None:
        found = lines(path)
        edit(found)
        put_lines(path, found)

    return change


def named(text: str) -> Change:
    """One of its files has another name."""

    def edit(found: list[dict[str, Any]]) -> None:
        digest = next(iter(found[1]["components"]))
        paths = found[1]["components"][digest]
        paths[text] = paths.pop(next(iter(paths)))

    return said(edit)


def framed(make: Callable[[bytes], bytes], number: int = 1) -> Change:
    """A frame is another one."""

    def change(path: Path) -> None:
        with closing(db_of(path)) as db:
            old = db.execute("SELECT bytes FROM frames WHERE id = ?", (number,)).fetchone()[0]
            db.execute("UPDATE frames SET bytes = ? WHERE id = ?", (make(old), number))
            db.execute("VACUUM")

    return change


def sealed(
    kind: RecordKind | None = None, *, head: bytes | None = None, body: bytes | None = None,
    number: int | None = None,
) -> Change:  # fmt: skip
    """A frame with a right seal over something else."""

    def make(old: bytes) -> bytes:
        found, held = seal.read(old)
        new_body = held if body is None else body
        new_number = found.number if number is None else number
        new_head = found.head if head is None else head
        return seal.seal(kind or found.kind, new_body, number=new_number, head=new_head) + new_body

    return framed(make)


def delta_on(base: bytes) -> Change:
    """The first frame is a delta against what is nowhere."""

    def change(path: Path) -> None:
        with closing(db_of(path)) as db:
            row = db.execute(
                "SELECT sha256, size, frame FROM blobs WHERE frame IS NOT NULL AND sha1 IS NOT NULL"
                " ORDER BY size DESC"
            ).fetchone()
            delta = codec.compress_delta(b"x" * row[1], base)
            one = frames.Delta(identify(base).sha256, delta, row[1])
            db.execute("DELETE FROM frames WHERE id = ?", (row[2],))
            db.execute("DELETE FROM blobs WHERE frame = ? AND sha256 != ?", (row[2], row[0]))
            db.execute("INSERT INTO frames VALUES (?, ?)", (row[2], frames.deltas([one]).sealed()))
            db.execute(
                "UPDATE blobs SET base = ?, offset = 0, length = ? WHERE sha256 = ?",
                (one.base, len(one.frame), row[0]),
            )
            db.execute("VACUUM")

    return change


def beside(suffix: str, path: Path) -> None:
    path.with_name(path.name + suffix).write_bytes(b"x")


def updated(key: str, value: Any, found: list[dict[str, Any]]) -> None:
    found[1][key] = value


def flipped(at: int, old: bytes) -> bytes:
    return old[:at] + bytes([old[at] ^ 1]) + old[at + 1 :]


def _by_hand() -> Iterator[tuple[str, Change]]:
    yield from _of_the_file()
    yield from _of_the_schema()
    yield from _of_rows()
    yield from _of_lines()
    yield from _of_frames()


def _of_the_file() -> Iterator[tuple[str, Change]]:
    for share in (0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.999):
        yield f"cut at {share}", cut(share)
    yield "longer", lambda path: os.truncate(path, path.stat().st_size + 4096)
    yield "no database", lambda path: (path.write_bytes(b"no database" * 1000), None)[1]
    yield "empty", lambda path: (path.write_bytes(b""), None)[1]
    for name, offset, data in (
        ("magic", 0, b"SQLite format 4\0"), ("page size 0", 16, b"\0\0"),
        ("page size 3", 16, b"\0\3"),
        ("reads a log", 19, b"\2"), ("writes a log", 18, b"\2"), ("reserved", 20, b"\40"),
        ("fractions", 21, b"\1\1\1"), ("pages", 28, b"\0\0\0\1"),
        ("many pages", 28, b"\x7f\xff\xff\xff"),
        ("free list", 32, struct.pack(">II", 2, 1)), ("schema format", 44, b"\0\0\0\7"),
        ("utf-16", 56, b"\0\0\0\2"), ("vacuums itself", 52, b"\0\0\0\1"),
        ("application", 68, b"\0\0\0\0"), ("first page", 100, bytes(64)),
        ("cells", 103, b"\xff\xff"),
        ("last page", -4096, bytes(4096)), ("user version 0", 60, b"\0\0\0\0"),
    ):  # fmt: skip
        yield name, raw(offset, data)
    for at in range(100, 4000, 130):
        yield f"first page at {at}", raw(at, b"\xff\x7f\xff")
    for page in range(2, 20):
        yield f"page {page} zeroed", raw(4096 * (page - 1), bytes(4096))
        yield f"page {page} points elsewhere", raw(4096 * (page - 1) + 8, b"\0\0\0\1")
    for suffix in ("-wal", "-journal", "-shm"):
        yield f"{suffix} beside", partial(beside, suffix)
    yield "is written with a log", sql("PRAGMA journal_mode=WAL")
    yield "vacuumed", sql()
    for size in (512, 65536):
        yield f"page size {size}", sql(f"PRAGMA page_size={size}")


def _of_the_schema() -> Iterator[tuple[str, Change]]:
    yield "a view", sql("CREATE VIEW v AS SELECT * FROM frames")
    yield (
        "a view in place of a table",
        sql("ALTER TABLE frames RENAME TO f", "CREATE VIEW frames AS SELECT * FROM f"),
    )
    yield (
        "an endless view",
        sql(
            "DROP TABLE tags",
            "CREATE VIEW tags AS WITH RECURSIVE t(package, path, tag) AS (SELECT 'a', '', ''"
            " UNION ALL SELECT package, path, tag FROM t) SELECT * FROM t",
        ),
    )
    yield "a trigger", sql("CREATE TRIGGER t AFTER INSERT ON tags BEGIN DELETE FROM frames; END")
    yield "an index", sql("CREATE INDEX i ON paths (size)")
    yield "an index on an expression", sql("CREATE INDEX i ON paths (abs(size))")
    yield "a partial index", sql("CREATE INDEX i ON paths (size) WHERE size > 0")
    yield "another table", sql("CREATE TABLE more (a)")
    yield "a table of SQLite's", sql("CREATE INDEX i ON paths (size)", "ANALYZE", "DROP INDEX i")
    yield "a sequence", sql("CREATE TABLE s (id INTEGER PRIMARY KEY AUTOINCREMENT)")
    for module in ("fts5(a)", "rtree(id, a, b)", "fts4(a)"):
        yield f"a virtual table {module}", sql(f"CREATE VIRTUAL TABLE virt USING {module}")
    for table in (*HOST, *PEOPLE):
        yield f"no table {table}", sql(f"DROP TABLE {table}")
        yield f"another column in {table}", sql(f"ALTER TABLE {table} ADD COLUMN more BLOB")
        yield f"another name of {table}", sql(f"ALTER TABLE {table} RENAME TO other")
    yield "a generated column", sql("ALTER TABLE tags ADD COLUMN g TEXT AS (lower(tag))")
    yield (
        "a default that runs",
        declared("tags", "tag TEXT NOT NULL,", "tag TEXT NOT NULL DEFAULT (1 + 1),"),
    )
    yield "a check", declared("frames", "bytes BLOB NOT NULL", "bytes BLOB NOT NULL CHECK (1)")
    yield "not strict", declared("frames", ") STRICT", ")")
    yield "a rowid", declared("blobs", ") STRICT, WITHOUT ROWID", ") STRICT")
    yield "another collation", declared("catalog", "product TEXT", "product TEXT COLLATE NOCASE")
    yield "another case", declared("tags", "CREATE TABLE tags", "CREATE TABLE Tags")
    yield "a comment", declared("frames", ") STRICT", ") STRICT -- as ever")
    yield "SQL that is none", sql("UPDATE sqlite_schema SET sql = 'CREATE TABLE frames(' "
                                  "WHERE name = 'frames'", schema=True)  # fmt: skip
    yield "a table on the page of another", sql(
        "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE"
        " name = 'tags') WHERE name = 'frames'", schema=True)  # fmt: skip
    yield (
        "two of one name",
        sql(
            "INSERT INTO sqlite_schema SELECT * FROM sqlite_schema WHERE name = 'tags'", schema=True
        ),
    )
    yield "SQL of a gigabyte", sql(
        "UPDATE sqlite_schema SET sql = sql || hex(zeroblob(1000000)) WHERE name = 'tags'",
        schema=True)  # fmt: skip


def _of_rows() -> Iterator[tuple[str, Change]]:
    for name, *statements in (
        ("no lines", "DELETE FROM catalog"),
        ("no first line", "DELETE FROM catalog WHERE seq = 0"),
        ("no last line", "DELETE FROM catalog WHERE seq = 1"),
        ("a gap", "UPDATE catalog SET seq = 7 WHERE seq = 1"),
        ("lines before the first", "UPDATE catalog SET seq = seq - 1"),
        ("lines from far", "UPDATE catalog SET seq = seq + 9007199254740993"),
        ("lines of two products", "UPDATE catalog SET product = 'x' WHERE seq = 1"),
        ("lines of another product", "UPDATE catalog SET product = '" + "9" * 32 + "'"),
        ("a product of letters", "UPDATE catalog SET product = hex(zeroblob(100000))"),
        ("a line twice", "INSERT INTO catalog SELECT product, 2, line FROM catalog WHERE seq = 1"),
        ("lines swapped", "UPDATE catalog SET seq = 9 WHERE seq = 0",
         "UPDATE catalog SET seq = 0 WHERE seq = 1", "UPDATE catalog SET seq = 1 WHERE seq = 9"),
        ("an empty line", "UPDATE catalog SET line = x'' WHERE seq = 1"),
        ("a line of zeros", "UPDATE catalog SET line = zeroblob(1000) WHERE seq = 1"),
        ("a line of 60 MB", "UPDATE catalog SET line = zeroblob(60000000) WHERE seq = 1"),
        ("a line of 80 MB", "UPDATE catalog SET line = zeroblob(80000000) WHERE seq = 1"),
        ("no frames", "DELETE FROM frames"),
        ("no contents", "DELETE FROM blobs"),
        ("no content", "DELETE FROM blobs WHERE size = (SELECT max(size) FROM blobs)"),
        ("a frame of nothing", "INSERT INTO frames VALUES (900, x'00')"),
        ("a frame of 80 MB", "INSERT INTO frames VALUES (900, zeroblob(80000000))"),
        ("a frame far away", "UPDATE frames SET id = 9223372036854775807 WHERE id = 1"),
        ("a frame before the first", "UPDATE frames SET id = -1 WHERE id = 1"),
        ("a frame twice", "INSERT INTO frames SELECT 900, bytes FROM frames WHERE id = 1"),
        ("frames numbered otherwise", "UPDATE frames SET id = id + 500",
         "UPDATE blobs SET frame = frame + 500"),
        ("frames empty", "UPDATE frames SET bytes = x''"),
        ("frames cut", "UPDATE frames SET bytes = substr(bytes, 1, 70)"),
        ("frames longer", "UPDATE frames SET bytes = CAST(bytes || x'00' AS BLOB)"),
        ("frames swapped", "UPDATE frames SET id = 900 WHERE id = 1",
         "UPDATE frames SET id = 1 WHERE id = 2", "UPDATE frames SET id = 2 WHERE id = 900"),
        ("no part", "DELETE FROM parts WHERE n = 1"),
        ("no parts", "DELETE FROM parts"),
        ("parts from 1", "UPDATE parts SET n = n + 100"),
        ("part of nothing", "UPDATE parts SET blob = zeroblob(32)"),
        ("part that is none", "UPDATE parts SET sha256 = zeroblob(32) WHERE n = 0"),
        ("a part of another length", "UPDATE parts SET sha256 = x'00' WHERE n = 0"),
        ("parts swapped", "UPDATE parts SET n = 900 WHERE n = 0",
         "UPDATE parts SET n = 0 WHERE n = 1", "UPDATE parts SET n = 1 WHERE n = 900"),
        ("very many parts", "INSERT INTO parts WITH RECURSIVE t(n) AS (SELECT 100 UNION ALL SELECT"
         " n + 1 FROM t WHERE n < 9000) SELECT (SELECT blob FROM parts), n,"
         " (SELECT sha256 FROM parts) FROM t"),
    ):  # fmt: skip
        yield name, sql(*statements)
    for column, values in {
        "sha256": ("x''", "x'00'", "zeroblob(32)", "zeroblob(33)", "zeroblob(1000)"),
        "sha1": ("NULL", "x''", "zeroblob(20)", "zeroblob(32)"),
        "size": ("-1", "0", "size + 1", "9223372036854775807", "9007199254740993"),
        "frame": ("NULL", "0", "-1", "77", "9223372036854775807", "2"),
        "offset": ("-1", "offset + 1", "offset - 1", "9223372036854775807", "0"),
        "length": ("-1", "0", "length + 1", "length - 1", "9223372036854775807"),
        "base": ("x''", "zeroblob(32)", "sha256", "zeroblob(20)"),
    }.items():
        for value in values:
            one = (
                "(SELECT sha256 FROM blobs WHERE sha1 IS NOT NULL AND frame IS NOT NULL"
                " ORDER BY size DESC LIMIT 1)"
            )
            yield (
                f"{column} = {value}",
                sql(f"UPDATE blobs SET {column} = {value} WHERE sha256 = {one}"),
            )
    for table, column in (("catalog", "line"), ("frames", "bytes"), ("blobs", "size")):
        bare = declared(table, ") STRICT", ")")
        for value in ("'text'", "1.5", "NULL"):
            yield (
                f"{table}.{column} is {value}",
                _then(bare, sql(f"UPDATE OR IGNORE {table} SET {column} = {value}")),
            )
    yield "people: paths empty", sql("DELETE FROM paths")
    yield "people: a lie", sql("UPDATE packages SET version = '9'")
    yield "people: a file that runs", sql("INSERT INTO tags VALUES ('crm', '', '$(reboot)')")


def _then(*changes: Change) -> Change:
    def change(path: Path) -> None:
        for one in changes:
            one(path)

    return change


def _of_lines() -> Iterator[tuple[str, Change]]:
    for number, text in enumerate(NAMES):
        yield f"a file called {number} {text[:12]!a}", named(text)
    yield "a candidate", lambda path: put_lines(path, [
        one | {"app": "0" * 32} for one in lines(path)], product="0" * 32)  # fmt: skip
    for key, value in (
        ("app", "1" * 32), ("app", "x"), ("version", 1), ("version", -1), ("parts", 2), ("part", 0),
        ("reason", "snapshot"), ("kind", "drift"), ("format", 2), ("type", "about"),
        ("type", "pin"),
        ("label", "a\x1bb"), ("time", "never"), ("package", None), ("package", {}), ("package", 7),
        ("package", {"version": "1", "build": 0}), ("package", {"version": "../x", "build": 1}),
        ("package", {"version": "1", "build": 1, "scripts": {"post-install": {"path": "none"}}}),
        ("package", {"version": "1", "build": 1, "root": "/../etc"}), ("removed", ["x"]),
        ("links", {"l": {"target": ""}}), ("links", {"bin": {"target": "/etc"}}),
        ("directories", {"bin/crmd": {}}), ("requires", [{"app": "x"}]), ("key", "../crm"),
        ("blobs", {}), ("components", {}), ("txid", "a b"), ("scope", ["x"]), ("seq", 9),
        ("kept", 1),
        ("defaults", {"uid": -1}), ("defaults", {"mode": "9999"}), ("after", 7),
    ):  # fmt: skip
        yield (
            f"a release with {key} {str(value)[:40]}",
            said(partial(updated, key, value)),
        )
    yield (
        "nested deep",
        said(lambda found: found[1].update({"x": json.loads("[" * 200 + "]" * 200)})),
    )
    yield "numbers", said(lambda found: found[1].update({"x": 10**400}))
    yield "ends with what it is about", said(lambda found: found.append({**found[0], "seq": 2}))
    withdrawn = {"seq": 2, "prev": "", "type": "revoke", "format": 1, "version": 0}
    yield (
        "withdrawn at its end",
        said(lambda found: found.append({**withdrawn, "time": found[0]["time"]})),
    )
    yield "about nothing", said(lambda found: found.pop(0))
    yield "no release", said(lambda found: found.pop(1))

    def other_size(found: list[dict[str, Any]]) -> None:
        for one in found[1]["blobs"].values():
            one["size"] += 1

    def other_witness(found: list[dict[str, Any]]) -> None:
        for one in found[1]["blobs"].values():
            one["sha256"] = "1" * 64

    def another(found: list[dict[str, Any]]) -> None:
        data = identify(b"not in it")
        found[1]["components"][data.digest.hex()] = {"more": {}}
        found[1]["blobs"][data.digest.hex()] = {"size": data.size, "sha256": data.sha256.hex()}

    yield "contents of another size", said(other_size)
    yield "contents of another SHA-256", said(other_witness)
    yield "a content that is not in it", said(another)
    yield "lines that swell", lambda path: _swelling(path)


def _swelling(path: Path) -> None:
    """Each line takes some kilobytes, and comes to 30 MB."""
    found = lines(path)
    for number in range(2, 9):
        more = {"seq": number, "prev": "", "type": "later", "format": 1, "time": found[0]["time"]}
        found.append({**more, "x": "x" * 30_000_000})
    put_lines(path, found)


def _of_frames() -> Iterator[tuple[str, Change]]:
    zeros = codec.compress(bytes(64 << 20))
    gib = codec.compress(bytes(1 << 30))
    yield "a bomb", sealed(body=zeros)
    yield "a bomb that says so", sealed(body=zeros, number=64 << 20)
    yield "a bomb of a GiB", sealed(body=gib)
    yield "a bomb of a GiB that says so", sealed(body=gib, number=1 << 30)
    yield (
        "a bomb with a head",
        sealed(body=zeros, number=64 << 20, head=frames.encode_varints([64 << 20])),
    )
    yield "a frame of all numbers", sealed(number=(1 << 64) - 1)
    for kind in set(RecordKind) - {RecordKind.SOLID}:
        yield f"a frame of kind {kind.name}", sealed(kind)
    for name, head in (
        ("empty", b""), ("zeros", bytes(40)), ("endless", b"\xff" * 40), ("one", b"\1"),
        ("long", frames.encode_varints([1] * 100_000)), ("huge", b"\xff" * 9 + b"\1"),
    ):  # fmt: skip
        yield f"a head: {name}", sealed(head=head)
    for name, body in (
        ("empty", b""),
        ("zeros", bytes(5000)),
        ("no zstd", b"(\xb5/\xfd" + b"\xff" * 99),
    ):
        yield f"a body: {name}", sealed(body=body)
    yield "a frame with more in it", _more_in_a_frame
    yield "a delta on what is nowhere", delta_on(b"nowhere" * 100)
    yield "a delta on the empty content", delta_on(b"")
    for at in (0, 4, 8, 12, 13, 16, 24, 32, 63, 64, 70):
        yield (
            f"a seal that is wrong at {at}",
            framed(partial(flipped, at)),
        )


def _more_in_a_frame(path: Path) -> None:
    """A frame has a content that no row speaks of."""
    with closing(db_of(path)) as db:
        record = db.execute("SELECT bytes FROM frames WHERE id = 1").fetchone()[0]
        found, body = seal.read(record)
        plain = frames.plain_bytes(found, body)
        sizes = frames.blob_sizes(found) or [found.number]
        at, pieces = 0, []
        for size in sizes:
            pieces.append(plain[at : at + size])
            at += size
        new = frames.solid([*pieces, b"smuggled"]).sealed()
        db.execute("UPDATE frames SET bytes = ? WHERE id = 1", (new,))


CHANGES.update(_by_hand())


def sound(place: Path) -> Path:
    """A package with contents of all kinds."""
    rng = random.Random(1)
    image = bytes(4 << 20) + rng.randbytes(1 << 18)
    vendor = Vendor(place)
    with vendor.open() as ws, Deposit(ws._store) as deposit:
        deposit.writer.add_large([image])
        deposit.commit()
    release(vendor, {**FILES, "image": image}, Package(version="4.1.0", build=1))
    pack(vendor, place / "sound.epkg")
    return place / "sound.epkg"


def found_wrong(host: Importer, path: Path, head: str) -> str | None:
    """What a host does that it should not; None if it refuses with a reason, and nothing is left.
    A package that it takes has to have the head of the sound one: `taken`.
    """
    before = everything(host)
    try:
        with host.open() as ws:
            arrived = check_package(ws._store, path, Consent(), SILENT)
    except OSError:
        return None
    except EpmError as error:
        is_told = error.message and "\n" not in error.message
        is_known = error.exit_code in (4, 5, 6, 7, 8, 10) or "candidate" in error.message
        return None if is_told and is_known else f"{error.exit_code} {error.message!r}"
    finally:
        assert everything(host) == before
    return "taken" if arrived.incoming.head == head else "another release is taken"
