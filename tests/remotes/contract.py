"""What every Remote does. A subclass says how one is made that holds given objects; of those that
can be written to, another one.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import pytest

from epmstore.errors import (
    BadObjectError,
    RemoteChangedError,
    RemoteError,
    RemoteNotFoundError,
    RemoteTransientError,
)
from epmstore.remotes.checked import holds, read_checked, read_small
from epmstore.remotes.remote import PIECE, ObjectInfo, Remote

OBJECTS = {
    "EPMSTORE": b"{}\n",
    "empty": b"",
    "packs/ab.pack": bytes(range(256)) * 2000,
    "packs.old/x": b"sorts before what is below packs",
    "hosts/h1/head": b"head of h1",
    "hosts/h1/crm/0-4-aa": b"lines",
    "vendors/c++~1=a_b/head": b"a name with every sign",
}
BAD_NAMES = (
    "", "/a", "a/", "a//b", ".", "..", "a/../b", ".tmp-1", "a/.b", "a b", "a\nb", "ä", "a.", "a\\b",
    "a:b", "x" * 201, "/".join("a" * 9),
)  # fmt: skip


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(remote: Remote, name: str, data: bytes) -> None:
    pieces = [data[at : at + PIECE] for at in range(0, len(data), PIECE)]
    remote.write(name, pieces, len(data), sha256(data))


def everything(remote: Remote, prefix: str = "") -> dict[str, bytes]:
    return {o.name: b"".join(remote.read(o.name)) for o in remote.list(prefix)}


class ReadingContract(ABC):
    @abstractmethod
    def remote(self, folder: Path, objects: Mapping[str, bytes]) -> Remote:
        """One that holds these objects."""

    def test_objects_come_back(self, tmp_path: Path) -> None:
        remote = self.remote(tmp_path, OBJECTS)
        for name, data in OBJECTS.items():
            info = remote.stat(name)
            assert info is not None and (info.name, info.size) == (name, len(data))
            assert b"".join(remote.read(name)) == data
            assert read_small(remote, name, len(data)) == data
            assert read_checked(remote, name, len(data), sha256(data)) == data
            assert holds(remote, name, len(data), sha256(data))

    @pytest.mark.parametrize(
        ("start", "length"), [(0, 1), (0, 512_000), (5, None), (300_000, 10), (511_999, 1), (7, 0)]
    )
    def test_parts_come_exactly(self, tmp_path: Path, start: int, length: int | None) -> None:
        remote = self.remote(tmp_path, OBJECTS)
        data = OBJECTS["packs/ab.pack"]
        end = len(data) if length is None else start + length
        assert b"".join(remote.read("packs/ab.pack", start, length)) == data[start:end]

    @pytest.mark.parametrize(("start", "length"), [(0, 512_001), (511_999, 2), (600_000, 1)])
    def test_an_object_that_ends_too_early_is_no_answer(
        self, tmp_path: Path, start: int, length: int
    ) -> None:
        remote = self.remote(tmp_path, OBJECTS)
        with pytest.raises(RemoteTransientError):
            list(remote.read("packs/ab.pack", start, length))

    def test_a_reader_may_stop(self, tmp_path: Path) -> None:
        remote = self.remote(tmp_path, OBJECTS)
        pieces = iter(remote.read("packs/ab.pack"))
        assert OBJECTS["packs/ab.pack"].startswith(next(pieces))
        del pieces
        assert b"".join(remote.read("hosts/h1/head")) == OBJECTS["hosts/h1/head"]

    @pytest.mark.parametrize("name", ["nothing", "packs/nothing", "no/folder/x"])
    def test_an_object_that_is_not_there_is_not_found(self, tmp_path: Path, name: str) -> None:
        remote = self.remote(tmp_path, OBJECTS)
        assert remote.stat(name) is None
        for length in (None, 0, 1):
            with pytest.raises(RemoteNotFoundError):
                list(remote.read(name, 0, length))
        assert not holds(remote, name, 1, sha256(b"x"))

    def test_other_bytes_than_expected_are_refused(self, tmp_path: Path) -> None:
        remote = self.remote(tmp_path, OBJECTS)
        head = OBJECTS["hosts/h1/head"]
        with pytest.raises(BadObjectError):
            read_checked(remote, "hosts/h1/head", len(head), sha256(b"another"))
        with pytest.raises(RemoteTransientError):
            read_checked(remote, "hosts/h1/head", len(head) + 1, sha256(head))
        with pytest.raises(BadObjectError):
            read_checked(remote, "hosts/h1/head", len(head) - 1, sha256(head))
        with pytest.raises(BadObjectError):
            read_small(remote, "hosts/h1/head", len(head) - 1)
        assert not holds(remote, "hosts/h1/head", len(head), sha256(b"another"))
        assert not holds(remote, "hosts/h1/head", len(head) + 1, sha256(head))

    def test_a_bad_name_is_never_asked_for(self, tmp_path: Path) -> None:
        remote = self.remote(tmp_path, OBJECTS)
        for name in BAD_NAMES:
            with pytest.raises(RemoteError, match="no name"):
                remote.stat(name)
            with pytest.raises(RemoteError, match="no name"):
                list(remote.read(name))


class RemoteContract(ReadingContract):
    def test_listings_are_sorted_and_below_a_folder(self, tmp_path: Path) -> None:
        remote = self.remote(tmp_path, OBJECTS)
        names = sorted(OBJECTS)
        assert list(remote.list("")) == [ObjectInfo(n, len(OBJECTS[n])) for n in names]
        assert [o.name for o in remote.list("packs/")] == ["packs/ab.pack"]
        below = ["hosts/h1/crm/0-4-aa", "hosts/h1/head"]
        assert [o.name for o in remote.list("hosts/h1/")] == below
        assert list(remote.list("nothing/")) == []
        for prefix in ("packs", "/", "../", ".x/", "a//"):
            with pytest.raises(RemoteError, match="no folder"):
                list(remote.list(prefix))

    def test_a_written_object_is_there_for_others(self, tmp_path: Path) -> None:
        remote = self.remote(tmp_path, {})
        data = OBJECTS["packs/ab.pack"]
        put(remote, "a/b/c", data)
        put(remote, "a/b/c", data)
        assert everything(remote) == {"a/b/c": data}

    def test_bytes_of_another_digest_are_not_written(self, tmp_path: Path) -> None:
        remote = self.remote(tmp_path, {"a/b": b"old"})
        for name in ("a/b", "a/c"):
            with pytest.raises(BadObjectError):
                remote.write(name, [b"12", b"3"], 3, sha256(b"124"))
            with pytest.raises(BadObjectError):
                remote.write(name, [b"12", b"3"], 4, sha256(b"123"))
            with pytest.raises(BadObjectError):
                remote.write(name, [b"12", b"3"], 2, sha256(b"12"))
        assert everything(remote) == {"a/b": b"old"}

    def test_garbage_of_a_name_is_replaced_by_what_belongs_there(self, tmp_path: Path) -> None:
        remote = self.remote(tmp_path, {"packs/x": b"garbage"})
        put(remote, "packs/x", b"content")
        assert everything(remote) == {"packs/x": b"content"}

    def test_a_small_object_is_replaced_where_it_is_as_expected(self, tmp_path: Path) -> None:
        remote = self.remote(tmp_path, {})
        remote.replace("h/head", b"1", None)
        remote.replace("h/head", b"2", b"1")
        for expected in (None, b"1"):
            with pytest.raises(RemoteChangedError):
                remote.replace("h/head", b"3", expected)
        with pytest.raises(RemoteChangedError):
            remote.replace("h/other", b"3", b"2")
        assert everything(remote) == {"h/head": b"2"}

    def test_deleting_happens_once_and_may_be_asked_twice(self, tmp_path: Path) -> None:
        remote = self.remote(tmp_path, OBJECTS)
        remote.delete("packs/ab.pack")
        remote.delete("packs/ab.pack")
        remote.delete("no/folder/x")
        assert remote.stat("packs/ab.pack") is None
        assert len(list(remote.list(""))) == len(OBJECTS) - 1

    def test_a_bad_name_is_never_written(self, tmp_path: Path) -> None:
        remote = self.remote(tmp_path, {})
        for name in BAD_NAMES:
            with pytest.raises(RemoteError, match="no name"):
                put(remote, name, b"x")
            with pytest.raises(RemoteError, match="no name"):
                remote.replace(name, b"x", None)
            with pytest.raises(RemoteError, match="no name"):
                remote.delete(name)
        assert list(remote.list("")) == []
