"""The console in the life of the daemon: its threads, its entrances, its start and its end.

Imported only where the console is switched on. Recording does not depend on it: an entrance that
cannot be opened is said, and nothing more.
"""

import asyncio
import logging
import os
import pwd
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from aiohttp import web

from epmstore.clock import Clock, SystemClock
from epmstore.config import Config, ConsoleConfig
from epmstore.errors import ConflictError, EpmError, UsageError
from epmstore.places import console_socket_path
from epmstore.workspace import Workspace
from epmstore.workspace.shapes import Shape
from epmstored.api.core import Core, Proofs
from epmstored.api.peers import Peer
from epmstored.api.readers import Readers
from epmstored.bridge import Bridge
from epmstored.console.entrances import (
    OPTIONS,
    BrowserConnection,
    Entrance,
    close,
    for_proxy,
    on_port,
)
from epmstored.console.goingback import GoingBack, JobDesk
from epmstored.console.principals import People
from epmstored.console.sessions import LINK_SECONDS, Sessions
from epmstored.console.site import Site, SiteParts
from epmstored.console.standings import Standings

log = logging.getLogger("epmstored.console")

READERS: Final = 2
GIVES_WAY: Final = 10
CLOSE_SECONDS: Final = 5.0
GRACE_SECONDS: Final = 2.0


class Console:
    """Within a running event loop."""

    def __init__(
        self,
        store: Path,
        core: Core,
        open_workspace: Callable[[], Workspace],
        config: Config,
        proofs: Proofs,
        clock: Clock | None = None,
    ) -> None:
        self._store, self._config = store, config.console
        self._readers = [Bridge(f"console-{n}", open_workspace) for n in range(READERS)]
        self._planner = Bridge("console-plan", open_workspace)
        self._decider = Bridge("console-decide", open_workspace)
        self._back = GoingBack(Readers([self._planner]), Readers([self._decider]))
        self._looker = Bridge("console-look", open_workspace, niceness=GIVES_WAY)
        self._sessions = Sessions(idle=self._config.idle, longest=self._config.longest)
        self._people = People(
            os.stat(store).st_uid, viewers=config.daemon.group, operators=self._config.operators
        )
        loop = asyncio.get_running_loop()
        self._standings = Standings(self._looker, loop.time)
        self._port: Entrance | None = None
        self.ready = asyncio.Event()
        self._site = Site(
            SiteParts(
                store=store,
                core=core,
                proofs=proofs,
                readers=Readers(self._readers),
                back=self._back,
                standings=self._standings,
                sessions=self._sessions,
                people=self._people,
                clock=clock or SystemClock(),
                host=socket.gethostname(),
            )
        )

    def connect(self, jobs: JobDesk) -> None:
        """These do what is asked for. Before `run`."""
        self._back.jobs = jobs

    async def invite(self, peer: Peer) -> Shape:
        """A link for the user at the other end of the control socket. Raises ConflictError."""
        if self._port is None:
            where = self._config.proxy_origin
            hint = None if where is None else f"it is at {where}, which knows who you are"
            raise ConflictError("the console has no port of its own", hint=hint)
        principal = await self._people.by_uid(peer.uid)
        if principal is None:
            raise UsageError(f"this host has no user with the number {peer.uid}")
        once = self._sessions.invite(principal.user, asyncio.get_running_loop().time())
        return {
            "type": "console_link",
            "app": None,
            "url": f"http://{self._port.name}/enter?once={once}",
            "listen": self._port.name,
            "user": principal.user,
            "seconds": round(LINK_SECONDS),
        }

    async def run(self) -> None:
        """Answer until cancelled. What goes wrong ends the console, and not the daemon."""
        try:
            await self._serve()
        except Exception:
            log.exception("the console has ended")
        finally:
            bridges = [*self._readers, self._looker, self._planner, self._decider]
            await asyncio.gather(*(bridge.close(CLOSE_SECONDS) for bridge in bridges))

    async def _serve(self) -> None:
        runner = web.AppRunner(self._site.application(), handle_signals=False, access_log=None)
        await runner.setup()
        servers: list[tuple[asyncio.Server, socket.socket, Path | None]] = []
        looking = asyncio.create_task(self._standings.run(), name="console-look")
        try:
            for entrance, listener, path in self._entrances():
                servers.append((await _listen(runner, entrance, listener), listener, path))
                log.info("the console is at %s", entrance.name)
            self.ready.set()
            await looking
        finally:
            looking.cancel()
            self._port = None
            for server, listener, path in servers:
                server.close()
                close(listener, path)
            assert runner.server is not None
            await runner.server.shutdown(GRACE_SECONDS)
            await runner.cleanup()

    def _entrances(self) -> list[tuple[Entrance, socket.socket, Path | None]]:
        """Those that can be opened; what keeps the others closed is said."""
        found: list[tuple[Entrance, socket.socket, Path | None]] = []
        config = self._config
        if config.listen is not None:
            try:
                self._port, listener = on_port(config.listen)
                found.append((self._port, listener, None))
            except OSError as error:
                log.error("console.listen: nobody can open the console there: %s", error)
        if config.proxy_user is not None:
            try:
                path = console_socket_path(self._store)
                entrance, listener = for_proxy(path, _uid(config), config.proxy_origin or "")
                found.append((entrance, listener, path))
            except (EpmError, OSError, KeyError) as error:
                log.error("console.proxy_user: no proxy can open the console: %s", error)
        return found


def _uid(config: ConsoleConfig) -> int:
    """Raises KeyError."""
    return pwd.getpwnam(config.proxy_user or "").pw_uid


async def _listen(
    runner: web.AppRunner, entrance: Entrance, listener: socket.socket
) -> asyncio.Server:
    loop, manager = asyncio.get_running_loop(), runner.server
    assert manager is not None
    there: set[BrowserConnection] = set()

    def connection() -> BrowserConnection:
        return BrowserConnection(entrance, there, manager, loop=loop, logger=log, **OPTIONS)

    if listener.family == socket.AF_UNIX:
        return await loop.create_unix_server(connection, sock=listener)
    return await loop.create_server(connection, sock=listener)
