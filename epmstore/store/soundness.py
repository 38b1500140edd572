"""Whether a catalog may be appended to: nothing ever goes behind damage.

A file that is as this store left it is believed. One that was touched by anything else, or that was
not looked at yet, is read once from its beginning: seals, numbers and chain. What is found wrong is
remembered with the state of the file, said to each caller that asks for that application, and
hinders no other application.
"""

from collections.abc import Iterable
from typing import Final

from epmstore.catalog.history import Tail
from epmstore.catalog.model import START, CatalogPosition
from epmstore.errors import DamagedError
from epmstore.index.notes import CatalogFault, Stamp
from epmstore.store import newest
from epmstore.store.store import Store, is_refcat

CACHES: Final = "*.sqlite"

REMEDY: Final = (
    "`epmstore rebuild` mends it if the index knows what it said; else take that from a copy,"
    " `epmstore store restore --from COPY`, or go on without it, `epmstore rebuild --accept-loss`"
)
VENDORS_REMEDY: Final = (
    "`epmstore rebuild` mends it if the index knows what it said; else take it from a copy,"
    " `epmstore store restore --from COPY`, or let go of it, `epmstore rebuild --accept-loss`, and"
    " import the catalog again"
)


def remedy(app: str) -> str:
    """What brings a damaged catalog back."""
    return VENDORS_REMEDY if is_refcat(app) else REMEDY


def known_fault(store: Store, app: str) -> CatalogFault | None:
    """What is known to be wrong with a catalog as it is now. Raises DamagedError (of the index)."""
    fault = store.notes.fault(app)
    if fault is None or fault.stamp != Stamp.of(store.catalog(app).path):
        return None
    return fault


def fault_error(store: Store, app: str, fault: CatalogFault) -> DamagedError:
    lost = ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in fault.lost)
    return DamagedError(
        f"{fault.message}; lost with it: {lost}" if lost else fault.message,
        hint=remedy(app),
        file=str(store.catalog(app).path),
        offset=fault.offset,
    )


def check_sound(store: Store, app: str) -> None:
    """Raises DamagedError if the catalog is known to be damaged."""
    fault = known_fault(store, app)
    if fault is not None:
        raise fault_error(store, app, fault)


def check_appendable(store: Store, app: str, head: CatalogPosition) -> None:
    """Raises DamagedError unless the catalog is whole up to `head`, as far as that can be known
    without reading what was not touched. Under the `write` lock.
    """
    check_sound(store, app)
    catalog = store.catalog(app)
    stamp = Stamp.of(catalog.path)
    if stamp is None and not head.length:
        return
    if stamp is not None and stamp == store.notes.seen(app):
        return
    try:
        catalog.check_chain(head)
    except DamagedError as error:
        raise remember(store, app, error) from None
    with store.database.write():
        store.notes.forget(app)
        store.notes.see(app, stamp)


def check_recordable(store: Store, app: str) -> None:
    """As `check_appendable`, before anything is done that is to be recorded afterwards. Takes the
    `write` lock only where there is something to look at. Raises DamagedError, BusyError.
    """
    check_sound(store, app)
    stamp = Stamp.of(store.catalog(app).path)
    if stamp is None or stamp == store.notes.seen(app):
        return
    with store.lock_write():
        found = store.entries.position(app)
        if found is not None and found[0] == stamp.size:  # else it is caught up with first
            check_appendable(store, app, CatalogPosition(*found))


def witnessed(store: Store, app: str) -> int:
    """The highest number that a version had, by what lies beside index and catalog; -1 if nothing
    says so.
    """
    noted = newest.read(store.path).get(app, -1)
    live = None if is_refcat(app) else store.live(app).state()
    return noted if live is None else max(noted, live.version)


def all_witnessed(store: Store) -> set[str]:
    """The catalogs that something speaks for which lies beside them and the index."""
    return {*newest.read(store.path), *(path.stem for path in (store.path / "live").glob(CACHES))}


def read_tail(store: Store, app: str, committed: CatalogPosition) -> Tail:
    """What lies beyond `committed`. Where no index knows how far a catalog went, it is damaged if
    it ends before a version that was recorded: it is torn, from an older copy, or gone. Raises
    DamagedError.
    """
    catalog = store.catalog(app)
    tail = catalog.tail(committed, many=is_refcat(app))
    seen = witnessed(store, app) if committed == START else -1
    if seen > tail.top:
        raise DamagedError(
            f"{catalog.path}, byte {tail.valid.length}: version {seen} was recorded,"
            " and cannot be read",
            file=str(catalog.path),
            offset=tail.valid.length,
            lost=(tail.top + 1, seen),
        )
    return tail


def remember(
    store: Store,
    app: str,
    error: DamagedError,
    *,
    lost: Iterable[tuple[int, int]] = (),
    is_salvaged: bool = False,
) -> DamagedError:
    """Note what is wrong with a catalog; the error that says so. Under the `write` lock."""
    fault = CatalogFault(
        stamp=Stamp.of(store.catalog(app).path),
        offset=int(error.data.get("offset", 0)),
        message=error.message,
        lost=tuple(lost),
        is_salvaged=is_salvaged,
    )
    store.notes.remember(app, fault)
    return fault_error(store, app, fault)


def see(store: Store, app: str) -> None:
    """Note that a catalog is as we have just written it. Under the `write` lock."""
    store.notes.see(app, Stamp.of(store.catalog(app).path))
