"""What one recording came to, as little as the daemon needs of it. Made in a worker's thread."""

import msgspec

from epmstore.care import ledger
from epmstore.catalog.model import Reason, VersionRecord
from epmstore.record.doubt import Share
from epmstore.record.recorder import Recorded
from epmstore.relpath import ROOT
from epmstore.workspace import AppHandle, Workspace


class RecordingOutcome(msgspec.Struct, frozen=True):
    """`version` is the newest one now; `made` are the paths that came, changed or went in it if it
    is new; `written` those of them that are files of class `program` with another content.
    `unstable` did not hold still, or vanished under the look; `unread` could not be read; `covered`
    have another file system over them that hides what is recorded; `unseen` are all that were not
    observed, but for what is ignored. `late` are folders in which what is stored to a mapped file
    may show late; `is_mapped`: it is known that one is. `unshown` have another content, and nothing
    else shows it.
    """

    version: VersionRecord
    is_new: bool
    is_first: bool
    made: tuple[str, ...]
    written: tuple[str, ...]
    unstable: tuple[str, ...]
    unread: tuple[str, ...]
    unseen: tuple[str, ...]
    covered: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    is_mapped: bool = False
    unshown: tuple[str, ...] = ()


def record(
    handle: AppHandle,
    reason: Reason,
    only: frozenset[str] | None,
    *,
    contents: bool = True,
    writing: frozenset[str] = frozenset(),
) -> RecordingOutcome:
    """Raises as `record_drift`."""
    return outcome_of(
        handle.recording.record_drift(reason, only=only, contents=contents, wait=0, writing=writing)
    )


def record_all(workspace: Workspace, app: str, shares: int, *, contents: bool) -> RecordingOutcome:
    """Look at everything; one share of all files is read whatever their stats say, each time the
    next one (0: none is).
    """
    handle = workspace.app(app)
    if not shares:
        return record(handle, "scan", None, contents=contents)
    uuid = handle.app.uuid
    share = Share(ledger.load(workspace.path).read_back.get(uuid, 0) % shares, shares)
    recorded = handle.recording.record_drift("scan", contents=contents, wait=0, again=share)
    ledger.note_share(workspace.path, uuid, share.number + 1)
    return outcome_of(recorded)


def outcome_of(recorded: Recorded) -> RecordingOutcome:
    changes = recorded.look.changes
    is_first = recorded.before is None
    made: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    if recorded.is_new and not is_first:
        changed = [*changes.added, *(new for _, new in changes.modified)]
        itself = [] if changes.root_change is None else [ROOT]
        made = (*itself, *(entry.path for entry in [*changed, *changes.lost]))
        written = tuple(
            new.path
            for old, new in changes.modified
            if new.kind == "file" and new.path_class == "program" and new.content != old.content
        )
    return RecordingOutcome(
        version=recorded.version,
        is_new=recorded.is_new,
        is_first=is_first,
        made=made,
        written=written,
        unstable=tuple(p.path for p in changes.problems if p.kind in ("unstable", "vanished")),
        unread=tuple(p.path for p in changes.problems if p.kind == "unreadable"),
        covered=tuple(p.path for p in changes.problems if p.kind == "covered"),
        unseen=tuple(p.path for p in changes.problems if p.kind != "ignored"),
        late=recorded.late,
        is_mapped=recorded.is_mapped,
        unshown=recorded.unshown,
    )
