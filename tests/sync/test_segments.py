"""How histories are cut; and what examines segments that come from elsewhere."""

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore.catalog.model import START
from epmstore.errors import DamagedError
from epmstore.limited import LimitedReader
from epmstore.sync.heads import SegmentRef
from epmstore.sync.segmentchild import SegmentOrder, SegmentVerdict, examine_segment
from epmstore.sync.segments import FULL, LineSpan, cut_runs, kept_segments
from tests.sync.writers import labels


@given(st.lists(st.integers(1, FULL // 2), max_size=200))
def test_histories_stay_in_few_segments_and_are_sent_a_few_times(pushes: list[int]) -> None:
    sizes: list[int] = []
    sent = 0
    for added in pushes:
        found = [SegmentRef(n, n, size, "") for n, size in enumerate(sizes)]
        kept = kept_segments(found, added)
        new = sum(sizes[kept:]) + added
        sizes[kept:] = [new]
        sent += new
        assert new <= FULL or kept == len(found)
    total = sum(sizes)
    assert total == sum(pushes)
    assert len(sizes) <= 2 * total // FULL + 30
    assert sent <= total * 30


def test_a_push_of_little_does_not_send_all_again() -> None:
    found = [SegmentRef(0, 9, 10_000_000, ""), SegmentRef(10, 11, 3000, "")]
    assert kept_segments(found, 1000) == 2
    assert kept_segments(found, 2000) == 1
    assert kept_segments(found, FULL) == 2


@given(st.lists(st.integers(1, FULL), max_size=20))
def test_runs_cover_all_and_none_is_too_large(lengths: list[int]) -> None:
    spans, at = [], 0
    for n, length in enumerate(lengths):
        spans.append(LineSpan(n, n, at, at + length))
        at += length
    runs = cut_runs(spans)
    assert [r.first for r in runs[1:]] == [r.last + 1 for r in runs[:-1]]
    assert sum(r.end - r.start for r in runs) == at
    assert all(r.end - r.start <= FULL for r in runs)


def test_a_record_that_is_larger_is_a_run_alone() -> None:
    spans = [
        LineSpan(0, 0, 0, 5),
        LineSpan(1, 9, 5, FULL + 9),
        LineSpan(10, 10, FULL + 9, FULL + 10),
    ]
    assert [(r.first, r.last) for r in cut_runs(spans)] == [(0, 0), (1, 9), (10, 10)]


def examined(path: Path, data: bytes, lines: int, line: str) -> SegmentVerdict:
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    try:
        return [*examine_segment(SegmentOrder(fd, 0, lines, line))][-1]
    finally:
        os.close(fd)


def test_lines_that_follow_are_sound(tmp_path: Path) -> None:
    first, middle = labels(3)
    second, end = labels(2, middle)
    found = examined(tmp_path / "s", first, 0, START.head)
    assert (found.lines, found.line) == (3, middle.head)
    found = examined(tmp_path / "s", second, 3, middle.head)
    assert (found.lines, found.line) == (5, end.head)
    found = examined(tmp_path / "s", first + second, 0, START.head)
    assert (found.lines, found.line, found.version) == (5, end.head, None)


def test_lines_that_do_not_follow_are_refused(tmp_path: Path) -> None:
    first, middle = labels(3)
    second, _ = labels(2, middle)
    for data, lines, line in (
        (second, 3, "0" * 64),
        (second, 2, middle.head),
        (first, 3, middle.head),
        (first[:-1], 0, START.head),
        (first[:200] + b"x" + first[201:], 0, START.head),
        (b"garbage" * 100, 0, START.head),
    ):
        with pytest.raises(DamagedError):
            examined(tmp_path / "s", data, lines, line)


def test_they_are_examined_in_a_process_of_its_own(tmp_path: Path) -> None:
    data, end = labels(3)
    (tmp_path / "s").write_bytes(data)
    with open(tmp_path / "s", "rb") as file:
        order = SegmentOrder(file.fileno(), 0, 0, START.head)
        with LimitedReader(
            "epmstore.sync.segmentchild", order, (file.fileno(),), what="a segment"
        ) as reader:
            [message] = reader.messages()
    assert msgspec.msgpack.decode(message, type=SegmentVerdict).line == end.head
