"""Where an application stands: what its root should be, in what it deviates, and since when.

The row that `status` shows of each application, and that the daemon's table is made of. `clean`
(record/status.py) only says that a snapshot would record nothing; a deviation stays one until it is
gone or accepted, recorded or not.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

import msgspec

from epmstore.catalog.state import CatalogState
from epmstore.record.status import Status
from epmstore.refcat.classify import DeviationKind
from epmstore.relpath import RelPath
from epmstore.tree import Entry, PathClass, changed_fields

Baseline: TypeAlias = Literal["release", "accepted", "version"]
Changed: TypeAlias = Literal["added", "modified", "removed", "metadata"]


class Since(msgspec.Struct, frozen=True):
    """The version that first had a deviation, and between which times it can have come about."""

    version: int
    time: str
    window: tuple[str, str] | None


class DatedDeviation(msgspec.Struct, frozen=True, kw_only=True):
    """One path that is not as it should be. `what` is a finding where a release is the baseline,
    else what became of the path. `label` is that of `release`. `since` is None
    for what no version has recorded yet.
    """

    path: RelPath
    what: DeviationKind | Changed
    path_class: PathClass
    release: int | None = None
    label: str | None = None
    since: Since | None = None


class BaselineStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`baseline` says what the root was compared with: the release `release` (`label`), the version
    `accepted` that a user declared right, or just the newest version (None: there is none).
    `revoked` is why the vendor withdrew that release (None: it did not), `withdrawn` the paths with
    a component that it withdrew, and why. `excused` are paths that are not as the release has them,
    and that a user declared right.
    """

    status: Status
    baseline: Baseline | None
    release: int | None = None
    label: str | None = None
    revoked: str | None = None
    withdrawn: tuple[tuple[RelPath, str], ...] = ()
    accepted: int | None = None
    deviations: tuple[DatedDeviation, ...] = ()
    excused: tuple[RelPath, ...] = ()

    @property
    def since(self) -> str | None:
        """The time of the version that recorded the oldest deviation; None if none is recorded."""
        times = [(one.since.version, one.since.time) for one in self.deviations if one.since]
        return min(times)[1] if times else None


def since_of(state: CatalogState, version: int | None) -> Since | None:
    """What a version says of when it came about."""
    info = None if version is None else state.find(version)
    if info is None:
        return None
    return Since(info.version, info.record.time, info.record.window)


def what_became(old: Entry | None, new: Entry | None) -> Changed:
    """Of a path whose two states differ."""
    if old is None:
        return "added"
    if new is None:
        return "removed"
    return (
        "modified" if set(changed_fields(old, new)) & {"content", "kind", "target"} else "metadata"
    )


def of_changes(status: Status) -> Iterable[tuple[RelPath, Changed]]:
    """What a look at the root found, for a root that is compared with its newest version."""
    metadata = set(status.metadata)
    sides: Sequence[tuple[Sequence[RelPath], Changed]] = (
        ([path for path in status.modified if path not in metadata], "modified"),
        (status.metadata, "metadata"),
        (status.added, "added"),
        (status.removed, "removed"),
    )
    return ((path, what) for paths, what in sides for path in paths)
