"""What a root differs in from its newest version: the `status` of docs/json.md."""

from typing import TYPE_CHECKING

import msgspec

from epmstore.record.observed_changes import paths_of
from epmstore.record.unseen import unseen
from epmstore.relpath import RelPath, sort_paths
from epmstore.scan.problem import Problem
from epmstore.tree import changed_fields

if TYPE_CHECKING:  # start-up
    from epmstore.record.recorder import Look


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """`clean` means that a snapshot now would record nothing, and that nothing is `interrupted`: a
    checkout that was cut off, and is to be finished or taken back by `recover` before anything else
    can be done. `metadata` are those of `modified` that have the content they had. `version` and
    `time` are of the newest version, None before the first.
    """

    app: str
    root: str
    version: int | None
    time: str | None
    clean: bool
    interrupted: bool
    files: int
    added: list[RelPath]
    modified: list[RelPath]
    removed: list[RelPath]
    metadata: list[RelPath]
    skipped: list[Problem]
    unstable: list[RelPath]
    unobserved: list[Problem]

    @property
    def incomplete(self) -> bool:
        """Whether something could not be looked at (exit code 3)."""
        return bool(self.unstable or self.unobserved)


def make_status(app: str, root: str, look: "Look", *, interrupted: bool = False) -> Status:
    """Of an application (its key), whose root was looked at."""
    changes, newest = look.changes, look.head.version
    gaps = unseen(look)
    itself = [] if changes.root_change is None else [changes.root_change]
    modified = [*changes.modified, *itself]
    quiet = [new.path for old, new in modified if "content" not in changed_fields(old, new)]
    return Status(
        app=app,
        root=root,
        version=None if newest is None else newest.version,
        time=None if newest is None else newest.time,
        clean=newest is not None and changes.is_empty and not interrupted,
        interrupted=interrupted,
        files=look.found.files,
        added=paths_of(changes.added),
        modified=paths_of(new for _, new in modified),
        removed=paths_of(changes.lost),
        metadata=sort_paths(quiet),
        skipped=list(gaps.skipped),
        unstable=list(gaps.unstable),
        unobserved=list(gaps.unobserved),
    )
