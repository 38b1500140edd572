"""What is wrong with the daemon, by what it knows: one answer for health, metrics and the alarm.
Pure.

Trouble is what a person has to do something about, or what records nothing meanwhile. That less is
seen than should be is said beside it, and is no trouble: the rest is recorded.
"""

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from epmstore.measures import format_duration
from epmstored.app_state import AppState
from epmstored.room import Room

TroubleKind: TypeAlias = Literal["starting", "gone", "error", "full", "damage", "clock"]
LASTS: Final = 30.0
"""Seconds that something is in trouble before that is told: what is tried again once is over by
then.
"""


class Trouble(msgspec.Struct, frozen=True):
    """`app` is None for what concerns the whole store. `why` is for people; `kind` decides."""

    app: str | None
    kind: TroubleKind
    why: str


def troubles(
    states: Sequence[AppState], room: Room, damage: int, leap: float | None
) -> list[Trouble]:
    """The store first, then by application. `leap`: seconds by which the clock is ahead of the time
    that may be relied upon; None if it is believed.
    """
    found = []
    if room.level == "full":
        found.append(Trouble(None, "full", room.why))
    if damage:
        what = "1 damage" if damage == 1 else f"{damage} damages"
        found.append(Trouble(None, "damage", f"the last check found {what} in the store"))
    if leap is not None:
        by = format_duration(round(abs(leap)))
        where = "ahead of" if leap > 0 else "behind"
        why = f"the clock leapt: it is {by} {where} what this host was up since it was right"
        found.append(Trouble(None, "clock", f"{why}; nothing is forgotten by its word"))
    return [*found, *(one for one in map(trouble_of, states) if one is not None)]


def trouble_of(state: AppState) -> Trouble | None:
    """None if the application is recorded as it should be, or is not to be now."""
    if state.phase in ("gone", "error"):
        kind: TroubleKind = "gone" if state.phase == "gone" else "error"
        return Trouble(state.app, kind, state.error or "no reason is known")
    if state.phase == "starting":
        return Trouble(state.app, "starting", "it was not yet looked at for the first time")
    return None


class News(msgspec.Struct, frozen=True):
    """A trouble that has lasted, or (`is_over`) one that was told and is not there any more."""

    trouble: Trouble
    is_over: bool = False


class Patience:
    """Tells of each trouble once, when it has lasted; and when it is over, if it was told."""

    def __init__(self) -> None:
        self._since: dict[tuple[str | None, TroubleKind], float] = {}
        self._told: dict[tuple[str | None, TroubleKind], Trouble] = {}

    def note(self, found: Sequence[Trouble], now: float) -> list[News]:
        """`now` is monotonic."""
        known = {(one.app, one.kind): one for one in found if one.kind != "starting"}
        self._since = {key: self._since.get(key, now) for key in known}
        news = [News(self._told.pop(key), True) for key in [*self._told] if key not in known]
        for key, one in known.items():
            if key not in self._told and now >= self._since[key] + LASTS:
                self._told[key] = one
                news.append(News(one))
        return news
