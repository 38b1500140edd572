"""What an observation amounts to: entries that came, changed and went, against the newest version.
Pure.
"""

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

import msgspec

from epmstore.catalog.diff import tally
from epmstore.catalog.model import Counts, Tally
from epmstore.catalog.rootfacts import root_change
from epmstore.compact import CompactEntries
from epmstore.relpath import ROOT, RelPath, sort_paths
from epmstore.scan.problem import Problem
from epmstore.tree import SUM_MODULUS, Entry, changed_fields, is_disclosed, shifted_sum

if TYPE_CHECKING:  # start-up
    from epmstore.record.ingest import Ingested
    from epmstore.record.observe import Observation


class Changes(msgspec.Struct, frozen=True):
    """The difference between the newest version and the root. `modified` pairs old and new.

    `left` went out of what the rules look at; `problems` are what could not be read: those paths
    keep the entries they had.
    """

    added: CompactEntries
    modified: list[tuple[Entry, Entry]]
    removed: list[Entry]
    left: list[Entry]
    problems: list[Problem]
    root: Entry | None = None
    """The root directory itself, as it is now; None: not looked at."""
    root_before: Entry | None = None

    @property
    def is_empty(self) -> bool:
        changed = self.added or self.modified or self.lost
        return not changed and self.root_change is None

    @property
    def root_change(self) -> tuple[Entry, Entry] | None:
        """The root directory, before and now, if it is known to differ."""
        return root_change(self.root_before, self.root)

    @property
    def counts(self) -> Counts:
        modified = len(self.modified) + (self.root_change is not None)
        return Counts(len(self.added), modified, len(self.removed))

    @property
    def tally(self) -> Tally:
        """The same, with folders and times apart."""
        gone = ((old, None) for old in self.removed)
        rest = tally([*self.modified, *gone], root=self.root_change is not None)
        folders = Counts(self.added.folders, rest.folders.modified, rest.folders.removed)
        return Tally(self.counts, folders, rest.times)

    def come(self) -> Iterator[Entry]:
        return chain(self.added, (new for _, new in self.modified))

    def gone(self) -> Iterator[Entry]:
        return chain(self.lost, (old for old, _ in self.modified))

    @property
    def lost(self) -> list[Entry]:
        """What the newest version has and one of now would not."""
        return [*self.removed, *self.left]

    def new_sum(self, old_sum: int) -> int:
        """The sum of the tree after the changes, given the one before."""
        shifted = shifted_sum(old_sum, gone=self.gone(), come=(new for _, new in self.modified))
        return (shifted + self.added.sum) % SUM_MODULUS


def judge_changes(
    found: "Observation",
    ingested: "Ingested",
    root: Entry | None = None,
    root_before: Entry | None = None,
) -> Changes:
    """Compare what was read with what is recorded. What is plainly new becomes part of it. `root`
    is the directory itself, `root_before` what the newest version says of it.
    """
    added: list[Entry] = []
    modified: list[tuple[Entry, Entry]] = []
    problems = [_named(problem) for problem in found.unobserved]
    for one in ingested.others:
        if one.entry is None:
            if one.problem is not None:
                problems.append(one.problem)
            continue
        entry = with_link(one.entry, found.same_as.get(one.entry.path))
        recorded = one.recorded
        if recorded is None:
            added.append(entry)
        elif _differ(recorded, entry):
            modified.append((recorded, entry))
    ingested.fresh.add(added)
    gone, left = list(found.gone), list(found.left)
    return Changes(ingested.fresh, modified, gone, left, problems, root, root_before)


def _named(problem: Problem) -> Problem:
    """The root itself by its name: for a walk it is the folder without one."""
    return problem if problem.path else msgspec.structs.replace(problem, path=ROOT)


def _differ(recorded: Entry, entry: Entry) -> bool:
    """Whether there are `changed_fields`, or a content must now be stored. Asked of every entry,
    and nearly always plain.
    """
    if recorded.path_class == entry.path_class:
        return recorded != entry
    return bool(changed_fields(recorded, entry)) or is_disclosed(recorded, entry)


def with_link(entry: Entry, same_as: RelPath | None) -> Entry:
    return entry if same_as is None else msgspec.structs.replace(entry, same_as=same_as)


def paths_of(entries: Iterable[Entry]) -> list[RelPath]:
    return sort_paths(entry.path for entry in entries)


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """By the bytes of their paths."""
    return sorted(entries, key=lambda entry: os.fsencode(entry.path))
