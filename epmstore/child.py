"""Processes of our own program that share a piece of work: started, fed and ended, come what may.

Threads would do the same work, but many short system calls spend a third of it on waiting for the
interpreter's lock. Children are spawned and never forked: a daemon has threads, and SQLite must not
cross a fork. Each is in a process group of its own, so that Ctrl-C is the parent's affair; it ends
with its parent.

Messages are pickles with a length before them, on the child's standard input and output; both ends
are the same program, and no other process holds the other end. The first message is a setting; then
come lists of tasks, and lists of answers go back; an empty list ends it, and a Last is the last
answer. An error is the last answer too, as itself.
"""

import contextlib
import ctypes
import os
import pickle
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from types import FrameType
from typing import IO, Any, Protocol, Self, TypeVar

import msgspec

from epmstore import fsio
from epmstore.errors import EpmError

_Part = TypeVar("_Part")
_LENGTH = struct.Struct("<Q")
_PR_SET_PDEATHSIG = 1
_PROGRAM = "import sys; sys.path[:] = {path!r}; from {module} import main; main()"


class Last(msgspec.Struct, frozen=True):
    """What a child leaves when it has done everything."""

    value: Any


class ChildService(Protocol):
    """What a child does with what it is sent."""

    def do(self, tasks: Any) -> Sequence[object]:
        """An answer to each task."""
        ...

    def finish(self) -> object:
        """What is left at the end, when there are no more tasks."""
        ...


def _nothing_left(value: Any) -> None:
    """Most children leave nothing behind."""


def _stamp() -> tuple[int, ...] | None:
    """What tells this file from the one that an upgrade puts in its place."""
    try:
        found = os.stat(__file__)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


_LOADED = _stamp()


def cores(limit: int) -> int:
    """How many children help: one for each core, up to a limit. One means none, because there is no
    interpreter to start (what embeds us may have none), or the program on the disk is not the one
    that runs here: a daemon goes on while its package is upgraded.
    """
    if not sys.executable or _stamp() != _LOADED:
        return 1
    return min(limit, len(os.sched_getaffinity(0)))


class Child:
    """One process. A context manager: who leaves the block early leaves no process."""

    def __init__(
        self,
        module: str,
        setting: object,
        fds: Iterable[int],
        discard: Callable[[Any], None] = _nothing_left,
    ) -> None:
        """`module` has a `main` that calls `serve`; it inherits `fds`. `discard` takes away what it
        left, if its caller no longer waits for it.
        """
        self._discard = discard
        # -I: nothing is imported from the working directory, which need not be ours
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _PROGRAM.format(path=sys.path, module=module)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=tuple(fds),
            process_group=0,
        )
        self._is_done = False
        self._send((os.getpid(), setting))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_done:
            self.stop()
            self._drain()
        with self._process:
            pass  # closes the pipes and waits

    def work(
        self,
        parts: Iterable[_Part],
        tasks: Callable[[_Part], Sequence[object]],
        take: Callable[[_Part, Any], None],
    ) -> Any:
        """Have parts done until there are no more, and `take` the answers to the `tasks` of each;
        the next one is on its way while one is done. Returns what is left at the end.

        Raises what the child raised; EpmError if it died.
        """
        before: _Part | None = None
        for part in parts:
            self._send(tasks(part))
            if before is not None:
                take(before, self._receive())
            before = part
        self._send([])
        if before is not None:
            take(before, self._receive())
        last = self._receive()
        assert isinstance(last, Last), "a child answers in order"
        self._is_done = True
        return last.value

    def stop(self) -> None:
        """From any thread: a caller in `work` gets an error."""
        self._process.terminate()

    def _send(self, message: object) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # why it ended, it says itself
            _send(self._process.stdin.fileno(), message)

    def _receive(self) -> Any:
        assert self._process.stdout is not None
        try:
            answer = _receive(self._process.stdout)
        except EOFError:
            raise EpmError("a worker process died", hint="run the command again") from None
        if isinstance(answer, BaseException):
            self._is_done = True
            raise answer
        return answer

    def _drain(self) -> None:
        """What it left before it heard that its work is not wanted is ours to take away."""
        with contextlib.suppress(EpmError, OSError):
            while True:
                answer = self._receive()
                if isinstance(answer, Last):
                    self._discard(answer.value)


# In the child.


def serve(
    begin: Callable[[Any], AbstractContextManager[ChildService]],
    discard: Callable[[Any], None] = _nothing_left,
) -> None:
    """The main program of a child: `begin` makes what works by a setting. It ends with its parent,
    by the way that takes temporaries away, unless it is killed outright; `discard` takes away what
    was left, if that cannot be told any more.
    """
    with open(0, "rb", closefd=False) as pipe:
        parent, setting = _receive(pipe)
        signal.signal(signal.SIGTERM, _leave)
        die_with(parent)
        try:
            answer: object = Last(_work(begin(setting), pipe))
        except EOFError:
            return
        except (OSError, EpmError) as error:
            answer = error
        try:
            _send(1, answer)
        except BaseException:
            if isinstance(answer, Last):
                discard(answer.value)
            raise


def _work(begun: AbstractContextManager[ChildService], pipe: IO[bytes]) -> object:
    with begun as service:
        tasks = _receive(pipe)
        while tasks:
            answers = service.do(tasks)
            # Taken before the answers go out: their sender must not wait for us while we wait for
            # it to listen.
            tasks = _receive(pipe)
            _send(1, answers)
        return service.finish()


def _send(fd: int, message: object) -> None:
    """Raises BrokenPipeError if the other end is closed."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    fsio.write(fd, _LENGTH.pack(len(data)) + data)


def _receive(pipe: IO[bytes]) -> Any:
    """Raises EOFError if the other end is gone."""
    header = pipe.read(_LENGTH.size)
    length = _LENGTH.unpack(header)[0] if len(header) == _LENGTH.size else 1
    data = pipe.read(length)
    if len(data) < length:
        raise EOFError
    return pickle.loads(data)


def die_with(parent: int) -> None:
    """From now on this process gets SIGTERM when the thread that started it ends; if it has
    ended already, so do we.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)


def _leave(number: int, frame: FrameType | None) -> None:
    """Ends whatever is being done, by the way that takes temporaries away."""
    sys.exit(128 + number)
