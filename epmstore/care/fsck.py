"""Checking a store: tables, lines and sums, the index against them, and contents as far as asked.

What is compared is always the truth first (packs, catalogs), and the index with it afterwards.
Changes nothing. Findings name the file, the content, and the versions that are hit.
"""

import contextlib
import itertools
import os
from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec

from epmstore import seal
from epmstore.atomic import read_file
from epmstore.care.damage import Damage, DamageKind, FsckReport, Hit
from epmstore.care.inspect import Choice, FileFault, Inspector
from epmstore.care.pack_tables import StoredCopy, Tables, leans_on, read_tables
from epmstore.care.references import (
    APPCAT,
    CatalogNeeds,
    all_catalogs,
    committed,
    index_state,
    keys,
    open_journals,
    purged_contents,
    purges,
    read_needs,
    witnesses,
)
from epmstore.care.superseded import superseded
from epmstore.catalog.model import CatalogPosition
from epmstore.catalog.state import CatalogState
from epmstore.checkout.obligations import owed_file
from epmstore.checkout.transaction import transaction_files
from epmstore.digest import BlobInfo, Sha256
from epmstore.errors import DamagedError, EpmError
from epmstore.pack_table import Place
from epmstore.progress import SILENT, Progress
from epmstore.record import change
from epmstore.store import identity
from epmstore.store.replay import pack_files
from epmstore.store.soundness import all_witnessed, fault_error, known_fault, remember
from epmstore.store.store import INDEX, Store, catalog_file, is_refcat
from epmstore.tree import tree_sum


def fsck(
    store: Store,
    read_data: float = 0.0,
    *,
    seed: int | None = None,
    start: float = 0.0,
    files: Collection[str] = (),
    progress: Progress = SILENT,
) -> FsckReport:
    """Check a store. `read_data` is the share of frames (0 to 1) that are read and decoded, and
    whose contents are compared with their digests; `seed` chooses them (None: another share each
    time), and `start` where the share begins: those from 0, 0.1, 0.2
    ... of one seed are all there is. Of `files` (below `packs/`) all is read.

    Raises OSError; damage is a finding.
    """
    if seed is None:
        seed = int(store.clock.now() * 1000)
    with store.keep_packs(reading=True):
        return _Check(store, Choice(read_data, seed, start, frozenset(files)), progress).run()


class Acknowledged(msgspec.Struct, frozen=True):
    """How far everything was acknowledged at one moment, so that what others record meanwhile is
    not taken for damage: positions of catalogs, lengths of pack files as the index has them, and
    the sizes of all those files.
    """

    positions: dict[str, CatalogPosition] = {}
    files: dict[str, int] = {}
    sizes: dict[str, int] = {}


def acknowledged(store: Store) -> Acknowledged:
    """Raises BusyError, OSError, DamagedError (of the index)."""
    with store.lock_write(reading=True):
        paths = {app: store.catalog(app).path for app in store.all_catalogs()}
        sizes = {app: os.stat(path).st_size if path.is_file() else 0 for app, path in paths.items()}
        for file in pack_files(store):
            sizes[file] = os.lstat(store.packs / file).st_size
        positions = {app: committed(store, app) for app in all_catalogs(store)}
        return Acknowledged(positions, store.contents.files(), sizes)


class _Check:
    def __init__(self, store: Store, choice: Choice, progress: Progress) -> None:
        self._known = Acknowledged()
        self._store = store
        self._choice = choice
        self._progress = progress
        self._findings: list[Damage] = []
        self._notes: list[str] = []
        self._needs: dict[str, CatalogNeeds] = {}
        self._tables = Tables()
        self._bad: dict[Sha256, list[FileFault]] = {}
        self._salvaged: set[Sha256] = set()
        self._good: dict[Sha256, bool] = {}

    def run(self) -> FsckReport:
        frames = 0
        try:
            self._store.database.check()
            self._known = acknowledged(self._store)
        except DamagedError as error:
            self._add("damaged", INDEX, error.message)
        self._check_small_files()
        self._check_catalogs()
        try:
            frames = self._check_packs()
            self._check_contents()
            self._check_purged()
            self._check_collisions()
            self._check_index()
        except DamagedError as error:  # of packs and catalogs it would be a finding by now
            self._add("damaged", INDEX, error.message)
        return FsckReport(
            findings=tuple(self._findings),
            notes=tuple(self._notes),
            frames=frames,
            seed=self._choice.seed,
        )

    def _add(
        self,
        kind: DamageKind,
        file: str,
        detail: str,
        *,
        info: BlobInfo | None = None,
        versions: Iterable[Hit] = (),
    ) -> None:
        self._findings.append(
            Damage(
                kind=kind,
                file=file,
                detail=detail,
                digest=None if info is None else info.digest.hex(),
                sha256=None if info is None else info.sha256.hex(),
                versions=tuple(versions),
            )
        )

    # Small files.

    def _check_small_files(self) -> None:
        try:
            identity.read(self._store.path)
        except EpmError as error:
            self._add("damaged", identity.FILE, error.message)
        apps: dict[str, str] = {}
        try:
            apps = keys(self._store)
        except DamagedError as error:
            is_there = (self._store.catalogs / APPCAT).exists()
            self._add("damaged" if is_there else "missing", f"catalogs/{APPCAT}", error.message)
        for app in apps:
            try:
                change.find(self._store, app)
            except DamagedError as error:
                self._add("damaged", f"journals/{app}.change", error.message)
            try:
                owed_file(self._store, app).load()
            except DamagedError as error:
                self._add("damaged", f"journals/{app}.owed", error.message)
        for path in open_journals(self._store):
            try:
                self._check_journal(f"journals/{path.name}", read_file(path))
            except DamagedError as error:
                self._add("damaged", f"journals/{path.name}", error.message)

        self._check_transactions()

    def _check_transactions(self) -> None:
        for one in transaction_files(self._store):
            try:
                one.load()
            except DamagedError as error:
                if "format" in error.data:  # a later release wrote it
                    self._notes.append(error.message)
                else:
                    self._add("damaged", f"journals/{one.path.name}", error.message)

    def _check_journal(self, file: str, data: bytes) -> None:
        offset = 0
        while offset < len(data):
            try:
                offset = seal.read(data, offset)[0].end
            except DamagedError as error:
                if data.find(seal.MARK, offset + seal.SIZE) >= 0:
                    self._add("damaged", file, error.message)
                else:
                    self._notes.append(f"{file}: {len(data) - offset} bytes at the end are torn")
                return

    # Catalogs.

    def _check_catalogs(self) -> None:
        store = self._store
        apps = self._known.sizes.keys() | {a for a, p in self._known.positions.items() if p.length}
        apps &= self._known.positions.keys()
        if not self._known.positions:
            apps = set(store.all_catalogs())
        apps |= {app for app in all_witnessed(store) if store.notes.fault(app) is not None}
        self._progress.begin("checking catalogs", files=len(apps))
        for app in sorted(apps):
            file = f"catalogs/{catalog_file(app)}"
            need = self._needs[app] = read_needs(store, app, self._end(app), sums=True)
            if need.fault is not None:
                kind, after = self._kind_of_fault(app), need.state.versions[-1:]
                lost = self._after(app, after[0].version if after else -1)
                hits = [(need.key, version) for version in lost]
                self._add(kind, file, need.fault.message, versions=hits)
                self._remember(app, need.fault)
            elif (fault := known_fault(store, app)) is not None:  # it ends too early
                self._add("torn", file, fault_error(store, app, fault).message)
            elif self._known.sizes.get(app, 0) > need.position.length:
                self._notes.append(f"{file}: bytes at the end were never acknowledged")
            for version in need.wrong:
                text = f"the tree of version {version} does not have the sum that was recorded"
                self._add("chain", file, text, versions=[(need.key, version)])
            if need.partial:
                numbers = ", ".join(map(str, need.partial))
                self._notes.append(f"{file}: of {numbers}, behind a gap, not all is known")
            self._progress.advance(files=1)
        self._progress.end()

    def _remember(self, app: str, error: DamagedError) -> None:
        """Nothing is appended to it from now on; if that cannot be noted, each writer looks."""
        with contextlib.suppress(EpmError, OSError), self._store.lock_write():
            if self._store.notes.fault(app) is None:
                remember(self._store, app, error)

    def _end(self, app: str) -> int | None:
        """The committed length; None if the index does not tell."""
        found = self._known.positions.get(app)
        return None if found is None else found.length

    def _kind_of_fault(self, app: str) -> DamageKind:
        """Whether single lines are damaged, or all are sound and do not follow each other."""
        try:
            for _ in self._store.catalog(app).lines(end=self._end(app)):
                pass
        except DamagedError:
            return "damaged"
        return "chain"

    def _after(self, app: str, version: int) -> list[int]:
        """The versions that the index remembers beyond one."""
        try:
            found = index_state(self._store, app).versions
        except DamagedError:
            return []
        return [info.version for info in found if info.version > version and info.restorable]

    # Packs and contents.

    def _check_packs(self) -> int:
        store = self._store
        self._tables = tables = read_tables(store)
        inspector = Inspector(store, tables, self._choice, self._known.files, self._known.sizes)
        self._progress.begin("checking packs", size=sum(tables.sizes.values()))
        for file, size in tables.sizes.items():
            for fault in inspector.inspect(file):
                self._take(fault)
            self._progress.advance(size=size)
        self._progress.end()
        for file in sorted(set(self._known.files) - set(tables.sizes)):
            held = {sha256 for _, sha256, _, _ in store.contents.rows(file)}
            self._take(FileFault(file, "missing", "the file is not there", frozenset(held)))
        self._notes += inspector.notes
        self._salvaged = inspector.salvaged
        return inspector.read

    def _take(self, fault: FileFault) -> None:
        for sha256 in fault.contents:
            known = self._bad.setdefault(sha256, [])
            if all(other.file != fault.file for other in known):
                known.append(fault)
        if not fault.contents or fault.file in self._tables.faults or fault.kind == "missing":
            self._add(fault.kind, f"packs/{fault.file}", fault.detail)

    def _check_contents(self) -> None:
        named = {info.sha256: info for need in self._needs.values() for info in need.spans}
        for sha256, faults in self._bad.items():
            info = named.get(sha256)
            hits = () if info is None else self._users(info)
            for fault in faults:
                file = f"packs/{fault.file}"
                known = info or self._tables.info(sha256)
                self._add(fault.kind, file, fault.detail, info=known, versions=hits)
        needed = self._needed()
        recorded = self._recorded()
        for sha256, info in named.items():
            if info not in needed or sha256 not in recorded or sha256 in self._bad:
                continue
            if not self._is_good(sha256):
                kind, file, why = self._why_lost(sha256)
                self._add(kind, file, why, info=info, versions=self._users(info))

    def _needed(self) -> set[BlobInfo]:
        """The contents of all restorable versions that were not purged, nor are of releases that
        were superseded.
        """
        purged, old = purges(self._needs.values()), superseded(self._needs)
        needed = {
            info
            for app, need in self._needs.items()
            for info in need.needed(without=old.get(app, ()))
        }
        return {info for info in needed if info not in purged} if purged else needed

    def _users(self, info: BlobInfo) -> list[Hit]:
        """The restorable versions that need a content. Only of what is damaged: of all contents of
        a long history this would be millions.
        """
        if info in purges(self._needs.values()):
            return []
        needs = self._needs.values()
        return [(need.key, version) for need in needs for version in need.versions(info)]

    def _recorded(self) -> set[Sha256]:
        """The contents that were recorded here. What only a refcat names may never have been: a
        host has the catalog of a vendor, and seldom all that was ever released.
        """
        needs = self._needs.items()
        return {i.sha256 for name, need in needs if not is_refcat(name) for i in need.spans}

    def _is_good(self, sha256: Sha256) -> bool:
        """Whether there is a copy that is not known to be bad, with all that it leans on."""
        known = self._good.get(sha256)
        if known is None:
            files = {fault.file for fault in self._bad.get(sha256, ())}
            known = sha256 in self._salvaged or any(
                copy.where.file not in files
                and all(self._is_good(other) for other in leans_on(copy.row))
                for copy in self._tables.copies(sha256)
            )
            self._good[sha256] = known
        return known

    def _why_lost(self, sha256: Sha256) -> tuple[DamageKind, str, str]:
        for copy in self._tables.copies(sha256):
            for other in leans_on(copy.row):
                faults = self._bad.get(other, ())
                file = f"packs/{faults[0].file if faults else copy.where.file}"
                return (
                    faults[0].kind if faults else "missing",
                    file,
                    f"needs the content with the SHA-256 {other.hex()}, which is lost",
                )
        return "missing", "packs", "is stored nowhere"

    def _check_purged(self) -> None:
        for info in purged_contents(self._needs.values()):
            for copy in self._tables.copies(info.sha256):
                self._notes.append(
                    f"packs/{copy.where.file}: the content {info.digest.hex()} was purged and is"
                    " still there; `epmstore gc` takes it"
                )

    def _check_collisions(self) -> None:
        seen: dict[bytes, BlobInfo] = {}
        for need in self._needs.values():
            for info in need.spans:
                other = seen.setdefault(info.digest, info)
                if other != info:
                    hits = [(need.key, version) for version in need.versions(info)]
                    text = f"another content with the SHA-256 {other.sha256.hex()} has its SHA-1"
                    self._add(
                        "collision",
                        f"catalogs/{catalog_file(need.app)}",
                        text,
                        info=info,
                        versions=hits,
                    )

    # The index.

    def _check_index(self) -> None:
        with self._store.database.read():  # one state of it
            self._compare_index()

    def _compare_index(self) -> None:
        store = self._store
        for wrong in itertools.chain(*map(self._index_of_app, self._needs.values())):
            self._add("damaged", INDEX, wrong)
        broken = {fault.file for faults in self._bad.values() for fault in faults}
        broken |= set(self._tables.faults)
        needed = witnesses(self._needed())
        present = [s for s in needed if s not in self._bad and self._tables.copies(s)]
        places = store.contents.places(present)
        known, recorded = store.contents.files(), self._recorded()
        wrong_places = 0
        for sha256 in present:
            place, copies = places.get(sha256), self._tables.copies(sha256)
            if place is not None and (place.file in broken or self._is_newer(place)):
                continue
            # A release may be without its contents. That a recording which was killed has left one
            # behind the place up to which the index read is no fault: it was never acknowledged.
            if place is None and sha256 not in recorded and not _is_in_any(copies, known):
                continue
            wrong_places += place not in [*map(_index_place, copies)]
        if wrong_places:
            self._add("damaged", INDEX, f"{wrong_places} contents are not where it says")

    def _is_newer(self, place: Place) -> bool:
        """Whether a place came after the tables were read."""
        size = self._tables.sizes.get(place.file)
        return place.kind is not None and (size is None or place.seal_offset >= size)

    def _index_of_app(self, need: CatalogNeeds) -> Iterator[str]:
        """In what the index differs from one catalog."""
        if need.fault is not None:
            return
        store, app = self._store, need.app
        known = self._known.positions.get(app)
        if known != committed(store, app):
            return  # a version was recorded since
        if known != need.position:
            yield f"it does not stand where the catalog of {need.key} ends"
            return
        if _facts(index_state(store, app)) != _facts(need.state):
            yield f"it does not say of {need.key} what the catalog says"
        newest = need.state.versions[-1:]
        for found in newest:
            if f"{tree_sum(store.entries.tree(app, found.version)):064x}" != found.record.tree:
                yield f"its tree of {need.key} {found.version} does not have the recorded sum"


def _index_place(copy: StoredCopy) -> Place:
    """As the index has it: a large content lies in parts, and in no file."""
    place = copy.place()
    return place if place.kind is not None else msgspec.structs.replace(place, file="")


def _is_in_any(copies: Iterable[StoredCopy], files: Mapping[str, int]) -> bool:
    """Whether a copy lies within what the index read of its file."""
    return any(copy.where.start < files.get(copy.where.file, 0) for copy in copies)


def _facts(state: CatalogState) -> list[object]:
    """What the index must know of a history; in how many lines a version was written is not it."""
    versions: list[object] = [
        (v.version, v.record.txid, v.record.tree, v.kind, v.remarks, v.tags, v.pinned, v.restorable)
        for v in state.versions
    ]
    said = (state.tags, state.hold, state.settings, state.accepts, state.purged)
    return [*versions, *said, state.about, state.revoked]
