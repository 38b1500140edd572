"""`store restore`: a store, or what it has lost, is brought back from a copy of it.

A store that is not there at all is copied back, file by file, each record checked on the way. In
one that is there, only what is missing or damaged comes from the copy: FORMAT, the appcat, files of
`trust/`; lines of catalogs, as far as the chain proves that they belong there; and every content
that some version needs and that cannot be read here. What was there before goes to the quarantine;
nothing that is sound here is ever replaced. The copy is only read.
"""

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from epmstore.atomic import make_directories, read_file, replace_file, retire
from epmstore.blobs.blob_store import PackStore
from epmstore.blobs.pack import PART_THRESHOLD
from epmstore.care.copy import copy_files
from epmstore.care.damage import FsckReport
from epmstore.care.heal import repair
from epmstore.care.pack_tables import Tables, read_tables
from epmstore.care.references import APPCAT
from epmstore.catalog import appcat
from epmstore.clock import Clock
from epmstore.digest import BlobInfo, identify_stream
from epmstore.errors import (
    ConflictError,
    DamagedError,
    NoStoreError,
    UsageError,
)
from epmstore.progress import SILENT, Progress
from epmstore.store import identity
from epmstore.store.before_rebuild import Rebuilt
from epmstore.store.replay import rebuild
from epmstore.store.seeking import ContentOffer, as_far_as_readable
from epmstore.store.store import TRUST, Store, prepare


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """`files` were copied; `rebuilt` says what became of catalogs, `report` what a check found, and
    what of it is repaired now.
    """

    files: tuple[str, ...]
    rebuilt: Rebuilt
    report: FsckReport


def restore_store(
    path: Path, source: Path, clock: Clock, machine: str, *, progress: Progress = SILENT
) -> Restored:
    """Bring back what the store at `path` lacks and the copy at `source` has. Raises NoStoreError
    (there is no copy), ConflictError (it is one of another store), UsageError, DamagedError,
    BusyError, OSError.
    """
    if path.resolve() == source.resolve():
        raise UsageError("a store is not brought back from itself")
    whose = identity.read(source)
    files: list[str] = []
    copied = Store(source, whose, clock)
    if not path.is_dir() or not any(path.iterdir()):
        make_directories(path)
        prepare(path)
        copy_files(copied, path, progress=progress)
        files.append("everything")
    else:
        prepare(path)
        files += _small_files(path, source, whose)
    found = identity.read(path)
    identity.check_machine(path, found, machine)
    with Store(path, found, clock) as store:
        with store.lock_packs(), store.lock_write():
            rebuilt = rebuild(store, progress, copies=[copied.catalogs])
        with contextlib.closing(CopiedContents(copied)) as contents:
            report = repair(store, 1.0, progress=progress, seekers=[contents])
    return Restored(files=tuple(files), rebuilt=rebuilt, report=report)


def _small_files(path: Path, source: Path, whose: identity.Identity) -> list[str]:
    """The names of those that came from the copy."""
    came = []
    try:
        found = identity.read(path)
    except DamagedError:
        retire(path / identity.FILE, path / "quarantine")
        found = None
    except NoStoreError:
        if (path / identity.FILE).exists():  # of a newer release
            raise
        found = None
    if found is not None and found.uuid != whose.uuid:
        raise ConflictError(
            f"{source} is no copy of the store at {path}",
            hint="name a folder that `epmstore store copy` made of this very store",
            path=str(source),
        )
    if found is None:
        replace_file(path / identity.FILE, read_file(source / identity.FILE, identity.LIMIT))
        came.append(identity.FILE)
    if not _has_appcat(path) and (source / "catalogs" / APPCAT).exists():
        data = read_file(source / "catalogs" / APPCAT, appcat.MAX_SIZE)
        retire(path / "catalogs" / APPCAT, path / "quarantine")
        replace_file(path / "catalogs" / APPCAT, data)
        came.append(f"catalogs/{APPCAT}")
    trusted = source / TRUST
    for one in sorted(trusted.iterdir()) if trusted.is_dir() else ():
        if not (path / TRUST / one.name).exists():
            make_directories(path / TRUST)
            replace_file(path / TRUST / one.name, read_file(one, appcat.MAX_SIZE))
            came.append(f"{TRUST}/{one.name}")
    return came


def _has_appcat(path: Path) -> bool:
    file = path / "catalogs" / APPCAT
    try:
        appcat.load(file)
    except DamagedError:
        return False
    return file.exists()


class CopiedContents:
    """A Seeker in the packs of a copy, whose index is not asked. What it cannot read it does not
    offer.
    """

    def __init__(self, copied: Store) -> None:
        self._copied = copied
        self._tables: Tables = read_tables(copied)
        self._blobs = PackStore(copied.packs, self._tables)

    def close(self) -> None:
        self._blobs.close()

    def __str__(self) -> str:
        return str(self._copied.path)

    def offers(self, wanted: Collection[BlobInfo]) -> Iterator[ContentOffer]:
        """A large content is read twice, so that only what is right is written."""
        for info in list(wanted):
            if not self._tables.copies(info.sha256):
                continue
            if info.size > PART_THRESHOLD and identify_stream(self._pieces(info)) != info:
                continue
            yield ContentOffer(info.size, self._pieces(info))

    def _pieces(self, info: BlobInfo) -> Iterator[bytes]:
        return as_far_as_readable(self._blobs.stream(info))
