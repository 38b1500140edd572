"""One reading of settings, by every command: what is misspelt, or could be somebody else's, is said
by each of them, and all of it by doctor.
"""

import os
import re
from pathlib import Path

import pytest

from epmstore.config import file_layer, merge, safe_stores_of
from epmstore.workspace import Workspace
from epmstore.workspace.declared import parse_declared
from tests.cli.conftest import Cli

CONFIG = Path(__file__).resolve().parents[2] / "docs" / "config.md"
COMMANDS = [
    ("status",),
    ("log",),
    ("snapshot",),
    ("diff", "0..latest"),
    ("fsck",),
    ("gc",),
    ("app", "list"),
    ("app", "add", "other", "/nowhere"),
    ("catalog", "trust"),
    ("release", "list"),
    ("stats",),
    ("rebuild",),
    ("config", "show"),
    ("store", "adopt", "--moved"),
]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("EPMSTORE_STOREE", "EPMSTORE_STORE"),
        ("EPMSTORE_STOR", "EPMSTORE_STORE"),
        ("EPMSTORE_DEBGU", "EPMSTORE_DEBUG"),
        ("EPMSTORE_DAEMON_SETLE", "EPMSTORE_DAEMON_SETTLE"),
        ("EPMSTORE_CARE_ANYTHING", "EPMSTORE_CARE_"),
    ],
)
def test_each_command_names_a_misspelt_variable(
    cli: Cli, recorded: Path, monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(name, "1")
    for command in (*COMMANDS, ("init",)):
        found = cli(*command)
        assert found.code == 2 and name in found.err and meant in found.err, (command, found)
    found = cli("doctor")
    assert found.code == 4 and name in found.out, found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[daemon]\nsetle = "5s"\n', "'settle'"),
        ("[demon]\n", "'daemon'"),
        ('[daemon]\nsettle = "soon"\n', "'soon'"),
        ("[daemon\n", "config.toml"),
    ],
)
def test_each_command_names_a_misspelt_key(cli: Cli, recorded: Path, text: str, why: str) -> None:
    (cli.store / "config.toml").write_text(text)
    for command in COMMANDS:
        found = cli(*command)
        assert found.code == 2 and why in found.err, (command, found)
    found = cli("doctor")
    assert found.code == 4 and "FAIL  settings" in found.out and why in found.out, found


def test_each_command_refuses_settings_that_others_may_write(cli: Cli, recorded: Path) -> None:
    (cli.store / "config.toml").write_text("")
    (cli.store / "config.toml").chmod(0o666)
    for command in COMMANDS:
        found = cli(*command)
        assert found.code == 2 and "can be written by others" in found.err, (command, found)
    assert "can be written by others" in cli("doctor").out


@pytest.mark.parametrize("to", ["nowhere", "config.toml"])
def test_a_link_that_leads_to_nothing_is_no_silent_default(
    cli: Cli, recorded: Path, to: str
) -> None:
    (cli.store / "config.toml").symlink_to(to)
    found = cli("status")
    assert found.code == 2
    assert "config.toml leads to nothing" in found.err
    assert "config.toml leads to nothing" in cli("doctor").out
    (cli.store / "config.toml").unlink()
    cli.ok("status")


def test_settings_without_end_are_wrong_settings(cli: Cli, recorded: Path) -> None:
    (cli.store / "config.toml").touch(0o600)
    os.truncate(cli.store / "config.toml", 1 << 40)
    assert cli("status").code == 2


def test_doctor_says_all_of_it(cli: Cli, recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = cli.store / "apps.d"
    folder.mkdir()
    (folder / "web.toml").write_text('rot = "/opt/web"\n')
    (folder / "sound.toml").write_text('root = "/opt/sound"\n')
    monkeypatch.setenv("EPMSTORE_STOREE", "/elsewhere")
    found = cli("doctor")
    assert found.code == 4
    assert "FAIL  settings: there is no variable EPMSTORE_STOREE" in found.out
    assert re.search(r"FAIL  web: declaration: .*there is no key 'rot'", found.out)
    assert "ok    sound: declaration" in found.out


def test_variables_of_others_are_left_alone(
    cli: Cli, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("EPMSTORE_BACKUP_TARGET", "EPMSTORE_HOOK", "EPMSTORE_FROM", "EPMSTORE_WHY"):
        monkeypatch.setenv(name, "x")
    cli.ok("log")
    cli.ok("status")


def test_the_examples_of_the_documents_are_right(tmp_path: Path) -> None:
    examples = re.findall(r"```toml\n(.*?)```", CONFIG.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 3
    settings, stores, declared = (text.encode() for text in examples)
    assert merge([file_layer(settings, "c.toml")]).config.daemon.settle == 5.0
    file_layer(stores, "c.toml", sections=(), names_stores=True)
    assert safe_stores_of(stores, "c.toml") == ("/srv/releases/store",)
    wanted = parse_declared(declared, "crm", "crm.toml")
    assert (wanted.root, wanted.unit) == ("/opt/crm", "crm.service")

    # as it stands, in what stands for the store of the system
    root, units = tmp_path / "crm", tmp_path / "units"
    root.mkdir()
    (tmp_path / "etc/apps.d").mkdir(parents=True)
    text = declared.replace(b"/opt/crm", os.fsencode(root))
    (tmp_path / "etc/apps.d/crm.toml").write_bytes(text)
    Workspace.init(tmp_path / "store").close()
    with Workspace.open(tmp_path / "store", config=tmp_path / "etc", units=units) as workspace:
        [applied] = workspace.apps.apply_declared()
        assert (applied.action, applied.error) == ("added", None)
    with Workspace.open(tmp_path / "store", config=tmp_path / "etc") as workspace:
        [applied] = workspace.apps.apply_declared()
        assert applied.action == "failed" and applied.error is not None
        assert "leave `unit` out" in (applied.error.hint or "")
