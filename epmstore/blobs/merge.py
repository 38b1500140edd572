"""Packs out of packs: small ones merged, dead contents left out, a log rewritten in good order.

Each function makes a new group and leaves the old files alone: who calls publishes it, switches the
index, and only then removes them (not the one that has the new group's name: a pack in which
nothing was to be done comes out the same). Rules: a frame is copied only if it still matches its
seal, and a content is packed again only if it still matches its SHA-256, so damage is never sealed
anew (DamagedError, and the old file stays); a frame that is copied keeps the rows of its dead
contents, because they can be read; of a content that is there in full and as a delta, the full one
stays, because deltas may have been made against it.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from epmstore import seal
from epmstore.blobs import frames
from epmstore.blobs.pack import GroupWriter, WrittenGroup
from epmstore.blobs.packlog import LogGroup, read_groups
from epmstore.blobs.reader import FrameReader, place_of
from epmstore.blobs.records import load_group, open_pack, read_at
from epmstore.digest import BlobInfo, Sha256, check
from epmstore.errors import DamagedError
from epmstore.pack_table import NO_FRAME, BlobRow, FrameRow, GroupTable, Place
from epmstore.seal import SIZE, RecordKind

SMALL = 16 << 20
"""Stored bytes below which a pack is merged with others."""
AT_ONCE = 8
WASTE = 4
"""A frame, or a pack, is written anew if more than one byte in so many of it is dead: at most three
are written for each that is freed, and at most a third more is kept than is needed.
"""
COPY_FROM = frames.FRAME_SIZE // 2
"""Plain bytes from which a frame of a log is as good as it gets."""


def plan_merge(sizes: Mapping[str, int]) -> list[list[str]]:
    """Which of the packs with these stored sizes should become one: always eight, alike in size.

    Eight of the largest come to 128 MiB. Fewer than eight small ones are left for later.
    """
    small = sorted((size, file) for file, size in sizes.items() if size < SMALL)
    files = [file for _, file in small]
    whole = len(files) - len(files) % AT_ONCE
    return [files[at : at + AT_ONCE] for at in range(0, whole, AT_ONCE)]


def merge_packs(packs: Path, files: Sequence[str]) -> WrittenGroup:
    """One group with everything in `files`, frames as they are unless contents that other packs
    hold too are most of them. Raises DamagedError, OSError.
    """
    with GroupWriter(packs, spill=0) as writer:
        _copy(writer, packs, files, lambda _: True)
        return writer.finish()


def rewrite(packs: Path, file: str, keep: Callable[[Sha256], bool]) -> WrittenGroup:
    """A pack without what `keep` says no of; frames of which little is dead stay whole.

    `keep` is asked about parts and bases too: a caller that keeps a content keeps those. The group
    has no blobs if nothing is left. Raises DamagedError, OSError.
    """
    with GroupWriter(packs, spill=0) as writer:
        _copy(writer, packs, [file], keep)
        return writer.finish()


def is_wasteful(dead: int, size: int) -> bool:
    """Whether it pays to write anew what takes `size` bytes of which so many are dead."""
    return WASTE * dead > size


def reclaimable(group: GroupTable, keep: Callable[[Sha256], bool]) -> int:
    """About how many stored bytes `rewrite` would save."""
    freed = 0
    rows = _rows_by_frame(group)
    for number, frame in enumerate(group.frames):
        room = _room(frame)
        dead = room - _live(rows[number], keep)
        if is_wasteful(dead, room):
            freed += frame.body_length * dead // max(room, 1)
    return freed


def seal_log(
    packs: Path,
    file: str,
    order: Sequence[Sha256] = (),
    keep: Callable[[Sha256], bool] = lambda _: True,
) -> WrittenGroup:
    """One solid group with every content of a log that `keep` says yes of: first those in `order`,
    so that what is near in the tree is near in the pack, then the others as they came.

    Deltas, parts and frames that are large already are copied. The log is not appended to any more
    (`PackLog.begin_next`). Raises DamagedError if any of it is damaged, OSError.
    """
    fd = open_pack(packs / file)
    try:
        scan = read_groups(fd)
        if scan.damage or not all(found.is_whole for found in scan.groups):
            raise DamagedError(f"{file} is damaged", hint="run `epmstore fsck`", file=file)
        with GroupWriter(packs, spill=0) as writer, closing(FrameReader(packs)) as reader:
            found = _log_rows(file, scan.groups)
            rows = {sha256: row for sha256, row in found.items() if keep(sha256)}
            _seal(writer, reader, fd, rows, order)
            return writer.finish()
    finally:
        os.close(fd)


def _copy(
    writer: GroupWriter, packs: Path, files: Sequence[str], keep: Callable[[Sha256], bool]
) -> None:
    groups = {file: load_group(packs / file) for file in files}
    for is_delta in (False, True):
        for file, group in groups.items():
            _copy_frames(writer, packs / file, group, keep, is_delta=is_delta)
    for group in groups.values():
        for row in group.blobs:
            if row.frame == NO_FRAME and keep(row.sha256):
                writer.copy_large(row)


def _copy_frames(
    writer: GroupWriter,
    path: Path,
    group: GroupTable,
    keep: Callable[[Sha256], bool],
    *,
    is_delta: bool,
) -> None:
    rows = _rows_by_frame(group)
    fd = open_pack(path)
    try:
        for number, frame in enumerate(group.frames):
            is_wanted = (frame.kind is RecordKind.DELTA) is is_delta
            if not is_wanted or not any(keep(row.sha256) for row in rows[number]):
                continue
            record = _record(fd, frame)
            kept = [row for row in rows[number] if keep(row.sha256)]
            # dead deltas always go: they would be left without the base that only they need
            has_dead_delta = is_delta and len(kept) < len(rows[number])
            room = _room(frame)
            if has_dead_delta or is_wasteful(room - _live(kept, keep), room):
                _repack(writer, record, kept)
            else:
                writer.copy_frame(frame, record, rows[number])
    finally:
        os.close(fd)


def _repack(writer: GroupWriter, record: bytes, rows: Sequence[BlobRow]) -> None:
    found, body = seal.read(record)
    is_delta = found.kind is RecordKind.DELTA
    held = body if is_delta else frames.plain_bytes(found, body)
    for row in rows:
        _add(writer, row, held[row.offset : row.offset + row.length])


def _seal(
    writer: GroupWriter,
    reader: FrameReader,
    fd: int,
    rows: Mapping[Sha256, tuple[BlobRow, Place]],
    order: Sequence[Sha256],
) -> None:
    beside: dict[int, list[BlobRow]] = {}
    for row, place in rows.values():
        if place.kind is not None:
            beside.setdefault(place.seal_offset, []).append(row)
    live = {offset: sum(row.length for row in kept) for offset, kept in beside.items()}

    def comes_alone(row: BlobRow, place: Place) -> bool:
        dead = place.plain_size - live[place.seal_offset]
        is_poor = place.plain_size < COPY_FROM or is_wasteful(dead, place.plain_size)
        return place.kind is RecordKind.DELTA or (row.digest is not None and is_poor)

    for sha256 in dict.fromkeys((*order, *rows)):
        if sha256 not in rows or writer.has(sha256):
            continue
        row, place = rows[sha256]
        if place.kind is None:
            writer.copy_large(row)
        elif comes_alone(row, place):
            _add(writer, row, reader.frame(place)[row.offset : row.offset + row.length])
        else:
            frame = _frame_at(place)
            writer.copy_frame(frame, _record(fd, frame), beside[place.seal_offset])


def _add(writer: GroupWriter, row: BlobRow, held: bytes) -> None:
    """Give a content of another group to the writer: its delta, or its bytes."""
    if row.base is not None:
        writer.copy_delta(row, held)
        return
    assert row.digest is not None, "a part that is no delta is copied with its frame"
    info = BlobInfo(row.digest, row.sha256, row.size)
    check(held, info)
    writer.add(info, held)


def _log_rows(file: str, groups: Sequence[LogGroup]) -> dict[Sha256, tuple[BlobRow, Place]]:
    rows: dict[Sha256, tuple[BlobRow, Place]] = {}
    for found in groups:
        for row in found.group.blobs:
            if row.sha256 not in rows or row.base is None:
                rows[row.sha256] = row, place_of(file, found.start, found.group, row)
    return rows


def _frame_at(place: Place) -> FrameRow:
    assert place.kind is not None, "a large blob lies in no frame"
    return FrameRow(
        place.kind, place.seal_offset, place.head_length, place.body_length, place.plain_size
    )


def _record(fd: int, frame: FrameRow) -> bytes:
    """A sealed frame as it stands in its file, checked."""
    data = read_at(fd, frame.offset, SIZE + frame.head_length + frame.body_length)
    found = seal.parse(data, base=frame.offset)
    seal.check(found, memoryview(data)[SIZE + len(found.head) :])
    if (found.kind, len(found.head), found.number) != (
        frame.kind,
        frame.head_length,
        frame.plain_size,
    ):
        raise DamagedError(f"record at byte {frame.offset} is another", offset=frame.offset)
    return data


def _rows_by_frame(group: GroupTable) -> list[list[BlobRow]]:
    rows: list[list[BlobRow]] = [[] for _ in group.frames]
    for row in group.blobs:
        if row.frame != NO_FRAME:
            rows[row.frame].append(row)
    return rows


def _live(rows: Sequence[BlobRow], keep: Callable[[Sha256], bool]) -> int:
    return sum(row.length for row in rows if keep(row.sha256))


def _room(frame: FrameRow) -> int:
    return frame.body_length if frame.kind is RecordKind.DELTA else frame.plain_size
