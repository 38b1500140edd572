"""The frames of packs and pack logs: what stands between a seal and the next. Pure.

Each kind is drawn in docs/formats/pack.md. The head of a frame says enough to take it apart when
the table at the end of its group is lost:

    solid    sizes of the blobs in it                   body: one zstd frame
    stored   the same; nothing, if it is a part         body: raw
    part     nothing                                    body: one zstd frame
    delta    of each: stored length, plain size,        body: zstd frames, one after another
             first 8 bytes of the base's SHA-256

Numbers in heads are LEB128 varints. Bytes are checked against their seal (epmstore/seal.py) before
they come here; what is refused here was written wrong.
"""

from collections.abc import Iterable, Sequence

import msgspec

from epmstore import codec
from epmstore.digest import Sha256
from epmstore.errors import DamagedError
from epmstore.seal import RecordKind, Seal, seal

FRAME_SIZE = 1 << 19
"""Plain bytes of a solid frame, about."""
PART_SIZE = 4 << 20
DELTA_BODY = 1 << 20
DELTA_COUNT = 256
LARGEST = 128 << 20
"""Plain bytes of a frame, at most: twice what the largest content has that is not in parts. More is
a bomb, and is not decoded.
"""
PREFIX = 8
PLAIN = frozenset({RecordKind.SOLID, RecordKind.STORED, RecordKind.PART})
HELD = PLAIN | {RecordKind.DELTA}
"""Kinds of frames that hold contents."""


class Frame(msgspec.Struct, frozen=True, gc=False):
    """A frame to be written. `number` is its plain size, or an offset if it is a trailer."""

    kind: RecordKind
    head: bytes
    body: bytes
    number: int

    def sealed(self) -> bytes:
        """The record as it stands in a file."""
        return self.sealed_head() + self.body

    def sealed_head(self) -> bytes:
        """What stands before the body in the record."""
        return seal(self.kind, self.body, number=self.number, head=self.head)


class Delta(msgspec.Struct, frozen=True, gc=False):
    """One delta to be written: a zstd frame that becomes `size` bytes with the base at hand."""

    base: Sha256
    frame: bytes
    size: int


class DeltaHead(msgspec.Struct, frozen=True, gc=False):
    """What the head of a delta frame says of one of them. `offset` and `length` are in the body."""

    offset: int
    length: int
    size: int
    base_prefix: bytes


def solid(blobs: Sequence[bytes]) -> Frame:
    """Contents in one zstd frame, or raw if that gains less than 3 %."""
    plain = blobs[0] if len(blobs) == 1 else b"".join(blobs)
    return _packed(RecordKind.SOLID, encode_varints(map(len, blobs)), plain)


def part(data: bytes) -> Frame:
    """A piece of a large blob."""
    return _packed(RecordKind.PART, b"", data)


def deltas(found: Sequence[Delta]) -> Frame:
    head = bytearray()
    for delta in found:
        head += encode_varints((len(delta.frame), delta.size)) + delta.base[:PREFIX]
    body = b"".join([delta.frame for delta in found])
    return Frame(RecordKind.DELTA, bytes(head), body, sum(delta.size for delta in found))


def trailer(footer: Seal) -> Frame:
    """The end of a pack. Repeats the digest of the footer, whose offset it names."""
    return Frame(RecordKind.TRAILER, footer.sha256, b"", footer.offset)


def plain_bytes(found: Seal, body: bytes | memoryview, wanted: int | None = None) -> bytes:
    """What a solid, part or stored frame holds, or at least the first `wanted` bytes of it. Raises
    DamagedError.
    """
    if found.number > LARGEST:
        raise _malformed(found)
    if found.kind is not RecordKind.STORED:
        if wanted is not None and wanted < found.number:
            return codec.decompress_head(body, found.number, wanted)
        return codec.decompress(body, found.number)
    if len(body) != found.number:
        raise _malformed(found)
    return bytes(body)


def blob_sizes(found: Seal) -> list[int]:
    """Of each blob in a solid or stored frame, in order; none if it is a part.

    Raises DamagedError.
    """
    sizes = decode_varints(found)
    if sizes and sum(sizes) != found.number:
        raise _malformed(found)
    return sizes


def delta_heads(found: Seal) -> list[DeltaHead]:
    """What lies in a delta frame, in order. Raises DamagedError."""
    heads = []
    at = offset = 0
    while at < len(found.head):
        length, at = _varint(found, at)
        size, at = _varint(found, at)
        prefix = found.head[at : at + PREFIX]
        at += PREFIX
        heads.append(DeltaHead(offset, length, size, prefix))
        offset += length
    if at != len(found.head) or offset != found.body_length:
        raise _malformed(found)
    return heads


def encode_varints(numbers: Iterable[int]) -> bytes:
    out = bytearray()
    for number in numbers:
        rest = number
        while rest > 0x7F:
            out.append(rest & 0x7F | 0x80)
            rest >>= 7
        out.append(rest)
    return bytes(out)


def decode_varints(found: Seal) -> list[int]:
    """The whole head as numbers. Raises DamagedError."""
    numbers = []
    at = 0
    while at < len(found.head):
        number, at = _varint(found, at)
        numbers.append(number)
    return numbers


def _varint(found: Seal, at: int) -> tuple[int, int]:
    number = shift = 0
    for index in range(at, min(at + 9, len(found.head))):
        byte = found.head[index]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, index + 1
        shift += 7
    raise _malformed(found)


def _packed(kind: RecordKind, head: bytes, plain: bytes) -> Frame:
    body = codec.compress_contents(plain)
    if len(body) * 100 > len(plain) * 97:
        return Frame(RecordKind.STORED, head, plain, len(plain))
    return Frame(kind, head, body, len(plain))


def _malformed(found: Seal) -> DamagedError:
    return DamagedError(
        f"frame at byte {found.offset} contradicts its own head", offset=found.offset
    )
