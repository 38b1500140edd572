"""A version as a folder of its own: whole or not there, and the live root is not looked at."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from epmstore.errors import ConflictError, UsageError
from epmstore.relpath import RelPath
from tests.kit.bench import Bench, Dir, File, Link, Nodes, Same, picture
from tests.kit.faults import Calls, Killed, faults

TREE: Nodes = {
    "bin/tool": File(b"tool", 0o4755),
    "lib/a": File(b"x" * 9000, 0o600),
    "lib/b": Same("lib/a"),
    "empty": Dir(0o500),
    "l": Link("bin/tool"),
}


def test_it_is_the_same_tree_without_the_root(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        back = bench.recorded(TREE)
        shutil.rmtree(bench.root)
        done = bench.live.export("0", tmp_path / "copy")
        assert picture(tmp_path / "copy") == back
        assert (done.kept, done.refused) == ([], [])


def test_only_some_paths(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.recorded(TREE)
        bench.live.export("0", tmp_path / "copy", [RelPath("lib/b"), RelPath("l")])
        found = picture(tmp_path / "copy")
        assert sorted(found) == ["l", "lib", "lib/b"]
        assert (tmp_path / "copy/lib/b").read_bytes() == b"x" * 9000


def test_names_of_one_file_stay_together_without_the_first(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.recorded({"a": File(b"1"), "d/b": Same("a"), "d/c": Same("a")})
        bench.live.export("0", tmp_path / "copy", [RelPath("d")])
        copy = tmp_path / "copy" / "d"
        assert (copy / "b").samefile(copy / "c")
        assert not (copy / "b").samefile(bench.root / "a")


def test_holes_stay_holes(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        with (bench.root / "hole").open("wb") as file:
            file.write(b"head")
            file.truncate(8 << 20)
        bench.record()
        bench.live.export("0", tmp_path / "copy")
        assert (tmp_path / "copy/hole").stat().st_blocks * 512 < 1 << 20
        assert (tmp_path / "copy/hole").read_bytes() == (bench.root / "hole").read_bytes()


def test_the_store_is_no_place_for_it(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.recorded({"a": File(b"1")})
        (tmp_path / "link").symlink_to(bench.store.path)
        for place in (bench.store.path, tmp_path / "link"):
            with pytest.raises(UsageError, match="lies in the store"):
                bench.live.export("0", place / "copy")
        assert not (bench.store.path / "copy").exists()


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        back = bench.recorded(TREE)
        (tmp_path / "copy").mkdir()
        bench.live.export("0", tmp_path / "copy")
        assert picture(tmp_path / "copy") == back


def test_anything_else_will_not(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.recorded(TREE)
        (tmp_path / "file").write_bytes(b"")
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "x").write_bytes(b"mine")
        (tmp_path / "link").symlink_to("full")
        for name in ("file", "full", "link"):
            with pytest.raises(ConflictError):
                bench.live.export("0", tmp_path / name)
        with pytest.raises(UsageError):
            bench.live.export("0", tmp_path / "no" / "where")
        assert os.listdir(tmp_path / "full") == ["x"]


def test_a_folder_that_cannot_be_made_is_named_as_it_was_given(tmp_path: Path) -> None:
    def refuse(call: str, arguments: tuple[object, ...]) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), ".epm-0")

    with Bench(tmp_path) as bench:
        bench.recorded(TREE)
        with faults(refuse), pytest.raises(PermissionError) as caught:
            bench.live.export("0", tmp_path / "copy")
    assert caught.value.filename == str(tmp_path / "copy")


def test_contents_that_are_not_stored_are_named(tmp_path: Path) -> None:
    with Bench(tmp_path, secret=("key",), state=("*.log",)) as bench:
        bench.recorded({"a": File(b"1"), "key": File(b"secret"), "x.log": File(b"1")})
        done = bench.live.export("0", tmp_path / "copy")
        assert os.listdir(tmp_path / "copy") == ["a"]
        assert [path for path, _ in done.kept] == ["key", "x.log"]


@pytest.mark.slow
def test_it_is_whole_or_not_there(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        back = bench.recorded(TREE)
        with faults(calls := Calls()):
            bench.live.export("0", tmp_path / "count")
        for n in range(1, calls.count + 1):
            copy = tmp_path / f"copy{n}"
            with faults(Calls(n, once=True)), pytest.raises(Killed):
                bench.live.export("0", copy)
            assert not copy.exists() or picture(copy) == back
        found = {name for name in os.listdir(tmp_path) if name.startswith(".epm-")}
        assert found == set(), "what was begun is taken away"
