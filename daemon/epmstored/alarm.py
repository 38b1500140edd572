"""A command is run when something was changed that no release of the vendor explains, and when the
daemon itself is in trouble.

Changes count only of applications with a reference catalog: without one, nothing is explained. The
command gets the rules of all hooks (epmstore/checkout/hook_process.py). One that fails is said and
not tried again: the version, the log and the metric stay.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from epmstore.catalog.hooks import parse_command
from epmstore.checkout.hook_process import CommandRunner, Commands
from epmstore.errors import EpmError
from epmstore.workspace import Workspace
from epmstored.bridge import Bridge
from epmstored.health import News

log = logging.getLogger("epmstored")

WAITING: Final = 100
"""Versions that wait to be looked at; what comes beyond that is said in the log alone."""
LIMIT: Final = 60.0
"""Seconds that the command may take."""


class Alarm:
    """`command` is what is to be run (None: nothing)."""

    def __init__(
        self,
        command: str | None,
        open_workspace: Callable[[], Workspace],
        runner: CommandRunner | None = None,
    ) -> None:
        """Raises UsageError."""
        self._command = parse_command(command) if command else None
        self._open_workspace = open_workspace
        self._runner = runner or Commands()
        self._waiting: asyncio.Queue[tuple[str, int] | News] = asyncio.Queue(WAITING)

    def recorded(self, app: str, version: int) -> None:
        """A version of an application (its key) was recorded."""
        if self._command is None:
            return
        try:
            self._waiting.put_nowait((app, version))
        except asyncio.QueueFull:
            log.warning("%s: too much is recorded to look what explains %d", app, version)

    def trouble(self, news: News) -> None:
        """Something is wrong with the daemon, or not any more."""
        found = news.trouble
        about = found.app or "the store"
        if news.is_over:
            log.warning("%s: is well again (it was: %s)", about, found.why)
        else:
            log.error("%s: in trouble: %s", about, found.why)
        if self._command is None:
            return
        try:
            self._waiting.put_nowait(news)
        except asyncio.QueueFull:
            log.warning("%s: too much is to be told to tell of its trouble", about)

    async def run(self) -> None:
        """Until cancelled."""
        if self._command is None:
            return
        if not self._runner.find(self._command[0]):
            log.warning(
                "daemon.alert: there is no program %r: nobody would be told", self._command[0]
            )
        bridge = Bridge("alarm", self._open_workspace, niceness=10)
        try:
            while True:
                await self.step(bridge)
        finally:
            await bridge.close(wait=1.0)

    async def step(self, bridge: Bridge) -> None:
        """The next version, or the next trouble; waits for one."""
        found = await self._waiting.get()
        if isinstance(found, News):
            about, what = found.trouble.app or "the store", f"trouble ({found.trouble.kind})"
        else:
            about, what = found[0], f"version {found[1]}"
        try:
            if isinstance(found, News):
                # no store is asked: it may be what is in trouble
                await asyncio.to_thread(self._tell, found)
            else:
                key, version = found
                await bridge.run(lambda workspace: self._look(workspace, key, version))
        except (EpmError, OSError) as error:
            log.error("%s: nobody was told of %s: %s", about, what, error)
        except Exception:  # an alarm is no reason to stop recording
            log.exception("%s: nobody was told of %s", about, what)

    def _tell(self, news: News) -> None:
        """In a thread. Raises OSError."""
        found = news.trouble
        self._run(
            {
                "EPMSTORE_HOOK": "trouble",
                "EPMSTORE_APP": found.app or "",
                "EPMSTORE_TROUBLE": found.kind,
                "EPMSTORE_STATE": "over" if news.is_over else "begun",
                "EPMSTORE_WHY": found.why,
            }
        )

    def _look(self, workspace: Workspace, key: str, version: int) -> None:
        """In the bridge's thread. Raises EpmError, OSError."""
        handle = workspace.app(key)
        explained = handle.explanations().get(version)
        if explained is None or explained.rest == 0 or self._command is None:
            return
        log.warning(
            "%s: version %d: no release explains %d changed files", key, version, explained.rest
        )
        environment = {
            "EPMSTORE_HOOK": "unexplained",
            "EPMSTORE_APP": key,
            "EPMSTORE_ROOT": handle.app.root,
            "EPMSTORE_VERSION": str(version),
            "EPMSTORE_FILES": str(explained.rest),
        }
        self._run(environment)

    def _run(self, environment: dict[str, str]) -> None:
        if self._command is None:
            return
        ran = self._runner.run(self._command, environment, LIMIT)
        if ran.status != 0:
            how = "killed" if ran.status is None else f"exit status {ran.status}"
            last = ran.output.decode(errors="replace").strip().rpartition("\n")[2]
            log.error("daemon.alert failed (%s): %s", how, last)
