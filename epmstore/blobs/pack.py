"""The one door through which bytes become stored blobs.

A GroupWriter takes contents in the order in which they should lie beside each other and makes a
group: in memory while it is small, so that it can be appended to the pack log, else in a temporary
file that already is a whole pack. Rules: a writer belongs to one thread and shares nothing, so
workers need no lock; nothing is visible before `publish_pack` or the pack log gives it a name; a
content is written once per writer; who does not finish a writer discards it.
"""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Protocol, Self, TypeAlias

import msgspec

from epmstore import atomic, codec, fsio, seal
from epmstore.blobs import footer, frames
from epmstore.blobs.records import load_group
from epmstore.blobs.spool import SpillBuffer, Temporary, discard_temporary
from epmstore.digest import BlobInfo, Digest, Hasher, Sha256, identify
from epmstore.pack_table import NO_FRAME, BlobRow, FrameRow, GroupTable
from epmstore.prefetch import prefetch

PART_THRESHOLD = 64 << 20
"""Contents above this many bytes are added with `add_large`."""
PART_DELTA_LEVEL = 1
"""Of a part, nearly all is in the one before, and long matches find it; higher levels look for
short ones first, which makes several per mille of a tenth of one.
"""
SPILL = 8 << 20
"""Stored bytes that a writer holds in memory before it makes a file."""
FULL_BYTES = 256 << 20
FULL_BLOBS = 1 << 16
"""Of a group that had better end: its table is held in memory whole, and written anew whole when
much of it is dead.
"""
SUFFIX = ".pack"


class WrittenGroup(msgspec.Struct, frozen=True):
    """A finished group that has no name yet: `memory` (without a trailer), of which the last
    `table` bytes are the footer, or `temporary`, a whole and durable pack below `packs/`. `id` is
    the digest in the footer's seal, as hexadecimal digits, `length` that of the group in bytes.
    `is_empty`: it has no content.
    """

    id: str
    table: int
    length: int
    is_empty: bool
    memory: bytes | None
    temporary: Path | None

    @property
    def group(self) -> GroupTable:
        """What is in it, read anew each time: it takes much memory. A temporary one can be asked
        until it is published. Raises OSError, DamagedError.
        """
        if self.temporary is not None:
            return load_group(self.temporary)
        assert self.memory is not None, "a group is in memory or in a file"
        found = seal.parse(self.memory, self.length - self.table)
        return footer.decode(found, memoryview(self.memory)[found.body_offset :])


DeltaBase: TypeAlias = tuple[Sha256, bytes]
"""A content (or part) that is stored in full, and its bytes."""


class PartBases(Protocol):
    """What the parts of a large content may be made deltas against: those of an older one."""

    def met(self, number: int, sha256: Sha256) -> None:
        """Part `number` of the new content is stored already."""
        ...

    def base(self, number: int) -> DeltaBase | None:
        """What part `number` is likely to be alike. Raises DamagedError."""
        ...


class GroupWriter:
    """Makes one group. A context manager: leaving the block unfinished discards."""

    def __init__(
        self,
        packs: Path,
        *,
        frame_size: int = frames.FRAME_SIZE,
        part_size: int = frames.PART_SIZE,
        spill: int = SPILL,
    ) -> None:
        self._output = SpillBuffer(packs, spill)
        self._frame_size = frame_size
        self._part_size = part_size
        self._frames: list[FrameRow] = []
        self._blobs: list[BlobRow] = []
        self._known: dict[Sha256, Digest | None] = {}
        self._pending: list[tuple[BlobInfo, bytes]] = []
        self._pending_size = 0
        self._deltas: list[tuple[BlobRow, bytes]] = []
        self._deltas_size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    @property
    def stored(self) -> int:
        """Bytes written so far; what still waits for its frame to fill up is not counted."""
        return self._output.length

    @property
    def is_full(self) -> bool:
        """Whether what comes next had better go into another group."""
        return self.stored >= FULL_BYTES or len(self._blobs) >= FULL_BLOBS

    @property
    def waiting(self) -> int:
        """Plain bytes of contents that wait for their frame to fill up."""
        return self._pending_size

    def has(self, sha256: Sha256) -> bool:
        """Whether this content (or part) was already given to this writer."""
        return sha256 in self._known

    def add(self, info: BlobInfo, data: bytes) -> None:
        """Store `data`. `info` must be what `identify` says of these very bytes, computed there
        and then: it is not computed again. Raises OSError.
        """
        if self._is_known(info.sha256, info.digest):
            return
        if len(data) >= self._frame_size:
            self._write_solid([(info, data)])
            return
        if self._pending_size + len(data) > self._frame_size:
            self._flush()
        self._pending.append((info, data))
        self._pending_size += len(data)

    def add_delta(self, info: BlobInfo, data: bytes, base: Sha256, base_data: bytes) -> bool:
        """Store `data` as its difference to a content that is stored in full; whole, if that saves
        less than half. Says whether it became a delta. `info` as for `add`. Raises OSError.
        """
        if self.has(info.sha256):
            self.add(info, data)
            return False
        delta = codec.compress_delta(data, base_data)
        whole = _whole(delta, len(data), partial(frames.solid, [data]))
        if whole is None:
            self.copy_delta(_delta_row(info.digest, info.sha256, len(data), base), delta)
        elif len(data) >= self._frame_size:
            self._is_known(info.sha256, info.digest)
            self._enter_solid([(info, data)], self._write(whole))
        else:
            self.add(info, data)
        return whole is None

    def add_large(
        self,
        chunks: Iterable[bytes],
        has_part: Callable[[Sha256], bool] = lambda _: False,
        bases: PartBases | None = None,
    ) -> BlobInfo:
        """Store a content of any size in bounded memory, in parts if it is larger than one; those
        that `has_part` says are stored are not written again (keep them from being collected), and
        others become deltas against `bases` where that pays. Raises OSError, DamagedError.
        """
        pieces = _pieces(chunks, self._part_size)
        first = next(pieces, b"")
        second = next(pieces, None)
        if second is None:
            info = identify(first)
            if not has_part(info.sha256):
                self.add(info, first)
            return info
        pieces = itertools.chain((first, second), pieces)
        del first, second  # or they would be held as long as all the others pass by
        whole = Hasher()
        parts: list[Sha256] = []
        with closing(prefetch(self._presses(pieces, whole, parts, has_part, bases))) as pressed:
            for part in pressed:
                self._put_part(part)
        info = whole.info()
        self.copy_large(
            BlobRow(info.digest, info.sha256, info.size, NO_FRAME, 0, 0, None, (*parts,))
        )
        return info

    def _presses(
        self,
        pieces: Iterable[bytes],
        whole: Hasher,
        parts: list[Sha256],
        has_part: Callable[[Sha256], bool],
        bases: PartBases | None,
    ) -> Iterator[Callable[[], "_Part"]]:
        """What is to be done for parts that are not stored yet. All are noted in `whole` and
        `parts`.
        """
        coming: set[Sha256] = set()
        for number, data in enumerate(pieces):
            whole.update(data)
            sha256 = Sha256(hashlib.sha256(data).digest())
            parts.append(sha256)
            if has_part(sha256):
                if bases is not None:
                    bases.met(number, sha256)
            elif not self.has(sha256) and sha256 not in coming:
                coming.add(sha256)
                base = None if bases is None else bases.base(number)
                yield partial(_press, sha256, data, base)

    def add_part(self, sha256: Sha256, data: bytes) -> None:
        """Store a part of a large content. Raises OSError."""
        if not self.has(sha256):
            self._put_part(_press(sha256, data, None))

    def _put_part(self, part: "_Part") -> None:
        if part.delta is not None:
            self.copy_delta(part.row, part.delta)
        elif not self._is_known(part.row.sha256):
            assert part.frame is not None, "a part is a delta or has a frame"
            number = self._write(part.frame, part.head)
            self._blobs.append(msgspec.structs.replace(part.row, frame=number))

    def copy_delta(self, row: BlobRow, frame: bytes) -> None:
        """Store a delta that is already made; where `row` says that it lies does not count. Raises
        OSError.
        """
        if self._is_known(row.sha256, row.digest):
            return
        self._deltas.append((row, frame))
        self._deltas_size += len(frame)
        if self._deltas_size >= frames.DELTA_BODY or len(self._deltas) >= frames.DELTA_COUNT:
            self._flush_deltas()

    def copy_large(self, row: BlobRow) -> None:
        """Enter a large blob whose parts are stored, here or elsewhere."""
        if not self._is_known(row.sha256, row.digest):
            self._blobs.append(row)

    def copy_frame(self, frame: FrameRow, record: bytes, blobs: Sequence[BlobRow]) -> None:
        """Store a sealed frame of another group as it is, with its rows, unless all contents in it
        were given before. Raises OSError.
        """
        fresh = [row for row in blobs if not self._is_known(row.sha256, row.digest)]
        if not fresh:
            return
        moved = msgspec.structs.replace(frame, offset=self.stored)
        number = self._append(moved, record)
        for row in fresh:
            self._blobs.append(msgspec.structs.replace(row, frame=number))

    def finish(self) -> WrittenGroup:
        """The group, its file (if it has one) durable. The writer is done. Raises OSError."""
        self._flush()
        self._flush_deltas()
        record = footer.encode(self._frames, self._rows()).sealed()
        found = seal.parse(record, base=self.stored)
        self._output.append(record)
        length, is_empty = self.stored, not self._blobs
        memory, temporary = self._output.finish(found)
        return WrittenGroup(found.sha256.hex(), len(record), length, is_empty, memory, temporary)

    def discard(self) -> None:
        """Take away what was not finished. Does nothing after `finish`."""
        self._output.discard()

    def _is_known(self, sha256: Sha256, digest: Digest | None = None) -> bool:
        """Whether it was given before; from now on it was. A part that turns out to be the content
        of a file too gets its address.
        """
        is_known = sha256 in self._known
        self._known[sha256] = digest or self._known.get(sha256)
        return is_known

    def _rows(self) -> list[BlobRow]:
        known, named = self._known, msgspec.structs.replace
        return [
            row if row.digest is not None else named(row, digest=known[row.sha256])
            for row in self._blobs
        ]

    def _flush(self) -> None:
        if self._pending:
            self._write_solid(self._pending)
            self._pending = []
            self._pending_size = 0

    def _flush_deltas(self) -> None:
        if not self._deltas:
            return
        number = self._write(frames.deltas([_delta(row, frame) for row, frame in self._deltas]))
        offset = 0
        for row, frame in self._deltas:
            length = len(frame)
            self._blobs.append(
                msgspec.structs.replace(row, frame=number, offset=offset, length=length)
            )
            offset += length
        self._deltas = []
        self._deltas_size = 0

    def _write_solid(self, contents: Sequence[tuple[BlobInfo, bytes]]) -> None:
        self._enter_solid(contents, self._write(frames.solid([data for _, data in contents])))

    def _enter_solid(self, contents: Sequence[tuple[BlobInfo, bytes]], row: int) -> None:
        offset = 0
        for info, data in contents:
            length = len(data)
            self._blobs.append(BlobRow(info.digest, info.sha256, length, row, offset, length))
            offset += length

    def _write(self, frame: frames.Frame, sealed_head: bytes = b"") -> int:
        row = FrameRow(frame.kind, self.stored, len(frame.head), len(frame.body), frame.number)
        return self._append(row, sealed_head or frame.sealed_head(), frame.body)

    def _append(self, row: FrameRow, *record: bytes) -> int:
        for piece in record:
            self._output.append(piece)
        self._frames.append(row)
        return len(self._frames) - 1


def publish_pack(packs: Path, written: WrittenGroup) -> str:
    """Give a written group its name as a pack, durably; the name is relative to `packs`.

    The same group published twice is one pack. Raises OSError.
    """
    path = written.temporary
    if path is None:
        path = _write_pack(packs, written)
    folder = packs / written.id[:2]
    try:
        atomic.make_directories(folder)
        with atomic.directory(packs) as source, atomic.directory(folder) as parent:
            # Its bytes were synced when they were written; now its name is, before a row names it.
            fsio.rename(path.name, source, written.id + SUFFIX, parent)
            fsio.sync_directory(parent)
    except BaseException:
        discard_temporary(path)
        raise
    return f"{folder.name}/{written.id}{SUFFIX}"


def discard_written(written: WrittenGroup) -> None:
    """Take away a written group that is not going to be published."""
    if written.temporary is not None:
        discard_temporary(written.temporary)


def _write_pack(packs: Path, written: WrittenGroup) -> Path:
    assert written.memory is not None, "a group is in memory or in a file"
    found = seal.parse(written.memory, written.length - written.table)
    temporary = Temporary(packs)
    try:
        temporary.write(written.memory)
        temporary.write(frames.trailer(found).sealed())
        return temporary.finish()
    except BaseException:
        temporary.discard()
        raise


def _delta_row(digest: Digest | None, sha256: Sha256, size: int, base: Sha256) -> BlobRow:
    """Of a delta whose place is not known yet."""
    return BlobRow(digest, sha256, size, NO_FRAME, 0, 0, base)


def _delta(row: BlobRow, frame: bytes) -> frames.Delta:
    assert row.base is not None, "it is a delta"
    return frames.Delta(row.base, frame, row.size)


class _Part(msgspec.Struct, frozen=True, gc=False):
    """A part of a large content as it is to be written: a delta, or a frame and its sealed head."""

    row: BlobRow
    delta: bytes | None
    frame: frames.Frame | None
    head: bytes = b""


def _press(sha256: Sha256, data: bytes, base: DeltaBase | None) -> _Part:
    """All that is long work. Needs nothing of a writer: any thread may do it."""
    if base is None:
        frame = frames.part(data)
    else:
        delta = codec.compress_delta(data, base[1], PART_DELTA_LEVEL)
        whole = _whole(delta, len(data), partial(frames.part, data))
        if whole is None:
            return _Part(_delta_row(None, sha256, len(data), base[0]), delta, None)
        frame = whole
    row = BlobRow(None, sha256, len(data), NO_FRAME, 0, len(data))
    return _Part(row, None, frame, frame.sealed_head())


def _whole(delta: bytes, size: int, make: Callable[[], frames.Frame]) -> frames.Frame | None:
    """A content's own frame; None if a delta takes at most half of that, and so pays."""
    if len(delta) * 16 <= size:  # next to nothing compresses to an eighth
        return None
    frame = make()
    return None if len(delta) * 2 <= len(frame.body) else frame


def paying_delta(data: bytes, base: bytes, level: int = codec.DELTA_LEVEL) -> bytes | None:
    """The difference of a content to another one, if it takes at most half of its own frame."""
    delta = codec.compress_delta(data, base, level)
    return delta if _whole(delta, len(data), partial(frames.solid, [data])) is None else None


def _pieces(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in pieces of exactly `size`, the last one excepted."""
    buffer = bytearray()
    for chunk in chunks:
        if len(chunk) == size and not buffer:  # most are: nothing is copied
            yield chunk
            continue
        buffer += chunk
        while len(buffer) >= size:
            yield bytes(memoryview(buffer)[:size])
            del buffer[:size]
    if buffer:
        yield bytes(buffer)
