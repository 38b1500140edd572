"""One application: its root is watched, and what changes in it becomes drift versions.

`step` is everything that is due now, and is what tests call; `run` only waits and calls it. Rules:
watch first, then look; what could not be recorded stays dirty; who else changes or records the root
goes first; a root that is not there is said to be gone and never recorded as empty.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from random import Random

import msgspec

from epmstore.catalog.appcat import App
from epmstore.catalog.model import Reason
from epmstore.clock import to_rfc3339
from epmstore.errors import BusyError, ConflictError, EpmError, RootError
from epmstore.record.change import ChangeOpenError
from epmstore.record.root import open_root
from epmstore.workspace import AppHandle, Workspace
from epmstored.aftermath import UNIT
from epmstored.bridge import Bridge
from epmstored.clock import DaemonClock
from epmstored.debounce import Batch, Debounce
from epmstored.elsewhere import Elsewhere, Systemd
from epmstored.noise import Noise
from epmstored.outcome import Outcome, record
from epmstored.report import Report, folder_of
from epmstored.rhythm import Rhythm
from epmstored.state import AppState, Phase
from epmstored.watcher import Notify, WatchLimitError
from epmstored.watching import Watching

log = logging.getLogger("epmstored")

WatcherFactory = Callable[[App, Notify], Watching]
"""Chooses and starts what watches a root; in a thread. Raises RootError, OSError."""


class AppRecorder:
    """Holds a watcher; `bridge` is where its recording is done, `slow` where it has time."""

    def __init__(
        self,
        app: App,
        *,
        bridge: Bridge,
        slow: Bridge,
        clock: DaemonClock,
        rhythm: Rhythm,
        watch: WatcherFactory,
        first_reason: Reason = "startup-scan",
        elsewhere: Elsewhere | None = None,
    ) -> None:
        """`first_reason` is what the first look is for; `elsewhere` recovers what we may not."""
        self.app = app
        self.bridge = bridge
        self.ready = asyncio.Event()
        """Set when the first look is done, or cannot be done now."""
        self._slow = slow
        self._clock = clock
        self._rhythm = rhythm
        self._watch = watch
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._debounce = Debounce(rhythm.settle, rhythm.longest)
        self._watching: Watching | None = None
        self._report = Report(app)
        self._noise = Noise()
        self._random = Random(app.uuid)
        self._known: AppHandle | None = None
        """Of the bridge's workspace."""
        self._paused = False
        self._stopping = False
        self._elsewhere = elsewhere or Systemd()
        self._first_reason = first_reason
        self._started = False
        self._was_away = False
        """Whether the root was gone since it was looked at."""
        self._is_stale = False
        """Whether the watcher says that it cannot go on."""
        self._looking = False
        self.why_full: str | None = None
        self._failures = 0
        self._restless = 0
        self._again: frozenset[str] = frozenset()
        """Folders in which something did not hold still, and when they are looked at again."""
        self._next_again = 0.0
        self._next_root = clock.monotonic()
        self._next_reconcile = self._reconcile_after()

    # What others see and ask.

    def set_room(self, *, why_full: str | None) -> None:
        """Record no contents while the store is full, and all that were missed once it is not."""
        was_full, self.why_full = self.is_full, why_full
        if was_full and not self.is_full:
            self.reconcile_soon()

    @property
    def is_full(self) -> bool:
        return self.why_full is not None

    @property
    def state(self) -> AppState:
        watching = self._watching
        return msgspec.structs.replace(
            self._report.state,
            phase=self._phase(),
            degraded=self._degraded(),
            watched=0 if watching is None else watching.watcher.watched,
            quiet=self._is_quiet(),
            queue=self._debounce.queue,
            lag=self._debounce.lag(self._clock.monotonic()),
        )

    def _is_quiet(self) -> bool:
        watching = self._watching
        busy = watching is None or self._looking or bool(self._debounce or self._again)
        return not busy and watching is not None and watching.watcher.is_quiet()

    def pause(self) -> None:
        """Record nothing until `resume`; what changes meanwhile is remembered."""
        self._paused = True
        self.ready.set()

    def resume(self) -> None:
        self._paused = False
        self._wake.set()

    def stop(self, *, record: bool = True) -> None:
        """`run` records what is dirty, and returns."""
        self._stopping = True
        self._paused = self._paused or not record
        self._wake.set()

    def reconcile_soon(self) -> None:
        """Look at everything with the next step."""
        self._next_reconcile = self._clock.monotonic()
        self._wake.set()

    def follow(self, rhythm: Rhythm) -> None:
        """From now on, in another rhythm; and watch again what could not be watched."""
        if rhythm.reconcile != self._rhythm.reconcile:
            self._rhythm = rhythm
            self._next_reconcile = self._reconcile_after()
        self._rhythm = rhythm
        self._debounce.settle, self._debounce.longest = rhythm.settle, rhythm.longest
        if self._watching is None or self._watching.is_polling:
            self._is_stale = True
            self._next_root = self._clock.monotonic()
        self._wake.set()

    # The loop.

    async def run(self) -> None:
        while not self._stopping:
            await self.step()
            await self._wait()
        await self.finish()

    async def step(self) -> None:
        """Everything that is due now."""
        self._looking = True
        try:
            await self._step()
        finally:
            self._looking = False

    async def _step(self) -> None:
        self._take_hints()
        if self._clock.monotonic() >= self._next_root:
            await self._check_root()
        now = self._clock.monotonic()
        if self._watching is None or self._paused:
            return
        if self._again and now >= self._next_again:
            self._debounce.add(self._again, first=now, last=now - self._rhythm.settle)
            self._again = frozenset()
        if (batch := self._debounce.take(now)) is not None:
            await self._record(batch)
        elif self._next_reconcile is not None and now >= self._next_reconcile:
            await self._reconcile()

    async def finish(self) -> None:
        """Record what is dirty and let go; the rest is found by the next start."""
        self._take_hints()
        batch = self._debounce.take_all()
        if batch is not None and self._watching is not None and not self._paused:
            await self._record(batch)
        await self._let_go()

    def due(self) -> float | None:
        """When `step` has something to do, as far as is known now; null: when it is woken."""
        times = [self._next_root]
        if self._watching is not None and not self._paused:
            times += [t for t in (self._debounce.due(), self._next_reconcile) if t is not None]
            times += [self._next_again] if self._again else []
            times += [] if self._watching.due is None else [self._watching.due]
        return min(times)

    async def _wait(self) -> None:
        """Until something is due. While folders wait to be quiet, hints are left where they are:
        under steady writing nothing wakes us for each of them.
        """
        due = self.due()
        if self._debounce and not self._paused:
            due = min(due or 0.0, self._clock.monotonic() + self._rhythm.settle)
            self._wake.clear()
        timeout = None if due is None else max(0.0, due - self._clock.monotonic())
        try:
            await asyncio.wait_for(self._wake.wait(), timeout)
        except TimeoutError:
            return
        finally:
            self._wake.clear()

    def _notify(self) -> None:
        """From the watcher's thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._noticed)

    def _noticed(self) -> None:
        if not self._debounce:
            self._wake.set()

    # The steps.

    def _take_hints(self) -> None:
        if self._watching is None:
            return
        hints = self._watching.watcher.take()
        self._was_away = self._was_away or hints.root
        if hints.root or hints.limit:
            self._is_stale = True
            self._next_root = self._clock.monotonic()
        if hints.lost:
            # Of a poll nobody knows how long it has been quiet; the next one must not put it off.
            quiet = self._rhythm.settle if self._watching.is_polling else 0.0
            self._debounce.add_whole(self._watching.lost_reason, now=hints.last - quiet)
        if hints.folders:
            self._debounce.add(
                hints.folders,
                first=hints.first,
                last=hints.last,
                writing=hints.writing,
                closed=hints.closed,
            )

    async def _check_root(self) -> None:
        """That the root is the directory that is watched; if not, watch what is there now."""
        self._next_root = self._clock.monotonic() + self._rhythm.root
        try:
            identity = await self.bridge.run(lambda _: identify_root(self.app))
            watching = self._watching
            if watching is not None and watching.identity == identity and not self._is_stale:
                return
            self._is_stale = False
            await self._let_go()
            if self._was_away:
                # Roots of file systems have the same few inodes: an empty disk is not our root.
                await self.bridge.run(lambda ws: ws.apps.check_resembles(self.app))
                self._was_away = False
            self._watching = await self.bridge.run(lambda _: self._watch(self.app, self._notify))
        except (RootError, OSError) as error:
            await self._gone(error)
            return
        reason: Reason = "scan" if self._started else self._first_reason
        phase: Phase = "watching" if self._started else "starting"
        self._report.watched(phase, self._watching.degraded)
        self._debounce.add_whole(reason, now=self._clock.monotonic() - self._rhythm.settle)

    async def _gone(self, error: Exception) -> None:
        self._was_away = self._started
        await self._let_go()
        self._debounce.take_all()  # once it is back, everything is looked at
        self._report.gone(str(error))
        self.ready.set()

    async def _let_go(self) -> None:
        watching, self._watching = self._watching, None
        if watching is not None:
            await asyncio.to_thread(watching.watcher.close)

    async def _record(self, batch: Batch) -> None:
        if batch.reason == "after-overflow":
            self._report.overflowed()
        try:
            outcome = await self.bridge.run(lambda ws: self._look(ws, batch))
        except Exception as error:
            await self._failed(batch, error)
            return
        self._failures = 0
        self._started = True
        self._note(outcome, batch)
        if outcome.is_new and (noisy := self._noise.note(outcome.written)):
            await self._quieten(noisy)
        self._come_again(outcome)
        self.ready.set()

    def _come_again(self, outcome: Outcome) -> None:
        """What did not hold still is looked at again, less and less often; the rest does not wait
        for it.
        """
        self._restless = self._restless + 1 if outcome.unstable else 0
        if outcome.unstable:
            wait = self._rhythm.settle * 2 ** min(self._restless - 1, 10)
            self._again = frozenset(map(folder_of, outcome.unstable))
            self._next_again = self._clock.monotonic() + min(wait, self._rhythm.retry_longest)

    async def _quieten(self, noisy: list[str]) -> None:
        """Record no contents of these any more. The appcat says so, which makes a new recorder."""
        self._report.noisy(noisy)
        try:
            await self.bridge.run(lambda ws: ws.apps.add_noisy(self.app.key, noisy))
        except (EpmError, OSError) as error:
            self._report.failed(error)

    def _look(self, workspace: Workspace, batch: Batch) -> Outcome:
        """In the worker's thread."""
        if batch.whole is not None and self._watching is not None:
            self._watching.watcher.renew()
        only = None if batch.whole is not None else batch.folders
        return record(self._handle(workspace), batch.reason, only, contents=not self.is_full)

    def _handle(self, workspace: Workspace) -> AppHandle:
        """Raises AppNotFoundError for an app that was removed meanwhile."""
        found = workspace.apps.get(self.app.key)
        if self._known is None or self._known.app != found:
            self._known = workspace.app(self.app.key)
        return self._known

    async def _failed(self, batch: Batch, error: Exception) -> None:
        """Nothing was recorded: what to say of it, and when to try again."""
        self._failures += 1
        now = self._clock.monotonic()
        wait = min(self._rhythm.retry * 2 ** (self._failures - 1), self._rhythm.retry_longest)
        if isinstance(error, RootError | WatchLimitError):
            self._is_stale = self._is_stale or isinstance(error, WatchLimitError)
            self._next_root = now
            self._debounce.give_back(batch, not_before=now + wait)
            return
        self.ready.set()
        if isinstance(error, BusyError | ChangeOpenError):
            wait = min(wait, 5.0)
            self._report.held(error.message)
        elif isinstance(error, ConflictError):
            await self._recover(error)
        else:
            self._report.failed(error)
        self._debounce.give_back(batch, not_before=now + wait)

    async def _recover(self, found: ConflictError) -> None:
        """Somebody's checkout was killed while we watched."""
        try:
            who = await self.bridge.run(self._recover_now)
        except Exception as error:
            self._report.failed(error)
        else:
            log.warning("%s: %s; recovered by %s", self.app.key, found.message, who)

    def _recover_now(self, workspace: Workspace) -> str:
        """Who did it, or does. In the worker's thread."""
        if self._elsewhere.is_needed(self.app.root):
            unit = UNIT.format(self.app.key)
            self._elsewhere.start(unit, wait=False)
            return unit
        self._handle(workspace).recover(wait=0)
        return "the daemon"

    async def _reconcile(self) -> None:
        """Look at everything, for what no event told of."""
        self._next_reconcile = self._reconcile_after()
        batch = Batch(frozenset(), "scan", self._clock.monotonic())
        try:
            outcome = await self._slow.run(
                lambda ws: record(ws.app(self.app.key), "scan", None, contents=not self.is_full)
            )
        except Exception as error:
            await self._failed(batch, error)
            return
        self._take_hints()
        unexpected = [p for p in outcome.made if not self._debounce.has(folder_of(p))]
        self._note(outcome, batch)
        self._report.reconciled(len(unexpected))

    def _note(self, outcome: Outcome, batch: Batch) -> None:
        is_whole = batch.whole is not None
        looked = to_rfc3339(self._clock.now()) if is_whole else None
        only = None if is_whole else batch.folders
        self._report.recorded(outcome, batch.reason, looked=looked, only=only)

    # The state.

    def _phase(self) -> Phase:
        phase = self._report.state.phase
        if phase in ("gone", "error"):
            return phase
        if self._paused:
            return "paused"
        if phase == "watching" and self._watching is not None and self._watching.is_polling:
            return "polling"
        return phase

    def _degraded(self) -> tuple[str, ...]:
        found = () if self._watching is None else self._watching.degraded
        if self.why_full is not None:
            found = (*found, f"recorded without contents: {self.why_full}")
        return (*found, *self._report.degraded())

    def _reconcile_after(self) -> float | None:
        if self._rhythm.reconcile is None:
            return None
        return self._clock.monotonic() + self._rhythm.reconcile * self._random.uniform(0.9, 1.1)


def identify_root(app: App) -> tuple[int, int]:
    """(st_dev, st_ino) of the root. Raises RootError."""
    with open_root(app) as root:
        return root.stat.st_dev, root.stat.st_ino
