"""The command line, in this process or in one of its own, as a function of its words."""

import ctypes
import io
import json
import os
import pickle
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

from epmstore import fsio
from epmstore.cli.main import main

Shape: TypeAlias = dict[str, Any]
_CAPABILITIES_3 = 0x20080522
_libc = ctypes.CDLL(None, use_errno=True)
KILLED = -signal.SIGKILL
Beside: TypeAlias = Callable[[str, tuple[object, ...]], None]
"""Called before each mutating call of the program, with its name and arguments."""


class Answer(NamedTuple):
    """How a command ended. `left` is how many descriptors it left open."""

    code: int
    out: bytes = b""
    err: bytes = b""
    seconds: float = 0.0
    left: int = 0

    @property
    def shapes(self) -> list[Shape]:
        """Standard output as JSON Lines; none if it is no JSON."""
        return [*filter(None, map(_shape, self.out.splitlines()))]

    @property
    def error(self) -> Shape:
        """The JSON error on standard error, or nothing."""
        found = [shape for line in self.err.splitlines() if (shape := _shape(line))]
        return next((shape for shape in found if shape.get("type") == "error"), {})

    @property
    def said(self) -> str:
        """All of it, for people."""
        return (self.out + self.err).decode("utf-8", "replace").strip()


def _shape(line: bytes) -> Shape | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def call(*words: str | bytes) -> Answer:
    """Carry one command out, here."""
    out, err = _stream(), _stream()
    before, began = descriptors(), time.monotonic()
    kept = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err
    try:
        code = main([*map(os.fsdecode, words)])
    finally:
        sys.stdout, sys.stderr = kept
    seconds, left = time.monotonic() - began, descriptors() - before
    return Answer(code, _text(out), _text(err), seconds, left)


def killed(work: Callable[[], Answer], at: int) -> Answer:
    """What comes of it in a process that dies before its mutating call of that number."""

    def mortal() -> Answer:
        fsio.install_fault(_killer(at))
        return work()

    return apart(mortal) or Answer(KILLED)


def limited(work: Callable[[], Answer], descriptors: int) -> Answer:
    """What comes of it in a process that may have so few."""

    def poor() -> Answer:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
        return work()

    return apart(poor) or Answer(KILLED)


def failing(work: Callable[[], Answer], at: int, error: int, *, on: bool) -> Answer:
    """What comes of it if a mutating call fails; with `on`, all after it, too."""
    count = 0

    def see(name: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        count += 1
        if count == at or (on and count > at):
            raise OSError(error, os.strerror(error))

    fsio.install_fault(see)
    try:
        return work()
    finally:
        fsio.install_fault(None)


def without(capability: int, work: Callable[[], Answer]) -> Answer:
    """What comes of it in a process that lacks a capability."""

    def hindered() -> Answer:
        drop_capability(capability)
        return work()

    answer = apart(hindered)
    return answer if isinstance(answer, Answer) else Answer(KILLED)


@contextmanager
def clock_wrong_by(seconds: int) -> Iterator[None]:
    """For whoever asks for the time of day in this process."""
    system: Any = time
    real, real_ns = time.time, time.time_ns
    system.time = lambda: real() + seconds
    system.time_ns = lambda: real_ns() + seconds * 10**9
    try:
        yield
    finally:
        system.time, system.time_ns = real, real_ns


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def drop_capability(number: int) -> None:
    """From this process, for good."""
    head = (ctypes.c_uint32 * 2)(_CAPABILITIES_3, 0)
    sets = (ctypes.c_uint32 * 6)()
    if _libc.capget(head, sets) != 0:
        return
    for at in range(3):
        sets[at + 3 * (number // 32)] &= ~(1 << (number % 32))
    _libc.capset(head, sets)


def apart(work: Callable[[], Any]) -> Any:
    """What a function returns in a process of its own; None if that was killed."""
    read_fd, write_fd = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(read_fd)
        try:
            answer = pickle.dumps(work())
            with os.fdopen(write_fd, "wb") as pipe:
                pipe.write(answer)
        finally:
            os._exit(0)
    os.close(write_fd)
    with os.fdopen(read_fd, "rb") as pipe:
        data = pipe.read()
    os.waitpid(process, 0)
    return pickle.loads(data) if data else None


def _killer(at: int) -> Beside:
    count = 0

    def see(name: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)

    return see


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BytesIO(), encoding="utf-8", errors="surrogateescape", write_through=True
    )


def _text(stream: io.TextIOWrapper) -> bytes:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue()
