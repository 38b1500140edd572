"""The marker of a depot: what is one, what is refused, and where none is made."""

import json
from pathlib import Path

import pytest

from epmstore.errors import BadObjectError, EpmError, NoStoreError, UsageError
from epmstore.remotes.folder_remote import FolderRemote
from epmstore.remotes.memory_remote import MemoryRemote, MemoryShelf, RemoteFaults
from epmstore.remotes.web_remote import WebRemote
from epmstore.sync import depot
from epmstore.sync.depot import MARKER, make_depot, open_depot, read_marker, write_marker
from tests.remotes.contract import put
from tests.sync.writers import DEPOT

MARKER_BYTES = (
    b'{"format": 1, "features": [], "depot": "dddddddddddddddddddddddddddddddd",'
    b' "sum": "921e56f881337ebb68541a3d42fe7638b567104bc9b210a42f4850b16ef2ba6d"}\n'
)


def marked(**changed: object) -> bytes:
    said = json.loads(write_marker(DEPOT))
    said.pop("sum")
    document = {**said, **changed}
    return json.dumps({**document, "sum": depot._sum(document)}).encode()


def test_the_marker_is_byte_for_byte_what_the_page_says() -> None:
    page = (Path(__file__).parents[2] / "docs/formats/depot.md").read_text()
    assert write_marker(DEPOT) == MARKER_BYTES
    assert MARKER_BYTES.decode().strip() in page
    assert read_marker(MARKER_BYTES, "site").depot == DEPOT


def test_keys_that_a_later_release_adds_are_passed_over() -> None:
    assert read_marker(marked(later=1), "site").depot == DEPOT


def test_a_later_format_or_feature_is_refused_by_name() -> None:
    with pytest.raises(NoStoreError, match="format 2") as caught:
        read_marker(marked(format=2), "site")
    assert caught.value.exit_code == 10
    with pytest.raises(NoStoreError, match="needs sharded, zoned"):
        read_marker(marked(features=["zoned", "sharded"]), "site")


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, MARKER_BYTES[:-20],
        MARKER_BYTES.replace(b"dd", b"de", 1), marked(depot="../x"), marked(depot=None),
    ],
)  # fmt: skip
def test_a_damaged_marker_says_so(data: bytes) -> None:
    with pytest.raises(BadObjectError, match="damaged"):
        read_marker(data, "site")


def test_features_that_are_no_list_are_refused() -> None:
    with pytest.raises(EpmError):
        read_marker(marked(features=None), "site")


def test_a_depot_is_made_in_an_empty_place_and_found_again() -> None:
    remote = MemoryRemote()
    made = make_depot(remote, "site")
    assert open_depot(remote, "site", made.depot) == made
    assert list(remote.shelf.objects) == [MARKER]


def test_a_depot_is_not_made_among_other_things(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/letter").write_text("dear")
    with pytest.raises(UsageError, match="home/letter"):
        make_depot(FolderRemote(tmp_path), "site")
    assert [p.name for p in tmp_path.iterdir()] == ["home"]


def test_an_empty_mount_point_is_no_depot(tmp_path: Path) -> None:
    with pytest.raises(NoStoreError, match="no depot") as caught:
        open_depot(FolderRemote(tmp_path), "site", DEPOT)
    assert "mounted" in (caught.value.hint or "")


def test_another_depot_in_its_place_is_not_taken_for_it() -> None:
    remote = MemoryRemote()
    make_depot(remote, "site")
    with pytest.raises(BadObjectError, match="another depot"):
        open_depot(remote, "site", DEPOT)


def test_of_two_hosts_that_make_one_at_once_both_have_the_same() -> None:
    shelf = MemoryShelf()
    others = MemoryRemote(shelf)

    def quicker(call: str, name: str) -> None:
        if call == "replace" and not shelf.objects:
            make_depot(others, "site")

    mine = make_depot(MemoryRemote(shelf, before=quicker), "site")
    assert mine == open_depot(others, "site")


def test_a_marker_of_any_size_is_not_taken_in() -> None:
    shelf = MemoryShelf()
    put(MemoryRemote(shelf), MARKER, bytes(1 << 20))
    with pytest.raises(BadObjectError, match="larger"):
        open_depot(MemoryRemote(shelf), "site")


def test_garbage_for_a_marker_is_no_depot() -> None:
    shelf = MemoryShelf()
    make_depot(MemoryRemote(shelf), "site")
    with pytest.raises(BadObjectError):
        open_depot(MemoryRemote(shelf, RemoteFaults(garbage=1)), "site")


def test_a_web_server_is_no_place_to_make_one() -> None:
    with pytest.raises(EpmError):
        make_depot(WebRemote("http://127.0.0.1:1"), "site")
