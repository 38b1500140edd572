"""Noticing that the appcat changed: `epmstore app add` must not need a signal.

The kernel tells; where it does not (no more watches), a look every now and then does.
"""

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Final

from watchdog.observers.inotify_c import InotifyEvent

from epmstored.inotify import APPEARED
from epmstored.kernelqueue import Queue

FILE: Final = b"appcat.json"
EVERY: Final = 30.0
"""Seconds between two looks."""


class AppcatWatch:
    """Of the folder `catalogs` of a store; for one event loop."""

    def __init__(self, catalogs: Path) -> None:
        self._path = catalogs / os.fsdecode(FILE)
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._seen = self._look()
        self._queue: Queue | None = None
        with contextlib.suppress(OSError):
            self._queue = Queue(self._handle)
            self._queue.start()
            fd = os.open(catalogs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self._queue.watch(fd, APPEARED)
            finally:
                os.close(fd)

    async def changed(self) -> None:
        """Until it is another than at the last call."""
        while (found := self._look()) == self._seen:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), EVERY)
            self._changed.clear()
        self._seen = found

    def close(self) -> None:
        if self._queue is not None:
            self._queue.end()

    def _handle(self, events: list[InotifyEvent]) -> None:
        if any(event.name == FILE or event.is_queue_overflow for event in events):
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._changed.set)

    def _look(self) -> tuple[int, int]:
        """What differs between two files of that name; each is a new one."""
        try:
            found = os.stat(self._path)
        except OSError:
            return 0, 0
        return found.st_ino, found.st_mtime_ns
