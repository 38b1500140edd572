"""Rows of the entry tables, made of entries and read back: what most entries share is interned, and
every row has a sum (rowsum.py), which is checked when an entry is made of it.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any, TypeAlias

import msgspec

from epmstore.digest import BlobInfo
from epmstore.index.contents import intern
from epmstore.index.database import Interned, damaged_index
from epmstore.index.rowsum import entry_sum, is_sound, meta_sum
from epmstore.relpath import RelPath, from_bytes, to_bytes
from epmstore.tree import FIELDS, Entry

BATCH = 4096
"""Entries that are made rows of at a time."""
CONTENT_JOIN = "LEFT JOIN contents c ON c.id = e.content"
RowKey: TypeAlias = tuple[bytes, bytes]
"""(folder, name)"""
EntryRow: TypeAlias = tuple[object, ...]
"""What COLUMNS selects; equal rows are equal entries, because what they share is interned."""

COLUMNS = "c.sha1, c.sha256, c.size, c.sum, e.content, e.meta, e.mtime, e.sum"


_OWN = {"path", "mtime_ns", "content"}
_SHARED = tuple(name for name in FIELDS if name not in _OWN)
_HEAD = FIELDS.index("mtime_ns") - 1
"""So many of them are before the time and the content of an entry, and the rest is behind."""
_BYTES: dict[str, tuple[Any, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "target": (bytes | None, to_bytes, lambda raw: str(from_bytes(raw))),
    "same_as": (bytes | None, to_bytes, from_bytes),
    "xattrs": (
        tuple[tuple[bytes, bytes], ...],
        lambda found: tuple((to_bytes(name), value) for name, value in found),
        lambda raw: tuple((str(from_bytes(name)), value) for name, value in raw),
    ),
}
"""Fields in which names of any bytes are: their type in a form, and the ways there and back."""
_Meta = msgspec.defstruct(
    "_Meta",
    [
        (
            field.name,
            _BYTES[field.name][0] if field.name in _BYTES else field.type,
            msgspec.field(default=field.default),
        )
        for field in msgspec.structs.fields(Entry)
        if field.name not in _OWN
    ],
    frozen=True,
    array_like=True,
)
"""What entries share: everything but path, content and mtime."""


_FarMeta = msgspec.defstruct(
    "_FarMeta", [("mtime", str), ("meta", _Meta)], frozen=True, array_like=True
)
"""What entries share whose time is beyond the numbers of SQLite (before 1677, after 2262): the time
in ns as text, too. A release that knows nothing of it finds no _Meta.
"""


_shared_fields = attrgetter(*_SHARED)
_encode_meta = msgspec.msgpack.Encoder().encode
_decode_meta: Callable[[bytes], Any] = msgspec.msgpack.Decoder(_Meta).decode
_decode_far: Callable[[bytes], Any] = msgspec.msgpack.Decoder(_FarMeta).decode
_FAR = b"\x92"
"""How a _FarMeta begins: an array of two."""
_NEAR = range(-(1 << 63), 1 << 63)


class EntryWriter:
    """Interns what entries share, within one transaction."""

    def __init__(self, db: sqlite3.Connection, interned: Interned) -> None:
        self._db = db
        self._interned = interned
        self._folders: dict[bytes, int] = {}
        self._metas: dict[tuple[object, ...], tuple[int, int]] = {}
        """Row and sum of each."""

    def insert(self, statement: str, entries: Iterable[Entry]) -> None:
        """Give every entry to a statement, as folder, name, content, meta, mtime, sum."""
        left = iter(entries)
        while batch := list(islice(left, BATCH)):
            self._db.executemany(statement, self._rows(batch))

    def folders(self) -> list[int]:
        """All that it has met, in order."""
        return sorted(self._folders.values())

    def _rows(self, entries: Sequence[Entry]) -> list[tuple[object, ...]]:
        named = [entry.content for entry in entries if entry.content is not None]
        contents = intern(self._db, named, self._interned)
        rows: list[tuple[object, ...]] = []
        for entry in entries:
            path, mtime, content = to_bytes(entry.path), entry.mtime_ns, None
            if entry.content is not None:
                content = contents[entry.content.sha256]
            far = mtime if mtime is not None and mtime not in _NEAR else None
            mtime = mtime if far is None else None
            meta, shared = self._meta(entry, far)
            total = entry_sum(path, shared, mtime, content)
            rows.append((*self._key(path), content, meta, mtime, total))
        return rows

    def key(self, path: str) -> tuple[int, bytes]:
        return self._key(to_bytes(path))

    def _key(self, path: bytes) -> tuple[int, bytes]:
        folder, _, name = path.rpartition(b"/")
        number = self._folders.get(folder)
        if number is None:
            number = self._folders[folder] = self._row("folders", "path", folder)
        return number, name

    def _meta(self, entry: Entry, far: int | None) -> tuple[int, int]:
        key = _shared_fields(entry) if far is None else (*_shared_fields(entry), far)
        found = self._metas.get(key)
        if found is None:
            meta = _Meta(*map(_raw, _SHARED, _shared_fields(entry)))
            form = _encode_meta(meta if far is None else _FarMeta(str(far), meta))
            found = self._metas[key] = (self._row("metas", "form", form), meta_sum(form))
        return found

    def _row(self, table: str, column: str, value: bytes) -> int:
        found = self._db.execute(f"SELECT id FROM {table} WHERE {column} = ?", (value,)).fetchone()
        if found is not None:
            return int(found[0])
        row = self._db.execute(f"INSERT INTO {table} ({column}) VALUES (?)", (value,)).lastrowid
        assert row is not None
        return row


class EntryReader:
    """Makes entries of rows, keeping what they share for as long as one query runs.

    Raises DamagedError for a row that no longer says what it said when it was written.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._metas: dict[object, tuple[tuple[Any, ...], int | None, int]] = {}
        """The shared fields of each, its far time and its sum."""

    def entries(self, query: str, arguments: Sequence[object]) -> Iterator[Entry]:
        for row in self._db.execute(query, arguments):
            yield self.entry(row_path(row[0], row[1]), row[2:])

    def entry(self, path: RelPath, row: Sequence[Any]) -> Entry:
        *blob, content, meta, mtime, total = row
        if not is_sound(to_bytes(path), self._shared(meta)[2], mtime, content, total, blob):
            raise damaged_index()
        return self.unchecked(path, blob[:3], meta, mtime)

    def unchecked(
        self, path: RelPath, blob: Sequence[Any], meta: object, mtime: int | None
    ) -> Entry:
        """Of values (sha1, sha256 and size; meta; mtime) without the sums that go with them."""
        sha1, sha256, size = blob
        if sha256 is not None and sha1 is None:  # what an entry has is known by its address, too
            raise damaged_index()
        info = None if sha256 is None else BlobInfo(sha1, sha256, size)
        fields, far, _ = self._shared(meta)
        time = mtime if far is None else far
        values = (path, *fields[:_HEAD], time, info, *fields[_HEAD:])
        return Entry(*values)

    def entry_of(self, key: RowKey, row: EntryRow | None) -> Entry | None:
        return None if row is None else self.entry(row_path(*key), row)

    def _shared(self, number: object) -> tuple[tuple[Any, ...], int | None, int]:
        found = self._metas.get(number)
        if found is None:
            row = self._db.execute("SELECT form FROM metas WHERE id = ?", (number,)).fetchone()
            meta = read_meta(row)
            fields = tuple(_value(name, getattr(meta, name)) for name in _SHARED)
            found = self._metas[number] = (fields, _far_time(row[0]), meta_sum(row[0]))
        return found


def _raw(name: str, value: Any) -> Any:
    return value if value is None or name not in _BYTES else _BYTES[name][1](value)


def _value(name: str, raw: Any) -> Any:
    return raw if raw is None or name not in _BYTES else _BYTES[name][2](raw)


def read_meta(row: tuple[bytes] | None) -> Any:
    """What entries share. Raises DamagedError."""
    try:
        if row is not None:
            return _decode_meta(row[0])
    except (ValueError, RecursionError):
        with contextlib.suppress(ValueError, RecursionError):
            return _decode_far(row[0] if row else b"").meta
    except TypeError:  # damage changes types as well
        pass
    raise damaged_index()


def _far_time(form: bytes) -> int | None:
    """The time in a form that was read before, if it has one. Raises DamagedError."""
    if not form.startswith(_FAR):
        return None
    try:
        return int(_decode_far(form).mtime)
    except (ValueError, RecursionError):
        raise damaged_index() from None


def row_path(folder: bytes, name: bytes) -> RelPath:
    try:
        return from_bytes(folder + b"/" + name if folder else name)
    except (TypeError, AttributeError):  # damage changes types as well
        raise damaged_index() from None
