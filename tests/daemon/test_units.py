"""The files for systemd: understood by it, and saying what epmstore understands."""

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from epmstore.config import DaemonConfig
from epmstore.errors import BusyError, UsageError
from epmstore.places import SYSTEM_CONFIG, SYSTEM_STORE
from epmstore.workspace import Workspace
from epmstore.workspace.declarations import BOOT
from epmstored.aftermath import UNIT
from tests.cli.test_commands import parse

FOLDER = Path(__file__).resolve().parents[2] / "daemon" / "systemd"
UNITS = sorted((FOLDER / "system").iterdir())
README = FOLDER.parent / "README.md"


def needs(tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"needs {tool}")


def read(unit: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit)
    return parser


def install(folder: Path, programs: Path) -> None:
    """The units as they would be, with programs that are there; templates for one instance."""
    for unit in UNITS:
        text = re.sub(
            r"^ExecStart=(epmstored?) ", rf"ExecStart={programs}/\1 ", unit.read_text(), flags=re.M
        )
        (folder / unit.name).write_text(text)
        if unit.stem.endswith("@"):
            (folder / unit.name.replace("@", "@crm")).write_text(text)


def verify(*units: Path) -> str:
    command = ["systemd-analyze", "verify", "--man=no", *map(str, units)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("epmstore", "epmstored"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return folder


def test_systemd_understands_the_units(tmp_path: Path, programs: Path) -> None:
    needs("systemd-analyze")
    folder = tmp_path / "units"
    folder.mkdir()
    install(folder, programs)
    said = verify(*(path for path in folder.iterdir() if not path.stem.endswith("@")))
    assert not [line for line in said.splitlines() if "epmstore" in line], said


def test_a_mistake_would_be_noticed(tmp_path: Path, programs: Path) -> None:
    needs("systemd-analyze")
    unit = tmp_path / "epmstored.service"
    unit.write_text(f"[Service]\nExecStart={programs}/epmstored\nWatchdogSecs=1\n")
    assert "WatchdogSecs" in verify(unit)


def test_an_application_waits_for_recovery(tmp_path: Path, programs: Path) -> None:
    needs("systemd-analyze")
    folder, root = tmp_path / "units", tmp_path / "crm"
    folder.mkdir()
    root.mkdir()
    install(folder, programs)
    (folder / "crm.service").write_text(f"[Service]\nExecStart={programs}/epmstore\n")
    Workspace.init(tmp_path / "store").close()
    with Workspace.open(tmp_path / "store", config=tmp_path / "etc", units=folder) as workspace:
        workspace.apps.add("crm", root)
        workspace.apps.set("crm", unit="crm.service")
    assert "epmstore" not in verify(folder / "crm.service")
    drop_in = read(folder / "crm.service.d" / "epmstore-crm.conf")
    gate = BOOT.format(key="crm")
    assert drop_in["Unit"]["Requires"] == drop_in["Unit"]["After"] == gate
    assert (folder / gate).exists() and BOOT.format(key="") in [unit.name for unit in UNITS]
    (folder / gate).unlink()
    (folder / BOOT.format(key="")).unlink()
    with pytest.raises(AssertionError, match=f"Unit {gate} not found"):
        verify(folder / "crm.service")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_start_commands_of_ours(unit: Path) -> None:
    words = read(unit)["Service"]["ExecStart"].replace("%i", "crm").replace("$OPTIONS ", "")
    program, *args = shlex.split(words)
    if program == "epmstore":
        parse(words)
    else:
        assert (program, args) == ("epmstored", ["run", "--store", str(SYSTEM_STORE)])
    assert str(SYSTEM_STORE) in args


def test_the_recorder_can_write_to_its_store_alone() -> None:
    service = read(FOLDER / "system" / "epmstored.service")["Service"]
    assert service["ProtectSystem"] == "strict"
    assert service["ProtectHome"] == "read-only"
    assert f"/var/lib/{service['StateDirectory']}" == str(SYSTEM_STORE)
    assert "ReadWritePaths" not in service
    assert "CAP_DAC_OVERRIDE" not in service["CapabilityBoundingSet"]
    needs("systemd-analyze")
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=35"]
    subprocess.run(
        [*command, FOLDER / "system" / "epmstored.service"], check=True, capture_output=True
    )


def test_the_units_that_the_daemon_starts_are_there() -> None:
    names = [unit.name for unit in UNITS]
    assert UNIT.format("") in names


def test_processes_of_start_hooks_are_not_killed() -> None:
    for name in ("epmstore-apply@.service", "epmstore-recover@.service"):
        service = read(FOLDER / "system" / name)["Service"]
        assert service["KillMode"] == "process"
        assert service["Type"] == "oneshot"
        assert "ProtectSystem" not in service, "it changes roots"


def test_groups_and_folders_are_made(tmp_path: Path) -> None:
    lines = (FOLDER / "tmpfiles.d" / "epmstore.conf").read_text().splitlines()
    made = {line.split()[1]: line.split()[2] for line in lines}
    assert made[str(SYSTEM_STORE)] == "0700"
    assert made[f"{SYSTEM_CONFIG}/apps.d"] == "0755"
    groups = (FOLDER / "sysusers.d" / "epmstore.conf").read_text()
    assert f"g {DaemonConfig().group} " in groups
    needs("systemd-sysusers")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "group").write_text("root:x:0:\n")
    file = FOLDER / "sysusers.d" / "epmstore.conf"
    command = ["systemd-sysusers", f"--root={root}", str(file)]
    subprocess.run(command, check=True, capture_output=True)
    assert "epmstore:" in (root / "etc" / "group").read_text()


def test_the_steps_in_the_readme_name_what_is_there() -> None:
    text = README.read_text()
    for unit in UNITS:
        assert unit.name in text, unit.name
    for words in re.findall(r"^ *\$ (epmstore .*)$", text, re.MULTILINE):
        parse(words)


def test_usage_and_lock_errors_are_not_restarted() -> None:
    unit = (FOLDER / "system/epmstored.service").read_text()
    assert "\nRestartPreventExitStatus=2 11\n" in unit
    assert UsageError.exit_code == 2 and BusyError.exit_code == 11
