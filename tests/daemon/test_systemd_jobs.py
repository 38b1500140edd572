"""A checkout that a unit carries out: the plan goes there, the result or the error comes back."""

import shlex
import subprocess
from pathlib import Path

import pytest

from epmstore.errors import EpmError
from epmstore.places import SYSTEM_STORE
from epmstore.workspace import Workspace
from epmstored.systemd_jobs import APPLY, PLANS, Systemd, SystemdJobError, apply_by_systemd
from tests.daemon.test_units import FOLDER, read
from tests.kit.program import PROGRAM

pytestmark = pytest.mark.slow


class Units:
    """Does what systemd would do with the template, in places of its own."""

    def __init__(self, store: Path, plans: Path) -> None:
        self._store = store
        self._plans = plans
        self.options: list[str] = []

    def is_needed(self, root: str) -> bool:
        return True

    def start(self, unit: str, *, wait: bool) -> None:
        prefix, suffix = APPLY.split("{}")
        job = unit.removeprefix(prefix).removesuffix(suffix)
        service = read(FOLDER / "system" / APPLY.format(""))["Service"]
        self.options.append((self._plans / f"{job}.env").read_text())
        places = {"%i": job, str(PLANS): str(self._plans), str(SYSTEM_STORE): str(self._store)}
        line, out, err = (
            self._filled(service[key], places)
            for key in ("ExecStart", "StandardOutput", "StandardError")
        )
        words = shlex.split(line.replace("$OPTIONS", self.options[-1].removeprefix("OPTIONS=")))
        assert words.pop(0) == "epmstore" and wait
        with open(out.removeprefix("file:"), "wb") as o, open(err.removeprefix("file:"), "wb") as e:
            if subprocess.run([PROGRAM, *words], stdout=o, stderr=e, check=False).returncode:
                raise EpmError(f"{unit} failed")

    @staticmethod
    def _filled(text: str, places: dict[str, str]) -> str:
        for name, value in places.items():
            text = text.replace(name, value)
        return text


@pytest.fixture
def plans(tmp_path: Path) -> Path:
    return tmp_path / "run" / "apply"


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    """In version 0 `one`, in version 1 and now `two`."""
    tool = tmp_path / "root" / "tool"
    tool.parent.mkdir()
    with Workspace.init(tmp_path / "store") as workspace:
        workspace.apps.add("crm", tool.parent)
        for content in ("one", "two"):
            tool.write_text(content)
            workspace.app("crm").snapshot(content)
    return tool


def test_the_result_comes_back(tmp_path: Path, tool: Path, plans: Path) -> None:
    units = Units(tmp_path / "store", plans)
    with Workspace.open(tmp_path / "store") as workspace:
        plan = workspace.app("crm").plan("0")
        result = apply_by_systemd(plan, units, ["--live", "--no-hooks"], folder=plans)
    assert (result["action"], result["from"], result["version"]) == ("apply", 1, 2)
    assert tool.read_text() == "one"
    assert units.options == ["OPTIONS=--live --no-hooks\n"]
    assert list(plans.iterdir()) == []


def test_the_error_comes_back_as_it_was(tmp_path: Path, tool: Path, plans: Path) -> None:
    units = Units(tmp_path / "store", plans)
    with Workspace.open(tmp_path / "store") as workspace:
        plan = workspace.app("crm").plan("0")
        workspace.app("crm").hold("audit")
        with pytest.raises(SystemdJobError, match="audit") as raised:
            apply_by_systemd(plan, units, folder=plans)
    assert (raised.value.code, raised.value.exit_code) == ("conflict", 7)
    assert "unhold" in (raised.value.hint or "")
    assert tool.read_text() == "two"
    assert list(plans.iterdir()) == []


def test_a_root_that_can_be_written_needs_no_unit(tmp_path: Path) -> None:
    assert not Systemd().is_needed(str(tmp_path))
    assert not Systemd().is_needed(str(tmp_path / "none"))
