"""The rows that the live cache is to hold after a look, or after a root was changed by us. Pure but
for `lstat`.
"""

from collections.abc import Mapping
from os import stat_result

import msgspec

from epmstore.record.observe import Observation
from epmstore.relpath import RelPath, join, to_bytes
from epmstore.scan.compare import RACY, pack_stats


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
