"""Contents on their way from a store into a package.

A frame is copied as it is if all that lies in it belongs there. Whatever else shares a frame with
it (other products, older releases, contents that a host has no business with) stays behind: then
the contents are compressed anew. Differences as the store has them are not given away: what they
were made against may not be there. A patch package has differences of its own, to what its host has
for certain, one step deep.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self, TypeAlias

from epmstore import seal
from epmstore.blobs import frames
from epmstore.blobs.pack import PART_DELTA_LEVEL, paying_delta
from epmstore.blobs.records import open_pack, read_at
from epmstore.digest import BlobInfo, Digest, Sha256
from epmstore.errors import BlobNotFoundError, DamagedError
from epmstore.pack_table import NO_FRAME, BlobRow, Place
from epmstore.package.writing import PackageWriter
from epmstore.progress import Progress
from epmstore.seal import SIZE, RecordKind
from epmstore.store.store import Store

Bases: TypeAlias = Mapping[Sha256, BlobInfo]
NO_BASES: Final[Bases] = MappingProxyType({})
AT_ONCE: Final = 32 << 20
"""Plain bytes of contents, and what they are compared with, that are in memory together."""


class Packer:
    """Contents on their way out of a store, each once. A context manager."""

    def __init__(self, store: Store, writer: PackageWriter, progress: Progress) -> None:
        self._store = store
        self._writer = writer
        self._records = _Records(store.packs)
        self._progress = progress
        self._done: set[Sha256] = set()
        self._pending: list[tuple[BlobInfo, bytes]] = []
        self._waiting = 0
        self._deltas: list[tuple[BlobInfo, frames.Delta]] = []
        self.plain = 0
        """Plain bytes of all that was packed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._records.close()

    def pack(self, contents: Sequence[BlobInfo], bases: Bases = NO_BASES) -> None:
        """`bases` are what a host has that takes it, by the SHA-256 of what is made a difference to
        it, if that pays. Raises BlobNotFoundError, DamagedError, OSError.
        """
        missing = self._store.blobs.missing(contents)
        if missing:
            raise BlobNotFoundError(
                f"{len(missing):,} contents of the release are not stored here",
                digests=[info.digest.hex() for info in missing],
            )
        wanted = {info.sha256: info for info in contents}
        places = self._store.contents.places(list(wanted))
        old = self._store.contents.places([info.sha256 for info in bases.values()])
        small = [place for place in places.values() if place.kind is not None]
        pairs = [
            (wanted[place.sha256], base)
            for place in small
            if (base := bases.get(place.sha256)) is not None and _is_base(old.get(base.sha256))
        ]
        self._pack_deltas(pairs)
        self._pack_plain([place for place in small if place.sha256 not in self._done], wanted)
        for sha256, place in places.items():
            if place.kind is None:
                base = bases.get(sha256)
                before = None if base is None else old.get(base.sha256)
                self._pack_large(wanted[sha256], place, () if before is None else before.parts)

    def _pack_deltas(self, pairs: Sequence[tuple[BlobInfo, BlobInfo]]) -> None:
        """Of contents and their bases; those of which the difference does not pay are left."""
        for batch in _batches(pairs):
            infos = {info for pair in batch for info in pair}
            data = {info: data for info, data in self._store.blobs.read_many(infos)}
            for info, base in batch:
                delta = paying_delta(data[info], data[base])
                if delta is not None:
                    self._add_delta(info, frames.Delta(base.sha256, delta, info.size))
        self._flush_deltas()

    def _add_delta(self, info: BlobInfo, delta: frames.Delta) -> None:
        is_full = len(self._deltas) >= frames.DELTA_COUNT
        if is_full or sum(one.size for _, one in self._deltas) + delta.size > AT_ONCE:
            self._flush_deltas()
        self._done.add(info.sha256)
        self._deltas.append((info, delta))
        self._progress.advance(files=1, size=info.size)

    def _flush_deltas(self) -> None:
        if self._deltas:
            found = [delta for _, delta in self._deltas]
            digests = [info.digest for info, _ in self._deltas]
            names = [info.sha256 for info, _ in self._deltas]
            self._write(frames.deltas(found).sealed(), _delta_rows(names, digests, found))
            self._deltas = []

    def _pack_large(self, info: BlobInfo, place: Place, old: Sequence[Sha256]) -> None:
        """`old` are the parts of what a host has instead of it: those are not packed."""
        parts = self._store.contents.places(list(dict.fromkeys(place.parts)))
        there = {sha256: number for number, sha256 in enumerate(old)}
        moved = 0
        for number, sha256 in enumerate(place.parts):
            if sha256 in there:
                moved = number - there[sha256]
            elif sha256 not in self._done:
                is_like_one = 0 <= number - moved < len(old)
                self._pack_part(parts[sha256], old[number - moved] if is_like_one else None)
        row = BlobRow(info.digest, info.sha256, info.size, NO_FRAME, 0, 0, None, place.parts)
        self._writer.add_large(row)
        self._progress.advance(files=1)

    def _pack_part(self, place: Place, old: Sha256 | None) -> None:
        self._done.add(place.sha256)
        self._progress.advance(size=place.size)
        if old is not None:
            data, base = map(self._store.blobs.read_part, (place.sha256, old))
            frame = paying_delta(data, base, PART_DELTA_LEVEL)
            if frame is not None:
                delta = frames.Delta(old, frame, place.size)
                record = frames.deltas([delta]).sealed()
                self._write(record, _delta_rows([place.sha256], [None], [delta]))
                return
        if place.kind in (RecordKind.PART, RecordKind.STORED) and place.length == place.plain_size:
            record = self._records.read(place)
        else:
            ((_, data),) = self._store.blobs.read_places([place])
            record = frames.part(data).sealed()
        self._write(record, [BlobRow(None, place.sha256, place.size, 0, 0, place.size)])

    def _write(self, record: bytes, rows: Sequence[BlobRow]) -> None:
        self._writer.add_frame(record, rows)
        self.plain += sum(row.size for row in rows)

    def _pack_plain(self, places: Sequence[Place], wanted: dict[Sha256, BlobInfo]) -> None:
        """Frames that belong to the release whole are copied; of others, contents."""
        anew: list[Place] = []
        ordered = sorted(places, key=lambda p: (p.file, p.seal_offset, p.offset))
        for _, group in groupby(ordered, key=lambda p: (p.file, p.seal_offset)):
            beside = list(group)
            first = beside[0]
            is_whole = sum(place.length for place in beside) == first.plain_size
            if first.kind is RecordKind.DELTA or not is_whole:
                anew += beside
                continue
            rows = [_row(place, wanted[place.sha256]) for place in beside]
            self._write(self._records.read(first), rows)
            self._done.update(row.sha256 for row in rows)
            self._progress.advance(files=len(beside), size=sum(row.size for row in rows))
        for place, data in self._store.blobs.read_places(anew):
            self._add(wanted[place.sha256], data)
            self._progress.advance(files=1, size=place.size)
        self._flush()

    def _add(self, info: BlobInfo, data: bytes) -> None:
        if self._pending and self._waiting + len(data) > frames.FRAME_SIZE:
            self._flush()
        self._pending.append((info, data))
        self._waiting += len(data)
        self._done.add(info.sha256)

    def _flush(self) -> None:
        if not self._pending:
            return
        rows, at = [], 0
        for info, _ in self._pending:
            rows.append(BlobRow(info.digest, info.sha256, info.size, 0, at, info.size))
            at += info.size
        record = frames.solid([data for _, data in self._pending]).sealed()
        self._write(record, rows)
        self._pending, self._waiting = [], 0


class _Records:
    """Sealed frames of packs, as they are; one file is open at a time."""

    def __init__(self, packs: Path) -> None:
        self._packs = packs
        self._file = ""
        self._fd = -1

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def read(self, place: Place) -> bytes:
        """Raises DamagedError, OSError."""
        if place.file != self._file or self._fd < 0:
            self.close()
            self._fd = open_pack(self._packs / place.file)
            self._file = place.file
        data = read_at(self._fd, place.seal_offset, SIZE + place.head_length + place.body_length)
        found = seal.parse(data, base=place.seal_offset)
        seal.check(found, memoryview(data)[SIZE + len(found.head) :])
        if (found.kind, found.number) != (place.kind, place.plain_size):
            raise DamagedError(f"record at byte {place.seal_offset} is another")
        return data


def _row(place: Place, info: BlobInfo) -> BlobRow:
    return BlobRow(info.digest, info.sha256, info.size, 0, place.offset, place.length)


def _is_base(place: Place | None) -> bool:
    return place is not None and place.kind is not None and place.size > 0


def _batches(
    pairs: Sequence[tuple[BlobInfo, BlobInfo]],
) -> Iterator[list[tuple[BlobInfo, BlobInfo]]]:
    batch: list[tuple[BlobInfo, BlobInfo]] = []
    size = 0
    for pair in pairs:
        batch.append(pair)
        size += pair[0].size + pair[1].size
        if size >= AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _delta_rows(
    names: Sequence[Sha256], digests: Sequence[Digest | None], deltas: Sequence[frames.Delta]
) -> list[BlobRow]:
    rows, at = [], 0
    for name, digest, delta in zip(names, digests, deltas, strict=True):
        rows.append(BlobRow(digest, name, delta.size, 0, at, len(delta.frame), delta.base))
        at += len(delta.frame)
    return rows
