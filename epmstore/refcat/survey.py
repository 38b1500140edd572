"""A root beside a release, as far as the index can say it: which release, what differs, how many
are the same.

What is recorded is compared in the index, where equal is a matter of numbers; what the live root
shows beyond the newest version is laid over it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import msgspec

from epmstore.index.comparison import ComparedRow, Comparison, Rows
from epmstore.record.observed_changes import Changes
from epmstore.refcat.classify import deviating_fields, same_state
from epmstore.refcat.owners import Owner, OwnerMapping, owner_of
from epmstore.relpath import RelPath, parents
from epmstore.tree import Entry, Pair, path_of

MANY = 500
"""Paths from which on a whole release is read instead of each path for itself."""


class Survey(msgspec.Struct, frozen=True):
    """The paths that may not be as in `release`, and how many others are (`same`: files and links).

    `below` are folders that hold something beyond what the newest version says.
    """

    release: int
    pairs: dict[RelPath, Pair]
    same: int
    owners: OwnerMapping
    below: frozenset[RelPath]


def survey_recorded(comparison: Comparison, release: int) -> Survey:
    """The newest version beside a release. Within one `Database.read()`."""
    rows = comparison.rows(release)
    metas = _Metas(comparison)
    owners = OwnerMapping(_owner_pairs(rows, metas))
    harmless, rest = _sift(rows, metas, owners)
    pairs = comparison.pairs([*rows.unlike, *rest])
    same = sum(count for meta, count in (rows.equal + harmless).items() if metas.counts(meta))
    return Survey(release, {path_of(pair): pair for pair in pairs}, same, owners, frozenset())


def survey_nothing(release: int, wanted: Iterable[Entry], found: Iterable[Entry]) -> Survey:
    """The same where no version is recorded yet: everything is laid over."""
    there = {entry.path: entry for entry in found}
    pairs: dict[RelPath, Pair] = {path: (entry, None) for path, entry in there.items()}
    pairs.update({entry.path: (there.get(entry.path), entry) for entry in wanted})
    counts = Counter((owner_of(one), owner_of(two)) for one, two in pairs.values() if one and two)
    below = frozenset(RelPath(above) for path in there for above in parents(path))
    return Survey(release, pairs, 0, OwnerMapping(counts), below)


def lay_over(
    survey: Survey,
    changes: Changes,
    wanted: Callable[[RelPath], Entry | None],
) -> Survey:
    """With what the live root shows beyond the newest version. `wanted` gives the release's."""
    if changes.is_empty:
        return survey
    pairs, same = dict(survey.pairs), survey.same
    now: list[tuple[Entry | None, Entry | None]] = [(None, entry) for entry in changes.added]
    now += [(old, new) for old, new in changes.modified]
    now += [(entry, None) for entry in changes.lost]
    for old, new in now:
        path = path_of((old, new))
        if old is not None and path not in pairs and _is_counted(old):
            same -= 1
        pair = (new, wanted(path))
        pairs.pop(path, None)
        if pair != (None, None):
            pairs[path] = pair
    below = survey.below.union(
        RelPath(above) for entry in changes.added for above in parents(entry.path)
    )
    return msgspec.structs.replace(survey, pairs=pairs, same=same, below=below)


def _is_counted(entry: Entry) -> bool:
    return entry.kind != "directory" and entry.path_class != "state"


class _Metas:
    """Entries of no path, for what paths share; each made once."""

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison
        self._known: dict[int, Entry] = {}

    def __getitem__(self, number: int) -> Entry:
        found = self._known.get(number)
        if found is None:
            found = self._known[number] = self._comparison.meta(number)
        return found

    def counts(self, number: int) -> bool:
        return _is_counted(self[number])


def _owner_pairs(rows: Rows, metas: _Metas) -> Mapping[tuple[Owner, Owner], int]:
    pairs: Counter[tuple[Owner, Owner]] = Counter()
    for meta, count in rows.equal.items():
        owner = owner_of(metas[meta])
        pairs[owner, owner] += count
    for (one, two), alike in rows.alike.items():
        pairs[owner_of(metas[one]), owner_of(metas[two])] += len(alike)
    return pairs


def _sift(
    rows: Rows, metas: _Metas, owners: OwnerMapping
) -> tuple[Counter[int], list[ComparedRow]]:
    """(how many are as released although not all metadata is the same, those that are not)."""
    harmless: Counter[int] = Counter()
    rest: list[ComparedRow] = []
    for (one, two), alike in rows.alike.items():
        found, wanted = metas[one], metas[two]
        if same_state(found, wanted) and not deviating_fields(found, wanted, owners):
            harmless[one] += len(alike)
        else:
            rest += alike
    return harmless, rest
