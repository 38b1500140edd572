"""What an edited file of configuration was edited from. Pure.

That is what its vendor had there, of the latest of these moments:

- the file was here as some release has it,
- a merge put what a release has into it,
- a person answered what to do about what a release has.

Only moments count that what is there descends from: a content that was brought back is as it was
then, whatever was done in between. Where there is none, it is what the first release had that was
installed here: a file that was there before.
"""

from collections.abc import Iterable, Sequence

import msgspec

from epmstore.catalog.install_notes import MERGED_CONFIG
from epmstore.catalog.installed import find_product
from epmstore.catalog.state import CatalogState
from epmstore.index.entries import Span
from epmstore.refcat.classify import same_state
from epmstore.relpath import RelPath
from epmstore.tree import Entry


class MergeBase(msgspec.Struct, frozen=True):
    """What a release of the vendor had, and which (the first that had it)."""

    entry: Entry
    release: int


def merge_base(
    path: RelPath,
    state: CatalogState,
    undone: Iterable[int],
    product: str,
    here: Sequence[Span],
    released: Sequence[Span],
) -> MergeBase | None:
    """Of a path that was recorded in the states `here` and released in others, both oldest first;
    `undone` are versions that were taken back. None if no release that counts had the path.
    """
    gone, lineage = frozenset(undone), _lineage(here)
    answered = _answered(path, state, gone, product)
    moments = [
        *_as_released(lineage, released),
        *(one for one in answered if any(_had(span, one[0]) for span in lineage)),
    ]
    if not moments:
        moments = [(0, release) for release in _first_installed(state, product)]
    for _, release in sorted(moments, reverse=True):
        found = _at(released, release)
        if found is not None:
            return MergeBase(found, release)
    return None


def _lineage(here: Sequence[Span]) -> list[Span]:
    """The states that the last one descends from, itself among them, newest first: behind one that
    was brought back come those behind its first time.
    """
    found: list[Span] = []
    at = len(here) - 1
    while at >= 0:
        found.append(here[at])
        first = next(n for n in range(at + 1) if same_state(here[n].entry, here[at].entry))
        if first != at:
            found.append(here[first])
        at = first - 1
    return found


def _had(span: Span, version: int) -> bool:
    return span.since <= version and (span.until is None or version < span.until)


def _as_released(here: Sequence[Span], released: Sequence[Span]) -> Iterable[tuple[int, int]]:
    """(last version in which the file was so, release) for each state that a release has."""
    for span in here:
        last = span.since if span.until is None else span.until - 1
        for other in released:
            if same_state(span.entry, other.entry):
                yield last, other.since


def _answered(
    path: RelPath, state: CatalogState, gone: frozenset[int], product: str
) -> Iterable[tuple[int, int]]:
    for info in state.versions:
        record = info.record
        is_merge = any((n.what, n.path) == (MERGED_CONFIG, path) for n in record.notes)
        if is_merge and record.release is not None and info.version not in gone:
            yield info.version, record.release
    for merge in state.merges:
        if (merge.path, merge.product) == (path, product) and merge.version not in gone:
            yield merge.version, merge.release


def _first_installed(state: CatalogState, product: str) -> Iterable[int]:
    for info in state.versions:
        said = find_product(info.record.installed or (), product)
        if said is not None:
            return (said.release,)
    return ()


def _at(released: Sequence[Span], release: int) -> Entry | None:
    return next(
        (span.entry for span in released if _had(span, release)),
        None,
    )
