"""What examines segments from elsewhere: in a process of its own (epmstore/limited.py).

Every line is opened, decoded, and held against the chain from where the reader stands. What it says
is sound may be kept.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from epmstore.catalog.history import CatalogFile
from epmstore.catalog.model import CatalogPosition, VersionPart
from epmstore.limited import serve


class SegmentOrder(msgspec.Struct, frozen=True):
    """A descriptor of lines that follow `lines` others, the last of which has the digest `line`."""

    fd: int
    lines: int
    line: str


class SegmentVerdict(msgspec.Struct, frozen=True):
    """What the lines come to: how many there are now, the digest of the last, the newest version
    that they have, and its time.
    """

    lines: int
    line: str
    version: int | None
    time: str | None


def examine_segment(order: SegmentOrder) -> SegmentVerdict:
    """Raises DamagedError for what does not follow, or is none; NoStoreError for a newer format."""
    start = CatalogPosition(0, order.line, order.lines)
    behind, version, time = start, None, None
    for found in CatalogFile(Path(f"/proc/self/fd/{order.fd}")).read(start):
        behind = found.after
        if isinstance(found.record, VersionPart):
            version, time = found.record.header.version, found.record.header.time
    return SegmentVerdict(behind.seq, behind.head, version, time)


def _read(setting: bytes) -> Iterator[object]:
    yield examine_segment(msgspec.msgpack.decode(setting, type=SegmentOrder))


def main() -> None:
    serve(_read)
