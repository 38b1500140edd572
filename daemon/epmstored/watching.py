"""Choosing what watches a root: the kernel's events where they can be had, looking where not."""

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from epmstore.catalog.appcat import App
from epmstore.catalog.model import Reason
from epmstore.record.root import open_root
from epmstored.clock import DaemonClock
from epmstored.polling import PollingWatcher
from epmstored.watcher import Notify, Watcher

Identity: TypeAlias = tuple[int, int]


class Watching(msgspec.Struct, frozen=True):
    """A watcher at work on the root directory that has `identity`; `degraded` says why it sees
    less, or later, than it should.
    """

    watcher: Watcher
    identity: Identity
    degraded: tuple[str, ...] = ()

    @property
    def is_polling(self) -> bool:
        return isinstance(self.watcher, PollingWatcher)

    @property
    def lost_reason(self) -> Reason:
        return "scan" if self.is_polling else "after-overflow"

    @property
    def due(self) -> float | None:
        """When to ask the watcher; null: when it notifies."""
        return self.watcher.due if isinstance(self.watcher, PollingWatcher) else None


def chooser(clock: DaemonClock, poll: float) -> Callable[[App, Notify], Watching]:
    """What watches a root. Raises RootError, OSError."""

    def choose(app: App, notify: Notify) -> Watching:
        with open_root(app) as root:
            identity = root.stat.st_dev, root.stat.st_ino
        watcher = PollingWatcher(clock, poll)
        watcher.start()
        return Watching(watcher, identity)

    return choose
