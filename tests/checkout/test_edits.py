"""Entries that are wanted as they are given: planned, carried out, killed, recovered and undone as
any other checkout.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from epmstore.catalog.hooks import Hooks, with_hooks
from epmstore.checkout.planfile import decode_plan, encode_plan
from epmstore.digest import BlobInfo, identify
from epmstore.errors import ConflictError, HookError, NotRestorableError, UsageError
from epmstore.relpath import RelPath
from epmstore.tree import Entry
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.app.handle import AppHandle
from epmstore.workspace.blobs import Blobs
from tests.kit.application import START, STOP, Application
from tests.kit.bench import MTIME, Bench, Dir, File, Node, Picture, Same, copy_bench
from tests.kit.faults import Calls, Killed, faults
from tests.kit.program import amount

TREE: dict[str, Node] = {
    "bin/tool": File(b"tool", 0o755),
    "etc/port": File(b"1"),
    "etc/names": File(b"as delivered", 0o640),
    "etc/old": File(b"goes"),
    "etc/one": File(b"linked"),
    "etc/two": Same("etc/one"),
    "log/app.log": File(b"a line"),
}
AFTER: dict[str, Node] = {
    **TREE,
    "etc/port": File(b"2"),
    "etc/names": File(b"merged", 0o600, MTIME + 5),
    "etc/env/crm": File(b"PORT=2\n", 0o600, MTIME + 7),
    "etc/env": Dir(0o750),
}
AFTER.pop("etc/old")


POINTS = amount("EPM_TEST_POINTS", 12)


def file_of(path: str, node: File, root: Path) -> Entry:
    stats = root.lstat()
    return Entry(
        path=RelPath(path),
        kind="file",
        mode=node.mode,
        uid=stats.st_uid,
        gid=stats.st_gid,
        mtime_ns=node.mtime_ns,
        content=identify(node.data),
        path_class="config",
    )


def edits(bench: Bench) -> list[Entry]:
    """What makes AFTER of TREE, without what is to go."""
    stats = bench.root.lstat()
    folder = Entry(
        path=RelPath("etc/env"), kind="directory", mode=0o750, uid=stats.st_uid, gid=stats.st_gid
    )
    nodes = {path: node for path, node in AFTER.items() if isinstance(node, File)}
    changed = [path for path, node in nodes.items() if TREE.get(path) != node]
    return [folder, *(file_of(path, nodes[path], bench.root) for path in changed)]


def store(bench: Bench, data: bytes) -> BlobInfo:
    path = bench.base / "content"
    path.write_bytes(data)
    return Blobs(bench.store).put(path)


def edit(bench: Bench) -> None:
    bench.live.edit(edits(bench), remove=["etc/old"], label="port 2")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Picture, Picture]:
    """A folder to copy, in which the tree is version 0; that tree, and the one that is wanted."""
    place = tmp_path_factory.mktemp("edits") / "base"
    place.mkdir()
    with Bench(place, config=("/etc/",), state=("*.log",)) as bench:
        after = bench.put(AFTER)
        before = bench.recorded(TREE)
        for node in (*AFTER.values(), File(b"another line"), File(b"other")):
            if isinstance(node, File):
                store(bench, node.data)
    return place, before, after


@pytest.fixture
def bench(base: tuple[Path, Picture, Picture], tmp_path: Path) -> Iterator[Bench]:
    copy_bench(base[0], tmp_path / "bench")
    with open_bench(tmp_path / "bench") as bench:
        yield bench


def open_bench(place: Path) -> Bench:
    return Bench(place, config=("/etc/",), state=("*.log",))


def test_it_is_planned_done_undone_and_done_again(
    bench: Bench, base: tuple[Path, Picture, Picture]
) -> None:
    _, before, after = base
    live = bench.live
    plan = live.restoring.plan_edit(edits(bench), remove=["etc/old"])
    assert bench.picture() == before and bench.newest() == 0
    assert {step.path for step in plan.plan.steps} == {
        *("etc/old", "etc/port", "etc/names", "etc/env", "etc/env/crm")
    }
    done = live.edit(edits(bench), remove=["etc/old"], label="port 2")
    assert (done.action, done.of, done.version, done.verified) == ("edit", None, 1, True)
    assert bench.picture() == after and bench.is_clean() and bench.leftovers() == []
    for cache in bench.path.glob("live/*"):
        cache.unlink()
    assert bench.is_clean(), "what was recorded is what a look finds"
    record = live.versions()[-1].record
    assert (record.reason, record.operation, record.label) == ("checkout", "edit", "port 2")
    assert (record.of, record.release, record.from_) == (None, None, 0)
    assert record.scope is not None and sorted(record.scope) == sorted(
        step.path for step in plan.plan.steps
    )
    assert live.undo().of == 0 and bench.picture() == before
    assert live.redo().of == 1 and bench.picture() == after
    assert not live.edit(edits(bench), remove=["etc/old"]).changed
    assert live.rollback().of == 0 and bench.picture() == before


def test_edit_records_and_replaces_files_edited_by_hand(bench: Bench) -> None:
    (bench.root / "etc/port").write_bytes(b"by hand")
    (bench.root / "bin/tool").write_bytes(b"by hand, too")
    done = bench.live.edit(edits(bench))
    assert done.safety == 1 and done.version == 2
    assert (bench.root / "etc/port").read_bytes() == b"2"
    assert (bench.root / "bin/tool").read_bytes() == b"by hand, too"
    bench.live.undo()
    assert (bench.root / "etc/port").read_bytes() == b"by hand"


def test_state_that_is_named_is_stored_first(bench: Bench) -> None:
    entry = file_of("log/app.log", File(b"another line"), bench.root)
    bench.live.edit([replace(entry, path_class="state")])
    assert (bench.root / "log/app.log").read_bytes() == b"another line"
    bench.live.undo()
    assert (bench.root / "log/app.log").read_bytes() == b"a line"


def test_one_of_two_names_gets_a_file_of_its_own(bench: Bench) -> None:
    bench.live.edit([file_of("etc/two", File(b"other"), bench.root)])
    assert (bench.root / "etc/one").read_bytes() == b"linked"
    assert (bench.root / "etc/two").read_bytes() == b"other"
    bench.live.undo()
    assert (bench.root / "etc/two").samefile(bench.root / "etc/one")


def test_edit_refuses_impossible_entries(bench: Bench, base: tuple[Path, Picture, Picture]) -> None:
    live, root = bench.live, bench.root
    with pytest.raises(NotRestorableError):
        live.edit([file_of("etc/port", File(b"nobody stored this"), root)])
    for path in ("not/there/f", "bin/tool/f"):
        with pytest.raises(ConflictError, match="is no folder"):
            live.edit([file_of(path, File(b"2"), root)])
    with pytest.raises(ConflictError, match="is no folder"):
        live.edit([file_of("log/new", File(b"2"), root)], remove=["log"])
    port = file_of("etc/port", File(b"2"), root)
    wrong: list[tuple[list[Entry], list[str]]] = [
        ([], []),
        ([port, port], []),
        ([port], ["etc/port"]),
        ([], ["."]),
        ([replace(port, mtime_ns=None)], []),
    ]
    for entries, remove in wrong:
        with pytest.raises(UsageError):
            live.edit(entries, remove=remove)
    assert bench.picture() == base[1] and bench.newest() == 0


def test_a_folder_that_keeps_something_stays(bench: Bench) -> None:
    done = bench.live.edit([], remove=["etc"])
    assert (not done.changed, [path for path, _ in done.kept]) == (True, ["etc"])


def test_a_plan_file_is_carried_out_as_long_as_it_holds(
    bench: Bench, base: tuple[Path, Picture, Picture]
) -> None:
    live = bench.live
    data = encode_plan(live.restoring.plan_edit(edits(bench), remove=["etc/old"], label="later"))
    done = live.apply(decode_plan(data))
    assert done.action == "apply" and bench.picture() == base[2]
    assert live.versions()[-1].label == "later"


@pytest.mark.slow
def test_killed_at_any_call(base: tuple[Path, Picture, Picture], tmp_path: Path) -> None:
    """At a share of all calls by default; EPM_TEST_POINTS says at how many."""
    place, before, after = base
    copy_bench(place, tmp_path / "count")
    with open_bench(tmp_path / "count") as bench, faults(calls := Calls()):
        edit(bench)
    seen = []
    for n in range(1, calls.count + 1, max(1, calls.count // POINTS)):
        copy = tmp_path / str(n)
        copy_bench(place, copy)
        with open_bench(copy) as bench, faults(Calls(n)), contextlib.suppress(Killed):
            edit(bench)
        with open_bench(copy) as bench:
            bench.live.recover()
            found = bench.picture()
            assert found in (before, after) and bench.leftovers() == []
            seen.append(found == after)
            assert bench.newest() == int(seen[-1]) and bench.is_clean()
            if seen[-1]:
                assert bench.live.versions()[-1].record.operation == "edit"
                bench.live.undo()
                assert bench.picture() == before
    assert seen == sorted(seen) and set(seen) == {False, True}


def handle_of(bench: Bench, application: Application) -> AppHandle:
    app = with_hooks(bench.app, Hooks(stop=STOP, start=START))
    return AppHandle(AppContext(bench.store, app, runner=application))


def test_an_application_that_does_not_start_gets_its_files_back(
    bench: Bench, base: tuple[Path, Picture, Picture]
) -> None:
    handle = handle_of(bench, Application({"start": 1}))
    with pytest.raises(HookError, match="after the checkout of edits"):
        handle.edit(edits(bench), remove=["etc/old"])
    assert bench.picture() == base[1] and handle.obligations.owed is None
    assert handle.redo().of == 1 and bench.picture() == base[2]


def test_recovery_does_what_a_killed_edit_owed(
    bench: Bench, base: tuple[Path, Picture, Picture]
) -> None:
    application = Application()
    handle = handle_of(bench, application)

    def die(word: str) -> None:
        if word == "start":
            raise Killed

    application.on = die
    with pytest.raises(Killed):
        handle.edit(edits(bench), remove=["etc/old"])
    assert not application.running and bench.picture() == base[2]
    owed = handle.obligations.owed
    assert owed is not None and str(owed.goal) == "edits"
    again = handle_of(bench, restarted := Application())
    again.recover()
    assert restarted.calls == ["start"] and again.obligations.owed is None
    assert restarted.environments[0]["EPMSTORE_TO"] == "edits"
    again.undo()
    assert bench.picture() == base[1]
