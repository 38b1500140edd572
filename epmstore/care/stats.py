"""How much is stored: the `stats` of docs/json.md."""

import os
from bisect import bisect_left
from pathlib import Path

import msgspec

from epmstore.care.references import apps_or_none, index_state
from epmstore.store.replay import pack_files
from epmstore.store.store import INDEX, Store


class Stats(msgspec.Struct, frozen=True):
    """Sizes in bytes. `raw_bytes`: distinct stored contents as they are; `stored_bytes`: pack files
    and logs; `logical_bytes`: what a copy of every kept version would take; `versions`: all that
    were recorded, forgotten ones too; `apps`: those that are registered or have a history.
    """

    blobs: int
    raw_bytes: int
    stored_bytes: int
    packs: int
    versions: int
    apps: int
    logical_bytes: int
    catalog_bytes: int
    index_bytes: int


def collect_stats(store: Store) -> Stats:
    """Raises DamagedError."""
    blobs, raw = store.contents.totals()
    files = list(pack_files(store))
    apps = store.recorded_apps()
    versions = logical = 0
    for app in apps:
        found, size = _of_app(store, app)
        versions += found
        logical += size
    return Stats(
        blobs=blobs,
        raw_bytes=raw,
        stored_bytes=sum(_size(store.packs / file) for file in files),
        packs=len(files),
        versions=versions,
        apps=len({*apps, *(app.uuid for app in apps_or_none(store))}),
        logical_bytes=logical,
        catalog_bytes=sum(_size(path) for path in store.catalogs.iterdir()),
        index_bytes=sum(_size(store.path / f"{INDEX}{end}") for end in ("", "-wal", "-shm")),
    )


def _of_app(store: Store, app: str) -> tuple[int, int]:
    """(number of versions, plain bytes of all trees that can be restored)."""
    state = index_state(store, app)
    kept = [found.version for found in state.versions if found.restorable]
    logical = 0
    for since, until, size in store.entries.sizes(app) if kept else ():
        end = len(kept) if until is None else bisect_left(kept, until)
        logical += size * (end - bisect_left(kept, since))
    return len(state.versions), logical


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
