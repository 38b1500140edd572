"""Worker processes: started, fed with slices, and ended whatever happens. See worker.py.

Threads would do the same work, but they spend a third of it on waiting for the interpreter's lock.
Processes are spawned and never forked: a daemon has threads, and SQLite must not cross a fork. Each
is in a process group of its own, so that Ctrl-C is the parent's affair.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self, TypeVar

from epmstore.errors import EpmError
from epmstore.record.reading import Seen, Task
from epmstore.record.shelf import SharedClaims, Shelf
from epmstore.record.worker import Finished, Setting, Target, receive, send

_Part = TypeVar("_Part")
_PROGRAM = "import sys; sys.path[:] = {path!r}; from epmstore.record.worker import main; main()"


class Worker:
    """One process. A context manager: who leaves the block early leaves no process and no file."""

    def __init__(self, root_fd: int, shelf: Shelf | None, claims: SharedClaims) -> None:
        target = None
        if shelf is not None:
            database = shelf.contents.database
            target = Target(shelf.packs, database.path, database.store_uuid, claims.fd)
        # -I: nothing is imported from the working directory, which need not be ours
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _PROGRAM.format(path=sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(root_fd, claims.fd),
            process_group=0,
        )
        self._is_done = False
        self._send(Setting(root_fd, os.getpid(), target))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._is_done:
            self.stop()
            self._drain()
        with self._process:
            pass  # closes the pipes and waits

    def work(
        self,
        parts: Iterator[_Part],
        tasks: Callable[[_Part], list[Task]],
        take: Callable[[_Part, Sequence[Seen]], None],
    ) -> Finished:
        """Have parts read until there are no more; the next one is on its way while one is read.

        Raises what the worker raised; EpmError if it died.
        """
        before: _Part | None = None
        for part in parts:
            self._send(tasks(part))
            if before is not None:
                take(before, self._receive(list))
            before = part
        self._send([])
        if before is not None:
            take(before, self._receive(list))
        finished = self._receive(Finished)
        self._is_done = True
        return finished

    def stop(self) -> None:
        """From any thread: whoever is in `work` gets an error."""
        self._process.terminate()

    def _send(self, message: object) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # why it ended, it says itself
            send(self._process.stdin.fileno(), message)

    def _receive(self, kind: type[_Part]) -> _Part:
        assert self._process.stdout is not None
        try:
            answer = receive(self._process.stdout)
        except EOFError:
            raise EpmError("a worker process died", hint="run the command again") from None
        if isinstance(answer, BaseException):
            self._is_done = True
            raise answer
        assert isinstance(answer, kind), "a worker answers in order"
        return answer

    def _drain(self) -> None:
        """What it wrote before it heard that nobody wants it is ours to take away."""
        with contextlib.suppress(EpmError, OSError):
            while True:
                answer = self._receive(object)
                if isinstance(answer, Finished):
                    answer.discard()
