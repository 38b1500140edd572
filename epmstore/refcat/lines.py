"""Lines of releases: which release follows which. Pure.

A vendor that maintains two lines publishes 5.0 and after it 4.2.16: the order of publication is not
the order of age. A release names the one that it follows; one that names none follows the one that
was published before it. Of two releases, one is older if the other follows it, by however many
steps; else they are of different lines, and neither is older.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, TypeAlias

ReleaseOrder: TypeAlias = Literal["same", "older", "newer", "other line"]


class Lines:
    """`after` says of each release, by number, which one it names as the one before."""

    def __init__(self, after: Sequence[int | None]) -> None:
        self._before = [n - 1 if named is None else named for n, named in enumerate(after)]
        self._is_plain: bool = all(named in (None, n - 1) for n, named in enumerate(after))

    def before(self, release: int) -> int | None:
        """The release that one follows; None for the first one."""
        found = self._before[release] if release < len(self._before) else release - 1
        return found if found >= 0 else None

    def order(self, one: int, two: int) -> ReleaseOrder:
        """What `one` is to `two`."""
        if one == two:
            return "same"
        if self._is_plain:
            return "older" if one < two else "newer"
        if one < two:
            return "older" if self._follows(two, one) else "other line"
        return "newer" if self._follows(one, two) else "other line"

    def nearest(self, releases: Iterable[int], to: int) -> int:
        """Of `releases`, one of the line of `to` before others, then the one with the next number.
        Raises ValueError if there are none.
        """
        return min(releases, key=lambda one: (self.order(one, to) == "other line", abs(one - to)))

    @property
    def count(self) -> int:
        """How many releases there are."""
        return len(self._before)

    def nearest_of(self, order: ReleaseOrder, to: int, since: int, until: int) -> int | None:
        """The release from `since` until before `until` that is `order` to another one, and whose
        number is the nearest; None if there is none.
        """
        if since >= until:
            return None
        if self._is_plain:
            if order == "older":
                return min(until, to) - 1 if since < to else None
            return max(since, to + 1) if order == "newer" and until > to + 1 else None
        found = [one for one in range(since, until) if self.order(one, to) == order]
        return min(found, key=lambda one: abs(one - to), default=None)

    def back(self, release: int, steps: int) -> int | None:
        """The release so many steps before one, in its line; None if there are not so many."""
        found: int | None = release
        for _ in range(steps):
            if found is None:
                return None
            found = self.before(found)
        return found

    def _follows(self, later: int, earlier: int) -> bool:
        return any(one == earlier for one in self._above(later, earlier))

    def _above(self, release: int, down_to: int) -> Iterator[int]:
        """The releases before one; numbers only fall on the way."""
        found = self.before(release)
        while found is not None and found >= down_to:
            yield found
            found = self.before(found)
