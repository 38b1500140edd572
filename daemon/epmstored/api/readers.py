"""Reading the store for clients: few threads, a bounded number of those who wait, and time limits.

What looks at a live root may take minutes, and has a thread of its own: a log is never behind it.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from epmstore.errors import BusyError
from epmstore.workspace import Workspace
from epmstored.api.core import WorkspaceThread

T = TypeVar("T")
WAITING = 64


class Readers:
    """A pool of runners. Only from the event loop."""

    def __init__(self, runners: Sequence[WorkspaceThread]) -> None:
        self._free: asyncio.Queue[WorkspaceThread] = asyncio.Queue()
        for runner in runners:
            self._free.put_nowait(runner)
        self._waiting = 0
        self._running: set[asyncio.Task[object]] = set()

    async def run(self, call: Callable[[Workspace], T]) -> T:
        """Raises BusyError if too many wait, and what `call` raises. A caller who is cancelled does
        not stop the thread, which is only free again when it is done.
        """
        if self._waiting >= WAITING:
            raise BusyError("too many requests wait", hint="try again later")
        self._waiting += 1
        try:
            runner = await self._free.get()
        finally:
            self._waiting -= 1
        task = asyncio.ensure_future(runner.run(call))
        self._running.add(task)
        task.add_done_callback(lambda done: self._done(done, runner))
        return await asyncio.shield(task)

    def _done(self, task: "asyncio.Task[object]", runner: WorkspaceThread) -> None:
        self._running.discard(task)
        self._free.put_nowait(runner)
        if not task.cancelled():
            task.exception()  # or an error that is no longer waited for would be complained of
