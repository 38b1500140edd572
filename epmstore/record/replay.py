"""Bringing the index up to the truth: packs and catalogs first, what the index says of them after.

A crash between a catalog line and the index, a deleted index and a restored store all end here.
Rules: groups are entered before the records that name their contents; a record is entered with its
catalog's position in one transaction; what the index knows already is not read again.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from epmstore import fsio, sqlite
from epmstore.atomic import directory, remove_file, retire
from epmstore.blobs.packlog import read_groups
from epmstore.blobs.records import load_group, open_pack
from epmstore.catalog.format import encode_envelope, encode_line
from epmstore.catalog.history import Read
from epmstore.catalog.model import START, Position, UnknownRecord, VersionPart
from epmstore.errors import DamagedError
from epmstore.index.entries import Record
from epmstore.progress import SILENT, Progress
from epmstore.record.store import INDEX, QUARANTINE, Store

REBUILT = ".rebuilt"
BESIDE = ("-wal", "-shm")
"""What SQLite puts beside an index."""
BATCH = 16
"""Catalog lines that are held in memory at once."""


def is_behind(store: Store) -> bool:
    """Whether a catalog is longer than what the index has of it. Cheap: one stat a catalog.

    Raises DamagedError for an index that cannot be used.
    """
    if not store.database.exists():
        return True
    return any(_length(store, app) > _committed(store, app).length for app in store.all_catalogs())


def catch_up(store: Store, progress: Progress = SILENT) -> None:
    """Enter what the index lacks. Under the `write` lock. Raises DamagedError."""
    if not store.database.exists():
        enter_packs(store, progress)
    for app in store.all_catalogs():
        committed = _committed(store, app)
        if _length(store, app) <= committed.length:
            continue
        tail = store.catalog(app).tail(committed)
        if tail.replay:
            enter_packs(store, progress)
            enter_records(store, app, store.catalog(app).read(committed, tail.valid.length))
        if tail.torn:
            _cut_torn(store, app, _committed(store, app))


def _cut_torn(store: Store, app: str, committed: Position) -> None:
    """What a crash left of an append goes to the quarantine now: else everybody who comes would
    take the lock to look at it, until somebody appends. It stays if that cannot be.
    """
    with contextlib.suppress(OSError, DamagedError):
        store.catalog(app).append([], committed, store.quarantine)


def rebuild(store: Store, progress: Progress = SILENT) -> list[str]:
    """Make the index anew, aside, and put it in the place of the old one when it is whole: who
    reads meanwhile sees the old one. Under the `write` lock, with nobody else using packs. Names
    what is damaged. Raises OSError: then the old one is still there.
    """
    aside = store.path / f"{INDEX}{REBUILT}"
    _remove(aside, "", *BESIDE)
    with Store(store.path, store.identity, store.clock, index=aside.name) as fresh:
        findings = enter_packs(fresh, progress)
        progress.begin("reading catalogs")
        for app in fresh.all_catalogs():
            try:
                catch_up_app(fresh, app)
            except DamagedError as error:
                findings.append(error.message)
        progress.end()
    sqlite.check_folded(aside)
    store.database.close()
    with directory(store.path) as parent:
        fd = fsio.open_append(aside.name, parent)
        try:
            fsio.sync_file(fd)
        finally:
            os.close(fd)
        _remove(aside, *BESIDE)
        _remove(store.database.path, *BESIDE)
        if store.database.path.is_dir():
            _remove(store.database.path, "")
        fsio.rename(aside.name, parent, INDEX, parent)
        fsio.sync_directory(parent)
    return findings


def _remove(path: Path, *suffixes: str) -> None:
    for suffix in suffixes:
        one = path.with_name(f"{path.name}{suffix}")
        if one.is_dir():
            retire(one, path.parent / QUARANTINE)
        else:
            remove_file(one)


def catch_up_app(store: Store, app: str) -> None:
    """Enter what the index lacks of one catalog. Raises DamagedError."""
    committed = _committed(store, app)
    tail = store.catalog(app).tail(committed)
    enter_records(store, app, store.catalog(app).read(committed, tail.valid.length))


def enter_packs(store: Store, progress: Progress = SILENT) -> list[str]:
    """Enter every pack and every group of a pack log that the index does not have."""
    known = store.contents.files() if store.database.exists() else {}
    findings: list[str] = []
    progress.begin("reading packs")
    with store.database.write():
        finish = store.contents.begin()
        for file in pack_files(store):
            try:
                _enter_file(store, file, known.get(file, 0))
            except DamagedError as error:
                findings.append(f"{file}: {error.message}")
        finish()
    progress.end()
    return findings


def pack_files(store: Store) -> Iterator[str]:
    """Every pack and pack log, as named in the index."""
    for folder in sorted(os.listdir(store.packs)):
        path = store.packs / folder
        if path.is_dir():
            names = sorted(os.listdir(path))
            yield from (f"{folder}/{name}" for name in names if not name.startswith("."))


def _enter_file(store: Store, file: str, known: int) -> None:
    if file.startswith("log/"):
        log = open_pack(store.packs / file)
        try:
            found = read_groups(log, known)
        finally:
            os.close(log)
        for part in found.groups:
            store.contents.add_group(file, part.start, part.group)
        if found.damage:
            raise DamagedError(f"damaged at byte {found.damage[0].start}")
    elif not known:
        store.contents.add_group(file, 0, load_group(store.packs / file))


def enter_records(store: Store, app: str, found: Iterator[Read]) -> None:
    """Enter records that are durable in a catalog. Under the `write` lock."""
    with store.database.write():
        while batch := list(islice(found, BATCH)):
            for read in batch:
                if isinstance(read.record, VersionPart):
                    begin_part(store, app, read.record)()
            last = batch[-1].after
            records = [index_record(read) for read in batch if not _is_later_part(read)]
            store.entries.add_records(app, records, (last.length, last.head, last.seq))


def _is_later_part(read: Read) -> bool:
    return isinstance(read.record, VersionPart) and read.record.header.part > 1


def begin_part(store: Store, app: str, part: VersionPart) -> Callable[[], None]:
    """Enter the entries of a version, or of one line of it, as `Entries.begin`."""
    return store.entries.begin(
        app, part.header.version, entries=part.entries, meta=part.meta, removed=part.removed
    )


def index_record(read: Read) -> Record:
    """What the index keeps of a record: the line without its entries."""
    record = read.record
    if isinstance(record, UnknownRecord):
        return Record(read.before.seq, record.type, None, encode_envelope(read.envelope))
    if isinstance(record, VersionPart):
        form = encode_line(VersionPart(record.header), read.before)
        return Record(read.before.seq, "version", record.header.version, form)
    return Record(read.before.seq, read.envelope.type, None, encode_line(record, read.before))


def _committed(store: Store, app: str) -> Position:
    if not store.database.exists():
        return START
    found = store.entries.position(app)
    return START if found is None else Position(*found)


def _length(store: Store, app: str) -> int:
    """Nothing for what is no file: whoever reads it says so; other histories can be used."""
    path = store.catalog(app).path
    return os.stat(path).st_size if path.is_file() else 0
