"""Durations, sizes and shares as people write them: `2s`, `1d12h`, `10GiB`, `3%`. Pure.

One spelling for configuration, variables, options and the API. A number without a unit is refused
where it could be misread: a `60` that was meant as minutes must not become seconds.
"""

import re
from fractions import Fraction
from typing import Final

from epmstore.errors import UsageError

SECONDS: Final = {
    "ms": 0.001,
    "s": 1.0,
    "min": 60.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
}
BYTES: Final = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
}
LONGEST: Final = 100 * 365 * 86400.0
"""A hundred years: seconds from now on that every clock, timer and date here can hold."""
_NUMBER = r"(\d{1,20}(?:\.\d{1,20})?)"
_DURATION = re.compile(rf"(?:{_NUMBER}(ms|min|[smhdw]))+")
_PART = re.compile(rf"{_NUMBER}(ms|min|[smhdw])")
_SIZE = re.compile(rf"{_NUMBER} ?([A-Za-z]+)")
_SHARE = re.compile(rf"{_NUMBER} ?%")


def parse_duration(text: str) -> float:
    """Seconds. Raises UsageError."""
    if text == "0":
        return 0.0
    if not _DURATION.fullmatch(text):
        raise UsageError(
            f"{text!r} is not a duration", hint="write it as 30s, 5m, 12h, 1d or 1d12h"
        )
    seconds = sum(float(count) * SECONDS[unit] for count, unit in _PART.findall(text))
    if seconds > LONGEST:
        raise UsageError(f"{text!r} is too long", hint="the longest is a hundred years, 36500d")
    return seconds


def parse_size(text: str) -> int:
    """Bytes. Raises UsageError."""
    if text == "0":
        return 0
    found = _SIZE.fullmatch(text)
    if found is None or found[2] not in BYTES:
        raise UsageError(f"{text!r} is not a size", hint="write it as 500MB, 10GiB or 1TiB")
    return round(Fraction(found[1]) * BYTES[found[2]])  # exact, whatever the size


def parse_percent(text: str) -> float:
    """Percent: `3%` is 3.0. Raises UsageError."""
    found = _SHARE.fullmatch(text)
    if found is None or float(found[1]) > 100:
        raise UsageError(f"{text!r} is no share", hint="write it as 3%, at most 100%")
    return float(found[1])


def format_duration(seconds: float) -> str:
    """`1d12h`, in the units that fit, down to milliseconds; reads back as the same."""
    left, parts = round(seconds * 1000), []
    for unit in ("d", "h", "m", "s", "ms"):
        count, left = divmod(left, round(SECONDS[unit] * 1000))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0"


def format_size(count: int) -> str:
    """`10GiB` where it is exact; reads back as the same."""
    for unit in ("TiB", "GiB", "MiB", "KiB", "TB", "GB", "MB", "kB"):
        if count and count % BYTES[unit] == 0:
            return f"{count // BYTES[unit]}{unit}"
    return f"{count}B" if count else "0"


def format_percent(percent: float) -> str:
    return f"{percent:g}%"
