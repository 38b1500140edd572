"""Who is waited for, when something was or will be, and what nothing is known of."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from epmstore import locks
from epmstore.cli.moments import in_local_time, local
from epmstore.workspace import Workspace

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

TIME = "2026-10-03T12:02:03.123Z"


def test_who_is_busy_is_named_by_its_key(
    cli: "Cli", recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Workspace.open(cli.store) as workspace:
        uuid = workspace.app("crm").app.uuid
    hold = locks.hold

    def at_once(*args: object, **given: object) -> object:
        return hold(*args, **{**given, "wait": 0})  # type: ignore[arg-type]

    monkeypatch.setattr(locks, "hold", at_once)
    with hold(cli.store / "locks", f"app-{uuid}", owner="(epmstore run)"):
        found = cli("snapshot")
        as_json = cli("snapshot", "--json").error
    assert found.code == 11
    assert "crm is busy: process" in found.err and "(epmstore run)" in found.err
    assert uuid not in found.err
    assert as_json["data"]["app"] == "crm"


def test_people_see_their_own_time_and_programs_utc(
    cli: "Cli", recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (
        in_local_time(f"held until {TIME}: see @{TIME}") == f"held until {local(TIME)}: see @{TIME}"
    )
    cli.ok("hold", "crm", "-m", "moving", "--until", "3d")
    since = cli.ok("status", "--json").shapes[0]["hold"]["since"]
    assert since.endswith("Z")
    cli.ok("plan", "0", "-o", "back.plan")
    found = cli("apply", "--unattended", "back.plan")
    assert found.code == 7
    assert local(since) in found.err and since not in found.err
    assert since in cli("apply", "--unattended", "back.plan", "--json").err


def test_a_root_that_is_not_there_has_its_row(cli: "Cli", recorded: Path, tmp_path: Path) -> None:
    for name in ("erp", "hrm"):
        (tmp_path / name).mkdir()
        cli.ok("app", "add", name, str(tmp_path / name))
        cli.ok("snapshot", "--app", name)
        (tmp_path / name).rmdir()
    found = cli("status")
    assert found.code == 7
    rows = found.out.splitlines()
    assert [row.split()[0] for row in rows] == ["crm", "erp", "hrm"]
    assert "No such file" in rows[1] and str(tmp_path / "hrm") in rows[2]
    assert "hrm" in found.err and "erp" in found.err, "each is said, not the first alone"


def test_a_copy_has_the_settings_of_the_store(cli: "Cli", recorded: Path, tmp_path: Path) -> None:
    (cli.store / "config.toml").write_text('[daemon]\nsettle = "3s"\n')
    (cli.store / "apps.d").mkdir()
    (cli.store / "apps.d/crm.toml").write_text(f'root = "{recorded}"\n')
    cli.ok("store", "copy", str(tmp_path / "copy"))
    for name in ("config.toml", "apps.d/crm.toml"):
        assert (tmp_path / "copy" / name).read_bytes() == (cli.store / name).read_bytes()
    assert (tmp_path / "copy/config.toml").stat().st_mode & 0o077 == 0
