"""What a collection must not take, and what came after it looked: roots, not yet what they lean on.

From the catalogs: every content of every version that is not forgotten, or was forgotten by a
policy within a day, unless it was purged or is of a release that was superseded
(superseded.py). From open journals: every content that they name,
everything that any version of their application has, and every content that no version names at
all, because it may be about to be named.
"""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from epmstore.care.references import (
    CatalogNeeds,
    committed,
    named_in,
    open_journals,
    purged_contents,
    witnesses,
)
from epmstore.care.superseded import superseded
from epmstore.catalog.model import CatalogPosition, UnforgetRecord, VersionPart
from epmstore.catalog.retention import may_go
from epmstore.digest import Sha256
from epmstore.reckon import Reckoning
from epmstore.store.store import Store


class Marks(msgspec.Struct, frozen=True):
    """What a collection has to keep, as catalogs and journals say. `needed` are roots; `named` is
    every content that some version names. `positions` tell how far each catalog was read;
    `journals` are the names of those that were open.
    """

    needed: frozenset[Sha256]
    named: frozenset[Sha256]
    positions: dict[str, CatalogPosition]
    journals: frozenset[str]


VersionsByCatalog: TypeAlias = Mapping[str, frozenset[int]]
"""Numbers of versions, by the name of the catalog."""
_NONE: frozenset[int] = frozenset()


def held_back(needs: Mapping[str, CatalogNeeds], now: Reckoning) -> dict[str, frozenset[int]]:
    """The forgotten versions whose contents are not to go yet."""
    found = {
        app: frozenset(
            info.version
            for info in need.state.versions
            if not info.restorable and not may_go(info, now)
        )
        for app, need in needs.items()
    }
    return {app: versions for app, versions in found.items() if versions}


def mark(
    store: Store,
    needs: Mapping[str, CatalogNeeds],
    *,
    without: VersionsByCatalog | None = None,
    held: VersionsByCatalog | None = None,
) -> Marks:
    """The marks of what all catalogs say (`all_needs`). `without`: versions that are looked at as
    if they were forgotten; `held`: forgotten ones that are looked at as if they were not.
    """
    journals = open_journals(store)
    old = superseded(needs)
    busy = {path.name.partition(".")[0] for path in journals}
    needed: set[Sha256] = set()
    named: set[Sha256] = set()
    for app, need in needs.items():
        named |= witnesses(need.spans)
        if app in busy:
            needed |= witnesses(need.spans)
        else:
            gone = (without or {}).get(app, _NONE) | old.get(app, _NONE)
            also = (held or {}).get(app, _NONE)
            needed |= witnesses(need.needed(without=gone, also=also))
    for path in journals:
        needed |= named_in(path)
    needed -= witnesses(purged_contents(needs.values()))
    positions = {app: need.position for app, need in needs.items()}
    return Marks(
        frozenset(needed),
        frozenset(named),
        positions,
        frozenset(path.name for path in journals),
    )


def marked_since(store: Store, marks: Marks) -> set[Sha256] | None:
    """The contents that were needed anew since the mark; None if that cannot be told from what was
    committed alone (an application or a journal came, a forget was taken back).

    Under the `write` lock. Raises DamagedError.
    """
    if {path.name for path in open_journals(store)} - marks.journals:
        return None
    found: set[Sha256] = set()
    for app in store.all_catalogs():
        before, now = marks.positions.get(app), committed(store, app)
        if before is None:
            return None
        if now == before:
            continue
        for read in store.catalog(app).read(before, now.length):
            if isinstance(read.record, UnforgetRecord):
                return None
            if isinstance(read.record, VersionPart):
                contents = (entry.content for entry in read.record.entries)
                found.update(content.sha256 for content in contents if content is not None)
    return found
