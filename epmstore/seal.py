"""The seal: a 64-byte header that lets every stored record vouch for itself.

Packs, pack logs, catalogs and journals are sequences of sealed records. A seal is a zstd skippable
frame, so that `zstdcat catalogs/crm.syscat.zst` prints the lines and skips what stands between
them. All numbers little-endian:

    offset  size
    0       4     0x184D2A5E, the magic of a zstd skippable frame
    4       4     n: bytes that follow in the skippable frame (56 + length of the head)
    8       4     "EPM1"
    12      1     kind (one letter, see Kind)
    13      3     zero
    16      8     length of the body: the stored bytes that follow the head
    24      8     number: the plain size of the body, or what the kind says
    32      32    SHA-256 over bytes 0..31, the head and the body
    64      n-56  head: what a reader needs to know before it decodes the body
    64+n-56       body

No byte of a record is outside its digest, so any flip is found before a byte is decoded. A record
that ends beyond the end of the file is torn (TornError); any other fault is damage (DamagedError).
"""

import hashlib
import struct
from enum import Enum

import msgspec

from epmstore.errors import DamagedError, TornError

SIZE = 64
MAGIC = 0x184D2A5E
MARK = b"EPM1"
MAX_HEAD = 1 << 24
_FIXED = struct.Struct("<II4sc3sQQ")


class RecordKind(bytes, Enum):
    """What a sealed record is. Letters are part of format 1; unknown ones are refused."""

    SOLID = b"S"
    """Many blobs in one zstd frame."""
    PART = b"P"
    """A piece of a large blob, one zstd frame."""
    DELTA = b"D"
    """Zstd frames, each against a base blob, one after another."""
    STORED = b"R"
    """Raw bytes: what does not compress."""
    FOOTER = b"F"
    """The table of what the frames before it hold."""
    TRAILER = b"T"
    """End of a pack; `number` is the offset of its footer."""
    LINE = b"L"
    """One line of a catalog or journal, a zstd frame of JSON with a newline."""


class Seal(msgspec.Struct, frozen=True, gc=False):
    """A record's header as found at `offset` of its file. Lengths in bytes."""

    offset: int
    kind: RecordKind
    head: bytes
    body_length: int
    number: int
    sha256: bytes

    @property
    def body_offset(self) -> int:
        return self.offset + SIZE + len(self.head)

    @property
    def end(self) -> int:
        return self.body_offset + self.body_length


def seal(kind: RecordKind, body: bytes | memoryview, *, number: int, head: bytes = b"") -> bytes:
    """The header and head to write before `body`."""
    fixed = _FIXED.pack(MAGIC, SIZE - 8 + len(head), MARK, kind.value, bytes(3), len(body), number)
    return fixed + _digest(fixed, head, body) + head


def parse(data: bytes | memoryview, offset: int = 0, *, base: int = 0) -> Seal:
    """The seal at `offset` of `data`; `base` is where `data` begins in its file.

    Checks everything that can be checked without the body. Raises TornError, DamagedError.
    """
    where = base + offset
    fixed = bytes(data[offset : offset + SIZE])
    if len(fixed) < SIZE:
        raise TornError(f"record at byte {where} ends early", offset=where)
    magic, follow, mark, letter, zero, length, number = _FIXED.unpack_from(fixed)
    if magic != MAGIC or mark != MARK or zero != bytes(3) or not 56 <= follow <= MAX_HEAD:
        raise DamagedError(f"no record at byte {where}", offset=where)
    try:
        kind = RecordKind(letter)
    except ValueError:
        raise DamagedError(f"record of unknown kind at byte {where}", offset=where) from None
    head = bytes(data[offset + SIZE : offset + 8 + follow])
    if len(head) < follow - 56:
        raise TornError(f"record at byte {where} ends early", offset=where)
    return Seal(where, kind, head, length, number, fixed[32:])


def check(found: Seal, body: bytes | memoryview) -> None:
    """Raises TornError if the body is short, DamagedError if any byte is not what was sealed."""
    if len(body) < found.body_length:
        raise TornError(f"record at byte {found.offset} ends early", offset=found.offset)
    fixed = _FIXED.pack(
        MAGIC, SIZE - 8 + len(found.head), MARK, found.kind.value, bytes(3), len(body), found.number
    )
    if _digest(fixed, found.head, body) != found.sha256:
        raise DamagedError(f"record at byte {found.offset} is damaged", offset=found.offset)


def read(data: bytes | memoryview, offset: int = 0, *, base: int = 0) -> tuple[Seal, bytes]:
    """The record at `offset` of `data`, checked whole. Raises TornError, DamagedError."""
    found = parse(data, offset, base=base)
    start = found.body_offset - base
    body = bytes(data[start : start + found.body_length])
    check(found, body)
    return found, body


def _digest(fixed: bytes, head: bytes, body: bytes | memoryview) -> bytes:
    digest = hashlib.sha256(fixed)
    digest.update(head)
    digest.update(body)
    return digest.digest()
