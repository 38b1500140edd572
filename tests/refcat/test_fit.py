"""The best release, counted from intervals: the same as by folding each."""

from hypothesis import given
from hypothesis import strategies as st

from epmstore.refcat.fit import Fit, Interval, best_fit
from tests.refcat.test_classify import TREES, spans


def test_the_release_with_the_fewest_differences_is_the_best() -> None:
    # release 1 has a file more than release 0, and the root does not have it
    assert best_fit([(0, None, 10)], [(0, None, 10), (1, None, 1)], [0, 1]) == Fit(0, 10, 10)
    # it has that file
    matched: list[Interval] = [(0, None, 10), (1, None, 1)]
    assert best_fit(matched, [(0, None, 10), (1, None, 1)], [0, 1]) == Fit(1, 11, 11)


def test_of_equals_the_newest() -> None:
    assert best_fit([(0, None, 3)], [(0, None, 3)], [0, 1, 2]) == Fit(2, 3, 3)


def test_nothing_in_common_is_no_release() -> None:
    assert best_fit([], [(0, None, 3)], [0, 1]) is None


@given(st.lists(TREES, min_size=1, max_size=5), TREES)
def test_as_by_folding(releases: list[dict[str, str]], root: dict[str, str]) -> None:
    known = list(spans(releases))
    sizes = [(since, until, 1) for _, since, until, _ in known]
    matched = [(s, u, 1) for path, s, u, text in known if root.get(path) == text]
    found = best_fit(matched, sizes, range(len(releases)))
    scores = []
    for number, tree in enumerate(releases):
        same = sum(tree.get(path) == text for path, text in root.items())
        if same:
            scores.append((2 * same - len(tree), Fit(number, same, len(tree))))
    expected = max(scores, key=lambda one: (one[0], one[1].release), default=(0, None))[1]
    assert found == expected
