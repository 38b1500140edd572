"""Bugs to be found: for each rule of durability, order, path, lock or limit one that breaks it.

Each is brought about in the process of a task alone, and says in which scenario it is noticed, what
goes wrong there, and at which calls (null: any; with a power cut: after the first such call). A
campaign that does not notice would prove nothing.
The syncs are left out in `test_power_cut.py`, too, and links followed in `test_races.py`.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from epmstore import atomic, fsio
from epmstore.blobs import erase
from epmstore.blobs.pack import WrittenGroup
from epmstore.care import gc, marks, purge, replace_packs
from epmstore.checkout import apply, journal, stage, transaction
from epmstore.record.recorder import SAFETY, Recorder
from epmstore.store import commit
from epmstore.store.store import Store


class Bug(NamedTuple):
    rule: str
    make: Callable[[], None]
    scenario: str
    how: str = "kill"
    call: str | None = None


def put(owner: object, name: str, value: object) -> None:
    """In the place of a function of the program."""
    assert hasattr(owner, name), f"{owner} has no {name}: the bug would be none"
    setattr(owner, name, value)


def contents_after_the_line() -> None:
    place, enter = commit._place, commit._enter_groups

    class Later:
        def __init__(self, store: Store, groups: Sequence[WrittenGroup]) -> None:
            self._then = (store, groups)

        def __iter__(self) -> Iterator[Any]:
            return iter(place(*self._then))

    @contextlib.contextmanager
    def after(steps: Sequence[Callable[[], None]], changes: int) -> Iterator[None]:
        yield
        for step in steps:
            step()

    put(commit, "_place", Later)
    put(commit, "_enter_groups", lambda store, placed: lambda: enter(store, placed)())
    put(commit, "_in_background", after)


def removed_before_it_is_replaced() -> None:
    rename = fsio.rename

    def bad(old: str | bytes, one: int, new: str | bytes, two: int) -> None:
        with contextlib.suppress(FileNotFoundError):
            fsio.unlink(new, two)
        rename(old, one, new, two)

    put(fsio, "rename", bad)


def half_a_write() -> None:
    def bad(fd: int, data: bytes | memoryview, offset: int) -> None:
        fsio._before("write", fd, data, offset)
        os.pwrite(fd, memoryview(data)[: len(data) // 2], offset)

    put(fsio, "write_at", bad)


def errors_of_syncs_ignored() -> None:
    sync = fsio.sync_data

    def bad(fd: int) -> None:
        with contextlib.suppress(OSError):
            sync(fd)

    put(fsio, "sync_data", bad)


def nothing_said_before_the_switch() -> None:
    reach = journal.Journal.reach

    def bad(self: journal.Journal, state: journal.JournalState, **said: Any) -> None:
        if state != "STAGED":
            reach(self, state, **said)

    put(journal.Journal, "reach", bad)


def journal_dropped_before_the_end() -> None:
    finish = apply.Applier._finish

    def bad(self: apply.Applier, *args: Any, **said: Any) -> Any:
        os.unlink(self._journal.path)
        self._journal.path.write_bytes(b"")
        return finish(self, *args, **said)

    put(apply.Applier, "_finish", bad)


def no_safety_version() -> None:
    snapshot = Recorder.snapshot

    def bad(self: Recorder, root: Any, intent: Any, **said: Any) -> Any:
        found = snapshot(self, root, intent, **said)
        if intent is SAFETY and found.is_new:
            catalog = self.store.catalog(self.app.uuid).path
            os.truncate(catalog, catalog.stat().st_size // 2)
        return found

    put(Recorder, "snapshot", bad)


def nothing_is_needed() -> None:
    def bad(*args: Any, **said: Any) -> marks.Marks:
        found = marks.mark(*args, **said)
        return marks.Marks(frozenset(), found.named, found.positions, found.journals)

    put(gc, "mark", bad)


def unlinked_before_the_index_knows() -> None:
    def bad(store: Store, tables: Any, gone: Any, **said: Any) -> None:
        for file in gone:
            atomic.remove_file(store.packs / file)
        replace_packs.switch_files(store, tables, gone, **said)

    put(gc, "switch_files", bad)


def purged_before_it_is_said() -> None:
    record, destroy = purge._record, purge._destroy

    def bad(store: Store, digests: Any, progress: Any) -> Any:
        found = destroy(store, digests, progress)
        for then in later:
            record(*then)
        return found

    later: list[Any] = []
    put(purge, "_record", lambda *args: later.append(args))
    put(purge, "_destroy", bad)


def deltas_on_what_is_purged_stay() -> None:
    copy = erase._Eraser._copy_deltas

    def bad(self: erase._Eraser, record: Any, rows: Any) -> None:
        self._gone = frozenset()
        copy(self, record, rows)

    put(erase._Eraser, "_copy_deltas", bad)


def what_was_staged_stays() -> None:
    put(apply, "remove_stage", lambda root_fd, name: None)


def no_temporary() -> None:
    def bad(path: Path, data: bytes, mode: int = 0o600) -> None:
        with atomic.directory(path.parent) as parent:
            with contextlib.suppress(FileNotFoundError):
                fsio.unlink(path.name, parent)
            fd = fsio.create(path.name, parent, mode)
            fsio.write(fd, data)
            fsio.sync_file(fd)
            os.close(fd)

    put(atomic, "replace_file", bad)


def metadata_forgotten() -> None:
    put(fsio, "set_times", lambda fd, mtime_ns: None)


def data_not_synced() -> None:
    put(fsio, "sync_data", lambda fd: None)


def files_not_synced() -> None:
    put(fsio, "sync_file", lambda fd: None)
    put(fsio, "sync_filesystem", lambda fd: None)


def folders_not_synced() -> None:
    put(fsio, "sync_directory", lambda fd: None)
    put(fsio, "sync_filesystem", lambda fd: None)


def named_before_it_is_synced() -> None:
    def bad(path: Path, data: bytes, mode: int = 0o600) -> None:
        with atomic.directory(path.parent) as parent:
            name = atomic.temporary_name()
            fd = fsio.create(name, parent, mode)
            fsio.write(fd, data)
            fsio.rename(name, parent, path.name, parent)
            fsio.sync_directory(parent)
            fsio.sync_file(fd)
            os.close(fd)

    put(atomic, "replace_file", bad)


def links_synced_with_their_folder() -> None:
    """A symlink's own time is not a name in a folder."""
    put(stage, "SYNCFS_FROM", 1 << 30)
    put(fsio, "sync_filesystem", fsio.sync_directory)


def journal_not_synced() -> None:
    reach = journal.Journal.reach

    def bad(self: journal.Journal, state: journal.JournalState, **said: Any) -> None:
        sync, fsio.sync_data = fsio.sync_data, lambda fd: None
        try:
            reach(self, state, **said)
        finally:
            fsio.sync_data = sync

    put(journal.Journal, "reach", bad)


def unsynced(owner: object, name: str, syncs: Sequence[str]) -> None:
    """A function of the program does all but its syncs."""
    work = getattr(owner, name)

    def bad(*args: Any, **said: Any) -> Any:
        real = {sync: getattr(fsio, sync) for sync in syncs}
        for sync in syncs:
            put(fsio, sync, lambda fd: None)
        try:
            return work(*args, **said)
        finally:
            for sync, found in real.items():
                put(fsio, sync, found)

    put(owner, name, bad)


def decided_before_it_is_synced() -> None:
    unsynced(transaction.TransactionFile, "save", ["sync_file", "sync_directory"])


def taken_back_before_it_is_synced() -> None:
    unsynced(apply, "decision", ["sync_directory"])


CUT = "cut"
"""Noticed in the states that a power cut may leave (test_crashes.py)."""

BUGS: dict[str, Bug] = {
    "data not synced at all": Bug("D2", data_not_synced, "snapshot", CUT),
    "files not synced at all": Bug("D2", files_not_synced, "checkout", CUT),
    "folders not synced": Bug("D3", folders_not_synced, "init", CUT),
    "folders not synced by a checkout": Bug("J8", folders_not_synced, "checkout", CUT),
    "named before it is synced": Bug("D2", named_before_it_is_synced, "patterns", CUT),
    "line before its contents": Bug("D4", contents_after_the_line, "snapshot", CUT),
    "links synced with their folder": Bug("D3", links_synced_with_their_folder, "checkout", CUT),
    "journal not synced": Bug("J6", journal_not_synced, "checkout", CUT),
    "decided before it is synced": Bug(
        "J6", decided_before_it_is_synced, "together, no hooks", CUT, "rename"
    ),
    "taken back before it is synced": Bug(
        "J6", taken_back_before_it_is_synced, "together, taken back", CUT, "rmdir"
    ),
    "data not synced": Bug("D2", data_not_synced, "snapshot", "lose"),
    "files not synced": Bug("D2", files_not_synced, "checkout", "lose"),
    "contents after the line": Bug("D4", contents_after_the_line, "snapshot"),
    "removed before it is replaced": Bug("D2", removed_before_it_is_replaced, "patterns"),
    "no temporary": Bug("D2", no_temporary, "patterns"),
    "half a write": Bug("D2", half_a_write, "snapshot"),
    "errors of syncs ignored": Bug("D7", errors_of_syncs_ignored, "snapshot", "drop", "fdatasync"),
    "nothing said before the switch": Bug("J6", nothing_said_before_the_switch, "checkout"),
    "journal dropped before the end": Bug("J5", journal_dropped_before_the_end, "checkout"),
    "no safety version": Bug("J3", no_safety_version, "checkout over drift"),
    "nothing is needed": Bug("D5", nothing_is_needed, "gc, packs"),
    "unlinked before the index knows": Bug("D5", unlinked_before_the_index_knows, "gc, packs"),
    "purged before it is said": Bug("D5", purged_before_it_is_said, "purge"),
    "deltas on what is purged stay": Bug("D5", deltas_on_what_is_purged_stay, "purge"),
    "what was staged stays": Bug("J8", what_was_staged_stays, "checkout"),
    "metadata forgotten": Bug("J9", metadata_forgotten, "checkout"),
}
