"""Where a rollback goes: to what brings something back."""

from pathlib import Path

import pytest

from epmstore.checkout.goal import VersionGoal
from epmstore.errors import VersionNotFoundError
from epmstore.workspace import AppHandle, Workspace


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "crm"
    (root / "etc").mkdir(parents=True)
    (root / "data").mkdir()
    (root / "tool").write_text("one")
    (root / "etc/conf").write_text("one")
    return root


@pytest.fixture
def crm(root: Path, tmp_path: Path) -> AppHandle:
    workspace = Workspace.init(tmp_path / "store")
    workspace.apps.add("crm", root, config=["/etc/"], state=["*.log"])
    handle = workspace.app("crm")
    handle.snapshot("one")
    (root / "tool").write_text("two")
    handle.snapshot("two")
    return handle


def test_drift_goes_first(crm: AppHandle, root: Path) -> None:
    (root / "tool").write_text("broken")
    assert crm.restoring.plan_rollback().request.goal == VersionGoal(1)
    assert crm.rollback().of == 1
    assert (root / "tool").read_text() == "two"
    assert crm.rollback().of == 0
    assert (root / "tool").read_text() == "one"
    with pytest.raises(VersionNotFoundError, match="first change"):
        crm.rollback()


@pytest.mark.parametrize("drift", ["etc/conf", "data/upload", "data/app.log"])
def test_rollback_keeps_files_added_by_hand(crm: AppHandle, root: Path, drift: str) -> None:
    (root / drift).write_text("drifted")
    assert crm.restoring.plan_rollback().request.goal == VersionGoal(0)
    assert crm.rollback().of == 0
    assert (root / "tool").read_text() == "one"
    assert (root / drift).read_text() == "drifted"


def test_recorded_drift_that_is_kept_is_none_either(crm: AppHandle, root: Path) -> None:
    (root / "etc/conf").write_text("edited")
    crm.change_begin()
    crm.change_end()
    assert crm.rollback().of == 0
    assert (root / "etc/conf").read_text() == "edited"


def test_a_label_is_told_only_by_who_gave_it(crm: AppHandle) -> None:
    assert crm.snapshot().label is None
    assert crm.snapshot("again").label == "again"


def test_where_all_is_drift_the_first_version_is_gone_back_to(root: Path, tmp_path: Path) -> None:
    with Workspace.init(tmp_path / "store") as workspace:
        workspace.apps.add("crm", root)
        crm = workspace.app("crm")
        with pytest.raises(VersionNotFoundError, match="nothing to roll back to"):
            crm.rollback()
        crm.recording.record_drift("startup-scan")
        with pytest.raises(VersionNotFoundError, match=r"version 0.*nothing is before it"):
            crm.rollback()
        for text in ("patched", "patched again"):
            (root / "tool").write_text(text)
            crm.recording.record_drift("event")
        assert crm.rollback().of == 0
        assert (root / "tool").read_text() == "one"
        crm.undo()
        assert (root / "tool").read_text() == "patched again"
