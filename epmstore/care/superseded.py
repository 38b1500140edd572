"""Releases whose contents a host needs no more: superseded ones of what is installed. Pure.

A store keeps the contents of every release that came with them, as a vendor wants it. Of a product
that is installed here, or ever was, it keeps those of the releases that

- are installed now, or are by a version that can be restored,
- were installed when configuration was kept that its vendor changed as well, as long as the note of
  that is open,
- are the newest ones of their catalog.

Contents that a version of an application has are that version's, whatever becomes of releases. Of a
history that cannot be read whole it is not known what it has installed: then all releases stay.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from epmstore.care.references import CatalogNeeds
from epmstore.catalog.install_notes import KEPT_CONFIG, notes_of
from epmstore.catalog.installed import InstalledSet, installed_by
from epmstore.catalog.retention import KEEP_RELEASES
from epmstore.catalog.state import CatalogState
from epmstore.store.store import is_refcat, refcat


def superseded(needs: Mapping[str, CatalogNeeds]) -> dict[str, frozenset[int]]:
    """Numbers of such releases, by the name of the catalog, of all catalogs of a store."""
    histories = [need for name, need in needs.items() if not is_refcat(name)]
    if any(need.fault is not None or need.state.gaps for need in histories):
        return {}
    wanted: dict[str, set[int]] = defaultdict(set)
    for need in histories:
        for product, release, is_kept in _installed(need.state):
            wanted[product].update({release} if is_kept else ())
    found: dict[str, frozenset[int]] = {}
    for product, kept in wanted.items():
        catalog = needs.get(refcat(product))
        if catalog is not None:
            numbers = [info.version for info in catalog.state.versions]
            gone = frozenset(numbers[:-KEEP_RELEASES]) - kept
            found |= {refcat(product): gone} if gone else {}
    return found


def _installed(state: CatalogState) -> Iterator[tuple[str, int, bool]]:
    """(product, release, whether its contents are kept) of all that a history ever had."""
    now: InstalledSet = ()
    for info in state.versions:
        now = now if info.record.installed is None else info.record.installed
        yield from _each(now, is_kept=info.restorable)
    yield from _each(now, is_kept=True)
    for note in notes_of(state):
        if note.note.what == KEPT_CONFIG and note.is_open:
            before = installed_by(state.versions, note.version.version - 1)
            yield from _each(before, is_kept=True)


def _each(installed: InstalledSet, *, is_kept: bool) -> Iterator[tuple[str, int, bool]]:
    for one in installed:
        yield one.product, one.release, is_kept
