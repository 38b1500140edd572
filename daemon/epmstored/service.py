"""The daemon itself: what is started in which order, and how it ends.

Start: be the only one; open the store, which finishes interrupted checkouts; watch every root, then
look at it; ready. SIGTERM and SIGINT record what is dirty and end; SIGHUP reads the appcat again.
Being killed loses nothing: what was not recorded is found by the next start.
"""

import asyncio
import logging
import signal
from collections.abc import Callable, Container, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epmstore import locks
from epmstore.clock import to_rfc3339
from epmstore.config import Config
from epmstore.errors import BusyError, EpmError
from epmstore.places import DAEMON_LOCK
from epmstore.workspace import Workspace
from epmstored.aftermath import AftermathTasks
from epmstored.alarm import Alarm
from epmstored.appcatwatch import AppcatWatch
from epmstored.bridge import Bridge
from epmstored.cancellation import Cancellation
from epmstored.care import Carer
from epmstored.caretasks import ACTOR
from epmstored.clock import DaemonClock
from epmstored.control import Control
from epmstored.gauge import words
from epmstored.health import Patience, troubles
from epmstored.notify import Notifier
from epmstored.supervisor import Supervisor
from epmstored.systemd_jobs import Systemd
from epmstored.timing import Timing, waiting_settings
from epmstored.watching import WatcherFactory

if TYPE_CHECKING:  # memory, where it is off
    from epmstored.console.serving import Console

log = logging.getLogger("epmstored")
PATIENCE = 1.0
"""Seconds: a command that only asks whether there is a daemon takes its lock for a moment."""
LOOK = 5.0
"""Seconds between two looks at what is in trouble."""
PROGRESS = 30.0
"""Seconds between two lines about a first look."""
DRAIN = 10.0
"""Seconds that recording has at the end, and then once more for what hangs."""


class Service:
    """One store's daemon."""

    def __init__(
        self,
        store: Path,
        *,
        clock: DaemonClock,
        timing: Timing,
        watch: WatcherFactory,
        notifier: Notifier,
        config: Config = Config(),  # noqa: B008 - frozen
        read_config: Callable[[], Config] | None = None,
        safe_stores: Container[Path] = (),
        make_console: "type[Console] | None" = None,
    ) -> None:
        """`read_config` reads the settings again. Raises UsageError, OSError."""
        self.store = store
        self._safe = safe_stores
        self._make_console = make_console
        self._config = config
        self._started_with = config
        self._clock = clock
        self._timing = timing
        self._cancellation = Cancellation()
        self._read_config = read_config or (lambda: config)
        self._watch = watch
        self._notifier = notifier
        self.started = to_rfc3339(clock.now())

    def open_workspace(self) -> Workspace:
        """For a thread of its own."""
        return Workspace.open(
            self.store,
            progress=self._cancellation,
            actor=ACTOR,
            recover=False,
            safe_stores=self._safe,
        )

    async def run(self) -> None:
        """Until a signal. Raises BusyError if a daemon runs already, NoStoreError, DamagedError."""
        self._first_opening()
        try:
            with locks.hold(self.store / "locks", DAEMON_LOCK, wait=PATIENCE, owner="(epmstored)"):
                await self._run()
        except BusyError as error:
            if error.data.get("lock") != DAEMON_LOCK:
                raise
            raise BusyError(
                f"a daemon runs for this store already: {error.data.get('holder')}",
                hint="`epmstore daemon status` asks it",
                **error.data,
            ) from None

    def _first_opening(self) -> None:
        """Before anything else, also of the lock: whether there is a store at all."""
        with Workspace.open(self.store, actor=ACTOR, safe_stores=self._safe) as workspace:
            for result in workspace.recovered:
                log.warning("%s: an interrupted checkout was finished", result.app)
            apply_declared(workspace)

    async def _run(self) -> None:
        alarm = Alarm(self._config.daemon.alert, self.open_workspace)
        self.supervisor = Supervisor(
            self.open_workspace,
            clock=self._clock,
            timing=self._timing,
            watch=self._watch,
            recorded=alarm.recorded,
        )
        self._carer = carer = Carer(
            self.store, self.supervisor, self.open_workspace, config=self._config, clock=self._clock
        )
        console = self._console(carer)
        control = Control(
            self.store,
            self.supervisor,
            self.open_workspace,
            self._config.daemon,
            proofs=carer,
            hook_limits=lambda: self._config.checkout,
            console=console,
        )
        if console is not None:
            console.connect(control.api.jobs)
        self._end = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end.set)
        try:
            async with asyncio.TaskGroup() as tasks:
                supervised = tasks.create_task(self.supervisor.run(), name="supervisor")
                loop.add_signal_handler(signal.SIGHUP, lambda: tasks.create_task(self.reapply()))
                helpers = self._start_helpers(tasks, control, alarm, console)
                await self._end.wait()
                log.info("stopping")
                self._notifier.stopping()
                for task in helpers:
                    task.cancel()
                await asyncio.wait(helpers)
                await self._drain(supervised)
        finally:
            await self.supervisor.close()

    def _start_helpers(
        self,
        tasks: asyncio.TaskGroup,
        control: Control,
        alarm: Alarm,
        console: "Console | None",
    ) -> list[asyncio.Task[None]]:
        """What goes on beside the recording, and ends before it."""
        work: dict[str, Coroutine[Any, Any, None]] = {
            "heartbeat": self._beat(),
            "control": control.run(),
            "ready": self._announce(),
            "appcat": self._follow_appcat(),
            "aftermath": self._keep_promises(),
            "care": self._carer.run(),
            "alarm": alarm.run(),
            "trouble": self._tell(alarm),
            "progress": self._show_progress(),
        }
        if console is not None:
            work["console"] = console.run()
        return [tasks.create_task(one, name=name) for name, one in work.items()]

    def _console(self, carer: Carer) -> "Console | None":
        """Its modules are imported where it is on (epmstored.main), and only there."""
        if self._make_console is None or not self._config.console.is_on:
            return None
        return self._make_console(
            self.store, self.supervisor, self.open_workspace, self._config, carer
        )

    async def _drain(self, supervised: asyncio.Task[None]) -> None:
        """Let what is dirty be recorded, for a while; then stop what reports, then what hangs."""
        self.supervisor.stop()
        for give_up in (self._cancellation.cancel, supervised.cancel):
            _, late = await asyncio.wait({supervised}, timeout=DRAIN)
            if not late:
                return
            log.warning("not everything could be recorded in time; the next start goes on")
            give_up()

    def stop(self) -> None:
        """As SIGTERM does."""
        self._end.set()

    async def reapply(self) -> None:
        """As SIGHUP does: read the settings, apply what files declare, and watch what the appcat
        has, also what could not be watched before.
        """
        try:
            self._follow(await asyncio.to_thread(self._read_config))
            log.info("the settings were read again")
        except (EpmError, OSError) as error:
            log.error("the settings were not read again: %s", error)
        try:
            await self.supervisor.store.run(apply_declared)
        except (EpmError, OSError) as error:
            log.error("what is declared was not applied: %s", error)
        await self.reload()

    def _follow(self, config: Config) -> None:
        """Settings, as far as they can count before the next start; the others are named."""
        self._config = config
        self.supervisor.follow(Timing.of(config.daemon))
        self._carer.follow(config)
        waiting = waiting_settings(self._started_with, config)
        self.supervisor.waiting_settings = waiting
        if waiting:
            log.warning("count from the next start of the daemon: %s", ", ".join(waiting))

    async def reload(self) -> None:
        """Watch what the appcat has now. What cannot be read is said and left."""
        self._notifier.reloading(self._clock.monotonic())
        try:
            await self.supervisor.reload()
        except (EpmError, OSError) as error:
            log.error("the appcat was not reloaded: %s", error)
        self._notifier.ready(self._summary())

    async def _follow_appcat(self) -> None:
        """What the command line changes in the appcat is noticed without a signal."""
        watch = AppcatWatch(self.store / "catalogs")
        try:
            while True:
                await watch.changed()
                await self.reload()
        finally:
            await asyncio.to_thread(watch.close)

    async def _keep_promises(self) -> None:
        """Checkouts that were not confirmed are undone, those that a crash left are ended."""
        bridge = Bridge("aftermath", self.open_workspace)
        try:
            await AftermathTasks(self.store, bridge, self._clock, Systemd()).run()
        finally:
            await bridge.close(wait=1.0)

    async def _announce(self) -> None:
        await self.supervisor.ready()
        log.info("ready: %s", self._summary())
        self._notifier.ready(self._summary())

    async def _tell(self, alarm: Alarm) -> None:
        """Of the daemon's own troubles, when they last, and when they are over."""
        patience = Patience()
        while True:
            carer, states = self._carer, self.supervisor.states()
            found = troubles(states, carer.room, carer.damage, carer.leap)
            for news in patience.note(found, self._clock.monotonic()):
                alarm.trouble(news)
            await asyncio.sleep(LOOK)

    async def _show_progress(self) -> None:
        """Of first looks, which may take long: to the log and to systemd."""
        while True:
            await asyncio.sleep(PROGRESS)
            for state in self.supervisor.states():
                if state.doing is not None and state.looked is None:
                    text = f"{state.app}: first look: {words(state.doing)}"
                    log.info("%s", text)
                    self._notifier.status(text)

    async def _beat(self) -> None:
        """Tell systemd that the loop turns."""
        interval = self._notifier.interval
        while interval is not None:
            self._notifier.alive()
            await asyncio.sleep(interval)

    def _summary(self) -> str:
        states = self.supervisor.states()
        troubled = [state.app for state in states if state.phase in ("gone", "error")]
        many = "application is" if len(states) == 1 else "applications are"
        text = f"{len(states)} {many} watched"
        return f"{text}; trouble with {', '.join(troubled)}" if troubled else text


def apply_declared(workspace: Workspace) -> None:
    """Register what the files of apps.d declare; what is wrong with one is said. Raises OSError."""
    for one in workspace.apps.apply_declared():
        if one.error is not None:
            log.error("%s was not applied: %s", one.key, one.error)
        elif one.action != "unchanged":
            log.info("%s: %s, as declared", one.key, one.action)
