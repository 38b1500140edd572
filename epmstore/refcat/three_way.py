"""Three versions of a text become one: what both sides made of their common base. Pure.

By lines. A stretch that only one side changed is that side's, one that both changed alike is
theirs; anything else is a conflict, and so are changes of neighbouring lines. Texts whose line ends
are CRLF in all lines are compared without, and what comes of it has the line ends of `mine`.

Only text: what has a NUL is none. Only small files: lines that repeat cost the square of their
number.
"""

import difflib
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

MAX_BYTES: Final = 512 << 10
MAX_LINES: Final = 4000
"""Of each of the three; what has more is not merged."""
_MARKS: Final = (b"<<<<<<< ", b"=======", b">>>>>>> ")
"""How lines begin that say where a conflict is."""


class Stretch(msgspec.Struct, frozen=True):
    """Lines of the three texts that belong together; `merged` is what comes of them, None for a
    conflict.
    """

    base: tuple[bytes, ...]
    mine: tuple[bytes, ...]
    theirs: tuple[bytes, ...]
    merged: tuple[bytes, ...] | None


class MergedText(msgspec.Struct, frozen=True):
    """What came of it. `ends` are the line ends: empty where lines have their own."""

    stretches: tuple[Stretch, ...]
    ends: bytes

    @property
    def conflicts(self) -> int:
        return sum(one.merged is None for one in self.stretches)

    @property
    def content(self) -> bytes | None:
        """None if there are conflicts."""
        if self.conflicts:
            return None
        lines = (line for one in self.stretches for line in one.merged or ())
        return b"".join(self._ended(lines))

    def marked(self, mine: str, theirs: str) -> bytes:
        """With both sides of each conflict, between lines that say which is which."""
        first, middle, last = _MARKS
        lines: list[bytes] = []
        for one in self.stretches:
            if one.merged is not None:
                lines += one.merged
                continue
            lines += [first + mine.encode() + b"\n", *map(_whole, one.mine), middle + b"\n"]
            lines += [*map(_whole, one.theirs), last + theirs.encode() + b"\n"]
        return b"".join(self._ended(lines))

    def _ended(self, lines: Iterator[bytes] | list[bytes]) -> Iterator[bytes]:
        for line in lines:
            is_whole = self.ends and line.endswith(b"\n")
            yield line[:-1] + self.ends if is_whole else line


def why_not_merged(*texts: bytes) -> str | None:
    """Why texts are not merged; None if they can be."""
    if any(b"\0" in text for text in texts):
        return "it is no text"
    if any(len(text) > MAX_BYTES or text.count(b"\n") > MAX_LINES for text in texts):
        return f"it has more than {MAX_LINES:,} lines or {MAX_BYTES >> 10} KiB"
    return None


def has_marks(text: bytes) -> bool:
    """Whether a line says where a conflict is."""
    return any(line.startswith((_MARKS[0], _MARKS[2])) for line in text.split(b"\n"))


def merge_texts(base: bytes, mine: bytes, theirs: bytes) -> MergedText:
    """The caller has asked `why_not_merged`."""
    ends = b"\r\n" if _is_crlf(mine) else b""
    one, two, three = (_lines(_plain(text)) for text in (base, mine, theirs))
    return MergedText(tuple(_stretches(one, two, three)), ends)


def _stretches(
    base: Sequence[bytes], mine: Sequence[bytes], theirs: Sequence[bytes]
) -> Iterator[Stretch]:
    """Between lines of the base that both sides still have."""
    in_mine, in_theirs = _places(base, mine), _places(base, theirs)
    at = (0, 0, 0)
    for n in range(len(base) + 1):
        here = (len(base), len(mine), len(theirs))
        if n < len(base):
            if n not in in_mine or n not in in_theirs:
                continue
            here = (n, in_mine[n], in_theirs[n])
        if at != here:
            yield _stretch(
                tuple(base[at[0] : here[0]]),
                tuple(mine[at[1] : here[1]]),
                tuple(theirs[at[2] : here[2]]),
            )
        if n < len(base):
            yield Stretch((base[n],), (base[n],), (base[n],), (base[n],))
        at = (here[0] + 1, here[1] + 1, here[2] + 1)


def _stretch(
    base: tuple[bytes, ...], mine: tuple[bytes, ...], theirs: tuple[bytes, ...]
) -> Stretch:
    merged = None
    if mine in (base, theirs):
        merged = theirs
    elif theirs == base:
        merged = mine
    return Stretch(base, mine, theirs, merged)


def _places(base: Sequence[bytes], side: Sequence[bytes]) -> dict[int, int]:
    """Lines of the base to where they are on one side."""
    blocks = difflib.SequenceMatcher(None, base, side, autojunk=False).get_matching_blocks()
    return {block.a + n: block.b + n for block in blocks for n in range(block.size)}


def _lines(text: bytes) -> list[bytes]:
    """With their ends, which are newlines and nothing else."""
    found = [line + b"\n" for line in text.split(b"\n")]
    last = found.pop()[:-1]
    return [*found, last] if last else found


def _is_crlf(text: bytes) -> bool:
    return b"\n" in text and text.count(b"\n") == text.count(b"\r\n")


def _plain(text: bytes) -> bytes:
    return text.replace(b"\r\n", b"\n") if _is_crlf(text) else text


def _whole(line: bytes) -> bytes:
    return line if line.endswith(b"\n") else line + b"\n"
