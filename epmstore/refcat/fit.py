"""Which release best explains a root: by counting, not by looking at one release after another.
Pure.

The index says how many files of the root have what the releases of some interval had at their path,
and how many files the releases of some interval have. The release from which the root differs in
the fewest files is the best; of equals, the newest.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import msgspec

Interval: TypeAlias = tuple[int, int | None, int]
"""(since, until, files): so many from release `since` until before `until` (None: still)."""


class Fit(msgspec.Struct, frozen=True):
    """A release, how many files of the root are as it has them, and how many it has."""

    release: int
    matched: int
    size: int


def best_fit(
    matched: Iterable[Interval], sizes: Iterable[Interval], releases: Sequence[int]
) -> Fit | None:
    """Of `releases`, in ascending order; None if no file of the root is as any of them has it."""
    return best_of(running(matched, releases), running(sizes, releases), releases)


def best_of(hits: Sequence[int], files: Sequence[int], releases: Sequence[int]) -> Fit | None:
    """The same, of how many files are as each release has them, and how many each has."""
    fits = [
        Fit(one, hit, size) for one, hit, size in zip(releases, hits, files, strict=True) if hit
    ]
    return max(fits, key=lambda fit: (2 * fit.matched - fit.size, fit.release), default=None)


def running(intervals: Iterable[Interval], releases: Sequence[int]) -> list[int]:
    """How many files there are at each release."""
    steps: Counter[int] = Counter()
    for since, until, files in intervals:
        steps[since] += files
        if until is not None:
            steps[until] -= files
    found, total, ahead = [], 0, sorted(steps.items(), reverse=True)
    for release in releases:
        while ahead and ahead[-1][0] <= release:
            total += ahead.pop()[1]
        found.append(total)
    return found
