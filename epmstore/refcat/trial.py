"""A store as it would be once catalogs from elsewhere are imported, for dry runs. Nothing is
written: its index is a copy in memory.
"""

from collections.abc import Iterable, Iterator

from epmstore import seal
from epmstore.catalog.format import decode_line, open_line, without_entries
from epmstore.catalog.history import Read
from epmstore.catalog.model import START, CatalogPosition
from epmstore.refcat.interchange import Incoming
from epmstore.store.replay import enter_aside
from epmstore.store.store import Store, refcat


def trial_store(store: Store, incoming: Iterable[Incoming]) -> Store:
    """As if these were imported; to be closed. Raises DamagedError, OSError."""
    trial = Store(store.path, store.identity, store.clock)
    try:
        trial.database.read_aside()
        for one in incoming:
            enter_aside(trial, refcat(one.about.app), _reads(trial, one))
    except BaseException:
        trial.close()
        raise
    return trial


def _reads(store: Store, incoming: Incoming) -> Iterator[Read]:
    """What is new of it, as it would be read from the catalog."""
    found = store.entries.position(refcat(incoming.about.app))
    before = START if found is None else CatalogPosition(*found)
    for stored, after in incoming.lines[incoming.new :]:
        plain = open_line(*seal.read(stored))
        envelope, record = decode_line(plain)
        yield Read(before, after, envelope, record, without_entries(plain, record, before))
        before = after
