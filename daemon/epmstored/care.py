"""Looking after the store on schedule: room, retention, collection, a rolling check, proofs.

One thing at a time, in a process that gives way to all others (caretasks.py), and never while a
checkout or a change is under way. `step` is what is due now, and is what tests call. What was done
is remembered by the library (epmstore/care/ledger.py), so that a restart repeats nothing.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import msgspec

from epmstore.care import drill, ledger
from epmstore.clock import to_rfc3339
from epmstore.config import Config
from epmstore.errors import EpmError
from epmstore.reckon import DAY, GRACE
from epmstore.workspace import Workspace
from epmstored import room, schedule
from epmstored.bridge import Bridge
from epmstored.caretasks import CareOrder, TaskProcess
from epmstored.clock import DaemonClock
from epmstored.room import AMPLE, Room

log = logging.getLogger("epmstored.care")

PERIOD: Final = 60.0
"""Seconds between two looks at room and schedule."""
UNDER_WAY: Final = (".journal", ".change", ".owed", ".transaction")
"""Ends of names in `journals/` of what must not be disturbed."""


class RoomListener(Protocol):
    """What is told of the room there is (epmstored.supervisor)."""

    def set_room(self, *, why_full: str | None) -> None:
        """While there is a reason, no contents are recorded."""
        ...


class Carer:
    """For one store."""

    def __init__(
        self,
        store: Path,
        recording: RoomListener,
        open_workspace: Callable[[], Workspace],
        *,
        config: Config,
        clock: DaemonClock,
    ) -> None:
        self._store = store
        self._recording = recording
        self._config = config
        self._clock = clock
        self._since = clock.now()
        self._bridge = Bridge("care", open_workspace, niceness=19)
        self._process = TaskProcess()
        self._known = ledger.load(store)
        self.room = AMPLE
        self.leap: float | None = None
        """Seconds by which the clock is ahead of reckoned time; None while it is believed."""

    async def run(self) -> None:
        """Until cancelled. What has begun is ended, and begun anew later."""
        try:
            await self._clear()
            while True:
                await self.step()
                await asyncio.sleep(PERIOD)
        finally:
            self._process.stop()
            await self._bridge.close(wait=1.0)

    async def step(self) -> schedule.CareTask | None:
        """What is due now; its name if there was anything. Raises nothing that care can meet."""
        # a store that is gone, or that cannot be opened, is the recorders' to say
        with contextlib.suppress(EpmError, OSError):
            await self._look_at_clock()
            await self._look_at_room()
        if self._is_anything_under_way():
            return None
        attempts = {n: schedule.Attempts(d.done, d.tried) for n, d in self._known.tasks.items()}
        task = schedule.due(
            attempts,
            self._config,
            now=self._clock.now(),
            seed=str(self._store),
            since=self._since,
        )
        if task is not None:
            await self._try(task)
        return task

    async def _clear(self) -> None:
        """What a drill left that was killed: the next one tries it again."""
        try:
            await self._bridge.run(lambda _: drill.clear(self._store))
        except (EpmError, OSError) as error:
            log.error("what a drill left cannot be removed: %s", error)

    def follow(self, config: Config) -> None:
        """From the next step on, by other settings."""
        self._config = config

    def proven(self, uuid: str) -> tuple[int, str] | None:
        """The newest version that was proven restorable, and when."""
        proof = self._known.proofs.get(uuid)
        return None if proof is None else (proof.version, proof.time)

    @property
    def damage(self) -> int:
        """Findings of the last check of the store."""
        return 0 if self._known.damage is None else self._known.damage.findings

    async def _look_at_room(self) -> None:
        """And at what commands have proven meanwhile."""
        self._known = await self._bridge.run(lambda _: ledger.load(self._store))
        usage = await self._bridge.run(lambda _: room.measure(self._store))
        found = room.judge(usage, self._config.store, self.room)
        if found.level != self.room.level:
            self._say(found)
        self.room = found
        self._recording.set_room(why_full=found.why if found.level == "full" else None)

    async def _look_at_clock(self) -> None:
        """It is observed here also so that a leap is noticed while nothing is recorded."""
        found = await self._bridge.run(lambda workspace: workspace.care.reckon())
        before, self.leap = self.leap, found.ahead if found.has_leapt else None
        if (before is None) == (self.leap is None):
            return
        if found.has_leapt:
            log.error(
                "the clock leapt: it says %s, and is %+.0f s from what this host was up since it"
                " was right; nothing is forgotten by its word until it is set right, or has kept to"
                " it for %.0f days of uptime",
                to_rfc3339(found.read.wall), found.ahead, GRACE / DAY
            )  # fmt: skip
        else:
            log.info("the clock is believed again")

    def _say(self, found: Room) -> None:
        if found.level == "full":
            log.error(
                "%s: changes are recorded without contents until there is room;"
                " `epmstore forget` and `epmstore gc` make some", found.why
            )  # fmt: skip
        elif found.level == "scarce":
            log.warning("room is getting scarce: %s", found.why)
        else:
            log.info("there is room again")

    def _is_anything_under_way(self) -> bool:
        try:
            return any(name.endswith(UNDER_WAY) for name in os.listdir(self._store / "journals"))
        except OSError:
            return True

    async def _try(self, task: schedule.CareTask) -> None:
        order = CareOrder(
            store=str(self._store),
            task=task,
            care=self._config.care,
            retention=self._config.retention,
            parent=os.getpid(),
        )
        await self._note(task, done=False)
        try:
            outcome = await self._bridge.run(lambda _: self._process.run(order))
        except (EpmError, OSError) as error:
            log.error("%s failed: %s", task, error)
            return
        for said in outcome.said:
            log.log(said.level, said.text)
        if outcome.done:
            await self._note(task, done=True)

    async def _note(self, task: schedule.CareTask, *, done: bool) -> None:
        now = self._clock.now()

        def edit(old: ledger.Ledger) -> ledger.Ledger:
            before = old.tasks.get(task, ledger.TaskTimes())
            new = ledger.TaskTimes(now if done else before.done, now)
            return msgspec.structs.replace(old, tasks={**old.tasks, task: new})

        try:
            self._known = await self._bridge.run(lambda _: ledger.change(self._store, edit))
        except (EpmError, OSError) as error:
            log.error("what was done cannot be written down: %s", error)
            self._known = edit(self._known)
