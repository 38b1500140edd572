"""Choosing what watches a root: the kernel's events where there are any, looking where not."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import msgspec

from epmstore.catalog.appcat import App
from epmstore.catalog.classes import Rules
from epmstore.catalog.model import Reason
from epmstore.filestat import FileId
from epmstore.record.root import Root, open_root
from epmstore.relpath import parents
from epmstore.scan.mounts import FilesystemInfo, filesystem, mounted_below
from epmstore.scan.scope import WalkScope
from epmstore.store.staging import named_stages
from epmstored.clock import DaemonClock
from epmstored.inotify import InotifyWatcher, OpenScope
from epmstored.kernelqueue import SharedQueue
from epmstored.polling import PollingWatcher
from epmstored.watcher import Notify, Watcher, WatchLimitError

WatcherFactory: TypeAlias = "Callable[[App, Notify], Watching]"
"""Chooses and starts what watches a root; in a thread. Raises RootError, OSError."""


class Watched(msgspec.Struct, frozen=True):
    """What a watcher is at work on: the root directory that has `identity`, with file systems
    mounted at `mounts`. No event tells when one of them comes or goes.
    """

    identity: FileId
    mounts: frozenset[str] = frozenset()


class Watching(msgspec.Struct, frozen=True):
    """A watcher at work; `degraded` says why it sees less, or later, than it should."""

    watcher: Watcher
    what: Watched
    degraded: tuple[str, ...] = ()

    @property
    def is_polling(self) -> bool:
        return isinstance(self.watcher, PollingWatcher)

    @property
    def lost_reason(self) -> Reason:
        return "scan" if self.is_polling else "after-overflow"

    @property
    def due(self) -> float | None:
        """When to ask the watcher; None: when it notifies."""
        return self.watcher.due if isinstance(self.watcher, PollingWatcher) else None


def chooser(store: Path, clock: DaemonClock, poll: float) -> WatcherFactory:
    """Decides for each root of the apps of a store, and starts what it decided on; `poll` is how
    often a root is looked at that cannot be watched. All roots share one kernel queue. Raises
    RootError, LimitError, OSError.
    """

    shared = SharedQueue()

    def choose(app: App, notify: Notify) -> Watching:
        skip = frozenset({identity_of(os.stat(store))})
        with open_root(app) as root:
            what, trouble = watched(app, root), why_not(filesystem(root.fd))
        if trouble is None:
            try:
                return Watching(_inotify(app, skip, store, clock, notify, shared), what)
            except WatchLimitError as error:
                trouble = error.message
        watcher = PollingWatcher(clock, poll)
        watcher.start()
        return Watching(watcher, what, (f"{trouble}: looked at every {poll:.0f} s",))

    return choose


def why_not(where: FilesystemInfo) -> str | None:
    """Why the kernel cannot tell of all changes on a file system; None if it can."""
    if where.network:
        return f"on a network file system ({where.name})"
    if where.fuse:
        return f"on a file system in user space ({where.name})"
    if where.overlay:
        return f"on an overlay ({where.name})"
    return None


def watched(app: App, root: Root) -> Watched:
    """As it is now; of mounts those count that a look comes to."""
    rules = Rules(app.patterns, app.noisy)

    def comes_to(path: str) -> bool:
        above = (*parents(path), path)
        return all(rules.classify(one, is_dir=True) not in ("ignore", "state") for one in above)

    mounts = frozenset(filter(comes_to, mounted_below(root.fd)))
    return Watched(identity_of(root.stat), mounts)


def identity_of(found: os.stat_result) -> FileId:
    return found.st_dev, found.st_ino


def open_scope(app: App, rules: Rules, skip: frozenset[FileId], store: Path) -> OpenScope:
    """What is watched of an app: what a look at it goes into, but for the staging folders of
    checkouts that are under way in this store.
    """
    classify = None if rules.is_plain else rules.classify

    @contextmanager
    def opened() -> Iterator[WalkScope]:
        staging = {one.name for one in named_stages(store / "journals")}
        with (
            open_root(app) as root,
            WalkScope(
                root.fd,
                classify=classify,
                skip=skip,
                cross_mounts=app.cross_mounts,
                staging=staging,
            ) as scope,
        ):
            yield scope

    return opened


def _inotify(
    app: App,
    skip: frozenset[FileId],
    store: Path,
    clock: DaemonClock,
    notify: Notify,
    shared: SharedQueue,
) -> InotifyWatcher:
    scope = open_scope(app, Rules(app.patterns, app.noisy), skip, store)
    watcher = InotifyWatcher(scope, clock, notify, shared)
    try:
        watcher.start()
    except BaseException:
        watcher.close()
        raise
    return watcher
