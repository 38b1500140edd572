"""Scenarios of two applications that go together: after whatever happens all of them are old, or
all of them are new, nothing is left, nothing is owed, and undo takes all of them back.

The second one has its root beside the first (`Stage.beside`), which `verdict.py` asks for.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from epmstore import fsio
from epmstore.atomic import directory
from epmstore.catalog.hooks import Hooks
from epmstore.checkout.goal import VersionGoal
from epmstore.checkout.participant import Participant
from epmstore.checkout.preflight import Terms
from epmstore.checkout.request import Request
from epmstore.record.result import Result
from epmstore.workspace import Workspace
from epmstore.workspace.app import exporting, restoring  # noqa: F401 - once, as in verdict.py
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.app.transacting import carry_out_together
from tests.faults.scenarios import BESIDE, KEY, Ack, Scenario, Stage, acknowledged
from tests.faults.verdict import unlike
from tests.kit.faults import Killed
from tests.kit.program import picture

KEYS = (BESIDE, KEY)
"""Who is needed comes first."""
OLD = {"tool": b"old tool\n" * 30, "gone": b"was here\n", "etc/conf": b"port = 1\n"}
NEW = {"tool": b"new tool\n" * 30, "lib/come": b"is here\n", "etc/conf": b"port = 2\n"}


def go(workspace: Workspace) -> list[Result]:
    """Both to their first versions."""
    request = Request(action="checkout", goal=VersionGoal(0))
    contexts = [AppContext(workspace._store, workspace.apps.get(key)) for key in KEYS]
    return carry_out_together([(one, lambda root: request) for one in contexts], Terms(live=True))


def _root(stage: Stage, key: str) -> Path:
    return stage.root if key == KEY else stage.beside


def _write(root: Path, key: str, files: dict[str, bytes]) -> None:
    for path in (root / name for name in (*OLD, *NEW)):
        path.unlink(missing_ok=True)
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(key.encode() + data)


def _hooks(stage: Stage, key: str) -> Hooks:
    """What runs is a file that its owner may read: to say so needs no room."""
    up = str(stage.up / key)
    return Hooks(stop=("chmod", "000", up), start=("chmod", "600", up))


def _prepare(*, hooks: bool) -> Callable[[Stage], None]:
    def prepare(stage: Stage) -> None:
        Workspace.init(stage.store).close()
        stage.beside.mkdir()
        stage.up.mkdir()
        with stage.open() as workspace:
            for key in KEYS:
                (stage.up / key).touch(0o600)
                workspace.apps.add(key, _root(stage, key))
                if hooks:
                    workspace.apps.set(key, hooks=_hooks(stage, key))
                for number, files in enumerate((OLD, NEW)):
                    _write(_root(stage, key), key, files)
                    workspace.app(key).snapshot()
                    if key == KEY:
                        stage.versions[number] = picture(stage.root)
            now = [picture(stage.root), picture(stage.beside)]
            _note(stage, go(workspace)[1])
            then = [picture(stage.root), picture(stage.beside)]
            _note(stage, workspace.app(KEY).undo())
            assert [picture(stage.root), picture(stage.beside)] == now
        stage.roots, stage.roots_beside = map(list, zip(now, then, strict=True))

    return prepare


def _note(stage: Stage, result: Result) -> None:
    assert result.version is not None, "it changed something"
    stage.versions[result.version] = picture(stage.root)


def _act(stage: Stage) -> Ack:
    with stage.open() as workspace:
        beside, first = map(acknowledged, go(workspace))
    return first._replace(named=first.named | beside.named, missed=first.missed | beside.missed)


def _decided(stage: Stage) -> None:
    """Killed as soon as it was decided."""
    _prepare(hooks=False)(stage)

    def killed(part: Participant) -> None:
        raise Killed

    with (
        stage.open() as workspace,
        mock.patch.object(Participant, "turn", killed),
        contextlib.suppress(Killed),
    ):
        go(workspace)


def _take_back(stage: Stage) -> Ack:
    """As one that is killed when it has removed what it decided, and not synced that; then comes
    who finds nothing decided.
    """
    [file] = (stage.store / "journals").glob("*.transaction")
    with directory(file.parent) as parent:
        fsio.unlink(file.name, parent)
    stage.open().close()
    return Ack()


def judge_beside(stage: Stage, workspace: Workspace, named: frozenset[bytes]) -> list[str]:
    """What is wrong with the second application, or with both of them together."""
    wrong = _together(stage, named)
    for handle in map(workspace.app, KEYS):
        if handle.obligations.pending or not handle.status().clean:
            wrong.append(f"{handle.app.key}: something is owed, or not recorded")
    down = [path.name for path in stage.up.iterdir() if not path.stat().st_mode & 0o400]
    if down:
        wrong.append(f"not running: {down}")
    return wrong or _there_or_back(stage, workspace, named)


def _together(stage: Stage, named: frozenset[bytes]) -> list[str]:
    if any(_are(stage, number, named) for number in range(len(stage.roots))):
        return []
    return ["one of them is old, the other is new"]


def _are(stage: Stage, number: int, named: frozenset[bytes]) -> bool:
    first, second = stage.roots[number], stage.roots_beside[number]
    found = unlike(picture(stage.root), [first], named)
    return not found and not unlike(picture(stage.beside), [second], named)


def _there_or_back(stage: Stage, workspace: Workspace, named: frozenset[bytes]) -> list[str]:
    """Both can be done still if they were not; else the undo of one takes both back."""
    if _are(stage, 0, named):
        go(workspace)
        return [] if _are(stage, 1, named) else ["it cannot be done any more"]
    workspace.app(KEY).undo(live=True)
    return [] if _are(stage, 0, named) else ["undo did not take both of them back"]


TOGETHER: dict[str, Scenario] = {
    "together": Scenario(_prepare(hooks=True), _act, "new", beside=judge_beside),
}
TOGETHER_CUT: dict[str, Scenario] = {
    "together, no hooks": Scenario(_prepare(hooks=False), _act, "new", beside=judge_beside),
    "together, taken back": Scenario(_decided, _take_back, "new", beside=judge_beside),
}
"""What only power cuts are tried in: without hooks the decision alone keeps them together; the
other begins with journals, which know inodes.
"""
