"""Times as people write and read them: in the local zone, which is always shown.

The library and JSON have UTC; a time that a user types without a zone is local.
"""

import re
import time
from datetime import UTC, datetime, timedelta

from epmstore.clock import datable, from_rfc3339, to_rfc3339
from epmstore.errors import UsageError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(?:\d+[smhdw] ?)+")


def local(text: str | None) -> str:
    """`2026-10-03 14:02:03 CEST` for a time in RFC 3339. Raises UsageError for another text."""
    if text is None:
        return "-"
    moment = datetime.fromtimestamp(datable(from_rfc3339(text))).astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S %Z")


_WRITTEN = re.compile(r"(?<![@\w])\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")


def in_local_time(text: str) -> str:
    """A message of the library for people: the times in it, but for those that are typed (`@...`),
    as all others that they are shown.
    """
    return _WRITTEN.sub(lambda found: local(found[0]), text)


def local_ns(nanoseconds: int | None) -> str:
    """The same for a file's mtime, without the zone, as wide as any other."""
    if nanoseconds is None:
        return ""
    try:
        moment = datetime.fromtimestamp(nanoseconds // 1_000_000_000)
    except (OverflowError, ValueError, OSError):
        return f"@{nanoseconds // 1_000_000_000}"
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def parse(text: str, now: float | None = None) -> float:
    """Seconds since 1970 for a time (`2026-10-03`, `2026-10-03T14:00`, `yesterday`, `today`) or a
    duration before now (`7d`, `1d12h`). Raises UsageError.
    """
    present = datable(time.time() if now is None else now)
    midnight = datetime.fromtimestamp(present).replace(hour=0, minute=0, second=0, microsecond=0)
    if text == "today":
        return midnight.timestamp()
    if text == "yesterday":
        return (midnight - timedelta(days=1)).timestamp()
    try:
        if _DURATION.fullmatch(text):
            parts = re.findall(r"(\d+)([smhdw])", text)
            back = timedelta(seconds=sum(int(n) * _UNITS[u] for n, u in parts))
            return (datetime.fromtimestamp(present, UTC) - back).timestamp()
        return datetime.fromisoformat(text).astimezone().timestamp()
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text!r} is not a time",
            hint="write 2026-10-03, 2026-10-03T14:00, yesterday, or 7d for the last seven days",
        ) from None


def parse_ahead(text: str, now: float | None = None) -> float:
    """Like `parse`, but a duration is one from now on. Raises UsageError for a time in the past."""
    present = time.time() if now is None else now
    moment = parse(text, present)
    if _DURATION.fullmatch(text):
        moment = present + (present - moment)
    if moment <= present:
        raise UsageError(f"{text!r} is in the past", hint="write 12h, 3d, or 2026-10-03T14:00")
    return moment


def selector(text: str) -> str:
    """A version as the library takes it: times (`@...`) in UTC, everything else as it is."""
    if not text.startswith("@"):
        return text
    moment, tilde, steps = text[1:].partition("~")
    return f"@{to_rfc3339(parse(moment))}{tilde}{steps}"
