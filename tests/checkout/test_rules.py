"""What a checkout of a real root leaves alone, and what it says of that."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from epmstore.errors import ChangedError, ConflictError, NotFoundError, PathNotFoundError
from epmstore.relpath import RelPath
from tests.checkout.test_truth import dying
from tests.kit.bench import DRIFT, MTIME, Bench, Dir, File, Link, Same, build
from tests.kit.faults import Killed, faults


def read(bench: Bench, path: str) -> bytes:
    return (bench.root / path).read_bytes()


class TestKept:
    @pytest.mark.parametrize("is_watched", [True, False])
    def test_an_upload_since_then_is_kept_whoever_saw_it(
        self, tmp_path: Path, is_watched: bool
    ) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"a": File(b"1")})
            bench.recorded({"a": File(b"2"), "b": File()})
            build(bench.root, {"up/load": File(b"mine")})
            if is_watched:
                bench.record(DRIFT)
            result = bench.live.checkout("0")
            assert read(bench, "up/load") == b"mine"
            assert not (bench.root / "b").exists()
            assert [path for path, _ in result.kept] == ["up", "up/load"]

    def test_checkout_removes_files_of_a_change_that_drift_edited(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"a": File()})
            bench.recorded({"a": File(), "b": File(b"1")})
            bench.recorded({"a": File(), "b": File(b"2")}, DRIFT)
            bench.live.checkout("0")
            assert not (bench.root / "b").exists()

    def test_its_life_begins_anew_when_it_comes_back(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"a": File()})
            bench.recorded({"a": File(), "b": File(b"1")})
            bench.recorded({"a": File()})
            bench.recorded({"a": File(), "b": File(b"mine")}, DRIFT)
            bench.live.checkout("0")
            assert read(bench, "b") == b"mine"


class TestClasses:
    def test_configuration_that_was_edited_by_hand(self, tmp_path: Path) -> None:
        with Bench(tmp_path, config=("*.conf",)) as bench:
            bench.recorded({"a": File(b"1"), "x.conf": File(b"vendor")})
            bench.recorded({"a": File(b"2"), "x.conf": File(b"password")}, DRIFT)
            result = bench.live.checkout("0")
            assert (read(bench, "a"), read(bench, "x.conf")) == (b"1", b"password")
            assert [path for path, _ in result.kept] == ["x.conf"]
            bench.live.checkout("0", config="restore")
            assert read(bench, "x.conf") == b"vendor"

    def test_configuration_that_an_upgrade_wrote(self, tmp_path: Path) -> None:
        with Bench(tmp_path, config=("*.conf",)) as bench:
            bench.recorded({"x.conf": File(b"one")})
            bench.recorded({"x.conf": File(b"two")})
            bench.live.checkout("0")
            assert read(bench, "x.conf") == b"one"

    def test_state_is_not_touched(self, tmp_path: Path) -> None:
        with Bench(tmp_path, state=("/data/", "*.log")) as bench:
            bench.recorded({"a": File(b"1"), "data/rows": File(b"1"), "x.log": File(b"1")})
            now = {"a": File(b"2"), "data/rows": File(b"2", 0o600), "y.log": File(b"2")}
            bench.recorded(now)
            result = bench.live.checkout("0", exact=True, config="restore")
            assert (read(bench, "data/rows"), read(bench, "y.log")) == (b"2", b"2")
            assert os.stat(bench.root / "data/rows").st_mode & 0o777 == 0o600
            assert not (bench.root / "x.log").exists()
            assert (result.kept, result.not_restored) == ((), ())

    def test_checkout_leaves_paths_that_became_ignored_alone(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"a": File(b"1"), "logs/old": File(b"1"), "cache/x": File(b"1")})
        with Bench(tmp_path, ignore=("/logs/", "/cache/")) as bench:
            bench.recorded({"a": File(b"2"), "logs/new": File(b"2")})
            bench.live.checkout("0", exact=True)
            assert os.listdir(bench.root / "logs") == ["new"]
            assert not (bench.root / "cache").exists()
            assert read(bench, "a") == b"1"

    def test_a_secret_is_named_and_not_restored(self, tmp_path: Path) -> None:
        with Bench(tmp_path, secret=("key",)) as bench:
            bench.recorded({"a": File(b"1"), "key": File(b"old secret")})
            bench.recorded({"a": File(b"2"), "key": File(b"new secret")})
            result = bench.live.checkout("0")
            assert (read(bench, "a"), read(bench, "key")) == (b"1", b"new secret")
            assert any("key" in line for line in result.not_restored)
            assert result.incomplete


class TestDatabases:
    SQLITE = b"SQLite format 3\0" + bytes(1008)

    def test_nobody_decided_about_one(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"a": File(b"1"), "x.db": File(self.SQLITE)})
            before = bench.recorded({"a": File(b"2"), "x.db": File(self.SQLITE + bytes(512))})
            with pytest.raises(ConflictError) as caught:
                bench.live.checkout("0")
            assert "x.db" in caught.value.message
            assert bench.picture() == before

    def test_named_with_all_that_belongs_to_it(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"x.db": File(self.SQLITE)})
            build(bench.root, {"x.db-wal": File(b"wal"), "x.db-shm": File(b"shm")})
            (bench.root / "x.db").write_bytes(self.SQLITE + bytes(512))
            bench.live.checkout("0", [RelPath("x.db")])
            assert os.listdir(bench.root) == ["x.db"]
            assert read(bench, "x.db") == self.SQLITE


class TestScope:
    def test_only_the_named_path_and_its_folders(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"d/x": File(b"1"), "d/y": File(b"1"), "a": File(b"1")})
            bench.recorded({"a": File(b"2")})
            bench.live.checkout("0", [RelPath("d/x")])
            assert os.listdir(bench.root / "d") == ["x"]
            assert read(bench, "a") == b"2"
            assert bench.is_clean()

    def test_a_path_that_never_was(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"a": File()})
            with pytest.raises(PathNotFoundError):
                bench.live.checkout("0", [RelPath("b")])


class TestHardLinks:
    def test_a_mode_does_not_reach_a_name_that_was_not_asked_for(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"a": File(b"1", 0o644)})
            bench.recorded({"a": File(b"1", 0o600), "b": Same("a")})
            bench.live.checkout("0", [RelPath("a")])
            assert os.stat(bench.root / "a").st_mode & 0o777 == 0o644
            assert os.stat(bench.root / "b").st_mode & 0o777 == 0o600

    def test_nor_one_outside_of_the_root(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"a": File(b"1", 0o644)})
            (tmp_path / "outside").hardlink_to(bench.root / "a")
            (bench.root / "a").chmod(0o600)
            bench.live.checkout("0")
            assert os.stat(bench.root / "a").st_mode & 0o777 == 0o644
            assert os.stat(tmp_path / "outside").st_mode & 0o777 == 0o600

    def test_a_link_to_a_file_that_stays(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            back = bench.recorded({"a": File(b"1"), "b": Same("a")})
            (bench.root / "b").unlink()
            bench.live.checkout("0")
            assert bench.picture() == back
            assert bench.is_clean()

    @pytest.mark.parametrize("killed", [False, True])
    def test_a_name_that_stays_is_a_link_of_what_is_gone_no_more(
        self, tmp_path: Path, killed: bool
    ) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"a": File(b"1")})
            found = bench.put({"a": File(b"2"), "b": Same("a"), "c": Same("a")})
            bench.record(DRIFT)
            planned = bench.live.plan("0")
            if killed:
                with faults(dying("fsyncdir", "switching")), pytest.raises(Killed):
                    bench.live.checkout("0")
                result = bench.live.recover()
            else:
                result = bench.live.checkout("0")
            assert result is not None and not result.incomplete
            assert {e.path: e.same_as for e in bench.live.ls("2")} == {
                "a": None,
                "b": None,
                "c": "b",
            }
            assert bench.is_clean()
            assert result.modified == planned.plan.counts.modified == 3
            after = bench.picture()
            bench.live.undo()
            assert bench.picture() == found
            bench.live.redo()
            assert bench.picture() == after

    def test_a_file_that_stays_and_is_written_to_meanwhile_is_not_linked_to(
        self, tmp_path: Path
    ) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"a": File(b"1"), "b": Same("a")})
            (bench.root / "b").unlink()

            def write(name: str, arguments: tuple[object, ...]) -> None:
                if name == "link":
                    (bench.root / "a").write_bytes(b"evil")

            before = bench.picture()
            with faults(write), pytest.raises(ChangedError):
                bench.live.checkout("0")
            assert bench.picture().keys() == before.keys()
            assert bench.leftovers() == []


class TestUnobserved:
    @pytest.mark.root
    def test_checkout_leaves_paths_below_a_mount_alone(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"a": File(b"1"), "d/x": File(b"1")})
            bench.recorded({"a": File(b"2"), "d/x": File(b"2")})
            mounting = ["mount", "-t", "tmpfs", "none", str(bench.root / "d")]
            if subprocess.run(mounting, check=False, capture_output=True).returncode:
                pytest.skip("may not mount")
            try:
                (bench.root / "d" / "other").write_bytes(b"not ours")
                result = bench.live.checkout("0", exact=True)
                assert os.listdir(bench.root / "d") == ["other"]
            finally:
                subprocess.run(["umount", str(bench.root / "d")], check=True)
            assert (read(bench, "a"), read(bench, "d/x")) == (b"1", b"2")
            assert any(line.startswith("d/x") for line in result.not_restored)

    def test_an_unreadable_folder_is_refused_by_name_and_the_rest_is_done(
        self, tmp_path: Path
    ) -> None:
        if os.geteuid() == 0:
            pytest.skip("root may read everything")
        with Bench(tmp_path) as bench:
            bench.recorded({"a": File(b"1"), "d/x": File(b"1")})
            bench.recorded({"a": File(b"2"), "d/x": File(b"2")})
            (bench.root / "d").chmod(0)
            try:
                result = bench.live.checkout("0")
            finally:
                (bench.root / "d").chmod(0o755)
            assert (read(bench, "a"), read(bench, "d/x")) == (b"1", b"2")
            assert result.incomplete


class TestApply:
    def test_a_plan_is_refused_if_a_planned_path_changed_since(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"a": File(b"1")})
            bench.recorded({"a": File(b"2")})
            prepared = bench.live.plan("0")
            (bench.root / "a").write_bytes(b"3")
            with pytest.raises(ChangedError):
                bench.live.apply(prepared)
            assert read(bench, "a") == b"3"

    def test_it_is_refused_if_something_else_has_to_be_done_first(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"d": Dir(), "d/a": File(b"1")})
            bench.recorded({"d": Dir(), "k": File()})
            prepared = bench.live.plan("0")
            (bench.root / "d").rmdir()
            with pytest.raises(ChangedError) as caught:
                bench.live.apply(prepared)
            assert caught.value.data["paths"] == ["d"]
            assert os.listdir(bench.root) == ["k"]

    def test_other_paths_may_change(self, tmp_path: Path) -> None:
        """A log grows, an upload comes: the plan is still what was looked at."""
        with Bench(tmp_path) as bench:
            bench.recorded({"a": File(b"1"), "b": File(b"1")})
            bench.recorded({"a": File(b"2"), "b": File(b"1")})
            prepared = bench.live.plan("0")
            (bench.root / "b").write_bytes(b"2")
            (bench.root / "upload").write_bytes(b"mine")
            bench.live.apply(prepared)
            assert (read(bench, "a"), read(bench, "b")) == (b"1", b"2")
            assert read(bench, "upload") == b"mine"


class TestBackAndForth:
    def test_rollback_walks_back_and_never_flips(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            trees = [bench.recorded({"a": File(b"%d" % n)}) for n in range(4)]
            for n in (2, 1, 0):
                bench.live.rollback()
                assert bench.picture() == trees[n]
            with pytest.raises(NotFoundError):
                bench.live.rollback()

    def test_rollback_of_what_drifted_goes_to_the_change_before_it(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"a": File(b"1")})
            good = bench.recorded({"a": File(b"2")})
            bench.recorded({"a": File(b"tampered")}, DRIFT)
            bench.live.rollback()
            assert bench.picture() == good

    def test_rollback_of_what_nobody_recorded(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"a": File(b"1")})
            good = bench.recorded({"a": File(b"2")})
            (bench.root / "a").write_bytes(b"tampered")
            bench.live.rollback()
            assert bench.picture() == good

    def test_undo_goes_backwards_and_redo_forwards(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            zero = bench.recorded({"a": File(b"0")})
            one = bench.recorded({"a": File(b"1"), "l": Link("a"), "d": Dir()})
            two = bench.recorded({"a": File(b"2"), "b": File()})
            bench.live.checkout("1")
            bench.live.checkout("0")
            bench.live.undo()
            assert bench.picture() == one
            bench.live.undo()
            assert bench.picture() == two
            with pytest.raises(NotFoundError):
                bench.live.undo()
            bench.live.redo()
            assert bench.picture() == one
            bench.live.redo()
            assert bench.picture() == zero
            with pytest.raises(NotFoundError):
                bench.live.redo()

    def test_undo_touches_only_what_its_operation_touched(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"a": File(b"1"), "b": File(b"1")})
            bench.recorded({"a": File(b"2"), "b": File(b"1")})
            bench.live.checkout("0")
            (bench.root / "b").write_bytes(b"later")
            bench.live.undo()
            assert (read(bench, "a"), read(bench, "b")) == (b"2", b"later")

    def test_undo_reverses_what_was_named_even_if_it_is_state(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"data/db": File(b"then"), "data/log": File(b"then")})
            bench.recorded({"data/db": File(b"now"), "data/log": File(b"now")})
        with Bench(tmp_path, state=("data/",)) as bench:
            bench.live.checkout("0", [RelPath("data/db")])
            assert (bench.root / "data/db").read_bytes() == b"then"
            bench.live.undo()
            assert (bench.root / "data/db").read_bytes() == b"now"
            assert (bench.root / "data/log").read_bytes() == b"now"
            bench.live.redo()
            assert (bench.root / "data/db").read_bytes() == b"then"

    def test_undo_is_refused_for_what_changed_since(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"a": File(b"1")})
            bench.recorded({"a": File(b"2")})
            bench.live.checkout("0")
            (bench.root / "a").write_bytes(b"later")
            with pytest.raises(ChangedError):
                bench.live.undo()
            assert read(bench, "a") == b"later"

    def test_undo_brings_back_what_was_never_recorded_before(self, tmp_path: Path) -> None:
        with Bench(tmp_path) as bench:
            bench.recorded({"a": File(b"1")})
            build(bench.root, {"new": File(b"mine", 0o640, MTIME + 9)})
            before = bench.picture()
            bench.live.checkout("0", exact=True)
            assert not (bench.root / "new").exists()
            bench.live.undo()
            assert bench.picture() == before


@pytest.mark.root
def test_checkout_names_owners_it_may_not_give(tmp_path: Path) -> None:
    """Recorded by root, brought back by somebody who may not give files away."""
    with Bench(tmp_path) as bench:
        bench.recorded({"a": File(b"1")})
        os.chown(bench.root / "a", 12, 34)
        bench.record()
        (bench.root / "a").write_bytes(b"2")
        bench.record()
        for path in [tmp_path, *tmp_path.rglob("*")]:
            os.chown(path, 65534, 65534, follow_symlinks=False)
    for folder in tmp_path.parents:
        if folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(folder.stat().st_mode | 0o055)
    os.setegid(65534)
    os.seteuid(65534)
    try:
        with Bench(tmp_path) as bench:
            result = bench.live.checkout("1")
            assert any("owner" in line for line in result.not_restored)
            assert result.incomplete
            assert read(bench, "a") == b"1"
            assert bench.is_clean(), "the version says which owner it has"
            assert bench.live.plan("1").plan.refused, "and it is not the one that was wanted"
    finally:
        os.seteuid(0)
        os.setegid(0)


def test_a_fifo_in_place_of_a_file_stays_and_makes_no_version(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.recorded({"a": File(b"1")})
        (bench.root / "a").unlink()
        os.mkfifo(bench.root / "a")
        bench.record()
        assert bench.live.plan("0").plan.steps == ()
        for _ in range(2):
            result = bench.live.checkout("0")
            assert (result.changed, result.version) == (False, 1)
            assert (result.kept, result.incomplete) == ((), True)
            assert result.not_restored == ("a: a FIFO has its name",)
        assert (bench.root / "a").is_fifo()


@contextmanager
def closed_folder(tmp_path: Path) -> Iterator[tuple[Bench, Callable[[], None]]]:
    """(an app of nobody's with a file in a folder of root's, what opens that folder)."""
    for folder in tmp_path.parents:
        if folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(folder.stat().st_mode | 0o055)
    (closed := tmp_path / "root/closed").mkdir(parents=True)
    (closed / "file").write_bytes(b"was there")
    for path in [tmp_path, tmp_path / "root"]:
        os.chown(path, 65534, 65534)
    closed.chmod(0o700)

    def open_it() -> None:
        os.seteuid(0)
        os.chown(closed, 65534, 65534)
        os.seteuid(65534)

    os.setegid(65534)
    os.seteuid(65534)
    try:
        with Bench(tmp_path) as bench:
            yield bench, open_it
    finally:
        os.seteuid(0)
        os.setegid(0)


def assert_kept(bench: Bench, version: str) -> None:
    (bench.root / "later").write_bytes(b"")
    bench.record()
    result = bench.live.checkout(version, exact=True)
    assert [path for path, _ in result.kept] == ["closed/file"]
    assert read(bench, "closed/file") == b"was there"
    assert not (bench.root / "later").exists()


@pytest.mark.root
class TestClosedWhenRecorded:
    """A folder that was closed to us when a version was recorded, and is open now."""

    def test_checkout_keeps_paths_the_version_could_not_observe(self, tmp_path: Path) -> None:
        with closed_folder(tmp_path) as (bench, open_it):
            bench.record()
            open_it()
            assert_kept(bench, "0")

    def test_nor_is_it_by_a_look_at_another_folder(self, tmp_path: Path) -> None:
        with closed_folder(tmp_path) as (bench, open_it):
            (bench.root / "other").mkdir()
            bench.record()
            (bench.root / "other/new").write_bytes(b"")
            bench.record(DRIFT, only={"other"})
            open_it()
            assert_kept(bench, "1")

    def test_nor_by_a_checkout(self, tmp_path: Path) -> None:
        with closed_folder(tmp_path) as (bench, open_it):
            bench.record()
            (bench.root / "new").write_bytes(b"")
            bench.record()
            assert bench.live.checkout("0").version == 2
            open_it()
            assert_kept(bench, "2")

    def test_it_is_seen_again_by_a_look_at_another_folder(self, tmp_path: Path) -> None:
        with closed_folder(tmp_path) as (bench, open_it):
            (bench.root / "other").mkdir()
            bench.record()
            open_it()
            (bench.root / "other/new").write_bytes(b"")
            record = bench.record(DRIFT, only={"other"})
            assert (record.unobserved, record.counts.added) == ((), 2)


def test_state_below_a_folder_that_is_named_is_said_to_stay(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.recorded({"d/x": File(b"old"), "d/s/y": File(b"deep")})
    with Bench(tmp_path, state=("d/",)) as bench:
        bench.put({"d/x": File(b"new"), "d/s/y": File(b"deep, too")})
        bench.record()
        result = bench.live.checkout(0, ["d"])
        assert {path for path, _ in result.kept} == {"d/x", "d/s/y"}
        assert (bench.root / "d/x").read_bytes() == b"new"
        assert not bench.live.checkout(0).kept, "of a whole checkout, state is no part"
        bench.live.checkout(0, ["d/x"])
        assert (bench.root / "d/x").read_bytes() == b"old"
