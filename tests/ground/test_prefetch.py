"""Calls that are made ahead of who takes their results."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

import pytest

from epmstore.prefetch import prefetch


def test_results_come_in_order() -> None:
    assert list(prefetch(partial(int, number) for number in range(50))) == list(range(50))
    assert list(prefetch(partial(int, number) for number in range(1))) == [0]
    assert list(prefetch(partial(int, number) for number in range(0))) == []


def test_the_next_call_is_asked_for_while_one_is_made() -> None:
    asked = threading.Event()

    def calls() -> Iterator[Callable[[], bool]]:
        yield partial(asked.wait, 10)
        asked.set()
        yield partial(bool, 1)

    assert list(prefetch(calls())) == [True, True]


def test_no_more_is_asked_for_than_is_soon_taken() -> None:
    asked = 0

    def calls() -> Iterator[Callable[[], int]]:
        nonlocal asked
        for number in range(50):
            asked += 1
            yield partial(int, number)

    with closing(prefetch(calls())) as results:
        for taken, number in enumerate(results, start=1):
            assert number == taken - 1
            assert asked <= taken + 1


def test_an_error_comes_in_its_turn_and_ends_it() -> None:
    made: list[int] = []

    def call(number: int) -> int:
        if number == 3:
            raise OSError("no space")
        made.append(number)
        return number

    results = prefetch(partial(call, number) for number in range(100))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="no space"):
        next(results)
    assert made in ([0, 1, 2], [0, 1, 2, 4])


def test_an_error_of_who_asks_comes_after_the_results_of_all_that_was_asked_for() -> None:
    def calls() -> Iterator[Callable[[], int]]:
        yield from (partial(int, number) for number in range(3))
        raise OSError("cannot read on")

    taken: list[int] = []
    with pytest.raises(OSError, match="cannot read on"):
        taken.extend(prefetch(calls()))
    assert taken == [0, 1, 2]


def test_whoever_leaves_early_leaves_nothing_running() -> None:
    before = threading.active_count()
    with closing(prefetch(partial(int, n) for n in range(100))) as results:
        assert next(results) == 0
    assert threading.active_count() == before
