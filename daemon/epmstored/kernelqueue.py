"""The kernel's queue of events, one for all roots, and who is told what of it.

A host allows few queues, and each root that had one of its own would take one away from others. The
thread that reads it does nothing but hand on: each watcher handles its events in a thread of its
own, so that a file system which hangs holds up no other root, and the queue does not run over.
"""

import array
import ctypes
import fcntl
import os
import termios
import threading
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from watchdog.observers.inotify_c import (
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchDescriptor,
    inotify_add_watch,
    inotify_rm_watch,
)

EventHandler: TypeAlias = Callable[[list[InotifyEvent]], None]
PAUSE: Final = 0.01
"""Seconds between two readings, in which the kernel merges what is the same."""
WAITING: Final = 1 << 17
"""Events that wait for one watcher; with more it is told that events were lost."""
OVERFLOW: Final = InotifyEvent(WatchDescriptor(-1), Mask(InotifyConstants.IN_Q_OVERFLOW), 0, b"")


class Queue(InotifyFD):
    """A kernel queue, and the thread that hands on what is in it. Watches are kept by their owner,
    so watchdog's own table of them stays empty.
    """

    def __init__(self, handle: EventHandler) -> None:
        """Raises OSError."""
        super().__init__()
        self._handle = handle
        self._is_handling = False

    def run(self) -> None:
        while self.should_keep_running():
            if events := self.read_events():
                self._handle(events)
                self._is_handling = False
                self.stopped_event.wait(PAUSE)

    def _check_inotify_fd(self) -> bool:
        """Waits for events; called by watchdog right before it takes them out of the queue."""
        self._is_handling = False
        self._is_handling = super()._check_inotify_fd()
        return self._is_handling

    def is_quiet(self) -> bool:
        """Whether nothing is in the kernel's queue, and what was is handled. From any thread."""
        if self._is_handling:
            return False
        waiting = array.array("i", [0])
        try:
            fcntl.ioctl(self._inotify_fd, termios.FIONREAD, waiting)
        except OSError:
            return False
        return waiting[0] == 0 and not self._is_handling

    def watch(self, fd: int, mask: int) -> WatchDescriptor:
        """Watch an open directory. Raises OSError."""
        wd = inotify_add_watch(self._inotify_fd, b"/proc/self/fd/%d" % fd, Mask(mask))
        if wd == -1:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return wd

    def unwatch(self, wd: WatchDescriptor) -> None:
        """No error if it is gone already."""
        inotify_rm_watch(self._inotify_fd, wd)

    def end(self) -> None:
        """Stop, and wait for the thread."""
        self.stop()
        if self.is_alive():
            self.join()


class Seat:
    """What one watcher has of the queue."""

    def __init__(self, shared: "SharedQueue", handle: EventHandler) -> None:
        self._shared = shared
        self._handle = handle
        self._events: list[InotifyEvent] = []
        self._change = threading.Condition()
        self._is_handling = self._has_ended = False
        self._thread = threading.Thread(target=self._work, name="inotify", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def watch(self, fd: int, mask: int) -> WatchDescriptor:
        """As `Queue.watch`; events of it come here, and to all others who watch it."""
        return self._shared.watch(self, fd, mask)

    def unwatch(self, wd: WatchDescriptor) -> None:
        """No error if it is gone already."""
        self._shared.unwatch(self, wd)

    def is_quiet(self) -> bool:
        """Whether nothing is under way to `handle`, nor in it. From any thread."""
        if not self._shared.is_quiet():  # first: what is handed on meanwhile waits here
            return False
        with self._change:
            return not self._events and not self._is_handling

    def end(self, watched: Iterable[WatchDescriptor]) -> None:
        """Let go of what is watched, and of the thread; what hangs in it is left behind."""
        self._shared.leave(self, watched)
        with self._change:
            self._has_ended = True
            self._events.clear()
            self._change.notify()
        if self._thread.is_alive():
            self._thread.join(PATIENCE)

    def put(self, events: list[InotifyEvent]) -> None:
        """From the reading thread."""
        with self._change:
            self._events += events
            if len(self._events) > WAITING:
                self._events = [OVERFLOW]
            self._change.notify()

    def _work(self) -> None:
        while True:
            with self._change:
                self._is_handling = False
                while not self._events and not self._has_ended:
                    self._change.wait()
                if self._has_ended:
                    return
                events, self._events = self._events, []
                self._is_handling = True
            self._handle(events)


PATIENCE: Final = 5.0
"""Seconds that the thread of a watcher has for what it is doing."""


class SharedQueue:
    """The kernel's queue while a watcher has a seat at it. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: Queue | None = None
        self._seats: set[Seat] = set()
        self._owners: dict[WatchDescriptor, set[Seat]] = {}
        """Who watches what: roots may lie in each other."""

    def join(self, handle: EventHandler) -> Seat:
        """A seat, for who starts it and ends it. Raises OSError if there can be no queue."""
        seat = Seat(self, handle)
        with self._lock:
            if self._queue is None:
                self._queue = Queue(self._hand_on)
                self._queue.start()
            self._seats.add(seat)
        return seat

    @property
    def is_open(self) -> bool:
        return self._queue is not None

    @property
    def watched(self) -> int:
        return len(self._owners)

    def watch(self, seat: Seat, fd: int, mask: int) -> WatchDescriptor:
        """Raises OSError."""
        with self._lock:  # or the first events of it would have no watcher
            assert self._queue is not None, "somebody has a seat"
            wd = self._queue.watch(fd, mask)
            self._owners.setdefault(wd, set()).add(seat)
        return wd

    def unwatch(self, seat: Seat, wd: WatchDescriptor) -> None:
        with self._lock:
            self._let_go(seat, wd)

    def leave(self, seat: Seat, watched: Iterable[WatchDescriptor]) -> None:
        """The last one takes the queue with him, and the kernel all its watches."""
        with self._lock:
            self._seats.discard(seat)
            queue = None if self._seats else self._queue
            if queue is not None:
                self._queue = None
                self._owners.clear()
            for wd in [] if queue is not None else list(watched):
                self._let_go(seat, wd)
        if queue is not None:
            queue.end()

    def is_quiet(self) -> bool:
        with self._lock:
            queue = self._queue
        return queue is not None and queue.is_quiet()

    def _let_go(self, seat: Seat, wd: WatchDescriptor) -> None:
        owners = self._owners.get(wd, set())
        owners.discard(seat)
        if owners or wd not in self._owners:
            return
        del self._owners[wd]
        if self._queue is not None:
            self._queue.unwatch(wd)

    def _hand_on(self, events: list[InotifyEvent]) -> None:
        """In the reading thread."""
        shares: dict[Seat, list[InotifyEvent]] = {}
        with self._lock:
            for event in events:
                is_lost = bool(event.mask & InotifyConstants.IN_Q_OVERFLOW)
                for seat in self._seats if is_lost else self._owners.get(event.wd, ()):
                    shares.setdefault(seat, []).append(event)
                if event.mask & InotifyConstants.IN_IGNORED:
                    self._owners.pop(event.wd, None)
        for seat, share in shares.items():
            seat.put(share)
