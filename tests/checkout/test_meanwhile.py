"""Somebody writes to the root while a checkout is under way: nothing that they wrote is lost."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from epmstore.catalog.model import VersionRecord
from epmstore.record.result import Result
from epmstore.relpath import RelPath
from tests.kit.bench import MTIME, Bench, Dir, File, Link
from tests.kit.faults import Killed, faults


def before_first(call: str, act: Callable[[], object]) -> Callable[[str, tuple[object, ...]], None]:
    """Does something once, just before the first call of a name."""
    done: list[bool] = []

    def fault(name: str, arguments: tuple[object, ...]) -> None:
        if name == call and not done:
            done.append(True)
            act()

    return fault


def after_staging(act: Callable[[], object]) -> Callable[[str, tuple[object, ...]], None]:
    """Does something once, when everything is staged and nothing is switched."""
    count = 0

    def fault(name: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        count += name == "fdatasync"
        if name == "fdatasync" and count == 2:  # of STAGED; the first says which folder it is
            act()

    return fault


def unrestored(result: Result) -> list[str]:
    """Paths that are named as not being as wanted."""
    return [text.partition(":")[0] for text in result.not_restored]


def contents(bench: Bench, path: str) -> set[bytes]:
    """Every content that history has of a path."""
    spans = bench.live.history(RelPath(path))
    return {bench.store.blobs.read(s.entry.content) for s in spans if s.entry.content}


def newest(bench: Bench) -> VersionRecord:
    return bench.live.versions()[-1].record


def test_a_write_to_a_file_that_is_replaced_is_saved(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.recorded({"a": File(b"old")})
        bench.recorded({"a": File(b"new")})
        with faults(after_staging(lambda: (bench.root / "a").write_bytes(b"precious"))):
            result = bench.live.checkout("0")
        assert (bench.root / "a").read_bytes() == b"old"
        assert b"precious" in contents(bench, "a")
        assert bench.is_clean()
        assert (result.meanwhile, result.from_, result.version) == ((2,), 1, 3)
        assert b"".join(bench.live.cat(2, "a")) == b"precious"


def test_where_nobody_wrote_nothing_is_said(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.recorded({"a": File(b"old")})
        bench.recorded({"a": File(b"new")})
        assert bench.live.checkout(0).meanwhile == ()


@pytest.mark.parametrize("sync", range(3, 8))
def test_who_ends_it_says_what_was_recorded_before_a_crash(tmp_path: Path, sync: int) -> None:
    """At a sync: of SWITCHED, of the version of what was written, of that of what was done."""
    count = 0

    def fault(name: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        count += name == "fdatasync"
        if name == "fdatasync" and count == 2:  # of STAGED
            (bench.root / "a").write_bytes(b"precious")
        if count >= sync:
            raise Killed

    with Bench(tmp_path) as bench:
        bench.recorded({"a": File(b"old")})
        bench.recorded({"a": File(b"new")})
        with faults(fault), pytest.raises(Killed):
            bench.live.checkout(0)
    with Bench(tmp_path) as bench:
        result = bench.live.recover()
        assert result is not None and (result.meanwhile, result.version) == ((2,), 3)
        assert b"".join(bench.live.cat(2, "a")) == b"precious"


def test_a_write_that_keeps_size_and_mtime_is_saved_too(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.recorded({"a": File(b"old")})
        bench.recorded({"a": File(b"new")})

        def write() -> None:
            (bench.root / "a").write_bytes(b"NEW")
            os.utime(bench.root / "a", ns=(MTIME, MTIME))

        with faults(after_staging(write)):
            bench.live.checkout("0")
        assert b"NEW" in contents(bench, "a")


def test_a_write_at_the_very_last_moment_is_saved(tmp_path: Path) -> None:
    """After the last look at the file, and before it is displaced."""
    with Bench(tmp_path) as bench:
        bench.recorded({"a": File(b"old")})
        bench.put({"a": File(b"new")})
        bench.settle("a")  # or it is looked at anyway, because it may have been written just now
        bench.record()
        with faults(before_first("exchange", lambda: (bench.root / "a").write_bytes(b"late"))):
            bench.live.checkout("0")
        assert (bench.root / "a").read_bytes() == b"old"
        assert b"late" in contents(bench, "a")


def test_a_write_to_a_file_that_is_removed_is_saved(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.recorded({"k": File()})
        bench.recorded({"k": File(), "a": File(b"new")})
        with faults(after_staging(lambda: (bench.root / "a").write_bytes(b"precious"))):
            bench.live.checkout("0")
        assert not (bench.root / "a").exists()
        assert b"precious" in contents(bench, "a")


def test_a_file_that_appears_where_one_is_put_is_saved(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.recorded({"k": File(), "a": File(b"old")})
        bench.recorded({"k": File()})
        with faults(after_staging(lambda: (bench.root / "a").write_bytes(b"precious"))):
            bench.live.checkout("0")
        assert (bench.root / "a").read_bytes() == b"old"
        assert b"precious" in contents(bench, "a")


def test_a_write_to_a_file_whose_mode_is_set_is_not_taken_for_the_old_content(
    tmp_path: Path,
) -> None:
    """A new content with the wanted times on it would look clean for ever."""
    with Bench(tmp_path) as bench:
        bench.recorded({"a": File(b"same", 0o644)})
        bench.recorded({"a": File(b"same", 0o600)})
        with faults(after_staging(lambda: (bench.root / "a").write_bytes(b"evil"))):
            result = bench.live.checkout("0")
        assert (bench.root / "a").read_bytes() == b"evil"
        assert unrestored(result) == ["a"]


def test_a_folder_that_takes_the_name_of_a_file_is_left_alone(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.recorded({"k": File(), "a": File(b"old")})
        bench.recorded({"k": File()})

        def make() -> None:
            (bench.root / "a").mkdir()
            (bench.root / "a" / "data").write_bytes(b"precious")

        with faults(after_staging(make)):
            result = bench.live.checkout("0")
        assert (bench.root / "a" / "data").read_bytes() == b"precious"
        assert unrestored(result) == ["a"]
        assert bench.leftovers() == []


def test_a_fifo_that_takes_the_name_of_a_file_is_left_alone(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.recorded({"k": File(), "a": File(b"old")})
        bench.recorded({"k": File(), "a": File(b"new")})

        def make() -> None:
            (bench.root / "a").unlink()
            os.mkfifo(bench.root / "a")

        with faults(after_staging(make)):
            result = bench.live.checkout("0")
        assert (bench.root / "a").is_fifo()
        assert unrestored(result) == ["a"]
        assert bench.leftovers() == []


def test_a_new_file_in_a_folder_that_goes_keeps_the_folder(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.recorded({"k": File()})
        bench.recorded({"k": File(), "d": Dir(), "d/x": File()})
        with faults(after_staging(lambda: (bench.root / "d" / "y").write_bytes(b"precious"))):
            result = bench.live.checkout("0")
        assert (bench.root / "d" / "y").read_bytes() == b"precious"
        assert RelPath("d") in dict(result.kept)


def test_a_link_in_the_place_of_a_folder_leads_nowhere(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_bytes(b"not ours")
    with Bench(tmp_path) as bench:
        bench.recorded({"k": File(), "d/f": File(b"old"), "d/g": File(b"old")})
        bench.recorded({"k": File(), "d/f": File(b"new"), "d/h": File()})

        def swap() -> None:
            (bench.root / "d").rename(bench.root / "moved")
            (bench.root / "d").symlink_to(outside)

        with faults(after_staging(swap)):
            bench.live.checkout("0")
        assert sorted(os.listdir(outside)) == ["f"]
        assert (outside / "f").read_bytes() == b"not ours"
        assert bench.leftovers() == []


def test_a_target_of_a_link_that_changed_is_saved(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.recorded({"l": Link("one")})
        bench.recorded({"l": Link("two")})

        def turn() -> None:
            (bench.root / "l").unlink()
            (bench.root / "l").symlink_to("three")

        with faults(after_staging(turn)):
            bench.live.checkout("0")
        assert os.readlink(bench.root / "l") == "one"
        targets = {span.entry.target for span in bench.live.history(RelPath("l"))}
        assert "three" in targets


def test_a_vanished_folder_does_not_stop_the_rest(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.recorded({"a": File(b"1"), "d": Dir(0o755), "d/f": File(b"1")})
        bench.recorded({"a": File(b"2"), "d": Dir(0o700), "d/f": File(b"2")})
        with faults(after_staging(lambda: (bench.root / "d").rename(tmp_path / "away"))):
            result = bench.live.checkout("0")
        assert (bench.root / "a").read_bytes() == b"1"
        assert {"d", "d/f"} == set(unrestored(result))
        assert bench.leftovers() == []


def test_steps_refused_at_the_last_moment_are_not_restored(tmp_path: Path) -> None:
    """It is done in part, and not called kept: who asked must not go on as if all was well."""
    with Bench(tmp_path) as bench:
        bench.recorded({"a": File(b"old"), "b": File(b"old")})
        bench.recorded({"a": File(b"new"), "b": File(b"new")})

        def forbid(name: str, arguments: tuple[object, ...]) -> None:
            if name in ("exchange", "rename") and "a" in arguments[:2]:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        with faults(forbid):
            result = bench.live.checkout("0")
        assert result.incomplete
        assert result.not_restored == ("a: not permitted",)
        assert "a" not in dict(result.kept)
        assert ((bench.root / "a").read_bytes(), (bench.root / "b").read_bytes()) == (
            b"new",
            b"old",
        )
        assert bench.leftovers() == []
