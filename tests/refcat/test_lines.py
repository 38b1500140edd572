"""Lines of releases: what is older goes by what follows what, not by when it was published."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore.refcat.lines import Lines, ReleaseOrder

# 4.2.15, 5.0, 4.2.16, 5.0.1, 4.2.17, 5.1
DJANGO = Lines([None, None, 0, 1, 2, 3])


@pytest.mark.parametrize(
    ("one", "two", "order"),
    [
        (0, 0, "same"),
        (0, 1, "older"),
        (0, 5, "older"),
        (1, 2, "other line"),
        (2, 1, "other line"),
        (2, 4, "older"),
        (4, 2, "newer"),
        (5, 1, "newer"),
        (4, 5, "other line"),
    ],
)
def test_order_of_releases_in_lines(one: int, two: int, order: ReleaseOrder) -> None:
    assert DJANGO.order(one, two) == order


def test_before_and_back_follow_the_line() -> None:
    assert [DJANGO.before(n) for n in range(6)] == [None, 0, 0, 1, 2, 3]
    assert [DJANGO.back(4, steps) for steps in range(4)] == [4, 2, 0, None]


def test_the_nearest_is_one_of_the_same_line() -> None:
    assert DJANGO.nearest([3, 2], 4) == 2
    assert DJANGO.nearest([3, 1], 4) == 3


@st.composite
def lines(draw: st.DrawFn) -> tuple[Lines, list[int | None]]:
    count = draw(st.integers(1, 8))
    after = [None, *(draw(st.none() | st.integers(0, n - 1)) for n in range(1, count))]
    return Lines(after), after


@given(lines(), st.data())
def test_order_is_what_the_chain_of_releases_says(
    made: tuple[Lines, list[int | None]], data: st.DataObject
) -> None:
    found, after = made

    def above(release: int) -> set[int]:
        named = after[release]
        before = release - 1 if named is None else named
        return set() if before < 0 else {before, *above(before)}

    one, two = (data.draw(st.integers(0, len(after) - 1)) for _ in range(2))
    wanted: ReleaseOrder = "other line"
    if one == two:
        wanted = "same"
    elif one in above(two):
        wanted = "older"
    elif two in above(one):
        wanted = "newer"
    assert found.order(one, two) == wanted
    since, until = sorted(data.draw(st.integers(0, len(after))) for _ in range(2))
    for order in ("older", "newer", "other line"):
        fitting = [n for n in range(since, until) if found.order(n, two) == order]
        best = min((abs(n - two) for n in fitting), default=None)
        nearest = found.nearest_of(order, two, since, until)
        assert (None if nearest is None else abs(nearest - two)) == best
