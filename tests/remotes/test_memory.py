"""The remote in memory keeps the contract; each of its knobs is met by the rule that it is for."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from epmstore.clock import FixedClock
from epmstore.errors import (
    BadObjectError,
    RemoteChangedError,
    RemoteError,
    RemoteTransientError,
)
from epmstore.remotes.checked import holds, read_checked
from epmstore.remotes.memory_remote import MemoryRemote, MemoryShelf, RemoteFaults
from epmstore.remotes.remote import Remote
from epmstore.remotes.retry import RetryRemote
from tests.remotes.contract import RemoteContract, put, sha256


def shelf_of(objects: Mapping[str, bytes]) -> MemoryShelf:
    shelf = MemoryShelf()
    for name, data in objects.items():
        shelf.put(name, data)
    return shelf


class TestMemoryRemote(RemoteContract):
    def remote(self, folder: Path, objects: Mapping[str, bytes]) -> Remote:
        return MemoryRemote(shelf_of(objects))


def patient(faults: RemoteFaults, shelf: MemoryShelf, seed: int = 0) -> RetryRemote:
    return RetryRemote(MemoryRemote(shelf, faults, seed=seed), sleep=lambda s: None)


DATA = bytes(range(256)) * 4000


@pytest.mark.parametrize("seed", range(20))
def test_a_third_of_all_calls_lost_is_waited_out(seed: int) -> None:
    shelf = MemoryShelf()
    remote = patient(RemoteFaults(loss=0.3), shelf, seed)
    put(remote, "packs/x", DATA)
    remote.replace("h/head", b"1", None)
    assert b"".join(remote.read("packs/x", 5, 10_000)) == DATA[5:10_005]
    assert [o.name for o in remote.list("")] == ["h/head", "packs/x"]
    assert remote.stat("h/head") is not None
    remote.delete("packs/x")
    assert shelf.objects == {"h/head": b"1"}


def test_a_remote_that_is_gone_for_ever_is_given_up() -> None:
    waits: list[float] = []
    remote = RetryRemote(MemoryRemote(None, RemoteFaults(loss=1)), sleep=waits.append)
    for call in (
        lambda: put(remote, "x", b""),
        lambda: remote.stat("x"),
        lambda: list(remote.list("")),
        lambda: list(remote.read("x")),
        lambda: remote.replace("x", b"", None),
        lambda: remote.delete("x"),
    ):
        waits.clear()
        with pytest.raises(RemoteTransientError):
            call()
        assert len(waits) == 5 and waits == sorted(waits)


def test_a_call_that_was_done_and_not_acknowledged_is_done() -> None:
    shelf = MemoryShelf()
    impatient = MemoryRemote(shelf, RemoteFaults(lost_acknowledgement=1))
    with pytest.raises(RemoteTransientError):
        impatient.replace("h/head", b"1", None)
    shelf.objects.clear()
    link = MemoryRemote(shelf, RemoteFaults(lost_acknowledgement=1))

    def heal(seconds: float) -> None:
        link.faults = RemoteFaults()

    remote = RetryRemote(link, sleep=heal)
    remote.replace("h/head", b"1", None)
    link.faults = RemoteFaults(lost_acknowledgement=1)
    put(remote, "x", b"x")
    link.faults = RemoteFaults(lost_acknowledgement=1)
    remote.delete("x")
    assert shelf.objects == {"h/head": b"1"}


def test_an_object_of_another_is_not_taken_for_ones_own() -> None:
    shelf = MemoryShelf()
    link = MemoryRemote(shelf, RemoteFaults(loss=1))

    def others(seconds: float) -> None:
        link.faults = RemoteFaults()
        shelf.put("h/head", b"of a clone")

    with pytest.raises((RemoteChangedError, BadObjectError)):
        RetryRemote(link, sleep=others).replace("h/head", b"mine", None)
    assert shelf.objects == {"h/head": b"of a clone"}


def test_reads_that_end_early_go_on_where_they_were_cut() -> None:
    shelf = shelf_of({"packs/x": DATA})
    remote = patient(RemoteFaults(cut_reads=1), shelf)
    assert read_checked(remote, "packs/x", len(DATA), sha256(DATA)) == DATA
    # without a length nobody could know
    assert b"".join(remote.read("packs/x")) == DATA[: len(DATA) // 2]


def test_garbage_of_the_right_size_is_not_believed() -> None:
    shelf = shelf_of({"packs/x": DATA})
    remote = MemoryRemote(shelf, RemoteFaults(garbage=1))
    with pytest.raises(BadObjectError):
        read_checked(remote, "packs/x", len(DATA), sha256(DATA))
    assert not holds(remote, "packs/x", len(DATA), sha256(DATA))


def test_an_object_that_was_cut_when_it_was_written_is_not_there() -> None:
    shelf = MemoryShelf()
    put(MemoryRemote(shelf, RemoteFaults(cut_writes=1)), "packs/x", DATA)
    remote = MemoryRemote(shelf)
    assert not holds(remote, "packs/x", len(DATA), sha256(DATA))
    put(remote, "packs/x", DATA)
    assert holds(remote, "packs/x", len(DATA), sha256(DATA))


def test_listings_may_be_behind() -> None:
    shelf = MemoryShelf()
    remote = MemoryRemote(shelf, RemoteFaults(stale=2))
    for name in ("a", "b", "c"):
        put(remote, name, b"")
    assert [o.name for o in remote.list("")] == ["a"]
    remote.delete("a")
    assert [o.name for o in remote.list("")] == ["a", "b"]
    assert remote.stat("a") is None


def test_conditions_may_be_ignored_and_that_is_said() -> None:
    remote = MemoryRemote(shelf_of({"h": b"1"}), RemoteFaults(ignores_conditions=True))
    assert not remote.abilities.conditional
    assert MemoryRemote().abilities.conditional
    remote.replace("h", b"3", b"2")
    assert remote.shelf.objects == {"h": b"3"}


def test_time_passes_on_the_way() -> None:
    clock = FixedClock(0.0)
    remote = MemoryRemote(None, RemoteFaults(latency=0.2), clock=clock)
    put(remote, "x", b"")
    remote.stat("x")
    assert clock.now() == pytest.approx(0.4)


def test_a_call_can_be_the_last_one() -> None:
    def before(call: str, name: str) -> None:
        raise RemoteError(f"{call} {name}")

    remote = MemoryRemote(before=before)
    with pytest.raises(RemoteError, match="write x"):
        put(remote, "x", b"")
    assert remote.shelf.objects == {}
