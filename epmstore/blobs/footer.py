"""The footer of a group: its table as JSON, in columns. Pure.

Drawn in docs/formats/pack.md. Digests stand one after another in one string of hexadecimal digits,
which zstd brings down to the size of the raw bytes and which decodes in one call. A part has no
address: its place in `digest` is zeros. Keys that a reader does not know are left alone.
"""

from collections.abc import Sequence

import msgspec

from epmstore import codec
from epmstore.blobs.frames import HELD, Frame
from epmstore.digest import Digest, Sha256
from epmstore.errors import DamagedError
from epmstore.pack_table import NO_FRAME, BlobRow, FrameRow, GroupTable
from epmstore.seal import SIZE, RecordKind, Seal

FORMAT = 1
LIMIT = 1 << 30
"""Plain bytes of the largest table that is read."""
_NO_DIGEST = bytes(20)


class _Frames(msgspec.Struct, frozen=True):
    kind: str
    offset: list[int]
    head: list[int]
    body: list[int]
    plain: list[int]


class _Blobs(msgspec.Struct, frozen=True):
    digest: str
    sha256: str
    size: list[int]
    frame: list[int]
    offset: list[int]
    length: list[int]


class _Table(msgspec.Struct, frozen=True):
    format: int
    frames: _Frames
    blobs: _Blobs
    base: dict[int, str] = {}
    parts: dict[int, str] = {}


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Table)


def encode(frames: Sequence[FrameRow], blobs: Sequence[BlobRow]) -> Frame:
    """The frame that ends a group."""
    plain = _encoder.encode(_columns(frames, blobs))
    return Frame(RecordKind.FOOTER, b"", codec.compress(plain), len(plain))


def decode(found: Seal, body: bytes | memoryview) -> GroupTable:
    """The table in a checked footer; its group ends with the footer's last byte.

    Raises DamagedError if the table contradicts itself or is of a format not known.
    """
    if found.number > LIMIT:
        raise _malformed(found, f"is larger than {LIMIT} bytes")
    try:
        table = _decoder.decode(codec.decompress(body, found.number))
        if table.format != FORMAT:
            raise _malformed(found, f"is of format {table.format}")
        frames, blobs = _frame_rows(table.frames), _blob_rows(table)
        end = _end_of_frames(frames)
        _check_blobs(frames, blobs)
    except (ValueError, RecursionError) as error:
        raise _malformed(found, f"cannot be read: {error}") from None
    return GroupTable(frames, blobs, end + SIZE + len(found.head) + found.body_length)


def frame_end(frame: FrameRow) -> int:
    """Where the next record begins, from the start of the group."""
    return frame.offset + SIZE + frame.head_length + frame.body_length


def _columns(frames: Sequence[FrameRow], blobs: Sequence[BlobRow]) -> _Table:
    return _Table(
        FORMAT,
        _Frames(
            "".join([frame.kind.decode() for frame in frames]),
            [frame.offset for frame in frames],
            [frame.head_length for frame in frames],
            [frame.body_length for frame in frames],
            [frame.plain_size for frame in frames],
        ),
        _Blobs(
            b"".join([row.digest or _NO_DIGEST for row in blobs]).hex(),
            b"".join([row.sha256 for row in blobs]).hex(),
            [row.size for row in blobs],
            [row.frame for row in blobs],
            [row.offset for row in blobs],
            [row.length for row in blobs],
        ),
        {n: row.base.hex() for n, row in enumerate(blobs) if row.base is not None},
        {n: b"".join(row.parts).hex() for n, row in enumerate(blobs) if row.frame == NO_FRAME},
    )


def _frame_rows(columns: _Frames) -> tuple[FrameRow, ...]:
    rows = zip(columns.kind, columns.offset, columns.head, columns.body, columns.plain, strict=True)
    return tuple(FrameRow(RecordKind(kind.encode()), *numbers) for kind, *numbers in rows)


def _blob_rows(table: _Table) -> tuple[BlobRow, ...]:
    columns = table.blobs
    bases = {n: Sha256(_exactly(text, 32)) for n, text in table.base.items()}
    parts = {n: tuple(map(Sha256, _pieces(text, 32))) for n, text in table.parts.items()}
    rows = zip(
        _pieces(columns.digest, 20),
        map(Sha256, _pieces(columns.sha256, 32)),
        columns.size,
        columns.frame,
        columns.offset,
        columns.length,
        strict=True,
    )
    return tuple(
        BlobRow(
            None if digest == _NO_DIGEST else Digest(digest),
            sha256,
            size,
            frame,
            offset,
            length,
            bases.get(n),
            parts.get(n, ()),
        )
        for n, (digest, sha256, size, frame, offset, length) in enumerate(rows)
    )


def _pieces(text: str, size: int) -> list[bytes]:
    raw = bytes.fromhex(text)
    if len(raw) % size:
        raise ValueError("a digest is cut short")
    return [raw[at : at + size] for at in range(0, len(raw), size)]


def _exactly(text: str, size: int) -> bytes:
    (only,) = _pieces(text, size)
    return only


def _end_of_frames(frames: Sequence[FrameRow]) -> int:
    end = 0
    for frame in frames:
        if frame.kind not in HELD:
            raise ValueError("a frame is of no kind that holds contents")
        if frame.offset != end or min(frame.head_length, frame.body_length, frame.plain_size) < 0:
            raise ValueError("frames are not one after another")
        end = frame_end(frame)
    return end


def _check_blobs(frames: Sequence[FrameRow], blobs: Sequence[BlobRow]) -> None:
    for row in blobs:
        if row.frame == NO_FRAME:
            continue
        if not 0 <= row.frame < len(frames) or row.offset < 0 or row.length < 0 or row.size < 0:
            raise ValueError("a blob lies nowhere")
        frame = frames[row.frame]
        is_delta = frame.kind is RecordKind.DELTA
        room = frame.body_length if is_delta else frame.plain_size
        if row.offset + row.length > room or is_delta != (row.base is not None):
            raise ValueError("a blob does not fit its frame")
        if not is_delta and row.length != row.size:
            raise ValueError("a blob has two sizes")


def _malformed(found: Seal, what: str) -> DamagedError:
    return DamagedError(
        f"table at byte {found.offset} {what}",
        hint="run `epmstore fsck`",
        offset=found.offset,
    )
