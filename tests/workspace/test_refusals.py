"""What can refuse is asked before anything is done; what is known only afterwards is not lost."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from epmstore.errors import ConflictError, DiskFullError, RootError, UsageError
from epmstore.record import change
from epmstore.record.recorder import Recorder
from epmstore.record.root import Root
from epmstore.workspace import AppHandle, Workspace

NOT_UTF8 = "patch \udcff"


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    (tmp_path / "crm").mkdir()
    (tmp_path / "crm/tool").write_text("one")
    workspace = Workspace.init(tmp_path / "store")
    workspace.apps.add("crm", tmp_path / "crm")
    workspace.app("crm").snapshot("as delivered")
    (tmp_path / "crm/tool").write_text("two")
    return workspace


@pytest.fixture
def crm(ws: Workspace) -> AppHandle:
    return ws.app("crm")


def open_change(crm: AppHandle) -> None:
    crm.change_begin("one")
    Path(crm.app.root, "tool").write_text("three")


REFUSED: list[tuple[Callable[[AppHandle], object], type[Exception]]] = [
    (lambda crm: crm.run(["touch", f"{crm.app.root}/x"], label=NOT_UTF8), UsageError),
    (lambda crm: crm.run(["no-such-command"], label="patch"), FileNotFoundError),
    (lambda crm: crm.run([f"{crm.app.root}/tool"], label="patch"), PermissionError),
    (lambda crm: crm.change_begin(NOT_UTF8), UsageError),
]


@pytest.mark.parametrize(("act", "error"), REFUSED)
def test_nothing_is_done_before_it_is_refused(
    crm: AppHandle, act: Callable[[AppHandle], object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        act(crm)
    assert len(crm.versions()) == 1
    assert sorted(path.name for path in Path(crm.app.root).iterdir()) == ["tool"]
    assert crm.reading.started_run() is None
    assert change.find(crm._context.store, crm.app.uuid) is None


def test_a_change_that_is_open_is_not_begun_again(crm: AppHandle) -> None:
    open_change(crm)
    with pytest.raises(ConflictError):
        crm.change_begin("two")
    with pytest.raises(UsageError):
        crm.change_end(NOT_UTF8)
    assert len(crm.versions()) == 2
    assert crm.change_end().label == "one"


def test_no_command_is_run_on_a_root_that_is_between_two_versions(crm: AppHandle) -> None:
    crm._context.store.journal(crm.app.uuid).write_bytes(b"")
    with pytest.raises(ConflictError):
        crm.run(["touch", f"{crm.app.root}/x"])
    assert not Path(crm.app.root, "x").exists()


def assert_not_lost(crm: AppHandle) -> None:
    newest = crm.versions()[-1]
    assert (newest.labels, newest.record.reason) == (("patch",), "run")
    assert newest.record.exit_status == 3


def test_a_command_that_replaces_the_root(ws: Workspace, crm: AppHandle) -> None:
    root = shlex.quote(crm.app.root)
    script = f"cp -r {root} {root}.new; echo new >{root}.new/tool; mv {root} {root}.old;"
    with pytest.raises(RootError) as caught:
        crm.run(["sh", "-c", f"{script} mv {root}.new {root}; exit 3"], label="patch")
    assert "the command exited with 3" in caught.value.message
    assert caught.value.data["exit_status"] == 3
    assert caught.value.hint is not None
    move, snapshot = caught.value.hint.split("`")[1::2]
    assert shlex.split(move) == ["epmstore", "app", "move", "crm", crm.app.root]
    assert snapshot == "epmstore snapshot --app crm"
    ws.apps.move("crm", Path(crm.app.root))
    moved = ws.app("crm")
    moved.snapshot()
    assert_not_lost(moved)


def test_a_store_without_room_afterwards(crm: AppHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(self: Recorder, root: Root, **_: object) -> None:
        if change.find_run(self.store, self.app.uuid) is not None:
            raise DiskFullError("the disk of the store is full", hint="free some space")

    with monkeypatch.context() as full:
        full.setattr(Recorder, "end_run", no_room)
        with pytest.raises(DiskFullError) as caught:
            crm.run(["sh", "-c", "exit 3"], label="patch")
    assert "the command exited with 3" in caught.value.message
    assert caught.value.hint == (
        "free some space; `epmstore snapshot --app crm` records it then, as what it is"
    )
    crm.snapshot()
    assert_not_lost(crm)
