"""The control API over a real store, in the test's own event loop, with a plain supervisor."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from epmstore.atomic import directory
from epmstore.errors import AppNotFoundError
from epmstore.workspace import Workspace
from epmstored.api.connection import ConnectionLimits
from epmstored.api.server import ControlApi, Runners
from epmstored.app_state import AppState, Pause
from epmstored.bridge import Bridge

Shape = dict[str, Any]


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def shape(self) -> Shape:
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found


class FakeCore:
    """A supervisor whose states are set by hand."""

    def __init__(self) -> None:
        self.apps: dict[str, AppState] = {}
        self.reloads = 0
        self.hints: list[tuple[str, set[str]]] = []
        self.waiting_settings = ("daemon.poll",)

    def states(self) -> list[AppState]:
        return [self.apps[key] for key in sorted(self.apps)]

    async def pause(self, key: str, by: str) -> None:
        self.set(key, phase="paused", paused=Pause("2026-01-01T00:00:00Z", by))

    async def resume(self, key: str) -> None:
        self.set(key, phase="watching", paused=None)

    def hint(self, key: str, folders: Collection[str]) -> None:
        self.hints.append((key, {*folders}))

    async def reload(self) -> None:
        self.reloads += 1

    def set(self, key: str, **fields: object) -> None:
        if key not in self.apps:
            raise AppNotFoundError(f"no application {key!r}")
        self.apps[key] = msgspec.structs.replace(self.apps[key], **fields)


class Server:
    """A ControlApi that runs, and clients for it."""

    def __init__(self, api: ControlApi, core: FakeCore, store: Path, root: Path) -> None:
        self.api = api
        self.core = core
        self.store = store
        self.root = root

    async def dial(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.setblocking(False)
        with directory(self.api.path.parent) as parent:
            address = f"/proc/self/fd/{parent}/{self.api.path.name}"
            await asyncio.get_running_loop().sock_connect(client, address)
        return client

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(sock=await self.dial())

    async def raw(self, data: bytes) -> bytes:
        """Everything that comes back for these bytes, until the server ends the connection."""
        loop, client = asyncio.get_running_loop(), await self.dial()
        found = bytearray()
        with client, contextlib.suppress(ConnectionError):
            with contextlib.suppress(ConnectionError):
                await loop.sock_sendall(client, data)
            while piece := await loop.sock_recv(client, 1 << 16):
                found += piece
        return bytes(found)

    async def send(self, data: bytes) -> Reply:
        return parse(await self.raw(data))

    async def get(self, path: str, **headers: str) -> Reply:
        return await self.send(request("GET", path, headers))

    async def post(self, path: str, body: object, **headers: str) -> Reply:
        return await self.send(request("POST", path, headers, json.dumps(body).encode()))

    async def job(self, spec: Shape) -> Shape:
        """A job that was started and has ended."""
        started = await self.post("/v1/jobs", spec)
        assert started.status == 202, started
        return (await self.events(f"/v1/jobs/{started.shape['id']}/events"))[-1][1]

    async def events(self, path: str) -> list[tuple[str, Shape]]:
        """All events of a stream that ends by itself."""
        return parse_events((await self.get(path)).body)


def request(
    method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None
) -> bytes:
    """A good request; `headers` replace those that it has, and "" drops one."""
    known = {"Host": "localhost"}
    if method == "POST":
        known["Epmstore-Protocol"] = "1"
        known["Content-Type"] = "application/json"
        known["Content-Length"] = str(len(body or b""))
    known.update({key.replace("_", "-"): value for key, value in (headers or {}).items()})
    lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in known.items() if v)]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def parse(data: bytes) -> Reply:
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {}
    for line in lines:
        key, _, value = line.partition(": ")
        headers[key.lower()] = value
    if headers.get("transfer-encoding") == "chunked":
        body = _unchunked(body)
    return Reply(int(first.split(" ")[1]), headers, body)


def _unchunked(data: bytes) -> bytes:
    found = bytearray()
    while data:
        size, _, data = data.partition(b"\r\n")
        count = int(size, 16)
        found += data[:count]
        data = data[count + 2 :]
    return bytes(found)


def parse_events(data: bytes) -> list[tuple[str, Shape]]:
    found = []
    for block in data.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[Path, Path]:
    """A store and the root of `crm`, of which version 0 is recorded."""
    store, root = tmp_path / "store", tmp_path / "crm"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "crmd").write_bytes(b"program 1\n" * 1000)
    (root / "crm.conf").write_text("port = 1\n")
    with Workspace.init(store) as workspace:
        workspace.apps.add("crm", root)
        workspace.app("crm").snapshot("as delivered")
    return store, root


Start = Callable[..., contextlib.AbstractAsyncContextManager[Server]]


@pytest.fixture
def start(recorded: tuple[Path, Path]) -> Start:
    """Starts a server, with limits of one's own."""
    store, root = recorded

    @contextlib.asynccontextmanager
    async def run(**options: Any) -> AsyncIterator[Server]:
        core = FakeCore()
        with Workspace.open(store) as workspace:
            app = workspace.apps.get("crm")
        core.apps["crm"] = AppState(
            app="crm", uuid=app.uuid, root=app.root, phase="watching", quiet=True
        )
        bridges = [Bridge(f"test-{n}", lambda: Workspace.open(store)) for n in range(5)]
        runners = Runners(readers=bridges[:2], lookers=bridges[2:3], workers=bridges[3:])
        api = ControlApi(store, core, runners, **options)
        task = asyncio.create_task(api.run())
        ready = asyncio.create_task(api.ready.wait())
        await asyncio.wait([task, ready], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            ready.cancel()
            await task
        try:
            yield Server(api, core, store, root)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.gather(*(bridge.close(10.0) for bridge in bridges))

    return run


@pytest.fixture
async def server(start: Start) -> AsyncIterator[Server]:
    async with start(limits=ConnectionLimits()) as running:
        yield running
