import re
from pathlib import Path

import msgspec
import pytest

from epmstore.errors import ConflictError
from epmstore.publish.build import BuildRecord
from epmstore.publish.lifecycle import (
    FAILURES_MAX,
    NEXT,
    STATES,
    TRANSITIONS,
    backoff,
    failed,
    moved,
)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "pipeline.md"
BUILD = BuildRecord(
    number=1, product="crm", kind="full", payload="tar.gz", path="/b", owner="rel", since=1.0
)


def in_state(state: str, association: str = "") -> BuildRecord:
    return msgspec.structs.replace(BUILD, state=state, association=association)


@pytest.mark.parametrize("event", TRANSITIONS)
@pytest.mark.parametrize("state", STATES)
def test_only_what_the_table_has_can_happen(event: str, state: str) -> None:
    after = TRANSITIONS[event].get(state)
    if after is None:
        with pytest.raises(ConflictError):
            moved(in_state(state), event, 5.0)
        return
    found = moved(in_state(state), event, 5.0)
    assert found.state == after
    assert found.since == (1.0 if after == state else 5.0)


def test_the_page_has_the_table() -> None:
    rows = re.findall(
        r"^\| `([a-z ]+)` \| ([^|]+) \| `([^|`]*)` \|", PAGE.read_text(), re.MULTILINE
    )
    found: dict[str, dict[str, str]] = {}
    for event, froms, after in rows:
        found.setdefault(event, {}).update(dict.fromkeys(re.findall(r"`([^`]*)`", froms), after))
    shown = {
        event: {before or " ": after or " " for before, after in steps.items()}
        for event, steps in TRANSITIONS.items()
    }
    assert found == shown


def test_every_state_says_what_is_next() -> None:
    assert set(NEXT) == set(STATES)


def test_the_tenth_failure_in_a_row_holds() -> None:
    build = BUILD
    for count in range(1, FAILURES_MAX):
        build = failed(build, "gone", 10.0)
        assert (build.state, build.failures, build.due) == ("error", count, 10.0 + backoff(count))
    build = failed(build, "gone", 10.0)
    assert (build.state, build.error) == ("hold", "gone")
    again = moved(build, "unhold", 20.0)
    assert (again.state, again.failures, again.error, again.due) == ("", 0, None, 0.0)


def test_a_full_disk_or_a_remote_that_fails_holds_no_build() -> None:
    build = BUILD
    for count in (1, 2, 3, 4, 5, 5, 5, 5, 5, 5, 5, 5):
        build = failed(build, "no room", 10.0, blamed=False)
        assert (build.state, build.due) == ("error", 10.0 + backoff(count))
    found = in_state("withdrawn")
    for _ in range(2 * FAILURES_MAX):
        found = failed(found, "denied", 10.0)
    assert (found.state, found.due) == ("withdrawn", 10.0 + backoff(5))


def test_waiting_doubles_and_ends() -> None:
    assert [backoff(n) for n in (1, 2, 3)] == [60.0, 120.0, 240.0]
    assert backoff(100) == 21_600.0


def test_an_associated_build_is_withdrawn_and_not_held() -> None:
    with pytest.raises(ConflictError) as caught:
        moved(in_state("done", "associated"), "hold", 5.0)
    assert "withdraw" in (caught.value.hint or "")
    assert moved(in_state("done", "associated"), "withdraw", 5.0).association == ""
