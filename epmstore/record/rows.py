"""The rows that the live cache is to hold after a look, or after a root was changed by us. Pure but
for `lstat`.
"""

from collections.abc import Iterable, Mapping
from os import stat_result
from stat import S_ISDIR

import msgspec

from epmstore.record.observe import Observation
from epmstore.relpath import RelPath, join, to_bytes
from epmstore.scan.compare import RACY, pack_stats, unpack_stats
from epmstore.scan.walk import Listing


class _Unknown(msgspec.Struct, frozen=True, gc=False):
    """The stat of what must be looked at again next time: equal to none that is ever found."""

    st_mode: int = 0
    st_ino: int = 0
    st_uid: int = 0
    st_gid: int = 0
    st_size: int = 0
    st_mtime_ns: int = 0
    st_ctime_ns: int = RACY


UNKNOWN = _Unknown()


def fresh_rows(
    found: Observation, read: Mapping[RelPath, stat_result | None], settled_ns: int
) -> dict[bytes, bytes]:
    """Folder to packed stats, for the folders that were looked at.

    `read` has the stat that each candidate had when it was read, null for those that could not be;
    they are looked at again next time, as is everything that changed after `settled_ns`.
    """
    rows: dict[bytes, bytes] = {}
    for folder, listing in found.listings.items():
        stats = [
            read.get(join(folder, name), listed) or UNKNOWN
            for name, listed in zip(listing.names, listing.stats, strict=True)
        ]
        rows[to_bytes(folder)] = pack_stats(
            listing.names, stats, listing.own, settled_ns=settled_ns
        )
    return rows


def rows_after(
    listings: Iterable[Listing],
    before: Mapping[bytes, bytes],
    known: Mapping[RelPath, stat_result | None],
    settled_ns: int,
) -> dict[bytes, bytes]:
    """The rows of folders in which we changed things ourselves.

    `known` has the stat of each path as it was when it was right. Names that we did not touch keep
    the row that they had in `before`, if they are still as that row says; all else is looked at
    again next time.
    """
    rows: dict[bytes, bytes] = {}
    for listing in listings:
        if not listing.listed:
            continue
        old = before.get(to_bytes(listing.folder))
        had = {} if old is None else unpack_stats(old)
        has = unpack_stats(pack_stats(listing.names, listing.stats, listing.own))
        stats = [
            listed if _is_known(known.get(path), listed) or had.get(name) == has[name] else UNKNOWN
            for name, listed in zip(listing.names, listing.stats, strict=True)
            for path in (join(listing.folder, name),)
        ]
        rows[to_bytes(listing.folder)] = pack_stats(
            listing.names, stats, listing.own, settled_ns=settled_ns
        )
    return rows


def _is_known(known: stat_result | None, listed: stat_result) -> bool:
    return known is not None and (
        (known.st_ino, known.st_size, known.st_mtime_ns, known.st_ctime_ns)
        == (listed.st_ino, listed.st_size, listed.st_mtime_ns, listed.st_ctime_ns)
        or (S_ISDIR(known.st_mode) and known.st_ino == listed.st_ino)
    )
