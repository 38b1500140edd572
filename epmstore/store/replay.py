"""Bringing the index up to the truth: packs and catalogs first, what the index says of them after.

A crash between a catalog line and the index, a deleted index and a restored store all end here.
Rules: groups are entered before the records that name their contents; a record is entered with its
catalog's position in one transaction; what the index knows already is not read again.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from epmstore import fsio, sqlite
from epmstore.atomic import directory, remove_file, retire
from epmstore.blobs.packlog import read_groups
from epmstore.blobs.records import load_group, open_pack
from epmstore.catalog.history import Read
from epmstore.catalog.model import START, CatalogPosition, VersionPart, highest_number
from epmstore.catalog.salvage import CatalogSalvage
from epmstore.errors import DamagedError, NoStoreError
from epmstore.index.entries import IndexedRecord
from epmstore.index.notes import CatalogFault, Stamp
from epmstore.progress import SILENT, Progress
from epmstore.store import newest
from epmstore.store.before_rebuild import Rebuilt, carry_tops, check_nothing_lost, mend_catalogs
from epmstore.store.soundness import (
    all_witnessed,
    check_sound,
    read_tail,
    remember,
    witnessed,
)
from epmstore.store.store import INDEX, QUARANTINE, Store

REBUILT = ".rebuilt"
BESIDE = ("-wal", "-shm")
"""What SQLite puts beside an index."""
BATCH = 16
"""Catalog lines that are held in memory at once."""


def is_behind(store: Store) -> bool:
    """Whether a catalog is not what the index has of it, and that is news. Cheap: one stat a
    catalog. Packs are not asked for: what one has that no line followed is stored again, and
    collected.

    Raises DamagedError for an index that cannot be used.
    """
    if not store.database.exists():
        return True
    return any(_is_behind(store, app) for app in _names(store))


def _names(store: Store) -> list[str]:
    """Of all catalogs, those that are not there any more included."""
    known = store.entries.catalogs() if store.database.exists() else ()
    return sorted({*store.all_catalogs(), *known})


def _is_behind(store: Store, app: str) -> bool:
    length = _length(store, app)  # first: what another process enters meanwhile is no lack
    if not store.database.exists():
        return length > 0
    fault = store.notes.fault(app)
    if fault is not None:
        return fault.stamp != Stamp.of(store.catalog(app).path)
    return length != _committed(store, app).length


def catch_up(store: Store, progress: Progress = SILENT, *, app: str | None = None) -> None:
    """Enter what the index lacks. Under the `write` lock. A catalog that cannot be read hinders no
    other one: what can be read of it is entered, and the rest is remembered. Raises DamagedError
    and NoStoreError for the catalog of `app`, if one is named; DamagedError of the index.
    """
    is_new = not store.database.exists()
    if is_new:
        enter_packs(store, progress)
    spoken_for = all_witnessed(store) if is_new else set()
    for name in sorted({*_names(store), *spoken_for}):
        if name in spoken_for or _is_behind(store, name):
            try:
                _catch_up(store, name, progress)
            except NoStoreError:  # of a newer release: nothing is wrong with it
                if name == app:
                    raise
    if is_new:
        raise_tops(store)
    if app is not None:
        check_sound(store, app)


def _catch_up(store: Store, app: str, progress: Progress) -> None:
    fault = store.notes.fault(app)
    committed = _committed(store, app)
    if fault is not None:
        _look_again(store, app, fault, committed)
        committed = _committed(store, app)
    catalog = store.catalog(app)
    try:
        tail = read_tail(store, app, committed)
    except DamagedError as error:
        _salvage(store, app, committed, error)
        return
    if tail.replay:
        # Packs first: the records name contents, and an entry refers to a row of the index.
        enter_packs(store, progress)
        enter_records(store, app, catalog.read(committed, tail.valid.length))
    if tail.torn:
        _cut_torn(store, app, _committed(store, app))


def _look_again(store: Store, app: str, fault: CatalogFault, committed: CatalogPosition) -> None:
    """A catalog that was damaged has been changed. What only the index knows is never let go
    of; if it knows no more than the damaged file said, it begins anew.
    """
    with store.database.write():
        if fault.is_salvaged:
            store.entries.forget_app(app)
        store.notes.forget(app)
        if not fault.is_salvaged and committed.length:
            try:
                store.catalog(app).check_chain(committed)
            except DamagedError as error:
                remember(store, app, error)


def _salvage(store: Store, app: str, committed: CatalogPosition, error: DamagedError) -> None:
    """Enter what can be read behind damage, if the index does not know better, and remember it."""
    if error.data["offset"] < committed.length:
        remember(store, app, error)
        return
    enter_packs(store)
    found = CatalogSalvage(store.catalog(app).path, committed.length)
    with store.database.write():
        enter_records(store, app, iter(found.reads))
        lost = [*found.lost, error.data["lost"]] if "lost" in error.data else found.lost
        remember(store, app, error, lost=lost, is_salvaged=not committed.length)
    store.live(app).empty()  # it was of trees that the index may not have


def raise_tops(store: Store) -> None:
    """What other witnesses know of the numbers of versions, when the index is new: a catalog that
    came from an older copy gives none of them again.
    """
    with store.database.write():
        for app in sorted(all_witnessed(store)):
            store.notes.raise_top(app, witnessed(store, app))


def _cut_torn(store: Store, app: str, committed: CatalogPosition) -> None:
    """What a crash left of an append goes to the quarantine now: else every command would
    take the lock to look at it, until the next append. It stays if that cannot be.
    """
    with contextlib.suppress(OSError, DamagedError):
        store.catalog(app).append([], committed, store.quarantine)


def rebuild(
    store: Store,
    progress: Progress = SILENT,
    *,
    accept_loss: bool = False,
    copies: Sequence[Path] = (),
) -> Rebuilt:
    """Make the index anew, aside, and put it in the place of the old one when it is whole: who
    reads meanwhile sees the old one. Under the `write` lock, with no other process using packs.

    What the old one knows and a catalog lacks is written back first, where that can be proven; what
    would be lost with it is an error, unless `accept_loss`: then the catalog goes on behind a gap.
    `copies` are catalog folders of copies of the store. Raises DamagedError, OSError: then the old
    one is still there.
    """
    mended, gone = mend_catalogs(store, copies, accept_loss=accept_loss)
    aside = store.path / f"{INDEX}{REBUILT}"
    # What a rebuild that was killed has left.
    _remove(aside, "", *BESIDE)
    with Store(store.path, store.identity, store.clock, index=aside.name) as fresh:
        findings = enter_packs(fresh, progress)
        progress.begin("reading catalogs")
        for app in sorted({*fresh.all_catalogs(), *all_witnessed(fresh)}):
            try:
                _catch_up(fresh, app, progress)
            except NoStoreError as error:
                findings.append(error.message)
            if (fault := fresh.notes.fault(app)) is not None:
                findings.append(fault.message)
        raise_tops(fresh)
        carry_tops(store, fresh)
        progress.end()
        if not accept_loss:
            check_nothing_lost(store, fresh)
    _put_in_place(store, aside)
    return Rebuilt(damage=tuple(findings), mended=tuple(mended), gone=tuple(gone))


def _put_in_place(store: Store, aside: Path) -> None:
    """A new index, whole and closed, becomes that of the store."""
    # SQLite says nothing if the last fold of its log failed: the file would lack what is in it.
    sqlite.check_folded(aside)
    store.database.close()
    with directory(store.path) as parent:
        fd = fsio.open_append(aside.name, parent)
        try:
            # The file is durable before it has the name: else a power cut may leave an empty one.
            fsio.sync_file(fd)
        finally:
            os.close(fd)
        # The old log goes before the new index has the name: it would be played back into it.
        _remove(aside, *BESIDE)
        _remove(store.database.path, *BESIDE)
        if store.database.path.is_dir():
            _remove(store.database.path, "")
        fsio.rename(aside.name, parent, INDEX, parent)
        fsio.sync_directory(parent)


def _remove(path: Path, *suffixes: str) -> None:
    for suffix in suffixes:
        one = path.with_name(f"{path.name}{suffix}")
        if one.is_dir():
            retire(one, path.parent / QUARANTINE)
        else:
            remove_file(one)


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
    for folder in sorted(os.listdir(store.packs)) if store.packs.is_dir() else ():
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
        for top in _entered(store, app, found):
            newest.note(store.path, app, top)


def enter_aside(store: Store, app: str, found: Iterator[Read]) -> None:
    """Enter records that are in no catalog into an index that is a copy in memory."""
    assert store.database.is_aside, "it would be said of the store itself"
    with store.database.write():
        for _ in _entered(store, app, found):
            pass


def _entered(store: Store, app: str, found: Iterator[Read]) -> Iterator[int]:
    """Enter records by and by: the highest number of a version that was met in each batch."""
    while batch := list(islice(found, BATCH)):
        for read in batch:
            if isinstance(read.record, VersionPart):
                begin_part(store, app, read.record)()
        last = batch[-1].after
        records = [index_record(read) for read in batch if not _is_later_part(read)]
        store.entries.add_records(app, records, (last.length, last.head, last.seq))
        top = max(highest_number(read.record) for read in batch)
        store.notes.raise_top(app, top)
        yield top


def _is_later_part(read: Read) -> bool:
    return isinstance(read.record, VersionPart) and read.record.header.part > 1


def begin_part(store: Store, app: str, part: VersionPart) -> Callable[[], None]:
    """Enter the entries of a version, or of one line of it, as `Entries.begin`."""
    return store.entries.begin(
        app, part.header.version, entries=part.entries, meta=part.meta, removed=part.removed
    )


def index_record(read: Read) -> IndexedRecord:
    """What the index keeps of a record: the line without its entries."""
    record = read.record
    number = record.header.version if isinstance(record, VersionPart) else None
    return IndexedRecord(read.before.seq, read.envelope.type, number, read.kept)


def _committed(store: Store, app: str) -> CatalogPosition:
    if not store.database.exists():
        return START
    found = store.entries.position(app)
    return START if found is None else CatalogPosition(*found)


def _length(store: Store, app: str) -> int:
    """Nothing for what is no file: its reader says so; other histories can be used."""
    path = store.catalog(app).path
    return os.stat(path).st_size if path.is_file() else 0
