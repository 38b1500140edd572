"""A package from elsewhere, as those have it who need what is in it: read by a process of its own
(packagechild.py), asked for here. Its SQLite is never opened by the process that asks.

with open_package(path, scratch, Asking(...)) as found:
    lines, sound = found.lines()
    for one in found.contents(): ...
"""

import contextlib
import os
import stat
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from epmstore import fsio
from epmstore.atomic import directory, discard, make_directories, temporary_name
from epmstore.blobs.foreign import Foreign
from epmstore.catalog.model import Requirement
from epmstore.digest import BlobInfo, Digest, Sha256
from epmstore.errors import BadPackageError, NoStoreError
from epmstore.limited import MEMORY, SECONDS, LimitedReader, ReadLimits
from epmstore.pack_table import NO_FRAME, BlobRow
from epmstore.package.file_format import APPLICATION_ID, SUFFIX, USER_VERSION
from epmstore.package.messages import (
    MODULE,
    Begun,
    Blob,
    Held,
    Lacking,
    Large,
    LineBytes,
    Message,
    Order,
    Piece,
    Sealed,
    Sound,
    Tagged,
)
from epmstore.progress import SILENT, Progress
from epmstore.refcat.checker import CheckedCatalog
from epmstore.refcat.signature import PublicKey
from epmstore.store.adopt import AdoptedPart

MAX_FILE: Final = 8 << 30
"""Bytes of a package as it comes."""
FREE: Final = 512 << 20
"""Plain bytes that any package may come to; beyond, RATIO for each of its own."""
RATIO: Final = 200
MAGIC: Final = b"SQLite format 3\0"
FOR_A_SECOND: Final = 32 << 20
"""Bytes of a package for which one step may take a second longer."""
_PIECE: Final = 1 << 20
_MEMORY_SHARE: Final = 4
"""Bytes of memory for each byte of a package: lines are held, and contents are not."""
_BESIDE: Final = ("-journal", "-wal", "-shm")
_HEADER: Final = 100


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: the signature beside the package, the keys that count, the time, and what other
    applications need. `known` finds the catalog that a patch package goes on from. `whole`: the
    tables for people, too.
    """

    signature: bytes | None = None
    keys: Sequence[PublicKey] = ()
    now: float = 0.0
    needs: Mapping[str, Sequence[Requirement]] = {}
    known: Callable[[Begun], CheckedCatalog] | None = None
    whole: bool = False
    progress: Progress = SILENT


class LargeOne(msgspec.Struct, frozen=True):
    """A content that lies in parts, which have to be taken before the next one is asked for."""

    info: BlobInfo
    parts: Iterator[AdoptedPart]


class PackageReading:
    """A package that is being read: first `lines`, then `contents`."""

    def __init__(
        self,
        messages: Iterator[Message],
        asking: Asking,
        answer: "_Answer",
        opened: Callable[[], None],
    ) -> None:
        """`answer` is where the child gets what a package goes on from; `opened` is called when it
        has the copy open, which needs its name no longer.
        """
        self._messages = messages
        self._asking = asking
        self._answer = answer
        self._opened = opened
        self._ahead: Message | None = None
        self.product = ""
        self.known: CheckedCatalog | None = None
        self.lacking: list[BlobInfo] = []
        """Contents that are needed and not in it: a patch has what is new, and differences."""
        self.bases: list[Sha256] = []
        """What deltas in it were made against."""
        self.tags: tuple[str, ...] = ()
        """What its vendor tagged it with: known at the end, if the tables for people were asked
        for.
        """

    def lines(self) -> tuple[bytes, Sound]:
        """Its plain lines, joined, and what they come to. Raises BadPackageError and what else is
        wrong with it; VersionNotFoundError if what it goes on from is not here.
        """
        begun = self._next()
        if not isinstance(begun, Begun):
            raise _odd()
        self._opened()
        self.product = begun.product
        if begun.first and self._asking.known is None:
            raise BadPackageError("it goes on from a catalog, and there is none to go on from")
        if begun.first and self._asking.known is not None:
            self.known = self._asking.known(begun)
            fsio.write(self._answer.fd, msgspec.msgpack.encode(self.known))
        self._answer.close()
        data = bytearray()
        while isinstance(message := self._next(), LineBytes):
            data += message.data
            self._asking.progress.advance(size=len(message.data))
        if not isinstance(message, Sound):
            raise _odd()
        self.bases = [Sha256(base) for base in message.bases]
        while isinstance(more := self._next(), Lacking):
            self.lacking += [_info(blob) for blob in more.blobs]
        self._ahead = more
        return bytes(data), message

    def contents(self) -> Iterator[Foreign | LargeOne]:
        """What is in it, plain frames before deltas. Nothing of it was decoded so far."""
        while (message := self._next()) is not None:
            if isinstance(message, Sealed):
                yield self._sealed(message)
            elif isinstance(message, Large):
                blob = message.blob
                yield LargeOne(_info(blob), self._parts(len(blob.parts)))
            elif isinstance(message, Tagged):
                self.tags = tuple(message.words)
            else:
                raise _odd()

    def _parts(self, count: int) -> Iterator[AdoptedPart]:
        for _ in range(count):
            message = self._next()
            if isinstance(message, Held):
                yield Sha256(message.sha256)
            elif isinstance(message, Sealed):
                yield self._sealed(message)
            else:
                raise _odd()

    def _sealed(self, sealed: Sealed) -> Foreign:
        record = bytearray()
        while len(record) < sealed.size:
            piece = self._next()
            if not isinstance(piece, Piece) or not piece.data:
                raise _odd()
            record += piece.data
        return Foreign(bytes(record), tuple(map(_row, sealed.blobs)))

    def _next(self) -> Message | None:
        if self._ahead is not None:
            message, self._ahead = self._ahead, None
            return message
        return next(self._messages, None)


@contextlib.contextmanager
def open_package(path: Path, scratch: Path, asking: Asking) -> Iterator[PackageReading]:
    """Raises BadPackageError with the reason; NoStoreError for a newer format, TrustError and its
    kin for the signature, OSError. `scratch` is a folder of ours: a copy lies there meanwhile.
    """
    with _private_copy(path, scratch) as (copy, size, opened), _pipe() as (theirs, answer):
        order = Order(
            path=str(copy),
            size=size,
            most=FREE + RATIO * size,
            signature=asking.signature,
            keys=asking.keys,
            now=asking.now,
            needs=asking.needs,
            known=theirs,
            whole=asking.whole,
        )
        limits = ReadLimits(
            memory=MEMORY + _MEMORY_SHARE * size, seconds=SECONDS + size // FOR_A_SECOND
        )
        try:
            with LimitedReader(MODULE, order, (theirs,), limits, what=f"{path.name}") as reader:
                messages = (msgspec.msgpack.decode(m, type=Message) for m in reader.messages())
                yield PackageReading(messages, asking, answer, opened)
        except BadPackageError as error:
            raise _named(path, error) from None


class _Answer:
    """The end of a pipe that is written to; it is closed once."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[int, _Answer]]:
    """The end that the child reads, and ours."""
    theirs, ours = os.pipe2(os.O_CLOEXEC)
    answer = _Answer(ours)
    try:
        yield theirs, answer
    finally:
        os.close(theirs)
        answer.close()


def is_package(path: Path) -> bool:
    """Whether a file is one by its name, or by how it begins. Raises OSError."""
    if path.name.endswith(SUFFIX):
        return True
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


@contextlib.contextmanager
def _private_copy(path: Path, scratch: Path) -> Iterator[tuple[Path, int, Callable[[], None]]]:
    """A copy that no other process can change, with its length; it is what is looked at. What comes
    with it takes its name away.
    """
    for beside in _BESIDE:
        if os.path.lexists(f"{path}{beside}"):
            raise BadPackageError(f"{path.name}{beside} lies beside it: it is being written")
    make_directories(scratch)
    name = temporary_name()
    with directory(scratch) as folder:
        source = _open(path)
        try:
            # open until it has no name: what a process has open, is not taken for left over
            target = fsio.create(name, folder)
            try:
                size = _copy(path, source, target)
                yield scratch / name, size, partial(discard, name, folder)
            finally:
                os.close(target)
        finally:
            os.close(source)
            discard(name, folder)


def _open(path: Path) -> int:
    fd = os.open(path, fsio.READ)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise BadPackageError(f"{path} is not a regular file")
    return fd


def _copy(path: Path, source: int, target: int) -> int:
    """How many bytes it has. Looks at how it begins, before anything is copied."""
    size = os.fstat(source).st_size
    if size > MAX_FILE:
        raise BadPackageError(f"{path} is larger than {MAX_FILE:,} bytes")
    try:
        check_header(os.pread(source, _HEADER, 0), size)
    except BadPackageError as error:
        raise _named(path, error) from None
    done = 0
    while data := os.read(source, _PIECE):
        done += len(data)
        if done > size:
            break
        fsio.write(target, data)
    if done != size:
        raise BadPackageError(f"{path} changed while it was read")
    return size


def check_header(header: bytes, size: int) -> None:
    """How the file of a package begins. Raises BadPackageError; NoStoreError for a newer one."""
    if len(header) < _HEADER or not header.startswith(MAGIC):
        raise BadPackageError("it is no package")
    pages, version = struct.unpack_from(">I", header, 28)[0], _number(header, 60)
    if _number(header, 68) != APPLICATION_ID:
        raise BadPackageError("it is a database of another kind, and no package")
    if version != USER_VERSION:
        raise NoStoreError(
            f"it is a package of format {version}, this release reads {USER_VERSION}",
            hint="use a newer release of epmstore",
        )
    if header[18:20] != b"\x01\x01":
        raise BadPackageError("it has a write-ahead log: it is being written")
    page = struct.unpack_from(">H", header, 16)[0]
    page = 65536 if page == 1 else page
    if page < 512 or page & (page - 1) or header[20] or _number(header, 56) != 1:
        raise BadPackageError("its header makes no sense")
    if page * pages != size:
        raise BadPackageError(f"it has {size:,} bytes, and says that it has {page * pages:,}")
    if _number(header, 36) or _number(header, 52):
        raise BadPackageError("it has pages that nothing is on")


def _number(header: bytes, offset: int) -> int:
    return int(struct.unpack_from(">I", header, offset)[0])


def _named(path: Path, error: BadPackageError) -> BadPackageError:
    if error.message.startswith(str(path)):
        return error
    return BadPackageError(
        f"{path.name}: {error.message}",
        hint="nothing was changed; ask its vendor for the package again",
        reason=error.message,
    )


def _odd() -> BadPackageError:
    return BadPackageError("it was read otherwise than it should be")


def _info(blob: Blob) -> BlobInfo:
    return BlobInfo(Digest(blob.sha1 or b""), Sha256(blob.sha256), blob.size)


def _row(blob: Blob) -> BlobRow:
    return BlobRow(
        None if blob.sha1 is None else Digest(blob.sha1),
        Sha256(blob.sha256),
        blob.size,
        NO_FRAME,
        blob.offset,
        blob.length,
        None if blob.base is None else Sha256(blob.base),
    )
