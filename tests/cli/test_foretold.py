"""A dry run ends as the run does, and a plan file is no promise that cannot be kept."""

import os
import shutil
import socket
import sqlite3
import stat
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from epmstore.checkout.planfile import not_to_be_had
from epmstore.digest import identify
from epmstore.workspace import Workspace
from tests.cli.test_repair import put
from tests.cli.test_verify import RELEASES, root, write
from tests.kit.bench import Bench, Dir, File, build
from tests.kit.program import Outcome

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

__all__ = ["root"]  # a fixture
COUNTS = ("added", "modified", "removed")
World = Callable[["Cli", Path, Path], None]


def lose(cli: "Cli", data: bytes) -> None:
    """The store has this content no more."""
    with Workspace.open(cli.store) as ws, ws._store.database.write() as db:
        db.execute(
            "DELETE FROM stored WHERE content IN (SELECT id FROM contents WHERE sha256 = ?)",
            (identify(data).sha256,),
        )


def nothing(cli: "Cli", root: Path, tmp_path: Path) -> None:
    """No contents of any other release are here."""


def all_of_one(cli: "Cli", root: Path, tmp_path: Path) -> None:
    put(cli, tmp_path, 1)


def in_the_root(cli: "Cli", root: Path, tmp_path: Path) -> None:
    """What is wanted lies in the root, under another name, and is recorded by the run only."""
    (root / "copy").write_bytes(RELEASES[1]["bin/crmd"])
    (root / "copy2").write_bytes(RELEASES[1]["lib/a.so"])


def damaged(cli: "Cli", root: Path, tmp_path: Path) -> None:
    (root / "bin/crmd").write_bytes(b"patched")
    cli.ok("snapshot")
    lose(cli, RELEASES[2]["bin/crmd"])


def purged(cli: "Cli", root: Path, tmp_path: Path) -> None:
    (root / "bin/crmd").write_bytes(b"patched")
    cli.ok("snapshot")
    cli.ok("purge", identify(RELEASES[2]["bin/crmd"]).digest.hex(), "--yes")


def secret(cli: "Cli", root: Path, tmp_path: Path) -> None:
    (root / "lib/a.so").write_bytes(b"new")
    cli.ok("snapshot")
    cli.ok("app", "set", "crm", "--secret", "lib/a.so")


def state(cli: "Cli", root: Path, tmp_path: Path) -> None:
    cli.ok("app", "set", "crm", "--state", "lib/a.so")
    (root / "lib/a.so").write_bytes(b"rows")


def database(cli: "Cli", root: Path, tmp_path: Path) -> None:
    with sqlite3.connect(root / "x.db") as db:
        db.execute("CREATE TABLE t (x)")
    db.close()
    cli.ok("snapshot")
    with sqlite3.connect(root / "x.db") as db:
        db.execute("CREATE TABLE u (x)")
    db.close()
    (root / "bin/crmd").write_bytes(b"patched")
    cli.ok("snapshot")


def fifo(cli: "Cli", root: Path, tmp_path: Path) -> None:
    (root / "doc/1").unlink()
    os.mkfifo(root / "doc/1")
    (root / "doc/2").write_bytes(b"changed")


def hooked(cli: "Cli", root: Path, tmp_path: Path) -> None:
    (root / "bin/crmd").write_bytes(b"patched")
    cli.ok("app", "set", "crm", "--stop", "/nonexistent/stop")


def ignored(cli: "Cli", root: Path, tmp_path: Path) -> None:
    """What nobody has seen go since it is ignored."""
    cli.ok("app", "set", "crm", "--ignore", "lib/a.so")
    (root / "bin/crmd").write_bytes(b"patched")


def emptied(cli: "Cli", root: Path, tmp_path: Path) -> None:
    """A folder of nobody's, of which nobody has seen that it holds nothing any more."""
    (root / "mine").mkdir()
    (root / "mine/f").write_bytes(b"mine")
    cli.ok("snapshot")
    (root / "mine/f").unlink()


WORLDS: list[World] = [
    nothing, all_of_one, in_the_root, damaged, purged, secret, state, database, fifo, hooked,
    ignored, emptied,
]  # fmt: skip
ACTS = [
    ["checkout", "0", "--exact"],
    ["checkout", "0", "lib/a.so"],
    ["checkout", "release:1"],
    ["checkout", "release:0", "bin"],
    ["checkout", "release:0", "mine", "--exact"],
    ["repair", "--release", "1"],
]


def end(found: Outcome) -> tuple[int, Any]:
    """How a command ended: its code, and its counts or its error. A repair ends with a verify."""
    first = found.shapes[0] if found.shapes else {}
    counts = [first[name] for name in COUNTS] if "added" in first else None
    return found.code, counts


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS)
def test_a_dry_run_ends_as_the_run(cli: "Cli", root: Path, tmp_path: Path, world: World) -> None:
    world(cli, root, tmp_path)
    copy(cli.store, tmp_path / "store.copy")
    copy(root, tmp_path / "root.copy")
    for act in ACTS:
        dry, real = cli(*act, "--dry-run", "--json"), cli(*act, "--yes", "--json")
        told, done = end(dry), end(real)
        if "release" in "".join(act) and done[0] == 1:  # it ends with a verify
            done = 0, done[1]
        if dry.shapes[:1] and told[0] in (0, 3):
            assert told == done, (act, dry, real)
        else:
            assert (told[0], message(dry)) == (done[0], message(real)), act
        copy(tmp_path / "store.copy", cli.store)
        copy(tmp_path / "root.copy", root)


def copy(one: Path, two: Path) -> None:
    """The folder stays the same one, and all in it is anew."""
    two.mkdir(exist_ok=True)
    for child in two.iterdir():
        shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
    subprocess.run(["cp", "-a", f"{one}/.", str(two)], check=True)


def message(found: Outcome) -> object:
    return found.error["message"]


class TestPlanFile:
    """`plan -o` writes no plan that could not be carried out whenever that is."""

    def test_contents_that_are_not_here(self, cli: "Cli", root: Path) -> None:
        found = cli("plan", "release:1", "-o", "p")
        assert (found.code, Path("p").exists()) == (5, False)
        assert "epmstore repair --release 1 --from PLACE" in found.err

    def test_one_that_was_made_when_they_were(self, cli: "Cli", root: Path, tmp_path: Path) -> None:
        put(cli, tmp_path, 1)
        cli.ok("plan", "release:1", "-o", "p")
        lose(cli, RELEASES[1]["bin/crmd"])
        for dry in (["--dry-run"], []):
            found = cli("apply", "p", *dry)
            assert found.code == 5
            assert "epmstore repair --release 1 --from PLACE" in found.err
        write(tmp_path / "r1", RELEASES[1])
        assert cli("repair", "--release", "1", "--from", str(tmp_path / "r1")).code in (0, 1)

    def test_it_can_be_applied_later(self, cli: "Cli", root: Path, tmp_path: Path) -> None:
        put(cli, tmp_path, 1)
        cli.ok("plan", "release:1", "-o", "p")
        cli.ok("apply", "p", "--yes")
        assert (root / "bin/crmd").read_bytes() == RELEASES[1]["bin/crmd"]

    def test_a_database_that_nobody_decided_about(
        self, cli: "Cli", root: Path, tmp_path: Path
    ) -> None:
        database(cli, root, tmp_path)
        found = cli("plan", "0", "--exact", "-o", "p")
        assert (found.code, Path("p").exists()) == (7, False)

    def test_plans_of_unavailable_contents_exit_with_3(
        self, cli: "Cli", root: Path, tmp_path: Path
    ) -> None:
        secret(cli, root, tmp_path)
        assert cli("plan", "0", "-o", "p").code == cli("apply", "p").code == 3


def test_an_undo_of_what_changed_since(cli: "Cli", root: Path) -> None:
    before = (root / "bin/crmd").read_bytes()
    (root / "bin/crmd").write_bytes(b"patched")
    cli.ok("checkout", "0")
    (root / "bin/crmd").write_bytes(b"later")
    assert cli("undo", "--dry-run").code == cli("undo").code == 7
    assert cli("undo", "--dry-run").code == 7
    (root / "bin/crmd").write_bytes(before)
    os.utime(root / "bin/crmd", ns=(0, 0))
    assert cli("undo", "--dry-run").code == cli("undo").code


def test_a_path_that_only_the_run_will_have_recorded(cli: "Cli", root: Path) -> None:
    write(root, {"new/file": b"mine"})
    for path, code in (("new", 0), ("new/file", 0), ("never", 5)):
        assert cli("checkout", "0", path, "--dry-run").code == code
    assert cli("checkout", "0", "new/file").code == 0
    assert (root / "new/file").read_bytes() == b"mine"


def test_the_plan_for_a_release_names_what_it_leaves(cli: "Cli", root: Path) -> None:
    (root / "mine").write_bytes(b"mine")
    (root / "doc/1").chmod(0o600)
    [plan] = cli("repair", "--dry-run", "--json").shapes[:1]
    assert plan["kept_because"] == {"mine": "no release has it here"}
    assert cli("repair", "--json").shapes[0]["kept"] == plan["kept"]


def test_sources_are_looked_into(cli: "Cli", root: Path, tmp_path: Path) -> None:
    write(tmp_path / "r1", RELEASES[1])
    args = ["repair", "--release", "1", "--from", str(tmp_path / "r1")]
    assert cli(*args, "--dry-run").code == 0
    (tmp_path / "r1/bin/crmd").unlink()
    assert cli(*args, "--dry-run").code == cli(*args).code == 5


def test_a_copy_elsewhere(cli: "Cli", root: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").touch()
    for where, code in (("full", 7), ("a/b", 2), ("new", 0)):
        args = ["checkout", "0", "--target", str(tmp_path / where)]
        assert cli(*args, "--dry-run").code == code
        assert not (tmp_path / "new").exists()
        assert cli(*args).code == code
    lose(cli, RELEASES[2]["bin/crmd"])
    args = ["checkout", "0", "--target", str(tmp_path / "other")]
    assert cli(*args, "--dry-run").code == cli(*args).code == 0  # a live file has it
    (root / "bin/crmd").unlink()
    lose(cli, RELEASES[2]["bin/crmd"])
    args = ["checkout", "0", "--target", str(tmp_path / "nowhere")]
    assert cli(*args, "--dry-run").code == cli(*args).code == 6


@pytest.mark.root
def test_plan_foretells_changes_the_privilege_forbids() -> None:
    with tempfile.TemporaryDirectory() as place:  # others may come to it
        assert_forbidden(Path(place))


def assert_forbidden(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.recorded({"a": File(b"1"), "b": File(b"1"), "c": File(b"1", 0o4755)})
        for path, owner in (("a", 12), ("b", 65534), ("c", 12)):
            os.chown(bench.root / path, owner, 65534)
        (bench.root / "c").chmod(0o4755)
        bench.record()
        for path in "abc":
            (bench.root / path).write_bytes(b"2")
        bench.record()
        for where in [tmp_path, *tmp_path.rglob("*")]:
            os.chown(where, 65534, 65534, follow_symlinks=False)
    os.setegid(65534)
    os.seteuid(65534)
    try:
        with Bench(tmp_path) as bench:
            told = [f"{path}: {why}" for path, why in not_to_be_had(bench.live.plan("1"))]
            result = bench.live.checkout("1")
    finally:
        os.seteuid(0)
        os.setegid(0)
    assert {"a: owner", "c: owner, mode"} <= set(told)
    assert sorted(result.not_restored) == sorted(told)


@pytest.mark.root
def test_plan_counts_no_step_that_the_privilege_forbids_as_a_whole() -> None:
    """A folder whose owner alone was changed, by root, and that another user brings back."""
    with tempfile.TemporaryDirectory() as place:
        with Bench(Path(place)) as bench:
            build(bench.root, {"d": Dir(0o777), "d/a": File(b"1")})
            _give_away(Path(place))
            bench.record()
            os.chown(bench.root / "d", 12, 12)
            bench.record()
            _give_away(bench.path)
        os.setegid(65534)
        os.seteuid(65534)
        try:
            with Bench(Path(place)) as bench:
                plan = bench.live.plan("0").plan
                result = bench.live.checkout("0")
        finally:
            os.seteuid(0)
            os.setegid(0)
    assert plan.refused == (("d", "owner"),) and not plan.counts.modified
    assert list(result.not_restored) == ["d: owner"] and not result.modified


def _give_away(top: Path) -> None:
    for where in [top, *top.rglob("*")]:
        os.chown(where, 65534, 65534, follow_symlinks=False)


def a_socket(at: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        os.chdir(at.parent)  # a socket's path is short
        made.bind(at.name)


def a_fifo(at: Path) -> None:
    os.mkfifo(at)


def a_device(at: Path) -> None:
    os.mknod(at, 0o600 | stat.S_IFCHR, os.makedev(1, 3))


@pytest.mark.parametrize(
    ("make", "patterns"),
    [
        (a_fifo, []),
        (a_fifo, ["--state", "own"]),
        (a_fifo, ["--ignore", "own"]),
        (a_socket, ["--state", "own"]),
        pytest.param(a_device, ["--state", "own"], marks=pytest.mark.root),
        (Path.touch, ["--state", "own"]),
        (Path.mkdir, ["--state", "own/"]),
    ],
)
def test_a_folder_that_keeps_what_is_in_it_is_foretold(
    cli: "Cli", crm: Path, make: Callable[[Path], None], patterns: list[str]
) -> None:
    """Of every kind and class: it may be no entry, and in no list of what a look saw."""
    if patterns:
        cli.ok("app", "set", "crm", *patterns)
    cli.ok("snapshot")
    (crm / "made").mkdir()
    (crm / "made" / "file").touch()
    cli.ok("snapshot", "-m", "made")
    make(crm / "made" / "own")
    act = ["checkout", "0", "--json"]
    dry, real = cli(*act, "--dry-run"), cli(*act, "--yes")
    assert end(dry) == end(real)
    told, done = dry.shapes[0], real.shapes[0]
    assert sorted(told["kept"]) == sorted(done["kept"])
    assert (crm / "made").exists()
    assert "made" in told["kept"]


def test_a_file_in_the_place_of_a_folder_that_is_not_asked_for_is_foretold(
    cli: "Cli", root: Path
) -> None:
    shutil.rmtree(root / "lib")
    (root / "lib").write_bytes(b"mine")
    asked = ("checkout", "--exact", "release:2", "lib/a.so", "--json")
    told, done = cli(*asked, "--dry-run"), cli(*asked)
    assert (told.code, done.code) == (3, 3)
    why = "its folder is not there, or is no folder"
    assert told.shapes[0]["refused"] == {"lib/a.so": why}
    assert done.shapes[0]["not_restored"] == [f"lib/a.so: {why}"]
    assert (root / "lib").read_bytes() == b"mine"
