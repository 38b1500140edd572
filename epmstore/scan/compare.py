"""The stats of one folder as bytes: what the stat cache keeps, and how it tells what to look at.

Pure. A folder whose bytes are equal to the cached ones has not changed since: one comparison
instead of one an entry.

An entry has four numbers: (inode, size, mtime_ns, ctime_ns). A folder inside the folder has
(inode, -1 - st_mode, uid and gid, 0) instead: its size and times change with every child, which is
its own listing's affair. So a new child leaves the listing above alone, and chmod, chown, rename
and replacement do not. What else belongs to a folder (ACLs) shows in its ctime, which is in its own
listing, in a row without a name.

The racy rule: a file that was read within one tick of its ctime may change again without moving it,
and so may one that a process has mapped (mapped.py). What is stored for such an entry is never what
will be found, so it is read once more.
"""

import stat
import struct
from array import array
from collections.abc import Iterable, Mapping, Sequence
from os import fsdecode, fsencode
from typing import TypeAlias
from zlib import crc32

import msgspec

from epmstore.filestat import AnyStat, FileStat

StatRow: TypeAlias = tuple[int, int, int, int]
"""As the module says; numbers beyond 64 bits are reduced to them."""

RACY = -1
"""A ctime that no file has: the stored row differs from whatever is found."""

ANY_AGE_NS = -(1 << 63)
"""Every ctime is later."""

UNKNOWN = FileStat(st_ctime_ns=RACY)
"""Of what must be looked at again next time: equal to none that is ever found."""

_TYPE = 0o170000
_INODE = (1 << 64) - 1
_LAST = (1 << 63) - 1
_COUNT = struct.Struct("<I")
_ROW_BYTES = 32
_NO_ROW: StatRow = (0, 0, 0, 0)


class FolderDifference(msgspec.Struct, frozen=True):
    """What to look at in one folder. `own`: the folder's own metadata may have changed."""

    own: bool
    come: tuple[str, ...]
    changed: tuple[str, ...]
    gone: tuple[str, ...]


class Settled(msgspec.Struct, frozen=True):
    """What a stored row may be believed for: a ctime up to `ns`; and beyond `since_ns`, only of a
    file that is not in `mapped` (inodes; None: it may be any).
    """

    ns: int
    since_ns: int = ANY_AGE_NS
    mapped: frozenset[int] | None = frozenset()


def pack_stats(
    names: Sequence[str],
    stats: Sequence[AnyStat],
    own: AnyStat | None = None,
    *,
    settled_ns: int | None = None,
) -> bytes:
    """One folder. Names in byte order, stats parallel to them; `own` is that of the folder itself.

    For comparing, leave `settled_ns` out. For storing, give it: the file system's clock before the
    first entry was read, less its granularity; what changed after that is stored as racy.
    """
    numbers = [0, 0, 0, 0] if own is None else [own.st_ino, own.st_mode, 0, own.st_ctime_ns]
    for found in stats:
        if found.st_mode & _TYPE == stat.S_IFDIR:  # S_ISDIR() is a call an entry
            owner = found.st_uid << 32 | found.st_gid
            numbers += (found.st_ino, -1 - found.st_mode, owner, 0)  # as _row(), without the call
        else:
            numbers += (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    if settled_ns is not None:
        numbers[3::4] = [RACY if ctime > settled_ns else ctime for ctime in numbers[3::4]]
    return _COUNT.pack(len(names)) + _to_bytes(numbers) + fsencode("\0".join(names))


def repack_stats(
    packed: bytes | None, own: AnyStat, changed: Mapping[str, AnyStat | None], *, settled_ns: int
) -> bytes:
    """One folder as `packed` has it (None: empty), but for its own stat and for the names in
    `changed`: their new stats, or None for those that are gone. `settled_ns` as for storing.
    """
    rows = {} if packed is None else unpack_stats(packed)
    rows.pop("", None)
    for name, found in changed.items():
        if found is None:
            rows.pop(name, None)
        else:
            rows[name] = _settled(_row(found), settled_ns)
    first = _settled((own.st_ino, own.st_mode, 0, own.st_ctime_ns), settled_ns)
    return _pack_rows(first, rows)


def _pack_rows(own: StatRow, rows: Mapping[str, StatRow]) -> bytes:
    names = sorted(rows, key=fsencode)
    numbers = [*own, *(number for name in names for number in rows[name])]
    return _COUNT.pack(len(names)) + _to_bytes(numbers) + fsencode("\0".join(names))


def settle_stats(
    packed: bytes, changed: Mapping[str, AnyStat], settled: Settled
) -> tuple[bytes, bool]:
    """(one folder that was packed for comparing, as it is stored; whether a file in it is only in
    doubt because it may be mapped). Names in `changed` have other stats by now.
    """
    (count,) = _COUNT.unpack_from(packed)
    end = _COUNT.size + (count + 1) * _ROW_BYTES
    numbers = array("q", packed[_COUNT.size : end])
    if changed:
        for n, name in enumerate(names_in(packed), 1):
            if name in changed:
                row = array("q", _to_bytes([*_row(changed[name])]))
                numbers[4 * n : 4 * n + 4] = row
    times = numbers[3::4]
    newest = max(times)
    may_be_mapped = newest > settled.since_ns and _doubt(numbers, settled)
    if newest > settled.ns:
        times = numbers[3::4]
        numbers[3::4] = array("q", [RACY if ctime > settled.ns else ctime for ctime in times])
    return packed[: _COUNT.size] + numbers.tobytes() + packed[end:], may_be_mapped


def _doubt(numbers: "array[int]", settled: Settled) -> bool:
    """Make the rows of files that may be mapped racy; whether there are any."""
    mapped, since = settled.mapped, settled.since_ns
    if mapped is not None and not mapped:
        return False
    doubtful = [
        at
        for at in range(4, len(numbers), 4)
        if numbers[at + 3] > since
        and numbers[at + 1] >= 0
        and (mapped is None or numbers[at] & _INODE in mapped)
    ]
    for at in doubtful:
        numbers[at + 3] = RACY
    return bool(doubtful)


def doubt_share(packed: bytes, share: int, shares: int) -> bytes:
    """One folder, with one share of its files as if they were racy: by their inodes, so that each
    is in the same share every time.
    """
    (count,) = _COUNT.unpack_from(packed)
    end = _COUNT.size + (count + 1) * _ROW_BYTES
    numbers = array("q", packed[_COUNT.size : end])
    for at in range(4, len(numbers), 4):
        if numbers[at + 1] >= 0 and crc32(numbers[at : at + 1].tobytes()) % shares == share:
            numbers[at + 3] = RACY
    return packed[: _COUNT.size] + numbers.tobytes() + packed[end:]


def with_doubtful(packed: bytes, doubtful: Iterable[str]) -> bytes:
    """One folder, packed for storing, with these names in it besides: they are looked at next time
    whether they are found or not.
    """
    rows = unpack_stats(packed)
    own = rows.pop("")
    rows.update((name, (0, 0, 0, RACY)) for name in doubtful)
    return _pack_rows(own, rows)


def names_in(packed: bytes) -> list[str]:
    """The names in a packed listing, in byte order."""
    (count,) = _COUNT.unpack_from(packed)
    end = _COUNT.size + (count + 1) * _ROW_BYTES
    return fsdecode(packed[end:]).split("\0") if count else []


def _row(found: AnyStat) -> StatRow:
    if found.st_mode & _TYPE == stat.S_IFDIR:
        owner = found.st_uid << 32 | found.st_gid
        return found.st_ino, -1 - found.st_mode, owner, 0
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _settled(row: StatRow, settled_ns: int) -> StatRow:
    return (*row[:3], RACY) if row[3] > settled_ns else row


def unpack_stats(packed: bytes) -> dict[str, StatRow]:
    """The rows by name; the folder's own has the empty name."""
    (count,) = _COUNT.unpack_from(packed)
    numbers = array("q", packed[_COUNT.size : _COUNT.size + (count + 1) * _ROW_BYTES])
    rows = zip(*[iter(numbers)] * 4, strict=True)
    return dict(zip(["", *names_in(packed)], rows, strict=True))


def newest_ns(packed: bytes) -> int:
    """The latest ctime in a packed listing."""
    (count,) = _COUNT.unpack_from(packed)
    numbers = array("q", packed[_COUNT.size : _COUNT.size + (count + 1) * _ROW_BYTES])
    return max(numbers[3::4])


def compare_stats(old: bytes | None, new: bytes) -> FolderDifference:
    """What two packed listings of one folder differ in; without an old one, everything came."""
    if old == new:
        return FolderDifference(own=False, come=(), changed=(), gone=())
    before = {"": _NO_ROW} if old is None else unpack_stats(old)
    after = unpack_stats(new)
    own = before.pop("") != after.pop("")
    return FolderDifference(
        own=own or old is None,
        come=tuple(name for name in after if name not in before),
        changed=tuple(name for name, row in after.items() if before.get(name, row) != row),
        gone=tuple(name for name in before if name not in after),
    )


def _to_bytes(numbers: list[int]) -> bytes:
    try:
        return array("q", numbers).tobytes()
    except OverflowError:  # inodes and owners use all 64 bits; times may lie ages away
        # a ctime stays on its side of every other time, or one in the future would not be racy
        numbers[3::4] = [max(-_LAST - 1, min(ctime, _LAST)) for ctime in numbers[3::4]]
        return array("Q", [number & 0xFFFF_FFFF_FFFF_FFFF for number in numbers]).tobytes()
