"""The control API: the socket, the table of routes, and everything between a byte and a handler.

    api = ControlApi(parts...)
    await api.run()         until it is cancelled; `ready` is set when it answers

Order for each request: who it is (connection.py), what it is like (gate.py), whether there is such
a path, whether this peer may, its values read once, and only then the handler. Errors of any layer
have one shape.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec
from aiohttp import web

from epmstore import __version__, fsio
from epmstore.atomic import directory
from epmstore.clock import Clock, SystemClock
from epmstore.errorform import UnexpectedError, from_system
from epmstore.errors import EpmError
from epmstore.places import socket_path
from epmstored.api import gate, listening
from epmstored.api.connection import Connection, ConnectionLimits, Guests, error_response
from epmstored.api.core import (
    ConsoleDoor,
    Core,
    NoConsole,
    NoProofs,
    Proofs,
    WorkspaceThread,
    scratch_folder,
)
from epmstored.api.forms import read_body, read_query
from epmstored.api.handlers import Call, Handlers, Parts
from epmstored.api.hub import Hub
from epmstored.api.jobs import Jobs, Perform
from epmstored.api.peers import Access, gid_of
from epmstored.api.readers import Readers
from epmstored.api.refusals import (
    PROTOCOL,
    PROTOCOL_HEADER,
    ForbiddenError,
    MethodError,
    SlowError,
    TooLargeError,
    UnknownPathError,
)
from epmstored.api.routes import ROUTES, Route
from epmstored.api.work import Work

GRACE_SECONDS = 5.0
KEEP_SECONDS = 2.0
"""Between two looks at whether the socket still has its name."""
SERVER = f"epmstored/{__version__}"

log = logging.getLogger("epmstored.api")

BEGUN = web.RequestKey("begun", bool)
"""Set once bytes of an answer may have been sent."""

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
CallHandler: TypeAlias = Callable[[Call], Awaitable[web.StreamResponse]]


class Runners(msgspec.Struct, frozen=True, kw_only=True):
    """Threads: `readers` for what is quick, `lookers` for live roots, `workers` for jobs."""

    readers: Sequence[WorkspaceThread]
    lookers: Sequence[WorkspaceThread]
    workers: Sequence[WorkspaceThread]


class ControlApi:
    """For one store, by the holder of its daemon's lock."""

    def __init__(
        self,
        store: Path,
        core: Core,
        runners: Runners,
        *,
        group: str | None = None,
        with_metrics: bool = True,
        proofs: Proofs | None = None,
        limits: ConnectionLimits = ConnectionLimits(),  # noqa: B008 - frozen
        clock: Clock | None = None,
        perform: Perform | None = None,
        console: ConsoleDoor | None = None,
    ) -> None:
        self.path = socket_path(store)
        self.ready = asyncio.Event()
        self._runners, self._clock = runners, clock or SystemClock()
        gid = usable_group(group)
        self._gid = gid
        self._guests = Guests(Access(os.stat(store).st_uid, gid), limits)
        self._hub = Hub()
        self.jobs = Jobs(self._hub, perform or Work().perform, self._clock)
        self._proofs = proofs or NoProofs()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._parts = Parts(
            store=store,
            core=core,
            readers=Readers(runners.readers),
            lookers=Readers(runners.lookers),
            jobs=self.jobs,
            hub=self._hub,
            proofs=self._proofs,
            clock=self._clock,
            limits=limits,
            with_metrics=with_metrics,
            requests=self._requests,
            console=console or NoConsole(),
        )

    async def run(self) -> None:
        """Answer until cancelled; then end in good order. Raises ConflictError, OSError."""
        clear_scratch(self._parts.store)
        listener = listening.listen(self.path, self._gid)
        try:
            await self._serve(listener)
        finally:
            listening.remove(self.path, listener)

    async def _serve(self, listener: socket.socket) -> None:
        runner = web.AppRunner(self._application(), handle_signals=False, access_log=None)
        await runner.setup()
        assert runner.server is not None
        manager, loop = runner.server, asyncio.get_running_loop()

        async def answer(there: socket.socket) -> asyncio.Server:
            return await loop.create_unix_server(
                lambda: Connection(self._guests, manager, loop=loop, **_OPTIONS), sock=there
            )

        servers = [await answer(listener)]
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_name(servers, answer))
                for worker in self._runners.workers:
                    tasks.create_task(self.jobs.work(worker))
                self.ready.set()
        finally:
            self.ready.clear()
            for server in servers:
                server.close()
            await self.jobs.stop()
            self._hub.close()
            await runner.shutdown()
            await manager.shutdown(GRACE_SECONDS)
            await runner.cleanup()

    async def _keep_name(
        self,
        servers: list[asyncio.Server],
        answer: Callable[[socket.socket], Awaitable[asyncio.Server]],
    ) -> None:
        """The socket may be removed: no client could ask us then, and no other daemon may begin."""
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            if await asyncio.to_thread(os.path.lexists, self.path):
                continue
            try:
                servers.append(await answer(listening.listen(self.path, self._gid)))
                log.warning("%s was removed, and is there again", self.path)
            except (EpmError, OSError) as error:
                log.error("nobody can ask this daemon: %s", error)

    def _application(self) -> web.Application:
        limits = self._guests.limits
        application = web.Application(middlewares=[self._guard], client_max_size=limits.body_bytes)
        handlers = Handlers(self._parts)
        for route in ROUTES:
            handle = self._endpoint(route, getattr(handlers, route.name))
            application.router.add_route(route.method, route.path, handle, name=route.name)
        application.on_response_prepare.append(_mark)
        return application

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every request, those for which there is no path too: what goes wrong has one shape."""
        started = time.monotonic()
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.arrived()
        response = await self._answer(request, handler)
        path = request.match_info.route.resource
        name = "none" if path is None else path.canonical
        self._requests[name, response.status] += 1
        log.debug(
            "request",
            extra={
                "method": request.method, "path": name, "status": response.status,
                "uid": connection.peer.uid, "pid": connection.peer.pid,
                "seconds": round(time.monotonic() - started, 4),
            },
        )  # fmt: skip
        return response

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            gate.check(
                gate.RequestHead(
                    request.method, request.raw_path, list(request.headers.items()),
                    (request.version.major, request.version.minor),
                )
            )  # fmt: skip
            return await handler(request)
        except EpmError as error:
            known: EpmError = error
        except web.HTTPException as error:
            known = _http_error(error, request)
        except TimeoutError:
            known = SlowError("the request took too long", hint="ask for less, or start a job")
        except ConnectionError:
            raise
        except OSError as error:
            known = from_system(error)
        except Exception as error:
            log.exception("a request failed")
            known = UnexpectedError(f"unexpected error: {type(error).__name__}")
        return self._failed(request, known)

    def _failed(self, request: web.Request, error: EpmError) -> web.StreamResponse:
        """The error; of a stream that has begun the connection breaks, so that it is not taken for
        whole.
        """
        if BEGUN in request:
            assert request.transport is not None
            request.transport.abort()
            raise ConnectionResetError(error.message)
        return error_response(error)

    def _endpoint(self, route: Route, handle: CallHandler) -> Handler:
        limits = self._guests.limits

        async def endpoint(request: web.Request) -> web.StreamResponse:
            connection = request.protocol
            assert isinstance(connection, Connection)
            if route.right not in connection.rights:
                raise ForbiddenError(
                    "this user may not ask for this",
                    hint="be root or the owner of the store",
                    right=route.right.value,
                )
            query = read_query(list(request.query.items()), route.query)
            body = None
            if route.method == "POST":
                async with asyncio.timeout(limits.body):
                    data = await request.read()
                body = read_body(data, route.body or Nothing)
            call = Call(
                request, connection.peer, connection.rights, dict(request.match_info), query, body
            )
            if route.stream:
                return await handle(call)
            async with asyncio.timeout(limits.request):
                return await handle(call)

        return endpoint


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A body that says nothing: `{}`."""


_OPTIONS = {
    "access_log": None,
    "max_headers": 64,
    "max_field_size": 8190,
    "max_line_size": 8190,
    "auto_decompress": False,
    "lingering_time": 1.0,
    "logger": log,
}


async def _mark(request: web.Request, response: web.StreamResponse) -> None:
    request[BEGUN] = True
    response.headers[PROTOCOL_HEADER] = str(PROTOCOL)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Server"] = SERVER
    # aiohttp has made up its mind about the connection by now, and says nothing of it by itself
    response.headers["Connection"] = "close"
    response.force_close()


def _http_error(error: web.HTTPException, request: web.Request) -> EpmError:
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return TooLargeError("the body is too large")
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods - {"HEAD"}))
        return MethodError(
            f"{request.method} is not for this path", hint=f"use {allowed}", allowed=allowed
        )
    if isinstance(error, web.HTTPNotFound):
        return UnknownPathError("there is no such path", hint="see: GET /v1/openapi.json")
    return UnexpectedError(f"unexpected error: {error.reason}")


def usable_group(name: str | None) -> int | None:
    """The gid, if there is such a group and this process may give a socket to it."""
    gid = None if name is None else gid_of(name)
    return gid if os.geteuid() == 0 or gid in os.getgroups() else None


def clear_scratch(store: Path) -> None:
    """What a daemon that died left. Raises OSError."""
    with contextlib.suppress(FileNotFoundError), directory(scratch_folder(store)) as folder:
        for name in os.listdir(folder):
            if name.startswith("blob-"):
                fsio.unlink(name, folder)
