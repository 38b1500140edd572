"""Sealed frames that came from elsewhere, held to what is said of them. Pure.

A frame that comes from elsewhere becomes one of ours as it is, so it has to be one that this
program could have written: its seal is right, it is of a kind that holds contents, it comes apart
as its head says, and each row that is said to lie in it is one of these pieces, with the size and
both digests that the row has. Raises BadPackageError with the reason.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence

import msgspec

from epmstore import codec, seal
from epmstore.blobs import frames
from epmstore.blobs.pack import PART_THRESHOLD
from epmstore.digest import BlobInfo, Sha256, identify
from epmstore.errors import BadPackageError, DamagedError
from epmstore.pack_table import BlobRow, FrameRow
from epmstore.seal import RecordKind, Seal


class Foreign(msgspec.Struct, frozen=True):
    """A sealed frame, and the rows of what lies in it. `frame` of a row does not count."""

    record: bytes
    rows: tuple[BlobRow, ...]


def open_frame(record: bytes | memoryview) -> tuple[Seal, memoryview]:
    """The seal of one whole record that is a frame, and its body, not decoded."""
    with _foreign():
        found = seal.parse(record)
        body = memoryview(record)[found.body_offset :]
        if found.end != len(record):
            raise BadPackageError("a frame has bytes behind its end")
        seal.check(found, body)
    if found.kind not in frames.HELD:
        raise BadPackageError(f"a record of kind {found.kind.name} holds no contents")
    if found.number > frames.LARGEST:
        raise BadPackageError(f"a frame says that it comes to {found.number:,} bytes")
    return found, body


def frame_row(found: Seal) -> FrameRow:
    """What a table says of a frame at the start of its group."""
    return FrameRow(found.kind, 0, len(found.head), found.body_length, found.number)


def check_rows(found: Seal, rows: Sequence[BlobRow]) -> None:
    """Whether the rows are the pieces of the frame: all of them, and each once."""
    with _foreign():
        left = _pieces(found)
    for row in rows:
        if row.size > PART_THRESHOLD:
            raise BadPackageError(f"{row.sha256.hex()} is too large to lie in one frame")
        base = b"" if row.base is None else row.base[: frames.PREFIX]
        if left.pop((row.offset, row.length), None) != (row.size, base):
            raise BadPackageError(f"{row.sha256.hex()} is not where it is said to lie")
    if left:
        raise BadPackageError("a frame holds more than is said of it")


def read_rows(
    found: Seal,
    body: bytes | memoryview,
    rows: Sequence[BlobRow],
    base_of: Callable[[Sha256], bytes],
) -> Iterator[tuple[BlobRow, bytes]]:
    """Each content of a frame whose rows were checked, with its row; `base_of` gives the content
    that a delta was made against.
    """
    held = body
    if found.kind is not RecordKind.DELTA:
        with _foreign():
            held = memoryview(frames.plain_bytes(found, body))
    for row in rows:
        data = bytes(held[row.offset : row.offset + row.length])
        if row.base is not None:
            base = base_of(row.base)
            with _foreign():
                data = codec.decompress_delta(data, base, row.size)
        if not _is_right(row, data):
            raise BadPackageError(f"what is said to be {row.sha256.hex()} is another content")
        yield row, data


def _is_right(row: BlobRow, data: bytes) -> bool:
    if row.digest is None:
        return len(data) == row.size and hashlib.sha256(data).digest() == row.sha256
    return identify(data) == BlobInfo(row.digest, row.sha256, row.size)


@contextlib.contextmanager
def _foreign() -> Iterator[None]:
    """What is damaged is not ours."""
    try:
        yield
    except BadPackageError:
        raise
    except DamagedError as error:
        raise BadPackageError(error.message) from None


def _pieces(found: Seal) -> dict[tuple[int, int], tuple[int, bytes]]:
    """(offset, length) of each piece to its plain size, and the beginning of its base's digest."""
    if found.kind is RecordKind.DELTA:
        heads = frames.delta_heads(found)
        return {(one.offset, one.length): (one.size, one.base_prefix) for one in heads}
    if found.kind is RecordKind.PART and found.head:
        raise BadPackageError("a part is one piece")
    at, pieces = 0, {}
    for size in frames.blob_sizes(found) or [found.number]:
        pieces[at, size] = size, b""
        at += size
    return pieces
