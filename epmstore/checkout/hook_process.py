"""Running the commands of others: the only place of the library that does so around a checkout.

A hook gets a clean environment, no input, `/` as its directory, and a session of its own, so that
it can be killed with everything it started: asked first, then made. Its output goes through a pipe
of which the end is kept. A process that it leaves running is left alone; if that one still has the
pipe, it is said, because its next write will find no reader.
"""

import contextlib
import os
import pwd
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

import msgspec

from epmstore import limits
from epmstore.catalog.hooks import HookCommand

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
KEPT_OUTPUT: Final = 8192
"""Bytes of output that are kept: the last ones say what went wrong."""
GRACE: Final = 5.0
"""Seconds between being asked to end and being killed."""
_POLL = 0.02
_MOMENT = 0.2


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """What a command came to: see HookRun. It has no `status` if it had to be killed."""

    status: int | None
    output: bytes = b""
    held: bool = False


class CommandRunner(Protocol):
    """What runs commands; with its own time, so that a test need not wait."""

    def find(self, program: str) -> bool:
        """Whether there is such a program."""
        ...

    def run(self, command: HookCommand, environment: Mapping[str, str], limit: float) -> Ran:
        """Run it to its end, or for `limit` seconds. Raises OSError if it cannot be started."""
        ...

    def now(self) -> float:
        """Seconds, of a clock that is never set."""
        ...

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        ...


class Commands:
    """Runs real ones."""

    def find(self, program: str) -> bool:
        names = [program] if "/" in program else [f"{top}/{program}" for top in PATH.split(":")]
        return any(os.path.isfile(name) and os.access(name, os.X_OK) for name in names)

    def run(self, command: HookCommand, environment: Mapping[str, str], limit: float) -> Ran:
        with _interrupts_noted() as interrupts:  # or a process would be left that is not known of
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={**_environment(), **environment},
                start_new_session=True,
                umask=limits.umask_as_before(),
            )
        limits.allow_as_before(process.pid)
        assert process.stdout is not None, "it is a pipe"
        with process.stdout as pipe:
            os.set_blocking(pipe.fileno(), False)
            tail = _Tail(pipe.fileno())
            try:
                if interrupts:
                    raise KeyboardInterrupt
                status = _status(process, tail, limit)
            except BaseException:
                _end(process, lambda: tail.read(_POLL))
                raise
            tail.drain()
            return Ran(status=status, output=bytes(tail.data), held=not tail.closed)

    def now(self) -> float:
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)


class _Tail:
    """The end of what comes through a pipe."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._poll = select.poll()  # select() knows no descriptors beyond 1023
        self._poll.register(fd, select.POLLIN)
        self.data = bytearray()
        self.closed = False

    def read(self, wait: float) -> None:
        """Take what is there, waiting so long for the first of it."""
        if self.closed:
            time.sleep(wait)
            return
        while self._poll.poll(wait * 1000):
            piece = os.read(self._fd, 1 << 16)
            if not piece:
                self.closed = True
                return
            self.data += piece
            del self.data[:-KEPT_OUTPUT]
            wait = 0.0

    def drain(self) -> None:
        """Up to the end; who still holds the pipe a moment later means to keep it. A process that
        was just forked has it for that moment, whatever it is about to do.
        """
        deadline = time.monotonic() + _MOMENT
        while not self.closed and (left := deadline - time.monotonic()) > 0:
            self.read(left)


def _status(process: subprocess.Popen[bytes], tail: _Tail, limit: float) -> int | None:
    deadline = time.monotonic() + limit
    while process.poll() is None:
        if time.monotonic() >= deadline:
            _end(process, lambda: tail.read(_POLL))
            return None
        tail.read(_POLL)
    code = process.returncode
    return code if code >= 0 else 128 - code


def _end(process: subprocess.Popen[bytes], pause: Callable[[], None]) -> None:
    """The whole group is gone when this returns. What it says on the way is still read, or it
    could not end.
    """
    _signal(process, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while process.poll() is None and time.monotonic() < deadline:
        pause()
    _signal(process, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def _interrupts_noted() -> Iterator[list[int]]:
    """Ctrl-C comes a moment later. By a handler, which a command does not inherit; only the main
    thread is interrupted, and only it may say how.
    """
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: noted.append(number))
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _environment() -> dict[str, str]:
    """The same on every host and for every caller: nothing of the caller's."""
    uid = os.geteuid()
    found = {"PATH": PATH, "LANG": "C.UTF-8"}
    with contextlib.suppress(KeyError):
        user = pwd.getpwuid(uid)
        found |= {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}
    runtime = f"/run/user/{uid}"
    if os.path.isdir(runtime):
        found["XDG_RUNTIME_DIR"] = runtime  # or `systemctl --user` finds no manager
    return found
