"""`store copy`: a consistent copy of a store, brought up to date by copying only what is new.

Packs never change, so they are copied once, each record checked against its seal on the way; logs
and catalogs are copied up to what is acknowledged; FORMAT comes last, so that a copy which was
interrupted is no store yet. The index is left to be built from that. Neither journals nor the
quarantine are copied: a checkout that is under way belongs to the roots of the original.

The order keeps an older copy usable at any moment: packs, then catalogs, then what went goes.

A file that is damaged hinders no other one. Where the copy has none of it, it comes as it is,
because each of its records vouches for itself; what the copy has of it is worth more and stays, and
so does everything that the original has no more: the copy may be what mends it.
"""

import contextlib
import json
import os
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

import msgspec

from epmstore import locks
from epmstore.atomic import (
    TEMPORARY,
    make_directories,
    read_file,
    remove_file,
    replace_file,
    replace_with_pieces,
)
from epmstore.blobs.pack import SUFFIX
from epmstore.blobs.packlog import read_groups
from epmstore.blobs.records import DamagedRange, open_pack, read_at, walk
from epmstore.care.pack_tables import is_log, leans_on, read_tables
from epmstore.care.references import APPCAT, all_catalogs, committed
from epmstore.catalog.appcat import MAX_SIZE
from epmstore.errors import ConflictError, DamagedError, UsageError
from epmstore.owned import check_new_store, check_store
from epmstore.progress import SILENT, Progress
from epmstore.store import identity
from epmstore.store.replay import catch_up, pack_files
from epmstore.store.store import INDEX, TRUST, Store, catalog_file, prepare

CONFIG, DECLARED = "config.toml", "apps.d"
MARK = "COPYING"
"""Says whose copy a folder is that has no FORMAT yet."""
PIECE = 1 << 20


class CopyResult(msgspec.Struct, frozen=True):
    """Files of packs and catalogs that were copied, their bytes, and files that went; and what of
    the original is damaged, one line each.
    """

    files: int
    size: int
    removed: int
    damage: tuple[str, ...] = ()


class _Extent(msgspec.Struct, frozen=True):
    """What there is to copy: files below the store and their acknowledged lengths, and the contents
    of small ones.
    """

    packs: dict[str, int]
    catalogs: dict[str, int]
    appcat: bytes | None
    trust: dict[str, bytes]
    settings: dict[str, bytes]
    format: bytes


def copy_store(
    store: Store, target: Path, *, progress: Progress = SILENT, safe: Container[Path] = ()
) -> CopyResult:
    """Make `target` a copy of the store as it is now, or bring an older copy up to date.

    Raises ConflictError (something else is there), ForeignError where others could put something
    in its place, unless it is `safe`, UsageError (it lies in the store), DamagedError
    (a file is lost: the copy may have it), BusyError, OSError. Other damage is in the result.
    """
    _check_target(store, target)
    check_new_store(target, safe)
    make_directories(target)
    if not (target / identity.FILE).exists():
        replace_file(target / MARK, json.dumps({"uuid": store.identity.uuid}).encode())
    prepare(target)
    check_store(target, safe)
    with locks.hold(target / "locks", "copy"), store.keep_packs():
        with store.lock_write():
            extent = _extent(store)
        copier = _Copier(store, target, progress)
        copier.copy(extent)
        remove_file(target / MARK)
    return CopyResult(copier.files, copier.size, copier.removed, tuple(copier.damage))


def copy_files(store: Store, target: Path, *, progress: Progress = SILENT) -> None:
    """Make an empty, prepared folder what the files of a store say that it is; the store itself is
    only read, and no process may write to it meanwhile. What is damaged comes as it is. Raises
    DamagedError, OSError.
    """
    packs = {}
    for file in pack_files(store):
        packs[file] = os.stat(store.packs / file).st_size
        if is_log(file):
            fd = open_pack(store.packs / file)
            try:
                packs[file] = read_groups(fd).end
            finally:
                os.close(fd)
    catalogs = {catalog_file(app): _readable(store, app) for app in store.all_catalogs()}
    _Copier(store, target, progress).copy(_small(store, packs, catalogs))


def _readable(store: Store, app: str) -> int:
    """Bytes of a catalog without a torn tail; all of one that is damaged."""
    catalog = store.catalog(app)
    try:
        return catalog.tail(many=True).valid.length
    except DamagedError:
        return os.stat(catalog.path).st_size


def _extent(store: Store) -> _Extent:
    """Under the `write` lock: everything that is acknowledged, and nothing else."""
    catch_up(store)
    known = store.contents.files()
    packs = {}
    for file in pack_files(store):
        packs[file] = known.get(file, 0) if is_log(file) else os.stat(store.packs / file).st_size
    catalogs = {}
    for app in all_catalogs(store):
        catalogs[catalog_file(app)] = committed(store, app).length
    _check_there(store, [*known], [*catalogs])
    for app in all_catalogs(store):
        if store.notes.fault(app) is not None:  # the index may know nothing of where it ends
            catalogs[catalog_file(app)] = os.stat(store.catalog(app).path).st_size
    return _small(store, packs, catalogs)


def _small(store: Store, packs: dict[str, int], catalogs: dict[str, int]) -> _Extent:
    """With the contents of small files."""
    appcat = None
    with contextlib.suppress(FileNotFoundError):
        appcat = read_file(store.catalogs / APPCAT, MAX_SIZE)
    folder = store.path / TRUST
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    trust = {name: read_file(folder / name, MAX_SIZE) for name in names}
    format_ = read_file(store.path / identity.FILE, identity.LIMIT)
    return _Extent(packs, catalogs, appcat, trust, _settings(store), format_)


def _settings(store: Store) -> dict[str, bytes]:
    """What is set and declared in the store's own folder; that of the system has it in /etc."""
    paths = [store.path / CONFIG, *sorted((store.path / DECLARED).glob("*.toml"))]
    return {
        str(path.relative_to(store.path)): read_file(path, MAX_SIZE)
        for path in paths
        if path.is_file()
    }


def _check_there(store: Store, packs: Sequence[str], catalogs: Sequence[str]) -> None:
    """Raises DamagedError if a file is lost that the index knows: the copy may have it still."""
    paths = [*(store.packs / file for file in packs), *(store.catalogs / name for name in catalogs)]
    for path in paths:
        if not path.exists():
            raise DamagedError(f"{path} is not there", hint="run `epmstore fsck`", file=str(path))


class _Copier:
    def __init__(self, store: Store, target: Path, progress: Progress) -> None:
        self._store = store
        self._target = target
        self._progress = progress
        self.files = self.size = self.removed = 0
        self.damage: list[str] = []

    def copy(self, extent: _Extent) -> None:
        target = self._target
        new = {f: size for f, size in extent.packs.items() if self._is_new(f"packs/{f}", size)}
        self._progress.begin("copying", files=len(new), size=sum(new.values()))
        for file in self._in_order([*new]):
            self._take(f"packs/{file}", new[file])
        for name, size in extent.catalogs.items():
            if self._is_new(f"catalogs/{name}", size):
                self._take(f"catalogs/{name}", size)
            else:
                self._check(f"catalogs/{name}", size)
        if extent.appcat is not None:
            replace_file(target / "catalogs" / APPCAT, extent.appcat)
        for name, data in extent.trust.items():
            make_directories(target / TRUST)
            replace_file(target / TRUST / name, data)
        for name, data in extent.settings.items():
            make_directories((target / name).parent)
            replace_file(target / name, data)
        self._drop_index()
        if not self.damage:
            self._drop_others(extent)
        replace_file(target / identity.FILE, extent.format)
        self._progress.end()

    def _in_order(self, files: list[str]) -> list[str]:
        """Before a file comes what its contents lean on, or a copy whose update is cut short would
        have contents that cannot be put together. Two that lean on each other come as they are.
        """
        if not (self._target / identity.FILE).exists():
            return files  # no program takes it for a store before it has that
        try:
            leans = self._leanings(files)
        except DamagedError:
            return files
        order: list[str] = []
        left = files
        while left:
            waiting = {*left}
            ready = [file for file in left if leans[file].isdisjoint(waiting)] or left
            order += ready
            waiting.difference_update(ready)
            left = [file for file in left if file in waiting]
        return order

    def _leanings(self, files: list[str]) -> dict[str, set[str]]:
        """To each file the others that hold what its contents lean on."""
        tables = read_tables(self._store, files)
        leans: dict[str, set[str]] = {}
        for file in files:
            wanted = {other for copy in tables.rows(file) for other in leans_on(copy.row)}
            places = self._store.contents.places([*wanted])
            leans[file] = {place.file for place in places.values()} - {file}
        return leans

    def _is_new(self, file: str, size: int) -> bool:
        """Whether the copy lacks it, or has another state of it. A pack of its length is the same;
        what grows is compared, because the copy may have been worked with.
        """
        try:
            if os.stat(self._target / file).st_size != size:
                return True
        except FileNotFoundError:
            return True
        if file.endswith(SUFFIX):
            return False
        with (self._target / file).open("rb") as one, (self._store.path / file).open("rb") as two:
            while piece := one.read(PIECE):
                if piece != two.read(len(piece)):
                    return True
        return False

    def _take(self, file: str, size: int) -> None:
        """A new file, or a new state of one."""
        source, target = self._store.path / file, self._target / file
        try:
            self._copy_file(target, _checked(source, size))
        except DamagedError as error:
            self.damage.append(error.message)
            if not target.exists():
                with contextlib.suppress(DamagedError):  # it is no file
                    self._copy_file(target, _as_it_is(source, size))

    def _check(self, file: str, size: int) -> None:
        """What the copy has already may have come as it is."""
        try:
            for _ in _checked(self._store.path / file, size):
                pass
        except DamagedError as error:
            self.damage.append(error.message)

    def _copy_file(self, target: Path, pieces: Iterator[bytes]) -> None:
        make_directories(target.parent)
        size = replace_with_pieces(target, pieces)
        self.files += 1
        self.size += size
        self._progress.advance(files=1, size=size)

    def _drop_index(self) -> None:
        """It speaks of what was there before; the next opening of the copy makes it anew."""
        for suffix in ("", "-wal", "-shm"):
            remove_file(self._target / f"{INDEX}{suffix}")

    def _drop_others(self, extent: _Extent) -> None:
        """What the original has no more, and what an interrupted copy left."""
        wanted = {f"packs/{file}" for file in extent.packs}
        wanted |= {f"catalogs/{name}" for name in (*extent.catalogs, APPCAT)}
        wanted |= {f"{TRUST}/{name}" for name in extent.trust}
        for path in self._target.glob(f"{TEMPORARY}*"):
            remove_file(path)
        for folder in ("packs", "catalogs", TRUST):
            for path in sorted((self._target / folder).rglob("*")):
                if path.is_file() and str(path.relative_to(self._target)) not in wanted:
                    remove_file(path)
                    self.removed += not path.name.startswith(TEMPORARY)


def _checked(source: Path, size: int) -> Iterator[bytes]:
    """The first `size` bytes of a file of sealed records, each checked before it comes out."""
    fd = open_pack(source)
    try:
        done = 0
        for found in walk(fd):
            if done >= size:
                return
            if isinstance(found, DamagedRange) or found.seal.end > size:
                break
            done = found.seal.end
            yield read_at(fd, found.seal.offset, done - found.seal.offset)
        if done != size:
            raise DamagedError(
                f"{source} is damaged at byte {done}",
                hint="run `epmstore fsck --read-data --repair` first",
                file=str(source),
                offset=done,
            )
    finally:
        os.close(fd)


def _as_it_is(source: Path, size: int) -> Iterator[bytes]:
    """The first `size` bytes of a file, or what there is of them."""
    with os.fdopen(open_pack(source), "rb") as file:
        while piece := file.read(min(PIECE, size)):
            size -= len(piece)
            yield piece


def _check_target(store: Store, target: Path) -> None:
    """Raises ConflictError unless `target` is not there, empty, or a copy of this very store;
    NoStoreError if a later release made that.
    """
    inside, own = os.path.realpath(target), os.path.realpath(store.path)
    if inside == own or inside.startswith(f"{own}/") or own.startswith(f"{inside}/"):
        raise UsageError(f"{target} and the store lie within each other")
    if not target.exists():
        return
    if target.is_dir() and all(path.name.startswith(TEMPORARY) for path in target.iterdir()):
        return
    if (target / identity.FILE).exists():
        with contextlib.suppress(DamagedError, OSError):  # whose it is says what is next
            identity.read(target)
    if _owner(target) != store.identity.uuid:
        raise ConflictError(
            f"{target} is no copy of this store",
            hint="name a folder that is empty, not there, or an older copy",
            path=str(target),
        )


def _owner(target: Path) -> str | None:
    """The UUID of the store that a folder is, or is becoming, a copy of."""
    for name in (identity.FILE, MARK):
        try:
            return str(json.loads(read_file(target / name, identity.LIMIT))["uuid"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None
