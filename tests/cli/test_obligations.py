"""app set with hooks, checkout --confirm, confirm, hold, recover: as a user sees them."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from epmstore import locks
from epmstore.catalog.hooks import Hooks
from epmstore.checkout.obligations import OwedFile
from tests.cli.test_json import check
from tests.kit.several import Several

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


@pytest.fixture
def two(cli: "Cli", recorded: Path) -> Path:
    """Version 0 has program 1, version 1 program 2."""
    (recorded / "bin" / "crmd").write_bytes(b"program 2\n")
    cli.ok("snapshot", "-m", "patch")
    return recorded


@pytest.fixture
def daemon(cli: "Cli", two: Path) -> Iterator[None]:
    """Something that holds the daemon's lock."""
    with locks.hold(cli.store / "locks", "daemon"):
        yield


def program(root: Path) -> bytes:
    return (root / "bin" / "crmd").read_bytes()


def test_hooks_are_set_shown_and_taken_away(cli: "Cli", two: Path) -> None:
    found = cli.ok(
        *("app", "set", "crm", "--stop", "true", "--start", "sh -c 'exit 0'"),
        *("--health", "true -x", "--hook-timeout", "90s", "--health-timeout", "2m"),
    )
    lines = [" ".join(line.split()) for line in found.out.splitlines()]
    assert {"stop hook true", "start hook sh -c 'exit 0'", "health hook true -x"} <= set(lines)
    assert {"hook timeout 1m30s", "health timeout 2m"} <= set(lines)
    cli.ok("app", "set", "crm", "--stop", "", "--hook-timeout", "")
    [shape] = cli.ok("app", "show", "crm", "--json").shapes
    check(shape)
    assert shape["hooks"] == {
        "stop": None,
        "start": ["sh", "-c", "exit 0"],
        "health": ["true", "-x"],
        "timeout": None,
        "health_timeout": 120.0,
    }


@pytest.mark.parametrize("option", ["--hook-timeout", "--health-timeout"])
def test_no_time_at_all_is_no_limit(cli: "Cli", two: Path, option: str) -> None:
    for text in ("0", "0s"):
        found = cli("app", "set", "crm", option, text)
        assert (found.code, found.out) == (2, "")
        assert "must be more than 0" in found.err


def test_a_hook_sends_nothing_to_the_terminal_but_text(cli: "Cli", two: Path) -> None:
    found = cli.ok("app", "set", "crm", "--stop", "\x1b]0;x\x07")
    assert all(line.isprintable() for line in found.out.splitlines())
    assert "\\e]0;x" in found.out


def test_a_hook_that_needs_a_shell_is_told_how(cli: "Cli", two: Path) -> None:
    found = cli("app", "set", "crm", "--stop", "crmctl stop && sync")
    assert found.code == 2
    assert "sh -c 'crmctl stop && sync'" in found.err


def test_a_checkout_says_what_it_started(cli: "Cli", two: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    say = f"sh -c 'echo \"$EPMSTORE_HOOK $EPMSTORE_FROM $EPMSTORE_TO\" >> {log}'"
    cli.ok("app", "set", "crm", "--stop", say, "--start", say, "--health", say)
    assert "healthy" in cli.ok("checkout", "0").out
    assert log.read_text() == "stop 1 0\nstart 1 0\nhealth 1 0\n"
    [result] = cli.ok("undo", "--json").shapes
    check(result)
    for run in result["hooks"]:
        check(run, "Hook")


def test_a_dry_run_names_the_hooks_and_runs_none(cli: "Cli", two: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    cli.ok("app", "set", "crm", "--stop", f"touch {mark}", "--health", "true")
    found = cli.ok("checkout", "0", "--dry-run")
    assert f"stop:   touch {mark}\n" in found.out and "health: true\n" in found.out
    [plan] = cli.ok("checkout", "0", "--dry-run", "--json").shapes
    check(plan)
    assert plan["hooks"]["health"] == ["true"]
    assert "stop:" not in cli.ok("checkout", "0", "--dry-run", "--no-hooks").out
    assert not mark.exists()


def test_a_failing_health_check_puts_the_root_back(cli: "Cli", two: Path) -> None:
    health = f"sh -c 'echo it says no; grep -q 2 {two}/bin/crmd'"
    cli.ok("app", "set", "crm", "--health", health, "--health-timeout", "1s")
    found = cli("checkout", "0")
    assert found.code == 4 and found.out == ""
    assert "health failed after the checkout of 0" in found.err
    assert "undone: version 2 -> 3 (content of 1)" in found.err
    assert "    | it says no\n" in found.err
    assert "hint: crm is as it was before, and runs" in found.err
    assert program(two) == b"program 2\n"
    status = cli.ok("status")
    assert "held since" in status.out and "undone by itself: health failed" in status.out


def test_the_error_has_everything_for_programs(cli: "Cli", two: Path) -> None:
    cli.ok("app", "set", "crm", "--start", f"grep -q 2 {two}/bin/crmd")
    found = cli("checkout", "0", "--json")
    assert (found.code, found.error["error"]) == (4, "hook")
    assert found.error["data"]["undone"] is True
    phases = [(run["hook"], run["phase"], run["outcome"]) for run in found.error["data"]["hooks"]]
    assert phases == [("start", "checkout", "failed"), ("start", "undo", "ok")]


def test_a_confirmation_needs_a_daemon(cli: "Cli", two: Path) -> None:
    found = cli("checkout", "0", "--confirm", "5m")
    assert found.code == 7
    assert "epmstored" in found.err and program(two) == b"program 2\n"


@pytest.mark.parametrize("text", ["5", "soon", "1s", "99999w"])
def test_a_wait_that_is_none(cli: "Cli", two: Path, text: str) -> None:
    assert cli("checkout", "0", "--confirm", text).code == 2


@pytest.mark.usefixtures("daemon")
def test_a_checkout_waits_to_be_confirmed(cli: "Cli", two: Path) -> None:
    found = cli.ok("checkout", "0", "--confirm", "5m")
    assert "to be undone at" in found.err and "epmstore confirm --app crm" in found.err
    status = cli.ok("status")
    assert "is undone in 4m" in status.out or "is undone in 5m" in status.out
    [shape] = cli.ok("status", "--json").shapes
    check(shape)
    check(shape["confirm"], "Confirm")
    assert cli("checkout", "1").code == 7
    assert "version 2 would be confirmed" in cli.ok("confirm", "--dry-run").err
    [shape] = cli.ok("confirm", "--json").shapes
    check(shape)
    assert shape["version"] == 2
    assert cli("confirm").code == 5
    assert program(two) == b"program 1\n"


def test_a_held_application_is_left_alone_by_automation(cli: "Cli", two: Path) -> None:
    [shape] = cli.ok("hold", "crm", "-m", "audit", "--json").shapes
    check(shape)
    found = cli("checkout", "0", "--unattended")
    assert found.code == 7 and "audit" in found.err and "epmstore unhold crm" in found.err
    [status] = cli.ok("status", "--json").shapes
    check(status["hold"], "Hold")
    cli.ok("unhold", "crm")
    assert cli("unhold", "crm").code == 5
    cli.ok("checkout", "0", "--unattended")
    assert program(two) == b"program 1\n"


def test_a_hold_in_the_past_is_none(cli: "Cli", two: Path) -> None:
    assert cli("hold", "crm", "--until", "2001-01-01").code == 2
    assert "until 2" in cli.ok("hold", "crm", "--until", "3d").out


def test_a_rollback_says_that_it_holds(cli: "Cli", two: Path) -> None:
    assert "epmstore unhold crm" in cli.ok("rollback").err
    cli.ok("undo")
    assert cli.ok("status", "--json").shapes[0]["hold"] is None


def test_who_died_on_the_way_is_told_by_every_command(cli: "Cli", two: Path) -> None:
    """The start hook kills the very process that runs it, as the kernel does without memory."""
    kill = "sh -c 'kill -9 $PPID'"
    cli.ok("app", "set", "crm", "--start", kill)
    child = os.fork()
    if child == 0:
        try:
            cli("checkout", "0")
        finally:
            os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == 9
    warned = cli.ok("log")
    assert "epmstore recover --app crm" in warned.err
    [shape] = cli.ok("status", "--json").shapes
    check(shape["unfinished"], "Unfinished")
    assert cli("checkout", "1").code == 7
    [file] = (cli.store / "journals").glob("*.owed")
    owed = OwedFile(file).load()
    assert owed is not None
    OwedFile(file).save(replace(owed, hooks=Hooks(start=("true",))))
    found = cli.ok("recover", "--all")
    assert found.out == "crm: what was owed is done, version 2 is live, started\n"
    assert program(two) == b"program 1\n"
    assert cli.ok("status").err == ""


def test_recover_names_what_went_together(cli: "Cli", tmp_path: Path) -> None:
    with Several(tmp_path / "two", hooks=True) as several:
        several.services.on = lambda call: fall() if call == "lib start" else None
        with pytest.raises(KeyboardInterrupt):
            several.go()
        store = ("--store", str(tmp_path / "two" / "store"))
        for key in several.keys:
            file = several.workspace._store.journals / f"{several.context(key).app.uuid}.owed"
            owed = OwedFile(file).load()
            assert owed is not None
            OwedFile(file).save(replace(owed, hooks=Hooks(start=("true",))))
    told = cli.ok("recover", "--all", "--dry-run", *store).err
    assert (
        "crm: what a checkout left undone would be done, or taken back, together with lib" in told
    )
    assert (
        "lib: what a checkout left undone would be done, or taken back, together with crm" in told
    )
    found = cli.ok("recover", "--all", *store).out
    assert "lib: ended together with crm\n" in found and "nothing was" not in found
    again = cli.ok("recover", "--all", *store).out
    assert again == "crm: nothing was interrupted\nlib: nothing was interrupted\n"


def fall() -> None:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("daemon")
def test_overdue_confirmation_without_daemon_is_not_called_automatic(cli: "Cli") -> None:
    cli.ok("checkout", "0", "--confirm", "5m")
    [file] = (cli.store / "journals").glob("*.owed")
    owed = OwedFile(file).load()
    assert owed is not None
    OwedFile(file).save(replace(owed, confirm=0))
    said = cli.ok("status").out
    assert "is undone in" not in said and "not confirmed in time" in said
    assert "epmstore recover --app crm" in said and "epmstore confirm --app crm" in said


def test_recover_says_that_there_was_nothing(cli: "Cli", two: Path) -> None:
    assert cli.ok("recover").out == "crm: nothing was interrupted\n"
    assert cli.ok("recover", "--all", "--boot").out == "crm: nothing was interrupted\n"
    check(cli.ok("recover", "--json").shapes[0])


def test_recover_all_without_applications_is_fine_at_boot(cli: "Cli") -> None:
    cli.ok("init")
    assert cli.ok("recover", "--all", "--boot").out == ""


def test_declared_applications_are_registered(cli: "Cli", two: Path, tmp_path: Path) -> None:
    (tmp_path / "erp").mkdir()
    folder = cli.store / "apps.d"
    folder.mkdir()
    (folder / "erp.toml").write_text(f"root = '{tmp_path / 'erp'}'\n[hooks]\nstop = 'true'\n")
    assert cli.ok("app", "apply", "--dry-run").out == "erp: would be added\n"
    [shape] = cli.ok("app", "apply", "--json").shapes
    check(shape)
    assert cli.ok("app", "apply").out == "erp: unchanged\n"
    (folder / "bad.toml").write_text("rot = '/'\n")
    (folder / "worse.toml").write_text("")
    found = cli("app", "apply")
    assert found.code == 2 and "'root'" in found.err and "erp: unchanged" in found.out
    assert "worse.toml: there is no root" in found.err
    assert cli("app", "set", "erp", "--stop", "").code == 7
    assert cli("app", "set", "crm", "--unit", "crm.service").code == 2


def test_an_application_that_cannot_be_recovered_holds_up_no_other(
    cli: "Cli", two: Path, tmp_path: Path
) -> None:
    (tmp_path / "erp").mkdir()
    cli.ok("app", "add", "erp", str(tmp_path / "erp"))
    uuid = {app["app"]: app["uuid"] for app in cli.ok("app", "list", "--json").shapes}["crm"]
    (cli.store / "journals" / f"{uuid}.journal").write_bytes(b"torn")
    two.rename(tmp_path / "not mounted")
    assert cli("recover", "--app", "crm", "--boot").code == 7
    assert cli("recover", "--all", "--boot").code == 7
    assert cli.ok("recover", "--app", "erp", "--boot").out == "erp: nothing was interrupted\n"


def test_at_boot_nobody_waits_for_whoever_starts_the_application(cli: "Cli", two: Path) -> None:
    """The start hook of a checkout starts a unit, which waits for the recovery at boot."""
    recover = f"{sys.executable} -m epmstore recover --app crm --boot --store {cli.store}"
    cli.ok("app", "set", "crm", "--start", recover)
    cli.ok("checkout", "0")
