"""What comes from elsewhere is read by a process of its own, within limits of memory, computing and
output; it can fail there, and nothing else does.

A child gets a message on its standard input and gives messages back: each bytes with a length in
front. No pickles: who has been led astray by what it reads could put anything into one. It can make
no file, and ends with its parent. Its limits are the kernel's, so that they hold in any library; of
computing it has some seconds from each message to the next, so that what is merely large is read.

A child costs about a tenth of a second. It is there for what strangers made, and for nothing else.
"""

import contextlib
import os
import resource
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import IO, Any, Final, Self

import msgspec

from epmstore import errors, fsio
from epmstore.child import die_with
from epmstore.errors import EpmError

MEMORY: Final = 320 << 20
"""Bytes that a child may take beyond those of a program that has just been started."""
SECONDS: Final = 10
"""Of computing, from one message to the next."""
SILENCE: Final = 60.0
"""Seconds that a child may wait for something, a disk perhaps, without any message."""
LARGEST: Final = 16 << 20
"""Bytes of one message."""
_LENGTH = struct.Struct("<Q")
_PROGRAM = "import sys; sys.path[:] = {path!r}; from {module} import main; main()"


class ReadLimits(msgspec.Struct, frozen=True):
    """Bytes, and seconds of computing, that reading something may take."""

    memory: int = MEMORY
    seconds: int = SECONDS


class _Order(msgspec.Struct, frozen=True):
    parent: int
    limits: ReadLimits
    setting: msgspec.Raw


class _Failed(msgspec.Struct, frozen=True, tag="failed"):
    """An error of ours (by its class), or of the system (by its number)."""

    kind: str
    message: str
    hint: str | None = None
    data: dict[str, Any] = {}
    errno: int = 0


class _Said(msgspec.Struct, frozen=True, tag="said"):
    value: msgspec.Raw


class _Done(msgspec.Struct, frozen=True, tag="done"):
    """There is no more."""


class _LimitError(EpmError):
    """What is read came to a limit."""


_KINDS: Final[dict[str, type[EpmError]]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, EpmError)
}


class LimitedReader:
    """A child that reads; a context manager, which leaves no process behind."""

    def __init__(
        self,
        module: str,
        setting: object,
        fds: tuple[int, ...] = (),
        limits: ReadLimits = ReadLimits(),  # noqa: B008 - frozen
        *,
        what: str,
    ) -> None:
        """`module` has a `main` that calls `serve`, and gets the `setting` and the `fds`. `what` it
        reads, for messages.
        """
        self._what = what
        self._limits = limits
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _PROGRAM.format(path=sys.path, module=module)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=fds,
            process_group=0,
        )
        raw = msgspec.Raw(msgspec.msgpack.encode(setting))
        order = msgspec.msgpack.encode(_Order(os.getpid(), limits, raw))
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # why it ended is said when it is heard
            fsio.write(self._process.stdin.fileno(), _LENGTH.pack(len(order)) + order)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        with self._process:
            pass  # closes the pipes and waits

    def messages(self) -> Iterator[bytes]:
        """What it says, as MessagePack, up to its end. Raises what it raised; EpmError if it came
        to its limits.
        """
        while True:
            answer = msgspec.msgpack.decode(self._receive(), type=_Said | _Failed | _Done)
            if isinstance(answer, _Said):
                yield bytes(answer.value)
            elif isinstance(answer, _Failed) and answer.kind == _LimitError.__name__:
                raise EpmError(f"{self._what} cannot be read: {answer.message}")
            elif isinstance(answer, _Failed):
                raise _error(answer)
            else:
                return

    def _receive(self) -> bytes:
        pipe = self._process.stdout
        assert pipe is not None
        ready, _, _ = select.select([pipe], [], [], SILENCE)
        if not ready:
            raise EpmError(f"{self._what} cannot be read: nothing came for {SILENCE:g} s")
        header = pipe.read(_LENGTH.size)
        size = _LENGTH.unpack(header)[0] if len(header) == _LENGTH.size else LARGEST + 1
        data = pipe.read(size) if size <= LARGEST else b""
        if len(data) < size:
            self._process.kill()
            raise self._died(self._process.wait())
        return data

    def _died(self, code: int) -> EpmError:
        if code == -signal.SIGXCPU:
            why = f"it takes more than {self._limits.seconds} s of computing, and gives nothing"
        else:
            why = f"reading it failed (a process ended with {code})"
        return EpmError(f"{self._what} cannot be read: {why}")


def _error(found: _Failed) -> Exception:
    if found.errno:
        return OSError(found.errno, os.strerror(found.errno), found.message or None)
    kind = _KINDS.get(found.kind, EpmError)
    return kind(found.message, hint=found.hint, **found.data)


# In the child.


def serve(read: Callable[[bytes], Iterator[object]]) -> None:
    """The main program of a child: `read` gets the setting, as MessagePack, and gives messages."""
    with open(0, "rb", closefd=False) as pipe:
        order = msgspec.msgpack.decode(_read_order(pipe), type=_Order)
    die_with(order.parent)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _limit(order.limits)
    try:
        try:
            for message in read(bytes(order.setting)):
                _say(_Said(msgspec.Raw(msgspec.msgpack.encode(message))))
                _allow(order.limits.seconds)
        except MemoryError:
            raise _LimitError(
                f"it takes more than {order.limits.memory >> 20:,} MiB of memory"
            ) from None
        except RecursionError:
            raise _LimitError("it is nested too deep") from None
        answer: object = _Done()
    except EpmError as error:
        answer = _failed(error)
    except OSError as error:
        answer = _Failed("", str(error.filename or ""), errno=error.errno or 5)
    with contextlib.suppress(BrokenPipeError):
        _say(answer)


def _failed(error: EpmError) -> _Failed:
    known = (*_KINDS, _LimitError.__name__)
    kind = next(k.__name__ for k in type(error).__mro__ if k.__name__ in known)
    simple = {k: v for k, v in error.data.items() if isinstance(v, str | int | None)}
    return _Failed(kind, error.message[:4096], error.hint, simple)


def _read_order(pipe: IO[bytes]) -> bytes:
    (size,) = _LENGTH.unpack(pipe.read(_LENGTH.size))
    return pipe.read(size)


def _say(message: object) -> None:
    data = msgspec.msgpack.encode(message)
    fsio.write(1, _LENGTH.pack(len(data)) + data)


def _limit(limits: ReadLimits) -> None:
    with open("/proc/self/statm", "rb") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    most = taken + limits.memory
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _allow(limits.seconds)


def _allow(seconds: int) -> None:
    """So much computing from now on."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = int(time.process_time()) + 1 + seconds
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
