"""SFTP servers as remotes: the contract, who they are, who we are, and what they do not do."""

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import paramiko
import pytest

from epmstore.errors import (
    BadObjectError,
    RemoteDeniedError,
    RemoteError,
    RemoteTransientError,
    UsageError,
)
from epmstore.remotes.place import RemotePlace, sftp_address
from epmstore.remotes.remote import Remote
from epmstore.remotes.retry import RetryRemote
from epmstore.remotes.sftp_remote import STALE_SECONDS, SftpRemote
from tests.remotes.contract import OBJECTS, RemoteContract, everything, put, sha256
from tests.remotes.sftpserver import (
    NO_FAULTS,
    SSHD,
    SftpFaults,
    SftpServing,
    fingerprint,
    remote_of,
    serving,
    sshd,
)


def fill(folder: Path, objects: Mapping[str, bytes]) -> Path:
    for name, data in objects.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


@pytest.fixture
def depot(tmp_path: Path) -> Path:
    made = tmp_path / "depot"
    made.mkdir()
    return made


@contextlib.contextmanager
def asking(
    folder: Path, faults: SftpFaults = NO_FAULTS, **more: Any
) -> Iterator[tuple[SftpRemote, SftpServing]]:
    with (
        serving(folder, faults) as server,
        contextlib.closing(remote_of(server.place, **more)) as remote,
    ):
        yield remote, server


class Served(RemoteContract):
    """One server for all tests of a class; each has a folder of its own."""

    faults = SftpFaults()

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def place(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        folder = tmp_path_factory.mktemp("served") / "depot"
        folder.mkdir()
        with cls.server(folder) as place:
            cls.found, cls.base = place, folder
            yield

    @classmethod
    @contextlib.contextmanager
    def server(cls, folder: Path) -> Iterator[RemotePlace]:
        with serving(folder, cls.faults) as server:
            yield server.place

    @pytest.fixture(autouse=True)
    def closes(self) -> Iterator[None]:
        self.made: list[SftpRemote] = []
        yield
        for remote in self.made:
            remote.close()

    found: RemotePlace
    base: Path

    def remote(self, folder: Path, objects: Mapping[str, bytes]) -> Remote:
        fill(folder, objects)
        url = self.found.url.replace(str(self.base), str(folder))
        self.made.append(remote_of(msgspec.structs.replace(self.found, url=url)))
        return self.made[-1]


class TestSftpRemote(Served):
    pass


class TestWithoutRename(Served):
    faults = SftpFaults(no_rename=True)


@pytest.mark.slow
@pytest.mark.skipif(SSHD is None, reason="needs sshd (apt install openssh-server)")
class TestOpenSsh(Served):
    @classmethod
    @contextlib.contextmanager
    def server(cls, folder: Path) -> Iterator[RemotePlace]:
        with sshd(folder) as place:
            yield place

    def test_sync_and_rename_are_used_where_they_are_offered(self, tmp_path: Path) -> None:
        remote = self.remote(tmp_path, {})
        assert isinstance(remote, SftpRemote)
        put(remote, "packs/x", OBJECTS["packs/ab.pack"])
        assert (remote.syncs, remote.replaces_at_once) == (True, True)

    def test_another_of_its_keys_may_be_the_one_that_is_pinned(self, tmp_path: Path) -> None:
        rsa = fingerprint(self.base.parent / "depot.sshd/rsa.pub")
        fill(tmp_path, OBJECTS)
        url = self.found.url.replace(str(self.base), str(tmp_path))
        place = msgspec.structs.replace(self.found, url=url, host_keys=(rsa,))
        with contextlib.closing(remote_of(place)) as remote:
            assert remote.stat("EPMSTORE") is not None

    def test_a_key_that_it_does_not_know_is_denied(self, tmp_path: Path) -> None:
        wrong = self.base.parent / "depot.sshd/host"
        place = msgspec.structs.replace(self.found, credentials=str(wrong))
        with (
            contextlib.closing(remote_of(place)) as remote,
            pytest.raises(RemoteDeniedError, match="accept the key SHA256:"),
        ):
            remote.stat("x")

    def test_names_of_any_bytes_are_left_out(self, tmp_path: Path) -> None:
        remote = self.remote(tmp_path, {"x": b"1"})
        os.mkdir(os.fsencode(tmp_path) + b"/\xff")
        assert [one.name for one in remote.list("")] == ["x"]

    def test_a_full_write_and_read_of_many_blocks(self, tmp_path: Path) -> None:
        remote = self.remote(tmp_path, {})
        data = os.urandom(9_000_001)
        put(remote, "packs/large", data)
        assert b"".join(remote.read("packs/large")) == data
        assert b"".join(remote.read("packs/large", 5_000_000, 123)) == data[5_000_000:5_000_123]


@pytest.mark.parametrize(
    ("url", "folder"),
    [("sftp://u@h/srv/d", "/srv/d"), ("sftp://u@h:22/~/d/e/", "d/e"), ("sftp://u@h/a%20b", "/a b")],
)
def test_urls(url: str, folder: str) -> None:
    assert sftp_address(url) == ("u", "h", 22, folder)


@pytest.mark.parametrize(
    "url",
    [
        "sftp://h/x", "sftp://u:geheim@h/x", "sftp://u@h", "sftp://u@h/", "sftp://u@/x",
        "sftp://u@h:x/d", "sftp://u@h/d?x", "sftp://u@h/d%0a", "sftp://u@h/~", "sftp://u@[/x",
    ],
)  # fmt: skip
def test_a_bad_url_is_refused_and_no_password_is_repeated(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        sftp_address(url)
    assert "geheim" not in f"{caught.value.message} {caught.value.hint}"


def test_another_host_key_is_refused_and_nothing_is_sent(depot: Path) -> None:
    with serving(depot) as server:
        for pinned in ((), (paramiko.ECDSAKey.generate().fingerprint,)):
            place = msgspec.structs.replace(server.place, host_keys=pinned)
            with contextlib.closing(remote_of(place)) as remote:
                with pytest.raises(RemoteDeniedError, match="SHA256:") as caught:
                    remote.stat("x")
                assert caught.value.data["fingerprint"] in (caught.value.hint or "")
        assert server.calls == []


def test_a_password_that_is_wrong_is_shown_once(depot: Path) -> None:
    with asking(depot, SftpFaults(password="other")) as (remote, server):
        patient = RetryRemote(remote, sleep=lambda seconds: None)
        with pytest.raises(RemoteDeniedError, match="password of epm") as caught:
            patient.stat("x")
        assert server.calls == ["password"]
        assert "geheim" not in str(caught.value)


def test_a_private_key_with_a_passphrase_is_named(depot: Path) -> None:
    with serving(depot) as server:
        path = Path(server.place.credentials or "")
        path.unlink()
        paramiko.ECDSAKey.generate().write_private_key_file(str(path), password="x")
        with contextlib.closing(remote_of(server.place)) as remote:
            with pytest.raises(RemoteDeniedError, match="passphrase"):
                remote.stat("x")
            path.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nnone\n")
            with pytest.raises(RemoteDeniedError, match="none that can be used"):
                remote.stat("x")


def test_permission_that_is_denied_is_not_tried_again(depot: Path) -> None:
    with asking(depot, SftpFaults(denied=True)) as (remote, _), pytest.raises(RemoteDeniedError):
        put(remote, "x", b"content")
    assert list(depot.iterdir()) == []


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "depot").mkdir()
    with asking(tmp_path / "depot/mnt") as (remote, _):
        with pytest.raises(RemoteError, match="no folder") as caught:
            put(remote, "x", b"content")
        assert type(caught.value) is RemoteError
    assert not (tmp_path / "depot/mnt").exists()


@pytest.mark.parametrize("kept", [0, 100_000])
def test_a_server_that_keeps_less_than_it_says_is_seen(depot: Path, kept: int) -> None:
    with asking(depot, SftpFaults(keeps=kept)) as (remote, _):
        with pytest.raises(RemoteTransientError, match="were kept"):
            put(remote, "x", OBJECTS["packs/ab.pack"])
        assert list(depot.iterdir()) == []


def test_a_write_that_fails_leaves_what_was_there(depot: Path) -> None:
    (depot / "x").write_bytes(b"old")
    with asking(depot, SftpFaults(full=True)) as (remote, _):
        with pytest.raises(RemoteError, match="Failure"):
            put(remote, "x", OBJECTS["packs/ab.pack"])
        assert everything(remote) == {"x": b"old"}
    assert [p.name for p in depot.iterdir()] == ["x"]


def test_a_rename_that_fails_leaves_the_head_that_was_there(depot: Path) -> None:
    (depot / "head").write_bytes(b"old")
    with asking(depot, SftpFaults(no_rename=True, stuck=True)) as (remote, _):
        for _ in range(2):
            with pytest.raises(RemoteError, match="Failure"):
                remote.replace("head", b"new", b"old")
            with pytest.raises(RemoteError, match="Failure"):
                put(remote, "other", b"new")
    assert [(p.name, p.read_bytes()) for p in depot.iterdir()] == [("head", b"old")]


@pytest.mark.parametrize("at", [0, 1, 5, 20])
def test_a_connection_that_ends_is_made_anew(depot: Path, at: int) -> None:
    data = OBJECTS["packs/ab.pack"] * 3
    with asking(depot, SftpFaults(cut=at)) as (remote, _):
        with pytest.raises(RemoteTransientError):
            put(remote, "x", data)
        assert remote.stat("x") is None
        (depot / "x").write_bytes(data)
        with pytest.raises(RemoteTransientError):
            list(remote.read("x"))
        assert remote.stat("x") is not None


def test_reads_that_are_cut_off_go_on(depot: Path) -> None:
    data = os.urandom(4_000_000)
    (depot / "x").write_bytes(data)
    with asking(depot, SftpFaults(cut=60)) as (remote, _):
        patient = RetryRemote(remote, sleep=lambda seconds: None)
        assert b"".join(patient.read("x")) == data


def test_who_does_not_answer_is_not_waited_for(depot: Path) -> None:
    (depot / "x").write_bytes(b"content")
    with (
        asking(depot, SftpFaults(silent=0), seconds=0.5) as (remote, _),
        pytest.raises(RemoteTransientError, match="does not answer"),
    ):
        list(remote.read("x"))


def test_nobody_there_may_be_otherwise_in_a_while(depot: Path) -> None:
    with serving(depot) as server:
        pass
    for url in (server.place.url, "sftp://epm@nowhere.invalid/x"):
        with (
            contextlib.closing(remote_of(msgspec.structs.replace(server.place, url=url))) as remote,
            pytest.raises(RemoteTransientError),
        ):
            remote.stat("x")


def test_links_are_named_and_not_followed(depot: Path) -> None:
    outside = fill(depot.parent / "outside", {"x": b"theirs"})
    (depot / "folder").symlink_to(outside)
    (depot / "object").symlink_to(outside / "x")
    with asking(depot) as (remote, _):
        for name in ("folder/x", "object"):
            for call in (
                lambda name=name: remote.stat(name),
                lambda name=name: list(remote.read(name)),
                lambda name=name: remote.delete(name),
            ):
                with pytest.raises(BadObjectError, match="something else"):
                    call()
        with pytest.raises(BadObjectError):
            put(remote, "folder/x", b"mine")
        assert list(remote.list("")) == []
    assert (outside / "x").read_bytes() == b"theirs"


def test_names_that_none_may_have_are_left_out_of_listings(depot: Path) -> None:
    odd = ("../up", "a/b", "", ".hidden", "ä", "x\n", "/abs")
    with asking(fill(depot, {"a/x": b"1", "b": b"2"}), SftpFaults(listing=odd)) as (remote, _):
        assert [one.name for one in remote.list("")] == ["a/x", "b"]


def test_temporaries_of_killed_processes_are_taken_away_after_a_day(depot: Path) -> None:
    (depot / "packs").mkdir()
    for name, age in (("old", STALE_SECONDS + 60), ("new", 60)):
        path = depot / f"packs/.tmp-{name}"
        path.write_bytes(b"half")
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    with asking(depot) as (remote, server):
        put(remote, "packs/x", b"content")
        put(remote, "packs/y", b"content")
        assert server.calls.count("list") == 1
    assert sorted(p.name for p in (depot / "packs").iterdir()) == [".tmp-new", "x", "y"]


def test_threads_share_a_remote(depot: Path) -> None:
    data = OBJECTS["packs/ab.pack"]
    found: list[bytes] = []
    with asking(fill(depot, OBJECTS)) as (remote, _):

        def work(number: int) -> None:
            put(remote, f"new/{number}", data)
            found.append(b"".join(remote.read("packs/ab.pack")))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [data] * 6
        assert len([*remote.list("new/")]) == 6


def test_nothing_is_said_on_standard_error(depot: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with asking(depot, SftpFaults(cut=0)) as (remote, _), pytest.raises(RemoteTransientError):
        remote.write("x", [b"1"], 1, sha256(b"1"))
    assert capfd.readouterr() == ("", "")
