"""The console over a real store, in the test's own event loop, and browsers without a screen."""

import asyncio
import contextlib
import os
import pwd
from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec
import pytest

from epmstore.config import Config, ConsoleConfig
from epmstore.workspace import Workspace
from epmstored.api.core import NoProofs
from epmstored.api.jobs import Jobs
from epmstored.api.peers import Peer
from epmstored.app_state import AppState
from epmstored.console.serving import Console
from tests.kit.host import Host

HOSTILE = (
    b"<img src=x onerror=alert(1)>.txt",
    b"a\nb\x1b[31m.txt",
    b"bad\xff\xfe.txt",
    "rtl\u202egnp.exe".encode(),
    b"'\"&{{7*7}}.txt",
)
"""Names of files that are more than names to something."""
LABEL = "<script>alert(1)</script> \x1b[2J\u202e"


class FakeCore:
    """A daemon that watches everything, and that nothing is wrong with."""

    waiting_settings: Sequence[str] = ()

    def __init__(self, states: Sequence[AppState]) -> None:
        self._states = states

    def states(self) -> Sequence[AppState]:
        return self._states

    async def pause(self, key: str, by: str) -> None: ...

    async def resume(self, key: str) -> None: ...

    def hint(self, key: str, folders: Collection[str]) -> None: ...

    async def reload(self) -> None: ...


class WebReply(NamedTuple):
    status: int
    headers: dict[str, list[str]]
    text: str


class Browser:
    """Sends what it is told to. `jar` is what the console said is to be kept."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.jar: dict[str, str] = {}

    async def get(self, path: str, **headers: str) -> WebReply:
        return await self.send("GET", path, headers)

    async def post(self, path: str, form: dict[str, str], **headers: str) -> WebReply:
        known = {
            "Origin": f"http://127.0.0.1:{self.port}",
            "Content-Type": "application/x-www-form-urlencoded",
            **headers,
        }
        return await self.send("POST", path, known, urlencode(form).encode())

    async def send(
        self, method: str, path: str, headers: dict[str, str], body: bytes = b""
    ) -> WebReply:
        """A header of "" is left out."""
        known = {"Host": f"127.0.0.1:{self.port}"}
        if self.jar:
            known["Cookie"] = "; ".join(f"{key}={value}" for key, value in self.jar.items())
        if body:
            known["Content-Length"] = str(len(body))
        known |= {key.replace("_", "-"): value for key, value in headers.items()}
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in known.items() if v)]
        data = await self._raw("\r\n".join([*lines, "", ""]).encode() + body)
        reply = parse(data)
        for line in reply.headers.get("set-cookie", ()):
            key, _, value = line.partition(";")[0].partition("=")
            self.jar[key] = value
        return reply

    async def _raw(self, data: bytes) -> bytes:
        reader, writer = await self.connect()
        writer.write(data)
        try:
            return await reader.read()
        finally:
            writer.close()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)


def parse(data: bytes) -> WebReply:
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers: dict[str, list[str]] = {}
    for line in lines:
        key, _, value = line.partition(": ")
        headers.setdefault(key.lower(), []).append(value)
    return WebReply(int(first.split(" ")[1]), headers, body.decode())


class RunningConsole:
    """One console, on a port that was free."""

    def __init__(self, console: Console, port: int) -> None:
        self.console = console
        self.port = port

    async def link(self) -> str:
        """The path of a new link for the user who runs the tests."""
        url = (await self.console.invite(Peer(0, os.getuid(), os.getgid(), frozenset())))["url"]
        return str(url).partition(f":{self.port}")[2]

    async def browser(self) -> Browser:
        """One with a session."""
        found = Browser(self.port)
        once = (await self.link()).partition("once=")[2]
        assert (await found.post("/enter", {"once": once})).status == 303
        return found


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    """`crm` has two versions, and names of every kind."""
    host = Host(tmp_path_factory.mktemp("console"))
    host.write("bin/crmd", b"one\ntwo\nthree\n")
    for name in HOSTILE:
        Path(os.fsdecode(os.fsencode(host.root) + b"/" + name)).write_bytes(b"first\n")
    host.snapshot("as delivered")
    host.write("bin/crmd", b"one\n<b>two</b> \x1b[31m\nthree\n")
    for name in HOSTILE:
        Path(os.fsdecode(os.fsencode(host.root) + b"/" + name)).write_bytes(b"second\n")
    host.snapshot(LABEL)
    return host


def states_of(store: Path) -> list[AppState]:
    with Workspace.open(store) as workspace:
        apps = workspace.apps.list()
    return [
        AppState(app=app.key, uuid=app.uuid, root=app.root, phase="watching", quiet=True)
        for app in apps
    ]


@contextlib.asynccontextmanager
async def serving(
    store: Path, jobs: Jobs | None = None, **settings: object
) -> AsyncIterator[RunningConsole]:
    """A console with these settings; `listen` is a port that is free."""
    base = ConsoleConfig(listen="127.0.0.1:0")
    config = Config(console=msgspec.structs.replace(base, **settings))
    console = Console(
        store, FakeCore(states_of(store)), lambda: Workspace.open(store), config, NoProofs()
    )
    if jobs is not None:
        console.connect(jobs)
    task = asyncio.create_task(console.run())
    ready = asyncio.create_task(console.ready.wait())
    await asyncio.wait([task, ready], return_when=asyncio.FIRST_COMPLETED)
    assert ready.done(), task.exception()
    try:
        port = 0 if config.console.listen is None else await _port(console)
        yield RunningConsole(console, port)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _port(console: Console) -> int:
    link = await console.invite(Peer(0, os.getuid(), os.getgid(), frozenset()))
    return int(str(link["listen"]).rpartition(":")[2])


@pytest.fixture
async def console(host: Host) -> AsyncIterator[RunningConsole]:
    async with serving(host.path) as running:
        yield running


def own_name() -> str:
    return pwd.getpwuid(os.getuid()).pw_name
