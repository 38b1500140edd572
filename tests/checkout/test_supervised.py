"""Stop, checkout, start, health; and what happens if one of them fails, or the process dies."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from epmstore.catalog.hooks import Hooks
from epmstore.checkout import obligations as owed_module
from epmstore.errors import ConflictError, DamagedError, HookError, InUseError, NotFoundError
from epmstore.progress import Silent
from epmstore.scan import fsclock
from tests.kit.application import STOP
from tests.kit.bench import Dir, File
from tests.kit.faults import Calls, Killed, faults
from tests.kit.supervised import Crm, lasting


@pytest.fixture
def crm(tmp_path: Path) -> Iterator[Crm]:
    made = Crm(tmp_path)
    with made.bench:
        yield made


@pytest.fixture(autouse=True)
def boot(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What names this start of the host; writing another one into it is a restart."""
    path = tmp_path_factory.mktemp("boot") / "id"
    path.write_text("one")
    monkeypatch.setattr(fsclock, "BOOT_ID", path)
    return path


def test_hooks_run_around_a_checkout(crm: Crm) -> None:
    seen: list[tuple[str, bool]] = []
    crm.application.on = lambda word: seen.append((word, crm.is_old()))
    result = crm.handle.checkout("0")
    assert seen == [("stop", False), ("start", True), ("health", True)]
    assert crm.is_old() and crm.application.running
    assert [(run.hook, run.outcome) for run in result.hooks] == [
        ("stop", "ok"),
        ("start", "ok"),
        ("health", "ok"),
    ]
    assert crm.bench.leftovers() == []


def test_who_watches_sees_what_is_waited_for(crm: Crm) -> None:
    seen: list[tuple[str, str]] = []

    class Watcher(Silent):
        what = ""

        def begin(self, what: str, *, files: int | None = None, size: int | None = None) -> None:
            self.what = what

    watcher = crm.progress = Watcher()
    crm.application.on = lambda word: seen.append((word, watcher.what))
    crm.handle.checkout("0")
    assert seen == [("stop", "stopping"), ("start", "starting"), ("health", "waiting for health")]


def test_hooks_are_told_what_it_is_about(crm: Crm) -> None:
    crm.handle.checkout("0")
    assert crm.application.environments[0] == {
        "EPMSTORE_APP": "crm",
        "EPMSTORE_ROOT": str(crm.bench.root),
        "EPMSTORE_FROM": "1",
        "EPMSTORE_TO": "0",
        "EPMSTORE_HOOK": "stop",
    }


def test_nobody_is_stopped_if_nothing_is_to_be_done(crm: Crm) -> None:
    assert not crm.handle.checkout("1").changed
    assert crm.calls == []


def test_nobody_is_stopped_if_the_caller_does_not_want_it(crm: Crm) -> None:
    crm.handle.checkout("0", hooks=False)
    assert crm.calls == [] and crm.is_old()


def test_writes_during_stop_are_recorded_and_planned_for(crm: Crm) -> None:
    def write(word: str) -> None:
        if word == "stop":
            (crm.bench.root / "a").write_bytes(b"written at the end")

    crm.application.on = write
    crm.handle.checkout("0")
    assert crm.is_old()
    crm.handle.undo(hooks=False)
    assert (crm.bench.root / "a").read_bytes() == b"written at the end"


def test_who_refuses_to_stop_goes_on_and_nothing_is_touched(tmp_path: Path) -> None:
    crm = Crm(tmp_path, stop=1)
    with crm.bench, pytest.raises(HookError) as raised:
        crm.handle.checkout("0")
    assert raised.value.exit_code == 4
    assert "stop failed (exit status 3), so nothing was changed" in raised.value.message
    assert "started again" in (raised.value.hint or "")
    assert "  | stop: no" in raised.value.data["report"]
    assert crm.calls == ["stop", "start", "health"]
    assert crm.is_new() and crm.application.running
    assert crm.bench.leftovers() == []


def test_a_stop_that_hangs_is_a_failed_one(crm: Crm) -> None:
    crm.application.hangs.add("stop")
    with pytest.raises(HookError, match="not done after 60 s, and killed"):
        crm.handle.checkout("0")
    assert crm.is_new()


def test_a_hook_that_is_not_there_is_found_before_anybody_is_stopped(tmp_path: Path) -> None:
    crm = Crm(tmp_path, Hooks(stop=STOP, start=("crn", "start")))
    with crm.bench, pytest.raises(HookError, match="there is no program 'crn'"):
        crm.handle.checkout("0")
    assert crm.calls == [] and crm.is_new()


def test_an_application_that_does_not_start_is_undone(tmp_path: Path) -> None:
    crm = Crm(tmp_path, start=1)
    with crm.bench, pytest.raises(HookError) as raised:
        crm.handle.checkout("0")
    error = raised.value
    assert "start failed after the checkout of 0 (exit status 3)" in error.message
    assert "undone: version 2 -> 3 (content of 1)" in error.message
    assert "is as it was before, and runs" in (error.hint or "")
    assert error.data["undone"] is True and error.data["version"] == 3
    assert crm.calls == ["stop", "start", "stop", "start", "health"]
    assert crm.is_new() and crm.application.running
    assert crm.bench.leftovers() == []


def test_health_is_asked_again_until_it_is_well(tmp_path: Path) -> None:
    crm = Crm(tmp_path, health=3)
    with crm.bench:
        result = crm.handle.checkout("0")
    assert result.hooks[-1].attempts == 4
    assert crm.is_old()


def test_a_failing_health_check_is_undone_by_itself(tmp_path: Path) -> None:
    crm = Crm(tmp_path, health=21)  # each takes a second, the pause half of one
    with crm.bench, pytest.raises(HookError, match="health failed after the checkout") as raised:
        crm.handle.checkout("0")
    assert crm.is_new() and crm.application.running
    [record] = [one for one in crm.handle.versions() if one.record.reason == "undo"]
    assert record.label == "undone by itself: health failed"
    hold = crm.handle.reading.state().hold
    assert hold is not None and hold.reason == record.label
    assert raised.value.data["hooks"][-1]["outcome"] == "ok"


def test_an_undo_does_not_stop_at_what_the_new_version_wrote(tmp_path: Path) -> None:
    """It migrated its files, and then it was not well."""
    crm = Crm(tmp_path, start=1)

    def migrate(word: str) -> None:
        if word == "start" and crm.is_old():
            (crm.bench.root / "a").write_bytes(b"migrated")
            (crm.bench.root / "gone").unlink()
            (crm.bench.root / "cache").write_bytes(b"mine")

    with crm.bench:
        crm.application.on = migrate
        with pytest.raises(HookError):
            crm.handle.checkout("0")
        assert (crm.bench.root / "a").read_bytes() == b"new"
        assert (crm.bench.root / "d" / "come").read_bytes() == b"is here"
        assert (crm.bench.root / "cache").read_bytes() == b"mine"
        assert any(s.entry.content for s in crm.handle.history("a"))


def test_a_file_in_a_folder_that_is_to_go_again_keeps_the_folder(tmp_path: Path) -> None:
    crm = Crm(tmp_path, start=1)
    with crm.bench:
        crm.bench.recorded({"k": File()})
        crm.bench.recorded({"k": File(), "sub/f": File(), "e": Dir()})
        crm.bench.recorded({"k": File()})
        crm.application.on = lambda word: (
            word == "start"
            and (
                (crm.bench.root / "sub").is_dir()
                and (crm.bench.root / "sub" / "log").write_bytes(b"x")
            )
        )
        with pytest.raises(HookError):
            crm.handle.checkout("3")
        assert sorted(p.name for p in (crm.bench.root / "sub").iterdir()) == ["log"]
        assert not (crm.bench.root / "e").exists()


def test_a_start_that_fails_again_after_the_undo_is_said(tmp_path: Path) -> None:
    crm = Crm(tmp_path, start=2)
    with crm.bench, pytest.raises(HookError) as raised:
        crm.handle.checkout("0")
    assert "root is as it was before, but start failed again" in (raised.value.hint or "")
    assert crm.is_new()


def test_an_undo_that_fails_is_said_and_done_later(tmp_path: Path) -> None:
    crm = Crm(tmp_path, start=1)
    with crm.bench:
        armed: list[bool] = []
        crm.application.on = lambda word: armed.append(True) if word == "start" else None

        def fault(name: str, arguments: tuple[object, ...]) -> None:
            if armed and name == "mkdir":
                raise OSError(28, "No space left on device")

        with faults(fault), pytest.raises(HookError) as raised:
            crm.handle.checkout("0")
        assert "could not be undone" in raised.value.message
        assert "`epmstore recover`" in (raised.value.hint or "")
        assert raised.value.data["undone"] is False
        assert crm.owes() == "UNDOING"
        with pytest.raises(ConflictError, match="did not come to its end"):
            crm.handle.checkout("1")
        crm.handle.recover()
        assert crm.is_new() and crm.application.running
        assert crm.bench.leftovers() == []


def test_failed_checkout_starts_the_application_again(crm: Crm) -> None:
    def fault(name: str, arguments: tuple[object, ...]) -> None:
        if name == "mkdir":
            raise OSError(28, "No space left on device")

    with faults(fault), pytest.raises(OSError, match="No space"):
        crm.handle.checkout("0")
    assert crm.calls == ["stop", "start", "health"]
    assert crm.application.running and crm.is_new()
    assert crm.bench.leftovers() == []


def test_whatever_kills_it_recover_leaves_a_root_that_is_whole_and_an_application_that_runs(
    tmp_path: Path,
) -> None:
    """At each mutating call in turn: the process is gone, and `recover` comes next. What went back
    is held, whoever brought that to its end.
    """
    n = 0
    while True:
        n += 1
        crm = Crm(tmp_path / str(n))
        with crm.bench:
            calls = Calls(n)
            try:
                with faults(calls):
                    crm.handle.rollback()
            except Killed:
                pass
            else:
                break
            crm.handle.recover()
            assert crm.is_old() or crm.is_new(), calls.names[-1]
            assert (crm.handle.obligations.hold_in_force() is not None) == crm.is_old(), (
                calls.names[-1]
            )
            assert crm.application.running, (n, calls.names)
            assert not lasting(crm)
    assert n > 20


@pytest.mark.parametrize("what", ["stop", "start", "health"])
def test_who_dies_in_a_hook_is_not_forgotten(crm: Crm, what: str) -> None:
    def die(word: str) -> None:
        if word == what:
            crm.application.running = False
            raise Killed

    crm.application.on = die
    with pytest.raises(Killed):
        crm.handle.checkout("0")
    crm.application.on = lambda word: None
    assert crm.owes() == ("STOPPING" if what == "stop" else "STARTING")
    assert crm.handle.obligations.left_behind() is not None
    result = crm.handle.recover()
    assert result is not None
    assert crm.application.running
    assert crm.is_new() if what == "stop" else crm.is_old()
    assert crm.bench.leftovers() == []


def test_an_interrupted_checkout_whose_application_does_not_start_is_undone(crm: Crm) -> None:
    def die(word: str) -> None:
        if word == "start":
            raise Killed

    crm.application.on = die
    with pytest.raises(Killed):
        crm.handle.checkout("0")
    crm.application.on = lambda word: None
    crm.application.fails["start"] = 1
    with pytest.raises(HookError, match="undone"):
        crm.handle.recover()
    assert crm.is_new() and crm.application.running


def test_who_dies_while_what_was_undone_is_started_leaves_it_held(crm: Crm) -> None:
    """Or the next automatic run would try again what has just failed."""

    def die(word: str) -> None:
        if word == "start" and crm.is_new():
            raise Killed

    crm.application.on = die
    crm.application.fails["start"] = 1
    with pytest.raises(Killed):
        crm.handle.checkout("0")
    assert crm.is_new() and crm.owes() == "UNDOING"
    crm.application.on = lambda word: None
    crm.handle.recover()
    assert crm.application.running and crm.owes() is None
    hold = crm.handle.reading.state().hold
    assert hold is not None and hold.reason == "undone by itself: start failed"


def test_after_a_restart_of_the_host_nobody_is_started_twice(crm: Crm, boot: Path) -> None:
    def die(word: str) -> None:
        if word == "start":
            raise Killed

    crm.application.on = die
    with pytest.raises(Killed):
        crm.handle.checkout("0")
    boot.write_text("two")
    crm.calls.clear()
    crm.handle.obligations.recover(what="boot")
    assert crm.calls == [] and crm.is_old()
    assert crm.owes() is None


def test_the_boot_unit_leaves_alone_what_may_be_running(crm: Crm) -> None:
    def die(word: str) -> None:
        if word == "start":
            raise Killed

    crm.application.on = die
    with pytest.raises(Killed):
        crm.handle.checkout("0")
    crm.calls.clear()
    assert crm.handle.obligations.recover(what="boot") is None
    assert crm.calls == [] and crm.owes() == "STARTING"


# Confirmations.


def test_a_confirmation_needs_somebody_who_would_undo(crm: Crm) -> None:
    with pytest.raises(ConflictError, match="no epmstored runs") as raised:
        crm.handle.checkout("0", confirm=300.0)
    assert raised.value.exit_code == 7
    assert crm.calls == [] and crm.is_new()


def test_confirmed_checkout_stays(crm: Crm) -> None:
    result = crm.checkout_to_confirm()
    assert result.confirm_by is not None
    pending = crm.handle.obligations.pending
    assert pending is not None and (pending.from_, pending.version, pending.seconds) == (1, 2, 300)
    assert pending.until == result.confirm_by
    assert crm.handle.confirm() == 2
    crm.clock.advance(1000)
    assert not crm.handle.obligations.is_expired
    assert crm.handle.obligations.undo_unconfirmed() is None
    assert crm.is_old() and crm.bench.leftovers() == []


def test_overdue_confirmation_names_the_announced_time(crm: Crm) -> None:
    result = crm.checkout_to_confirm()
    crm.clock.advance(1000)
    pending = crm.handle.obligations.pending
    assert pending is not None and (pending.until, pending.seconds) == (result.confirm_by, 0)


def test_unconfirmed_checkout_is_undone(crm: Crm) -> None:
    crm.checkout_to_confirm()
    crm.clock.advance(299)
    assert crm.handle.obligations.undo_unconfirmed() is None
    crm.clock.advance(1)
    crm.calls.clear()
    result = crm.handle.obligations.undo_unconfirmed()
    assert result is not None and result.changed and result.held
    assert crm.calls == ["stop", "start", "health"]
    assert crm.is_new() and crm.application.running
    assert crm.bench.leftovers() == []
    assert crm.handle.versions()[-1].label == "undone by itself: not confirmed in time"


def test_drift_since_is_no_excuse(crm: Crm) -> None:
    crm.checkout_to_confirm()
    (crm.bench.root / "a").write_bytes(b"edited in good hope")
    crm.bench.record()
    crm.clock.advance(300)
    assert crm.handle.obligations.undo_unconfirmed() is not None
    assert (crm.bench.root / "a").read_bytes() == b"new"


def test_setting_the_clock_changes_no_deadline(crm: Crm) -> None:
    crm.checkout_to_confirm()
    crm.clock.set(crm.clock.now() + 86400)
    assert not crm.handle.obligations.is_expired
    crm.clock.set(0.0)
    crm.clock.advance(299)
    assert not crm.handle.obligations.is_expired
    crm.clock.advance(1)
    assert crm.handle.obligations.is_expired


def test_a_restart_of_the_host_stops_no_deadline(crm: Crm, boot: Path) -> None:
    crm.checkout_to_confirm()
    boot.write_text("two")
    crm.clock.restart(120)
    assert not crm.handle.obligations.is_expired
    crm.clock.advance(180)
    assert crm.handle.obligations.is_expired


def test_a_clock_that_forgot_the_time_counts_from_its_start(crm: Crm, boot: Path) -> None:
    crm.checkout_to_confirm()
    boot.write_text("two")
    crm.clock.restart()
    crm.clock.set(1000.0)  # a host without a battery
    assert not crm.handle.obligations.is_expired
    crm.clock.advance(290)  # it was up for ten seconds already
    assert crm.handle.obligations.is_expired


def test_recover_undoes_what_nobody_confirmed(crm: Crm, boot: Path) -> None:
    crm.checkout_to_confirm()
    boot.write_text("two")
    crm.clock.restart(400)
    crm.calls.clear()
    crm.handle.obligations.recover(what="boot")
    assert crm.is_new() and crm.calls == []
    assert crm.owes() is None


def test_nothing_else_is_done_while_a_confirmation_is_waited_for(crm: Crm) -> None:
    crm.checkout_to_confirm()
    with pytest.raises(ConflictError, match="waits to be confirmed"):
        crm.handle.checkout("1")
    assert crm.handle.undo().changed
    assert crm.handle.obligations.pending is None and crm.is_new()


def test_there_is_nothing_to_confirm(crm: Crm) -> None:
    with pytest.raises(NotFoundError):
        crm.handle.confirm()


def test_a_confirmation_survives_a_kill_at_any_moment(tmp_path: Path) -> None:
    """Whoever dies between the switch and the note that a confirmation is waited for."""
    n = 0
    while True:
        n += 1
        crm = Crm(tmp_path / str(n), Hooks())
        with crm.bench:
            try:
                with crm.daemon(), faults(Calls(n)):
                    crm.handle.checkout("0", confirm=60.0)
            except Killed:
                pass
            else:
                break
            crm.handle.recover()
            if crm.is_old():
                crm.clock.advance(60)
                assert crm.handle.obligations.undo_unconfirmed() is not None
            assert crm.is_new()
            assert not lasting(crm)


# Holds.


def test_a_rollback_holds_and_its_undo_lets_go(crm: Crm) -> None:
    assert crm.handle.rollback().held
    with pytest.raises(ConflictError, match=r"is held .* rolled back to the content of 0"):
        crm.handle.checkout("1", unattended=True)
    assert crm.handle.undo().changed
    assert crm.handle.reading.state().hold is None
    assert crm.handle.checkout("0", unattended=True).changed


def test_a_person_may_move_what_is_held(crm: Crm) -> None:
    crm.handle.hold("do not touch")
    assert crm.handle.checkout("0").changed
    assert (
        crm.handle.obligations.hold_in_force() or pytest.fail("let go")
    ).reason == "do not touch"


def test_a_hold_may_end_by_itself(crm: Crm) -> None:
    crm.handle.hold("over the weekend", "2026-09-25T00:00:00Z")
    assert crm.handle.obligations.hold_in_force() is not None
    crm.clock.advance(86400 * 365)
    assert crm.handle.obligations.hold_in_force() is None
    crm.handle.unhold()
    with pytest.raises(NotFoundError):
        crm.handle.unhold()


# The file.


def test_a_damaged_file_is_an_error_and_not_a_guess(crm: Crm) -> None:
    crm.checkout_to_confirm()
    file = owed_module.owed_file(crm.bench.store, crm.bench.app.uuid)
    data = bytearray(file.path.read_bytes())
    for at in range(0, len(data), 7):
        flipped = bytearray(data)
        flipped[at] ^= 1
        file.path.write_bytes(flipped)
        with pytest.raises(DamagedError):
            file.load()
    file.path.write_bytes(data)
    assert file.load() is not None


def test_who_does_not_let_go_of_its_files_is_found_after_the_stop(crm: Crm) -> None:
    command = [sys.executable, "-c", "import sys; f = open(sys.argv[1], 'ab'); print(); input()"]
    with subprocess.Popen(
        [*command, crm.bench.root / "a"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(InUseError, match="open for writing") as raised:
            crm.handle.checkout("0")
        holder.communicate(b"\n")
    assert crm.calls == ["stop", "start", "health"]
    assert crm.is_new() and crm.bench.leftovers() == []
    assert len(raised.value.data["hooks"]) == 3
