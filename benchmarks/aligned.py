"""A difference of two builds of a program: aligned, subtracted, then compressed. An experiment.

Where code moves, most of its bytes stay, but every address in it changes by the same small number.
zstd finds what is between the addresses and pays for each gap. So: for each block of the new
content, the shift is found at which the old content has most of the same bytes; what is stored is
the difference byte by byte, which is nearly all zeros and, where it is not, repeats itself. bsdiff
does the same with a suffix array, to the byte, at ten times the cost.

Pure Python: the loop is over blocks, and the work on bytes is done by whole numbers of many digits.
"""

import array
from collections import Counter
from typing import NamedTuple

from epmstore import codec

BLOCK = 128
SAMPLE = 16
"""Bytes that must be the same for a shift to be tried."""
ACCEPT, GIVE_UP = 0.75, 0.5
"""Shares of a block: the shift of the block before is kept from the one on, none is used below the
other.
"""
SPAN = 1 << 12
PART = 4 << 20
MARGIN = 1 << 20
"""Old bytes on either side of where a part was, that it is looked for in."""
NONE = -(1 << 31)


class Aligned(NamedTuple):
    """Blocks that have a shift, less what is there; blocks that have none; shifts (NONE: none)."""

    difference: bytes
    literals: bytes
    shifts: list[int]

    def stored_bytes(self, old: bytes) -> int:
        """Of three frames: that of the literals leans on the old content."""
        shifts = array.array("i", self.shifts).tobytes()
        literals = codec.compress_delta(self.literals, old) if self.literals else b""
        return len(codec.compress(self.difference, 9)) + len(literals) + len(codec.compress(shifts))


def align(old: bytes, new: bytes) -> Aligned:
    known = {old[at : at + SAMPLE]: at for at in range(0, len(old) - SAMPLE + 1, SAMPLE)}
    ours, theirs, literals = [], [], []
    shifts: list[int] = []
    shift = 0
    for at in range(0, len(new), BLOCK):
        block = new[at : at + BLOCK]
        same = _same(block, _under(old, at + shift, len(block)))
        if same < ACCEPT * len(block):
            for other in _candidates(known, block, at):
                found = _same(block, _under(old, at + other, len(block)))
                if found > same:
                    same, shift = found, other
        if same < GIVE_UP * len(block):
            literals.append(block)
            shifts.append(NONE)
            continue
        ours.append(block)
        theirs.append(_under(old, at + shift, len(block)))
        shifts.append(shift)
    return Aligned(subtract(b"".join(ours), b"".join(theirs)), b"".join(literals), shifts)


def restore(old: bytes, made: Aligned, size: int) -> bytes:
    """The inverse of `align`."""
    lengths = [min(BLOCK, size - at) for at in range(0, size, BLOCK)]
    places = list(zip(range(0, size, BLOCK), lengths, made.shifts, strict=True))
    theirs = b"".join(_under(old, at + s, length) for at, length, s in places if s != NONE)
    plain, literal = memoryview(add(made.difference, theirs)), memoryview(made.literals)
    pieces = []
    for _, length, shift in places:
        source = literal if shift == NONE else plain
        pieces.append(source[:length])
        if shift == NONE:
            literal = literal[length:]
        else:
            plain = plain[length:]
    return b"".join(pieces)


def subtract(one: bytes, two: bytes) -> bytes:
    """Byte by byte, modulo 256."""
    return b"".join(_apart(one[n : n + SPAN], two[n : n + SPAN]) for n in range(0, len(one), SPAN))


def add(one: bytes, two: bytes) -> bytes:
    """Byte by byte, modulo 256."""
    zeros = bytes(SPAN)
    return subtract(one, subtract(zeros * (len(two) // SPAN + 1), two))


def _apart(one: bytes, two: bytes) -> bytes:
    """The borrows of one byte are kept from the next: its highest bit is done apart."""
    size = len(one)
    a, b = int.from_bytes(one, "little"), int.from_bytes(two, "little")
    high = int.from_bytes(b"\x80" * size, "little")
    low = int.from_bytes(b"\x7f" * size, "little")
    return (((a | high) - (b & low)) ^ ((a ^ b ^ high) & high)).to_bytes(size, "little")


def _under(old: bytes, at: int, size: int) -> bytes:
    """Empty, if there is not as much."""
    found = old[at : at + size] if at >= 0 else b""
    return found if len(found) == size else b""


def _same(block: bytes, other: bytes) -> int:
    """Bytes that are equal, -1 for none to compare with."""
    if not other:
        return -1
    both = int.from_bytes(block, "little") ^ int.from_bytes(other, "little")
    return both.to_bytes(len(block), "little").count(0)


def _candidates(known: dict[bytes, int], block: bytes, at: int) -> list[int]:
    votes: Counter[int] = Counter()
    for n in range(len(block) - SAMPLE + 1):
        place = known.get(block[n : n + SAMPLE])
        if place is not None:
            votes[place - n - at] += 1
    return [shift for shift, _ in votes.most_common(3)]


def stored_bytes(old: bytes, new: bytes) -> int:
    """Part by part, so that memory is bounded; each is restored and compared."""
    total = 0
    for at in range(0, len(new), PART):
        base, part = old[max(0, at - MARGIN) : at + PART + MARGIN], new[at : at + PART]
        made = align(base, part)
        assert restore(base, made, len(part)) == part
        total += made.stored_bytes(base)
    return total
