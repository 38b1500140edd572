"""Remotes that wrap another one are that one, to whoever asks."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from epmstore.errors import (
    RemoteBusyError,
    RemoteDeniedError,
    RemoteError,
    RemoteTransientError,
)
from epmstore.remotes.memory_remote import MemoryRemote
from epmstore.remotes.metered import MeteredRemote, Traffic
from epmstore.remotes.remote import PIECE, Remote
from epmstore.remotes.retry import Pauses, RetryRemote
from epmstore.remotes.throttle import ThrottledRemote
from tests.remotes.contract import RemoteContract, put, sha256
from tests.remotes.test_memory import shelf_of


class TestRetry(RemoteContract):
    def remote(self, folder: Path, objects: Mapping[str, bytes]) -> Remote:
        return RetryRemote(MemoryRemote(shelf_of(objects)), sleep=lambda seconds: None)


class TestThrottle(RemoteContract):
    def remote(self, folder: Path, objects: Mapping[str, bytes]) -> Remote:
        return ThrottledRemote(MemoryRemote(shelf_of(objects)), 1e12)


class TestMeter(RemoteContract):
    def remote(self, folder: Path, objects: Mapping[str, bytes]) -> Remote:
        return MeteredRemote(MemoryRemote(shelf_of(objects)))


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_bytes_take_their_time_in_both_directions() -> None:
    time = Time()
    remote = ThrottledRemote(MemoryRemote(), 1000.0, timer=time, sleep=time.sleep)
    put(remote, "x", bytes(5000))
    assert time.now == pytest.approx(105.0)
    assert b"".join(remote.read("x")) == bytes(5000)
    remote.replace("h", bytes(1000), None)
    assert time.now == pytest.approx(111.0)
    time.now = 500.0  # what was not used is not saved up
    list(remote.read("x"))
    list(remote.read("x"))
    assert time.now == pytest.approx(510.0)


def test_calls_and_bytes_are_counted() -> None:
    meter = MeteredRemote(MemoryRemote())
    put(meter, "x", bytes(PIECE + 1))
    list(meter.read("x", 0, 7))
    list(meter.list(""))
    meter.stat("x")
    meter.replace("h", b"12", None)
    meter.delete("x")
    assert meter.traffic == Traffic(
        lists=1, stats=1, reads=1, writes=1, replaces=1, deletes=1, received=7, sent=PIECE + 3
    )


class Refusing(MemoryRemote):
    """Each call is refused, and counted."""

    def __init__(self, error: RemoteError) -> None:
        super().__init__(before=self._refuse)
        self.error = error
        self.calls = 0

    def _refuse(self, call: str, name: str) -> None:
        self.calls += 1
        raise self.error


def test_who_is_not_accepted_does_not_try_again() -> None:
    remote = Refusing(RemoteDeniedError("no"))
    with pytest.raises(RemoteDeniedError):
        RetryRemote(remote, sleep=lambda seconds: None).stat("x")
    assert remote.calls == 1


def test_a_remote_that_asks_for_time_gets_it_within_reason() -> None:
    waits: list[float] = []
    for after in (7, 86_400):
        remote = Refusing(RemoteBusyError("slow down", after=after))
        with pytest.raises(RemoteBusyError):
            RetryRemote(remote, Pauses(attempts=2), sleep=waits.append).stat("x")
    assert waits == [7, 60.0]


def test_a_remote_that_takes_its_time_to_fail_is_given_up() -> None:
    time = Time()
    remote = Refusing(RemoteTransientError("it does not answer"))

    def wait(call: str, name: str) -> None:
        time.sleep(20)
        remote.calls += 1
        raise remote.error

    slow = MemoryRemote(before=wait)
    with pytest.raises(RemoteTransientError):
        RetryRemote(slow, timer=time, sleep=time.sleep).stat("x")
    assert remote.calls == 3


class Dripping(MemoryRemote):
    """Each read ends after a byte."""

    def read(self, name: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        self.reads = getattr(self, "reads", 0) + 1
        yield from super().read(name, start, 1)
        raise RemoteTransientError("cut off")


def test_a_remote_that_gives_a_byte_at_a_time_is_given_up() -> None:
    remote = Dripping(shelf_of({"x": bytes(100_000)}))
    with pytest.raises(RemoteTransientError):
        list(RetryRemote(remote, sleep=lambda seconds: None).read("x", 0, 100_000))
    assert remote.reads == 6


def test_pauses_grow_and_differ() -> None:
    pauses = Pauses(first=1.0, longest=8.0)
    assert [pauses.before(n, 1.0, None) for n in range(1, 6)] == [1, 2, 4, 8, 8]
    assert pauses.before(3, 0.0, None) == 2


def test_pieces_that_cannot_be_sent_again_are_refused() -> None:
    with pytest.raises(TypeError):
        RetryRemote(MemoryRemote()).write("x", (p for p in [b"x"]), 1, sha256(b"x"))


def test_a_remote_that_is_given_up_comes_with_what_helps() -> None:
    for given, hint in ((None, "run the command again"), ("its own", "its own")):
        remote = Refusing(RemoteTransientError("it is away", hint=given))
        with pytest.raises(RemoteTransientError) as caught:
            RetryRemote(remote, sleep=lambda seconds: None).stat("x")
        assert hint in (caught.value.hint or "")
