"""Contents out of pack files for good: finding every byte of them, and writing files without.

A table is not believed about what is not in a file: merging copies frames whole, so a frame may
hold what no row lists. Heads say the sizes of everything in a frame; whatever has the size of
something that is looked for is decoded and compared by SHA-256. Deltas are compared with the
prefix of their base that the head has.
"""

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import msgspec

from epmstore.blobs import frames
from epmstore.blobs.blob_store import PackStore
from epmstore.blobs.pack import GroupWriter, WrittenGroup
from epmstore.blobs.records import DamagedRange, SealedRecord, open_pack, read_record, walk
from epmstore.digest import BlobInfo, Sha256
from epmstore.errors import DamagedError
from epmstore.pack_table import NO_FRAME, BlobRow, GroupTable
from epmstore.seal import SIZE, RecordKind


class Sought(msgspec.Struct, frozen=True):
    """What is to go: contents and parts by SHA-256, and the sizes that they have."""

    contents: frozenset[Sha256]
    sizes: frozenset[int]

    @property
    def prefixes(self) -> frozenset[bytes]:
        return frozenset(sha256[: frames.PREFIX] for sha256 in self.contents)


class Erasure(msgspec.Struct, frozen=True):
    """Offsets of the frames of a file that hold some of it, or lean on it; `is_sound`: every byte
    of the file could be read.
    """

    frames: frozenset[int]
    is_sound: bool


def look(path: Path, sought: Sought, *, guess: bool = False) -> Erasure:
    """Where in a pack, a log, or a file that was one, something sought is. Deltas that are it are
    for the table to say; without one, `guess` takes every delta of its size. Raises OSError.
    """
    hits: set[int] = set()
    is_sound = True
    fd = open_pack(path)
    try:
        for found in walk(fd):
            if isinstance(found, DamagedRange):
                is_sound = False
            elif _holds(found, sought, guess):
                hits.add(found.seal.offset)
    finally:
        os.close(fd)
    return Erasure(frozenset(hits), is_sound)


def _holds(record: SealedRecord, sought: Sought, guess: bool) -> bool:
    """Raises nothing: what cannot be taken apart is taken for a hit."""
    try:
        if record.seal.kind is RecordKind.DELTA:
            heads = frames.delta_heads(record.seal)
            prefixes = sought.prefixes
            return any(
                head.base_prefix in prefixes or (guess and head.size in sought.sizes)
                for head in heads
            )
        if record.seal.kind not in frames.PLAIN:
            return False
        sizes = frames.blob_sizes(record.seal) or [record.seal.number]
        if sought.sizes.isdisjoint(sizes):
            return False
        plain = memoryview(frames.plain_bytes(record.seal, record.body))
        return any(
            Sha256(hashlib.sha256(data).digest()) in sought.contents for data in _cut(plain, sizes)
        )
    except DamagedError:
        return True


def _cut(plain: memoryview, sizes: Iterable[int]) -> Iterator[memoryview]:
    offset = 0
    for size in sizes:
        yield plain[offset : offset + size]
        offset += size


def is_listed(groups: Iterable[GroupTable], contents: Collection[Sha256]) -> bool:
    """Whether a table names any of it: as a content, a base or a part."""
    return any(
        row.sha256 in contents or row.base in contents or not set(row.parts).isdisjoint(contents)
        for group in groups
        for row in group.blobs
    )


def write_without(
    packs: Path,
    file: str,
    groups: Iterable[tuple[int, GroupTable]],
    sought: Sought,
    tainted: Collection[int],
    blobs: PackStore,
) -> WrittenGroup:
    """One group with all that a file holds beside what is sought; `groups` are (start, table),
    `tainted` the offsets of frames that are written anew, `blobs` has every content.

    A delta on something sought is stored in full. The group has no blobs if nothing is left. Raises
    DamagedError, BlobNotFoundError, OSError.
    """
    fd = open_pack(packs / file)
    try:
        with GroupWriter(packs, spill=0) as writer:
            eraser = _Eraser(fd, writer, sought.contents, tainted, blobs)
            parts = list(groups)
            for is_delta in (False, True):
                for start, group in parts:
                    eraser.copy(start, group, is_delta=is_delta)
            for _, group in parts:
                eraser.copy_large(group)
            return writer.finish()
    finally:
        os.close(fd)


class _Eraser:
    def __init__(
        self,
        fd: int,
        writer: GroupWriter,
        gone: Collection[Sha256],
        tainted: Collection[int],
        blobs: PackStore,
    ) -> None:
        self._fd = fd
        self._writer = writer
        self._gone = gone
        self._tainted = tainted
        self._blobs = blobs

    def copy(self, start: int, group: GroupTable, *, is_delta: bool) -> None:
        rows: dict[int, list[BlobRow]] = {}
        for row in group.blobs:
            if row.sha256 not in self._gone:
                rows.setdefault(row.frame, []).append(row)
        for number, frame in enumerate(group.frames):
            if (frame.kind is RecordKind.DELTA) is not is_delta or number not in rows:
                continue
            record = read_record(self._fd, start + frame.offset)
            if is_delta:
                self._copy_deltas(record, rows[number])
            elif start + frame.offset in self._tainted:
                self._copy_contents(record, rows[number])
            else:
                length = SIZE + frame.head_length + frame.body_length
                whole = os.pread(self._fd, length, start + frame.offset)
                self._writer.copy_frame(frame, whole, rows[number])

    def copy_large(self, group: GroupTable) -> None:
        for row in group.blobs:
            if row.frame == NO_FRAME and row.sha256 not in self._gone:
                self._writer.copy_large(row)

    def _copy_deltas(self, record: SealedRecord, rows: Iterable[BlobRow]) -> None:
        for row in rows:
            if row.base in self._gone:
                self._add_in_full(row)
            else:
                held = bytes(record.body[row.offset : row.offset + row.length])
                self._writer.copy_delta(row, held)

    def _add_in_full(self, row: BlobRow) -> None:
        if row.digest is None:
            self._writer.add_part(row.sha256, self._blobs.read_part(row.sha256))
        else:
            info = BlobInfo(row.digest, row.sha256, row.size)
            self._writer.add(info, self._blobs.read(info))

    def _copy_contents(self, record: SealedRecord, rows: Iterable[BlobRow]) -> None:
        plain = frames.plain_bytes(record.seal, record.body)
        for row in rows:
            data = plain[row.offset : row.offset + row.length]
            if hashlib.sha256(data).digest() != row.sha256:
                raise DamagedError(
                    f"a content at byte {record.seal.offset} is not what its table says",
                    hint="run `epmstore fsck --read-data --repair` first",
                )
            assert row.digest is not None, "a part lies in a frame by itself"
            self._writer.add(BlobInfo(row.digest, row.sha256, row.size), data)
