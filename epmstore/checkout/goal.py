"""Where a checkout goes. Pure.

A goal is a version, a vendor's release, that nothing of a release is there any more, or a set of
entries that are wanted as they are given.
Whatever speaks of a goal speaks in its words: a request has it as a value; the header of a journal,
what is owed and a plan file have its `form`, in a document of its `format`; the version that comes
of it has what `said_in` adds, which `goal_of` reads again.

Format 1 knows versions and releases, as `of` and `release`, one of which is `null`. Format 2 has
`edits`, and no `of`, which every reader of format 1 looks for: it refuses them. Format 3 has
`without`, and none of these.
"""

from typing import Any, ClassVar, Final, TypeAlias, get_args

import msgspec

from epmstore.catalog.model import VersionRecord
from epmstore.entryform import Form, entry_from_form, entry_to_form
from epmstore.relpath import RelPath, from_json, to_json
from epmstore.tree import Entry, Kind


class VersionGoal(msgspec.Struct, frozen=True):
    """The content of a recorded version."""

    version: int
    format: ClassVar[int] = 1
    paths: ClassVar[None] = None

    def __str__(self) -> str:
        return str(self.version)

    def form(self) -> Form:
        return {"of": self.version, "release": None}

    def said_in(self, record: VersionRecord) -> VersionRecord:
        return msgspec.structs.replace(record, of=self.version)


class ReleaseGoal(msgspec.Struct, frozen=True):
    """What a vendor released, as it is on this host."""

    release: int
    format: ClassVar[int] = 1
    paths: ClassVar[None] = None

    def __str__(self) -> str:
        return f"release:{self.release}"

    def form(self) -> Form:
        return {"of": None, "release": self.release}

    def said_in(self, record: VersionRecord) -> VersionRecord:
        return msgspec.structs.replace(record, release=self.release)


class RemovalGoal(msgspec.Struct, frozen=True):
    """What a vendor released is not there any more, as far as it was not changed here."""

    release: int
    format: ClassVar[int] = 3
    paths: ClassVar[None] = None

    def __str__(self) -> str:
        return f"without release:{self.release}"

    def form(self) -> Form:
        return {"without": self.release}

    def said_in(self, record: VersionRecord) -> VersionRecord:
        """What went is in its tree."""
        return record


class EditsGoal(msgspec.Struct, frozen=True):
    """Pairs of a path and the entry that is wanted there, None if nothing is; each path once. All
    else stays as it is. The contents are stored before, and the folder of each path is there, or is
    among them.
    """

    edits: tuple[tuple[RelPath, Entry | None], ...]
    format: ClassVar[int] = 2

    @property
    def paths(self) -> tuple[RelPath, ...]:
        return tuple(path for path, _ in self.edits)

    def __str__(self) -> str:
        return "edits"

    def form(self) -> Form:
        return {
            "edits": [
                {"path": to_json(path), "entry": None if entry is None else entry_to_form(entry)}
                for path, entry in self.edits
            ]
        }

    def said_in(self, record: VersionRecord) -> VersionRecord:
        """What was wanted is in its tree, and which paths in its scope."""
        return record


Goal: TypeAlias = VersionGoal | ReleaseGoal | RemovalGoal | EditsGoal
FORMATS: Final = (1, 2, 3)
"""Those of documents with a goal that this release reads."""
TOGETHER: Final = 4
"""That of work under way which is part of a transaction, whatever its goal."""


def goal_from_form(form: Form) -> Goal:
    """The inverse of `form`, of a document that has other keys, too. Raises ValueError, KeyError,
    TypeError, AttributeError, DamagedError, InvalidNameError.
    """
    if "edits" in form:
        edits = dict(map(_edit_from_form, form["edits"]))
        if not edits or len(edits) < len(form["edits"]):
            raise ValueError("it has no edits, or two of one path")
        return EditsGoal(tuple(edits.items()))
    if "without" in form:
        return RemovalGoal(msgspec.convert(form["without"], int))
    match form["of"], form.get("release"):
        case int(version), None:
            return VersionGoal(version)
        case None, int(release):
            return ReleaseGoal(release)
    raise ValueError("it goes neither to one version nor to one release")


def goal_of(record: VersionRecord) -> VersionGoal | ReleaseGoal | None:
    """Whose content a version brought back; None if it has one of its own."""
    if record.of is not None:
        return VersionGoal(record.of)
    return None if record.release is None else ReleaseGoal(record.release)


def version_of(goal: Goal | None) -> int | None:
    """The version that a goal is, where that alone is shown."""
    return goal.version if isinstance(goal, VersionGoal) else None


def _edit_from_form(form: Form) -> tuple[RelPath, Entry | None]:
    path = from_json(form["path"])
    if form["entry"] is None:
        return path, None
    entry = entry_from_form(form["entry"])
    if entry.path != path or entry.kind not in get_args(Kind):
        raise ValueError(f"no entry of {path!r}")
    return path, entry


def without_goal(form: dict[str, Any], goal: Goal) -> dict[str, Any]:
    """Of format 4, in which a goal is an object of its own: who does not look at formats would take
    part of a transaction for the whole, and does not find what it looks for.
    """
    return {key: said for key, said in form.items() if key not in goal.form()}
