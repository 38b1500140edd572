"""Frames out of pack files: open descriptors, checked reads, a small cache of what was decoded.

Every record is checked against its seal before a byte of it is decoded. May be used from several
threads. Knows files and offsets; which content lies where is the business of blob_store.py.
"""

import contextlib
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from epmstore import seal
from epmstore.blobs import frames
from epmstore.blobs.records import open_pack, read_at
from epmstore.errors import DamagedError
from epmstore.pack_table import NO_FRAME, BlobRow, GroupTable, Place
from epmstore.seal import SIZE, RecordKind, Seal

CACHE_BYTES = 64 << 20
OPEN_FILES = 64


class FrameReader:
    """Decoded frames by place."""

    def __init__(self, packs: Path, *, cache_bytes: int = CACHE_BYTES) -> None:
        self._files = PackFiles(packs)
        self._cache = _Cache(cache_bytes)

    def frame(self, place: Place, wanted: int | None = None, *, keep: bool = True) -> bytes:
        """The plain bytes of a solid, stored or part frame; the stored body of a delta frame. Who
        says that no more than the first `wanted` are going to be looked at may get only these.
        `keep`: it may be asked for again soon.

        Raises FileNotFoundError, OSError, DamagedError.
        """
        key = (place.file, place.seal_offset)
        data = self._cache.get(key)
        if data is None or not _has(data, place, wanted):
            data = self._decode(place, wanted)
            if (
                keep and place.kind is not RecordKind.PART
            ):  # a stream of parts would drive all else out
                self._cache.put(key, data)
        return data

    def is_there(self, file: str) -> bool:
        """Whether a pack can be looked for frames at all. Does not read it."""
        return self._files.is_there(file)

    def close(self) -> None:
        self._files.close()
        self._cache.clear()

    def _decode(self, place: Place, wanted: int | None) -> bytes:
        length = SIZE + place.head_length + place.body_length
        with self._files.open(place.file) as fd:
            record = memoryview(read_at(fd, place.seal_offset, length))
        try:
            found = seal.parse(record, base=place.seal_offset)
            body = record[SIZE + len(found.head) :]
            seal.check(found, body)
            _check_place(found, place)
            if found.kind is RecordKind.DELTA:
                return bytes(body)
            return frames.plain_bytes(found, body, wanted)
        except DamagedError as error:
            error.data["file"] = place.file
            if error.hint is None:
                error.message = f"packs/{place.file}: {error.message}"
                error.hint = "run `epmstore fsck --read-data --repair`"
            raise


class PackFiles:
    """Descriptors of pack files by name; the least recently used are closed first."""

    def __init__(self, packs: Path, limit: int = OPEN_FILES) -> None:
        self._packs = packs
        self._limit = limit
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _OpenFile] = OrderedDict()

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[int]:
        """A descriptor for reading at offsets. Raises FileNotFoundError, OSError."""
        file = self._take(name)
        try:
            yield file.fd
        finally:
            with self._lock:
                file.users -= 1
                if file.users == 0 and self._kept.get(name) is not file:
                    os.close(file.fd)
                self._close_unused(self._limit)

    def is_there(self, name: str) -> bool:
        """Whether there is such a file. Raises OSError for what says nothing about it."""
        try:
            return stat.S_ISREG(os.stat(self._packs / name, follow_symlinks=False).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def close(self) -> None:
        """A later read opens again."""
        with self._lock:
            self._close_unused(0)

    def _take(self, name: str) -> "_OpenFile":
        with self._lock:
            file = self._kept.pop(name, None)
            if file is not None and os.fstat(file.fd).st_nlink == 0:
                # Merged away; the name may stand for another file by now.
                if file.users == 0:
                    os.close(file.fd)
                file = None
            if file is None:
                file = _OpenFile(open_pack(self._packs / name))
            file.users += 1
            self._kept[name] = file
            return file

    def _close_unused(self, limit: int) -> None:
        excess = len(self._kept) - limit
        if excess <= 0:
            return
        unused = [name for name, file in self._kept.items() if file.users == 0]
        for name in unused[:excess]:
            os.close(self._kept.pop(name).fd)


class _OpenFile:
    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.users = 0


class _Cache:
    """Decoded frames up to a number of bytes, and always the newest one."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._size = 0
        self._frames: OrderedDict[tuple[str, int], bytes] = OrderedDict()

    def get(self, key: tuple[str, int]) -> bytes | None:
        with self._lock:
            data = self._frames.get(key)
            if data is not None:
                self._frames.move_to_end(key)
            return data

    def put(self, key: tuple[str, int], data: bytes) -> None:
        with self._lock:
            self._size += len(data) - len(self._frames.pop(key, b""))
            while self._frames and self._size > self._limit:
                self._size -= len(self._frames.popitem(last=False)[1])
            self._frames[key] = data

    def clear(self) -> None:
        with self._lock:
            self._frames.clear()
            self._size = 0


def place_of(file: str, start: int, group: GroupTable, row: BlobRow) -> Place:
    """Where a content lies whose group begins at `start` of `file`."""
    if row.frame == NO_FRAME:
        return Place(row.sha256, row.size, file, None, 0, 0, 0, 0, 0, 0, None, row.parts)
    frame = group.frames[row.frame]
    return Place(
        row.sha256,
        row.size,
        file,
        frame.kind,
        start + frame.offset,
        frame.head_length,
        frame.body_length,
        frame.plain_size,
        row.offset,
        row.length,
        row.base,
    )


def _has(data: bytes, place: Place, wanted: int | None) -> bool:
    """Whether what was decoded of a frame suffices."""
    return place.kind is RecordKind.DELTA or len(data) >= (
        place.plain_size if wanted is None else wanted
    )


def _check_place(found: Seal, place: Place) -> None:
    if (found.kind, len(found.head), found.body_length, found.number) != (
        place.kind,
        place.head_length,
        place.body_length,
        place.plain_size,
    ):
        raise DamagedError(
            f"the record at byte {found.offset} of {place.file} is not the one that was recorded",
            hint="run `epmstore rebuild`",
            offset=found.offset,
        )
