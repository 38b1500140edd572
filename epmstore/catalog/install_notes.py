"""What people should know of what was done, until they acknowledge it: notes of a history. Pure.

A note is part of the version that it is about, so it is there if and only if that is. Its number
counts the notes of an application, from 1, in the order of versions.
"""

from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import Final

import msgspec

from epmstore.catalog.model import Note
from epmstore.catalog.state import CatalogState, VersionInfo
from epmstore.errors import NotFoundError
from epmstore.relpath import RelPath

KEPT_CONFIG: Final = "kept-config"
KEPT_FILE: Final = "kept-file"
MERGED_CONFIG: Final = "merged-config"
REMOVED_CONFIG: Final = "removed-config"
KEPT_RENDERED: Final = "kept-rendered"
UNSET: Final = "unset-parameter"
FOUND_CONFIG: Final = "found-config"
REPLACED: Final = "replaced"
UNMET: Final = "unmet"
INCOMPLETE: Final = "incomplete"
NAMED = 20
"""So many paths that could not be put have a note each; one more counts the others."""
SAID: Final = {
    KEPT_CONFIG: "was edited here, and its vendor changed it as well: yours is kept",
    KEPT_FILE: "was changed here, and the new release has it no more: it is kept",
    MERGED_CONFIG: "was edited here, and its vendor changed it as well: both are in it",
    REMOVED_CONFIG: "was removed here, and its vendor changed it: it is not brought back",
    KEPT_RENDERED: "is not as its parameters have it: it is kept",
    FOUND_CONFIG: "was there before: it is kept",
    REPLACED: "was changed here: it was replaced",
}
"""What the words of notes say; of another one, what it is."""


class NumberedNote(msgspec.Struct, frozen=True, kw_only=True):
    """A note as it stands now: `place` is that among the notes of its version;
    `taken_back`: what it is about was undone.
    """

    number: int
    version: VersionInfo
    place: int
    note: Note
    acknowledged: bool
    taken_back: bool = False

    @property
    def is_open(self) -> bool:
        """Whether a person should still know of it."""
        return not self.acknowledged and not self.taken_back

    @property
    def text(self) -> str:
        """For people; of a path, without it."""
        return self.note.text or SAID.get(self.note.what, self.note.what)

    @property
    def before(self) -> tuple[int, RelPath] | None:
        """Where what was replaced, or merged, still is: a version, and the path."""
        path, version = self.note.path, self.version.record.from_
        return (
            None
            if self.note.what not in (REPLACED, MERGED_CONFIG) or path is None or version is None
            else (
                version,
                path,
            )
        )

    @property
    def theirs(self) -> tuple[int, RelPath] | None:
        """Where what its vendor has is: a release, and the path."""
        path, release = self.note.path, self.version.record.release
        kept = self.note.what in (KEPT_CONFIG, FOUND_CONFIG, MERGED_CONFIG, REMOVED_CONFIG)
        return None if not kept or path is None or release is None else (release, path)


def incomplete(missed: Mapping[RelPath, str]) -> tuple[Note, ...]:
    """Of paths that are not as what was installed has them, each with why."""
    notes = [
        Note(what=INCOMPLETE, path=path, text=f"is not as it should be: {why}")
        for path, why in islice(missed.items(), NAMED)
    ]
    if len(missed) > NAMED:
        more = f"{len(missed) - NAMED:,} more paths are not as they should be"
        notes.append(Note(what=INCOMPLETE, text=f"{more}: `epmstore verify` names all"))
    return tuple(notes)


def notes_of(state: CatalogState, taken_back: Collection[int] = ()) -> list[NumberedNote]:
    """All of them, oldest first. `taken_back` are versions that were undone."""
    found: list[NumberedNote] = []
    for version in state.versions:
        for place, note in enumerate(version.record.notes):
            known = (version.version, place) in state.acknowledged
            found.append(
                NumberedNote(
                    number=len(found) + 1,
                    version=version,
                    place=place,
                    note=note,
                    acknowledged=known,
                    taken_back=version.version in taken_back,
                )
            )
    return found


def chosen(notes: Iterable[NumberedNote], numbers: Iterable[int]) -> list[NumberedNote]:
    """Those of these numbers. Raises NotFoundError."""
    by_number = {one.number: one for one in notes}
    for number in numbers:
        if number not in by_number:
            raise NotFoundError(
                f"there is no note {number}", hint="`epmstore notes --all` lists them"
            )
    return [by_number[number] for number in dict.fromkeys(numbers)]
