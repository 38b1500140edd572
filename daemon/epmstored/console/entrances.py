"""Where browsers come in: a port of this host, or a socket for a proxy that knows its users.

A connection carries one request, whose head has to come within a few seconds of connecting. Who is
at the other end is asked of the kernel before a byte is read.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from epmstore import fsio
from epmstore.atomic import directory
from epmstored.api import listening
from epmstored.api.peers import peer_of
from epmstored.console.browsergate import ConsoleAddress
from epmstored.console.tcpowner import owner_of

HEAD_SECONDS: Final = 5.0
CONNECTIONS: Final = 64
EACH: Final = 32
"""Connections to a port that one user of this host may have: none keeps the others out."""
WHOLE_SECONDS: Final = 60.0
"""From the head of a request until its answer was taken: longer than any answer takes to make."""
BACKLOG: Final = 128
FOR_ALL: Final = 0o666
"""Of the proxy's socket: who connects is asked of the kernel, not decided by its mode."""
OPTIONS: Final = {
    "access_log": None,
    "max_headers": 64,
    "max_field_size": 8190,
    "max_line_size": 16_384,
    "auto_decompress": False,
    "lingering_time": 1.0,
}
WhoComes: TypeAlias = Callable[[socket.socket], int]
"""The uid at the other end of a connection. Raises OSError."""


class Entrance(msgspec.Struct, frozen=True, kw_only=True):
    """One listener. `name` is what its sessions are known by; `only` the one uid that may connect
    (None: any, and the session says more).
    """

    name: str
    address: ConsoleAddress
    who: WhoComes
    only: int | None = None

    def may_connect(self, uid: int) -> bool:
        return self.only in (None, uid)


class BrowserConnection(web.RequestHandler):
    """aiohttp's protocol, with one request for each connection."""

    def __init__(
        self,
        entrance: Entrance,
        there: "set[BrowserConnection]",
        server: web.Server,
        **options: Any,
    ) -> None:
        """`there` has all connections, of whatever entrance."""
        super().__init__(server, **options)
        self.entrance = entrance
        self.uid = -1
        self._there = there
        self._is_admitted = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        try:
            self.uid = self.entrance.who(transport.get_extra_info("socket"))
        except OSError:
            transport.abort()
            return
        if not self._has_room():
            transport.abort()
            return
        self._is_admitted = True
        self._there.add(self)
        self._end_in(HEAD_SECONDS, transport)
        super().connection_made(transport)

    def _has_room(self) -> bool:
        if not self.entrance.may_connect(self.uid) or len(self._there) >= CONNECTIONS:
            return False
        is_for_many = self.entrance.only is not None  # a proxy, which is one user
        return is_for_many or sum(one.uid == self.uid for one in self._there) < EACH

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._there.discard(self)
        if self._is_admitted:
            super().connection_lost(exc)

    def arrived(self) -> None:
        """The head is here. What the handler takes is limited there; who then takes no answer is
        cut off.
        """
        if self.transport is not None:
            self._end_in(WHOLE_SECONDS, self.transport)

    def _end_in(self, seconds: float, transport: asyncio.Transport) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, transport.abort)


def on_port(listen: str) -> tuple[Entrance, socket.socket]:
    """`127.0.0.1:7410`, or `[::1]:7410`. Raises OSError, also where the kernel would not say who
    connects.
    """
    host, _, port = listen.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host.strip("[]"), int(port)))
        listener.listen(BACKLOG)
        _try_asking(listener)
    except BaseException:
        listener.close()
        raise
    listener.setblocking(False)
    port = str(listener.getsockname()[1])
    hosts = frozenset(f"{one}:{port}" for one in ("127.0.0.1", "localhost", "[::1]"))
    address = ConsoleAddress(hosts=hosts, origins=frozenset(f"http://{one}" for one in hosts))
    return Entrance(name=f"{host}:{port}", address=address, who=owner_of), listener


def _try_asking(listener: socket.socket) -> None:
    """Whether the kernel says who connects: better now than with the first browser."""
    with socket.create_connection(listener.getsockname()[:2], timeout=1.0):
        connection, _ = listener.accept()
        with connection:
            try:
                owner_of(connection)
            except OSError as error:
                raise OSError(
                    error.errno,
                    "the kernel does not say who connects (a unit of systemd has to allow"
                    f" AF_NETLINK): {error.strerror}",
                ) from None


def for_proxy(path: Path, proxy_uid: int, origin: str) -> tuple[Entrance, socket.socket]:
    """A Unix socket, for one user. Raises ConflictError, OSError."""
    listener = listening.listen(path, None)
    with directory(path.parent) as parent:
        fsio.set_named_mode(path.name, parent, FOR_ALL)
    address = ConsoleAddress(
        hosts=frozenset({urlsplit(origin).netloc}), origins=frozenset({origin}), is_proxied=True
    )
    entrance = Entrance(
        name=str(path), address=address, who=lambda found: peer_of(found).uid, only=proxy_uid
    )
    return entrance, listener


def close(listener: socket.socket, path: Path | None) -> None:
    """End a listener, and take its socket away."""
    if path is not None:
        with contextlib.suppress(OSError):
            listening.remove(path, listener)
    listener.close()
