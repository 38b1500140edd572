"""The example in docs/api.md runs as it stands there."""

import re
from pathlib import Path

import pytest

from epmstore.workspace import AppHandle, Workspace
from epmstore.workspace.care import Care
from epmstore.workspace.catalogs import Catalogs
from epmstore.workspace.vendors import Vendors

DOCUMENT = Path(__file__).parents[2] / "docs" / "api.md"


def test_the_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "crm/bin").mkdir(parents=True)
    (tmp_path / "crm/bin/tool").write_text("one\n")
    monkeypatch.chdir(tmp_path)
    [example] = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    exec(compile(example, str(DOCUMENT), "exec"), {})
    assert "no version 99" in capsys.readouterr().out


def test_every_verb_in_the_table_is_there() -> None:
    rows = dict(re.findall(r"^\| `([^`]+)`.*? \| (.*) \|$", DOCUMENT.read_text(), re.MULTILINE))
    owners = {
        "workspace.app(key)": AppHandle,
        "workspace.care": Care,
        "workspace.vendors": Vendors,
        "workspace.catalogs": Catalogs,
        "Workspace.init(path)": Workspace,
    }
    for name, owner in owners.items():
        for verb in re.findall(r"`(\w+)`", rows[name]):
            assert hasattr(owner, verb), f"{owner.__name__} has no {verb}"
