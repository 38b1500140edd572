"""What a checkout, or its recovery, says is what is there: in its result, version and tree.

Somebody repairs by hand, or spoils, what an interrupted checkout has left: a table of what they put
at a path, and of when. Afterwards each wanted path is as wanted or named, what is extra is kept,
what they had is in a version, and nothing has changed since the last version.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from epmstore.checkout.journal import Journal
from epmstore.index.stat_cache import StatCache
from epmstore.record.result import Result
from epmstore.record.root import open_root
from epmstore.relpath import RelPath
from epmstore.scan.compare import newest_ns
from tests.kit.bench import APP, MTIME, Bench, Dir, File, Link, Nodes, build, clear
from tests.kit.faults import Killed, faults
from tests.kit.mounts import tmpfs

OLD: Nodes = {
    "a": File(b"1"),
    "b": File(b"1"),
    "folder/x": File(b"1"),
    "link": Link("a"),
    "kind": File(b"1"),
    "mode": File(b"same", 0o755),
    "back": File(b"back"),
    "made": Dir(),
}
NEW: Nodes = {
    "a": File(b"2"),
    "b": File(b"2"),
    "folder/x": File(b"2"),
    "folder/y": File(b"goes"),
    "link": Link("b"),
    "kind/inside": File(b"2"),
    "mode": File(b"same", 0o644),
    "goes": File(b"goes"),
}


def remove(at: Path) -> None:
    if at.is_dir() and not at.is_symlink():
        shutil.rmtree(at)
    elif os.path.lexists(at):
        at.unlink()


def nothing(at: Path) -> None:
    remove(at)


def fifo(at: Path) -> None:
    remove(at)
    os.mkfifo(at)


def folder(at: Path) -> None:
    remove(at)
    (at / "deep").mkdir(parents=True)
    (at / "deep/mine").write_bytes(b"mine")


def link(at: Path) -> None:
    remove(at)
    at.symlink_to("elsewhere")


def third(at: Path) -> None:
    remove(at)
    at.write_bytes(b"mine")


def appended(at: Path) -> None:
    if at.is_dir() or at.is_symlink() or not at.exists():
        return third(at)
    with at.open("ab") as file:
        file.write(b" and mine")


def chmodded(at: Path) -> None:
    if at.is_symlink() or not at.exists():
        return third(at)
    at.chmod(0o701)


def noted(at: Path) -> None:
    if at.is_symlink() or not at.exists():
        return third(at)
    os.setxattr(at, "user.note", b"mine")


def as_before(at: Path) -> None:
    """As a copy of the root from before brings it back."""
    _place(NEW, at)


def as_wanted(at: Path) -> None:
    _place(OLD, at)


def _place(nodes: Nodes, at: Path) -> None:
    remove(at)
    mine = {p: node for p, node in nodes.items() if p == at.name or p.startswith(f"{at.name}/")}
    build(at.parent, mine)
    settle(at.parent)


def settle(root: Path) -> None:
    """Links have a time, too."""
    if (root / "link").is_symlink():
        os.utime(root / "link", ns=(MTIME, MTIME), follow_symlinks=False)


def record(bench: Bench) -> None:
    for nodes in (OLD, NEW):
        bench.put(nodes)
        settle(bench.root)
        bench.record()


ACTS = (nothing, fifo, folder, link, third, appended, chmodded, noted, as_before, as_wanted)
PLACES = ("a", "link", "kind", "mode", "goes", "back", "made", "folder")
MOMENTS = ("exchange", "fsyncdir")


def dying(call: str, after: str) -> Callable[[str, tuple[object, ...]], None]:
    """The process dies at the first call of a name after the first of another."""
    seen: list[str] = []

    def fault(name: str, arguments: tuple[object, ...]) -> None:
        if seen or (name == "mkdir" and arguments[0] == after):
            seen.append(name)
        if call in seen[1:]:
            raise Killed

    return fault


def interrupted(bench: Bench, call: str) -> None:
    record(bench)
    with faults(dying(call, "switching")), pytest.raises(Killed):
        bench.live.checkout("0", exact=True)


def describe(at: Path) -> tuple[object, ...] | None:
    if at.is_symlink():
        return "symlink", os.readlink(at), at.lstat().st_mtime_ns
    if not at.exists():
        return None
    if not (at.is_file() or at.is_dir()):
        return ("special",)
    found, notes = at.stat(), [os.getxattr(at, name) for name in os.listxattr(at)]
    if at.is_file():
        return "file", at.read_bytes(), found.st_mode & 0o7777, found.st_mtime_ns, notes
    return "directory", found.st_mode & 0o7777, notes


def wanted(tmp_path: Path) -> dict[str, tuple[object, ...] | None]:
    place = tmp_path / "wanted"
    place.mkdir()
    build(place, OLD)
    settle(place)
    paths = [str(path.relative_to(place)) for path in place.rglob("*")]
    return {path: describe(place / path) for path in paths}


def assert_true(bench: Bench, result: Result, want: dict[str, tuple[object, ...] | None]) -> None:
    named = {text.partition(": ")[0] for text in result.not_restored}
    for path, what in want.items():
        is_right = describe(bench.root / path) == what
        assert is_right != (path in named), (path, describe(bench.root / path), what)
    assert named <= want.keys(), "only what is wanted was to be restored"
    assert result.incomplete == bool(named)
    assert not want.keys() & dict(result.kept).keys(), "what is kept is extra"
    with open_root(bench.app) as root:
        changes = bench.recorder.status(root).changes
    strange = [entry.path for entry in changes.added if "/deep" not in entry.path]
    assert not (strange or changes.modified or changes.removed), "the newest version is the root"
    assert bench.leftovers() == []
    version = bench.live.versions()[-1].record
    counts = (result.added, result.modified, result.removed)
    assert counts == (version.counts.added, version.counts.modified, version.counts.removed)


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("act", ACTS)
def test_recovery_after_a_repair_by_hand(
    act: Callable[[Path], None], moment: str, tmp_path: Path
) -> None:
    with Bench(tmp_path) as bench:
        want = wanted(tmp_path)
        interrupted(bench, moment)
        for place in PLACES:
            act(bench.root / place)
        mine = {data for data in (b"mine", b"2 and mine", b"1 and mine") if has(bench, data)}
        result = bench.live.recover()
        assert result is not None
        assert_true(bench, result, want)
        assert all(has(bench, data) or is_recorded(bench, data) for data in mine)


def has(bench: Bench, data: bytes) -> bool:
    files = [path for path in bench.root.rglob("*") if path.is_file()]
    return any(
        path.read_bytes() == data
        for path in files
        if not path.relative_to(bench.root).match(".*/*")
    )


def is_recorded(bench: Bench, data: bytes) -> bool:
    for path in ("a", "link", "kind", "mode", "goes", "back", "made", "folder"):
        for span in bench.live.history(RelPath(path)):
            content = span.entry.content
            if content is not None and bench.store.blobs.read(content) == data:
                return True
    return False


@pytest.mark.slow
def test_a_copy_of_the_root_brought_back_over_half_a_checkout(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        many: Nodes = {f"f{n:03}": File(b"A") for n in range(100)}
        bench.recorded(many)
        bench.recorded({path: File(b"B") for path in many})
        shutil.copytree(bench.root, tmp_path / "copy")
        count = 0

        def fault(name: str, _: tuple[object, ...]) -> None:
            nonlocal count
            count += name == "exchange"
            if count > 30:
                raise Killed

        with faults(fault), pytest.raises(Killed):
            bench.live.checkout("0")
        for path in many:
            (bench.root / path).unlink()
            shutil.copy2(tmp_path / "copy" / path, bench.root / path)
        result = bench.live.recover()
        assert result is not None
        found = [(bench.root / path).read_bytes() for path in many]
        assert (found.count(b"A"), found.count(b"B")) == (70, 30)
        assert (result.modified, len(result.not_restored), result.verified) == (70, 30, False)
        assert bench.is_clean()
        assert bench.live.checkout("0").modified == 30
        assert bench.is_clean()


@pytest.mark.parametrize("act", ACTS)
def test_changes_during_the_switch_are_named(act: Callable[[Path], None], tmp_path: Path) -> None:
    """By a program that runs on, say: right after its file was put in place."""
    with Bench(tmp_path) as bench:
        want = wanted(tmp_path)
        record(bench)
        done: list[bool] = []

        def fault(name: str, arguments: tuple[object, ...]) -> None:
            is_after = name == "fsyncdir" and Journal(bench.store.journal(APP)).path.exists()
            loaded = Journal(bench.store.journal(APP)).load() if is_after else None
            if loaded is not None and loaded.state == "STAGED" and not done:
                done.append(True)
                for place in PLACES:
                    act(bench.root / place)

        with faults(fault):
            result = bench.live.checkout("0", exact=True)
        assert done
        assert_true(bench, result, want)


def test_a_fifo_where_a_file_is_wanted(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.recorded({"p": File(b"1"), "d/x": File(b"1"), "k": File()})
        clear(bench.root)
        build(bench.root, {"k": File()})
        os.mkfifo(bench.root / "p")
        os.mkfifo(bench.root / "d")
        bench.record()
        for exact in (False, True):
            result = bench.live.checkout("0", exact=exact)
            named = {text.partition(": ")[0] for text in result.not_restored}
            assert (named, result.incomplete, result.kept) == ({"p", "d", "d/x"}, True, ())


def test_a_stage_that_was_removed_in_the_middle(tmp_path: Path) -> None:
    """What was not switched cannot be any more: that is said, and recorded as it is."""
    with Bench(tmp_path) as bench:
        want = wanted(tmp_path)
        interrupted(bench, "exchange")
        loaded = Journal(bench.store.journal(APP)).load()
        assert loaded is not None
        shutil.rmtree(bench.root / loaded.header.stage)
        result = bench.live.recover()
        assert result is not None
        assert_true(bench, result, want)


def test_an_owner_that_cannot_be_had_is_not_in_the_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Bench(tmp_path) as bench:
        bench.recorded({"a": File(b"1", 0o644)})
        bench.recorded({"a": File(b"2", 0o644, MTIME + 1)})

        def fault(name: str, _: tuple[object, ...]) -> None:
            if name == "utime":
                raise PermissionError(1, "not permitted")

        with faults(fault):
            result = bench.live.checkout("0")
        assert result.not_restored == ("a: mtime",)
        assert bench.is_clean()


def edited(at: Path) -> None:
    at.write_bytes(b"mine")


def moded(at: Path) -> None:
    at.chmod(0o640)


OUTSIDE: Nodes = {"d/x": File(b"one"), "d/y": File(b"one"), "etc/conf": File(b"one")}


@pytest.fixture
def half_done(tmp_path: Path) -> Iterator[Bench]:
    """A checkout of version 0 that was killed once it had switched; what is in OUTSIDE was no
    part of its plan.
    """
    with Bench(tmp_path, config=("etc/**",)) as bench:
        bench.recorded({"a": File(b"old"), **OUTSIDE})
        bench.recorded({"a": File(b"new"), **OUTSIDE})
        with faults(dying("fsyncdir", "switching")), pytest.raises(Killed):
            bench.live.checkout("0", exact=True)
        yield bench


def recovered(bench: Bench) -> Result:
    result = bench.live.recover()
    assert result is not None
    return result


@pytest.mark.parametrize("act", [edited, moded, remove, fifo, folder, link])
def test_recovery_names_changes_outside_the_plan(
    half_done: Bench, act: Callable[[Path], None]
) -> None:
    act(half_done.root / "d/x")
    result = recovered(half_done)
    assert [one.partition(": ")[0] for one in result.not_restored] == ["d/x"]
    assert (result.incomplete, result.verified) == (True, False)
    assert not half_done.is_clean(), "status says it, too"


def of_no_version(bench: Bench) -> None:
    bench.store.live(bench.app.uuid).empty()


def of_another_boot(bench: Bench) -> None:
    """What it knows of changes so young may not have been written when the host went down."""
    cache = bench.store.live(bench.app.uuid)
    state, rows = cache.load()
    assert state is not None and rows
    StatCache(cache.path, "of another boot", newest_ns).replace(state, rows)


@pytest.mark.parametrize("happens", [of_no_version, of_another_boot])
def test_recovery_misses_files_gone_from_uncached_folders(
    half_done: Bench, happens: Callable[[Bench], None]
) -> None:
    happens(half_done)
    shutil.rmtree(half_done.root / "etc")
    recovered(half_done)
    with open_root(half_done.app) as root:
        gone = half_done.recorder.status(root).changes.removed
    assert [entry.path for entry in gone] == ["etc", "etc/conf"]


def test_the_root_itself_belongs_to_what_was_to_be_restored(half_done: Bench) -> None:
    half_done.root.chmod(0o711)
    assert [one.partition(": ")[0] for one in recovered(half_done).not_restored] == ["."]


def test_recovery_keeps_new_files_and_edited_configuration(half_done: Bench) -> None:
    build(half_done.root, {"new/file": File(b"mine")})
    edited(half_done.root / "etc/conf")
    result = recovered(half_done)
    assert {path for path, _ in result.kept} == {"new", "new/file", "etc/conf"}
    assert (result.not_restored, result.verified) == ((), True)


def test_recovery_names_what_the_plan_had_left_out(tmp_path: Path) -> None:
    with Bench(tmp_path, config=("etc/**",), secret=("key",)) as bench:
        bench.recorded({"a": File(b"old"), "key": File(b"one"), "etc/conf": File(b"one")})
        bench.recorded({"a": File(b"new"), "key": File(b"two"), "etc/conf": File(b"one")})
        build(bench.root, {"up/load": File(b"mine"), "up/2": File(b"mine")})
        edited(bench.root / "etc/conf")
        plan = bench.live.plan("0").plan
        assert dict(plan.kept).keys() == {"up", "up/load", "up/2", "etc/conf"}
        assert dict(plan.not_restored).keys() == {"key"}
        with faults(dying("fsyncdir", "switching")), pytest.raises(Killed):
            bench.live.checkout("0")
        (bench.root / "up/2").unlink()
        result = recovered(bench)
        assert dict(result.kept).keys() == {"up", "up/load", "etc/conf"}
        assert [one.partition(": ")[0] for one in result.not_restored] == ["key", "up/2"]
        assert result.incomplete


def test_recovery_claims_nothing_outside_what_was_asked_for(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.recorded({"a": File(b"old"), **OUTSIDE})
        bench.recorded({"a": File(b"new"), **OUTSIDE})
        with faults(dying("fsyncdir", "switching")), pytest.raises(Killed):
            bench.live.checkout("0", [RelPath("a")])
        edited(bench.root / "d/x")
        result = recovered(bench)
        assert (result.not_restored, result.kept, result.verified) == ((), (), True)


@pytest.mark.root
def test_recovery_names_a_mount_over_a_folder(half_done: Bench) -> None:
    (half_done.root / "d").rename(half_done.base / "aside")
    with tmpfs(half_done.root / "d", "size=1m"):
        result = recovered(half_done)
        assert [one.path for one in result.unobserved] == ["d"]
        assert result.incomplete
    (half_done.root / "d").rmdir()
    (half_done.base / "aside").rename(half_done.root / "d")
    assert half_done.is_clean()
