"""Where contents lie in the packs of a depot, and in which order they are read. Pure.

Tables are gone through as often as what was found leans on more: so no more of them is held in
memory than what is sought.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Final, NamedTuple, TypeAlias

from epmstore.blobs.footer import frame_end
from epmstore.digest import Sha256
from epmstore.pack_table import NO_FRAME, BlobRow, FrameRow, GroupTable
from epmstore.sync.heads import PackRef

CANDIDATES: Final = 3
"""Places of one content that are tried."""
GAP: Final = 64 << 10
"""Bytes between two frames up to which they are read at once."""
RUN: Final = 64 << 20
"""Bytes that are read at once, at most, if they are of more than one frame."""


class TableSource(NamedTuple):
    """A pack in a depot, its name there, and that of its table."""

    pack: PackRef
    name: str
    table_name: str


class DepotPlace(NamedTuple):
    """Where a content lies: a row of a pack, and its frame; None if it lies in parts."""

    source: TableSource
    frame: FrameRow | None
    row: BlobRow


Found: TypeAlias = dict[Sha256, list[DepotPlace]]
ReadTables: TypeAlias = Callable[[], Iterable[tuple[TableSource, GroupTable]]]


def locate(wanted: Set[Sha256], tables: ReadTables) -> Found:
    """Places of what is wanted, and of what that leans on, those in full first. What leans on
    something that is nowhere has no place.
    """
    found: Found = {}
    asked: set[Sha256] = set()
    pending = {*wanted}
    while pending:
        asked |= pending
        for source, group in tables():
            for row in group.blobs:
                if row.sha256 in pending:
                    places = found.setdefault(row.sha256, [])
                    if len(places) < 2 * CANDIDATES:
                        frame = None if row.frame == NO_FRAME else group.frames[row.frame]
                        places.append(DepotPlace(source, frame, row))
        leaned = (s for sha in pending for place in found.get(sha, ()) for s in _leans_on(place))
        pending = {*leaned} - asked
    return _readable(found)


def _readable(found: Found) -> Found:
    """Without places that lean on what has none; there are no deltas on deltas."""
    full = {
        sha256: kept
        for sha256, places in found.items()
        if (kept := [p for p in places if p.row.base is None and not p.row.parts])
    }
    simple = {
        sha256: kept[:CANDIDATES]
        for sha256, places in found.items()
        if (kept := [*full.get(sha256, ()), *(p for p in places if p.row.base in full)])
    }
    large = {
        sha256: kept[:CANDIDATES]
        for sha256, places in found.items()
        if (kept := [p for p in places if p.row.parts and all(s in simple for s in p.row.parts)])
    }
    return {**large, **simple}


def _leans_on(place: DepotPlace) -> tuple[Sha256, ...]:
    return place.row.parts if place.row.base is None else (place.row.base,)


def read_runs(frames: Iterable[FrameRow]) -> Iterator[list[FrameRow]]:
    """Frames of one pack, in order, as runs that are read at once."""
    run: list[FrameRow] = []
    for frame in frames:
        if run:
            gap = frame.offset - frame_end(run[-1])
            if not 0 <= gap <= GAP or frame_end(frame) - run[0].offset > RUN:
                yield run
                run = []
        run.append(frame)
    if run:
        yield run


def by_frame(
    places: Iterable[DepotPlace],
) -> dict[TableSource, list[tuple[FrameRow, list[BlobRow]]]]:
    """Rows that lie in frames, by pack and frame, in the order in which they lie there."""
    packs: dict[TableSource, dict[int, tuple[FrameRow, list[BlobRow]]]] = {}
    for source, frame, row in places:
        assert frame is not None, "what lies in parts is read part by part"
        packs.setdefault(source, {}).setdefault(frame.offset, (frame, []))[1].append(row)
    return {
        source: [frames[offset] for offset in sorted(frames)] for source, frames in packs.items()
    }


def in_batches(places: Sequence[DepotPlace], most: int) -> Iterator[list[DepotPlace]]:
    """Deltas in batches that come to so many bytes, or are one."""
    batch: list[DepotPlace] = []
    size = 0
    for place in places:
        if batch and size + place.row.length > most:
            yield batch
            batch, size = [], 0
        batch.append(place)
        size += place.row.length
    if batch:
        yield batch


def cost(wanted: Set[Sha256], found: Mapping[Sha256, Sequence[DepotPlace]]) -> int:
    """About how many bytes are read for what is wanted, each frame once."""
    frames: dict[tuple[str, int], int] = {}
    pending, seen = [*wanted], {*wanted}
    while pending:
        places = found.get(pending.pop(), ())
        for source, frame, row in places[:1]:
            if frame is not None:
                frames[source.name, frame.offset] = frame_end(frame) - frame.offset
            more = {*_leans_on(DepotPlace(source, frame, row))} - seen
            seen |= more
            pending += more
    return sum(frames.values())
