"""When care is due, and what little room means: values in, values out."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore.config import CareConfig, Config, RetentionConfig, StoreConfig
from epmstored.room import AMPLE, Room, Usage, judge
from epmstored.schedule import DAY, FIRST, ORDER, RETRY, Attempts, due, jitter, next_time

NOW = 1_790_000_000.0
PLAIN = Config()


def after(seconds: float, **found: Attempts) -> str | None:
    return due(found, PLAIN, now=NOW + seconds, seed="x", since=NOW)


def test_tasks_never_done_begin_a_while_after_the_start() -> None:
    assert after(0) is None
    assert after(FIRST * 0.8) is None
    assert after(FIRST * 1.2) == "forget"


def test_one_after_the_other_and_then_a_day_later() -> None:
    found: dict[str, Attempts] = {}
    done = []
    for _ in ORDER:
        task = after(FIRST * 2, **found)
        assert task is not None
        done.append(task)
        found[task] = Attempts(NOW + FIRST * 2, NOW + FIRST * 2)
    assert done == list(ORDER)
    assert after(FIRST * 2 + DAY * 0.85, **found) is None
    assert after(FIRST * 2 + DAY * 1.15, **found) is not None


def test_failed_tasks_are_tried_again_later() -> None:
    failed = Attempts(None, NOW + FIRST * 2)
    others = {task: Attempts(NOW, NOW) for task in ORDER[1:]}
    assert after(FIRST * 2 + RETRY * 0.8, forget=failed, **others) is None
    assert after(FIRST * 2 + RETRY * 1.2, forget=failed, **others) == "forget"


def test_a_clock_that_was_ahead_puts_nothing_off() -> None:
    """A host that boots with a wrong time notes what it does for years to come."""
    later = Attempts(NOW + 1000 * DAY, NOW + 1000 * DAY)
    found: dict[str, Attempts] = dict.fromkeys(ORDER, later)
    assert after(FIRST * 1.2, **found) == "forget"
    assert due(found, PLAIN, now=NOW, seed="x", since=NOW + 1000 * DAY) == "forget"


@pytest.mark.parametrize(
    ("config", "task"),
    [
        (Config(retention=RetentionConfig(enabled=False)), "forget"),
        (Config(care=CareConfig(fsck_percent=0.0)), "data"),
        (Config(care=CareConfig(drill=None)), "drill"),
    ],
)
def test_disabled_tasks_are_never_due(config: Config, task: str) -> None:
    assert next_time(task, Attempts(), config, seed="x", since=NOW) is None  # type: ignore[arg-type]
    found: dict[str, Attempts] = {n: Attempts(NOW, NOW) for n in ORDER if n != task}
    assert due(found, config, now=NOW + DAY / 2, seed="x", since=NOW) is None


@given(st.text(), st.sampled_from(ORDER))
def test_chance_is_small_and_always_the_same(seed: str, task: str) -> None:
    found = jitter(seed, task)  # type: ignore[arg-type]
    assert -0.1 <= found <= 0.1
    assert found == jitter(seed, task)  # type: ignore[arg-type]


LIMITS = StoreConfig(max_size=1000, min_free=500)
ROOMY = StoreConfig(max_size=None, min_free=None)


@pytest.mark.parametrize(
    ("usage", "level"),
    [
        (Usage(0, 5000), "ample"),
        (Usage(899, 5000), "ample"),
        (Usage(900, 5000), "scarce"),
        (Usage(999, 5000), "scarce"),
        (Usage(1000, 5000), "full"),
        (Usage(0, 999), "scarce"),
        (Usage(0, 500), "scarce"),
        (Usage(0, 499), "full"),
    ],
)
def test_room(usage: Usage, level: str) -> None:
    found = judge(usage, LIMITS)
    assert found.level == level
    assert bool(found.why) == (level != "ample")


def test_a_full_store_is_full_until_there_is_some_more_room() -> None:
    full = Room("full", "x")
    assert judge(Usage(960, 5000), LIMITS, full).level == "full"
    assert judge(Usage(940, 5000), LIMITS, full).level == "scarce"
    assert judge(Usage(0, 510), LIMITS, full).level == "full"
    assert judge(Usage(0, 530), LIMITS, full).level == "scarce"


@given(st.integers(0, 1 << 60), st.integers(0, 1 << 60))
def test_without_limits_there_is_always_room(used: int, free: int) -> None:
    assert judge(Usage(used, free), ROOMY) == AMPLE


def test_the_reason_names_sizes_as_settings_have_them() -> None:
    config = msgspec.structs.replace(ROOMY, max_size=10 << 30)
    assert judge(Usage(10 << 30, 1 << 40), config).why == (
        "the store has reached its max_size of 10GiB"
    )
