"""Versions entered into an index without a catalog."""

from collections.abc import Iterable

from epmstore.index.entries import Entries
from epmstore.relpath import RelPath
from epmstore.tree import Entry


def enter(
    index: Entries,
    app: str,
    version: int,
    *,
    entries: Iterable[Entry] = (),
    meta: Iterable[Entry] = (),
    removed: Iterable[RelPath] = (),
) -> None:
    """As `Entries.begin`, from begin to end."""
    with index.database.write():
        index.begin(app, version, entries=entries, meta=meta, removed=removed)()
