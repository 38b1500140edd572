"""How a history is cut into segments: pure, and the same on every host that has it.

A segment is an immutable run of sealed lines, as they lie in the catalog, and ends where a record
does. Small ones are joined: a new one takes with it those at the end that are not at least twice as
large as what follows them. So there are few of them, each byte is sent a handful of times in its
life, and what a reader has already of an older head is a beginning of what the newer one says.
Pure.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from epmstore.sync.heads import SegmentRef

FULL: Final = 16 << 20
"""Bytes beyond which a segment is not joined with another, and a new one is begun."""


class LineSpan(msgspec.Struct, frozen=True, gc=False):
    """One record in a catalog: its first and last line, and the bytes that it lies at."""

    first: int
    last: int
    start: int
    end: int


class SegmentRun(msgspec.Struct, frozen=True):
    """Lines, and the bytes of the catalog, that become one segment."""

    first: int
    last: int
    start: int
    end: int


def kept_segments(segments: Sequence[SegmentRef], added: int) -> int:
    """How many of the segments there are stay when so many bytes follow them."""
    count, behind = len(segments), added
    while count and segments[count - 1].size < 2 * behind:
        if segments[count - 1].size + behind > FULL:
            break
        behind += segments[count - 1].size
        count -= 1
    return count


def cut_runs(spans: Sequence[LineSpan]) -> list[SegmentRun]:
    """Records that follow each other, as runs of at most FULL bytes; a larger one is alone."""
    runs: list[SegmentRun] = []
    for span in spans:
        if runs and span.end - runs[-1].start <= FULL:
            runs[-1] = SegmentRun(runs[-1].first, span.last, runs[-1].start, span.end)
        else:
            runs.append(SegmentRun(span.first, span.last, span.start, span.end))
    return runs
