"""A watcher that says what it is told to, and a recorder that steps when it is told to."""

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from epmstore.catalog.appcat import App
from epmstore.errors import EpmError
from epmstore.workspace import Workspace
from epmstored.apprecorder import AppRecorder
from epmstored.bridge import Bridge
from epmstored.timing import Timing
from epmstored.watcher import NOTHING, Hints, Notify
from epmstored.watching import Watched, Watching, identity_of
from tests.kit.clock import FakeDaemonClock

FLAGS = ("lost", "root", "limit", "unsure")
RHYTHM = Timing(settle=2.0, longest=60.0, reconcile=86_400.0, root=30.0, retry=1.0)


class FakeWatcher:
    """`say` is what a kernel would do."""

    def __init__(self, clock: FakeDaemonClock) -> None:
        self._clock = clock
        self._hints = NOTHING
        self.renewed = 0
        self.closed = False

    def say(self, *folders: str, writing: Collection[str] = (), **flags: bool) -> None:
        now = self._clock.monotonic()
        old = self._hints
        self._hints = Hints(
            folders=old.folders | set(folders),
            writing=old.writing | set(writing),
            first=old.first if old else now,
            last=now,
            **{name: flags.get(name, getattr(old, name)) for name in FLAGS},
        )

    def start(self) -> None:
        """Nothing to hold."""

    def is_quiet(self) -> bool:
        return not self._hints

    def take(self) -> Hints:
        hints, self._hints = self._hints, NOTHING
        return hints

    def renew(self) -> None:
        self.renewed += 1

    def close(self) -> None:
        self.closed = True

    @property
    def watched(self) -> int:
        return 1


class WatchedHost:
    """A store with one app, its recorder, and the knobs."""

    def __init__(self, base: Path) -> None:
        self.root = base / "root"
        self.store = base / "store"
        self.root.mkdir(exist_ok=True)
        self.clock = FakeDaemonClock()
        self.watchers: list[FakeWatcher] = []
        if not self.store.exists():
            with Workspace.init(self.store) as workspace:
                workspace.apps.add("crm", self.root)

    @property
    def watcher(self) -> FakeWatcher:
        return self.watchers[-1]

    def watch(self, app: App, notify: Notify) -> Watching:
        self.watchers.append(FakeWatcher(self.clock))
        return Watching(self.watcher, Watched(identity_of(self.root.stat())))

    @asynccontextmanager
    async def recorder(
        self, make_watching: Callable[[App, Notify], Watching] | None = None
    ) -> AsyncIterator[AppRecorder]:
        with Workspace.open(self.store) as workspace:
            app = workspace.apps.get("crm")
        bridges = [Bridge(name, lambda: Workspace.open(self.store, recover=False)) for name in "ab"]
        yield AppRecorder(
            app,
            bridge=bridges[0],
            slow=bridges[1],
            clock=self.clock,
            timing=RHYTHM,
            watch=make_watching or self.watch,
        )
        for bridge in bridges:
            assert await bridge.close(wait=60)

    async def settle(self, recorder: AppRecorder) -> None:
        """Let what was said be quiet for long enough, and be recorded."""
        await recorder.step()
        self.clock.advance(RHYTHM.settle)
        await recorder.step()

    def versions(self) -> list[tuple[str, str]]:
        """(kind, reason) of each."""
        with Workspace.open(self.store) as workspace:
            records = [info.record for info in workspace.app("crm").versions()]
        return [(record.kind, record.reason) for record in records]

    def unobserved(self) -> list[tuple[str, str]]:
        """What the newest version says it does not know, and why."""
        with Workspace.open(self.store) as workspace:
            record = workspace.app("crm").versions()[-1].record
        return [(str(path), why) for path, why in record.unobserved]

    def newest(self) -> set[str]:
        with Workspace.open(self.store) as workspace:
            return {str(entry.path) for entry in workspace.app("crm").ls("latest")}


def failing(error: EpmError | OSError) -> Callable[[App, Notify], Watching]:
    def watch(app: App, notify: Notify) -> Watching:
        raise error

    return watch
