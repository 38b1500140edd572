"""Workspace: an open store and everything that can be done with it from Python.

    with Workspace.open("/var/lib/epmstore") as workspace:
        crm = workspace.app("crm")
        crm.snapshot("before the patch")
        print(crm.status().clean)

Synchronous and silent: progress goes to the object that the caller gives, errors are EpmError or
OSError. One workspace may be used from one thread at a time.
"""

import contextlib
from collections.abc import Container, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from epmstore import given
from epmstore.catalog.model import RecordedActor
from epmstore.clock import Clock, SystemClock
from epmstore.errors import (
    BusyError,
    ConflictError,
    DamagedError,
    DiskFullError,
    LimitError,
    RootError,
)
from epmstore.given import AnyPath, AnyPlaces
from epmstore.owned import check_new_store, check_store
from epmstore.places import SYSTEM_STORE, SYSTEM_UNITS, config_folder
from epmstore.progress import SILENT, Progress
from epmstore.record.result import Result
from epmstore.store.soundness import known_fault
from epmstore.store.store import Store
from epmstore.workspace.actor import Actor, recorded
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.app.handle import AppHandle
from epmstore.workspace.apps import Apps
from epmstore.workspace.blobs import Blobs
from epmstore.workspace.declarations import Declarations, Units
from epmstore.workspace.opening import (
    adopt_store,
    check_place,
    machine,
    make_store,
    open_store,
    rebuild_index,
)

if TYPE_CHECKING:
    from epmstore.care.restore import Restored
    from epmstore.checkout.obligations import Owed
    from epmstore.refcat.identify import Identifier
    from epmstore.store.before_rebuild import Rebuilt
    from epmstore.sync.depotseeker import DepotContents
    from epmstore.workspace.care import Care
    from epmstore.workspace.catalogs import Catalogs
    from epmstore.workspace.packages import Packages
    from epmstore.workspace.readreport import ReadReport
    from epmstore.workspace.remotes import Remotes
    from epmstore.workspace.site_parameters import SiteParameters
    from epmstore.workspace.vendors import Vendors

_NOT_NOW = (BusyError, RootError, DamagedError, DiskFullError, LimitError, OSError)
"""Why a checkout that was interrupted is not finished by the program that opens the store."""


class Workspace:
    """Holds an open store; a context manager. `apps` is the facet for registering applications."""

    def __init__(
        self,
        store: Store,
        *,
        progress: Progress,
        actor: RecordedActor | None,
        config: Path | None = None,
        units: Path | None = None,
        safe_stores: Container[Path] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._store = store
        self._environ = environ or {}
        self._safe = safe_stores
        self._progress = progress
        self._actor = actor
        self._config, self._units = config, units
        is_system = store.path == SYSTEM_STORE
        self.apps = Apps(
            store,
            Declarations(
                config or config_folder(store.path), writes=config is not None or is_system
            ),
            Units(SYSTEM_UNITS if units is None and is_system else units),
        )
        self.recovered: list[Result] = []
        self.taken_back: list[Result] = []
        """Interrupted checkouts that were finished when the store was opened."""
        self.obligations: list[Owed] = []
        """Checkouts that did not come to their end: the application may have to be started, which
        `AppHandle.recover` does.
        """
        self.blobs = Blobs(store, remotes=self._remote_seekers, progress=progress)

    @cached_property
    def care(self) -> "Care":
        """Looking after the store as a whole."""
        from epmstore.workspace.care import Care  # noqa: PLC0415 - start-up: seldom needed

        return Care(
            self._store,
            actor=self._actor,
            progress=self._progress,
            safe_stores=self._safe,
            remotes=self._remote_seekers,
        )

    def _remote_seekers(self) -> "Sequence[DepotContents]":
        from epmstore.workspace.remotes import seekers  # noqa: PLC0415 - start-up: seldom needed

        return seekers(self.remotes)

    @cached_property
    def origins(self) -> "Identifier":
        """Which vendors ever shipped a content."""
        from epmstore.refcat.identify import Identifier  # noqa: PLC0415 - start-up: seldom needed

        return Identifier(self._store)

    @cached_property
    def catalogs(self) -> "Catalogs":
        """Reference catalogs on the move, and who is believed."""
        from epmstore.workspace.catalogs import Catalogs  # noqa: PLC0415 - start-up: seldom needed

        return Catalogs(self._store, self.apps, progress=self._progress, safe_stores=self._safe)

    @cached_property
    def packages(self) -> "Packages":
        """What is installed, and what changes that."""
        from epmstore.workspace.packages import Packages  # noqa: PLC0415 - start-up: seldom needed

        return Packages(
            self._store,
            self.apps,
            progress=self._progress,
            actor=self._actor,
            remotes=self._remote_seekers,
        )

    @cached_property
    def parameters(self) -> "SiteParameters":
        """Setting parameters, of one application or of all with a product."""
        from epmstore.workspace.site_parameters import SiteParameters  # noqa: PLC0415 - start-up

        return SiteParameters(lambda: [self.app(app.key) for app in self.apps.list()])

    @cached_property
    def vendors(self) -> "Vendors":
        """Reference catalogs: what vendors released."""
        from epmstore.workspace.vendors import Vendors  # noqa: PLC0415 - start-up: seldom needed

        return Vendors(self._store, progress=self._progress)

    @cached_property
    def remotes(self) -> "Remotes":
        """Places elsewhere, and what goes there and comes from there."""
        from epmstore.workspace.remotes import Remotes  # noqa: PLC0415 - start-up: seldom needed

        return Remotes(
            self._store, progress=self._progress, environ=self._environ, actor=self._actor
        )

    def read_report(self, form: object) -> "ReadReport":
        """A report that was made elsewhere, beside the catalog here. Raises UsageError,
        VersionNotFoundError, ConflictError.
        """
        from epmstore.workspace.readreport import ReadReport  # noqa: PLC0415 - start-up

        return ReadReport(self._store, form)

    @staticmethod
    def check_place(
        path: AnyPath, *, allow_network: bool = False, safe_stores: AnyPlaces = ()
    ) -> None:
        """Whether `init` would make a store there. Raises as it does; changes nothing."""
        safe = given.places(safe_stores)
        check_place(_absolute(path), allow_network=allow_network, safe=safe)

    @classmethod
    def init(
        cls,
        path: AnyPath,
        *,
        clock: Clock | None = None,
        allow_network: bool = False,
        safe_stores: AnyPlaces = (),
    ) -> Self:
        """Make a store and open it. Raises ConflictError if something is there already,
        ForeignError in a folder of another user, UsageError if that is on a network file system,
        OSError.
        """
        safe = given.places(safe_stores)
        store = make_store(
            _absolute(path), clock or SystemClock(), allow_network=allow_network, safe=safe
        )
        return cls(store, progress=SILENT, actor=None, safe_stores=safe)

    @classmethod
    def open(
        cls,
        path: AnyPath,
        *,
        progress: Progress = SILENT,
        clock: Clock | None = None,
        actor: Actor | None = None,
        recover: bool = True,
        config: AnyPath | None = None,
        units: AnyPath | None = None,
        safe_stores: AnyPlaces = (),
        environ: Mapping[str, str] | None = None,
    ) -> Self:
        """Open a store; `actor` says who asks and goes into what is recorded. `config` and `units`
        are the folders of its configuration and of systemd's units, if not the usual ones. What
        remotes ask for may be found by `environ`, variables as those of a process.

        A checkout that was interrupted is finished first, unless `recover` is false. What is in a
        store is carried out, so that one that others than the caller and root can have written is
        refused unless it is among the `safe_stores`. Raises NoStoreError, ForeignError,
        ConflictError (a store of another machine), DamagedError, BusyError, OSError.
        """
        asks, safe = recorded(actor), given.places(safe_stores)
        owner = f"({(actor or {}).get('command', 'Python')})"
        store = open_store(
            _absolute(path), clock or SystemClock(), progress, owner=owner, safe=safe
        )
        workspace = cls(
            store,
            progress=progress,
            actor=asks,
            config=None if config is None else given.a_place(config),
            units=None if units is None else given.a_place(units),
            safe_stores=safe,
            environ=environ,
        )
        if recover:
            workspace._recover()
        return workspace

    @staticmethod
    def rebuild(
        path: AnyPath,
        *,
        progress: Progress = SILENT,
        clock: Clock | None = None,
        safe_stores: AnyPlaces = (),
    ) -> list[str]:
        """Make the index anew, even of a store that cannot be opened. Names what is damaged.
        Raises DamagedError if something would be lost with the index that is there.
        """
        safe = given.places(safe_stores)
        made = rebuild_index(_absolute(path), clock or SystemClock(), progress, safe=safe)
        return [*made.damage]

    @staticmethod
    def mend(
        path: AnyPath,
        *,
        accept_loss: bool = False,
        progress: Progress = SILENT,
        clock: Clock | None = None,
        safe_stores: AnyPlaces = (),
    ) -> "Rebuilt":
        """As `rebuild`, with all that was done about it: catalogs that were put together again from
        what the index knew, and, with `accept_loss`, those that go on behind a gap.
        """
        found, safe = clock or SystemClock(), given.places(safe_stores)
        return rebuild_index(_absolute(path), found, progress, accept_loss=accept_loss, safe=safe)

    @staticmethod
    def restore(
        path: AnyPath,
        source: AnyPath,
        *,
        progress: Progress = SILENT,
        clock: Clock | None = None,
        safe_stores: AnyPlaces = (),
    ) -> "Restored":
        """Bring a store back, or what it has lost, from a copy that `care.copy` made of it. Raises
        NoStoreError, ConflictError, UsageError, DamagedError, BusyError, OSError.
        """
        from epmstore.care.restore import restore_store  # noqa: PLC0415 - start-up: seldom needed

        places, safe = (_absolute(path), _absolute(source)), given.places(safe_stores)
        check_new_store(places[0], safe)
        for place in places:
            with contextlib.suppress(FileNotFoundError):  # whether there is one, is said below
                check_store(place, safe)
        return restore_store(*places, clock or SystemClock(), machine(), progress=progress)

    def damaged(self) -> list[tuple[str, str]]:
        """(key, what is wrong) of each application whose catalog cannot be read whole, as far as
        that is known. Raises DamagedError (of the index).
        """
        found = []
        for app in self.apps.list():
            fault = known_fault(self._store, app.uuid)
            if fault is not None:
                found.append((app.key, fault.message))
        return found

    @staticmethod
    def adopt(path: AnyPath, *, new_store: bool, safe_stores: AnyPlaces = ()) -> None:
        """Make a store this machine's; with an identity of its own if it is a copy of one that
        lives on.
        """
        adopt_store(_absolute(path), new_store=new_store, safe=given.places(safe_stores))

    @property
    def path(self) -> Path:
        """Where the store is."""
        return self._store.path

    @property
    def progress(self) -> Progress:
        """What is told of long work."""
        return self._progress

    def now(self) -> float:
        """The time by the store's clock, in seconds since 1970."""
        return self._store.clock.now()

    def app(self, key: str) -> AppHandle:
        """By key, or by UUID; of one that was removed, its history. Raises AppNotFoundError,
        ConflictError if several that were removed had that key.
        """
        app = self.apps.find(key)
        context = AppContext(
            self._store,
            app,
            actor=self._actor,
            progress=self._progress,
            remotes=self._remote_seekers,
        )
        return AppHandle(context)

    def for_actor(self, actor: Actor, progress: Progress = SILENT) -> "Workspace":
        """The same open store, on behalf of another user. Lasts as long as this one."""
        return Workspace(
            self._store,
            progress=progress,
            actor=recorded(actor),
            config=self._config,
            units=self._units,
            safe_stores=self._safe,
            environ=self._environ,
        )

    def _recover(self) -> None:
        """Finish or take back every interrupted checkout.

        One that is still running holds its lock, and is not interrupted. What cannot be finished
        now (the root is not there, the journal is damaged) must not keep a user from reading the
        log: whatever needs that root will say so. No hook is run: that was not asked for.
        """
        for app in self.apps.list():
            handle = self.app(app.key)
            with contextlib.suppress(*_NOT_NOW):
                if handle.obligations.is_interrupted:
                    result = handle.obligations.recover(wait=0, what="tree")
                    self.recovered += [] if result is None else [result]
                owed = handle.obligations.left_behind()
                self.obligations += [] if owed is None else [owed]
            with contextlib.suppress(*_NOT_NOW, ConflictError):
                self._take_back(handle)
        if any(self._store.journals.glob("*.transaction")):
            self._settle()

    def _take_back(self, handle: AppHandle) -> None:
        """What was set for a while, as far as nothing has to be restarted for that."""
        if not (self._store.journals / f"{handle.app.uuid}.lasting").exists():
            return  # start-up
        if handle.parameters.is_due:
            result = handle.parameters.take_back(wait=0, restart=False)
            self.taken_back += [] if result is None else [result]

    def _settle(self) -> None:
        """Drop what decided about transactions of which nothing is left to be decided."""
        from epmstore.checkout.transaction import settle  # noqa: PLC0415 - start-up: seldom needed

        with contextlib.suppress(*_NOT_NOW):
            settle(self._store)

    def rest(self) -> None:
        """Let go of files and memory that were taken for reading; what is asked next takes them
        again. For a program that keeps a workspace open for days.
        """
        self._store.close()

    def close(self) -> None:
        """Let go of the store, as leaving the context does."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _absolute(path: AnyPath) -> Path:
    return given.a_place(path).absolute()
