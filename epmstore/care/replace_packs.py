"""Replacing pack files by others: the one place where a pack is ever removed.

Under the exclusive `gc` lock (no process reads packs, or refers to contents that are not committed
yet) and the `write` lock: check once more that nothing is lost, switch the index, and only then
unlink. Whatever dies in between leaves files that are not needed, never the other way round.
"""

import contextlib
import os
import stat
from collections.abc import Collection, Iterator

from epmstore import locks
from epmstore.atomic import TEMPORARY, directory, remove_file, retire
from epmstore.care.pack_tables import Tables, leans_on, read_table
from epmstore.checkout.target import remove_tree
from epmstore.digest import Sha256
from epmstore.fsio import unlink
from epmstore.pack_table import NO_FRAME
from epmstore.store.replay import pack_files
from epmstore.store.store import Store


@contextlib.contextmanager
def collecting(store: Store, owner: str = "gc") -> Iterator[None]:
    """One at a time replaces packs. Taken before every other lock. Raises BusyError."""
    with locks.hold(store.path / "locks", "collect", owner=owner):
        yield


def refresh(store: Store, tables: Tables) -> None:
    """Enter files that came or grew since the tables were read, and drop those that went.

    Raises OSError; a file that cannot be read is among `tables.faults` then.
    """
    files = set(pack_files(store))
    for file in set(tables.sizes) - files:
        tables.drop(file)
    for file in files:
        size = os.lstat(store.packs / file).st_size
        if tables.sizes.get(file) != size:
            tables.drop(file)
            read_table(store, tables, file)


def condemned(tables: Tables, gone: Collection[str]) -> set[Sha256]:
    """The contents that the store would have no more without these files."""
    return {
        copy.row.sha256
        for file in gone
        for copy in tables.rows(file)
        if all(other.where.file in gone for other in tables.copies(copy.row.sha256))
    }


def leaned_on(tables: Tables, file: str) -> set[Sha256]:
    """The contents in no other file than this one without which something could not be read that is
    in another one, needed or not.
    """
    rows = {copy.row.sha256: copy.row for copy in tables.rows(file)}
    lost = condemned(tables, [file])
    others = (copy.row for other in tables.groups if other != file for copy in tables.rows(other))
    pending = [sha256 for row in others for sha256 in leans_on(row) if sha256 in lost]
    found: set[Sha256] = set()
    while pending:
        sha256 = pending.pop()
        if sha256 not in found:
            found.add(sha256)
            pending += (one for one in leans_on(rows[sha256]) if one in lost)
    return found


def is_leaned_on(tables: Tables, lost: set[Sha256], gone: Collection[str]) -> bool:
    """Whether something that stays could not be read without what is lost."""
    return bool(lost) and any(
        not lost.isdisjoint(leans_on(copy.row))
        for file in tables.groups
        if file not in gone
        for copy in tables.rows(file)
    )


def switch_files(
    store: Store,
    tables: Tables,
    gone: Collection[str],
    *,
    anew: Collection[str] = (),
    quarantine: bool = False,
) -> None:
    """The index knows every file in `tables` but those `gone`, which are then removed, or moved to
    the quarantine; files in `anew` are entered again. Under both locks, tables refreshed.

    Raises OSError, DamagedError.
    """
    rows = [copy.row for file in gone for copy in tables.rows(file)]
    affected = {row.sha256 for row in rows}
    for file in gone:
        affected.update(sha256 for _, sha256, _, _ in store.contents.rows(file))
        tables.drop(file)
    # The index, durably, before any file goes: a crash in between leaves files that no row names,
    # and never rows without their file.
    with store.database.write(durable=True):
        for file in {*gone, *anew}:
            store.contents.forget_file(file)
        for row in rows:
            if row.frame == NO_FRAME:
                store.contents.forget_large(row.sha256)
        _enter(store, tables, list(affected))
    # Descriptors that are open would go on reading what is gone.
    store.blobs.close()
    for file in gone:
        if quarantine:
            retire(store.packs / file, store.quarantine)
        else:
            remove_file(store.packs / file)


def withdraw(store: Store, tables: Tables, file: str) -> None:
    """Take a new pack away that is not referred to yet. Under both locks. Raises OSError."""
    if file not in store.contents.files():
        tables.drop(file)
        remove_file(store.packs / file)


def remove_temporaries(store: Store) -> int:
    """Take away what crashed writers left below `packs/`; how many bytes. Under the exclusive `gc`
    lock: then no writer lives. Raises OSError.
    """
    freed = 0
    with directory(store.packs) as parent:
        for name in os.listdir(parent):
            if name.startswith(TEMPORARY):
                found = os.stat(name, dir_fd=parent, follow_symlinks=False)
                freed += found.st_size
                if stat.S_ISDIR(found.st_mode):  # in the place of a file, once
                    remove_tree(name, parent)
                else:
                    unlink(name, parent)
    return freed


def _enter(store: Store, tables: Tables, lost: list[Sha256]) -> None:
    """Enter files that the index never knew, and those that hold another copy of what was lost."""
    known = store.contents.files()
    for file in sorted(set(tables.groups) - set(known)):
        _enter_file(store, tables, file)
    places = store.contents.places(lost)
    again = {
        copies[0].where.file
        for sha256 in lost
        if sha256 not in places and (copies := tables.copies(sha256))
    }
    for file in sorted(again):
        store.contents.forget_file(file)
        _enter_file(store, tables, file)


def _enter_file(store: Store, tables: Tables, file: str) -> None:
    for located in tables.groups[file]:
        store.contents.add_group(file, located.start, located.group)
