"""An application with hooks and two versions, to be checked out, killed and confirmed."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from epmstore import locks
from epmstore.atomic import TEMPORARY
from epmstore.catalog.hooks import Hooks, with_hooks
from epmstore.clock import FixedClock
from epmstore.places import DAEMON_LOCK
from epmstore.progress import SILENT, Progress
from epmstore.record.result import Result
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.app.handle import AppHandle
from tests.kit.application import HEALTH, START, STOP, Application
from tests.kit.bench import Bench, File

HOOKS = Hooks(stop=STOP, start=START, health=HEALTH)
OLD = {"a": File(b"old"), "gone": File(b"was here")}
NEW = {"a": File(b"new"), "d/come": File(b"is here")}


class Crm:
    """An application with two versions, 0 (OLD) and 1 (NEW, which is live), and hooks."""

    def __init__(self, base: Path, hooks: Hooks = HOOKS, **fails: int) -> None:
        self.bench = Bench(base)
        self.application = Application(fails)
        self.hooks = hooks
        self.progress: Progress = SILENT
        if not self.bench.live.versions():
            self.old = self.bench.recorded(OLD)
            self.new = self.bench.recorded(NEW)

    @property
    def handle(self) -> AppHandle:
        app = with_hooks(self.bench.app, self.hooks)
        store, runner = self.bench.store, self.application
        return AppHandle(AppContext(store, app, progress=self.progress, runner=runner))

    @property
    def calls(self) -> list[str]:
        return self.application.calls

    @property
    def clock(self) -> FixedClock:
        clock = self.bench.store.clock
        assert isinstance(clock, FixedClock)
        return clock

    def is_old(self) -> bool:
        return self.bench.picture() == self.old

    def is_new(self) -> bool:
        return self.bench.picture() == self.new

    def owes(self) -> str | None:
        owed = self.handle.obligations.owed
        return None if owed is None else owed.phase

    @contextlib.contextmanager
    def daemon(self) -> Iterator[None]:
        with locks.hold(self.bench.path / "locks", DAEMON_LOCK):
            yield

    def checkout_to_confirm(self, seconds: float = 300.0) -> Result:
        with self.daemon():
            return self.handle.checkout("0", confirm=seconds)


def lasting(crm: Crm) -> list[str]:
    """What is left behind, but for temporaries, which mean nothing to anybody."""
    return [name for name in crm.bench.leftovers() if not name.startswith(TEMPORARY)]
