"""Ending a checkout that was killed while its root is watched."""

import logging

from epmstore.catalog.appcat import App
from epmstore.errors import ConflictError
from epmstore.workspace import Workspace
from epmstored.aftermath import UNIT
from epmstored.app_report import Report
from epmstored.bridge import Bridge
from epmstored.systemd_jobs import Systemd, SystemdJobs

log = logging.getLogger("epmstored")


class AppRecovery:
    """For one application; `bridge` is where it is done. A root that this process may not change is
    left to a unit of systemd.
    """

    def __init__(
        self, app: App, bridge: Bridge, report: Report, systemd: SystemdJobs | None = None
    ) -> None:
        self._app = app
        self._bridge = bridge
        self._report = report
        self._systemd = systemd or Systemd()

    async def run(self, found: ConflictError) -> None:
        """`found` is what a recording ran into. What goes wrong is reported."""
        try:
            who = await self._bridge.run(self._recover)
        except Exception as error:
            self._report.failed(error)
            return
        log.warning("%s: %s; recovered by %s", self._app.key, found.message, who)

    def _recover(self, workspace: Workspace) -> str:
        """Who did it, or does. In the worker's thread."""
        if self._systemd.is_needed(self._app.root):
            unit = UNIT.format(self._app.key)
            self._systemd.start(unit, wait=False)
            return unit
        workspace.app(self._app.key).obligations.recover(wait=0)
        return "the daemon"
