"""The process dies at every system call in turn, and the disk is full at every one: afterwards the
root is the old tree or the new one, nothing is left over, and history says which.
"""

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from epmstore.checkout import files
from epmstore.errors import DamagedError, EpmError, RootError
from tests.kit.bench import (
    MTIME,
    Bench,
    Dir,
    File,
    Link,
    Nodes,
    Picture,
    Same,
    copy_bench,
)
from tests.kit.faults import Calls, Killed, faults, full
from tests.kit.program import amount

OLD: Nodes = {
    "bin/tool": File(b"old tool", 0o755),
    "bin/gone": File(b"comes back"),
    "lib/x": File(b"one"),
    "lib/y": Same("lib/x"),
    "conf": File(b"same", 0o644),
    "kind": File(b"a file"),
    "tree/deep/leaf": File(b"leaf"),
    "now": Link("bin/tool"),
}
NEW: Nodes = {
    "bin/tool": File(b"new tool", 0o755, MTIME + 5),
    "bin/extra": File(b"goes"),
    "lib/x": File(b"two"),
    "lib/y": File(b"of its own"),
    "conf": File(b"same", 0o600),
    "kind/inside": File(b"a folder"),
    "tree": File(b"no tree"),
    "now": Link("bin/extra"),
    "empty": Dir(0o700),
}
MANY: Nodes = {f"d{n % 7}/f{n}": File(b"%d" % n) for n in range(70)}
MORE: Nodes = {f"d{n % 5}/f{n}": File(b"%d!" % n) for n in range(70)}
SCENARIOS = {"mixed": (OLD, NEW), "one file": ({"a": File(b"1")}, {"a": File(b"2")})}
SCENARIOS["modes"] = (
    {"d": Dir(0o700), "d/f": File(b"1", 0o600), "s": Link("d")},
    {"d": Dir(0o755), "d/f": File(b"1", 0o644), "s": Link("d")},
)


EACH = amount("EPM_TEST_CALLS", 3)
"""One of so many calls is tried."""


@pytest.fixture(params=SCENARIOS, scope="module")
def prepared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Picture, Picture]:
    """A folder to copy, in which the old tree is version 0 and the new one is version 1."""
    base = tmp_path_factory.mktemp("crash") / "base"
    base.mkdir()
    old, new = SCENARIOS[request.param]
    with Bench(base) as bench:
        return base, bench.recorded(old), bench.recorded(new)


def checkout(bench: Bench) -> None:
    bench.live.checkout("0", exact=True)


def attempts(base: Path, tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A fresh copy for each mutating call that a checkout makes, or for a share with the last."""
    copy_bench(base, tmp_path / "count")
    with Bench(tmp_path / "count") as bench, faults(calls := Calls()):
        checkout(bench)
    assert calls.count > 10
    for n in range(1 + (calls.count - 1) % EACH, calls.count + 1, EACH):
        copy_bench(base, tmp_path / str(n))
        yield n, tmp_path / str(n)


def judge(bench: Bench, back: Picture, before: Picture) -> str:
    """Which tree it is. `back` was wanted, `before` was there."""
    found = bench.picture()
    assert found in (back, before)
    assert bench.leftovers() == []
    newest = bench.live.versions()[-1].record
    which = "new" if newest.reason == "checkout" else "old"
    assert found == (back if which == "new" else before)
    assert newest.version == (2 if which == "new" else 1)
    assert bench.is_clean()
    return which


def die(base: Path, n: int, act: Callable[[Bench], object]) -> None:
    """Unless it is done before: how often caches are written is a matter of timing."""
    with Bench(base) as bench, faults(Calls(n)), contextlib.suppress(Killed):
        act(bench)


@pytest.mark.slow
def test_killed_at_every_call(prepared: tuple[Path, Picture, Picture], tmp_path: Path) -> None:
    base, back, before = prepared
    seen = []
    for n, copy in attempts(base, tmp_path):
        die(copy, n, checkout)
        with Bench(copy) as bench:
            bench.live.recover()
            seen.append(judge(bench, back, before))
    assert seen == sorted(seen, reverse=True), "old up to one point, and new from there on"
    assert {"old", "new"} == set(seen)


@pytest.mark.slow
def test_killed_again_while_recovering(
    prepared: tuple[Path, Picture, Picture], tmp_path: Path
) -> None:
    base, back, before = prepared
    for n, copy in attempts(base, tmp_path):
        die(copy, n, checkout)
        with Bench(copy) as bench, faults(calls := Calls()):
            bench.live.recover()
        for m in range(1 + n % 12, calls.count + 1, 12):
            again = tmp_path / f"{n}-{m}"
            copy_bench(base, again)  # and dies anew: inodes do not survive copying
            die(again, n, checkout)
            die(again, m, lambda bench: bench.live.recover())
            with Bench(again) as bench:
                bench.live.recover()
                judge(bench, back, before)


@pytest.mark.slow
def test_a_full_disk_at_every_call(prepared: tuple[Path, Picture, Picture], tmp_path: Path) -> None:
    base, back, before = prepared
    seen = []
    for n, copy in attempts(base, tmp_path):
        with Bench(copy) as bench:
            with faults(Calls(n, full, once=True)), contextlib.suppress(OSError, EpmError):
                checkout(bench)  # what goes into caches and locks may fail without a word
            if not bench.live.obligations.is_interrupted:
                judge(bench, back, before)  # at once, without any recovery
            bench.live.recover()
            seen.append(judge(bench, back, before))
    assert {"old", "new"} == set(seen)


def test_without_exchange(prepared: tuple[Path, Picture, Picture], tmp_path: Path) -> None:
    base, back, _ = prepared
    copy_bench(base, tmp_path / "copy")
    refused = Calls(1, lambda: OSError(errno.EINVAL, os.strerror(errno.EINVAL)), only="exchange")
    with Bench(tmp_path / "copy") as bench:
        with faults(refused):
            checkout(bench)
        assert bench.picture() == back
        assert bench.leftovers() == []
        assert bench.is_clean()


def test_without_a_rename_that_never_replaces(
    prepared: tuple[Path, Picture, Picture], tmp_path: Path
) -> None:
    base, back, _ = prepared
    copy_bench(base, tmp_path / "copy")
    tried: set[tuple[object, ...]] = set()

    def fault(name: str, arguments: tuple[object, ...]) -> None:
        if name == "exchange" or (name == "rename" and arguments not in tried):
            tried.add(arguments)  # the plain rename that comes instead has the same arguments
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    with Bench(tmp_path / "copy") as bench:
        with faults(fault), contextlib.suppress(OSError):
            checkout(bench)
        bench.live.recover()
        assert bench.picture() == back
        assert bench.leftovers() == []


def test_everything_is_durable_before_what_depends_on_it(tmp_path: Path) -> None:
    """What no kill can show, because what was written is seen whether it is durable or not."""
    with Bench(tmp_path) as bench:
        bench.recorded({"a": File(b"1")})
        bench.recorded({"a": File(b"2")})
        with faults(calls := Calls()):
            checkout(bench)
    order = (
        "create write fsync fsyncdir mkdir fsyncdir "  # PLANNED, then the staging folder
        "write fdatasync symlink "  # which directory that is, then whose
        "create write chmod utime fsync fsyncdir "  # a slot
        "write fdatasync mkdir exchange "  # STAGED, then the switch
        "fsyncdir fsyncdir write fdatasync "  # both ends of it, then SWITCHED
        ".*write fdatasync .*"  # the catalog
        "write fdatasync (unlink |rmdir )+"  # COMMITTED, then what was displaced
        "fsyncdir unlink fsyncdir"  # and the journal last
    )
    assert re.search(order, " ".join(calls.names)), calls.names


def test_many_files_are_synced_at_once(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        back = bench.recorded(MANY)
        bench.recorded(MORE)
        with faults(calls := Calls()):
            checkout(bench)
        assert bench.picture() == back
        assert "syncfs" in calls.names
        assert calls.names.count("fsync") < 10


@pytest.mark.slow
def test_files_written_by_processes_are_synced_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They do not sync, however few files they share."""
    monkeypatch.setattr(files, "cores", lambda limit: 2)
    half = files.POOL_FROM // 2
    with Bench(tmp_path) as bench:
        back = bench.recorded({name: File(name.encode() * half) for name in "ab"})
        bench.recorded({name: File(name.encode()) for name in "ab"})
        with faults(calls := Calls()):
            checkout(bench)
        assert bench.picture() == back
    before = calls.names[: calls.names.index("exchange")]
    assert before.count("create") == 1  # the journal: the files were made by others
    assert "syncfs" in before


def die_at(call: str, bench: Bench) -> None:
    """Dies at the first call of a name."""

    def fault(name: str, arguments: tuple[object, ...]) -> None:
        if name == call:
            raise Killed

    with faults(fault), pytest.raises(Killed):
        checkout(bench)


def test_a_journal_is_about_one_directory(tmp_path: Path) -> None:
    """Another directory stands in the root's place: the journal waits for the right one."""
    with Bench(tmp_path) as bench:
        back = bench.recorded({"a": File(b"1")})
        bench.recorded({"a": File(b"2")})
        die_at("exchange", bench)
        bench.root.rename(tmp_path / "aside")
        bench.root.mkdir()
        (bench.root / "a").write_bytes(b"other")
        with pytest.raises(RootError):
            bench.live.recover()
        assert (bench.root / "a").read_bytes() == b"other"
        assert bench.live.obligations.is_interrupted
        (bench.root / "a").unlink()
        bench.root.rmdir()
        (tmp_path / "aside").rename(bench.root)
        bench.live.recover()
        assert bench.picture() == back
        assert bench.leftovers() == []


def test_a_damaged_journal_never_costs_what_was_displaced(tmp_path: Path) -> None:
    """STAGED is the last line; a flip in it must not read as "nothing happened yet"."""
    with Bench(tmp_path) as bench:
        bench.recorded({"a": File(b"1"), "b": File(b"1")})
        bench.recorded({"a": File(b"2"), "b": File(b"2")})
        exchanged = []

        def at_the_second(name: str, arguments: tuple[object, ...]) -> None:
            if name == "exchange":
                exchanged.append(arguments)
                if len(exchanged) == 2:
                    raise Killed

        with faults(at_the_second), pytest.raises(Killed):
            checkout(bench)
        journal = bench.store.journal(bench.app.uuid)
        data = bytearray(journal.read_bytes())
        data[-3] ^= 1
        journal.write_bytes(data)
        slots = [p for p in bench.root.glob(".epm-*/*") if p.is_file()]
        assert {p.read_bytes() for p in slots} == {b"1", b"2"}
        with pytest.raises(DamagedError):
            bench.live.recover()
        assert {p.read_bytes() for p in slots} == {b"1", b"2"}, "nothing was thrown away"


def test_recovery_leaves_files_from_after_the_commit_alone(tmp_path: Path) -> None:
    """The application starts again while only the cleaning is left to do."""
    with Bench(tmp_path) as bench:
        bench.recorded({"keep": File()})
        bench.recorded({"keep": File(), "pid": File(b"1")})
        stages: list[str] = []

        def in_the_cleaning(name: str, arguments: tuple[object, ...]) -> None:
            if name == "unlink" and arguments[0] == "0":
                stages.append(name)
                raise Killed

        with faults(in_the_cleaning), pytest.raises(Killed):
            checkout(bench)
        assert stages
        (bench.root / "pid").write_bytes(b"a new process")
        for slot in bench.root.glob(".epm-*/0"):
            slot.unlink()  # cleaned, and then the power failed
        bench.live.recover()
        assert (bench.root / "pid").read_bytes() == b"a new process"
        assert bench.leftovers() == []


def test_recovery_does_not_remove_a_file_that_came_after_its_removal(tmp_path: Path) -> None:
    """Half of the switch is done when the power fails; the application starts before recovery."""
    with Bench(tmp_path) as bench:
        bench.recorded({"k": File(b"1")})
        bench.recorded({"k": File(b"2"), "pid": File(b"1")})
        die_at("exchange", bench)
        assert not (bench.root / "pid").exists()
        (bench.root / "pid").write_bytes(b"a new process")
        bench.live.recover()
        assert (bench.root / "pid").read_bytes() == b"a new process"
        assert (bench.root / "k").read_bytes() == b"1"
        assert bench.leftovers() == []


def test_a_staged_symlink_is_durable_before_it_is_said(tmp_path: Path) -> None:
    """What is set of a symlink is made durable by nothing but a sync of everything."""
    with Bench(tmp_path) as bench:
        bench.recorded({"now": Link("one"), "f": File(b"1")})
        bench.recorded({"now": Link("two"), "f": File(b"2")})
        with faults(calls := Calls()):
            checkout(bench)
    made, switched = calls.names.index("symlink"), calls.names.index("exchange")
    assert "syncfs" in calls.names[made:switched]


def test_both_names_of_a_rename_may_be_there_after_a_crash(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        back = bench.recorded({"kind": File(b"a file")})
        bench.recorded({"kind/inside": File(b"a folder")})
        die_at("rmdir", bench)
        (stage,) = bench.root.glob(".epm-*")
        (slot,) = [path for path in stage.iterdir() if _holds(path, b"a folder")]
        os.link(slot, bench.root / "kind/inside")
    with Bench(tmp_path) as bench:
        bench.live.recover()
        assert bench.picture() == back
        assert bench.leftovers() == []


def _holds(path: Path, data: bytes) -> bool:
    return path.is_file() and path.read_bytes() == data
