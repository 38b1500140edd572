"""One application: its root is watched, and what changes in it becomes drift versions.

`step` is everything that is due now, and is what tests call; `run` only waits and calls it. Rules:
watch first, then look; what could not be recorded stays dirty; who else changes or records the root
goes first; a root that is not there is said to be gone and never recorded as empty.
"""

import asyncio
import contextlib
import logging
from collections.abc import Collection
from random import Random

import msgspec

from epmstore.catalog.appcat import App
from epmstore.catalog.model import Reason
from epmstore.clock import to_rfc3339
from epmstore.errors import BusyError, ConflictError, EpmError, RootError
from epmstore.record.change import ChangeOpenError
from epmstore.record.root import is_gone
from epmstore.workspace import AppHandle, Workspace
from epmstored import halfdone
from epmstored.app_report import OnRecorded, Report, folder_of
from epmstored.app_state import AppState, Pause, WatchPhase
from epmstored.bridge import Bridge
from epmstored.caretasks import ACTOR
from epmstored.clock import DaemonClock
from epmstored.debounce import Batch, Debounce
from epmstored.gauge import Gauge
from epmstored.late import Late
from epmstored.noisy_files import NoisyFiles
from epmstored.outcome import RecordingOutcome, record, record_all
from epmstored.recovery import AppRecovery
from epmstored.rootwatch import RootWatch
from epmstored.systemd_jobs import SystemdJobs
from epmstored.timing import Timing
from epmstored.unstable import UnstableFiles
from epmstored.watcher import WatchLimitError
from epmstored.watching import WatcherFactory

log = logging.getLogger("epmstored")
PUT_OFF = 3600.0
"""Seconds that a look at everything waits for looks at other roots, of which one may hang."""


class AppRecorder:
    """Holds a watcher; `bridge` is where its recording is done, `slow` where it has time."""

    def __init__(
        self,
        app: App,
        *,
        bridge: Bridge,
        slow: Bridge,
        clock: DaemonClock,
        timing: Timing,
        watch: WatcherFactory,
        first_reason: Reason = "startup-scan",
        systemd: SystemdJobs | None = None,
        is_half_done: halfdone.IsHalfDone = halfdone.is_half_done,
        pause: Pause | None = None,
        recorded: OnRecorded = lambda app, version: None,
    ) -> None:
        """`first_reason` is what the first look is for; `systemd` recovers what we may not. With
        a `pause` nothing is recorded until it is resumed. `recorded` is told of each new version.
        """
        self.app = app
        self.bridge = bridge
        self.ready = asyncio.Event()
        """Set when the first look is done, or cannot be done now."""
        if pause is not None:
            self.ready.set()
        self._slow, self._gauge = slow, Gauge()
        self._clock = clock
        self._timing = timing
        self._look_for_writers = is_half_done
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._debounce = Debounce(timing.settle, timing.longest)
        self._root = RootWatch(
            app, bridge=bridge, clock=clock, timing=timing, watch=watch, notify=self._notify
        )
        self._report = Report(app, recorded)
        self._recovery = AppRecovery(app, bridge, self._report, systemd)
        self._noisy_files = NoisyFiles()
        self._random = Random(app.uuid)
        self._known: AppHandle | None = None
        """Of the bridge's workspace."""
        self._pause = pause
        self._stopping, self._records_at_end = False, True
        self._first_reason = first_reason
        self._started = self._looking = False
        self.why_full: str | None = None
        self._failures = 0
        self._unstable_files, self._late = UnstableFiles(), Late()
        self._next_reconcile = self._reconcile_after()
        self._put_off_since: float | None = None

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
        watching = self._root.now
        return msgspec.structs.replace(
            self._report.state,
            phase=self._phase(),
            paused=self._pause,
            degraded=self._degraded(),
            watched=0 if watching is None else watching.watcher.watched,
            quiet=self._is_quiet(),
            queue=self._debounce.queue,
            lag=self._debounce.lag(self._clock.monotonic()),
            doing=self._gauge.doing,
        )

    def _is_quiet(self) -> bool:
        watching = self._root.now
        waits = (
            bool(self._debounce) or self._unstable_files.due is not None or self._late.is_certain
        )
        if watching is None or self._looking or waits:
            return False
        return watching.watcher.is_quiet()

    def pause(self, pause: Pause) -> None:
        """Record nothing until `resume`; what changes meanwhile is remembered."""
        self._pause = pause
        self.ready.set()

    def resume(self) -> None:
        self._pause = None
        self._wake.set()

    def stop(self, *, record: bool = True) -> None:
        """`run` records what is dirty, and returns."""
        self._stopping = True
        self._records_at_end = record
        self._wake.set()

    def hint(self, folders: Collection[str]) -> None:
        """A look of another process found a difference there, of which no event may have told."""
        if folders and self._root.now is not None:
            now = self._clock.monotonic()
            self._debounce.add(folders, first=now, last=now)
            self._wake.set()

    def reconcile_soon(self) -> None:
        """Look at everything with the next step."""
        self._next_reconcile = self._clock.monotonic()
        self._wake.set()

    def follow(self, timing: Timing) -> None:
        """From now on, in another timing; and watch again what could not be watched."""
        if timing.reconcile != self._timing.reconcile:
            self._timing = timing
            self._next_reconcile = self._reconcile_after()
        self._timing = timing
        self._debounce.settle, self._debounce.longest = timing.settle, timing.longest
        self._root.follow(timing)
        self._wake.set()

    # The loop.

    async def run(self) -> None:
        try:
            while not self._stopping:
                await self.step()
                await self._wait()
            await self.finish()
        except asyncio.CancelledError:
            self._root.abandon()
            raise

    async def step(self) -> None:
        """Everything that is due now."""
        self._looking = True
        try:
            await self._step()
        finally:
            self._looking = False

    async def _step(self) -> None:
        self._take_hints()
        if self._clock.monotonic() >= self._root.next:
            await self._check_root()
            self._take_hints()  # nothing wakes us for what came meanwhile
        now = self._clock.monotonic()
        if not self._may_record:
            return
        if again := self._unstable_files.take(now) | self._late.take(now):
            self._debounce.add(again, first=now, last=now - self._timing.settle)
        if (batch := self._debounce.take(now)) is not None:
            await self._record_if_done(batch)
        elif self._is_reconcile_due(now):
            await self._reconcile()

    async def finish(self) -> None:
        """Record what is dirty and let go; the rest is found by the next start."""
        self._take_hints()
        batch = self._debounce.take_all()
        if batch is not None and self._may_record and self._records_at_end:
            if await self._is_half_done(batch):
                log.info("%s: files are being written: left to the next start", self.app.key)
            else:
                await self._record(batch)
        await self._root.let_go()

    @property
    def _may_record(self) -> bool:
        return self._root.now is not None and self._pause is None

    def due(self) -> float | None:
        """When `step` has something to do, as far as is known now; None: when it is woken."""
        times: list[float | None] = [self._root.next]
        if self._root.now is not None and self._pause is None:
            times += [self._debounce.due(), self._unstable_files.due, self._late.due]
            times += [self._next_reconcile, self._root.now.due]
        return min(time for time in times if time is not None)

    async def _wait(self) -> None:
        """Until something is due. While folders wait to be quiet, hints are left where they are:
        under steady writing nothing wakes us for each of them.
        """
        due = self.due()
        if self._debounce and self._pause is None and not self._stopping:
            due = min(due or 0.0, self._clock.monotonic() + self._timing.settle)
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
        watching, hints = self._root.now, self._root.take()
        if watching is not None and hints.lost:
            # How long it was quiet before a poll is not known; the next one must not put it off.
            quiet = self._timing.settle if watching.is_polling else 0.0
            self._debounce.add_whole(watching.lost_reason, now=hints.last - quiet)
        if hints.folders:
            self._debounce.add(
                hints.folders,
                first=hints.first,
                last=hints.last,
                # that they were closed may be among what was lost
                writing=() if hints.lost else hints.writing,
                closed=hints.closed,
                unsure=hints.unsure,
            )

    async def _check_root(self) -> None:
        """If another directory is watched from now on, everything is to be looked at."""
        try:
            if not await self._root.check():
                return
        except (EpmError, OSError) as error:
            if is_gone(error):
                await self._gone(error)
                return
            # of the store, the host or a permission: of the root, nothing is known
            self._report.failed(error)
            self.ready.set()
            return
        reason: Reason = "scan" if self._started else self._first_reason
        phase: WatchPhase = "watching" if self._started else "starting"
        self._report.watched(phase, () if self._root.now is None else self._root.now.degraded)
        self._debounce.add_whole(reason, now=self._clock.monotonic() - self._timing.settle)

    async def _gone(self, error: Exception) -> None:
        await self._root.lose(was_known=self._started)
        self._debounce.take_all()  # once it is back, everything is looked at
        self._report.gone(str(error))
        self.ready.set()

    async def _record_if_done(self, batch: Batch) -> None:
        """What a process is still writing is waited for, though not for ever."""
        now = self._clock.monotonic()
        latest = batch.first + self._timing.longest
        if now < latest and await self._is_half_done(batch):
            self.ready.set()
            wait = now + self._timing.settle
            self._debounce.give_back(batch, not_before=min(wait, latest))
        else:
            await self._record(batch)

    async def _is_half_done(self, batch: Batch) -> bool:
        if not halfdone.needs_a_look(batch):
            return False
        since = self._clock.now() - self._timing.longest
        try:
            return await self.bridge.run(lambda _: self._look_for_writers(self.app, batch, since))
        except (EpmError, OSError):
            return bool(batch.writing)

    async def _record(self, batch: Batch) -> None:
        if batch.reason == "after-overflow":
            self._report.overflowed()
        try:
            outcome = await self.bridge.run(lambda ws: self._look(ws, batch))
        except Exception as error:
            await self._failed(batch, error)
            return
        finally:
            self._gauge.rest()
        self._failures = 0
        self._started = True
        self._note(outcome, batch)
        if outcome.is_new and (noisy := self._noisy_files.note(outcome.written)):
            await self._quieten(noisy)
        self._unstable_files.note(outcome.unstable, self._clock.monotonic(), self._timing)
        self.ready.set()

    async def _quieten(self, noisy: list[str]) -> None:
        """Record no contents of these any more. The appcat says so, which makes a new recorder."""
        self._report.noisy(noisy)
        try:
            await self.bridge.run(lambda ws: ws.apps.add_noisy(self.app.key, noisy))
        except (EpmError, OSError) as error:
            self._report.failed(error)

    def _look(self, workspace: Workspace, batch: Batch) -> RecordingOutcome:
        """In the worker's thread."""
        if batch.whole is not None and self._root.now is not None:
            self._root.now.watcher.renew()
        only = batch.only
        if only is not None:  # nor does the next version know what is there, without another look
            only |= self._report.unseen
        handle = self._handle(workspace)
        writing: frozenset[str] = frozenset()
        if halfdone.needs_a_look(batch):
            since = self._clock.now() - self._timing.longest
            writing = halfdone.still_written(self.app, batch, since)
        contents = not self.is_full
        return record(handle, batch.reason, only, contents=contents, writing=writing)

    def _handle(self, workspace: Workspace) -> AppHandle:
        """Raises AppNotFoundError for an app that was removed meanwhile."""
        found = workspace.apps.get(self.app.key)
        if self._known is None or self._known.app != found:
            self._known = self._gauged(workspace).app(self.app.key)
        return self._known

    def _gauged(self, workspace: Workspace) -> Workspace:
        """One that tells how far it is."""
        self._gauge.beneath = workspace.progress
        return workspace.for_actor(ACTOR, self._gauge)

    async def _failed(self, batch: Batch, error: Exception) -> None:
        """Nothing was recorded: what to say of it, and when to try again."""
        self._failures += 1
        now = self._clock.monotonic()
        wait = min(self._timing.retry * 2 ** (self._failures - 1), self._timing.retry_longest)
        if isinstance(error, RootError | WatchLimitError):
            self._root.renew() if isinstance(error, WatchLimitError) else self._root.check_soon()
            self._debounce.give_back(batch, not_before=now + wait)
            return
        self.ready.set()
        if isinstance(error, BusyError | ChangeOpenError):
            wait = min(wait, 5.0)
            self._report.held(error.message)
        elif isinstance(error, ConflictError):
            await self._recovery.run(error)
        else:
            self._report.failed(error)
        self._debounce.give_back(batch, not_before=now + wait)

    def _is_reconcile_due(self, now: float) -> bool:
        """What waits to be quiet, or to be written to its end, goes first; it cannot put it off for
        ever.
        """
        when = self._next_reconcile
        if when is None or now < when:
            return False
        return not self._debounce or now >= when + self._timing.longest

    async def _reconcile(self) -> None:
        """Look at everything, for what no event told of."""
        bridge, now = self._slow, self._clock.monotonic()
        if bridge.is_busy:  # with another root, whose file system may even hang
            self._put_off_since = self._put_off_since or now
            if now < self._put_off_since + PUT_OFF:
                self._next_reconcile = now + self._timing.settle
                return
            bridge = self.bridge
        self._put_off_since = None
        self._next_reconcile = self._reconcile_after()
        batch = Batch(frozenset(), "scan", self._clock.monotonic())
        try:
            shares = self._timing.shares
            outcome = await bridge.run(
                lambda ws: record_all(
                    self._gauged(ws), self.app.key, shares, contents=not self.is_full
                )
            )
        except Exception as error:
            await self._failed(batch, error)
            return
        finally:
            self._gauge.rest()
        self._take_hints()
        unexpected = [p for p in outcome.made if not self._debounce.has(folder_of(p))]
        self._note(outcome, batch)
        self._report.reconciled(len(unexpected))

    def _note(self, outcome: RecordingOutcome, batch: Batch) -> None:
        looked = to_rfc3339(self._clock.now()) if batch.only is None else None
        self._report.recorded(outcome, batch.reason, looked=looked)
        now = self._clock.monotonic()
        self._late.note(outcome.late, now, is_certain=outcome.is_mapped)

    # The state.

    def _phase(self) -> WatchPhase:
        phase = self._report.state.phase
        if phase in ("gone", "error"):
            return phase
        if self._pause is not None:
            return "paused"
        watching = self._root.now
        return "polling" if phase == "watching" and watching and watching.is_polling else phase

    def _degraded(self) -> tuple[str, ...]:
        found = () if self._root.now is None else self._root.now.degraded
        if self.why_full is not None:
            found = (*found, f"recorded without contents: {self.why_full}")
        return (*found, *self._report.degraded())

    def _reconcile_after(self) -> float | None:
        if self._timing.reconcile is None:
            return None
        return self._clock.monotonic() + self._timing.reconcile * self._random.uniform(0.9, 1.1)
