"""A clock that is wrong takes nothing: a real store, and a clock that is set by hand."""

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from epmstore.catalog.model import ForgetRecord
from epmstore.catalog.retention import Policy
from epmstore.clock import to_rfc3339
from epmstore.config import CareConfig, RetentionConfig
from epmstore.errors import NotRestorableError
from epmstore.reckon import GRACE, HOUR
from epmstore.store.commit import commit_fact
from epmstore.store.reckoned import FILE
from epmstored.caretasks import CareOrder, perform
from tests.kit.worn import DAY, WornHost

YEARS = 3 * 365 * DAY
SHORT = Policy(
    keep_last=1,
    keep_change_days=2,
    keep_drift_days=2,
    keep_hourly=0,
    keep_daily=0,
    keep_weekly=0,
    keep_monthly=0,
    keep_yearly=0,
)


@pytest.fixture
def host(tmp_path: Path) -> WornHost:
    """Six versions of the last five hours, with contents of their own."""
    host = WornHost(tmp_path, files=3)
    host.clock.advance(30 * DAY)
    for _ in range(6):
        host.clock.advance(HOUR)
        host.write("bin/f0", host.random.randbytes(5000))
        host.snapshot()
    with host.open() as ws, ws._store.lock_write():
        ws._store.packlog.begin_next()
    return host


def restorable(host: WornHost) -> list[int]:
    with host.open() as ws:
        return [info.version for info in ws.app("crm").versions() if info.restorable]


def forget_and_collect(host: WornHost) -> tuple[int, ...]:
    with host.open() as ws:
        found = ws.care.forget("crm", SHORT).versions
        ws.care.gc()
    return found


def ahead(host: WornHost) -> None:
    host.clock.set(host.clock.now() + YEARS)


def ahead_at_a_start(host: WornHost) -> None:
    host.clock.restart(YEARS)


def nothing_known(host: WornHost) -> None:
    (host.path / FILE).unlink()
    ahead(host)


def junk_known(host: WornHost) -> None:
    (host.path / FILE).write_bytes(b"{}")
    ahead(host)


def ahead_while_recorded(host: WornHost) -> None:
    """Somebody records by the wrong clock, and the reckoning is lost."""
    ahead(host)
    host.snapshot()
    (host.path / FILE).unlink()


WRONG = [ahead, ahead_at_a_start, nothing_known, junk_known, ahead_while_recorded]


@pytest.mark.parametrize("go_wrong", WRONG)
def test_a_wrong_clock_takes_nothing(host: WornHost, go_wrong: Callable[[WornHost], None]) -> None:
    go_wrong(host)
    for _ in range(3):
        forget_and_collect(host)
        host.clock.advance(5 * HOUR)
    host.clock.set(host.clock.now() - YEARS)
    host.check()
    with host.open() as ws:
        forgotten = [v.version for v in ws.app("crm").versions() if not v.restorable]
        ws.care.unforget("crm", forgotten)
    assert restorable(host)[:6] == [0, 1, 2, 3, 4, 5]
    host.check()


def test_a_host_that_was_off_for_a_year_forgets_a_week_later(host: WornHost) -> None:
    host.clock.restart(365 * DAY)
    assert forget_and_collect(host) == ()
    host.clock.advance(GRACE + HOUR)
    host.snapshot()
    assert forget_and_collect(host) == (0, 1, 2, 3, 4)
    host.clock.advance(DAY + HOUR)
    forget_and_collect(host)
    with host.open() as ws, pytest.raises(NotRestorableError):
        ws.care.unforget("crm", [0])


def test_versions_recorded_in_1970_are_not_the_oldest(host: WornHost) -> None:
    now = host.clock.now()
    host.clock.set(1000.0)
    for _ in range(2):
        host.edit("bin/f1")
        host.snapshot()
    host.clock.set(now + 600)
    host.edit("bin/f1")
    host.snapshot()
    assert forget_and_collect(host) == ()
    assert restorable(host) == list(range(9))


def test_contents_forgotten_by_policy_stay_for_a_day(host: WornHost) -> None:
    host.clock.advance(3 * DAY)
    host.edit("bin/f1")
    host.snapshot()
    with host.open() as ws:
        assert ws.care.forget("crm", SHORT).versions == (0, 1, 2, 3, 4, 5)
        found = ws.care.gc(dry_run=True)
        assert (found.held, found.dropped) == (6, 0)
        assert ws.care.gc().held == 6
        ws.care.unforget("crm", [0, 1, 2, 3])
        ws.care.forget("crm", [0, 1, 2, 3])  # named
        assert ws.care.gc().held == 2
        with pytest.raises(NotRestorableError):
            ws.care.unforget("crm", [0])
        ws.care.unforget("crm", [4])
        host.clock.advance(DAY)
        assert ws.care.gc().held == 0
    host.check()


def test_a_person_may_have_it_now(host: WornHost) -> None:
    host.clock.advance(3 * DAY)
    host.edit("bin/f1")
    host.snapshot()
    ahead(host)
    with host.open() as ws:
        ws.care.forget("crm", SHORT)
        assert ws.care.gc().held
        would = ws.care.gc(dry_run=True, now=True)
        assert would.held == 0 and would.freed > 0
        ws.care.gc(now=True)
        with pytest.raises(NotRestorableError):
            ws.care.unforget("crm", [0])


def test_contents_forgotten_by_an_older_program_go_after_a_day(host: WornHost) -> None:
    with host.open() as ws:
        fact = ForgetRecord(time=to_rfc3339(host.clock.now()), versions=(0,))
        commit_fact(ws._store, ws.apps.get("crm").uuid, fact)
        assert ws.care.gc().held == 1
        host.clock.advance(DAY)
        assert ws.care.gc().held == 0


def test_a_hold_does_not_end_by_a_clock_that_leaps(host: WornHost) -> None:
    with host.open() as ws:
        ws.app("crm").hold("audit", until=to_rfc3339(host.clock.now() + 3 * DAY))
        ahead(host)
        assert ws.app("crm").obligations.hold_in_force() is not None
        host.clock.set(host.clock.now() - YEARS)
        host.clock.advance(4 * DAY)
        assert ws.app("crm").obligations.hold_in_force() is None


def test_a_leap_is_named_until_it_is_over(host: WornHost) -> None:
    def clocks() -> tuple[bool, object]:
        with host.open() as ws:
            [check] = [one for one in ws.care.doctor() if one.name == "clock"]
            return check.ok, ws.app("crm").obligations.aftermath().clock

    assert clocks() == (True, None)
    ahead(host)
    ok, known = clocks()
    assert not ok and known is not None
    host.snapshot()
    host.clock.advance(GRACE + HOUR)
    assert clocks() == (True, None)


def test_versions_of_a_doubtful_clock_say_both_times(host: WornHost) -> None:
    ahead(host)
    host.edit("bin/f1")
    host.snapshot()
    with host.open() as ws:
        newest = ws.app("crm").versions()[-1]
        assert newest.time - newest.reckoned == pytest.approx(YEARS, abs=1)
        assert ws.app("crm").versions()[-2].record.reckoned is None


def test_the_daemon_forgets_nothing_by_a_doubtful_clock(host: WornHost) -> None:
    order = CareOrder(
        store=str(host.path),
        task="forget",
        care=CareConfig(),
        retention=msgspec.structs.replace(RetentionConfig(), keep_change_days=2, keep_last=1),
        parent=0,
    )
    ahead(host)
    with host.open() as ws:
        [said] = perform(ws, order).said
    assert said.level == logging.INFO and "in doubt" in said.text
    assert restorable(host) == [0, 1, 2, 3, 4, 5]
