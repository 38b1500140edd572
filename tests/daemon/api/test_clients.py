"""Clients that are slow, many, somebody else's, or gone; and a daemon that is stopped meanwhile."""

import asyncio
import json
import os
import signal
import socket
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from epmstore import locks
from epmstore.cli.daemon_client import Daemon, NoDaemonError
from epmstore.errors import ConflictError
from epmstore.places import DAEMON_LOCK
from epmstored.api import listening, peers
from epmstored.api import server as api_server
from epmstored.api.connection import ConnectionLimits
from epmstored.api.peers import Access, AccessRight, Peer
from tests.daemon.api.conftest import parse, request

if TYPE_CHECKING:
    from tests.daemon.api.conftest import Server, Start

SLOW = 64


async def test_slow_clients_do_not_hold_up_good_ones(start: "Start") -> None:
    """64 clients that send a byte now and then; those that ask properly are answered meanwhile."""
    async with start(limits=ConnectionLimits(head=600.0, connections=SLOW * 2)) as server:
        slow = [await server.connect() for _ in range(SLOW)]

        async def drip() -> None:
            for letter in request("GET", "/v1/status"):
                for _, writer in slow:
                    writer.write(bytes([letter]))
                await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        times = []
        for _ in range(200):
            begin = time.perf_counter()
            assert (await server.get("/v1/apps/crm/versions")).status == 200
            times.append(time.perf_counter() - begin)
        dripping.cancel()
        for _, writer in slow:
            writer.close()
        assert len(times) == 200


async def test_those_who_send_slowly_make_room_when_it_is_full(start: "Start") -> None:
    async with start(limits=ConnectionLimits(head=600.0, connections=8)) as server:
        slow = [await server.connect() for _ in range(8)]
        for _, writer in slow:
            writer.write(b"GET /v1/health HTTP/1.1\r\n")
        for _ in range(4):
            assert (await server.get("/v1/health")).status == 200
        assert parse(await slow[0][0].read()).status == 503
        for _, writer in slow:
            writer.close()


async def test_a_head_that_does_not_come_is_not_waited_for(start: "Start") -> None:
    async with start(limits=ConnectionLimits(head=0.05)) as server:
        reader, writer = await server.connect()
        writer.write(b"GET /v1/health HTTP/1.1\r\nHost: loc")
        found = parse(await reader.read())
        assert (found.status, found.shape["error"]) == (408, "timeout")
        writer.close()


async def test_nor_one_that_comes_byte_by_byte(start: "Start") -> None:
    async with start(limits=ConnectionLimits(head=0.2)) as server:
        reader, writer = await server.connect()

        async def drip() -> None:
            writer.write(b"GET /v1/health HTTP/1.1\r\nX: ")
            while True:
                writer.write(b"x")
                await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        assert parse(await reader.read()).status == 408
        dripping.cancel()
        writer.close()


async def test_a_body_that_does_not_come_is_not_waited_for(start: "Start") -> None:
    async with start(limits=ConnectionLimits(body=0.05)) as server:
        reader, writer = await server.connect()
        writer.write(request("POST", "/v1/pause", {"Content-Length": "50"}, b'{"app":'))
        found = parse(await reader.read())
        assert (found.status, found.shape["error"]) == (408, "timeout")
        assert server.core.apps["crm"].phase == "watching"
        writer.close()


async def test_too_many_are_told_so(start: "Start") -> None:
    async with start(limits=ConnectionLimits(connections=3)) as server:
        held = [await server.connect() for _ in range(3)]
        for reader, writer in held:
            writer.write(request("GET", "/v1/events"))
            await reader.readuntil(b"\r\n\r\n")
        found = await server.get("/v1/health")
        assert (found.status, found.shape["error"]) == (503, "busy")
        for _, writer in held:
            writer.close()


async def test_one_who_leaves_early_harms_nobody(server: "Server") -> None:
    for _ in range(20):
        _, writer = await server.connect()
        writer.write(request("GET", "/v1/apps/crm/status"))
        assert isinstance(writer.transport, asyncio.Transport)
        writer.transport.abort()
    assert (await server.get("/v1/health")).status == 200


async def test_a_daemon_that_stops_ends_streams(start: "Start") -> None:
    async with start() as server:
        reader, writer = await server.connect()
        writer.write(request("GET", "/v1/events"))
        await reader.readuntil(b"\n\n")
    rest = await reader.read()
    assert b"state" not in rest
    writer.close()
    with pytest.raises(FileNotFoundError):
        os.stat(server.api.path)


# Who it is.

OWNER, MEMBER, OTHER = 1000, 1001, 1002
GROUP = 77
TABLE = Access(owner=OWNER, group=GROUP)


@pytest.mark.parametrize(
    ("peer", "rights"),
    [
        (Peer(1, 0, 0, frozenset({0})), set(AccessRight)),
        (Peer(1, OWNER, 5, frozenset({5})), set(AccessRight)),
        (Peer(1, MEMBER, 5, frozenset({5, GROUP})), {AccessRight.LOOK}),
        (Peer(1, MEMBER, GROUP, frozenset({GROUP})), {AccessRight.LOOK}),
        (Peer(1, OTHER, 5, frozenset({5})), set()),
        (Peer(1, OTHER, OWNER, frozenset({OWNER})), set()),
        (Peer(1, 65534, 65534, frozenset({65534})), set()),
    ],
)
def test_the_table_of_rights(peer: Peer, rights: set[AccessRight]) -> None:
    assert TABLE.rights(peer) == rights


def test_without_a_group_nobody_else_may_anything() -> None:
    member = Peer(1, MEMBER, GROUP, frozenset({GROUP}))
    assert Access(owner=OWNER).rights(member) == frozenset()


def test_the_kernel_says_who_it_is() -> None:
    one, two = socket.socketpair()
    with one, two:
        peer = peers.peer_of(one)
    assert (peer.pid, peer.uid, peer.gid) == (os.getpid(), os.getuid(), os.getgid())
    assert peer.groups >= set(os.getgroups()) or len(os.getgroups()) > peers.MANY_GROUPS


def ask_as(server: "Server", data: bytes, *, uid: int, gid: int, groups: list[int]) -> bytes:
    """The answer to a child process that is somebody else. It connects before it changes who it
    was is not believed: credentials are those at the time of connecting.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(groups)
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(20)
            client.connect(str(server.api.path))
            client.sendall(data)
            while piece := client.recv(65536):
                os.write(writing, piece)
        except OSError as error:
            os.write(writing, f"errno {error.errno}".encode())
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(writing)
    found = bytearray()
    while piece := os.read(reading, 65536):
        found += piece
    os.close(reading)
    os.waitpid(child, 0)
    return bytes(found)


@pytest.fixture
def open_paths(tmp_path: Path) -> None:
    """Anybody may walk to the store: the socket alone decides."""
    for folder in [tmp_path, *tmp_path.parents]:
        if stat.S_IMODE(folder.stat().st_mode) & 0o111 != 0o111:
            folder.chmod(0o711)
    (tmp_path / "store").chmod(0o711)


ASKED = [
    ("GET", "/v1/health", AccessRight.LOOK),
    ("GET", "/v1/openapi.json", AccessRight.LOOK),
    ("GET", "/v1/status", AccessRight.LOOK),
    ("GET", "/v1/apps/crm/status", AccessRight.LOOK),
    ("GET", "/v1/apps/crm/versions", AccessRight.LOOK),
    ("GET", "/metrics", AccessRight.LOOK),
    ("GET", "/v1/apps/crm/verify", AccessRight.LOOK),
    ("GET", "/v1/apps/crm/diff", AccessRight.CONTENT),
    ("GET", f"/v1/blobs/{'0' * 40}", AccessRight.CONTENT),
    ("GET", "/v1/jobs", AccessRight.ACT),
    ("GET", "/v1/jobs/x", AccessRight.ACT),
    ("GET", "/v1/jobs/x/events", AccessRight.ACT),
    ("POST", "/v1/jobs", AccessRight.ACT),
    ("POST", "/v1/jobs/x/cancel", AccessRight.ACT),
    ("POST", "/v1/pause", AccessRight.ACT),
    ("POST", "/v1/resume", AccessRight.ACT),
]


@pytest.mark.root
@pytest.mark.usefixtures("recorded", "open_paths")
@pytest.mark.parametrize(("method", "path", "right"), ASKED)
async def test_others_are_refused_whatever_they_ask(
    start: "Start", method: str, path: str, right: AccessRight
) -> None:
    body = b"{}" if method == "POST" else None
    async with start() as server:
        server.api.path.chmod(0o666)
        data = request(method, path, None, body)
        found = await asyncio.to_thread(ask_as, server, data, uid=65534, gid=65534, groups=[65534])
        assert (parse(found).status, parse(found).shape["error"]) == (403, "forbidden")
        assert server.core.apps["crm"].phase == "watching"


@pytest.mark.root
@pytest.mark.usefixtures("recorded", "open_paths")
@pytest.mark.parametrize(("method", "path", "right"), ASKED)
async def test_the_group_may_look_and_no_more(
    start: "Start", method: str, path: str, right: AccessRight
) -> None:
    body = b"{}" if method == "POST" else None
    async with start(group="nogroup") as server:
        data = request(method, path, None, body)
        gid = peers.gid_of("nogroup")
        assert gid is not None
        found = await asyncio.to_thread(ask_as, server, data, uid=4711, gid=4711, groups=[gid])
        allowed = 404 if path.endswith("/verify") else 200  # there is no release
        assert parse(found).status == (allowed if right is AccessRight.LOOK else 403)
        assert server.core.apps["crm"].phase == "watching"


@pytest.mark.root
@pytest.mark.usefixtures("recorded", "open_paths")
async def test_the_mode_of_the_socket_keeps_others_out_already(start: "Start") -> None:
    async with start(group="nogroup") as server:
        found = os.stat(server.api.path)
        assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o660, peers.gid_of("nogroup"))
        data = request("GET", "/v1/health")
        refused = await asyncio.to_thread(ask_as, server, data, uid=4711, gid=4711, groups=[])
        assert refused == b"errno 13"


@pytest.mark.usefixtures("recorded")
async def test_without_a_group_the_socket_is_private(server: "Server") -> None:
    assert stat.S_IMODE(os.stat(server.api.path).st_mode) == 0o600


# The socket itself.


async def test_a_socket_of_a_dead_daemon_is_replaced(
    start: "Start", recorded: tuple[Path, Path]
) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(recorded[0] / "epmstored.sock"))
    dead.close()
    async with start() as server:
        assert (await server.get("/v1/health")).status == 200


async def test_a_file_in_its_place_is_not_touched(
    start: "Start", recorded: tuple[Path, Path]
) -> None:
    place = recorded[0] / "epmstored.sock"
    place.write_text("mine")
    with pytest.raises(ConflictError, match="no socket"):
        async with start():
            pass
    assert place.read_text() == "mine"


def test_a_path_longer_than_an_address_can_be(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(3):
        folder = folder / ("x" * 100)
    listener = listening.listen(folder / "epmstored.sock", None)
    assert [path.name for path in folder.iterdir()] == ["epmstored.sock"]
    listening.remove(folder / "epmstored.sock", listener)
    assert list(folder.iterdir()) == []


async def test_errors_are_json_also_without_a_request(start: "Start") -> None:
    async with start(limits=ConnectionLimits(connections=0)) as server:
        found = await server.get("/v1/health")
        assert json.loads(found.body)["error"] == "busy"
        assert found.headers["content-length"] == str(len(found.body))


async def test_a_socket_that_somebody_removed_is_there_again(
    start: "Start", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then who asks is not told to start what runs already."""
    monkeypatch.setattr(api_server, "KEEP_SECONDS", 0.05)
    async with start() as running:
        path = running.api.path
        with locks.hold(running.store / "locks", DAEMON_LOCK, owner="(epmstored)"):
            path.unlink()
            with pytest.raises(NoDaemonError) as caught:
                Daemon(running.store).get("/v1/health")
            assert "runs" in caught.value.message and "try again" in str(caught.value.hint)
            async with asyncio.timeout(30):
                while not path.exists():
                    await asyncio.to_thread(time.sleep, 0.01)
        assert (await running.get("/v1/health")).status == 200
    assert not path.exists()
