"""Who may say what of a version that is there already."""

from pathlib import Path

import msgspec
import pytest

from epmstore.catalog.model import LabelRecord
from epmstore.errors import UsageError
from epmstore.record import change
from epmstore.relpath import RelPath
from epmstore.store.commit import commit_fact
from epmstore.store.store import Store
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


@pytest.mark.parametrize("command, status", [(["true"], 0), (["sh", "-c", "exit 7"], 7)])
def test_a_command_that_changes_nothing_is_a_version(
    crm: AppHandle, command: list[str], status: int
) -> None:
    result = crm.run(command, label="patch")
    assert (result.version, result.added + result.modified + result.removed) == (1, 0)
    first, newest = crm.versions()
    assert first.labels == ("as delivered",)
    assert (newest.labels, newest.kind, newest.record.reason) == (("patch",), "change", "run")
    assert (newest.record.command, newest.record.exit_status) == (tuple(command), status)
    assert newest.changes_nothing


def test_a_command_that_changes_nothing_is_nothing_to_go_back_over(
    crm: AppHandle, tmp_path: Path
) -> None:
    (tmp_path / "crm/tool").write_text("two")
    crm.snapshot("two")
    for _ in range(2):
        crm.run(["true"])
    assert crm.rollback().of == 0
    assert (tmp_path / "crm/tool").read_text() == "one"
    crm.run(["true"])
    crm.undo()
    assert (tmp_path / "crm/tool").read_text() == "two"
    (tmp_path / "crm/tool").write_text("drift")
    assert crm.rollback().of == 1


def test_labels_are_added_by_whoever_gives_them(crm: AppHandle, tmp_path: Path) -> None:
    result = crm.snapshot("before patch")
    assert (result.version, result.changed) == (0, True)
    crm.snapshot("tested")
    crm.run(["true"], label="patch")
    crm.snapshot("after patch")
    crm.snapshot("after patch")
    with Workspace.open(tmp_path / "store", actor={"user": "ann"}) as workspace:
        other = workspace.app("crm")
        other.snapshot("seen")
        first, newest = other.versions()
    assert first.labels == ("as delivered", "before patch", "tested")
    assert first.label == "as delivered"
    assert newest.labels == ("patch", "after patch", "seen")
    assert newest.remarks[-1].actor == {"user": "ann"}
    assert [one.time for one in first.remarks] == sorted(one.time for one in first.remarks)
    with Workspace.open(tmp_path / "store") as workspace:
        assert Workspace.rebuild(tmp_path / "store") == []
        assert workspace.app("crm").versions() == [first, newest]


def test_a_label_that_older_programs_replaced_is_there(crm: AppHandle, tmp_path: Path) -> None:
    with Workspace.open(tmp_path / "store") as workspace:
        store: Store = workspace._store  # as the older program did it
        fact = LabelRecord(time="2026-01-01T00:00:00Z", version=0, label="before patch")
        commit_fact(store, crm.app.uuid, fact)
        assert workspace.app("crm").versions()[0].labels == ("as delivered", "before patch")


def test_both_labels_of_an_open_change_are_kept(crm: AppHandle, tmp_path: Path) -> None:
    crm.change_begin("new licence")
    (tmp_path / "crm/licence").write_text("x")
    crm.change_end("licence of 2027")
    assert crm.versions()[-1].labels == ("new licence", "licence of 2027")


def test_tags_and_pins_leave_a_trace(crm: AppHandle) -> None:
    crm.tag("golden", "0")
    crm.run(["true"])
    crm.tag("golden", "1")
    crm.untag("golden")
    crm.pin("0")
    crm.unpin("0")
    first, second = crm.versions()
    said = [(one.what, one.text) for one in first.remarks]
    assert said == [
        ("label", "as delivered"),
        ("tag", "golden"),
        ("untag", "golden"),
        ("pin", None),
        ("unpin", None),
    ]
    assert [one.what for one in second.remarks] == ["label", "tag", "untag"]


def killed(crm: AppHandle, tmp_path: Path, **said: object) -> change.StartedRun:
    """As if `run` had been killed before it recorded what its command did."""
    noted = change.StartedRun(
        id="5" * 32, since="2026-01-01T00:00:00.000Z", command=("patch", "\udcff"), label="patch"
    )
    with Workspace.open(tmp_path / "store") as workspace:
        change.note_run(workspace._store, crm.app.uuid, msgspec.structs.replace(noted, **said))
    return noted


@pytest.mark.parametrize("next_one", ["snapshot", "drift", "run", "checkout"])
def test_a_run_that_was_killed_is_recorded_by_whatever_records_next(
    crm: AppHandle, tmp_path: Path, next_one: str
) -> None:
    noted = killed(crm, tmp_path, actor={"user": "ann"})
    (tmp_path / "crm/tool").write_text("patched")
    assert crm.reading.started_run() is not None
    if next_one == "snapshot":
        assert crm.snapshot("later").added == 0
    elif next_one == "drift":
        crm.recording.record_drift("event", only=["nowhere"])
    elif next_one == "run":
        crm.run(["true"], label="later")
    else:
        crm.checkout("0")
    found = crm.versions()[1]
    assert (found.record.command, found.record.exit_status) == (noted.command, None)
    assert (found.labels[0], found.kind, found.record.actor) == ("patch", "change", {"user": "ann"})
    assert found.record.window is not None and found.record.window[0] == noted.since
    assert crm.reading.started_run() is None
    if next_one != "drift":  # which was told to look elsewhere
        assert found.record.counts.modified == 1
        assert b"".join(crm.cat("1", RelPath("tool"))) == b"patched"


def test_a_run_that_was_killed_after_its_version_is_recorded_once(
    crm: AppHandle, tmp_path: Path
) -> None:
    (tmp_path / "crm/tool").write_text("patched")
    killed(crm, tmp_path, exit_status=3)
    crm.snapshot()
    assert crm.versions()[-1].record.exit_status == 3
    killed(crm, tmp_path)
    assert not crm.snapshot().changed
    assert (len(crm.versions()), crm.reading.started_run()) == (2, None)


def test_of_a_damaged_note_of_a_run_no_more_is_known(crm: AppHandle, tmp_path: Path) -> None:
    (tmp_path / f"store/journals/{crm.app.uuid}.run").write_bytes(b"{")
    crm.snapshot()
    found = crm.versions()[-1]
    assert (found.record.reason, found.record.command, found.labels) == ("run", (), ())


def test_run_refuses_labels_no_catalog_can_hold(crm: AppHandle, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        crm.run(["touch", str(tmp_path / "crm/done")], label="\udcff")
    assert not (tmp_path / "crm/done").exists()
    assert crm.run(["true", "\udcff", "x" * 100_000]).version == 1
    found = crm.versions()[-1].record
    assert found.command is not None and found.command[:2] == ("true", "\udcff")
    assert len(found.command[2]) < 100_000


def test_a_command_that_cannot_begin_is_no_run(crm: AppHandle) -> None:
    with pytest.raises(FileNotFoundError):
        crm.run(["no-such-command-here"])
    assert (len(crm.versions()), crm.reading.started_run()) == (1, None)


def test_drift_becomes_a_change_once(crm: AppHandle, tmp_path: Path) -> None:
    (tmp_path / "crm/tool").write_text("two")
    assert crm.recording.record_drift("event").version.version == 1
    assert crm.versions()[-1].kind == "drift"
    assert crm.snapshot().changed
    assert crm.versions()[-1].kind == "change"
    assert not crm.snapshot().changed


def test_a_change_by_hand_that_did_nothing_is_a_version(crm: AppHandle, tmp_path: Path) -> None:
    (tmp_path / "crm/tool").write_text("two")
    assert crm.change_begin("by hand").version == 1
    assert crm.change_end().version == 2
    assert [info.kind for info in crm.versions()] == ["change", "drift", "change"]
