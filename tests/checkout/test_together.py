"""Several applications are moved together: all of them or none, whatever happens on the way."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from epmstore.errors import BusyError, ConflictError, EpmError, HookError
from epmstore.workspace import Workspace
from epmstore.workspace.app import transacting
from tests.kit.faults import Calls, Killed, faults
from tests.kit.program import amount
from tests.kit.several import NEW, Several

POINTS = amount("EPM_TEST_POINTS", 5)
TWO, THREE = ("lib", "crm"), ("lib", "crm", "web")


def test_all_go_and_come_back_together(tmp_path: Path) -> None:
    with Several(tmp_path, THREE, hooks=True) as several:
        results = several.go()
        assert several.all_are() == "old" and several.leftovers() == []
        assert [one.transaction for one in results] == [THREE] * 3
        assert several.services.calls == [
            *("web stop", "crm stop", "lib stop"),
            *("lib start", "lib health", "crm start", "crm health", "web start", "web health"),
        ]
        undone = several.handle("crm").undo()
        assert several.all_are() == "new" and several.leftovers() == []
        assert [one.app for one in undone.others] == ["lib", "web"]
        several.handle("web").redo()
        assert several.all_are() == "old"
        several.handle("lib").undo()
        assert several.all_are() == "new" and several.services.running == {*THREE}


@pytest.mark.parametrize("which", ["lib start", "crm health", "web start"])
def test_one_that_fails_undoes_all(tmp_path: Path, which: str) -> None:
    key, word = which.split()
    with Several(
        tmp_path, THREE, hooks=True, **{f"{key}_{word}": 1 + 999 * (word == "health")}
    ) as several:
        with pytest.raises(HookError) as caught:
            several.go()
        assert several.all_are() == "new" and several.leftovers() == []
        assert caught.value.data["undone"] is True
        assert any(line.startswith(f"{key}: {word}: ") for line in caught.value.data["report"])
        assert all(run["app"] in THREE for run in caught.value.data["hooks"])
        assert several.services.running == {*THREE}
        for one in THREE:
            assert several.handle(one).obligations.hold_in_force() is not None


def test_one_that_does_not_stop_keeps_all_as_they_are(tmp_path: Path) -> None:
    with Several(tmp_path, THREE, hooks=True, crm_stop=1) as several:
        with pytest.raises(HookError):
            several.go()
        assert several.all_are() == "new" and several.leftovers() == []
        assert several.services.running == {*THREE} and len(several.handle("lib").versions()) == 2


def test_one_that_is_busy_or_refuses_keeps_all_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Several(tmp_path) as several:
        store = several.workspace._store
        at_once = transacting._locked_roots.__wrapped__  # type: ignore[attr-defined]
        monkeypatch.setattr(at_once, "__defaults__", (0,))
        with store.lock_app(several.context("crm").app.uuid), pytest.raises(BusyError):
            several.go()
        assert several.all_are() == "new" and several.leftovers() == []
        (several.root("crm") / "a").unlink()
        (several.root("crm") / "a").mkdir()
        (several.root("crm") / "a/mine").write_bytes(b"mine")
        with pytest.raises(EpmError):
            several.go()
        assert several.tree("lib") == NEW and several.leftovers() == []


def test_one_that_was_moved_since_is_not_undone_with_the_others(tmp_path: Path) -> None:
    with Several(tmp_path) as several:
        several.go()
        several.handle("crm").checkout("1")
        with pytest.raises(ConflictError, match="changed again since"):
            several.handle("lib").undo()
        several.handle("crm").undo()
        assert several.all_are() == "old"
        several.handle("lib").undo()
        assert several.all_are() == "new"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keys", "hooks", "recovers"),
    [(TWO, False, "open"), (TWO, True, "last"), (THREE, True, "first"), (THREE, False, "last")],
)
def test_a_kill_at_any_call_leaves_all_old_or_all_new(
    tmp_path: Path, keys: tuple[str, ...], hooks: bool, recovers: str
) -> None:
    _kill(tmp_path, keys, lambda several: several.go(), recovers, hooks=hooks)


@pytest.mark.slow
def test_a_kill_in_an_undo_leaves_all_old_or_all_new(tmp_path: Path) -> None:
    def fail(several: Several) -> None:
        several.services.fails = {"crm start": 1}
        several.go()

    seen = _kill(tmp_path, TWO, fail, "last", hooks=True, error=HookError)
    assert seen == {"new"} or seen == {"new", "old"}


def _kill(
    tmp_path: Path,
    keys: tuple[str, ...],
    act: Callable[[Several], object],
    recovers: str,
    *,
    hooks: bool,
    error: type[Exception] | None = None,
) -> set[str]:
    base = tmp_path / "base"
    Several(base_made(base), keys, hooks=hooks).workspace.close()
    calls = Calls()
    whole = copied(base, tmp_path / "whole")
    with Several(whole, keys) as several, faults(calls):
        try:
            act(several)
        except HookError:
            assert error is not None
    seen = set()
    step = max(1, calls.count // POINTS)
    for at in range(1 + len(keys) * 7 % step, calls.count + 1, step):
        place = copied(base, tmp_path / str(at))
        with Several(place, keys) as several, faults(Calls(at)), pytest.raises(Killed):
            act(several)
        if recovers == "open":
            Workspace.open(place / "store").close()
        with Several(place, keys) as several:
            for key in keys if recovers == "first" else reversed(keys):
                several.handle(key).obligations.recover()
        Workspace.open(place / "store").close()
        with Several(place, keys) as several:
            state = several.all_are()
            assert state in ("old", "new"), (at, calls.names[at - 1])
            assert several.lasting() == [], (at, calls.names[at - 1])
            for key in keys:
                assert several.handle(key).status().clean, at
                assert several.handle(key).obligations.owed is None
            seen.add(state)
        shutil.rmtree(place)
    return seen


def base_made(base: Path) -> Path:
    base.mkdir()
    return base


def copied(base: Path, place: Path) -> Path:
    """The same store and roots at another place."""
    subprocess.run(["cp", "-a", str(base), str(place)], check=True)
    with Workspace.open(place / "store", recover=False) as workspace:
        for app in workspace.apps.list():
            workspace.apps.move(app.key, place / app.key)
    return place
