"""What a pack or pack log holds when its tables cannot be read: every frame read and identified.

Slow, and right: identities are computed from contents. A delta can be identified only with its base
at hand; a large blob is put together from parts that follow each other, as they do where it was
first stored.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

import msgspec

from epmstore import codec
from epmstore.blobs import frames
from epmstore.blobs.frames import DeltaHead
from epmstore.blobs.records import DamagedRange, SealedRecord, open_pack, walk
from epmstore.digest import BlobInfo, Hasher, Sha256, identify
from epmstore.errors import DamagedError
from epmstore.pack_table import NO_FRAME, BlobRow, FrameRow, GroupTable
from epmstore.seal import RecordKind, Seal

FindBase: TypeAlias = Callable[[bytes], Iterable[tuple[Sha256, bytes]]]
"""Stored contents whose SHA-256 begins with these bytes."""


class LostDelta(msgspec.Struct, frozen=True, gc=False):
    """A delta whose base could not be read. `frame` counts within the salvage's group."""

    frame: int
    head: DeltaHead


class SalvagedGroup(msgspec.Struct, frozen=True):
    """`group` begins at the start of the file; its frames need not follow each other."""

    group: GroupTable
    lost: tuple[LostDelta, ...]
    damage: tuple[DamagedRange, ...]


def scan_frames(
    path: Path,
    *,
    start: int = 0,
    find_base: FindBase = lambda _: (),
    part_size: int = frames.PART_SIZE,
) -> SalvagedGroup:
    """Everything readable from `start` on, and what is not. Raises OSError."""
    scan = _Scan(find_base, part_size)
    try:
        fd = open_pack(path)
    except DamagedError:  # no file at all
        return SalvagedGroup(GroupTable((), (), 0), (), ())
    try:
        for found in walk(fd, start):
            scan.take(found)
        size = os.fstat(fd).st_size
    finally:
        os.close(fd)
    group = GroupTable(tuple(scan.frames), tuple(scan.blobs), size)
    return SalvagedGroup(group, tuple(scan.lost), tuple(scan.damage))


class _Scan:
    def __init__(self, find_base: FindBase, part_size: int) -> None:
        self.frames: list[FrameRow] = []
        self.blobs: list[BlobRow] = []
        self.lost: list[LostDelta] = []
        self.damage: list[DamagedRange] = []
        self._find_base = find_base
        self._part_size = part_size
        self._run = Hasher()
        self._run_parts: list[Sha256] = []

    def take(self, found: SealedRecord | DamagedRange) -> None:
        if isinstance(found, DamagedRange):
            self.damage.append(found)
            self._end_run()
            return
        try:
            self._take_record(found.seal, found.body)
        except DamagedError:  # sealed so: it was written wrong
            self.damage.append(DamagedRange(found.seal.offset, found.seal.end, False))

    def _take_record(self, found: Seal, body: bytes) -> None:
        if found.kind is RecordKind.DELTA:
            rows = self._deltas(found, body)
        elif found.kind in frames.PLAIN:
            plain = frames.plain_bytes(found, body)
            sizes = frames.blob_sizes(found)
            rows = self._contents(plain, sizes) if sizes else [self._part(plain)]
        else:
            return
        self.frames.append(
            FrameRow(found.kind, found.offset, len(found.head), found.body_length, found.number)
        )
        self.blobs += rows
        if rows and rows[0].digest is None and rows[0].size < self._part_size:
            self._end_run()

    def _contents(self, plain: bytes, sizes: Iterable[int]) -> list[BlobRow]:
        self._end_run()
        rows = []
        offset = 0
        for size in sizes:
            info = identify(memoryview(plain)[offset : offset + size])
            rows.append(BlobRow(info.digest, info.sha256, size, len(self.frames), offset, size))
            offset += size
        return rows

    def _part(self, plain: bytes) -> BlobRow:
        sha256 = identify(plain).sha256
        self._run.update(plain)
        self._run_parts.append(sha256)
        return BlobRow(None, sha256, len(plain), len(self.frames), 0, len(plain))

    def _end_run(self) -> None:
        if self._run_parts:
            info = self._run.info()
            self.blobs.append(
                BlobRow(
                    info.digest, info.sha256, info.size, NO_FRAME, 0, 0, None, (*self._run_parts,)
                )
            )
            self._run = Hasher()
            self._run_parts = []

    def _deltas(self, found: Seal, body: bytes) -> list[BlobRow]:
        self._end_run()
        rows = []
        number = len(self.frames)
        for head in frames.delta_heads(found):
            known = self._identify(body[head.offset : head.offset + head.length], head)
            if known is None:
                self.lost.append(LostDelta(number, head))
                continue
            info, base = known
            rows.append(
                BlobRow(info.digest, info.sha256, info.size, number, head.offset, head.length, base)
            )
        return rows

    def _identify(self, frame: bytes, head: DeltaHead) -> tuple[BlobInfo, Sha256] | None:
        for sha256, base in self._find_base(head.base_prefix):
            try:
                return identify(codec.decompress_delta(frame, base, head.size)), sha256
            except DamagedError:  # another content whose digest begins alike
                continue
        return None
