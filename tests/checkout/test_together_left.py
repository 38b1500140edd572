"""What several applications that were moved together leave to be done, and what hinders that."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from epmstore import locks, seal
from epmstore.checkout import transaction
from epmstore.checkout.journal import seal_form
from epmstore.checkout.participant import Participant
from epmstore.checkout.preflight import Terms
from epmstore.errors import ConflictError, DamagedError, EpmError, RootError, UsageError
from epmstore.places import DAEMON_LOCK
from tests.kit.faults import Calls, Killed, faults
from tests.kit.several import Several

CONFIRM = Terms(confirm=60.0)


@contextlib.contextmanager
def waiting(place: Path) -> Iterator[Several]:
    """With a daemon that would undo what is not confirmed."""
    with Several(place) as several, locks.hold(several.workspace.path / "locks", DAEMON_LOCK):
        yield several


def decided(several: Several, monkeypatch: pytest.MonkeyPatch, *, told: int = 0) -> Path:
    """Killed when it was decided, and so many of them were told; the file that says so."""
    left = [told]
    turn = Participant.turn

    def killed(part: Participant) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        turn(part)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Participant, "turn", killed)
        several.go()
    [file] = several.workspace._store.journals.glob("*.transaction")
    return file


def owing(several: Several) -> set[bool]:
    return {several.handle(key).obligations.pending is not None for key in several.keys}


def test_one_confirms_for_all_whatever_kills_it(tmp_path: Path) -> None:
    with waiting(tmp_path) as several:
        seen = []
        for at in (1, 2):
            several.go(1 - at % 2, CONFIRM)
            pending = several.handle("crm").obligations.pending
            assert pending is not None and pending.transaction == ("lib", "crm")
            with contextlib.suppress(Killed), faults(Calls(at, only="unlink")):
                several.handle("crm").obligations.confirm()
            [is_owing] = owing(several)
            seen.append(is_owing)
            if is_owing:
                several.handle("lib").obligations.confirm()
            for key in several.keys:
                assert several.handle(key).obligations.left_behind() is None
            assert several.lasting() == [] and several.all_are() == ["new", "old"][at % 2]
        assert seen == [True, False]  # the first that goes decides


def test_killed_while_it_begins_to_wait_all_of_them_wait(tmp_path: Path) -> None:
    with waiting(tmp_path) as several:
        calls = Calls()
        with faults(calls):
            several.go(0, CONFIRM)
        several.handle("lib").obligations.confirm()
        to = 1
        for at in (calls.count - 7, calls.count - 3, calls.count):
            with faults(Calls(at)), pytest.raises(Killed):
                several.go(to, CONFIRM)
            several.handle("crm").obligations.recover()
            assert owing(several) == {True} and several.all_are() == ["old", "new"][to]
            several.handle("lib").obligations.confirm()
            assert several.lasting() == []
            to = 1 - to


def test_one_that_is_gone_keeps_the_others_from_starting_until_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Several(tmp_path, hooks=True) as several:
        finish = Participant.finish

        def gone(part: Participant) -> None:
            if part.key == "lib":
                several.root("lib").rename(tmp_path / "away")
                raise OSError(5, "no disk")
            finish(part)

        with monkeypatch.context() as patched, pytest.raises(EpmError, match="lib could not be"):
            patched.setattr(Participant, "finish", gone)
            several.go()
        assert (
            several.services.running == set()
            and several.handle("crm").versions()[-1].record.of == 0
        )
        crm = several.handle("crm").obligations
        assert crm.aftermath().transaction == ("lib", "crm")
        with pytest.raises(RootError, match="lib, crm were changed together"):
            crm.recover()
        assert several.services.running == set()
        (tmp_path / "away").rename(several.root("lib"))
        with pytest.raises(ConflictError, match="changed together"):
            several.workspace.apps.remove("crm")
        crm.recover()
        assert several.all_are() == "old" and several.services.running == {"lib", "crm"}
        assert several.lasting() == []


def test_one_that_is_gone_for_good_can_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Several(tmp_path, hooks=True) as several:
        file = decided(several, monkeypatch, told=2 - 1)
        shutil.rmtree(several.root("lib"))
        uuid = several.context("lib").app.uuid
        several.workspace.apps.remove("lib")
        several.handle("crm").obligations.recover()
        assert several.tree("crm") == {"a": b"old", "gone": b"was here"}
        assert several.services.running == {"crm"}
        left = {path.name for path in several.workspace._store.journals.iterdir()}
        assert left == {f"{uuid}.journal", file.name}  # should it come back


def test_a_decision_that_cannot_be_read_is_nobody_s_to_guess(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Several(tmp_path) as several:
        file = decided(several, monkeypatch, told=1)
        whole = file.read_bytes()
        newer = seal_form({"format": transaction.FORMAT + 1}) + seal_form({"member": "x"})
        cut = whole[: seal.read(whole, seal.read(whole, 0)[0].end)[0].end]
        flipped = whole[:100] + bytes([whole[100] ^ 1]) + whole[101:]
        for data, says in (
            (flipped, "transaction"),
            (cut, "not whole"),
            (newer, "format 2"),
            (b"", "sense"),
        ):
            file.write_bytes(data)
            with pytest.raises(DamagedError, match=says) as caught:
                several.handle("crm").obligations.recover()
            assert str(file) in caught.value.message and "nothing was changed" in str(
                caught.value.hint
            )
            assert several.tree("crm")["a"] == b"new" and file.exists()
            report = several.workspace.care.fsck()
            assert bool(report.findings) == (data != newer) and bool(report.notes) == (
                data == newer
            )
            checks = {one.name: one for one in several.workspace.care.doctor()}
            assert not checks[f"transaction {file.stem}"].ok
        several.handle("lib").obligations.recover()
        file.unlink()  # what was said to be the way out
        several.handle("crm").obligations.recover()
        assert several.tree("crm")["a"] == b"new" and several.tree("lib")["a"] == b"old"
        several.handle("lib").undo()
        assert several.all_are() == "new" and several.lasting() == []


def test_one_that_is_done_is_taken_back_if_what_was_decided_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Several(tmp_path, hooks=True) as several:
        file = decided(several, monkeypatch, told=1)
        file.unlink()
        several.handle("crm").obligations.recover()
        assert several.all_are() == "new" and several.lasting() == []
        assert several.services.running == {"lib", "crm"}
        assert [len(several.handle(key).versions()) for key in several.keys] == [4, 2]
        hold = several.handle("lib").obligations.hold_in_force()
        assert hold is not None and "what was decided is lost" in str(hold.reason)
        several.go()
        assert several.all_are() == "old"


def test_a_plan_of_several_is_refused_where_one_is_carried_out(tmp_path: Path) -> None:
    with Several(tmp_path) as several:
        several.go()
        restoring = several.handle("lib").restoring
        plan = restoring.plan_undo()
        assert [one.plan.app for one in plan.others] == ["crm"]
        for refused in (restoring.apply, restoring.plan_apply):
            with pytest.raises(UsageError, match="several applications: undo") as caught:
                refused(plan)
            assert caught.value.hint == "`epmstore undo --app lib`"
        assert several.all_are() == "old" and several.leftovers() == []
