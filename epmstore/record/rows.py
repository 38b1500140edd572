"""The rows that the stat cache is to hold after a look, or after a root was changed by us. Pure but
for the stat of folders.
"""

import os
from collections.abc import Container, Mapping
from stat import S_ISDIR

from epmstore.filestat import AnyStat
from epmstore.record.observe import Observation
from epmstore.relpath import ROOT, RelPath, split, to_bytes
from epmstore.scan.compare import UNKNOWN, Settled, repack_stats, settle_stats, with_doubtful
from epmstore.scan.folders import FolderCache


def fresh_rows(
    found: Observation, read: Mapping[RelPath, AnyStat | None], settled: Settled
) -> tuple[dict[bytes, bytes], list[str]]:
    """(folder to packed stats, for the folders that were looked at; those in which a file may be
    mapped).

    `read` has the candidates that were not as they were listed when they were read: the stat that
    they had then, None for those that could not be read. These are looked at again next time, as is
    everything that is not settled, and what is missing: a row without it would say that the version
    does not have it either, and it would never be found that it is gone.
    """
    changed: dict[str, dict[str, AnyStat]] = {}
    for path, stats in read.items():
        folder, name = split(path)
        changed.setdefault(folder, {})[name] = stats or UNKNOWN
    rows: dict[bytes, bytes] = {}
    late: list[str] = []
    for folder, packed in found.listings.items():
        rows[to_bytes(folder)], is_late = settle_stats(packed, changed.get(folder, {}), settled)
        if is_late:
            late.append(folder)
    missing: dict[str, list[str]] = {}
    for entry in found.missing:
        folder, name = split(entry.path)
        missing.setdefault(folder, []).append(name)
    for folder in missing.keys() & found.listings.keys():
        key = to_bytes(folder)
        rows[key] = with_doubtful(rows[key], missing[folder])
    return rows, late


def rows_after(
    before: Mapping[bytes, bytes],
    known: Mapping[RelPath, AnyStat | None],
    made: Container[RelPath],
    folders: FolderCache,
    settled_ns: int,
) -> tuple[dict[bytes, bytes], list[bytes]]:
    """(rows of folders in which we changed things ourselves, folders that have no row any more).

    `known` has each path that we changed: its stat after `settled_ns`, when it was right; None if
    it is rightly gone; UNKNOWN if it must be looked at again. All else keeps the row that it had,
    so that what another process changed meanwhile will differ from it. A folder without a row gets
    one only if it is in `made`: of any other it is not known what else had been in it.
    """
    changed: dict[str, dict[str, AnyStat | None]] = {}
    gone: set[bytes] = set()
    for path, found in known.items():
        folder, name = split(path)
        if path == ROOT:  # its own stat is in the row of what is in it
            changed.setdefault("", {})
            continue
        changed.setdefault(folder, {})[name] = found
        if found is not None and S_ISDIR(found.st_mode):
            changed.setdefault(path, {})
        elif found is not UNKNOWN:
            gone.add(to_bytes(path))
    rows: dict[bytes, bytes] = {}
    for folder, names in changed.items():
        key = to_bytes(folder)
        if key not in before and folder not in made:
            continue
        own = known.get(RelPath(folder)) or _stat(folders, folder)
        if own is None:
            gone.add(key)
        else:
            rows[key] = repack_stats(before.get(key), own, names, settled_ns=settled_ns)
    return rows, [key for key in gone if key in before]


def _stat(folders: FolderCache, folder: str) -> AnyStat | None:
    try:
        return os.fstat(folders.open(folder))
    except OSError:
        return None
