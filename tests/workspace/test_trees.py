"""What every TreeSource does, and what each kind does of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from epmstore.checkout.goal import ReleaseGoal, VersionGoal
from epmstore.digest import identify
from epmstore.errors import BlobNotFoundError, PathNotFoundError, UsageError
from epmstore.relpath import ROOT, RelPath
from epmstore.workspace.trees import TreeSource
from tests.kit.vendors import Vendor

FILES = {
    "bin/a": b"a\n",
    "bin/sub/b": b"b\n",
    "bin2": b"2\n",
    "etc/c": b"c\n",
    "large": b"x" * 3_000_000,
}


class Place:
    """A root and a vendor's catalog of it: version 0, release 0 and the root have these files."""

    def __init__(self, place: Path) -> None:
        vendor = Vendor(place)
        vendor.release(FILES, "1.0")
        self.root = place / "root"
        self.write(FILES)
        self.ws = vendor.open()
        self.ws.apps.add("crm", self.root)
        self.crm = self.ws.app("crm")
        self.crm.snapshot()

    def write(self, files: dict[str, bytes]) -> None:
        for path, data in files.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_bytes(data)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    with made.ws:
        yield made


def files(source: TreeSource, below: str | None = None) -> list[str]:
    found = source.entries(None if below is None else RelPath(below))
    return [one.path for one in found if one.kind == "file"]


class TreeSourceContract:
    """A subclass says which selector names a tree of its kind."""

    selector: str

    @pytest.fixture
    def source(self, place: Place) -> TreeSource:
        return place.crm.trees.at(self.selector)

    def test_all_entries_come_in_byte_order(self, source: TreeSource) -> None:
        assert files(source) == sorted(FILES) == files(source, ".")
        paths = [one.path for one in source.entries()]
        assert paths == sorted(paths) and ROOT not in paths

    def test_entries_below_a_path_are_that_and_what_is_in_it(self, source: TreeSource) -> None:
        assert files(source, "bin") == ["bin/a", "bin/sub/b"]
        assert files(source, "bin/a") == ["bin/a"]

    def test_one_entry(self, source: TreeSource) -> None:
        assert source.entry(RelPath("bin/a")).content == identify(b"a\n")
        assert source.entry(RelPath("bin")).kind == "directory"

    @pytest.mark.parametrize("path", ["b", "bin/b", "bin/a/x", "no"])
    def test_a_path_that_it_lacks_is_not_found(self, source: TreeSource, path: str) -> None:
        for ask in (source.entries, source.entry):
            with pytest.raises(PathNotFoundError):
                ask(RelPath(path))

    def test_contents_are_those_of_the_entries(self, source: TreeSource) -> None:
        for path, data in FILES.items():
            assert b"".join(source.stream(source.entry(RelPath(path)))) == data

    def test_a_folder_has_no_content_and_says_so_before_the_first_piece(
        self, source: TreeSource
    ) -> None:
        with pytest.raises(UsageError, match="bin"):
            source.stream(source.entry(RelPath("bin")))

    def test_nothing_of_it_is_missing(self, source: TreeSource) -> None:
        assert source.missing(source.entries()) == []

    def test_it_says_what_it_is(self, source: TreeSource) -> None:
        assert str(source) == {"0": "version 0", "now": "the live root"}.get(
            self.selector, "release 1.0 (0)"
        )


class TestRecordedTree(TreeSourceContract):
    selector = "0"

    def test_a_checkout_goes_to_the_version(self, source: TreeSource) -> None:
        assert source.goal == VersionGoal(0) and not source.is_foreign

    def test_the_root_itself_is_there_if_it_is_named(self, source: TreeSource) -> None:
        assert source.entries(ROOT)[0].path == ROOT


class TestReleaseTree(TreeSourceContract):
    selector = "release:1.0"

    def test_a_checkout_goes_to_the_release(self, source: TreeSource) -> None:
        assert source.goal == ReleaseGoal(0) and source.is_foreign

    def test_a_folder_that_only_paths_speak_of_is_one(self, source: TreeSource) -> None:
        assert "bin" not in [one.path for one in source.entries()]
        assert source.entry(RelPath("bin/sub")).kind == "directory"


class TestLiveTree(TreeSourceContract):
    selector = "now"

    def test_no_checkout_goes_there(self, source: TreeSource) -> None:
        assert not source.is_foreign
        with pytest.raises(UsageError, match="live root"):
            _ = source.goal

    def test_the_root_itself_is_there_if_it_is_named(self, source: TreeSource) -> None:
        assert source.entries(ROOT)[0].path == ROOT

    def test_it_has_what_nobody_recorded(self, place: Place) -> None:
        (place.root / "bin/a").unlink()
        place.write({"bin/come": b"come", "etc/c": b"edited"})
        source = place.crm.trees.at("now")
        assert files(source) == ["bin/come", "bin/sub/b", "bin2", "etc/c", "large"]
        assert files(source, "bin") == ["bin/come", "bin/sub/b"]
        assert source.entry(RelPath("etc/c")).content == identify(b"edited")
        assert b"".join(source.stream(source.entry(RelPath("bin/come")))) == b"come"
        with pytest.raises(PathNotFoundError):
            source.entry(RelPath("bin/a"))

    def test_it_is_there_before_anything_is_recorded(self, place: Place) -> None:
        new = place.root.parent / "new"
        new.mkdir()
        (new / "a").write_bytes(b"a")
        place.ws.apps.add("new", new)
        assert files(place.ws.app("new").trees.at("now")) == ["a"]


@pytest.mark.parametrize("selector", ["0", "release:0"])
def test_a_purged_content_is_missing(place: Place, selector: str) -> None:
    info = identify(b"a\n")
    place.ws.care.purge([info])
    source = place.crm.trees.at(selector)
    entry = source.entry(RelPath("bin/a"))
    assert source.missing(source.entries()) == [entry]
    with pytest.raises(BlobNotFoundError):
        source.stream(entry)


def test_a_path_that_came_and_went_is_no_difference(place: Place) -> None:
    """It is in the newest version, and neither in an older one nor in the root."""
    place.write({"come": b"come"})
    place.crm.snapshot()
    (place.root / "come").unlink()
    assert [one.path for one in place.crm.diff(0, "now")] == []
    assert [one.change for one in place.crm.diff(1, "now")] == ["removed"]
    with pytest.raises(PathNotFoundError, match="on neither side"):
        place.crm.diff(0, "now", ["come"])
