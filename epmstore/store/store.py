"""One store, opened: where its files lie, what reads them, and who may write.

    FORMAT  packs/  packs/log/  catalogs/  journals/  quarantine/  locks/  live/  reserve
    index.sqlite

Rules: packs and catalogs are the truth; the index is caught up with them whenever a process comes
to write, and when a reader finds it behind. Locks are taken in the order gc, app, write, and never
the other way round.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from epmstore import fsio, locks
from epmstore.atomic import directory, make_directories, remove_file
from epmstore.blobs.blob_store import PackStore
from epmstore.blobs.packlog import PackLog
from epmstore.catalog import appcat
from epmstore.catalog.history import CatalogFile
from epmstore.clock import Clock
from epmstore.errors import BusyError, DamagedError, EpmError
from epmstore.index.contents import Contents
from epmstore.index.database import VENDOR, Database
from epmstore.index.entries import Entries
from epmstore.index.notes import Notes
from epmstore.index.stat_cache import StatCache
from epmstore.scan.compare import newest_ns
from epmstore.scan.fsclock import boot_id
from epmstore.store.identity import Identity
from epmstore.store.reverse_deltas import ReverseDeltas
from epmstore.store.source import StoreSource
from epmstore.store.staging import own_identities

FOLDERS = ("packs", "packs/log", "catalogs", "journals", "quarantine", "locks", "live")
INDEX = "index.sqlite"
QUARANTINE = "quarantine"
DERIVED = ("survey", "explained", "reverse")
"""Endings of files beside a stat cache, which may be lost like it."""
TRUST = "trust"
"""Keys that vouch for catalogs from elsewhere, and what is known of those; made when needed."""
REMOTES = "remotes"
"""Remotes, the keys of this host there, and what was pulled from them; made when needed."""
SYSCAT = ".syscat.zst"
REFCAT = ".refcat.zst"


class Store:
    """Holds what is open; a context manager."""

    def __init__(
        self, path: Path, identity: Identity, clock: Clock, *, owner: str = "", index: str = INDEX
    ) -> None:
        """`index` is the name of the index: another one for who makes it anew."""
        self.path = path
        self.identity = identity
        self.clock = clock
        self.packs = path / "packs"
        self.quarantine = path / QUARANTINE
        self.journals = path / "journals"
        self.catalogs = path / "catalogs"
        self.database = Database(path / index, identity.uuid)
        self.contents = Contents(self.database)
        self.entries = Entries(self.database)
        self.notes = Notes(self.database)
        self.blobs = PackStore(self.packs, self.contents)
        self.packlog = PackLog(self.packs, self.quarantine)
        self._owner = owner

    @property
    def source(self) -> StoreSource:
        """How another process of ours comes to the contents."""
        return StoreSource.of(self.packs, self.contents)

    def close(self) -> None:
        self.blobs.close()
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def catalog(self, name: str) -> CatalogFile:
        """The catalog of a name (see `catalog_file`); one that is not there is an empty one."""
        return CatalogFile(self.catalogs / catalog_file(name))

    def recorded_apps(self) -> list[str]:
        """UUIDs of all apps that have a syscat."""
        names = sorted(os.listdir(self.catalogs))
        return [name.removesuffix(SYSCAT) for name in names if name.endswith(SYSCAT)]

    def vendor_catalogs(self) -> list[str]:
        """Names of all refcats."""
        names = sorted(os.listdir(self.catalogs))
        return [refcat(name.removesuffix(REFCAT)) for name in names if name.endswith(REFCAT)]

    def all_catalogs(self) -> list[str]:
        """Names of all catalogs, of both kinds."""
        return [*self.recorded_apps(), *self.vendor_catalogs()]

    def live(self, app: str) -> StatCache:
        return StatCache(self.path / "live" / f"{app}.sqlite", boot_id(), newest_ns)

    def reverse(self, app: str) -> ReverseDeltas:
        """What leads back from what its versions brought."""
        return ReverseDeltas(self.path / "live" / f"{app}.reverse")

    def all_reverse(self) -> list[ReverseDeltas]:
        """Those of all applications that ever had any."""
        return [ReverseDeltas(path) for path in sorted((self.path / "live").glob("*.reverse"))]

    def drop_live(self, app: str) -> None:
        """Nothing that is kept of an app beside its history is known any more: the stat cache, and
        what was derived from the history and a refcat. Raises OSError.
        """
        self.live(app).drop()
        for kept in DERIVED:
            remove_file(self.path / "live" / f"{app}.{kept}")

    def journal(self, app: str) -> Path:
        return self.journals / f"{app}.journal"

    @contextlib.contextmanager
    def lock_app(self, app: str, *, wait: float = locks.WAIT_SECONDS) -> Iterator[None]:
        """No other process snapshots or changes this app's root. Raises BusyError, which names it
        by its key.
        """
        with contextlib.ExitStack() as held:
            hold = locks.hold(self.path / "locks", f"app-{app}", wait=wait, owner=self._owner)
            try:
                held.enter_context(hold)
            except BusyError as error:
                raise self._busy(app, error) from None
            yield

    def _busy(self, app: str, error: BusyError) -> BusyError:
        """A person knows no UUIDs."""
        key = app
        with contextlib.suppress(EpmError, OSError):
            apps = appcat.load(self.catalogs / "appcat.json").apps
            key = next((one.key for one in apps if one.uuid == app), app)
        holder = error.data.get("holder") or "another process"
        return BusyError(
            f"{key} is busy: {holder} records or changes it",
            hint=error.hint,
            app=key,
            **error.data,
        )

    @contextlib.contextmanager
    def keep_packs(self, *, reading: bool = False) -> Iterator[None]:
        """No pack goes away: for a caller that reads contents, or refers to them until the commit.
        `reading` as in `locks.hold`.
        """
        with locks.hold(self.path / "locks", "gc", shared=True, reading=reading):
            yield

    @contextlib.contextmanager
    def lock_packs(self) -> Iterator[None]:
        """No process uses packs: for the end of a collection. Raises BusyError."""
        with locks.hold(self.path / "locks", "gc", owner=self._owner):
            yield

    @contextlib.contextmanager
    def lock_write(self, *, reading: bool = False) -> Iterator[None]:
        """No other process writes catalogs or the index. Short. `reading` as in `locks.hold`.
        Raises BusyError.
        """
        with locks.hold(self.path / "locks", "write", reading=reading, owner=self._owner):
            yield

    def identities(self) -> frozenset[tuple[int, int]]:
        """(st_dev, st_ino) of what no walk ever enters: the store itself, and the staging folders
        that its journals name.
        """
        found = os.stat(self.path)
        return frozenset({(found.st_dev, found.st_ino), *own_identities(self.journals)})


def refcat(app: str) -> str:
    """The name of an app's refcat. That of its syscat is the UUID alone."""
    return f"{app}{VENDOR}"


def is_refcat(name: str) -> bool:
    return name.endswith(VENDOR)


def app_of(name: str) -> str:
    """The UUID of the app that a catalog is about."""
    return name.removesuffix(VENDOR)


def catalog_file(name: str) -> str:
    """The file that the catalog of a name lies in."""
    return f"{app_of(name)}{REFCAT if is_refcat(name) else SYSCAT}"


def restore_folders(path: Path, *, catalogs: bool = False) -> None:
    """Folders of a store that are gone are there again, empty: what was in them is damage, and said
    to be, by who looks for it. Without that of `catalogs` it would not be known what is missing:
    raises DamagedError, unless it is to be made as well.
    """
    for name in FOLDERS:
        if (path / name).is_dir():
            continue
        if name == "catalogs" and not catalogs:
            raise DamagedError(
                f"the folder {path / name} is not there",
                hint="`epmstore store restore --from COPY` takes it from a copy; without one,"
                " `epmstore rebuild` writes back what the index knows",
                file=str(path / name),
            )
        with contextlib.suppress(OSError):
            make_directories(path / name)


def prepare(path: Path) -> None:
    """The folders of a new store, 0700 even if the first was there already, durable. Raises
    OSError.
    """
    make_directories(path)
    with directory(path) as fd:
        fsio.set_mode(fd, 0o700)
    for name in FOLDERS:
        make_directories(path / name)
