"""What goes into which pack of a depot. Pure.

Contents go as they lie in the store, frame by frame, if all that is in a frame may go and most of
it has to; else each goes alone. A delta goes as it is only on a base that is in the depot in full.
Order: what is whole, then deltas, then what lies in parts: so each pack leans on itself and on
earlier ones, wherever the sending of them is cut off. The same store and the same depot
come to the same packs. A new pack takes along what small ones at the end hold, as segments do.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from epmstore.blobs.merge import is_wasteful
from epmstore.care.pack_tables import StoredCopy, Tables, leans_on
from epmstore.digest import Sha256
from epmstore.pack_table import BlobRow, FrameRow, GroupTable
from epmstore.seal import SIZE
from epmstore.sync.heads import PackRef

SMALL: Final = 16 << 20
"""Bytes from which on a pack is not made anew with what follows it."""
FULL: Final = 48 << 20
"""Bytes of a pack, beyond which another is begun; one content may take more."""
ROWS: Final = 1 << 14
"""Contents, and parts of them, that a pack has at most."""

Way: TypeAlias = Literal["frame", "alone", "delta", "large"]


class Parcel(msgspec.Struct, frozen=True):
    """What goes together: rows, and where they lie (`file`, `start` of the group, `frame`). `way`
    says how: the frame as it is; a content on its own; a delta as it is; a list of parts. `cost`
    is about what it takes in the pack.
    """

    way: Way
    rows: tuple[BlobRow, ...]
    file: str
    start: int
    frame: FrameRow | None
    cost: int


class Packing(msgspec.Struct, frozen=True):
    """Packs to be made, each of parcels in order; the first `kept` of those there are stay.
    `contents` and `size` are what goes that a version names, and plain bytes of it; `lacking`
    should go, and is not to be read here.
    """

    packs: tuple[tuple[Parcel, ...], ...]
    kept: int
    contents: int
    size: int
    lacking: frozenset[Sha256]

    @property
    def cost(self) -> int:
        return sum(parcel.cost for pack in self.packs for parcel in pack)


def plan_packing(
    wanted: Set[Sha256], tables: Tables, there: Sequence[tuple[PackRef, GroupTable]]
) -> Packing:
    """What brings all of `wanted` there. `tables` are those of the files that it lies in, and that
    what it leans on lies in; `there` are the packs of the depot, in their order.
    """
    kept = len(there)
    parcels, lacking = _choose(wanted, tables, usable([table for _, table in there]))
    loads = [Load(pack.size, sum(map(_weight, table.blobs))) for pack, table in there]
    fewer = kept_packs(loads, _load(parcels)) if parcels else kept
    if fewer < kept:
        kept = fewer
        parcels, lacking = _choose(wanted, tables, usable([table for _, table in there[:kept]]))
    sent = [row for parcel in parcels for row in parcel.rows if row.sha256 in wanted]
    size = sum(row.size for row in sent)
    return Packing(tuple(_cut(parcels)), kept, len(sent), size, frozenset(lacking))


class Load(NamedTuple):
    """Of a pack, or of what is to become some: bytes, and contents with parts of them."""

    size: int
    weight: int


def kept_packs(there: Sequence[Load], added: Load) -> int:
    """How many packs stay when so much follows them: small ones at the end that are not twice as
    large as that are made anew with it, as long as one pack can hold it.
    """
    count, size, weight = len(there), added.size, added.weight
    while count and there[count - 1].size < min(SMALL, 2 * size):
        size += there[count - 1].size
        weight += there[count - 1].weight
        if size > FULL or weight > ROWS:
            break
        count -= 1
    return count


def usable(tables: Iterable[GroupTable]) -> dict[Sha256, bool]:
    """What packs hold that can be read with them alone, and whether it is there in full."""
    rows: dict[Sha256, BlobRow] = {}
    for table in tables:
        for row in table.blobs:
            if row.sha256 not in rows or row.base is None:
                rows[row.sha256] = row
    full = {sha256 for sha256, row in rows.items() if row.base is None and not row.parts}
    found = dict.fromkeys(full, True)
    for sha256, row in rows.items():
        if row.base is not None and row.base in full:
            found[sha256] = False
    for sha256, row in rows.items():
        if row.parts and all(part in found for part in row.parts):
            found[sha256] = False
    return found


def _choose(
    wanted: Set[Sha256], tables: Tables, there: Mapping[Sha256, bool]
) -> tuple[list[Parcel], set[Sha256]]:
    """Parcels in order, and what cannot go."""
    copies, lacking = _to_go(wanted, tables, there)
    in_full = {sha256 for sha256, copy in copies.items() if copy.row.base is None}
    in_full |= {sha256 for sha256, is_full in there.items() if is_full}
    parcels: list[Parcel] = []
    beside: dict[tuple[str, int, int], list[StoredCopy]] = {}
    for copy in copies.values():
        row = copy.row
        if row.parts:
            parcels.append(_parcel("large", copy, SIZE + 64 * len(row.parts)))
        elif row.base is None:
            key = (copy.where.file, copy.where.start, row.frame)
            beside.setdefault(key, []).append(copy)
        elif row.base in in_full:
            parcels.append(_parcel("delta", copy, row.length))
        else:
            parcels.append(_parcel("alone", copy, row.size // 2 + 1))
    allowed = wanted | copies.keys()
    for together in beside.values():
        parcels += _frames(together, allowed)
    return sorted(parcels, key=_order), lacking


def _to_go(
    wanted: Set[Sha256], tables: Tables, there: Mapping[Sha256, bool]
) -> tuple[dict[Sha256, StoredCopy], set[Sha256]]:
    """A copy of each content that has to go, and of parts that it lies in; what has none here."""
    copies: dict[Sha256, StoredCopy] = {}
    lacking: set[Sha256] = set()
    for sha256 in sorted(wanted - there.keys()):
        found = tables.copies(sha256)
        parts = {p: tables.copies(p) for p in found[0].row.parts if p not in there} if found else {}
        leaned = {s for copies_ in parts.values() if copies_ for s in leans_on(copies_[0].row)}
        leaned |= leans_on(found[0].row) - parts.keys() if found else set()
        if (
            not found
            or not all(parts.values())
            or not all(tables.copies(s) for s in leaned if s not in there)
        ):
            lacking.add(sha256)
            continue
        copies[sha256] = found[0]
        for part, of_part in parts.items():
            copies[part] = of_part[0]
    return copies, lacking


def _frames(together: list[StoredCopy], allowed: Set[Sha256]) -> list[Parcel]:
    """What has to go of one frame: the frame, or each content alone."""
    first = together[0]
    frame = first.frame
    assert frame is not None, "a content in parts lies in no frame"
    group = first.where.group
    rows = tuple(row for row in group.blobs if row.frame == first.row.frame)
    size = sum(row.size for row in rows)
    going = sum(copy.row.size for copy in together)
    is_whole = size == frame.plain_size and all(row.sha256 in allowed for row in rows)
    if is_whole and not is_wasteful(size - going, size):
        cost = SIZE + frame.head_length + frame.body_length
        return [Parcel("frame", rows, first.where.file, first.where.start, frame, cost)]
    share = frame.body_length / max(frame.plain_size, 1)
    return [_parcel("alone", copy, int(copy.row.size * share) + SIZE) for copy in together]


def _parcel(way: Way, copy: StoredCopy, cost: int) -> Parcel:
    return Parcel(way, (copy.row,), copy.where.file, copy.where.start, copy.frame, cost)


def _order(parcel: Parcel) -> tuple[int, str, int, int, int]:
    rank = {"frame": 0, "alone": 0, "delta": 1, "large": 2}[parcel.way]
    offset = 0 if parcel.frame is None else parcel.frame.offset
    return rank, parcel.file, parcel.start, offset, parcel.rows[0].offset


def _cut(parcels: Iterable[Parcel]) -> Iterator[tuple[Parcel, ...]]:
    """Packs that are neither too large nor hold too much."""
    pack: list[Parcel] = []
    size = weight = 0
    for parcel in parcels:
        more = _load([parcel])
        if pack and (size + more.size > FULL or weight + more.weight > ROWS):
            yield tuple(pack)
            pack, size, weight = [], 0, 0
        pack.append(parcel)
        size += more.size
        weight += more.weight
    if pack:
        yield tuple(pack)


def _load(parcels: Iterable[Parcel]) -> Load:
    size = weight = 0
    for parcel in parcels:
        size += parcel.cost
        weight += sum(map(_weight, parcel.rows))
    return Load(size, weight)


def _weight(row: BlobRow) -> int:
    return 1 + len(row.parts)
