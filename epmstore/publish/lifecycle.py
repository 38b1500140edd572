"""The states of a build, and what leads from one to the next. Pure."""

from typing import Final

import msgspec

from epmstore.errors import (
    BusyError,
    ConflictError,
    DamagedError,
    DiskFullError,
    LimitError,
    NoStoreError,
    RemoteError,
)
from epmstore.publish.build import KINDS, BuildRecord

NEW: Final = ""
IN_PROCESS: Final = "in_process"
DONE: Final = "done"
ERROR: Final = "error"
HOLD: Final = "hold"
WITHDRAWN: Final = "withdrawn"
STATES: Final = (NEW, IN_PROCESS, DONE, ERROR, HOLD, WITHDRAWN)
READY: Final = "ready"
ASSOCIATED: Final = "associated"

FAILURES_MAX: Final = 10
"""So many in a row, and a person has to look."""
REASON_MAX: Final = 2000
PATIENT_MAX: Final = 5
"""Up to so many count what is no fault of the build: a disk without room, a remote that is down. So
that is tried again after 16 minutes at most, and never holds a build.
"""
_FIRST_WAIT: Final = 60.0
_LONGEST_WAIT: Final = 21_600.0

NOT_BLAMED: Final = (DiskFullError, LimitError, BusyError, NoStoreError, RemoteError)
"""Errors that say nothing against a build."""

TRANSITIONS: Final[dict[str, dict[str, str]]] = {
    "named": {NEW: NEW, ERROR: ERROR},
    "prepared": {NEW: IN_PROCESS, ERROR: IN_PROCESS},
    "arrived": {IN_PROCESS: DONE},
    "failed": {NEW: ERROR, ERROR: ERROR, IN_PROCESS: ERROR, DONE: ERROR},
    "delayed": {IN_PROCESS: IN_PROCESS, WITHDRAWN: WITHDRAWN},
    "given up": {NEW: HOLD, ERROR: HOLD, IN_PROCESS: HOLD, DONE: HOLD},
    "hold": {NEW: HOLD, ERROR: HOLD, IN_PROCESS: HOLD, DONE: HOLD},
    "unhold": {HOLD: NEW},
    "retry": {ERROR: NEW},
    "withdraw": {NEW: WITHDRAWN, ERROR: WITHDRAWN, IN_PROCESS: WITHDRAWN, DONE: WITHDRAWN,
                 HOLD: WITHDRAWN},
    "cleared": {WITHDRAWN: WITHDRAWN},
}  # fmt: skip
"""What happens to a build: from which states, to which."""

NEXT: Final = {
    NEW: "publish prepare makes its payload",
    IN_PROCESS: "publish upload sends it",
    DONE: "nothing",
    ERROR: "publish prepare tries again",
    HOLD: "a person decides: publish unhold, or publish withdraw",
    WITHDRAWN: "publish prepare takes it from the remote",
}
"""What is done about a build in each state."""


class ReadyBuilds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which builds are ready to be prepared: of these kinds, in these states, with a path."""

    kinds: tuple[str, ...] = KINDS
    states: tuple[str, ...] = (NEW, ERROR)

    def has(self, build: BuildRecord) -> bool:
        """What is in another state than empty or error is past that."""
        if build.state not in (NEW, ERROR):
            return True
        return build.kind in self.kinds and build.state in self.states and bool(build.path)


EVERY_BUILD: Final = ReadyBuilds()


def next_action(build: BuildRecord, ready: ReadyBuilds = EVERY_BUILD) -> str:
    """What is done about a build."""
    if not ready.has(build):
        return "it is not ready, by the settings of the spool"
    if build.state == WITHDRAWN and build.remote_path is None:
        return NEXT[DONE]
    return NEXT[build.state]


def backoff(failures: int) -> float:
    """Seconds to wait after so many failures in a row: 1, 2, 4 minutes, at most six hours."""
    return min(_FIRST_WAIT * 2.0 ** max(0, failures - 1), _LONGEST_WAIT)


def moved(build: BuildRecord, event: str, now: float) -> BuildRecord:
    """The build after what happened to it. Raises ConflictError if that cannot happen to one in its
    state, or one that is associated is held.
    """
    after = TRANSITIONS[event].get(build.state)
    if after is None:
        raise ConflictError(
            f"build {build.number} is {shown(build.state)}: it cannot be {_DONE[event]}",
        )
    if event in ("hold", "given up") and build.association == ASSOCIATED:
        raise ConflictError(
            f"build {build.number} is associated: hosts may have it",
            hint="withdraw it instead: it is not permitted to hold what hosts may have",
        )
    since = build.since if after == build.state else now
    clean = event in ("arrived", "prepared", "unhold", "retry", "withdraw", "cleared")
    found = msgspec.structs.replace(
        build,
        state=after,
        since=since,
        association=_association(build, event),
        error=None if clean else build.error,
        failures=0 if clean else build.failures,
        due=0.0 if clean or event == "hold" else build.due,
    )
    return found


_DONE: Final = {
    "hold": "held", "unhold": "released from a hold", "retry": "tried again",
    "withdraw": "withdrawn", "prepared": "prepared", "arrived": "done", "failed": "in error",
    "given up": "given up", "delayed": "delayed", "cleared": "cleared away", "named": "named",
}  # fmt: skip


def _association(build: BuildRecord, event: str) -> str:
    if event == "arrived":
        return READY
    return "" if event in ("withdraw", "failed", "hold", "given up") else build.association


def failed(
    build: BuildRecord, why: str, now: float, *, delayed: bool = False, blamed: bool = True
) -> BuildRecord:
    """The build after a failure. One too many of those that it is `blamed` for holds it. What is
    only `delayed` keeps its payload; so does what is withdrawn, which is never held.
    """
    failures = build.failures + 1
    if not blamed or build.state == WITHDRAWN:
        failures = max(build.failures, min(failures, PATIENT_MAX))
    event = "delayed" if delayed or build.state == WITHDRAWN else "failed"
    if failures >= FAILURES_MAX and blamed:
        event = "given up"
    noted = msgspec.structs.replace(
        build, failures=failures, error=printable(why), due=now + backoff(failures)
    )
    return moved(noted, event, now)


def printable(why: str) -> str:
    """A reason on one line of bounded length: a server, or a name, may have said anything in it,
    and tables and terminals do not take everything.
    """
    return "".join(one if one.isprintable() else "?" for one in why)[:REASON_MAX]


def shown(state: str) -> str:
    """A state for people."""
    return state.replace("_", " ") or "not tried yet"


def is_due(build: BuildRecord, now: float, *, at_once: bool) -> bool:
    return at_once or build.due <= now


def described(build: BuildRecord) -> tuple[str, str, int, str]:
    """Name, remote path, size and SHA-256. Raises DamagedError for a record in a state
    that only one with a payload can be in.
    """
    name, path = build.file_name, build.remote_path
    if name is None or path is None or build.size is None or build.sha256 is None:
        raise DamagedError(
            f"the record says {build.state}, and no payload was ever made: it was moved by hand"
        )
    return name, path, build.size, build.sha256
