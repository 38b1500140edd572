"""What a root is compared with, and since when it deviates. Pure.

A deviation does not fade because it was recorded. What a root should be is, in this order, the
release that explains it, the version that was accepted, the newest version. Paths accepted one
by one count as they were in the version they were accepted in, whatever the baseline is.
"""

from collections.abc import Callable, Sequence

from epmstore.catalog.model import AcceptRecord
from epmstore.index.entries import Span
from epmstore.relpath import RelPath, parents
from epmstore.tree import Entry, changed_fields

IsRight = Callable[[Entry | None], bool]
"""Whether a state of a path (None: it is not there) is as it should be."""


class Accepted:
    """The accept records that are in force: the last that spoke of everything, and later ones that
    spoke of some paths.
    """

    def __init__(self, records: Sequence[AcceptRecord]) -> None:
        """`records` oldest first."""
        whole = [n for n, record in enumerate(records) if record.paths is None]
        self.baseline = records[whole[-1]] if whole else None
        self._paths: dict[str, AcceptRecord] = {}
        for record in records[whole[-1] + 1 if whole else 0 :]:
            for path in record.paths or ():
                self._paths = {p: r for p, r in self._paths.items() if not _is_below(p, path)}
                self._paths[path] = record

    def by_path(self, path: RelPath) -> AcceptRecord | None:
        """The record that speaks of a path by name, or of a folder above it."""
        if not self._paths:
            return None
        above = (path, *reversed(parents(path)))
        return next((self._paths[p] for p in above if p in self._paths), None)

    def record(self, path: RelPath) -> AcceptRecord | None:
        """The record that counts for a path; None if none speaks of it."""
        return self.by_path(path) or self.baseline

    @property
    def paths(self) -> list[str]:
        """Those that were accepted by name."""
        return list(self._paths)


def is_same(one: Entry | None, two: Entry | None) -> bool:
    """Whether two states of a path are the same in everything but their time."""
    if one is None or two is None:
        return one is two
    return not set(changed_fields(one, two)) - {"mtime", "link"}


def deviates_since(
    spans: Sequence[Span], newest: int, is_right: IsRight, first: int = 0
) -> int | None:
    """The version from which on a path has been wrong up to `newest`; None if it is right there.

    `spans` are the states of the path, oldest first, and `first` is the oldest version of all.
    """
    states: list[tuple[int, Entry | None]] = []
    position = first
    for span in spans:
        if span.since > position:
            states.append((position, None))
        states.append((span.since, span.entry))
        position = newest + 1 if span.until is None else span.until
    if position <= newest:
        states.append((position, None))
    since = None
    for start, entry in reversed(states):
        if is_right(entry):
            break
        since = start
    return since


def _is_below(path: str, top: str) -> bool:
    return path == top or path.startswith(f"{top}/")
