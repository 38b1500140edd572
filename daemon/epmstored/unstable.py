"""What did not hold still when it was read, and when it is looked at again. Pure: times are given.

Less and less often, so that a file that never holds still costs little; the rest does not wait for
it.
"""

from collections.abc import Iterable

from epmstored.app_report import folder_of
from epmstored.timing import Timing


class UnstableFiles:
    """For one application."""

    def __init__(self) -> None:
        self._folders: frozenset[str] = frozenset()
        self._times = 0
        self._next = 0.0

    def note(self, unstable: Iterable[str], now: float, timing: Timing) -> None:
        """The paths of one recording that did not hold still; none: all did."""
        folders = frozenset(map(folder_of, unstable))
        self._times = self._times + 1 if folders else 0
        if folders:
            wait = timing.settle * 2 ** min(self._times - 1, 10)
            self._folders, self._next = folders, now + min(wait, timing.retry_longest)

    @property
    def due(self) -> float | None:
        """When to look again; None: nothing is restless."""
        return self._next if self._folders else None

    def take(self, now: float) -> frozenset[str]:
        """The folders that are due, which wait no more."""
        if not self._folders or now < self._next:
            return frozenset()
        folders, self._folders = self._folders, frozenset()
        return folders
