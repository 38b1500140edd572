"""init, app, config, doctor: making a store and registering what is to be recorded."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from epmstore.config import merge
from epmstore.scan.mounts import FilesystemInfo

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


def test_init_makes_a_store_once(cli: "Cli") -> None:
    assert str(cli.store) in cli.ok("init").out
    again = cli("init")
    assert (again.code, again.out) == (7, "")


def test_init_dry_makes_nothing(cli: "Cli") -> None:
    assert "would create" in cli.ok("init", "--dry-run").out
    assert not cli.store.exists()


def test_init_refuses_a_folder_with_something_in_it(cli: "Cli") -> None:
    cli.store.mkdir()
    (cli.store / "mine").write_text("precious")
    assert cli("init").code == cli("init", "--dry-run").code == 7
    assert [path.name for path in cli.store.iterdir()] == ["mine"]


def test_init_refuses_a_network_file_system(cli: "Cli", monkeypatch: pytest.MonkeyPatch) -> None:
    shared = FilesystemInfo("nfs4", network=True)
    monkeypatch.setattr("epmstore.workspace.opening.filesystem", lambda path: shared)
    for words in (["init"], ["init", "--dry-run"]):
        found = cli(*words)
        assert (found.code, found.out, "--allow-network" in found.err) == (2, "", True)
    assert not cli.store.exists()
    cli.ok("init", "--allow-network")
    assert cli.store.exists()


def test_app_add_proposes_and_does_not_apply(cli: "Cli", tmp_path: Path) -> None:
    root = tmp_path / "crm"
    root.mkdir()
    (root / "a.log").write_text("line\n")
    cli.ok("init")
    found = cli.ok("app", "add", "crm", str(root))
    assert "epmstore app set crm --state '*.log'" in found.err
    assert cli.ok("app", "show", "crm", "--json").shapes[0]["state"] == []
    cli.ok("app", "set", "crm", "--state", "*.log")
    assert cli.ok("app", "show", "crm", "--json").shapes[0]["state"] == ["*.log"]
    cli.ok("app", "set", "crm", "--no-state", "*.log")
    assert cli.ok("app", "show", "crm", "--json").shapes[0]["state"] == []


def test_app_set_refuses_to_do_nothing(cli: "Cli", crm: Path) -> None:
    assert cli("app", "set", "crm").code == 2
    assert cli("app", "set", "crm", "--no-state", "never-given").code == 2


@pytest.mark.parametrize("key", ["latest", "now", "117", "Crm", "a b", "", "-x"])
def test_app_add_refuses_keys_that_mean_something_else(cli: "Cli", key: str, crm: Path) -> None:
    found = cli("app", "add", "--", key, str(crm / "bin"))
    assert (found.code, found.out) == (2, "")


def test_app_add_refuses_the_same_and_nested_roots(cli: "Cli", crm: Path) -> None:
    assert cli("app", "add", "two", str(crm)).code == 7
    nested = cli("app", "add", "two", str(crm / "bin"))
    assert nested.code == 7
    assert "--ignore '/bin/'" in nested.err
    assert cli("app", "add", "crm", str(crm.parent / "work")).code == 7


def test_app_add_refuses_what_is_no_directory(cli: "Cli", crm: Path) -> None:
    assert cli("app", "add", "two", str(crm.parent / "none")).code == 7
    assert cli("app", "add", "two", str(crm / "crm.conf")).code == 7
    assert cli("app", "add", "two", "").code == 2


def test_app_add_refuses_a_root_in_the_store(cli: "Cli", crm: Path) -> None:
    assert cli("app", "add", "two", str(cli.store / "packs")).code == 7


def test_app_list_is_json_lines(cli: "Cli", crm: Path) -> None:
    [shape] = cli.ok("app", "list", "--json").shapes
    assert shape["type"] == "app"
    assert shape["app"] == "crm"
    assert shape["root"] == str(crm)


def test_app_remove_leaves_the_root_alone(cli: "Cli", recorded: Path) -> None:
    assert "would be" in cli.ok("app", "remove", "crm", "--dry-run").err
    assert len(cli.ok("app", "list", "--json").shapes) == 1
    cli.ok("app", "remove", "crm", "--yes")
    assert cli.ok("app", "list").out == ""
    assert (recorded / "bin" / "crmd").exists()


def test_app_move_keeps_the_history(cli: "Cli", recorded: Path) -> None:
    moved = recorded.rename(recorded.parent / "moved")
    assert cli("status").code == 7
    cli.ok("app", "move", "crm", str(moved))
    assert "nothing has changed" in cli.ok("status").out


def test_unknown_app_is_5_and_no_app_is_2(cli: "Cli", crm: Path) -> None:
    found = cli("log", "--app", "nope", "--json")
    assert found.code == 5
    assert found.error["error"] == "app_not_found"
    cli.ok("app", "remove", "crm")
    assert cli("log").code == 2


def test_ambiguous_app_names_them(cli: "Cli", crm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = crm.parent / "erp"
    other.mkdir()
    cli.ok("app", "add", "erp", str(other))
    found = cli("snapshot")
    assert found.code == 2
    assert "crm, erp" in found.err and "--app" in found.err
    monkeypatch.chdir(crm / "bin")
    assert cli.ok("snapshot").out.startswith("crm: ")


def test_options_may_stand_anywhere(cli: "Cli", crm: Path) -> None:
    for args in (["--json", "app", "list"], ["app", "--json", "list"], ["app", "list", "--json"]):
        assert cli.ok(*args).shapes[0]["app"] == "crm"


def test_the_option_wins_over_the_variable(cli: "Cli", crm: Path, tmp_path: Path) -> None:
    assert cli("app", "list", "--store", str(tmp_path / "none")).code == 10
    rows = {row["key"]: row for row in cli.ok("config", "show", "--json").shapes}
    assert rows["store"]["value"] == str(cli.store)
    assert rows["store"]["origin"] == "EPMSTORE_STORE"


def test_settings_come_from_the_store_and_say_so(
    cli: "Cli", crm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = cli.store / "config.toml"
    file.write_text('[daemon]\nsettle = "5s"\npoll = "9s"\n')
    monkeypatch.setenv("EPMSTORE_DAEMON_POLL", "7s")
    lines = [line.split() for line in cli.ok("config", "show", "--origin").out.splitlines()]
    assert ["daemon.settle", "5s", str(file)] in lines
    assert ["daemon.poll", "7s", "EPMSTORE_DAEMON_POLL"] in lines
    assert ["daemon.log", "text", "default"] in lines
    assert ["daemon.settle", "5s"] in [
        line.split() for line in cli.ok("config", "show").out.splitlines()
    ]


def test_a_misspelt_setting_is_an_error(cli: "Cli", crm: Path) -> None:
    (cli.store / "config.toml").write_text('[daemon]\nsetle = "5s"\n')
    found = cli("config", "show")
    assert found.code == 2
    assert "'settle'" in found.err and "config.toml" in found.err


def test_a_configuration_that_others_can_write_is_refused(cli: "Cli", crm: Path) -> None:
    file = cli.store / "config.toml"
    file.write_text("")
    file.chmod(0o622)
    found = cli("config", "show")
    assert found.code == 2
    assert f"chmod go-w {file}" in found.err


def test_every_setting_is_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "config.md").read_text()
    defaults = {key: value for key, value, _ in merge([]).rows()}
    for key, value in defaults.items():
        if key.startswith("retention.keep"):
            assert f"`{key.partition('.')[2]}`" in page or f"`{key}`" in page
        else:
            assert f"| `{key}` | `{value}` |" in page


def test_a_store_of_an_unknown_format_is_10(cli: "Cli", crm: Path) -> None:
    file = cli.store / "FORMAT"
    document = json.loads(file.read_text())
    document["format"] = 999
    file.write_text(json.dumps(document))
    assert cli("log").code in (6, 10)  # the sum is wrong, too


def test_default_store_of_a_user(
    cli: "Cli", monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("EPMSTORE_STORE")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    rows = {row["key"]: row for row in cli.ok("config", "show", "--json").shapes}
    assert rows["store"]["value"] == str(tmp_path / "data" / "epmstore")
    monkeypatch.setenv("XDG_DATA_HOME", "data")
    assert cli("config", "show").code == 2


def test_completion_knows_the_applications(
    cli: "Cli", crm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_EPMSTORE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "epmstore log --app c")
    monkeypatch.setenv("COMP_CWORD", "3")
    assert cli.ok().out == "plain,crm\n"
    monkeypatch.setenv("EPMSTORE_STORE", "/nonexistent")
    assert cli.ok().out.strip() == ""
