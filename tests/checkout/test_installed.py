"""What is installed goes where the tree goes: back again, and through a crash."""

import errno
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from epmstore.catalog.install_notes import INCOMPLETE, NAMED, notes_of
from epmstore.catalog.installed import InstalledSet, installed_at
from epmstore.catalog.model import Installed
from epmstore.checkout.goal import EditsGoal, VersionGoal
from epmstore.checkout.preflight import Terms
from epmstore.checkout.request import Request
from epmstore.checkout.run import CheckoutEngine, CompletedCheckout
from epmstore.progress import SILENT
from epmstore.record.root import open_root
from epmstore.relpath import RelPath
from tests.kit.bench import APP, Bench, File, Node
from tests.kit.faults import Calls, Killed, faults
from tests.kit.program import amount

TREE: dict[str, Node] = {"bin/tool": File(b"tool", 0o755), "etc/port": File(b"1")}
CRM = Installed(product="crm", release=14, digest="1" * 64)
NEWER = Installed(product="crm", release=15, digest="2" * 64)
POINTS = amount("EPM_TEST_POINTS", 12)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    found = Bench(tmp_path)
    found.recorded(TREE)
    return found


def run(bench: Bench, request: Request) -> CompletedCheckout:
    with bench.store.lock_app(APP), open_root(bench.app) as root:
        checkout = CheckoutEngine(bench.recorder, root, bench.live.reading.state(), SILENT)
        return checkout.run(request, Terms())


def installing(bench: Bench, *installed: Installed, gone: str = "etc/port") -> Request:
    """What removes a file, as a release might that lacks it."""
    goal = EditsGoal(((RelPath(gone), None),))
    return Request(action="edit", goal=goal, installed=installed)


def now(bench: Bench) -> InstalledSet:
    return installed_at(bench.live.reading.state())


def test_a_rollback_of_the_tree_is_one_of_what_is_installed(bench: Bench) -> None:
    run(bench, installing(bench, CRM))
    assert now(bench) == (CRM,)
    run(bench, replace(installing(bench, NEWER, gone="bin/tool"), label="an upgrade"))
    assert now(bench) == (NEWER,)
    bench.live.undo()
    assert now(bench) == (CRM,) and (bench.root / "bin/tool").exists()
    bench.live.redo()
    assert now(bench) == (NEWER,) and not (bench.root / "bin/tool").exists()
    bench.live.checkout(0)
    assert now(bench) == () and (bench.root / "etc/port").exists()


def test_paths_alone_leave_it(bench: Bench) -> None:
    run(bench, installing(bench, CRM))
    bench.live.checkout(0, ["etc/port"])
    assert now(bench) == (CRM,) and (bench.root / "etc/port").exists()


def test_a_version_says_it_only_where_it_changes(bench: Bench) -> None:
    run(bench, installing(bench, CRM))
    (bench.root / "etc/new").write_bytes(b"new")
    bench.record()
    run(bench, Request(action="checkout", goal=VersionGoal(1)))
    assert [one.record.installed for one in bench.live.reading.state().versions] == [
        None,
        (CRM,),
        None,
        None,
    ]


def test_a_product_that_is_there_already_is_recorded_as_installed(bench: Bench) -> None:
    """As of a product whose files are in the root: no step, but a version that says so."""
    before = bench.picture()
    run(bench, Request(action="checkout", goal=VersionGoal(0), installed=(CRM,)))
    assert now(bench) == (CRM,) and bench.newest() == 1
    assert bench.picture() == before and not bench.leftovers()
    bench.live.undo()
    assert now(bench) == () and bench.picture() == before


def test_paths_that_could_not_be_put_are_noted_with_the_installed_set(bench: Bench) -> None:
    (bench.root / "etc/port").write_bytes(b"2")
    for number in range(NAMED + 2):
        (bench.root / f"f{number}").write_bytes(b"mine")
    bench.record()
    for number in range(NAMED + 2):
        (bench.root / f"f{number}").unlink()
    bench.record()

    def refuse(_: str, arguments: tuple[object, ...]) -> None:
        if "port" in arguments:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with faults(refuse):
        done = run(bench, Request(action="checkout", goal=VersionGoal(0), installed=(CRM,)))
    assert done.applied is not None and list(done.applied.missed) == ["etc/port"]
    (note,) = notes_of(bench.live.reading.state())
    assert (note.note.what, note.note.path, note.is_open) == (INCOMPLETE, "etc/port", True)
    assert now(bench) == (CRM,) and (bench.root / "etc/port").read_bytes() == b"2"

    def refuse_all(_: str, arguments: tuple[object, ...]) -> None:
        if any(str(one).startswith("f") and str(one)[1:].isdigit() for one in arguments):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with faults(refuse_all):
        run(bench, Request(action="checkout", goal=VersionGoal(1), installed=(NEWER,)))
    notes = notes_of(bench.live.reading.state())[1:]
    assert len(notes) == NAMED + 1 and "2 more paths" in notes[-1].text


@pytest.mark.slow
def test_a_kill_at_any_call_leaves_tree_and_set_together(tmp_path: Path) -> None:
    calls = Calls()
    with Bench(_made(tmp_path / "whole")) as bench, faults(calls):
        run(bench, installing(bench, CRM))
    step = max(1, calls.count // POINTS)
    for at in range(1, calls.count + 1, step):
        place = _made(tmp_path / str(at))
        with Bench(place) as bench, faults(Calls(at)), pytest.raises(Killed):
            run(bench, installing(bench, CRM))
        with Bench(place) as bench:
            bench.live.recover()
            is_done = not (bench.root / "etc/port").exists()
            assert now(bench) == ((CRM,) if is_done else ())
            assert bench.is_clean() and not bench.leftovers()


def _made(place: Path) -> Path:
    place.mkdir()
    with Bench(place) as bench:
        bench.recorded(TREE)
    return place
