"""Which care is due. Pure: times and settings in, names of tasks out.

Every task has a period, of which a part is left to chance, but the same for one store and task: so
that a hundred hosts on one array do not all begin at three o'clock.
"""

import hashlib
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from epmstore.config import Config

CareTask: TypeAlias = Literal["forget", "gc", "data", "drill"]
ORDER: Final[tuple[CareTask, ...]] = ("forget", "gc", "data", "drill")
"""What makes room comes first."""
DAY: Final = 86_400.0
JITTER: Final = 0.1
"""A period is longer or shorter by up to this share."""
FIRST: Final = 600.0
"""Seconds after the first start of a daemon until care that never was done begins."""


class Attempts(msgspec.Struct, frozen=True):
    """When a task was done last and tried last, in seconds since 1970; None: never."""

    done: float | None = None
    tried: float | None = None


RETRY: Final = 3600.0
"""Seconds until what failed is tried again."""


def period_of(task: CareTask, config: Config) -> float | None:
    """None: never."""
    if task == "forget":
        return DAY if config.retention.enabled else None
    if task == "data":
        return DAY if config.care.fsck_percent else None
    return config.care.drill if task == "drill" else DAY


def jitter(seed: str, task: CareTask) -> float:
    """Between -JITTER and JITTER, always the same for a store and a task."""
    mark = hashlib.sha256(f"{seed}:{task}".encode()).digest()
    return (int.from_bytes(mark[:4]) / (1 << 32) * 2 - 1) * JITTER


def next_time(
    task: CareTask, attempts: Attempts, config: Config, *, seed: str, since: float
) -> float | None:
    """When a task is due; None: never. `since` is when this daemon was started."""
    period = period_of(task, config)
    if period is None:
        return None
    spread = 1 + jitter(seed, task)
    due = since + FIRST * spread if attempts.done is None else attempts.done + period * spread
    if attempts.tried is not None:
        due = max(due, attempts.tried + min(RETRY, period) * spread)
    return due


def due(
    found: Mapping[str, Attempts], config: Config, *, now: float, seed: str, since: float
) -> CareTask | None:
    """The first task that is due now. What was noted for a time to come, by a clock that was wrong,
    counts as never.
    """
    for task in ORDER:
        attempts = found.get(task, Attempts())
        known = Attempts(_past(attempts.done, now), _past(attempts.tried, now))
        when = next_time(task, known, config, seed=seed, since=_past(since, now) or 0.0)
        if when is not None and now >= when:
            return task
    return None


def _past(when: float | None, now: float) -> float | None:
    return None if when is None or when > now else when
