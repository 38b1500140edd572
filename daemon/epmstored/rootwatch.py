"""What watches the root of one application, and whether that still is its root."""

import asyncio

from epmstore.catalog.appcat import App
from epmstore.record.root import open_root
from epmstored.bridge import Bridge
from epmstored.clock import DaemonClock
from epmstored.timing import Timing
from epmstored.watcher import NOTHING, Hints, Notify
from epmstored.watching import Watched, WatcherFactory, Watching, watched


class RootWatch:
    """Holds a watcher for as long as the root is the directory that it watches."""

    def __init__(
        self,
        app: App,
        *,
        bridge: Bridge,
        clock: DaemonClock,
        timing: Timing,
        watch: WatcherFactory,
        notify: Notify,
    ) -> None:
        self._app = app
        self._bridge = bridge
        self._clock = clock
        self._timing = timing
        self._watch = watch
        self._notify = notify
        self._is_stale = False
        """Whether the watcher says that it cannot go on."""
        self._was_away = False
        """Whether the root was gone since it was looked at."""
        self._is_unknown = False
        """Whether the last check could not be made."""
        self.now: Watching | None = None
        """None while there is no root, or it could not be watched yet."""
        self.next = clock.monotonic()
        """When to `check`."""

    def take(self) -> Hints:
        """What the watcher noticed."""
        if self.now is None:
            return NOTHING
        hints = self.now.watcher.take()
        self._was_away = self._was_away or hints.root
        if hints.root or hints.limit:
            self.renew()
        return hints

    def renew(self) -> None:
        """With the next check, watch anew."""
        self._is_stale = True
        self.check_soon()

    def check_soon(self) -> None:
        self.next = self._clock.monotonic()

    async def check(self) -> bool:
        """That the root is the directory that is watched, with the same mounts in it; if not, watch
        what is there now. Whether everything is to be looked at: a watcher was started, or the last
        check could not be made. Raises EpmError, OSError; what is watched stays watched then.
        """
        was_known, self._is_unknown = not self._is_unknown, True
        timing = self._timing
        # No event tells that a symlink in the path of a followed root leads elsewhere now.
        again = min(timing.root, timing.settle) if self._app.follow else timing.root
        self.next = self._clock.monotonic() + again
        what = await self._bridge.run(lambda _: look_at_root(self._app))
        if self.now is not None and self.now.what == what and not self._is_stale:
            self._is_unknown = False
            return not was_known
        self._is_stale = False
        await self.let_go()
        if self._was_away:
            # Roots of file systems have the same few inodes: an empty disk is not our root.
            await self._bridge.run(lambda ws: ws.apps.check_resembles(self._app))
            self._was_away = False
        self.now = await self._bridge.run(lambda _: self._watch(self._app, self._notify))
        self._is_unknown = False
        return True

    async def lose(self, *, was_known: bool) -> None:
        """There is no root."""
        self._was_away, self._is_unknown = was_known, False
        await self.let_go()

    async def let_go(self) -> None:
        watching, self.now = self.now, None
        if watching is not None:
            await asyncio.to_thread(watching.watcher.close)

    def abandon(self) -> None:
        """As `let_go`, by the bridge, when it is done with what it is doing; the caller does not
        wait.
        """
        watching, self.now = self.now, None
        if watching is not None:
            self._bridge.give(lambda _: watching.watcher.close())

    def follow(self, timing: Timing) -> None:
        """In another timing; and watch again what could not be watched."""
        self._timing = timing
        if self.now is None or self.now.is_polling:
            self.renew()


def look_at_root(app: App) -> Watched:
    """What there is to watch. Raises RootError."""
    with open_root(app) as root:
        return watched(app, root)
