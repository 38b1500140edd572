"""Times: local for people, UTC for the library."""

import time
from collections.abc import Iterator

import pytest

from epmstore.cli.moments import local, local_ns, parse, selector
from epmstore.clock import datable, from_rfc3339, to_rfc3339
from epmstore.errors import UsageError

NOON = 1_790_000_000.0


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_time_is_shown_in_the_local_zone_with_its_name() -> None:
    assert local("2026-10-03T12:02:03.123Z") == "2026-10-03 14:02:03 CEST"
    assert local("2026-12-03T12:02:03Z") == "2026-12-03 13:02:03 CET"
    assert local(None) == "-"


def test_an_impossible_mtime_is_still_shown() -> None:
    assert local_ns(1 << 80).startswith("@")
    assert local_ns(None) == ""


def test_a_typed_time_is_local_unless_it_says_otherwise() -> None:
    assert selector("@2026-10-03T14:00") == "@2026-10-03T12:00:00.000Z"
    assert selector("@2026-10-03T14:00Z") == "@2026-10-03T14:00:00.000Z"
    assert selector("@2026-10-03T14:00~2") == "@2026-10-03T12:00:00.000Z~2"
    assert selector("@2026-12-03") == "@2026-12-02T23:00:00.000Z"


def test_versions_that_are_no_times_are_left_alone() -> None:
    assert [selector(v) for v in ("117", "latest~1", "golden", "now")] == [
        "117",
        "latest~1",
        "golden",
        "now",
    ]


def test_durations_count_back_from_now() -> None:
    assert parse("7d", NOON) == NOON - 7 * 86_400
    assert parse("1d12h", NOON) == NOON - 36 * 3600
    assert parse("yesterday", NOON) == parse("today", NOON) - 86_400


@pytest.mark.parametrize(
    "typed", ["", "soon", "2026-13-01", "7x", "-1", "@", "99999-01-01", "9999999d", "9" * 400 + "w"]
)
def test_times_that_are_none_are_refused(typed: str) -> None:
    with pytest.raises(UsageError, match="is not a time"):
        parse(typed, NOON)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_times_at_the_end_of_all_dates_are_shown(text: str) -> None:
    assert local(text)[4:5] == "-" or local(text)[1:2] == "-"


@pytest.mark.parametrize("seconds", [1e18, -1e18, 1e308, 253_402_300_800.0, float("inf")])
def test_a_clock_beyond_all_dates_has_the_last_one(seconds: float) -> None:
    assert from_rfc3339(to_rfc3339(seconds)) in (datable(1e18), datable(-1e18))
