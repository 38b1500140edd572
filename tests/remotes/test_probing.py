"""What a remote is found to do: honest ones, poor ones, and those that lie."""

import contextlib
from pathlib import Path

import pytest

from epmstore.errors import RemoteDeniedError, RemoteError
from epmstore.remotes.folder_remote import FolderRemote
from epmstore.remotes.memory_remote import MemoryRemote, MemoryShelf, RemoteFaults
from epmstore.remotes.probing import probe
from epmstore.remotes.remote import Remote
from epmstore.remotes.retry import RetryRemote
from tests.remotes import s3server, sftpserver
from tests.remotes.s3server import S3Faults
from tests.remotes.sftpserver import SftpFaults, remote_of

NAME = "hosts/h1/probe"


def found(place: Remote) -> tuple[dict[str, str], list[str]]:
    """What is said by the name of each, and the names of those that are wrong."""
    remote = RetryRemote(place, sleep=lambda seconds: None)
    probes = [*probe(remote, place, NAME)]
    assert all(one.ok or one.hint for one in probes)
    return {one.name: one.detail for one in probes}, [one.name for one in probes if not one.ok]


def test_an_honest_remote_is_in_order_and_keeps_nothing_of_it(tmp_path: Path) -> None:
    shelf = MemoryShelf()
    with contextlib.closing(FolderRemote(tmp_path)) as folder:
        for place in (MemoryRemote(shelf), folder):
            said, wrong = found(place)
            assert not wrong and set(said) == {"writes", "parts", "replaces", "lists", "deletes"}
    assert shelf.objects == {} and not (tmp_path / NAME).exists()


@pytest.mark.parametrize(
    ("faults", "wrong"),
    [
        (RemoteFaults(garbage=1.0), {"writes", "parts", "replaces"}),
        (RemoteFaults(ignores_conditions=True), {"replaces"}),
    ],
)
def test_a_remote_that_lies_is_wrong(faults: RemoteFaults, wrong: set[str]) -> None:
    assert set(found(MemoryRemote(faults=faults))[1]) == wrong


def test_a_remote_that_keeps_half_is_wrong() -> None:
    place = MemoryRemote(faults=RemoteFaults(cut_writes=1.0))
    with contextlib.suppress(RemoteError):
        first = next(probe(place, place, NAME))
        assert (first.name, first.ok) == ("writes", False)


def test_a_host_that_may_not_delete_is_as_it_should_be() -> None:
    def before(call: str, name: str) -> None:
        if call == "delete":
            raise RemoteDeniedError("no")

    place = MemoryRemote(before=before)
    for _ in range(2):
        said, wrong = found(place)
        assert not wrong and "may not delete" in said["deletes"]


@pytest.mark.parametrize(
    ("conditions", "said"),
    [("kept", "kept"), ("ignored", "ignored"), ("refused", "not known"), ("misread", "misread")],
)
def test_conditions_of_object_stores_are_named(conditions: str, said: str) -> None:
    with s3server.serving(S3Faults(conditions=conditions)) as shop:
        details, wrong = found(shop.remote())
        assert not wrong and said in details["conditions"]


def test_ranges_that_are_ignored_are_named() -> None:
    with s3server.serving(S3Faults(ranges="ignored")) as shop:
        details, wrong = found(shop.remote())
        assert not wrong and "all of an object" in details["parts"]


def test_a_rename_that_lacks_is_named(tmp_path: Path) -> None:
    depot = tmp_path / "depot"
    depot.mkdir()
    with (
        sftpserver.serving(depot, SftpFaults(no_rename=True)) as server,
        contextlib.closing(remote_of(server.place)) as remote,
    ):
        details, wrong = found(remote)
    assert not wrong and "rename" in details["renames"] and "durable" in details["syncs"]
