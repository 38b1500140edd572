"""Events for listeners: each has a queue of its own, and one that does not read loses its events.

Only from the event loop.
"""

import asyncio
import contextlib
from collections.abc import Iterator

import msgspec

from epmstore.errors import BusyError
from epmstore.workspace.shapes import Shape
from epmstored.api.peers import AccessRight

QUEUE = 256
LISTENERS = 32


class Event(msgspec.Struct, frozen=True):
    """`name` is that of the server-sent event; `right` who may see it; `job` whose it is."""

    name: str
    data: Shape
    right: AccessRight
    job: str | None = None


class Subscription:
    """Events in order. `lost` is true once one did not fit: then there are no more."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Event] = asyncio.Queue(QUEUE)
        self.lost = False

    def put(self, event: Event) -> None:
        if self.lost:
            return
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self.lost = True

    async def next(self) -> Event:
        return await self._queue.get()


class Hub:
    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()

    @contextlib.contextmanager
    def subscribe(self) -> Iterator[Subscription]:
        """Raises BusyError if too many listen already."""
        if len(self._subscriptions) >= LISTENERS:
            raise BusyError(f"{LISTENERS} clients listen already", hint="try again later")
        subscription = Subscription()
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def close(self) -> None:
        """Every listener is told that there is no more."""
        for subscription in self._subscriptions:
            subscription.lost = True

    def publish(self, event: Event) -> None:
        for subscription in self._subscriptions:
            subscription.put(event)
