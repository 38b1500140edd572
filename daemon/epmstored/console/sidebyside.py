"""Two texts side by side, as rows: bounded, whatever the texts are. Pure."""

import difflib
from collections.abc import Iterator, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from epmstore.wording import safe_text

LARGEST: Final = 1 << 19
"""Bytes of a content beyond which only the fact is shown."""
PROBE: Final = 8000
"""Bytes in which a NUL says that this is no text."""
LINES: Final = 2500
"""More lines than so many, between the first and the last that differ, are not compared."""
WIDEST: Final = 300
ROWS: Final = 600
CONTEXT: Final = 3
SideKind: TypeAlias = Literal["same", "changed", "added", "removed", "gap"]


class SideRow(msgspec.Struct, frozen=True):
    """One row: number and text of the line on each side, where there is one. `gap` is lines that
    are the same and are left out, so many as `old_text` says.
    """

    kind: SideKind
    old_number: int | None = None
    old_text: str = ""
    new_number: int | None = None
    new_text: str = ""


class SideBySide(msgspec.Struct, frozen=True, kw_only=True):
    """`why_not` says why there are no rows; `left_out` how many rows are not shown."""

    rows: tuple[SideRow, ...] = ()
    left_out: int = 0
    why_not: str | None = None


def side_by_side(old: bytes, new: bytes) -> SideBySide:
    """What differs, with a few lines around it."""
    if b"\0" in old[:PROBE] or b"\0" in new[:PROBE]:
        return SideBySide(why_not="these are no texts")
    one, two = _lines(old), _lines(new)
    head, tail = _same_ends(one, two)
    middle = (one[head : len(one) - tail], two[head : len(two) - tail])
    if max(map(len, middle)) > LINES:
        return SideBySide(
            why_not=f"more than {LINES:,} lines lie between the first difference and the last one"
        )
    rows = list(_rows(one, two, _blocks(*middle, head, len(one) - tail, len(two) - tail)))
    return SideBySide(rows=tuple(rows[:ROWS]), left_out=max(0, len(rows) - ROWS))


_Block: TypeAlias = tuple[str, int, int, int, int]


def _blocks(
    one: Sequence[str], two: Sequence[str], head: int, one_end: int, two_end: int
) -> list[_Block]:
    """As difflib has them, for the whole texts."""
    found: list[_Block] = [("equal", 0, head, 0, head)]
    for tag, a, b, c, d in difflib.SequenceMatcher(None, one, two).get_opcodes():
        found.append((tag, a + head, b + head, c + head, d + head))
    return [*found, ("equal", one_end, one_end + (1 << 30), two_end, two_end + (1 << 30))]


def _rows(one: Sequence[str], two: Sequence[str], blocks: Sequence[_Block]) -> Iterator[SideRow]:
    last = len(blocks) - 1
    for at, (tag, a, b, c, d) in enumerate(blocks):
        if tag != "equal":
            yield from _changed(one, two, a, b, c, d)
            continue
        count = min(b, len(one)) - a
        before = CONTEXT if at else 0
        behind = CONTEXT if at < last else 0
        if count <= before + behind + 1:
            yield from (_same(one, two, a + n, c + n) for n in range(count))
            continue
        yield from (_same(one, two, a + n, c + n) for n in range(before))
        yield SideRow("gap", old_text=f"{count - before - behind:,}")
        yield from (_same(one, two, a + n, c + n) for n in range(count - behind, count))


def _same(one: Sequence[str], two: Sequence[str], a: int, c: int) -> SideRow:
    return SideRow("same", a + 1, _shown(one[a]), c + 1, _shown(two[c]))


def _changed(
    one: Sequence[str], two: Sequence[str], a: int, b: int, c: int, d: int
) -> Iterator[SideRow]:
    for n in range(max(b - a, d - c)):
        is_old, is_new = a + n < b, c + n < d
        kind: SideKind = "changed" if is_old and is_new else "removed" if is_old else "added"
        yield SideRow(
            kind,
            a + n + 1 if is_old else None,
            _shown(one[a + n]) if is_old else "",
            c + n + 1 if is_new else None,
            _shown(two[c + n]) if is_new else "",
        )


def _same_ends(one: Sequence[str], two: Sequence[str]) -> tuple[int, int]:
    """How many lines are the same at the beginning, and how many of the others at the end."""
    least = min(len(one), len(two))
    head = next((n for n in range(least) if one[n] != two[n]), least)
    tail = next((n for n in range(least - head) if one[-1 - n] != two[-1 - n]), least - head)
    return head, tail


def _lines(data: bytes) -> list[str]:
    """A last line that does not end has a mark, so that it differs from one that does."""
    *lines, last = data.decode("utf-8", "surrogateescape").split("\n")
    return [*lines, f"{last} (no newline at the end)"] if last else lines


def _shown(line: str) -> str:
    text = safe_text(line[: WIDEST + 1].rstrip("\r").expandtabs(4))
    return text if len(line) <= WIDEST else f"{text[:WIDEST]}\N{HORIZONTAL ELLIPSIS}"
