"""The one bridge from the event loop to threads.

A Bridge is one thread with a Workspace of its own, which is opened when it is first needed and
never leaves the thread. What is given to it is done in order. An await that is cancelled does not
stop what the thread is doing: nothing here is left half done by a cancel.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from epmstore.workspace import Workspace
from epmstored.cancellation import StoppedError
from epmstored.memory import Ebb
from epmstored.priority import give_way

T = TypeVar("T")


class _Job(Generic[T]):
    def __init__(self, call: Callable[[Workspace], T]) -> None:
        self.call = call
        self.future: Future[T] = Future()

    def do(self, open_workspace: Callable[[], Workspace]) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self.call(open_workspace())
        except BaseException as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class Bridge:
    """Runs calls on a workspace in a thread; for one event loop."""

    def __init__(
        self, name: str, open_workspace: Callable[[], Workspace], *, niceness: int = 0
    ) -> None:
        self._niceness = niceness
        self._open_workspace = open_workspace
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._workspace: Workspace | None = None
        self._is_closed = False
        self._last: Future[Any] | None = None
        self._ended = threading.Event()
        # A daemon thread: what hangs on a dead file system must not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, call: Callable[[Workspace], T]) -> T:
        """The result of `call`, or what it raised, or what opening the store raised. Raises
        StoppedError once it is closed.
        """
        return await asyncio.wrap_future(self.give(call))

    def give(self, call: Callable[[Workspace], T]) -> Future[T]:
        """As `run`, for who does not wait. Raises StoppedError."""
        if self._is_closed:
            raise StoppedError("this application is not watched any more")
        job = _Job(call)
        self._last = job.future
        self._jobs.put(job)
        return job.future

    @property
    def is_busy(self) -> bool:
        """Whether what was given to it last is still to be done, or under way."""
        return self._last is not None and not self._last.done()

    async def close(self, wait: float) -> bool:
        """Let the thread end after what it has to do; false if that takes longer than `wait` s."""
        self._is_closed = True
        self._jobs.put(None)
        return await asyncio.to_thread(self._ended.wait, wait)

    def _work(self) -> None:
        if self._niceness:
            give_way(self._niceness)
        ebb = Ebb()
        try:
            while (job := self._jobs.get()) is not None:
                job.do(self._workspace_now)
                del job  # a result may be large, and the next job may be far
                if self._jobs.empty() and self._workspace is not None:
                    self._workspace.rest()
                    ebb.after_work()
        finally:
            if self._workspace is not None:
                self._workspace.close()
            self._ended.set()

    def _workspace_now(self) -> Workspace:
        if self._workspace is None:
            self._workspace = self._open_workspace()
        return self._workspace
