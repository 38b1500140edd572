"""status: what has changed, in words, letters and exit codes."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


def test_clean_is_0(cli: "Cli", recorded: Path) -> None:
    found = cli.ok("status")
    assert found.out.splitlines()[-1] == "nothing has changed"
    assert cli.ok("status", "--json").shapes[0]["clean"] is True


def test_changes_are_1_and_grouped(cli: "Cli", recorded: Path) -> None:
    (recorded / "bin" / "crmd").write_bytes(b"program 2\n")
    (recorded / "crm.conf").chmod(0o600)
    (recorded / "new").write_bytes(b"")
    (recorded / "current").unlink()
    found = cli("status")
    assert found.code == 1
    lines = found.out.splitlines()
    assert lines[0].startswith(f"crm at {recorded}: version 0 of ")
    assert lines[1:] == [
        "modified (1):",
        "  M bin/crmd",
        "metadata only (1):",
        "  m crm.conf",
        "added (1):",
        "  A new",
        "removed (1):",
        "  D current",
        "1 path modified, 1 with other metadata, 1 added, 1 removed",
    ]


def test_status_in_json(cli: "Cli", recorded: Path) -> None:
    (recorded / "crm.conf").chmod(0o600)
    found = cli("status", "--json")
    assert found.code == 1
    [shape] = found.shapes
    assert shape["modified"] == ["crm.conf"]
    assert shape["metadata"] == ["crm.conf"]
    assert (shape["type"], shape["app"], shape["version"]) == ("status", "crm", 0)
    assert shape["root"] == str(recorded)


def test_long_lists_are_cut_unless_asked_for(cli: "Cli", recorded: Path) -> None:
    for number in range(30):
        (recorded / f"new{number:02}").write_bytes(b"")
    short = cli("status").out
    assert "  ... and 10 more (use --json or -v)" in short
    assert "new29" not in short
    assert "new29" in cli("status", "-v").out


def test_nothing_recorded_yet_is_a_difference(cli: "Cli", crm: Path) -> None:
    found = cli("status")
    assert found.code == 1
    assert "nothing is recorded yet" in found.out


def test_all_apps_where_none_is_meant(
    cli: "Cli", recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = recorded.parent / "erp"
    other.mkdir()
    cli.ok("app", "add", "erp", str(other))
    cli.ok("snapshot", "--app", "erp")
    assert [s["app"] for s in cli.ok("status", "--json").shapes] == ["crm", "erp"]
    monkeypatch.chdir(other)
    assert [s["app"] for s in cli.ok("status", "--json").shapes] == ["erp"]


def test_all_apps_are_a_table_and_one_that_cannot_be_looked_at_does_not_hide_the_others(
    cli: "Cli", recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = recorded.parent / "erp"
    other.mkdir()
    cli.ok("app", "add", "erp", str(other))
    cli.ok("snapshot", "--app", "erp")
    (other / "new").write_bytes(b"")
    found = cli("status")
    assert found.code == 1
    assert found.out.splitlines() == [
        f"crm  0  clean         -  -  {recorded}",
        f"erp  0  1 path added  -  -  {other}",
    ]
    recorded.rename(recorded.parent / "gone")
    found = cli("status")
    assert found.code == 7
    gone, there = found.out.splitlines()
    assert gone.startswith("crm  -  the root of crm cannot be opened: ") and "1 path added" in there
    assert "crm" in found.err and "hint:" in found.err


def test_a_root_that_vanished_is_a_conflict(cli: "Cli", recorded: Path) -> None:
    recorded.rename(recorded.parent / "gone")
    found = cli("status")
    assert (found.code, found.out) == (7, "")
    assert "hint:" in found.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_status_exits_with_3_for_unreadable_files(cli: "Cli", recorded: Path) -> None:
    (recorded / "crm.conf").chmod(0)
    found = cli("status")
    assert found.code == 3
    assert "crm.conf" in found.out


def test_it_records_nothing(cli: "Cli", recorded: Path) -> None:
    (recorded / "new").write_bytes(b"")
    cli("status")
    assert len(cli.ok("log", "--all", "--json").shapes) == 1


@pytest.mark.root
def test_status_names_unreadable_paths_before_the_first_version(cli: "Cli", crm: Path) -> None:
    (crm / "closed").mkdir(mode=0o700)
    top = crm.parent
    for path in [top, *top.rglob("*")]:
        os.chown(path, 65534, 65534, follow_symlinks=False)
    os.chown(crm / "closed", 0, 0)
    for folder in top.parents:
        if folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(folder.stat().st_mode | 0o055)
    os.setegid(65534)
    os.seteuid(65534)
    try:
        found = cli("status")
    finally:
        os.seteuid(0)
        os.setegid(0)
    assert found.code == 3
    assert found.out.splitlines()[1:] == [
        "not looked at (1):",
        "  ? closed  (Permission denied)",
    ]
