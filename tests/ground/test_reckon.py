"""Reckoned time: no clock makes it later than it is, and every clock that keeps to its word counts
in the end.
"""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore.reckon import (
    DAY,
    GRACE,
    HOUR,
    OFF,
    SLACK,
    ClockDoubt,
    ClockReading,
    Reckoning,
    begin,
    carry_on,
    credible,
    is_due,
)

START = 1_790_000_000.0


class Machine:
    """A host with a clock that may be wrong by `error`, and its reckoning, noted only when due."""

    def __init__(self, error: float = 0.0, newest: float | None = None) -> None:
        self.true, self.uptime, self.starts, self.error = START, 5000.0, 0, error
        self.noted = begin(self.read(), newest)
        self.found = self.noted

    def read(self) -> ClockReading:
        return ClockReading(self.true + self.error, f"start {self.starts}", self.uptime)

    def run(self, seconds: float) -> Reckoning:
        self.true += seconds
        self.uptime += seconds
        return self.look()

    def restart(self, off: float) -> Reckoning:
        self.true += off
        self.uptime, self.starts = 20.0, self.starts + 1
        return self.look()

    def look(self) -> Reckoning:
        self.found = carry_on(self.noted, self.read())
        if is_due(self.noted, self.found):
            self.noted = self.found
        return self.found

    def run_for(self, seconds: float, step: float = HOUR / 2) -> Reckoning:
        while seconds > 0:
            self.run(min(step, seconds))
            seconds -= step
        return self.found


def test_a_clock_that_goes_on_is_believed() -> None:
    host = Machine()
    for _ in range(300):
        host.run(HOUR)
        assert host.found.doubt is None and host.found.sure == host.true
        host.restart(off=8 * HOUR)
        assert host.found.doubt is None and host.found.sure == host.true
    assert host.run(300 * DAY).doubt is None  # nobody looked for long


@pytest.mark.parametrize("error", [3 * 365 * DAY, -3 * 365 * DAY, 5 * DAY, 2 * HOUR, -START])
@pytest.mark.parametrize("restarts", [False, True])
def test_a_leap_is_named_and_nothing_is_old_by_it(error: float, restarts: bool) -> None:
    host = Machine()
    host.run(HOUR)
    host.error = error
    if restarts and 0 < error <= OFF:
        return  # nobody can tell that from a night off
    found = host.restart(off=60) if restarts else host.look()
    assert found.has_leapt
    while found.doubt is not None and found.doubt.lasted < GRACE - HOUR:
        assert found.sure <= host.true + SLACK
        found = host.run(HOUR)
    assert found.has_leapt
    assert host.run_for(2 * HOUR).doubt is None  # it kept to its word
    assert host.found.sure == host.true + error


def test_a_clock_that_is_put_right_is_believed_at_once() -> None:
    host = Machine()
    for error in (3 * 365 * DAY, -START, 9 * DAY):
        host.error = error
        host.run_for(DAY)
        assert host.found.has_leapt
        host.error = 0.0
        assert host.look().doubt is None and host.found.sure == host.true


def test_a_host_without_a_clock_of_its_own_forgets_in_the_end() -> None:
    """Each start is in 1970, until a time server is asked."""
    host = Machine()
    for _ in range(20):
        host.run_for(DAY)
        host.error = -host.true
        assert host.restart(off=120).has_leapt
        host.run(60)
        host.error = 0.0
        assert host.look().doubt is None


def test_a_host_without_a_clock_of_its_own_that_was_off_for_the_night() -> None:
    """The time server's word is that of a clock that went on."""
    host = Machine()
    host.error = -host.true
    assert host.restart(off=10 * HOUR).has_leapt
    host.error = 0.0
    assert host.run(60).doubt is None and host.found.sure == host.true


def test_a_store_that_moves_between_hosts() -> None:
    """Each has been up for longer than the other had the store, and their clocks are right."""
    host = Machine()
    for number in range(1, 21):
        host.starts, host.uptime = number, host.uptime + 400 * DAY
        assert host.run(HOUR).doubt is None and host.found.sure == host.true


@pytest.mark.parametrize("error", [10 * DAY, 100 * DAY, 390 * DAY, 3 * 365 * DAY])
def test_the_uptime_of_another_host_vouches_for_no_clock(error: float) -> None:
    host = Machine()
    host.starts, host.uptime, host.error = 1, 400 * DAY, error
    found = host.run(HOUR)
    assert found.has_leapt and found.sure <= host.true


def test_a_host_that_nobody_looked_at_since_its_start() -> None:
    host = Machine()
    host.true, host.uptime, host.starts = host.true + 41 * DAY, 40 * DAY, 1
    assert host.look().doubt is None and host.found.sure == host.true


def test_a_host_that_was_off_for_a_year() -> None:
    host = Machine()
    host.restart(off=365 * DAY)
    assert host.found.has_leapt and host.found.sure < host.true - 364 * DAY
    for _ in range(14):  # and is off at night
        host.run_for(13 * HOUR)
        host.restart(off=11 * HOUR)
    assert host.found.doubt is None and host.found.sure == host.true


def test_where_nothing_is_known_the_clock_is_observed_first() -> None:
    old = Machine(newest=START - 300 * DAY)
    assert old.found.sure == START - 300 * DAY and old.found.has_leapt
    young = Machine(newest=START - HOUR)
    assert young.found.doubt == ClockDoubt(START) and not young.found.has_leapt
    assert young.run_for(GRACE - HOUR).doubt is not None
    assert young.run_for(2 * HOUR).doubt is None
    assert Machine().found.doubt is None  # nothing is recorded: nothing can be lost


def test_two_that_disagree_do_not_confuse_each_other() -> None:
    host = Machine()
    host.run(HOUR)
    for _ in range(50):
        host.error = 3 * 365 * DAY  # another process, for which somebody pretends a time
        assert host.run(60).sure <= host.true + SLACK
        host.error = 0.0
        assert host.run(60).sure == host.true


def test_a_host_that_went_back_with_its_store() -> None:
    host = Machine()
    host.run_for(DAY)
    snapshot = msgspec.structs.replace(host.noted), host.uptime
    host.run_for(40 * DAY)
    host.noted, host.uptime = snapshot  # memory and disk are of then, the time is of now
    assert host.look().has_leapt
    assert host.run_for(GRACE + HOUR).sure == host.true


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.floats(1, 3 * DAY)),
        st.tuples(st.just("restart"), st.floats(0, 400 * DAY)),
        st.tuples(st.just("move"), st.floats(0, 400 * DAY)),
        st.tuples(st.just("set"), st.sampled_from([0.0, 10 * DAY, 9e8, -START, -2 * HOUR, -60.0])),
    ),
    max_size=25,
)


@given(EVENTS)
def test_time_is_never_later_than_it_is(events: list[tuple[str, float]]) -> None:
    """As long as no wrong clock was up for the whole grace, nothing can become old by it."""
    host, wrong_for, guessed = Machine(), 0.0, 0.0
    for what, amount in events:
        before = host.true
        if what == "run":
            host.run(amount)
            wrong_for += amount if host.error > 0 else 0.0
        elif what == "restart":
            host.restart(amount)
        elif what == "move":
            host.true, host.uptime, host.starts = before + 60, amount, host.starts + 1
            host.look()
        else:
            host.error = amount
            host.look()
        guessed += max(0.0, host.true - before) * 0.002
        if wrong_for >= GRACE - DAY:
            return
        assert host.found.sure <= host.true + SLACK + guessed + 1


@given(st.lists(st.floats(0, 100), max_size=12), st.floats(0, 100))
def test_times_of_versions_are_believed_as_far_as_they_agree(
    times: list[float], now: float
) -> None:
    found = credible(times, now)
    assert found == sorted(found) and all(time <= now for time in found)
    for at, (said, believed) in enumerate(zip(times, found, strict=True)):
        if said <= now:
            assert believed >= said  # rather kept than lost
        if times[: at + 1] == sorted(times[: at + 1]) and said <= now:
            assert believed == said


def test_a_version_recorded_in_1970_is_as_old_as_the_one_before_it() -> None:
    assert credible([10, 11, 0, 12], 20) == [10, 11, 11, 12]
    assert credible([10, 11, 5000, 12, 13], 20) == [10, 11, 12, 12, 13]
    assert credible([10, 11, 5000], 20) == [10, 11, 20]
