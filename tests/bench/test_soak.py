"""What a soak of the daemon is judged by."""

from collections.abc import Callable

from benchmarks.daemon import grown
from benchmarks.results import Figure

EVERY = 4.0


def judged(memory: Callable[[int], float], files: Callable[[int], int]) -> list[Figure]:
    """Of half an hour, with a sample every few seconds."""
    count = int(1800 / EVERY)
    return grown([(n * EVERY, memory(n), files(n)) for n in range(count)], 30)


def missed(found: list[Figure]) -> list[str]:
    return [one.what.partition(",")[0] for one in found if one.is_met is False]


def test_momentary_memory_is_shown_and_is_no_growth() -> None:
    found = judged(lambda n: 130.0 if n % 15 == 0 else 60.0, lambda n: 30 if n % 15 == 0 else 14)
    assert missed(found) == []
    assert [(one.median, one.most) for one in found] == [
        (0, None), (60, 60), (130, None), (0, None), (14, 14), (30, None),
    ]  # fmt: skip


def test_a_leak_is_seen_through_the_moments_of_work() -> None:
    leak = EVERY / 1800  # a MiB in half an hour
    found = judged(lambda n: 60 + leak * n + (70 if n % 15 == 0 else 0), lambda n: 14 + n // 50)
    assert missed(found) == ["memory", "descriptors"]
    assert 1.9 < found[0].median < 2.1


def test_a_step_near_the_end_shows_though_the_slope_passes_over_it() -> None:
    found = judged(lambda n: 110.0 if n > 400 else 92.0, lambda n: 14)
    assert found[0].median == 0
    assert (found[1].median, found[1].most) == (92, 110)
    assert found[1].is_met is False
