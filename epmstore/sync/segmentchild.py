"""What examines segments from elsewhere: in a process of its own (epmstore/limited.py).

Every line is opened, decoded, and held against the chain from where the reader stands. What it says
is sound may be kept.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from epmstore.catalog.history import CatalogFile
from epmstore.catalog.model import START, CatalogPosition, VersionPart
from epmstore.limited import serve

OFTEN: Final = 1 << 16
"""Stored bytes between two words about how far it is."""


class SegmentOrder(msgspec.Struct, frozen=True):
    """A descriptor, and the byte from which on it has lines that follow `lines` others, the last of
    which has the digest `line`. After `through` lines, that of the last is to be `through_line`.
    """

    fd: int
    start: int
    lines: int
    line: str
    through: int = 0
    through_line: str = START.head


class SegmentVerdict(msgspec.Struct, frozen=True):
    """What the lines come to: how many there are now, the digest of the last, and the newest
    version that they have. `passed`: they go through what was to be gone through.
    """

    lines: int
    line: str
    version: int | None
    passed: bool = True


def examine_segment(order: SegmentOrder) -> Iterator[SegmentVerdict]:
    """What the lines come to so far, from time to time; the last is the verdict. Raises
    DamagedError for what does not follow, or is none; NoStoreError for a newer format.
    """
    behind = CatalogPosition(order.start, order.line, order.lines)
    version = None
    passed = order.through <= order.lines
    said = behind.length
    for found in CatalogFile(Path(f"/proc/self/fd/{order.fd}")).read(behind):
        behind = found.after
        if behind.seq == order.through:
            passed = behind.head == order.through_line
        if isinstance(found.record, VersionPart):
            version = found.record.header.version
        if behind.length - said > OFTEN:
            said = behind.length
            yield SegmentVerdict(behind.seq, behind.head, version, passed)
    yield SegmentVerdict(behind.seq, behind.head, version, passed)


def _read(setting: bytes) -> Iterator[object]:
    yield from examine_segment(msgspec.msgpack.decode(setting, type=SegmentOrder))


def main() -> None:
    serve(_read)
