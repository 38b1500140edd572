"""checkout, rollback, undo, redo, plan, apply: changing the live root."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.checkout.test_meanwhile import after_staging
from tests.kit.faults import faults

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


@pytest.fixture
def patched(cli: "Cli", recorded: Path) -> Path:
    """Version 1 is a patch of bin/crmd that also added bin/extra."""
    (recorded / "bin" / "crmd").write_bytes(b"program 2\n")
    (recorded / "bin" / "extra").write_bytes(b"extra\n")
    cli.ok("snapshot", "-m", "patch")
    return recorded


def program(root: Path) -> str:
    return (root / "bin" / "crmd").read_text()


def test_checkout_brings_back_and_says_so(cli: "Cli", patched: Path) -> None:
    found = cli.ok("checkout", "0")
    assert found.out == (
        "crm: version 1 -> 2 (content of 0), 1 file replaced, 1 removed, verified;"
        " undo: epmstore undo\n"
    )
    assert program(patched) == "program 1\n"
    assert not (patched / "bin" / "extra").exists()
    assert cli("status").code == 0


def test_checkout_in_json(cli: "Cli", patched: Path) -> None:
    [shape] = cli.ok("checkout", "0", "--json").shapes
    assert (shape["action"], shape["from"], shape["version"], shape["of"]) == ("checkout", 1, 2, 0)
    assert shape["verified"] is True and shape["undo"]


def test_checkout_of_what_is_there_changes_nothing(cli: "Cli", patched: Path) -> None:
    assert "nothing to do" in cli.ok("checkout", "1").out
    assert len(cli.ok("log", "--all", "--json").shapes) == 2


def test_checkout_of_one_path(cli: "Cli", patched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(patched / "bin")
    cli.ok("checkout", "0", "crmd")
    assert program(patched) == "program 1\n"
    assert (patched / "bin" / "extra").exists()


def test_dry_run_shows_the_plan_and_does_nothing(cli: "Cli", patched: Path) -> None:
    found = cli.ok("checkout", "0", "--dry-run")
    assert "bin/crmd" in found.out and "bin/extra" in found.out
    assert program(patched) == "program 2\n"
    [plan] = cli.ok("checkout", "0", "--dry-run", "--json").shapes
    assert {(step["op"], step["path"]) for step in plan["steps"]} >= {
        ("put", "bin/crmd"),
        ("unlink", "bin/extra"),
    }
    assert (plan["type"], plan["removed"]) == ("plan", 1)
    assert len(cli.ok("log", "--all", "--json").shapes) == 2


def test_checkout_elsewhere_leaves_the_root_alone(cli: "Cli", patched: Path) -> None:
    target = patched.parent / "target"
    cli.ok("checkout", "0", "--target", str(target))
    assert program(target) == "program 1\n"
    assert program(patched) == "program 2\n"
    assert cli("checkout", "0", "--target", "x", "--exact").code == 2
    within = cli.ok("checkout", "0", "--target", str(patched / "copy"))
    assert "within the root of crm" in within.err


def test_rollback_undo_redo(cli: "Cli", patched: Path) -> None:
    assert "(content of 0)" in cli.ok("rollback").out
    assert program(patched) == "program 1\n"
    cli.ok("undo")
    assert program(patched) == "program 2\n"
    cli.ok("redo")
    assert program(patched) == "program 1\n"


def test_rollback_of_drift_goes_to_the_last_change(cli: "Cli", patched: Path) -> None:
    (patched / "crm.conf").write_text("broken\n")
    found = cli.ok("rollback")
    assert "(content of 1)" in found.out
    assert (patched / "crm.conf").read_text() == "port = 1\n"


def test_checkout_keeps_and_names_files_only_drift_recorded(cli: "Cli", patched: Path) -> None:
    (patched / "mine").write_text("precious\n")
    found = cli.ok("checkout", "0")
    assert "1 kept" in found.out
    assert "mine" in found.err
    assert (patched / "mine").exists()
    cli.ok("checkout", "0", "--exact")
    assert not (patched / "mine").exists()


def test_dry_rollback_undo_and_redo(cli: "Cli", patched: Path) -> None:
    assert "bin/crmd" in cli.ok("rollback", "--dry-run").out
    cli.ok("rollback")
    assert "bin/crmd" in cli.ok("undo", "--dry-run").out
    cli.ok("undo")
    assert "bin/crmd" in cli.ok("redo", "--dry-run").out
    assert program(patched) == "program 2\n"


def test_a_plan_is_written_and_applied(cli: "Cli", patched: Path) -> None:
    cli.ok("plan", "0", "-o", "back.plan")
    assert program(patched) == "program 2\n"
    assert "bin/crmd" in cli.ok("apply", "back.plan", "--dry-run").out
    cli.ok("apply", "back.plan")
    assert program(patched) == "program 1\n"


def test_a_plan_is_refused_after_a_change(cli: "Cli", patched: Path) -> None:
    cli.ok("plan", "0", "-o", "back.plan")
    (patched / "bin" / "crmd").write_bytes(b"somebody's own\n")
    assert cli("apply", "back.plan").code == 7
    assert program(patched) == "somebody's own\n"


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"steps": 1}'])
def test_apply_refuses_files_that_are_no_plan(cli: "Cli", patched: Path, content: bytes) -> None:
    Path("back.plan").write_bytes(content)
    found = cli("apply", "back.plan")
    assert found.code in (2, 6)
    assert program(patched) == "program 2\n"


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["checkout", "9"], 5),
        (["checkout", "nope"], 5),
        (["checkout", "now"], 2),
        (["checkout", "0", "/etc/passwd"], 2),
        (["checkout", "0", "--config", "maybe"], 2),
        (["undo"], 5),
        (["redo"], 5),
        (["apply", "none"], 5),
    ],
)
def test_bad_input(cli: "Cli", patched: Path, args: list[str], code: int) -> None:
    found = cli(*args)
    assert (found.code, found.out) == (code, "")
    assert program(patched) == "program 2\n"


def test_checkout_says_what_was_written_meanwhile(cli: "Cli", patched: Path) -> None:
    with faults(after_staging(lambda: (patched / "bin/crmd").write_bytes(b"precious"))):
        found = cli.ok("checkout", "0")
    assert "what somebody else wrote meanwhile is recorded as version 2" in found.err
    assert cli.ok("cat", "2:bin/crmd").out == "precious"
    with faults(after_staging(lambda: (patched / "bin/crmd").write_bytes(b"again"))):
        [shape] = cli.ok("checkout", "1", "--json").shapes
    assert shape["meanwhile"] == [4]


def test_recover_has_nothing_to_do(cli: "Cli", patched: Path) -> None:
    assert "nothing was interrupted" in cli.ok("recover").out


def test_dry_run_ends_as_the_run_would(cli: "Cli", recorded: Path) -> None:
    with closing(sqlite3.connect(recorded / "data.db")) as db:
        db.execute("create table one (a)")
        db.commit()
        cli.ok("snapshot")
        db.execute("create table two (a)")
        db.commit()
    for words in (["checkout", "1"], ["rollback"]):
        dry, real = cli(*words, "--dry-run"), cli(*words)
        assert dry.code == real.code == 7
        assert "data.db" in dry.out
        assert dry.err.splitlines()[-2:] == real.err.splitlines()
    assert len(cli.ok("log", "--all", "--json").shapes) == 3, "the run records what it found"
    found = cli("checkout", "1", "--dry-run", "--json")
    assert (found.code, found.shapes[0]["type"], found.error["error"]) == (7, "plan", "conflict")
    cli.ok("checkout", "1", "data.db", "--dry-run")


def test_dry_run_says_what_would_not_be_restored(cli: "Cli", recorded: Path) -> None:
    cli.ok("app", "set", "crm", "--secret", "key")
    (recorded / "key").write_text("one")
    cli.ok("snapshot")
    (recorded / "key").write_text("two")
    assert cli("checkout", "1", "key", "--dry-run").code == cli("checkout", "1", "key").code == 3


def test_dry_run_of_a_hold_and_of_a_plan_that_is_old(cli: "Cli", patched: Path) -> None:
    cli.ok("plan", "0", "-o", "back.plan")
    (patched / "bin" / "crmd").write_bytes(b"program 3\n")
    dry, real = cli("apply", "back.plan", "--dry-run"), cli("apply", "back.plan")
    assert (dry.code, dry.err) == (real.code, real.err)
    assert dry.code == 7
    cli.ok("hold", "crm")
    assert cli("checkout", "0", "--unattended", "--dry-run").code == 7


def test_log_says_what_was_asked_for(cli: "Cli", patched: Path) -> None:
    cli.ok("rollback", "--yes")
    cli.ok("undo", "--yes")
    cli.ok("redo", "--yes")
    lines = cli.ok("log", "--json").shapes[:3]
    assert [one["operation"] for one in lines] == ["redo", None, "rollback"]
    assert [one["reason"] for one in lines] == ["undo", "undo", "checkout"]
    assert "redo (content of " in cli.ok("log").out


def test_a_file_does_not_become_a_folder_of_a_class_that_is_left_alone(
    cli: "Cli", recorded: Path
) -> None:
    (recorded / "up").mkdir()
    (recorded / "up/load").write_text("old\n")
    cli.ok("snapshot")
    for kind in ("ignore", "state"):
        cli.ok("app", "set", "crm", f"--{kind}", "up/")
        if kind == "ignore":
            (recorded / "up/load").unlink()
            (recorded / "up").rmdir()
            (recorded / "up").write_text("mine\n")
            cli.ok("snapshot")
        cli.ok("checkout", "1", "--exact")
        assert (recorded / "up").read_text() == "mine\n"
        assert cli("status").code == 0
        cli.ok("app", "set", "crm", f"--no-{kind}", "up/")
    cli.ok("checkout", "1", "--exact")
    assert (recorded / "up/load").read_text() == "old\n"


@pytest.mark.parametrize("recorded_since", [False, True])
def test_a_file_whose_name_an_ignored_folder_has_is_named(
    cli: "Cli", recorded: Path, recorded_since: bool
) -> None:
    (recorded / "up").write_text("mine\n")
    cli.ok("app", "set", "crm", "--ignore", "up/")
    cli.ok("snapshot")
    (recorded / "up").unlink()
    (recorded / "up").mkdir()
    if recorded_since:
        cli.ok("snapshot")
    for words in (("checkout", "1", "--dry-run"), ("checkout", "1"), ("checkout", "1", "up")):
        found = cli(*words)
        assert found.code == 3 and "up" in found.err and "move it away" in found.err
    (recorded / "up").rmdir()  # as it says
    cli.ok("checkout", "1")
    assert (recorded / "up").read_text() == "mine\n"


def test_who_names_what_is_ignored_is_told_that_it_does_not_come_back(
    cli: "Cli", recorded: Path
) -> None:
    cli.ok("app", "set", "crm", "--ignore", "crm.conf")
    (recorded / "crm.conf").write_text("mine\n")
    for words in (("checkout", "0", "crm.conf", "--dry-run"), ("checkout", "0", "crm.conf")):
        found = cli(*words)
        assert found.code == 3 and "crm.conf" in found.err, "also before anybody has seen it go"
    cli.ok("checkout", "0")
    for words in (("checkout", "0", "crm.conf"), ("checkout", "0", "crm.conf", "--dry-run")):
        found = cli(*words)
        assert found.code == 3 and "crm.conf" in found.err and "--no-ignore" in found.err
    assert (recorded / "crm.conf").read_text() == "mine\n"
    cli.ok("app", "set", "crm", "--no-ignore", "crm.conf")  # as it says
    cli.ok("checkout", "0", "crm.conf")
    assert (recorded / "crm.conf").read_text() == "port = 1\n"
    cli.ok("undo")
    assert (recorded / "crm.conf").read_text() == "mine\n"
