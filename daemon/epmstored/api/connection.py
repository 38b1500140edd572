"""One connection of one client: who it is, how long its request may take to come, how large it is.

A connection carries one request. A client that may do nothing is told so and cut off before a byte
of its request is read. The time for a request runs from the moment of connecting, so that clients
which send slowly cost one descriptor each, for a few seconds.
"""

import asyncio
from collections.abc import Set
from typing import Any

import msgspec
from aiohttp import web

from epmstore.errorform import UnexpectedError, error_to_form
from epmstore.errors import BusyError, EpmError
from epmstored.api.peers import Access, AccessRight, Peer, peer_of
from epmstored.api.refusals import (
    PROTOCOL,
    PROTOCOL_HEADER,
    ForbiddenError,
    HeadTooLargeError,
    MethodError,
    Refusal,
    SlowError,
    status_of,
)

HEAD_BYTES = 16 << 10
LINGER_SECONDS = 1.0
LINGERING = 32
"""So many who were refused may finish what they are sending, so that they read why."""
END_OF_HEAD = b"\r\n\r\n"


class ConnectionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """`head`, `body`, `request`: seconds until the head has arrived, until the body has, and until
    an answer that is no stream must be ready. `stall`: how long a reader of a stream may not read.
    `connections` of all clients, of which those without all rights have at most half.
    """

    head: float = 5.0
    body: float = 10.0
    request: float = 60.0
    stall: float = 30.0
    connections: int = 256
    body_bytes: int = 1 << 20


class Guests:
    """All connections there are."""

    def __init__(self, access: Access, limits: ConnectionLimits) -> None:
        self.access = access
        self.limits = limits
        self.open: dict[Connection, None] = {}
        self.lingering = 0

    def admit(self, connection: "Connection") -> None:
        """Raises ForbiddenError, BusyError. When it is full, the client that has been sending its
        request for longest goes.
        """
        if not connection.rights:
            raise ForbiddenError(
                "this user may not ask the daemon",
                hint="be root, the owner of the store, or a member of its group",
                uid=connection.peer.uid,
            )
        if AccessRight.ACT not in connection.rights:
            lesser = [one for one in self.open if AccessRight.ACT not in one.rights]
            self._make_room(lesser, self.limits.connections // 2)
        self._make_room(list(self.open), self.limits.connections)
        self.open[connection] = None

    def _make_room(self, those: list["Connection"], limit: int) -> None:
        if len(those) < limit:
            return
        for one in those:
            if one.is_arriving:
                one.refuse(BusyError("others are waiting", hint="send the request in one piece"))
                self.open.pop(one, None)
                return
        raise BusyError("too many connections", hint="try again later")


class Connection(web.RequestHandler):
    """aiohttp's protocol with the rules above around it."""

    def __init__(self, guests: Guests, server: web.Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._guests = guests
        self._head = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._pipe: asyncio.Transport | None = None
        self._is_admitted = False
        self._is_refused = False
        self._lingers = False
        self.is_arriving = True
        self.peer = Peer(0, -1, -1, frozenset())
        self.rights: Set[AccessRight] = frozenset()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._pipe = transport
        try:
            self.peer = peer_of(transport.get_extra_info("socket"))
            self.rights = self._guests.access.rights(self.peer)
            self._guests.admit(self)
        except EpmError as error:
            self.refuse(error)
            return
        except OSError:
            transport.abort()
            return
        self._is_admitted = True
        self._timer = asyncio.get_running_loop().call_later(self._guests.limits.head, self._late)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        if self.is_arriving:
            self._head += data
            end = self._head.find(END_OF_HEAD)
            if (end if end >= 0 else len(self._head)) > HEAD_BYTES:
                self.refuse(HeadTooLargeError(f"the head is larger than {HEAD_BYTES} bytes"))
                return
            if end >= 0:
                self.arrived()
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.arrived()
        self._guests.open.pop(self, None)
        self._guests.lingering -= int(self._lingers)
        if self._is_admitted:
            super().connection_lost(exc)

    def arrived(self) -> None:
        """The head is here; the time for the rest is the handler's."""
        self.is_arriving = False
        self._head.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def refuse(self, error: EpmError) -> None:
        """Answer without a request, and end."""
        self.arrived()
        if self._is_refused or self._pipe is None or self._pipe.is_closing():
            return
        self._is_refused = True
        body = msgspec.json.encode(error_to_form(error)) + b"\n"
        lines = (
            f"HTTP/1.1 {status_of(error)} Refused",
            "Content-Type: application/json",
            f"{PROTOCOL_HEADER}: {PROTOCOL}",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        self._pipe.write("\r\n".join([*lines, "", ""]).encode() + body)
        if self._guests.lingering >= LINGERING:
            self._pipe.close()
            return
        self._lingers = True
        self._guests.lingering += 1
        self._pipe.write_eof()
        self._timer = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._pipe.close)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What aiohttp noticed by itself, in the one shape."""
        if status >= 500:
            return error_response(UnexpectedError("the request could not be handled"))
        return error_response(Refusal("this is no request that HTTP knows"), status)

    def _late(self) -> None:
        self.refuse(SlowError("the request took too long to arrive"))


def error_response(error: EpmError, status: int | None = None) -> web.Response:
    """An error in the one shape."""
    response = web.Response(
        status=status or status_of(error),
        body=msgspec.json.encode(error_to_form(error)) + b"\n",
        content_type="application/json",
    )
    if isinstance(error, BusyError):
        response.headers["Retry-After"] = "1"
    if isinstance(error, MethodError) and "allowed" in error.data:
        response.headers["Allow"] = str(error.data["allowed"])
    response.headers["Connection"] = "close"
    response.force_close()
    return response
