"""The control API in the life of the daemon: its threads, its start and its end.

Recording does not depend on it: a socket that cannot be made is said, and nothing more.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from epmstore.config import CheckoutConfig, DaemonConfig
from epmstore.errors import EpmError
from epmstore.workspace import Workspace
from epmstored.api.core import ConsoleDoor, Core, NoProofs, Proofs
from epmstored.api.server import ControlApi, Runners, usable_group
from epmstored.api.work import HookLimits, Work
from epmstored.bridge import Bridge

log = logging.getLogger("epmstored.api")

CLOSE_SECONDS = 10.0


class Control:
    """Within a running event loop."""

    def __init__(
        self,
        store: Path,
        core: Core,
        open_workspace: Callable[[], Workspace],
        config: DaemonConfig,
        *,
        proofs: Proofs | None = None,
        hook_limits: HookLimits = CheckoutConfig,
        console: ConsoleDoor | None = None,
    ) -> None:
        """`hook_limits` are those in force when a job begins."""

        def bridges(name: str, count: int) -> list[Bridge]:
            return [Bridge(f"{name}-{number}", open_workspace) for number in range(count)]

        self._readers, self._lookers = bridges("reader", 2), bridges("looker", 1)
        self._workers = bridges("job", 2)
        self._group = config.group
        self.api = ControlApi(
            store,
            core,
            Runners(readers=self._readers, lookers=self._lookers, workers=self._workers),
            group=config.group,
            with_metrics=config.metrics,
            proofs=proofs or NoProofs(),
            perform=Work(hook_limits).perform,
            console=console,
        )

    async def run(self) -> None:
        """Answer until cancelled: then what runs may end, and nothing new begins."""
        if self._group != DaemonConfig().group and usable_group(self._group) is None:
            log.warning(
                "daemon.group: there is no group %r that the socket may be given to: it answers"
                " root and the owner of the store alone",
                self._group,
            )
        try:
            log.info("listening at %s", self.api.path)
            await self.api.run()
        except (EpmError, OSError) as error:
            log.error("nobody can ask this daemon: %s", error)
        finally:
            everything = [*self._readers, *self._lookers, *self._workers]
            await asyncio.gather(*(bridge.close(CLOSE_SECONDS) for bridge in everything))
