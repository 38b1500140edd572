"""Purging: a content that should never have been recorded is gone from the store, the fact stays.

Order, each durable before the next: the record in every catalog that names the content (from then
on no process stores it again, and no version needs it); packs and logs written without it, what
leaned on it stored in full; the index switched; the old files removed; the quarantine cleared of
whatever holds it or cannot be read. Interrupted, it is finished by purging once more, or by the
next collection.

What is removed is removed as files are: the blocks of a disk, snapshots of file systems and copies
made before are out of reach here.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import closing

import msgspec

from epmstore.atomic import remove_file
from epmstore.blobs.blob_store import PackStore
from epmstore.blobs.erase import Sought, is_listed, look, write_without
from epmstore.blobs.pack import discard_written, publish_pack
from epmstore.care.pack_tables import Tables, read_tables
from epmstore.care.references import index_state, key_of, open_journals
from epmstore.care.replace_packs import collecting, refresh, switch_files
from epmstore.catalog.model import PurgeRecord, RecordedActor
from epmstore.clock import to_rfc3339
from epmstore.digest import BlobInfo, Digest, Sha256, read_purges
from epmstore.errors import (
    BlobNotFoundError,
    CollisionError,
    ConflictError,
    DamagedError,
    PathNotFoundError,
)
from epmstore.index.entries import Span
from epmstore.pack_table import NO_FRAME
from epmstore.progress import SILENT, Progress
from epmstore.relpath import RelPath
from epmstore.store.commit import commit_fact
from epmstore.store.replay import catch_up
from epmstore.store.store import Store, is_refcat

REPAIR = "run `epmstore fsck --read-data --repair` first"
TRIES = 5


class Purged(msgspec.Struct, frozen=True, kw_only=True):
    """`contents` are what goes, and nothing else that has one of their addresses. `paths` are (key
    of an application, path) that ever had one of them, `live` those that have one in the newest
    version of a host (a refcat has no root). `rewritten` packs and logs were written anew (some to
    nothing), `cleared` files taken from the quarantine.
    """

    contents: tuple[BlobInfo, ...]
    paths: tuple[tuple[str, RelPath], ...] = ()
    live: tuple[tuple[str, RelPath], ...] = ()
    versions: tuple[tuple[str, int], ...] = ()
    rewritten: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()
    dry_run: bool = False

    @property
    def digests(self) -> tuple[Digest, ...]:
        return tuple(info.digest for info in self.contents)


def contents_of(store: Store, app: str, path: RelPath) -> tuple[BlobInfo, ...]:
    """Every content that a path ever had, but the empty one, which is that of every empty file.
    Raises PathNotFoundError.
    """
    spans = store.entries.history(app, path)
    contents = [span.entry.content for span in spans if span.entry.content is not None]
    if not contents:
        raise PathNotFoundError(f"no content of {path!r} was ever recorded", path=path)
    found = tuple(dict.fromkeys(one for one in contents if one.size))
    if not found:
        raise PathNotFoundError(
            f"{path!r} was empty whenever it was recorded: there is nothing to destroy", path=path
        )
    return found


def purge(
    store: Store,
    wanted: Collection[BlobInfo | Digest | Sha256],
    *,
    path: RelPath | None = None,
    reason: str | None = None,
    dry_run: bool = False,
    actor: RecordedActor | None = None,
    progress: Progress = SILENT,
) -> Purged:
    """Destroy contents. `path` is the one that they were asked for by.

    Raises BlobNotFoundError for what was never recorded, CollisionError for a SHA-1 that several
    contents have, ConflictError (a checkout was interrupted; it is a part of something else; it is
    empty), DamagedError (repair first), BusyError, OSError.
    """
    with store.lock_write():
        catch_up(store)
    contents = tuple(dict.fromkeys(_content(store, one) for one in wanted))
    if any(not one.size for one in contents):
        raise ConflictError(
            "the empty content tells nobody anything, and every empty file has it",
            hint="name a file that was not empty, or the digest of what was in it",
        )
    found = _survey(store, contents, dry_run)
    if dry_run:
        with store.keep_packs():
            tables = _tables(store)
            sought = _sought(tables, found.contents, spare=False)
            return msgspec.structs.replace(
                found,
                rewritten=tuple(_tainted(store, tables, sought)),
                cleared=tuple(_in_quarantine(store, sought)),
            )
    if open_journals(store):
        raise ConflictError("a checkout has not ended", hint="`epmstore recover`")
    with store.keep_packs():  # refused before anything is said
        _sought(_tables(store), found.contents, spare=False)
    # The fact first: from here on no process stores it again, and the next collection ends what is
    # killed.
    _record(store, found, path, reason, actor)
    rewritten, cleared = _destroy(store, found.contents, progress)
    return msgspec.structs.replace(found, rewritten=rewritten, cleared=cleared)


def finish_purges(store: Store, progress: Progress = SILENT) -> None:
    """Destroy what was purged and is still (or again) there. Raises as `purge`."""
    purged = store.contents.purged()
    left = {info for digest in purged.addresses for info in store.contents.with_digest(digest)}
    for sha256 in store.contents.places(list(purged.contents)):
        info = store.contents.named(sha256)
        left |= set() if info is None else {info}
    if left:
        _destroy(store, tuple(left), progress)


# What it is about.


def _content(store: Store, wanted: BlobInfo | Digest | Sha256) -> BlobInfo:
    """The one content that is meant. Raises BlobNotFoundError, CollisionError."""
    if isinstance(wanted, BlobInfo):
        return wanted
    found = store.contents.meant(wanted)
    if len(found) > 1:
        raise CollisionError(
            f"{len(found)} contents have the SHA-1 {wanted.hex()}",
            hint="name the one that is meant by its SHA-256 or by its path: "
            + ", ".join(info.sha256.hex() for info in found),
            digest=wanted.hex(),
            sha256=[info.sha256.hex() for info in found],
        )
    if not found:
        raise _never_recorded(wanted)
    return found[0]


def _never_recorded(wanted: bytes) -> BlobNotFoundError:
    return BlobNotFoundError(
        f"no content {wanted.hex()} was ever recorded",
        hint="`epmstore find` and `epmstore history` show digests",
        digest=wanted.hex(),
    )


def _survey(store: Store, contents: tuple[BlobInfo, ...], dry_run: bool) -> Purged:
    paths: dict[tuple[str, RelPath], bool] = {}
    versions: set[tuple[str, int]] = set()
    for info in contents:
        spans = _spans(store, info)
        if not spans and info not in store.contents.with_digest(info.digest):
            raise _never_recorded(info.digest)
        for app, span in spans:
            where = (key_of(store, app), span.entry.path)
            is_live = span.until is None and not is_refcat(app)
            paths[where] = paths.get(where, False) or is_live
            versions.update((where[0], version) for version in _versions(store, app, span))
    return Purged(
        contents=contents,
        paths=tuple(paths),
        live=tuple(where for where, is_live in paths.items() if is_live),
        versions=tuple(sorted(versions)),
        dry_run=dry_run,
    )


def _spans(store: Store, info: BlobInfo) -> list[tuple[str, Span]]:
    """Where a content is, and not another one that has its address."""
    found = store.entries.with_content(info.digest)
    return [(app, span) for app, span in found if span.entry.content == info]


def _versions(store: Store, app: str, span: Span) -> Iterator[int]:
    """The restorable versions that have an entry."""
    for found in index_state(store, app).versions:
        is_after = span.until is not None and found.version >= span.until
        if found.restorable and span.since <= found.version and not is_after:
            yield found.version


def _record(
    store: Store,
    found: Purged,
    path: RelPath | None,
    reason: str | None,
    actor: RecordedActor | None,
) -> None:
    """One record a content in every history that names it, unless it is said already."""
    names = {info: {name for name, _ in _spans(store, info)} for info in found.contents}
    for app in store.recorded_apps():
        state = index_state(store, app)
        said = read_purges((record.digest, record.sha256) for record in state.purged)
        for info in found.contents:
            if app in names[info] and info not in said:
                is_alone = store.contents.seen(info.digest) == [info]
                fact = PurgeRecord(
                    time=to_rfc3339(store.clock.now()),
                    actor=actor,
                    digest=info.digest.hex() if is_alone else None,
                    sha256=info.sha256.hex(),
                    path=path,
                    reason=reason,
                )
                commit_fact(store, app, fact)


def _sought(tables: Tables, contents: Collection[BlobInfo], *, spare: bool) -> Sought:
    """These contents, stored or only named, and the parts that nothing else is made of. One that is
    a part of something that stays is left out, if asked for. Raises ConflictError else.
    """
    gone: dict[Sha256, int] = {info.sha256: info.size for info in contents}
    rows = [copy.row for file in tables.groups for copy in tables.rows(file)]
    large = [row for row in rows if row.frame == NO_FRAME]
    kept = {part for row in large if row.sha256 not in gone for part in row.parts}
    for sha256 in kept & gone.keys():
        if spare:
            del gone[sha256]
            continue
        raise ConflictError(
            f"the content with the SHA-256 {sha256.hex()} is a part of a larger one that stays",
            hint="purge that one, too",
        )
    named = {row.sha256 for row in rows if row.digest is not None and row.sha256 not in gone}
    own = {part for row in large if row.sha256 in gone for part in row.parts} - kept - named
    gone.update((row.sha256, row.size) for row in rows if row.sha256 in own)
    return Sought(frozenset(gone), frozenset(gone.values()))


def _tables(store: Store) -> Tables:
    """Raises DamagedError if what a file holds cannot be known."""
    tables = read_tables(store)
    _check(tables)
    return tables


def _check(tables: Tables) -> None:
    for file, error in tables.faults.items():
        raise DamagedError(f"packs/{file}: {error.message}", hint=REPAIR, file=file)


# Destroying it.


def _destroy(
    store: Store, contents: Collection[BlobInfo], progress: Progress
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(files that were written anew, files that went from the quarantine)."""
    rewritten: list[str] = []
    with collecting(store, "purge"):
        with store.keep_packs():  # the long look, beside other processes
            tables = _tables(store)
            sought = _sought(tables, contents, spare=True)
            known = _tainted(store, tables, sought, progress)
            looked_at = dict(tables.sizes)
        with store.lock_packs(), store.lock_write():
            catch_up(store)
            for one in store.all_reverse():  # pieces of contents are in them
                one.drop()
            # What came since the long look is looked at now, with no process writing, until no file
            # has any of it: the files that are written here are among those.
            for _ in range(TRIES):
                refresh(store, tables)
                _check(tables)
                new = {f for f, size in tables.sizes.items() if looked_at.get(f) != size}
                known = {f: at for f, at in known.items() if f in tables.groups and f not in new}
                known |= _tainted(store, tables, sought, only=new)
                looked_at = dict(tables.sizes)
                if not known:
                    break
                rewritten += known
                _replace(store, tables, sought, known)
            else:
                raise DamagedError("a purged content cannot be taken out", hint=REPAIR)
        cleared = _in_quarantine(store, sought)
        for file in cleared:
            remove_file(store.quarantine / file)
    return tuple(sorted(set(rewritten))), tuple(cleared)


def _tainted(
    store: Store,
    tables: Tables,
    sought: Sought,
    progress: Progress = SILENT,
    *,
    only: Collection[str] | None = None,
) -> dict[str, frozenset[int]]:
    """Each file that holds some of it or leans on it, with the frames that do. Raises
    DamagedError, OSError.
    """
    files = [file for file in tables.groups if only is None or file in only]
    progress.begin("looking", size=sum(tables.sizes[file] for file in files))
    found: dict[str, frozenset[int]] = {}
    for file in files:
        seen = look(store.packs / file, sought)
        scan = tables.logs.get(file)
        if not seen.is_sound and (scan is None or scan.damage):
            raise DamagedError(f"packs/{file} is damaged", hint=REPAIR, file=file)
        groups = (located.group for located in tables.groups[file])
        has_tail = not seen.is_sound  # what a crash left behind may be anything
        if seen.frames or has_tail or is_listed(groups, sought.contents):
            found[file] = seen.frames
        progress.advance(size=tables.sizes[file])
    progress.end()
    return found


def _replace(
    store: Store, tables: Tables, sought: Sought, tainted: dict[str, frozenset[int]]
) -> None:
    """Under both locks: new files without it, the index switched, the old ones removed."""
    # The log goes as a whole: what is appended next must not be in it.
    if store.packlog.file in tainted:
        store.packlog.begin_next()
    with closing(PackStore(store.packs, tables)) as blobs:
        for file, at in tainted.items():
            groups = [(located.start, located.group) for located in tables.groups[file]]
            written = write_without(store.packs, file, groups, sought, at, blobs)
            if not written.is_empty:
                publish_pack(store.packs, written)
            else:
                discard_written(written)
    # New files are durable by now; then the index has them, then the old ones go.
    refresh(store, tables)
    switch_files(store, tables, set(tainted))
    with store.database.write(durable=True):
        for sha256 in sought.contents:
            store.contents.forget_large(sha256)


def _in_quarantine(store: Store, sought: Sought) -> list[str]:
    """Files there that hold it, or may hold it because they cannot be read; catalogs hold no
    contents.
    """
    found = []
    for name in sorted(os.listdir(store.quarantine)):
        if ".syscat" in name or ".refcat" in name:
            continue
        seen = look(store.quarantine / name, sought, guess=True)
        if seen.frames or not seen.is_sound:
            found.append(name)
    return found
