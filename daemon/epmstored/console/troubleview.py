"""What a person has to know of an application, the most urgent first. Pure."""

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from epmstore.clock import from_rfc3339
from epmstore.measures import format_duration
from epmstore.wording import counted
from epmstored.app_state import AppState
from epmstored.console.hostfacts import AppNow
from epmstored.console.phrases import Today, short
from epmstored.console.standings import Standing
from epmstored.health import trouble_of

Urgency: TypeAlias = Literal["bad", "wait", "quiet", "good"]
"""`bad`: something is wrong now. `wait`: a person has to decide. `quiet`: it is as someone wanted
it, and good to know. `good`: nothing is to be said.
"""
ORDER: Final[dict[Urgency, int]] = {"bad": 0, "wait": 1, "quiet": 2, "good": 3}


class Matter(msgspec.Struct, frozen=True):
    """One thing, in a few words; `what_helps` is a command, or nothing."""

    urgency: Urgency
    text: str
    what_helps: str = ""


def matters_of(
    now: AppNow, state: AppState | None, standing: Standing | None, today: Today
) -> list[Matter]:
    """Most urgent first."""
    found = [
        *_watching(state),
        *_history(now),
        *_duties(now, state, today),
        *_deviations(now, standing, today),
        *_calm(now, state, today),
    ]
    return sorted(found, key=lambda one: ORDER[one.urgency])


def urgency_of(matters: Sequence[Matter]) -> Urgency:
    return matters[0].urgency if matters else "good"


def _watching(state: AppState | None) -> list[Matter]:
    if state is None:
        return [Matter("wait", "not watched yet")]
    trouble = trouble_of(state)
    found: list[Matter] = []
    if trouble is not None:
        is_new = trouble.kind == "starting"
        found.append(Matter("quiet" if is_new else "bad", short(trouble.why)))
    return [*found, *(Matter("wait", short(text)) for text in state.degraded)]


def _history(now: AppNow) -> list[Matter]:
    damage = now.summary.damage
    if damage is not None:
        return [Matter("bad", short(damage), "epmstore fsck")]
    return [] if now.summary.newest is not None else [Matter("wait", "nothing is recorded yet")]


def _duties(now: AppNow, state: AppState | None, today: Today) -> list[Matter]:
    key, found = now.summary.app.key, []
    recover = f"epmstore recover --app {key}"
    if now.is_interrupted and state is not None and state.held is not None:
        found.append(Matter("quiet", f"a checkout is under way: {short(state.held)}"))
    elif now.is_interrupted:
        found.append(Matter("bad", "a checkout was interrupted", recover))
    if now.is_unfinished:
        text = "a checkout did not come to its end: it may be down"
        found.append(Matter("bad", text, recover))
    pending = now.pending
    if pending is not None:
        left = "is over" if pending.seconds <= 0 else f"ends {today.of(pending.until)}"
        text = f"version {pending.version} waits to be confirmed: its time {left}"
        found.append(Matter("wait", text, f"epmstore confirm --app {key}"))
    if now.summary.notes:
        text = f"{counted(now.summary.notes, 'note')} to be read"
        found.append(Matter("wait", text, f"epmstore notes --app {key}"))
    return found


def _deviations(now: AppNow, standing: Standing | None, today: Today) -> list[Matter]:
    if standing is None:
        return []
    if standing.error is not None:
        return [Matter("wait", f"not looked at: {short(standing.error)}")]
    key, found = now.summary.app.key, []
    if standing.revoked is not None:
        text = f"this release was withdrawn by its vendor: {short(standing.revoked)}"
        found.append(Matter("wait", text))
    if standing.withdrawn:
        text = f"{counted(standing.withdrawn, 'path')} withdrawn by the vendor"
        found.append(Matter("wait", text))
    if standing.total:
        since = "" if standing.since is None else f" since {today.of(standing.since)}"
        command = "status" if standing.baseline == "version" else "verify"
        text = f"{counted(standing.total, 'deviation')}{since}"
        found.append(Matter("wait", text, f"epmstore {command} --app {key}"))
    return found


def _calm(now: AppNow, state: AppState | None, today: Today) -> list[Matter]:
    key, found = now.summary.app.key, []
    hold = now.summary.hold
    is_held = hold is not None and (
        hold.until is None or from_rfc3339(hold.until) > today.now.timestamp()
    )
    if hold is not None and is_held:
        why = "" if hold.reason is None else f": {short(hold.reason)}"
        until = "" if hold.until is None else f" until {today.of(hold.until)}"
        found.append(Matter("quiet", f"held{until}{why}", f"epmstore unhold {key}"))
    if state is None:
        return found
    if state.paused is not None:
        text = f"paused by {short(state.paused.by, 40)} since {today.of(state.paused.time)}"
        found.append(Matter("wait", text, f"epmstore daemon resume --app {key}"))
    if state.lag >= 60:
        found.append(Matter("quiet", f"changes wait since {format_duration(round(state.lag))}"))
    return found
