"""Which contents of an application may go to a depot, and have to: those that versions which are
kept need.

Never those of a secret: what any version of any application recorded as one, and what lies at a
path that is one by the rules of today. What was purged does not go either.
"""

from collections.abc import Iterable, Iterator, Set

import msgspec

from epmstore.care.references import read_needs
from epmstore.catalog.appcat import App
from epmstore.catalog.classes import Rules
from epmstore.catalog.model import START, CatalogPosition, VersionPart
from epmstore.digest import BlobInfo, Sha256
from epmstore.relpath import RelPath
from epmstore.store.store import Store
from epmstore.tree import Entry


class NeededContents(msgspec.Struct, frozen=True):
    """What the history of an application needs, as of `position`."""

    position: CatalogPosition
    version: int | None
    contents: frozenset[BlobInfo]


def needed_contents(store: Store, app: App, secret: Set[Sha256]) -> NeededContents:
    """Without what is `secret` or purged. Raises DamagedError."""
    position = store.entries.position(app.uuid)
    assert position is not None, "it has a history"
    end = CatalogPosition(*position)
    need = read_needs(store, app.uuid, end.length)
    if need.fault is not None:
        raise need.fault
    purged = store.contents.purged()
    last = store.entries.last_version(app.uuid)
    found = {one for one in need.needed() if one.sha256 not in secret and one not in purged}
    version = None if last is None else last.version
    return NeededContents(end, version, frozenset(found))


def secret_contents(store: Store, apps: Iterable[App]) -> frozenset[Sha256]:
    """What was a secret anywhere, once or by the rules of today. Raises DamagedError."""
    found: set[Sha256] = set()
    for app in apps:
        found |= _secrets(store, app)
    return frozenset(found)


def _secrets(store: Store, app: App) -> set[Sha256]:
    rules = Rules(app.patterns, app.noisy)
    paths: set[RelPath] = set()
    for entry in _entries(store, app):
        if entry.path_class == "secret" or rules.classify(entry.path) == "secret":
            paths.add(entry.path)
    if not paths:
        return set()
    said = (e.content for e in _entries(store, app) if e.path in paths)
    return {content.sha256 for content in said if content is not None}


def _entries(store: Store, app: App) -> Iterator[Entry]:
    """Whatever the history says of paths, in order."""
    position = store.entries.position(app.uuid)
    if position is None:
        return
    for read in store.catalog(app.uuid).read(START, position[0]):
        if isinstance(read.record, VersionPart):
            yield from read.record.entries
            yield from read.record.meta
