"""All applications of the appcat: a recorder for each, as many as there are now.

The Supervisor is what the API and the service talk to.
"""

import asyncio
import logging
from collections.abc import Callable, Collection

from epmstore.catalog.appcat import App
from epmstore.catalog.model import Reason
from epmstore.clock import to_rfc3339
from epmstore.errors import AppNotFoundError
from epmstore.workspace import Workspace
from epmstored import pauses
from epmstored.app_report import OnRecorded
from epmstored.app_state import AppState, Pause
from epmstored.apprecorder import AppRecorder
from epmstored.bridge import Bridge
from epmstored.clock import DaemonClock
from epmstored.timing import Timing
from epmstored.watching import WatcherFactory

log = logging.getLogger("epmstored")
PATIENCE = 5.0
"""Seconds that an application which is watched no more has for what it is doing."""


class Supervisor:
    """Owns the recorders and their threads. `store` is a bridge for what concerns the whole store,
    `slow` one with low priority for what has time.
    """

    def __init__(
        self,
        open_workspace: Callable[[], Workspace],
        *,
        clock: DaemonClock,
        timing: Timing,
        watch: WatcherFactory,
        recorded: OnRecorded = lambda app, version: None,
    ) -> None:
        """`recorded` is told of each new version, but for baselines."""
        self.store = Bridge("store", open_workspace)
        self.slow = Bridge("slow", open_workspace, niceness=10)
        self._open_workspace = open_workspace
        self._clock = clock
        self._timing = timing
        self._watch = watch
        self._recorded = recorded
        self._recorders: dict[str, AppRecorder] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._pauses: dict[str, Pause] = {}
        self.waiting_settings: tuple[str, ...] = ()
        """Those that were changed, and count from the next start."""
        self._why_full: str | None = None
        self._stopping = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._loaded = asyncio.Event()

    # What others see and ask. Applications are named by their keys.

    def states(self) -> list[AppState]:
        """In order of keys."""
        return sorted((r.state for r in self._recorders.values()), key=lambda state: state.app)

    def state(self, key: str) -> AppState:
        """Raises AppNotFoundError."""
        return self._find(key).state

    async def pause(self, key: str, by: str) -> None:
        """Record nothing of it until `resume`, whatever is restarted meanwhile. Raises
        AppNotFoundError; OSError if it would not outlive the daemon.
        """
        recorder = self._find(key)
        uuid = recorder.app.uuid
        if uuid not in self._pauses:
            self._pauses[uuid] = Pause(to_rfc3339(self._clock.now()), by)
            recorder.pause(self._pauses[uuid])
            log.info("%s: paused by %s", key, by)
        await self._save_pauses()

    async def resume(self, key: str) -> None:
        """Raises as `pause`."""
        recorder = self._find(key)
        if self._pauses.pop(recorder.app.uuid, None) is not None:
            log.info("%s: resumed", key)
        recorder.resume()
        await self._save_pauses()

    async def _save_pauses(self) -> None:
        paused = dict(self._pauses)
        await self.store.run(lambda workspace: pauses.save(workspace.path, paused))

    def set_room(self, *, why_full: str | None) -> None:
        """While there is a reason, no contents are recorded."""
        self._why_full = why_full
        for recorder in self._recorders.values():
            recorder.set_room(why_full=why_full)

    def hint(self, key: str, folders: Collection[str]) -> None:
        """Look at these folders: a command found a difference there. Raises AppNotFoundError."""
        self._find(key).hint(folders)

    def reconcile(self, key: str) -> None:
        """Look at the whole root as soon as possible. Raises AppNotFoundError."""
        self._find(key).reconcile_soon()

    def bridge(self, key: str) -> Bridge:
        """The thread that records this application. Raises AppNotFoundError."""
        return self._find(key).bridge

    # Life.

    async def run(self) -> None:
        """Until `stop`: then everything is recorded that can be."""
        async with asyncio.TaskGroup() as tasks:
            self._group = tasks
            self._pauses = await self.store.run(lambda workspace: pauses.load(workspace.path))
            await self.reload(first=True)
            self._loaded.set()
            await self._stopping.wait()
            for recorder in self._recorders.values():
                recorder.stop()

    async def ready(self) -> None:
        """Until every application was looked at once, or cannot be now."""
        await self._loaded.wait()
        while waiting := [r for r in self._recorders.values() if not r.ready.is_set()]:
            await waiting[0].ready.wait()

    def stop(self) -> None:
        self._stopping.set()

    async def close(self) -> None:
        """End the threads; what hangs is left behind."""
        bridges = [self.store, self.slow, *(r.bridge for r in self._recorders.values())]
        await asyncio.gather(*(bridge.close(wait=1.0) for bridge in bridges))

    async def reload(self, *, first: bool = False) -> None:
        """Watch what the appcat has now; nothing more after `stop`. Raises DamagedError."""
        async with self._reloading:
            apps = await self.store.run(lambda workspace: workspace.apps.list())
            wanted = {app.uuid: app for app in apps}
            for uuid, recorder in list(self._recorders.items()):
                if wanted.get(uuid) != recorder.app:
                    await self._remove(uuid, is_gone=uuid not in wanted)
            for uuid, app in wanted.items():
                if uuid not in self._recorders and not self._stopping.is_set():
                    self._add(app, "startup-scan" if first else "scan")

    def follow(self, timing: Timing) -> None:
        """Settings may have changed, or what the host allows."""
        self._timing = timing
        for recorder in self._recorders.values():
            recorder.follow(timing)

    def _add(self, app: App, reason: Reason) -> None:
        log.info("%s: watching %s", app.key, app.root)
        recorder = AppRecorder(
            app,
            bridge=Bridge(app.key, self._open_workspace),
            slow=self.slow,
            clock=self._clock,
            timing=self._timing,
            watch=self._watch,
            first_reason=reason,
            pause=self._pauses.get(app.uuid),
            recorded=self._recorded,
        )
        recorder.set_room(why_full=self._why_full)
        self._recorders[app.uuid] = recorder
        self._tasks[app.uuid] = self._group.create_task(recorder.run(), name=app.key)

    async def _remove(self, uuid: str, *, is_gone: bool) -> None:
        """An app that is gone, or that is about to be watched by other rules."""
        recorder = self._recorders.pop(uuid)
        if is_gone:
            log.info("%s: watched no more", recorder.app.key)
            self._pauses.pop(uuid, None)
        recorder.stop(record=False)
        task = self._tasks.pop(uuid)
        _, late = await asyncio.wait({task}, timeout=PATIENCE)
        if late:
            log.warning("%s: what it is doing takes long; nobody waits for it", recorder.app.key)
            task.cancel()
            await asyncio.wait({task})
        await recorder.bridge.close(wait=0.0 if late else PATIENCE)

    def _find(self, key: str) -> AppRecorder:
        for recorder in self._recorders.values():
            if recorder.app.key == key:
                return recorder
        known = ", ".join(state.app for state in self.states())
        raise AppNotFoundError(
            f"no application {key!r} is watched", hint=f"known: {known}" if known else None
        )
