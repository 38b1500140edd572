"""snapshot, run, change, pin, tag: recording, and what is said about it."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


def versions(cli: "Cli") -> list[dict[str, object]]:
    return cli.ok("log", "--all", "--json").shapes


def test_snapshot_records_once(cli: "Cli", crm: Path) -> None:
    first = cli.ok("snapshot", "-m", "as delivered")
    assert first.out == "crm: version 0 'as delivered', 3 files and 1 folder added\n"
    assert "nothing has changed" in cli.ok("snapshot").out
    assert len(versions(cli)) == 1


def test_snapshot_says_what_changed(cli: "Cli", recorded: Path) -> None:
    (recorded / "bin" / "crmd").write_bytes(b"program 2\n")
    (recorded / "new").write_bytes(b"")
    (recorded / "crm.conf").unlink()
    found = cli.ok("snapshot")
    assert found.out == "crm: version 0 -> 1, 1 file added, 1 modified, 1 removed\n"


def test_snapshot_in_json(cli: "Cli", recorded: Path) -> None:
    (recorded / "new").write_bytes(b"")
    [shape] = cli.ok("snapshot", "--json").shapes
    assert shape["type"] == "result" and shape["action"] == "snapshot"
    assert (shape["from"], shape["version"], shape["added"]) == (0, 1, 1)
    assert shape["changed"] is True


def test_snapshot_dry_records_nothing(cli: "Cli", recorded: Path) -> None:
    (recorded / "new").write_bytes(b"")
    assert "A new" in cli.ok("snapshot", "--dry-run").out
    assert len(versions(cli)) == 1


def test_snapshot_names_special_files(cli: "Cli", crm: Path) -> None:
    os.mkfifo(crm / "queue")
    found = cli.ok("snapshot")
    assert "queue" in found.err and "FIFO" in found.err


def test_quiet_says_nothing(cli: "Cli", crm: Path) -> None:
    os.mkfifo(crm / "queue")
    found = cli.ok("snapshot", "-q")
    assert (found.out, found.err) == ("", "")


def test_run_records_what_the_command_did(cli: "Cli", recorded: Path) -> None:
    (recorded / "before").write_bytes(b"")
    found = cli.ok("run", "-m", "patch", "--", "touch", str(recorded / "patched"))
    assert "version 1 -> 2 'patch', 1 file added" in found.out
    newest, drift, _ = versions(cli)
    assert (newest["kind"], newest["reason"], newest["label"]) == ("change", "run", "patch")
    assert drift["kind"] == "drift"


def test_run_of_a_command_that_fails_is_4_and_recorded(cli: "Cli", recorded: Path) -> None:
    found = cli("run", "--json", "--", "sh", "-c", f"echo x >{recorded}/half; exit 7")
    assert found.code == 4
    assert found.shapes[0]["exit_status"] == 7
    assert found.error["data"]["exit_status"] == 7
    assert versions(cli)[0]["exit_status"] == 7


def test_run_keeps_its_json_clean(cli: "Cli", recorded: Path) -> None:
    found = cli.ok("run", "--json", "--", sys.executable, "-c", "print('hello')")
    assert [shape["type"] for shape in found.shapes] == ["result"]
    assert "hello" in found.err


def test_run_passes_options_to_the_command(cli: "Cli", recorded: Path) -> None:
    assert "--json" in cli.ok("run", "-q", "echo", "--json").out


def test_run_of_what_is_not_there_is_4(cli: "Cli", recorded: Path) -> None:
    found = cli("run", "--", "no-such-command-here")
    assert found.code == 4
    assert "no-such-command-here" in found.err


def test_change_begin_and_end(cli: "Cli", recorded: Path) -> None:
    cli.ok("change", "begin", "-m", "new licence")
    (recorded / "licence").write_text("x")
    found = cli.ok("change", "end", "--exit-status", "0")
    assert "'new licence'" in found.out
    assert cli("change", "end").code == 7


def test_tags_and_pins_are_shown(cli: "Cli", recorded: Path) -> None:
    cli.ok("tag", "golden")
    cli.ok("pin", "latest")
    assert "[golden, pinned]" in cli.ok("log").out
    assert cli.ok("ls", "golden").out == cli.ok("ls", "0").out
    cli.ok("unpin", "golden")
    cli.ok("tag", "--delete", "golden")
    shape = versions(cli)[0]
    assert (shape["tags"], shape["pinned"]) == ([], False)


def test_dry_marks_mark_nothing(cli: "Cli", recorded: Path) -> None:
    assert "would be" in cli.ok("pin", "0", "--dry-run").out
    assert "would be" in cli.ok("tag", "golden", "0", "--dry-run").out
    shape = versions(cli)[0]
    assert (shape["tags"], shape["pinned"]) == ([], False)


@pytest.mark.parametrize("name", ["now", "latest", "117", "a b", "x:y", "a..b"])
def test_tag_refuses_names_that_are_none(cli: "Cli", recorded: Path, name: str) -> None:
    assert cli("tag", name).code == 2


@pytest.mark.parametrize("args", [("pin", "now"), ("tag", "x", "now"), ("tag", "-d", "x", "0")])
def test_now_is_no_version(cli: "Cli", recorded: Path, args: tuple[str, ...]) -> None:
    assert cli(*args).code == 2


def test_labels_and_tags_are_shown_harmless(cli: "Cli", crm: Path) -> None:
    cli.ok("snapshot", "-m", "a\x1b[31m")
    cli.ok("tag", "b\x1b[31m")
    assert "\x1b" not in cli.ok("log").out


def test_log_shows_every_label_and_every_run(cli: "Cli", recorded: Path) -> None:
    cli.ok("snapshot", "-m", "before patch")
    cli.ok("run", "-m", "noop", "--", "true")
    assert cli("run", "--", "false").code == 4
    text = cli.ok("log").out
    assert "as delivered; before patch" in text and "noop (nothing changed)" in text
    assert "false (exit status 1)" in text
    text = cli.ok("log", "-v").out
    assert "ran true" in text and "labelled 'before patch' by " in text
    failed, noop, first = cli.ok("log", "--json").shapes
    assert first["labels"] == ["as delivered", "before patch"]
    assert [one["what"] for one in first["remarks"]] == ["label", "label"]
    assert (noop["command"], noop["exit_status"]) == (["true"], 0)
    assert (failed["command"], failed["exit_status"]) == (["false"], 1)


def test_many_labels_are_shown_in_short(cli: "Cli", recorded: Path) -> None:
    for number in range(9):
        cli.ok("snapshot", "-m", f"night {number}")
    assert "as delivered; ... 8 more ...; night 8" in cli.ok("log").out
    assert all(f"'night {number}'" in cli.ok("log", "-v").out for number in range(9))


def test_a_tag_that_moves_says_where_it_was(cli: "Cli", recorded: Path) -> None:
    cli.ok("tag", "golden")
    (recorded / "new").write_bytes(b"")
    cli.ok("snapshot")
    assert "until now that was version 0" in cli.ok("tag", "golden", "--dry-run").out
    [shape] = cli.ok("tag", "golden", "--json").shapes
    assert (shape["version"], shape["was"]) == (1, 0)
    assert "lost the tag 'golden'" in cli.ok("log", "-v").out


def test_log_names_a_run_that_is_not_recorded(cli: "Cli", recorded: Path) -> None:
    [app] = cli.ok("app", "show", "crm", "--json").shapes
    note = cli.store / "journals" / f"{app['uuid']}.run"
    note.write_text(
        f'{{"id":"{5:032}","label":"patch","command":["x"],"since":"{app["created"]}"}}'
    )
    assert "patch: running since" in cli.ok("log").err
    assert cli.ok("log", "--json").shapes[0]["type"] == "run"
    cli.ok("snapshot")
    assert "patch (killed before its end was seen)" in cli.ok("log").out
