"""Making a pack for a depot: a file of the store that no other process sees, sent, and removed.

What cannot be read here is left out, and so is what would lean on it: a pack never says that it
holds what cannot be got out of the depot again.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from epmstore import seal
from epmstore.atomic import open_regular
from epmstore.blobs.pack import GroupWriter, WrittenGroup, discard_written
from epmstore.blobs.records import open_pack, read_at
from epmstore.digest import BlobInfo, Sha256, check
from epmstore.errors import BlobNotFoundError, DamagedError
from epmstore.pack_table import BlobRow
from epmstore.remotes.remote import PIECE
from epmstore.seal import SIZE
from epmstore.store.store import Store
from epmstore.sync.heads import ObjectRef, PackRef
from epmstore.sync.pack_plan import Parcel


class MadePack(msgspec.Struct, frozen=True):
    """A pack in a file, and the bytes of its table."""

    ref: PackRef
    table: bytes
    file: Path

    def __iter__(self) -> Iterator[bytes]:
        """The bytes of the pack. Raises DamagedError, OSError."""
        return _pieces(self.file)


class PackMaker:
    """Makes packs one after another. `in_full` and `held` are what the depot has; what is made is
    added to both. `lacking` is what could not be read.
    """

    def __init__(self, store: Store, in_full: Iterable[Sha256], held: Iterable[Sha256]) -> None:
        self._store = store
        self._in_full = {*in_full}
        self._held = {*held}
        self.lacking: set[Sha256] = set()

    @contextlib.contextmanager
    def made(self, parcels: Sequence[Parcel]) -> Iterator[MadePack | None]:
        """One pack, as long as the block lasts; None if nothing of it can be read. Within
        `keep_packs`. Raises OSError.
        """
        with GroupWriter(self._store.packs, spill=0) as writer:
            for parcel in parcels:
                try:
                    self._add(writer, parcel)
                except (DamagedError, BlobNotFoundError, FileNotFoundError):
                    self.lacking.update(row.sha256 for row in parcel.rows)
            written = writer.finish()
        try:
            yield None if written.is_empty else _made(written)
        finally:
            discard_written(written)

    def _add(self, writer: GroupWriter, parcel: Parcel) -> None:
        row = parcel.rows[0]
        if parcel.way == "large":
            if not all(part in self._held for part in row.parts):
                raise BlobNotFoundError("a part of it could not be read")
            writer.copy_large(row)
        elif parcel.way == "frame":
            assert parcel.frame is not None, "a frame has a place"
            record, _ = self._record(parcel)
            writer.copy_frame(parcel.frame, record, parcel.rows)
            self._in_full.update(one.sha256 for one in parcel.rows)
        elif parcel.way == "delta" and row.base in self._in_full:
            record, body = self._record(parcel)
            writer.copy_delta(row, record[body + row.offset : body + row.offset + row.length])
        else:
            self._write(writer, row)
            self._in_full.add(row.sha256)
        self._held.update(one.sha256 for one in parcel.rows)

    def _write(self, writer: GroupWriter, row: BlobRow) -> None:
        """A content, or a part of one, on its own."""
        data = self._store.blobs.read_part(row.sha256)
        if row.digest is None:
            writer.add_part(row.sha256, data)
            return
        info = BlobInfo(row.digest, row.sha256, row.size)
        check(data, info)
        writer.add(info, data)

    def _record(self, parcel: Parcel) -> tuple[bytes, int]:
        """A sealed frame as it lies in its file, checked, and where its body begins."""
        frame = parcel.frame
        assert frame is not None, "what is copied lies in a frame"
        fd = open_pack(self._store.packs / parcel.file)
        try:
            length = SIZE + frame.head_length + frame.body_length
            data = read_at(fd, parcel.start + frame.offset, length)
        finally:
            os.close(fd)
        found = seal.parse(data)
        seal.check(found, memoryview(data)[found.body_offset :])
        if (found.kind, found.end, found.number) != (frame.kind, length, frame.plain_size):
            raise DamagedError("the record is another than the one that was recorded")
        return data, found.body_offset


def _made(written: WrittenGroup) -> MadePack:
    file = written.temporary
    assert file is not None, "what is not held in memory is in a file"
    hasher, size = hashlib.sha256(), 0
    for piece in _pieces(file):
        hasher.update(piece)
        size += len(piece)
    fd = open_regular(file)
    try:
        table = read_at(fd, written.length - written.table, written.table)
    finally:
        os.close(fd)
    of_table = ObjectRef(len(table), hashlib.sha256(table).hexdigest())
    return MadePack(PackRef(size, hasher.hexdigest(), of_table), table, file)


def _pieces(file: Path) -> Iterator[bytes]:
    fd = open_regular(file)
    try:
        at = 0
        while piece := os.pread(fd, PIECE, at):
            yield piece
            at += len(piece)
    finally:
        os.close(fd)
