"""Before an index is replaced: whether it knows what the catalogs have lost, and that written back.

Every catalog is looked at beside what the index has of it. One that is damaged, shorter, older or
lost is put together again from all that is known (catalog_repair.py). What cannot be is named, and
the index that alone still knows it stays, unless the caller accepts the loss.
"""

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from epmstore.atomic import retire
from epmstore.catalog import appcat
from epmstore.catalog.format import decode_line
from epmstore.catalog.model import START, CatalogPosition, VersionPart
from epmstore.catalog.salvage import CatalogSalvage
from epmstore.clock import to_rfc3339
from epmstore.errors import DamagedError, EpmError
from epmstore.store import newest
from epmstore.store.catalog_repair import Chain, IndexLines, assemble, begin_again, write_chain
from epmstore.store.soundness import all_witnessed, read_tail, witnessed
from epmstore.store.store import Store, catalog_file, is_refcat, refcat


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """What making an index anew came to, as lines for people: `damage` that is left; catalogs that
    were `mended`; what is `gone`, because the caller accepted that.
    """

    damage: tuple[str, ...] = ()
    mended: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


class IndexedCatalog(msgspec.Struct, frozen=True):
    """What an index has of one catalog: how far, and which versions, by number with their
    transaction ids. `top` is the highest number that any had; `key` is what people call it.
    """

    position: CatalogPosition = START
    versions: frozenset[tuple[int, str]] = frozenset()
    top: int = -1
    key: str = ""


def known_of(store: Store, app: str) -> IndexedCatalog:
    """Nothing if the index cannot be read."""
    if not store.database.exists():
        return IndexedCatalog()
    try:
        found = store.entries.position(app)
        records = store.entries.records(app)
        top = store.notes.top(app)
    except DamagedError:
        return IndexedCatalog()
    said = [decode_line(one.form)[1] for one in records if one.version is not None]
    headers = [record.header for record in said if isinstance(record, VersionPart)]
    return IndexedCatalog(
        START if found is None else CatalogPosition(*found),
        frozenset((header.version, header.txid) for header in headers),
        max([top, *(header.version for header in headers)]),
        headers[-1].key if headers else "",
    )


def names_of_all(store: Store) -> list[str]:
    """Of all catalogs, those that only the index knows included."""
    try:
        known = store.entries.catalogs() if store.database.exists() else []
    except DamagedError:
        known = []
    return sorted({*store.all_catalogs(), *known, *all_witnessed(store)})


def mend_catalogs(
    store: Store, copies: Sequence[Path] = (), *, accept_loss: bool = False
) -> tuple[list[str], list[str]]:
    """(what was written back, what is gone): lines for people. Under the `write` lock. Raises
    OSError.
    """
    mended: list[str] = []
    gone: list[str] = []
    for app in _names(store, copies):
        known = known_of(store, app)
        is_whole = _is_whole(store, app, known.position)
        if is_whole and not any((folder / catalog_file(app)).exists() for folder in copies):
            continue
        chain = _assemble(store, app, known, copies)
        if is_whole and chain.seq == chain.from_file:
            continue
        if chain.is_whole:
            write_chain(store, app, chain.lines)
            count = chain.seq - chain.from_file
            mended.append(f"{_named(app, known)}: {count} of {chain.seq} lines were written back")
        elif accept_loss:
            gone.append(_begin_again(store, app, known, chain))
    return mended, gone


def _names(store: Store, copies: Sequence[Path]) -> list[str]:
    """Of all catalogs, those of registered applications included that only a copy has."""
    names = {*names_of_all(store)}
    with contextlib.suppress(DamagedError):
        for app in appcat.load(store.catalogs / "appcat.json").apps:
            files = ((name, catalog_file(name)) for name in (app.uuid, refcat(app.uuid)))
            names |= {n for n, file in files if any((copy / file).exists() for copy in copies)}
    return sorted(names)


def check_nothing_lost(old: Store, fresh: Store) -> None:
    """Raises DamagedError if an index that can be read has versions that the one in its place would
    not have.
    """
    losses = []
    for app in names_of_all(old):
        before, after = known_of(old, app), known_of(fresh, app)
        lost = sorted(number for number, _ in before.versions - after.versions)
        if lost:
            file = f"catalogs/{catalog_file(app)}"
            losses.append(f"{_named(app, before)}: {_numbers(lost)} that {file} lacks")
    if losses:
        raise DamagedError(
            f"the index alone knows of {'; '.join(losses)}: it was not replaced",
            hint="take the catalog from a copy, `epmstore store restore --from COPY`; or let go of"
            " what only the index knows: `epmstore rebuild --accept-loss`",
            catalogs=losses,
        )


def carry_tops(old: Store, fresh: Store) -> None:
    """No number of a version is given twice, whatever index comes in the place of which."""
    with fresh.database.write():
        for app in names_of_all(old):
            fresh.notes.raise_top(app, known_of(old, app).top)


def _is_whole(store: Store, app: str, position: CatalogPosition) -> bool:
    """Whether the file has all that the index has of it, and nothing wrong behind that."""
    catalog = store.catalog(app)
    try:
        catalog.check(position)
        read_tail(store, app, START)
    except DamagedError:
        return False
    except EpmError:  # of a newer release
        return True
    return True


def _assemble(store: Store, app: str, known: IndexedCatalog, copies: Sequence[Path]) -> Chain:
    index = None
    if known.position != START:
        index = IndexLines(store.entries, app)
    places = [folder / catalog_file(app) for folder in copies]
    return assemble(
        store.catalog(app).path, index, places, known.position, _witnessed(store, app, known)
    )


def _witnessed(store: Store, app: str, known: IndexedCatalog) -> int:
    """The highest number that a version had, as far as anything but the catalog knows."""
    return max(known.top, witnessed(store, app))


def _begin_again(store: Store, app: str, known: IndexedCatalog, chain: Chain) -> str:
    """Go on without what is not known any more; what that is."""
    path = store.catalog(app).path
    if is_refcat(app):
        if path.exists():
            retire(path, store.quarantine)
        newest.drop(store.path, app)
        return f"{_named(app, known)}: its catalog went to the quarantine; import it again"
    salvaged = CatalogSalvage(path)
    there = {
        read.record.header.version
        for read in salvaged.reads
        if isinstance(read.record, VersionPart)
    }
    top = max([_witnessed(store, app, known), *there])
    now = to_rfc3339(store.clock.now())
    lines = begin_again(path, chain, top=top, time=now, why="lines of the catalog were lost")
    write_chain(store, app, lines)
    store.live(app).empty()
    lost = sorted({*range(top + 1)} - there)
    what = _numbers(lost) if lost else "some records"
    return f"{_named(app, known)}: {what}; the history goes on behind a gap"


def _named(app: str, known: IndexedCatalog) -> str:
    return f"{known.key or app}{' (reference catalog)' if is_refcat(app) else ''}"


def _numbers(versions: Iterable[int]) -> str:
    """`versions 3, 5 to 7`."""
    runs: list[list[int]] = []
    for number in versions:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    texts = [str(one) if one == two else f"{one} to {two}" for one, two in runs]
    one = len(runs) == 1 and runs[0][0] == runs[0][1]
    return f"version{'' if one else 's'} {', '.join(texts)}"
