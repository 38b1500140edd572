"""Keeping what was promised: undo what was not confirmed in time, end what a crash left, take back
what was set for a while.

A look at the names in `journals/` each few seconds is all that it costs when nothing is owed. What
fails is tried again, not too often. What is done, and how, is the library's
(workspace/app/recovering.py).
"""

import asyncio
import logging
import os
from pathlib import Path
from typing import Final

from epmstore.errors import BusyError, EpmError
from epmstore.workspace import AppHandle, Workspace
from epmstored.bridge import Bridge
from epmstored.clock import DaemonClock
from epmstored.systemd_jobs import SystemdJobs

log = logging.getLogger("epmstored")

PERIOD: Final = 2.0
"""Seconds between two looks: as much later than promised an undo may begin."""
AGAIN: Final = 60.0
"""Seconds until what failed, or was handed over, is tried again."""
WAITING: Final = (".owed", ".lasting")
"""Names of files that say of an application that something may be due."""
UNIT: Final = "epmstore-recover@{}.service"


class AftermathTasks:
    """For one store; `bridge` is a thread that hooks may keep waiting."""

    def __init__(
        self, store: Path, bridge: Bridge, clock: DaemonClock, systemd: SystemdJobs
    ) -> None:
        self._journals = store / "journals"
        self._bridge = bridge
        self._clock = clock
        self._systemd = systemd
        self._not_before: dict[str, float] = {}

    async def run(self) -> None:
        """Until cancelled; what has begun is then finished by the thread, or by the next start."""
        while True:
            if self.is_anything_owed():
                try:
                    await self._bridge.run(self.settle)
                except (EpmError, OSError) as error:
                    log.error("what checkouts owe was not looked at: %s", error)
            await asyncio.sleep(PERIOD)

    def is_anything_owed(self) -> bool:
        try:
            return any(name.endswith(WAITING) for name in os.listdir(self._journals))
        except OSError:
            return False

    def settle(self, workspace: Workspace) -> None:
        """Do what is due now, application by application. In a thread."""
        for app in workspace.apps.list():
            if self._clock.monotonic() < self._not_before.get(app.uuid, 0.0):
                continue
            handle = workspace.app(app.key)
            try:
                if handle.obligations.is_expired or handle.obligations.left_behind() is not None:
                    self._not_before[app.uuid] = self._clock.monotonic() + AGAIN
                    self._settle(handle)
                elif handle.parameters.is_due:
                    self._not_before[app.uuid] = self._clock.monotonic() + AGAIN
                    self._take_back(handle)
            except BusyError:
                self._not_before.pop(app.uuid, None)  # a command is at it
            except (EpmError, OSError) as error:
                self._not_before[app.uuid] = self._clock.monotonic() + AGAIN
                log.error("%s: %s", app.key, error)
                for line in getattr(error, "data", {}).get("report", ()):
                    log.error("%s: %s", app.key, line)

    def _settle(self, handle: AppHandle) -> None:
        key = handle.app.key
        why = (
            "was not confirmed in time"
            if handle.obligations.is_expired
            else "did not come to its end"
        )
        if self._systemd.is_needed(handle.app.root):
            log.warning("%s: a checkout %s; %s sees to it", key, why, UNIT.format(key))
            self._systemd.start(UNIT.format(key), wait=False)
            return
        log.warning("%s: a checkout %s", key, why)
        result = handle.obligations.recover(wait=0)
        self._not_before.pop(handle.app.uuid)  # what comes next has not failed
        for run in result.hooks if result is not None else ():
            log.info("%s: %s: %s", key, run.hook, run.why)
        log.warning("%s: version %s is live", key, handle.versions()[-1].version)
        others = () if result is None else result.transaction
        if len(others) > 1:
            log.warning("%s: with it, by the same transaction: %s", key, ", ".join(others))

    def _take_back(self, handle: AppHandle) -> None:
        """What was set for a while."""
        key = handle.app.key
        if self._systemd.is_needed(handle.app.root):
            log.warning("%s: the time of a parameter is over; %s sees to it", key, UNIT.format(key))
            self._systemd.start(UNIT.format(key), wait=False)
            return
        result = handle.parameters.take_back(wait=0)
        self._not_before.pop(handle.app.uuid)
        if result is not None:
            log.warning("%s: %s: version %s is live", key, result.label, result.version)
