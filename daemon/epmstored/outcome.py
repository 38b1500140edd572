"""What one recording came to, as little as the daemon needs of it. Made in a worker's thread."""

import msgspec

from epmstore.catalog.model import Reason, VersionRecord
from epmstore.record.recorder import Recorded
from epmstore.workspace import AppHandle


class Outcome(msgspec.Struct, frozen=True):
    """`version` is the newest one now; `made` are the paths that came, changed or went in it if it
    is new. `unstable` and `unread` could not be read.
    """

    version: VersionRecord
    is_new: bool
    is_first: bool
    made: tuple[str, ...]
    unstable: tuple[str, ...]
    unread: tuple[str, ...]


def record(handle: AppHandle, reason: Reason, only: frozenset[str] | None) -> Outcome:
    """Raises as `record_drift`."""
    return outcome_of(handle.record_drift(reason, only=only, wait=0))


def outcome_of(recorded: Recorded) -> Outcome:
    changes = recorded.look.changes
    is_first = recorded.before is None
    made: tuple[str, ...] = ()
    if recorded.is_new and not is_first:
        gone = [*changes.removed, *changes.left]
        changed = [*changes.added, *(new for _, new in changes.modified)]
        made = tuple(entry.path for entry in [*changed, *gone])
    return Outcome(
        version=recorded.version,
        is_new=recorded.is_new,
        is_first=is_first,
        made=made,
        unstable=tuple(p.path for p in changes.problems if p.kind == "unstable"),
        unread=tuple(p.path for p in changes.problems if p.kind == "unreadable"),
    )
