"""The experimental difference of programs gives back what went in."""

import random

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.aligned import BLOCK, NONE, add, align, restore, subtract

BYTES = st.binary(max_size=3 * BLOCK)


@given(old=st.binary(max_size=9000), data=st.data())
def test_align_and_restore_round_trip(old: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(old)))
    new = old[:cut] + data.draw(BYTES) + old[cut + data.draw(st.integers(0, 50)) :]
    assert restore(old, align(old, new), len(new)) == new


@given(one=BYTES, two=BYTES)
def test_subtracting_is_undone_by_adding(one: bytes, two: bytes) -> None:
    size = min(len(one), len(two))
    one, two = one[:size], two[:size]
    assert subtract(one, two) == bytes((a - b) % 256 for a, b in zip(one, two, strict=True))
    assert add(subtract(one, two), two) == one


def test_align_leaves_only_zeros_of_moved_bytes() -> None:
    old = random.Random(1).randbytes(1 << 15)
    made = align(old, b"inserted" + old)
    assert {*made.shifts} == {-8, NONE}
    assert made.shifts.count(NONE) == 1
    assert made.literals == (b"inserted" + old)[:BLOCK]
    assert made.difference.strip(b"\0") == b""
