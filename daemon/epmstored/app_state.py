"""What the daemon knows of each application, as a value: what `status` and the API show."""

from typing import Literal, TypeAlias

import msgspec

from epmstored.gauge import Doing

WatchPhase: TypeAlias = Literal[
    "starting",  # not yet watched, or not yet looked at
    "watching",  # told by the kernel
    "polling",  # looked at now and then: `degraded` says why, unless that is as it should be
    "paused",  # by request
    "held",  # another process changes or records the root: `held` says who
    "gone",  # the root is not there or is another directory: `error` says more
    "error",  # the last recording failed: `error` says why; it is tried again
]


class Pause(msgspec.Struct, frozen=True):
    """Since when (RFC 3339) nothing is recorded, and by whom."""

    time: str
    by: str


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """Since the daemon was started."""

    drift_versions: int = 0
    looks: int = 0
    """Times that folders were looked at because of an event."""
    reconciles: int = 0
    found_by_reconcile: int = 0
    """Paths that differed and that no event had told of."""
    overflows: int = 0
    """Recordings that were whole because events had been lost."""


class AppState(msgspec.Struct, frozen=True, kw_only=True):
    """One application. Times as in records, None before the first.

    `degraded`: why less is seen or recorded than should be, in words; empty if all is well.
    `queue`: folders that wait to be looked at; `lag`: seconds since the oldest of them changed.
    `version` is the newest one known to the daemon and `recorded` its time; `looked` is when the
    whole root was last looked at. `unstable` did not hold still when they were read last; `noisy`
    are recorded without content until they are given a class. `quiet`: nothing has happened that
    was not looked at, and nothing is being looked at.
    """

    app: str
    uuid: str
    root: str
    phase: WatchPhase = "starting"
    paused: Pause | None = None
    degraded: tuple[str, ...] = ()
    held: str | None = None
    error: str | None = None
    quiet: bool = False
    queue: int = 0
    lag: float = 0.0
    watched: int = 0
    version: int | None = None
    recorded: str | None = None
    looked: str | None = None
    unstable: tuple[str, ...] = ()
    noisy: tuple[str, ...] = ()
    doing: Doing | None = None
    """How far a recording is that takes long, a first one or one that is tried again."""
    counters: Counters = Counters()
