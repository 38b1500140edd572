"""Repairing what a check found: good bytes are stored anew, bad files go to the quarantine.

Order: good bytes of what is lost are sought in live files, and stored; then everything readable
of each bad file is copied into a new pack; then, under the locks of a collection, the index is
switched and the bad files are moved away. What leans on something that is lost for good (a delta on
its base) is taken out with it, or the store would claim to have it and never store it again. Other
copies in the store need nothing: with the bad file gone they are found.

A catalog is put together again from what the index knows of it, as far as that can be proven; the
appcat and FORMAT cannot be made up: what is wrong there stays a finding.
"""

import contextlib
import os
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from epmstore import fsio
from epmstore.atomic import directory, is_something_else, retire
from epmstore.blobs.pack import SUFFIX, GroupWriter, WrittenGroup, discard_written, publish_pack
from epmstore.blobs.records import open_pack, read_at
from epmstore.care.damage import Damage, FsckReport
from epmstore.care.fsck import fsck
from epmstore.care.inspect import Choice, Inspector, salvage
from epmstore.care.live_sources import LiveFiles
from epmstore.care.pack_tables import Tables, leans_on, read_tables
from epmstore.care.replace_packs import collecting, refresh, switch_files
from epmstore.digest import BlobInfo, Sha256
from epmstore.errors import DamagedError
from epmstore.pack_table import NO_FRAME, BlobRow, FrameRow
from epmstore.progress import SILENT, Progress
from epmstore.seal import SIZE, RecordKind
from epmstore.store.deposit import Deposit
from epmstore.store.replay import rebuild
from epmstore.store.seeking import Seeker, give_anew
from epmstore.store.store import INDEX, Store

PACKS = "packs"
CATALOGS = "catalogs/"


def repair(
    store: Store,
    read_data: float = 1.0,
    *,
    seed: int | None = None,
    files: Collection[str] = (),
    progress: Progress = SILENT,
    seekers: Sequence[Seeker] = (),
) -> FsckReport:
    """Check as `fsck` does, mend what can be mended, and check that. The report says of each
    finding whether it is repaired now. Good bytes are sought in live files, and by `seekers`.
    Of `files`, where something was found before, all is read.
    Raises BusyError, OSError.
    """
    report = fsck(store, read_data, seed=seed, files=files, progress=progress)
    if report.clean:
        return report
    with collecting(store, "fsck --repair"):
        if any(f.file == INDEX or f.file.startswith(CATALOGS) for f in report.findings):
            _rebuild(store, progress)
            again = fsck(store, read_data, seed=report.seed, files=files, progress=progress)
            report = _joined(report, again.findings)
        in_packs = [f for f in report.findings if f.file.startswith(PACKS)]
        came = _Repair(store, seekers, progress).run(in_packs) if in_packs else {}
    after = fsck(store, read_data, seed=report.seed, files=files, progress=progress)
    joined = _joined(_judged(report, after), after.findings)
    return msgspec.structs.replace(joined, came=tuple(came.items()))


class _Repair:
    """Mends the packs of one store."""

    def __init__(self, store: Store, seekers: Sequence[Seeker], progress: Progress) -> None:
        self._store = store
        self._progress = progress
        self._seekers = [LiveFiles(store), *seekers]
        self._bad: dict[str, frozenset[Sha256]] = {}
        """Bad file to the contents that cannot be read from it."""
        self._salvaged: set[Sha256] = set()
        """What can be read from bad files whose table cannot."""
        self._came: dict[str, int] = {}

    def run(self, findings: Iterable[Damage]) -> dict[str, int]:
        """From where how many contents came."""
        store = self._store
        self._end_log()
        with store.keep_packs():
            tables = read_tables(store)
            self._inspect(tables, findings)
            lost = self._lost(tables, findings)
            before = {file: self._inode(file) for file in self._bad}
            self._make_way()
            gone_for_good = self._restore(tables, lost)
            again = self._made_again(tables, before)
            refresh(store, tables)
            come = self._save_rest(tables, gone_for_good)
        with store.lock_packs(), store.lock_write():
            tables = read_tables(store)
            gone = set(self._bad)
            refresh(store, tables)
            same = gone & set(come)
            switch_files(store, tables, gone - same, anew=same | again, quarantine=True)
            with store.database.write():
                for sha256 in gone_for_good:
                    store.contents.forget_large(sha256)
        return self._came

    def _end_log(self) -> None:
        """The log that is appended to may be a bad one, and must hold still."""
        with self._store.lock_write():
            path = self._store.packs / self._store.packlog.file
            if path.exists() and path.stat().st_size:
                self._store.packlog.begin_next()

    def _inspect(self, tables: Tables, findings: Iterable[Damage]) -> None:
        """Look at every file that was found bad, whole."""
        known = self._store.contents.files()
        inspector = Inspector(self._store, tables, Choice(1.0, 0), known, tables.sizes)
        for file in sorted({f.file.removeprefix(f"{PACKS}/") for f in findings}):
            if file in tables.sizes:
                faults = inspector.inspect(file)
                if faults:
                    self._bad[file] = frozenset().union(*(fault.contents for fault in faults))
            elif file in self._store.contents.files():
                rows = self._store.contents.rows(file)
                self._bad[file] = frozenset(sha256 for _, sha256, _, _ in rows)
        self._salvaged = inspector.salvaged

    def _lost(self, tables: Tables, findings: Iterable[Damage]) -> set[Sha256]:
        """The contents of which no good copy is left, and what others lean on that is nowhere."""
        missing = {Sha256(bytes.fromhex(f.sha256)) for f in findings if f.sha256 is not None}
        leaned_on = (tables.leans_on(sha256) for sha256 in tables.contents())
        found = missing.union(*self._bad.values(), *leaned_on)
        return {sha256 for sha256 in found if not self._has_good_copy(tables, sha256)}

    def _has_good_copy(self, tables: Tables, sha256: Sha256) -> bool:
        return sha256 in self._salvaged or any(
            sha256 not in self._bad.get(copy.where.file, ()) for copy in tables.copies(sha256)
        )

    def _restore(self, tables: Tables, lost: set[Sha256]) -> set[Sha256]:
        """Store what is still had elsewhere of it, and of what leans on the rest; what is lost for
        good.
        """

        def is_sound(part: Sha256) -> bool:
            return part not in lost and bool(tables.copies(part))

        for_good: set[Sha256] = set()
        given: set[Sha256] = set()
        with Deposit(self._store) as deposit:
            pending = set(lost)
            while pending:
                infos = {self._info(tables, sha256) for sha256 in pending}
                for seeker in self._seekers:
                    left = {i for i in infos if i is not None and i.sha256 not in given}
                    given |= give_anew(deposit, left, seeker, is_sound, self._progress)
                    came = sum(info.sha256 in given for info in left)
                    if came:
                        self._came[str(seeker)] = self._came.get(str(seeker), 0) + came
                for_good |= pending - given
                pending = _leaning(tables, for_good) - for_good - given
            deposit.commit()
        return for_good - given

    def _make_way(self) -> None:
        """What is no file at all has no place where a pack may be written anew."""
        for file in self._bad:
            path = self._store.packs / file
            if is_something_else(path):
                retire(path, self._store.quarantine)

    def _made_again(self, tables: Tables, before: Mapping[str, int | None]) -> set[str]:
        """Bad packs that were just written under their own names, which say what is in them: all
        of it was had elsewhere, and they are bad no more. A log that is there again is another.
        """
        packs = {file: old for file, old in before.items() if file.endswith(SUFFIX)}
        again = {file for file, old in packs.items() if self._inode(file) not in (None, old)}
        for file in again:
            del self._bad[file]
            tables.drop(file)
        return again

    def _inode(self, file: str) -> int | None:
        try:
            return os.lstat(self._store.packs / file).st_ino
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _info(self, tables: Tables, sha256: Sha256) -> BlobInfo | None:
        """The identity of a content; None for a part."""
        found = tables.info(sha256)
        if found is not None:
            return found
        known = self._store.contents.named(sha256)
        return None if known is None or known.size < 0 else known

    def _save_rest(self, tables: Tables, for_good: set[Sha256]) -> list[str]:
        """New packs with everything that can be read of bad files, and of those in which something
        leans on what is lost.
        """
        for file in tables.groups:
            if any(copy.row.sha256 in for_good for copy in tables.rows(file)):
                self._bad.setdefault(file, frozenset())
        come = []
        for file, unreadable in self._bad.items():
            if file not in tables.sizes or is_something_else(self._store.packs / file):
                continue
            without = unreadable | for_good
            written = _rest(self._store, tables, file, without)
            if not written.is_empty:
                come.append(self._publish(file, written))
            else:
                discard_written(written)
        return come

    def _publish(self, file: str, written: WrittenGroup) -> str:
        """The name of the new pack. If all could be read, that is the bad one's: what was there
        gets another name before.
        """
        store = self._store
        path = store.packs / file
        if path.name == f"{written.id}{SUFFIX}":
            kept = f"{path.name}.{secrets.token_hex(4)}"
            with directory(path.parent) as parent, directory(store.quarantine) as quarantine:
                fsio.make_link(path.name, parent, kept, quarantine)
                fsio.sync_directory(quarantine)
        return publish_pack(store.packs, written)


def _rest(store: Store, tables: Tables, file: str, without: Collection[Sha256]) -> WrittenGroup:
    """A group of everything readable in a file, as it is read and not as the table says. Raises
    OSError.
    """
    group = salvage(store, tables, file).group
    large = [row for row in group.blobs if row.frame == NO_FRAME]
    if file in tables.groups:
        large = [copy.row for copy in tables.rows(file) if copy.row.frame == NO_FRAME]
    fd = open_pack(store.packs / file)
    try:
        with GroupWriter(store.packs, spill=0) as writer:
            for is_delta in (False, True):
                for number, frame in enumerate(group.frames):
                    if (frame.kind is RecordKind.DELTA) is is_delta:
                        rows = [row for row in group.blobs if row.frame == number]
                        kept = [row for row in rows if row.sha256 not in without]
                        _copy_frame(writer, fd, frame, kept)
            for row in large:
                if row.sha256 not in without:
                    writer.copy_large(row)
            return writer.finish()
    finally:
        os.close(fd)


def _copy_frame(writer: GroupWriter, fd: int, frame: FrameRow, rows: list[BlobRow]) -> None:
    record = read_at(fd, frame.offset, SIZE + frame.head_length + frame.body_length)
    if frame.kind is not RecordKind.DELTA:
        writer.copy_frame(frame, record, rows)
        return
    body = record[SIZE + frame.head_length :]
    for row in rows:
        writer.copy_delta(row, body[row.offset : row.offset + row.length])


def _leaning(tables: Tables, lost: set[Sha256]) -> set[Sha256]:
    """What has no copy that can be read without these."""
    return {
        sha256
        for sha256 in tables.contents()
        if all(not lost.isdisjoint(leans_on(copy.row)) for copy in tables.copies(sha256))
    }


def _rebuild(store: Store, progress: Progress) -> None:
    """Not where something would be lost with the index that is there: then it stays a finding."""
    with store.lock_packs(), store.lock_write(), contextlib.suppress(DamagedError):
        rebuild(store, progress)


def _judged(report: FsckReport, after: FsckReport) -> FsckReport:
    """The same findings, repaired if they are found no more."""
    left = set(map(_mark, after.findings))
    lost = {finding.sha256 for finding in after.findings} - {None}
    findings = tuple(
        msgspec.structs.replace(f, repaired=_mark(f) not in left and f.sha256 not in lost)
        for f in report.findings
    )
    return msgspec.structs.replace(after, findings=findings)


def _joined(report: FsckReport, more: Iterable[Damage]) -> FsckReport:
    """With findings that only came to light later."""
    known = set(map(_mark, report.findings))
    contents = {finding.sha256 for finding in report.findings} - {None}
    new = [f for f in more if _mark(f) not in known and f.sha256 not in contents]
    return msgspec.structs.replace(report, findings=(*report.findings, *new))


def _mark(finding: Damage) -> tuple[str, str | None, str]:
    """What tells findings of a store apart; those about a content are about that content."""
    return finding.file, finding.sha256, "" if finding.sha256 else finding.detail
