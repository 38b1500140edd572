"""How versions are compared: the one order of all releases of a product, and whether one is within
the range of a need. Pure.

    rpm      the default. A version is read as runs of digits and runs of letters; all else only
             divides them. From the left, `~` < the end < `^` < letters < digits; digits as numbers,
             letters by their bytes. So 1.0~rc1 < 1.0 < 1.0^git1 < 1.0a < 1.0.1, and 1.0 is 1_0.
    apm      the same, but for the letters d, a and b, which stand between `~` and the end:
             0.9d < 0.9d1 < 0.9a1 < 0.9b1 < 0.9b2 < 0.9 < 1.0 (development, alpha, beta, final).
    release  the number of the release in its refcat. A version in a range is looked up.

- Behind a version comes the build, as a number; behind that the number of the release. A release
  that has none yet is after all those that have one.
- The newest release of a product says by which rules all of them are compared.
- A bound without a build is about all builds: 4.1.0-2 is within `=4.1.0` and `<=4.1.0`.
- There is no epoch. A vendor whose versions went back goes on by `release`, or with another name.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, Protocol, TypeAlias

from epmstore.catalog.packaging import MAX_NUMBER, ORDERS, Need
from epmstore.refcat.lines import Lines

VersionKey: TypeAlias = tuple[tuple[int, str | int], ...]
"""What versions are compared by; only keys of one order are compared."""

_PIECE: Final = re.compile(r"~|\^|[0-9]+|[A-Za-z]+")
_TILDE: Final = (0, 0)
_EARLY: Final = {"d": (1, 0), "a": (2, 0), "b": (3, 0)}
_END: Final = (4, 0)
_CARET: Final = (5, 0)
_LETTERS, _DIGITS = 6, 7
UNNUMBERED: Final = MAX_NUMBER + 1
"""Where a release without a number stands."""


class Versioned(Protocol):
    """A release, as far as it is compared. `version` and `build` are None where it is no package,
    `number` where it has none yet.
    """

    @property
    def version(self) -> str | None: ...
    @property
    def build(self) -> int | None: ...
    @property
    def number(self) -> int | None: ...
    @property
    def order(self) -> str: ...


@lru_cache(maxsize=65_536)
def version_key(version: str, order: str) -> VersionKey:
    """What a version, without its build, is compared by. Versions with equal keys are the same."""
    early = _EARLY if order == "apm" else {}
    pieces = (_piece(text, early) for text in _PIECE.findall(version))
    return (*pieces, _END)


def _piece(text: str, early: dict[str, tuple[int, int]]) -> tuple[int, str | int]:
    if text == "~":
        return _TILDE
    if text == "^":
        return _CARET
    if text in early:
        return early[text]
    return (_DIGITS, int(text)) if text[0].isdigit() else (_LETTERS, text)


def split_build(text: str) -> tuple[str, int | None]:
    """`4.1.0-2` as version and build; the build is None where there is none."""
    version, dash, build = text.rpartition("-")
    return (version, int(build)) if dash else (text, None)


def compare(one: str, two: str, order: str = "rpm") -> int:
    """-1 if version `one` is older than `two`, 1 if newer, 0 if the same. Builds count where both
    have one.
    """
    (version_one, build_one), (version_two, build_two) = split_build(one), split_build(two)
    key_one, key_two = version_key(version_one, order), version_key(version_two, order)
    if key_one == key_two and build_one is not None and build_two is not None:
        return (build_one > build_two) - (build_one < build_two)
    return (key_one > key_two) - (key_one < key_two)


class Ordering:
    """The order of the releases of one product. `releases` are all that are known of it; `lines`
    say which release follows which, where a vendor has several lines.
    """

    def __init__(self, releases: Iterable[Versioned], lines: Lines | None = None) -> None:
        self._known = list(releases)
        self._lines = lines
        newest = max(self._known, key=_number, default=None)
        word = newest.order if newest is not None else ORDERS[0]
        self.unknown = None if word in ORDERS else word
        """The word for an order that this release of epmstore does not know; None: it does."""
        self.order = word if self.unknown is None else "release"

    def key(self, one: Versioned) -> tuple[VersionKey, int, int]:
        """What releases are sorted by: the oldest first."""
        if self.order == "release" or one.version is None:
            return ((), 0, _number(one))
        return (version_key(one.version, self.order), one.build or 0, _number(one))

    def is_older(self, one: Versioned, two: Versioned) -> bool:
        """Whether going from `two` to `one` is going back. By `release`, to another line is."""
        numbers = (one.number, two.number)
        if self.order == "release" and self._lines is not None and None not in numbers:
            return self._lines.order(_number(one), _number(two)) in ("older", "other line")
        return self.key(one) < self.key(two)

    def is_within(self, one: Versioned, need: Need) -> bool:
        """Whether a release is in the range of a need for its product. One of which neither version
        nor number is known is in none.
        """
        if one.version is None and one.number is None:
            return {need.first, need.last, need.min, need.max} == {None}
        if need.first is not None or need.last is not None:
            return self._is_numbered_within(one.number, need.first, need.last)
        if need.min is None and need.max is None:
            return True
        if self.order == "release":
            return self._is_named_within(one, need)
        return one.version is not None and is_version_within(
            one.version, one.build, need.min, need.max, self.order
        )

    def _is_numbered_within(self, number: int | None, first: int | None, last: int | None) -> bool:
        if number is None:
            return last is None
        if self._lines is None:
            return (first is None or first <= number) and (last is None or number <= last)
        return (first is None or self._lines.order(first, number) in ("same", "older")) and (
            last is None or self._lines.order(last, number) in ("same", "newer")
        )

    def _is_named_within(self, one: Versioned, need: Need) -> bool:
        """By `release` a version stands for the releases that have it. One that none has is out of
        the question, whatever is compared with it.
        """
        at = _number(one)
        low = self._numbers_of(need.min) if need.min is not None else [at]
        high = self._numbers_of(need.max) if need.max is not None else [at]
        return bool(low and high) and min(low) <= at <= max(high)

    def _numbers_of(self, bound: str) -> list[int]:
        version, build = split_build(bound)
        return [
            _number(one)
            for one in self._known
            if one.version == version and build in (None, one.build)
        ]


def is_version_within(
    version: str, build: int | None, low: str | None, high: str | None, order: str = "rpm"
) -> bool:
    """Whether a version with its build is not older than `low` and not newer than `high`, both with
    a build or without. A version without a build has build 0.
    """
    at = version_key(version, order)
    if low is not None:
        bound, of = split_build(low)
        key = version_key(bound, order)
        if at < key or (at == key and of is not None and (build or 0) < of):
            return False
    if high is not None:
        bound, of = split_build(high)
        key = version_key(bound, order)
        if at > key or (at == key and of is not None and (build or 0) > of):
            return False
    return True


def _number(one: Versioned) -> int:
    return UNNUMBERED if one.number is None else one.number
