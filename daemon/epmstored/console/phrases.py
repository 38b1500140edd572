"""Times and counts as the pages of the console show them. Pure.

Times are of the host, because that is where things happened; a page says so once. They do not count
on ("3 minutes ago"): a page that says the same is the same page, and is not sent again.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from epmstore.clock import datable, from_rfc3339
from epmstore.wording import name

REASONS: Final = {
    "snapshot": "snapshot",
    "run": "a command",
    "checkout": "checkout",
    "safety": "found before a checkout",
    "undo": "undone",
    "repair": "repair",
    "event": "seen",
    "scan": "found by a scan",
    "startup-scan": "found at the start",
    "after-overflow": "found by a scan",
    "release": "release",
}
BARS: Final = 30


class Today:
    """What day it is, for telling times."""

    def __init__(self, now: float) -> None:
        self.now = datetime.fromtimestamp(datable(now)).astimezone()

    def day(self, seconds: float) -> int:
        """How many days ago that was; 0 is today. Of what is ahead, less."""
        then = datetime.fromtimestamp(datable(seconds)).astimezone()
        return (self.now.date() - then.date()).days

    def told(self, seconds: float) -> str:
        """`today 14:02`, `yesterday 14:02`, `Mon 28 Sep 14:02`, `2025-09-28 14:02`."""
        then = datetime.fromtimestamp(datable(seconds)).astimezone()
        days = (self.now.date() - then.date()).days
        if days in (0, 1):
            return f"{('today', 'yesterday')[days]} {then:%H:%M}"
        if timedelta(0) < self.now - then < timedelta(days=180):
            return f"{then:%a} {then.day} {then:%b %H:%M}"
        return f"{then:%Y-%m-%d %H:%M}"

    def of(self, text: str | None) -> str:
        """The same for a time in RFC 3339."""
        return "" if text is None else self.told(from_rfc3339(text))


def exactly(seconds: float) -> str:
    """For a reader who points at it: with seconds and zone."""
    return datetime.fromtimestamp(datable(seconds)).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def counts(added: int, modified: int, removed: int) -> str:
    """`+3 ~1 -2`, without what is nothing."""
    pairs = (("+", added), ("~", modified), ("\N{MINUS SIGN}", removed))
    return " ".join(f"{sign}{count:,}" for sign, count in pairs if count) or "nothing"


def short(text: str, most: int = 120) -> str:
    """A text that a person wrote, on one line."""
    shown = name(text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}\N{HORIZONTAL ELLIPSIS}"


def bars(days: Sequence[int]) -> list[int]:
    """How high the bars are for so many changes a day, 0 to 16; one change is seen beside many."""
    most = max([*days, 1])
    return [0 if not n else max(3, round(16 * (n / most) ** 0.5)) for n in days]
