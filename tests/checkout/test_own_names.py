"""What has a name like ours and is not ours: recorded, never removed, and never waited for.

A generator of things at the top of a root that are called as staging folders are, and of what is
done with the root; afterwards each is there as it was, or in a version.
"""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from epmstore.checkout import files
from epmstore.checkout.journal import Journal
from epmstore.errors import BusyError, ChangedError, DamagedError
from epmstore.record import recorder as recording
from epmstore.record.recorder import Recorder
from epmstore.record.root import open_root
from epmstore.relpath import RelPath
from epmstore.store.staging import own_identities
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.app.handle import AppHandle
from tests.kit.bench import APP, CHANGE, Bench, File, Picture, picture
from tests.kit.faults import Killed, faults

NAMES = (".epm-backup", ".epm-" + "0" * 32, ".epm-1", ".epm-", ".epm-clock-0123456789abcdef")


def folder(at: Path) -> None:
    at.mkdir()
    (at / "x").write_bytes(b"precious")
    (at / "0").write_bytes(b"like a slot")


def like_a_stage(at: Path) -> None:
    """Private, and with nothing but what a checkout puts into a staging folder."""
    at.mkdir(0o700)
    (at / "0").write_bytes(b"slot")
    (at / "1.old").write_bytes(b"aside")
    (at / "switching").mkdir()


def file(at: Path) -> None:
    at.write_bytes(b"precious")


def empty_file(at: Path) -> None:
    at.touch()


def empty_folder(at: Path) -> None:
    at.mkdir(0o700)


def link(at: Path) -> None:
    at.symlink_to("/etc")


THINGS = (folder, like_a_stage, file, empty_file, empty_folder, link)


def checkout(bench: Bench) -> None:
    bench.live.checkout("0")


def interrupted(bench: Bench) -> None:
    stop(bench, "exchange")
    bench.live.recover()


def taken_back(bench: Bench) -> None:
    stop(bench, "chmod")
    bench.live.recover()


ACTS: tuple[Callable[[Bench], object], ...] = (
    checkout,
    interrupted,
    taken_back,
    lambda bench: bench.live.recover(),
    lambda bench: bench.live.rollback(),
)


@pytest.mark.slow
@pytest.mark.parametrize("make", THINGS)
def test_whatever_is_called_like_ours_is_recorded_and_stays(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    with Bench(tmp_path) as bench:
        for name in NAMES:
            make(bench.root / name)
        build = {"a": File(b"1")}
        (bench.root / "a").write_bytes(build["a"].data)
        before = others(bench)
        bench.record()
        tree = {entry.path for entry in bench.live.ls("0")}
        assert {RelPath(path) for path in before} <= tree
        for n, act in enumerate(ACTS):
            (bench.root / "a").write_bytes(b"%d%d" % (n, n))
            bench.record()
            act(bench)
            assert others(bench) == before, act
            assert bench.is_clean()
            assert os.listdir(bench.store.journals) == []


def others(bench: Bench) -> Picture:
    return {path: what for path, what in picture(bench.root).items() if path != "a"}


def test_exact_checkout_records_own_named_files_before_removal(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.recorded({"a": File(b"1")})
        (bench.root / "a").write_bytes(b"2")
        folder(bench.root / ".epm-mine")
        before = picture(bench.root)
        bench.live.checkout("0", exact=True)
        assert not (bench.root / ".epm-mine").exists()
        bench.live.undo()
        assert picture(bench.root) == before


def test_a_file_called_so_deeper_down_is_any_file(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        back = bench.recorded({"d/.epm-x/0": File(b"1"), "a": File(b"1")})
        (bench.root / "d/.epm-x/0").write_bytes(b"2")
        bench.live.checkout("0")
        assert bench.picture() == back


def dying(call: str, n: int = 1) -> Callable[[str, tuple[object, ...]], None]:
    """The process dies at the n-th call of a name in the root: nothing after that has an effect."""
    left = n

    def fault(name: str, _: tuple[object, ...]) -> None:
        nonlocal left
        left -= name == call
        if left <= 0:
            raise Killed

    return fault


def stop(bench: Bench, call: str) -> Path:
    """A checkout that died; its staging folder."""
    with faults(dying(call)), pytest.raises(Killed):
        bench.live.checkout("0")
    loaded = Journal(bench.store.journal(APP)).load()
    assert loaded is not None
    return bench.root / loaded.header.stage


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.recorded({"a": File(b"1"), "b": File(b"1")})
    bench.recorded({"a": File(b"2"), "b": File(b"2")})
    return bench


def test_a_stage_that_no_line_describes_goes_if_it_is_empty(bench: Bench) -> None:
    with bench:
        stage = stop(bench, "fdatasync")  # of the line that says which directory it is
        assert stage.is_dir()
        bench.live.recover()
        assert bench.leftovers() == []


def test_nor_is_anything_taken_from_it_if_it_is_not(bench: Bench) -> None:
    with bench:
        stage = stop(bench, "mkdir")
        folder(stage)
        before = picture(stage)
        bench.live.recover()
        assert picture(stage) == before
        assert not bench.live.obligations.is_interrupted


@pytest.mark.parametrize("call", ["symlink", "exchange"])
@pytest.mark.parametrize("make", THINGS)
def test_recovery_leaves_a_swapped_stage_alone(
    make: Callable[[Path], None], call: str, bench: Bench, tmp_path: Path
) -> None:
    """The owner of the root swaps the staging folder while nobody looks."""
    with bench:
        stage = stop(bench, call)
        stage.rename(tmp_path / "moved")
        make(stage)
        before = {name: what for name, what in picture(bench.root).items() if name != "a"}
        bench.live.recover()
        after = picture(bench.root)
        assert {name: after.get(name) for name in before} == before
        assert not bench.live.obligations.is_interrupted


def test_recovery_keeps_files_put_into_a_stage(bench: Bench) -> None:
    with bench:
        stage = stop(bench, "exchange")
        (stage / "notes").write_bytes(b"mine")
        with pytest.raises(ChangedError, match="notes"):
            bench.live.recover()
        assert (stage / "notes").read_bytes() == b"mine"
        (stage / "notes").unlink()
        bench.live.recover()
        assert bench.leftovers() == []
        assert (bench.root / "a").read_bytes() == b"1"


def test_nobody_waits_long_for_a_lock(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WAIT_SECONDS", 0.05)
    with bench:
        mine = bench.root / ".epm-mine"
        mine.mkdir()
        stage = stop(bench, "exchange")
        held = [os.open(folder, os.O_RDONLY) for folder in (mine, stage)]
        for fd in held:
            fcntl.flock(fd, fcntl.LOCK_EX)
        with pytest.raises(BusyError, match=stage.name):
            bench.live.recover()
        os.close(held[1])
        bench.live.recover()
        os.close(held[0])
        assert (bench.root / "a").read_bytes() == b"1"
        assert mine.is_dir()


def test_only_the_stage_of_an_open_journal_is_hidden(bench: Bench, tmp_path: Path) -> None:
    with bench:
        stage = stop(bench, "exchange")
        found = stage.stat()
        assert set(own_identities(bench.store.journals)) == {(found.st_dev, found.st_ino)}
        assert (found.st_dev, found.st_ino) in bench.store.identities()
        stage.rename(tmp_path / "moved")
        shutil.copytree(tmp_path / "moved", stage, symlinks=True)
        assert set(own_identities(bench.store.journals)) == set()


def test_a_stage_of_another_store_is_named_and_stays(bench: Bench, tmp_path: Path) -> None:
    """Two stores record one root, and a checkout of the other one was interrupted."""
    (tmp_path / "other").mkdir()
    with bench, Bench(tmp_path / "other") as other:
        app = msgspec.structs.replace(bench.app, key="again")
        recorder = Recorder(other.store, app)
        live = AppHandle(AppContext(other.store, app))
        with open_root(app) as root:
            recorder.snapshot(root, CHANGE)
        stage = stop(bench, "exchange")
        before = picture(stage)
        (bench.root / "b").write_bytes(b"3")
        with open_root(app) as root:
            look = recorder.status(root)
        assert [one.path for one in look.found.skipped] == [stage.name]
        assert not any(entry.path.startswith(stage.name) for entry in look.changes.come())
        live.checkout("0", exact=True)
        assert picture(stage) == before
        bench.live.recover()
        assert bench.leftovers() == []


def test_a_lost_journal_is_said_where_our_mark_says_so(bench: Bench) -> None:
    with bench:
        stage = stop(bench, "exchange")
        bench.store.journal(APP).unlink()
        before = picture(stage)
        with pytest.raises(DamagedError, match="journal"):
            bench.live.recover()
        bench.live.checkout("1", exact=True)
        assert picture(stage) == before, "and nothing removes what it holds"


def test_versions_of_older_releases_did_not_look_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not observed is not absent: they kept silent about such names, whoever made them."""
    with Bench(tmp_path) as bench:
        monkeypatch.setattr(recording, "SIGHT", 0)
        bench.recorded({"a": File(b"1")})
        monkeypatch.undo()
        folder(bench.root / ".epm-mine")
        (bench.root / "a").write_bytes(b"2")
        bench.record()
        before = picture(bench.root / ".epm-mine")
        for exact in (False, True):
            (bench.root / "a").write_bytes(b"2")
            done = bench.live.checkout("0", exact=exact)
            assert picture(bench.root / ".epm-mine") == before
            assert {path for path, _ in done.kept} >= {".epm-mine"}


def test_a_setgid_root_makes_private_stages_all_the_same(bench: Bench) -> None:
    with bench:
        recorded = bench.root.stat().st_mode
        bench.root.chmod(0o2775)
        bench.live.checkout("0")
        assert bench.leftovers() == []
        assert bench.root.stat().st_mode == recorded, "the root is an entry, and comes back"
