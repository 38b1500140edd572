"""A process that reads what comes from elsewhere: its limits, and what it says."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from epmstore import limited
from epmstore.errors import BadCatalogError, EpmError
from epmstore.limited import LimitedReader, ReadLimits

MODULE = "tests.ground.test_limited"
MIB = 1 << 20


def eat() -> None:
    held = [bytes(MIB) for _ in range(1000)]
    assert held


def spin(seconds: float = 1000) -> None:
    began = time.process_time()
    while time.process_time() < began + seconds:
        pass


def fail() -> None:
    raise BadCatalogError("line 3: no", hint="ask", line=3)


def write() -> None:
    with open("/dev/shm/limited-test", "wb") as file:
        file.write(b"x")


ACTS: dict[str, Callable[[], object]] = {
    "nothing": lambda: None,
    "memory": eat,
    "computing": spin,
    "depth": lambda: deeper(0),
    "error": fail,
    "system": lambda: os.stat("/nowhere/at/all"),
    "death": lambda: os.kill(os.getpid(), 9),
    "writing": write,
}


def read(setting: bytes) -> Iterator[object]:
    what = msgspec.msgpack.decode(setting, type=str)
    yield "begun"
    if what == "slow":
        for _ in range(3):
            spin(0.7)
            yield "on"
    else:
        ACTS[what]()


def deeper(number: int) -> int:
    return deeper(number + 1) + 1


def main() -> None:
    limited.serve(read)


def said(what: str, **limits: int) -> list[str]:
    with LimitedReader(MODULE, what, limits=ReadLimits(**limits), what="the thing") as reader:
        return [msgspec.msgpack.decode(message) for message in reader.messages()]


def test_messages_of_a_limited_reader_are_heard() -> None:
    assert said("nothing") == ["begun"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("memory", "the thing cannot be read: it takes more than 100 MiB of memory"),
        ("computing", "the thing cannot be read: it takes more than 1 s of computing"),
        ("depth", "the thing cannot be read: it is nested too deep"),
        ("death", r"the thing cannot be read: reading it failed \(a process ended with -9\)"),
    ],
)
def test_at_a_limit_it_ends_and_nobody_else_does(what: str, why: str) -> None:
    with pytest.raises(EpmError, match=f"^{why}"):
        said(what, memory=100 * MIB, seconds=1)


@pytest.mark.slow
def test_who_goes_on_may_go_on() -> None:
    assert said("slow", seconds=1) == ["begun", "on", "on", "on"]


def test_errors_come_as_they_are() -> None:
    with pytest.raises(BadCatalogError, match="line 3: no") as caught:
        said("error")
    assert (caught.value.hint, caught.value.data) == ("ask", {"line": 3})
    with pytest.raises(FileNotFoundError) as missing:
        said("system")
    assert missing.value.filename == "/nowhere/at/all"


def test_it_can_write_nothing() -> None:
    try:
        with pytest.raises(OSError, match="too large"):
            said("writing")
        assert Path("/dev/shm/limited-test").stat().st_size == 0
    finally:
        Path("/dev/shm/limited-test").unlink(missing_ok=True)
