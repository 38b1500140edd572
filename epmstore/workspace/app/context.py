"""What the facets of one application share."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from epmstore.catalog import appcat
from epmstore.catalog.appcat import App
from epmstore.catalog.format import decode_line
from epmstore.catalog.model import Fact, RecordedActor
from epmstore.catalog.state import CatalogState, reduce
from epmstore.clock import to_rfc3339
from epmstore.errors import BusyError, ConflictError
from epmstore.index.entries import IndexedPosition
from epmstore.locks import WAIT_SECONDS
from epmstore.progress import SILENT, Progress
from epmstore.record.root import Root, open_root
from epmstore.store.commit import commit_fact
from epmstore.store.store import Store
from epmstore.workspace.trees import Trees

if TYPE_CHECKING:  # start-up
    from epmstore.checkout.hook_process import CommandRunner
    from epmstore.record.recorder import Look, Recorder
    from epmstore.refcat.releases import Releases
    from epmstore.sync.depotseeker import DepotContents


class AppContext:
    """One application of an open store, and who asks. What is expensive is made when it is first
    asked for; what is known of the history, anew when the catalog has grown.
    """

    def __init__(
        self,
        store: Store,
        app: App,
        *,
        actor: RecordedActor | None = None,
        progress: Progress = SILENT,
        runner: "CommandRunner | None" = None,
        remotes: "Callable[[], Sequence[DepotContents]]" = tuple,
    ) -> None:
        """`runner` runs hooks, if they are to be run in another way; `remotes` says where contents
        are sought that are not here.
        """
        self.remotes = remotes
        self.store = store
        self.app = app
        self.actor = actor
        self.progress = progress
        self._runner = runner
        self._known: tuple[IndexedPosition, CatalogState] | None = None

    @cached_property
    def recorder(self) -> "Recorder":
        """What looks at the root, and records it."""
        from epmstore.record.recorder import Recorder  # noqa: PLC0415 - start-up

        return Recorder(self.store, self.app, actor=self.actor, progress=self.progress)

    @cached_property
    def releases(self) -> "Releases":
        """Those that the application is compared with; none, if it has no refcat."""
        from epmstore.refcat.releases import Releases  # noqa: PLC0415 - start-up

        return Releases.of(self.store, self.app)

    @cached_property
    def runner(self) -> "CommandRunner":
        """What runs hooks."""
        from epmstore.checkout.hook_process import Commands  # noqa: PLC0415 - start-up

        return self._runner or Commands()

    @cached_property
    def trees(self) -> Trees:
        """What selectors mean."""
        return Trees(
            self.store, self.app, state=self.state, look=self.look, releases=lambda: self.releases
        )

    def others(self, apps: Sequence[str]) -> "list[AppContext]":
        """Applications of this store by their UUIDs, on behalf of the same caller, in that order;
        without those that are not registered any more. This one is itself. Raises DamagedError.
        """
        if not apps:
            return []
        known = {app.uuid: app for app in appcat.load(self.store.catalogs / "appcat.json").apps}
        return [
            self
            if one == self.app.uuid
            else AppContext(
                self.store,
                known[one],
                actor=self.actor,
                progress=self.progress,
                runner=self._runner,
                remotes=self.remotes,
            )
            for one in apps
            if one in known
        ]

    def state(self) -> CatalogState:
        """Everything that the catalog says beside the entries. Kept until the catalog grows."""
        position = self.store.entries.position(self.app.uuid)
        if position is None:
            return CatalogState()
        if self._known is None or self._known[0] != position:
            records = self.store.entries.records(self.app.uuid)
            decoded = (decode_line(record.form)[1] for record in records if record.form)
            self._known = (position, reduce(decoded))
        return self._known[1]

    def look(self) -> "Look":
        """A look at the root. Raises RootError, DamagedError."""
        with open_root(self.app) as root:
            return self.recorder.status(root)

    @property
    def is_recorded(self) -> bool:
        """Whether there is any history."""
        return self.store.entries.position(self.app.uuid) is not None

    @property
    def is_interrupted(self) -> bool:
        """Whether a journal lies there: of a checkout that was cut off, or is under way."""
        return self.store.journal(self.app.uuid).exists()

    def is_cut_off(self) -> bool:
        """Whether there is a journal that no process is working on."""
        if not self.is_interrupted:
            return False
        try:
            with self.store.lock_app(self.app.uuid, wait=0):
                return self.is_interrupted
        except BusyError:
            return False

    def check_uninterrupted(self) -> None:
        """Raises ConflictError."""
        if self.is_interrupted:
            raise ConflictError(
                f"a checkout of {self.app.key} was interrupted", hint="`epmstore recover`"
            )

    @contextmanager
    def locked_root(self, wait: float = WAIT_SECONDS) -> Iterator[Root]:
        """The root, for who records or changes it. Raises BusyError, RootError, ConflictError."""
        with self.store.lock_app(self.app.uuid, wait=wait), open_root(self.app) as root:
            self.check_uninterrupted()
            yield root

    def commit(self, fact: Fact) -> None:
        """Record a fact about the history. Raises DamagedError, OSError."""
        commit_fact(self.store, self.app.uuid, fact)

    def now(self) -> str:
        """The time by the store's clock, as it is recorded."""
        return to_rfc3339(self.store.clock.now())
