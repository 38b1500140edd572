"""What may be forgotten, and above all what may not."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore.catalog.model import Decoded, ForgetRecord, PinRecord, TagRecord, VersionPart
from epmstore.catalog.retention import DEFAULT, Point, Policy, forgettable, points, reasons
from epmstore.catalog.state import reduce
from epmstore.clock import from_rfc3339, to_rfc3339
from epmstore.reckon import DAY
from tests.catalog.trees import header

NOW = from_rfc3339("2026-10-03T14:00:00Z")
NOTHING = Policy(
    keep_last=0,
    keep_change_days=0,
    keep_drift_days=0,
    keep_undo_days=0,
    keep_hourly=0,
    keep_daily=0,
    keep_weekly=0,
    keep_monthly=0,
    keep_yearly=0,
)


def policy(**numbers: int) -> Policy:
    return msgspec.structs.replace(NOTHING, **numbers)


def point(version: int, days_ago: float, kind: str = "change", **other: object) -> Point:
    made = Point(version=version, time=NOW - days_ago * DAY, kind="change")
    return msgspec.structs.replace(made, kind=kind, **other)


def kept(found: list[Point], rules: Policy) -> list[int]:
    gone = set(forgettable(found, rules, NOW))
    return [each.version for each in found if each.version not in gone]


def test_the_latest_is_always_kept() -> None:
    assert kept([point(n, 9000 - n, "drift") for n in range(3)], NOTHING) == [2]
    assert forgettable([], DEFAULT, NOW) == []


def test_pins_and_tags_are_always_kept() -> None:
    found = [point(0, 900, pinned=True), point(1, 900, "drift", tagged=True), point(2, 9)]
    assert kept([*found, point(3, 1)], NOTHING) == [0, 1, 3]
    assert reasons(found, NOTHING, NOW) == {0: ["pinned"], 1: ["tagged"], 2: ["latest"]}


def test_versions_that_undo_needs_are_kept_for_a_while() -> None:
    found = [
        point(0, 900, "drift", undo=NOW - 29 * DAY),
        point(1, 900, "drift", undo=NOW - 31 * DAY),
        point(2, 0),
    ]
    assert kept(found, policy(keep_undo_days=30)) == [0, 2]


def test_drift_goes_before_changes() -> None:
    found = [point(n, 20 - n, "drift" if n % 2 else "change") for n in range(20)]
    rules = policy(keep_change_days=10, keep_drift_days=5)
    assert kept(found, rules) == [12, 14, 16, 17, 18, 19]


def test_the_last_changes_are_kept_however_old() -> None:
    found = [point(0, 900), point(1, 800), point(2, 700, "drift"), point(3, 600)]
    assert kept([*found, point(4, 500, "drift")], policy(keep_last=2)) == [1, 3, 4]


def test_a_period_keeps_its_newest_change_before_its_newest_drift() -> None:
    found = [
        point(0, 2.3, "drift"),
        point(1, 2.2, "drift"),
        point(2, 1.3),
        point(3, 1.2, "drift"),
        point(4, 0.2),
        point(5, 0.1),
        point(6, 0, "drift"),
    ]
    assert kept(found, policy(keep_daily=3)) == [1, 2, 5, 6]
    assert kept(found, policy(keep_daily=2)) == [2, 5, 6]


@pytest.mark.parametrize(
    ("period", "hours"),
    [("hourly", 1), ("daily", 24), ("weekly", 7 * 24), ("monthly", 31 * 24), ("yearly", 366 * 24)],
)
def test_so_many_periods_are_kept(period: str, hours: int) -> None:
    found = [point(n, hours * (9 - n) / 24) for n in range(10)]
    assert kept(found, policy(**{f"keep_{period}": 4})) == [6, 7, 8, 9]


def test_periods_without_versions_do_not_count() -> None:
    found = [point(0, 900), point(1, 500), point(2, 0)]
    assert kept(found, policy(keep_daily=2)) == [1, 2]


def test_the_default_is_sane() -> None:
    hourly = [point(n, (24 * 800 - n) / 24, "drift") for n in range(24 * 800)]
    left = kept(hourly, DEFAULT)
    assert 7 * 24 + 50 < len(left) < 7 * 24 + 150
    daily = [point(n, 300 - n) for n in range(300)]
    assert kept(daily, DEFAULT) == list(range(300))


@given(
    st.lists(
        st.tuples(st.floats(0, 800), st.sampled_from(["change", "drift"])), min_size=1, max_size=40
    )
)
def test_forgetting_twice_forgets_no_more(drawn: list[tuple[float, str]]) -> None:
    days = sorted(drawn, reverse=True)
    found = [point(n, ago, kind) for n, (ago, kind) in enumerate(days)]
    rules = policy(keep_last=2, keep_daily=3, keep_monthly=3, keep_drift_days=2)
    left = kept(found, rules)
    again = [each for each in found if each.version in left]
    assert forgettable(again, rules, NOW) == []


def test_points_of_a_history() -> None:
    times = [to_rfc3339(NOW + n) for n in range(5)]
    records: list[Decoded] = [
        VersionPart(header(0, tree=f"{0:064}", time=times[0])),
        VersionPart(header(1, tree=f"{1:064}", time=times[1], kind="drift", reason="safety")),
        VersionPart(
            header(2, tree=f"{2:064}", time=times[2], reason="checkout", safety=1, from_=1, of=0)
        ),
        VersionPart(header(3, tree=f"{3:064}", time=times[3], kind="drift")),
        VersionPart(
            header(4, tree=f"{4:064}", time=times[4], reason="checkout", safety=None, from_=3, of=0)
        ),
        PinRecord(time=times[4], version=0, pinned=True),
        TagRecord(time=times[4], name="good", version=2),
        ForgetRecord(time=times[4], versions=(3,)),
    ]
    assert points(reduce(records), NOW + 9) == [
        Point(version=0, time=NOW, kind="change", pinned=True),
        Point(version=1, time=NOW + 1, kind="drift", undo=NOW + 2),
        Point(version=2, time=NOW + 2, kind="change", tagged=True),
        Point(version=4, time=NOW + 4, kind="change"),
    ]


def test_commands_that_changed_nothing_push_no_change_out() -> None:
    found = [point(n, 900) for n in range(3)]
    found += [point(n, 800, changes_nothing=True) for n in range(3, 9)]
    assert kept(found, policy(keep_last=2)) == [1, 2, 8]
