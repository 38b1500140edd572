"""Answers that last: contents, and events as they happen (text/event-stream)."""

import asyncio
import os
import time
from collections.abc import Awaitable, Set
from io import FileIO
from typing import Protocol

import aiofiles
import msgspec
from aiohttp import web

from epmstored.api.hub import Event, Subscription
from epmstored.api.peers import AccessRight

PIECE = 1 << 20
BEAT_SECONDS = 15.0

POLL_SECONDS = 0.25


class EventSource(Protocol):
    """What one client is told of."""

    def news(self) -> list[Event]:
        """What differs from what it was told last."""
        ...

    def wants(self, event: Event) -> bool: ...

    def has_ended(self) -> bool: ...


async def send_file(request: web.Request, copy: FileIO, *, stall: float) -> web.StreamResponse:
    """Send an open file, and close it. A client that does not read is given up after `stall`
    seconds. Raises OSError.
    """
    with copy:
        size = os.fstat(copy.fileno()).st_size
        response = web.StreamResponse(
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Disposition": "attachment",
                "X-Content-Type-Options": "nosniff",
                "Content-Length": str(size),
            }
        )
        await response.prepare(request)
        async with aiofiles.open(copy.fileno(), "rb", closefd=False) as file:
            while piece := await file.read(PIECE):
                await _patiently(response.write(piece), stall)
        await _patiently(response.write_eof(), stall)
    return response


class EventStream:
    """Server-sent events to one client."""

    def __init__(self, request: web.Request, rights: Set[AccessRight], *, stall: float) -> None:
        self._request = request
        self._rights = rights
        self._stall = stall
        self._response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )

    async def begin(self) -> web.StreamResponse:
        await self._response.prepare(self._request)
        return self._response

    async def send(self, event: Event) -> None:
        """Raises TimeoutError if the client does not read, ConnectionError if it is gone."""
        if event.right in self._rights:
            data = msgspec.json.encode(event.data).decode()
            await self._write(f"event: {event.name}\ndata: {data}\n\n")

    async def forward(self, subscription: Subscription, source: EventSource) -> None:
        """Send what the subscription brings and what `source` finds each time it is asked, until
        it says that this is the end, or until events were lost.
        """
        beat = time.monotonic() + BEAT_SECONDS
        while not subscription.lost:
            event = await self._next(subscription)
            found = [*([] if event is None else [event]), *source.news()]
            for one in found:
                if source.wants(one):
                    await self.send(one)
                    beat = time.monotonic() + BEAT_SECONDS
            if source.has_ended():
                return
            if time.monotonic() >= beat:
                await self._write(": still here\n\n")
                beat = time.monotonic() + BEAT_SECONDS
        await self._write("event: lost\ndata: {}\n\n")

    async def _next(self, subscription: Subscription) -> Event | None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                return await subscription.next()
        except TimeoutError:
            return None

    async def _write(self, text: str) -> None:
        await _patiently(self._response.write(text.encode()), self._stall)


async def _patiently(write: Awaitable[None], stall: float) -> None:
    async with asyncio.timeout(stall):
        await write
