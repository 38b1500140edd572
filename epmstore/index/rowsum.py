"""Sums over rows of the index, so that a flipped bit in one is noticed when it is read. Pure.

SQLite keeps no checksum of its pages, and what is recorded next is computed from what the index
says is recorded now: an old entry that reads wrong would spoil the tree sum of the new version for
good. CRC-32 (as zlib has it) sees any flip within 32 neighbouring bits; more is not asked of it,
because the index can be made anew at any time. Sums of contents and entries, of which there are
many, are kept less 2^31: SQLite then takes 4 bytes and not 6.
"""

import struct
from collections.abc import Sequence
from typing import Any
from zlib import crc32

CONTENT_STEP = 1_000_003
"""What an entry's content row, as a number, counts for in its sum. It is odd, so that any other row
makes another sum.
"""
_SIGN = 1 << 31
_MASK = (1 << 32) - 1
SUM_WITH_CONTENT = f"((sum + {CONTENT_STEP} * coalesce(content, 0) + {_SIGN}) & {_MASK}) - {_SIGN}"
"""SQL: the sum of an entry that has been summed without its content."""
_NUMBER = struct.Struct("<q")
_NO_TIME = -(1 << 63)


def content_sum(sha1: bytes | None, sha256: bytes, size: int) -> int:
    """Of a content's row."""
    return crc32(sha256, crc32(sha1 or b"", crc32(_NUMBER.pack(size)))) - _SIGN


def meta_sum(form: bytes) -> int:
    """Of what entries share."""
    return crc32(form)


def entry_sum(path: bytes, shared: int, mtime: int | None, content: int | None) -> int:
    """Of an entry's row: its path, the `meta_sum`, the time in ns and the row of its content."""
    at = crc32(path, crc32(_NUMBER.pack(_NO_TIME if mtime is None else mtime), shared))
    return ((at + CONTENT_STEP * (content or 0)) & _MASK) - _SIGN


def record_sum(kind: str, version: int | None, form: bytes) -> int:
    """Of a record's row."""
    return crc32(
        form, crc32(kind.encode(), crc32(_NUMBER.pack(-1 if version is None else version)))
    )


def is_sound_record(fields: Sequence[Any], total: Any) -> bool:
    """Whether a record's row (type, version, form) says what it said; see `is_sound`."""
    try:
        return bool(total == record_sum(*fields))
    except (TypeError, AttributeError, struct.error):
        return False


def is_sound(
    path: bytes, shared: int, mtime: Any, content: Any, total: Any, blob: Sequence[Any]
) -> bool:
    """Whether an entry's row, and the row of its content (sha1, sha256, size, sum), say what they
    said when they were written. Values may be of any type: damage changes types as well.
    """
    sha1, sha256, size, known = blob
    try:
        if total != entry_sum(path, shared, mtime, content):
            return False
        return content is None or bool(known == content_sum(sha1, sha256, size))
    except (TypeError, struct.error):
        return False
