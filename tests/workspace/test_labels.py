"""Who may say what of a version that is there already."""

from pathlib import Path

import pytest

from epmstore.workspace import AppHandle, Workspace


@pytest.fixture
def crm(tmp_path: Path) -> AppHandle:
    (tmp_path / "crm").mkdir()
    (tmp_path / "crm/tool").write_text("one")
    workspace = Workspace.init(tmp_path / "store")
    workspace.apps.add("crm", tmp_path / "crm")
    handle = workspace.app("crm")
    handle.snapshot("as delivered")
    return handle


def test_a_command_that_changes_nothing_labels_nothing(crm: AppHandle) -> None:
    result = crm.run(["true"], label="patch")
    assert (result.version, result.changed) == (0, False)
    assert crm.versions()[-1].label == "as delivered"


def test_a_deliberate_snapshot_labels_what_is_there(crm: AppHandle) -> None:
    result = crm.snapshot("tested")
    assert (result.version, result.changed) == (0, True)
    assert crm.versions()[-1].label == "tested"


def test_drift_becomes_a_change_once(crm: AppHandle, tmp_path: Path) -> None:
    (tmp_path / "crm/tool").write_text("two")
    assert crm.change_begin("by hand").version == 1
    assert crm.change_end().version == 1  # nothing was done
    assert crm.versions()[-1].kind == "drift"
    assert crm.snapshot().changed
    assert crm.versions()[-1].kind == "change"
    assert not crm.snapshot().changed
