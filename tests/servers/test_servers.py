"""Real servers, and two that are known to be bad: the contract of remotes, what is found of each,
and two hosts that share a depot there.
"""

import contextlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import pytest

from epmstore.errors import RemoteDeniedError
from epmstore.remotes.object_keys import AccessKey
from epmstore.remotes.objects_remote import ObjectsRemote
from epmstore.remotes.place import RemotePlace
from epmstore.remotes.probing import probe
from epmstore.remotes.remote import Remote
from epmstore.remotes.sftp_remote import SftpRemote
from tests.kit.host import Host
from tests.remotes.contract import RemoteContract, put, sha256
from tests.servers.ceph import ceph
from tests.servers.started import BUCKET, Pool, moto, rclone_s3, rclone_sftp
from tests.servers.swift import swift

PASSWORD = "geheim-17"


def found(remote: Remote) -> tuple[dict[str, str], list[str]]:
    probes = [*probe(remote, remote, "hosts/h1/probe")]
    return {one.name: one.detail for one in probes}, [one.name for one in probes if not one.ok]


def shared(tmp_path: Path, place: RemotePlace, key: Path) -> None:
    """One host pushes twice, another one pulls, and all is right there."""
    one, other = Host(tmp_path / "one"), Host(tmp_path / "other")
    ways = {"credentials": key, "host_keys": place.host_keys, "endpoint": place.endpoint}
    with one.open() as ws:
        writer = ws.remotes.add("pool", place.url, **ways).writer  # type: ignore[arg-type]
        for text in ("first", "second"):
            one.write("file", text.encode())
            ws.app("crm").snapshot(text)
            assert ws.remotes.push("pool", agreed=True).done is not None
        assert all(check.ok for check in ws.remotes.check("pool"))
    with other.open() as ws:
        ws.remotes.add("pool", place.url, **ways)  # type: ignore[arg-type]
        hosts = ws.remotes.pull("pool").hosts
        assert [(host.writer, host.apps[0].version) for host in hosts] == [(writer, 1)]


class Bucket(RemoteContract):
    """One server for all tests of a class; each has a prefix of its own."""

    pool: ClassVar[Pool]
    conditions: ClassVar[str]
    parts = "as they are asked for"

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def served(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with cls.start(tmp_path_factory.mktemp("server")) as cls.pool:
            yield

    @staticmethod
    @abstractmethod
    def start(folder: Path) -> contextlib.AbstractContextManager[Pool]:
        """The server, as long as the block lasts."""

    def place(self, folder: Path) -> RemotePlace:
        prefix = f"p{sha256(str(folder).encode())[:20]}"
        return RemotePlace(url=f"s3://{BUCKET}/{prefix}", endpoint=self.pool.endpoint)

    def remote(self, folder: Path, objects: Mapping[str, bytes]) -> Remote:
        made = ObjectsRemote(self.place(folder), self.pool.key)
        for name, data in objects.items():
            put(made, name, data)
        return made

    def test_it_is_found_to_be_what_it_is(self, tmp_path: Path) -> None:
        said, wrong = found(self.remote(tmp_path, {}))
        assert not wrong and self.conditions in said["conditions"] and self.parts in said["parts"]

    def test_many_objects_are_listed_over_pages(self, tmp_path: Path) -> None:
        remote = self.remote(tmp_path, {})
        with ThreadPoolExecutor(8) as pool:
            assert not any(pool.map(lambda at: put(remote, f"x/{at:04}", b"1"), range(1005)))
        assert len([*remote.list("x/")]) == 1005

    def test_a_large_object_goes_in_parts(self, tmp_path: Path) -> None:
        data = bytes(range(256)) * 4096 * 20
        remote = ObjectsRemote(self.place(tmp_path), self.pool.key, in_parts=1 << 20)
        put(remote, "large", data)
        assert b"".join(remote.read("large")) == data

    def test_hosts_share_a_depot(self, tmp_path: Path) -> None:
        key = tmp_path / "key"
        name, secret = self.pool.key.name, self.pool.key.secret
        key.write_text(f"[default]\naws_access_key_id={name}\naws_secret_access_key={secret}\n")
        key.chmod(0o600)
        shared(tmp_path, self.place(tmp_path), key)


class Strict(Bucket):
    def test_a_wrong_secret_is_denied(self, tmp_path: Path) -> None:
        remote = ObjectsRemote(self.place(tmp_path), AccessKey(self.pool.key.name, "wrong"))
        with pytest.raises(RemoteDeniedError):
            put(remote, "x", b"1")


class TestMoto(Bucket):
    conditions = "kept by the server"
    start = staticmethod(moto)


class TestSwift(Strict):
    conditions = "not known"
    start = staticmethod(swift)


class TestCeph(Strict):
    conditions = "misread"
    start = staticmethod(ceph)


class TestRclone(Bucket):
    conditions = "ignored"
    parts = "all of an object"
    start = staticmethod(rclone_s3)


class TestRcloneSftp(RemoteContract):
    """Has no fsync, and renames as it likes."""

    base: ClassVar[Path]
    url: ClassVar[str]
    keys: ClassVar[tuple[str, ...]]
    numbers: ClassVar[Iterator[int]]

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def served(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        cls.base = tmp_path_factory.mktemp("depots")
        cls.numbers = iter(range(100))
        for number in range(100):  # what is made behind it, it does not see
            (cls.base / f"d{number}").mkdir()
        with rclone_sftp(tmp_path_factory.mktemp("server"), cls.base, PASSWORD) as port:
            cls.url = f"sftp://epm@127.0.0.1:{port}"
            probed = SftpRemote(RemotePlace(url=f"{cls.url}/x"), PASSWORD.encode)
            with pytest.raises(RemoteDeniedError) as caught:
                probed.stat("x")
            cls.keys = (caught.value.data["fingerprint"],)
            yield

    @pytest.fixture(autouse=True)
    def closes(self) -> Iterator[None]:
        self.made: list[SftpRemote] = []
        yield
        for remote in self.made:
            remote.close()

    def place(self, folder: Path) -> RemotePlace:
        return RemotePlace(url=f"{self.url}/d{next(self.numbers)}", host_keys=self.keys)

    def remote(self, folder: Path, objects: Mapping[str, bytes]) -> Remote:
        self.made.append(SftpRemote(self.place(folder), PASSWORD.encode))
        for name, data in objects.items():
            put(self.made[-1], name, data)
        return self.made[-1]

    def test_it_is_found_to_be_what_it_is(self, tmp_path: Path) -> None:
        said, wrong = found(self.remote(tmp_path, {}))
        assert not wrong and "durable" in said["syncs"]

    def test_hosts_share_a_depot(self, tmp_path: Path) -> None:
        key = tmp_path / "key"
        key.write_text(PASSWORD)
        key.chmod(0o600)
        shared(tmp_path, self.place(tmp_path), key)
