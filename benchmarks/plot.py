"""Horizontal bars with whiskers, as SVG text. Values in, text out."""

from html import escape
from typing import NamedTuple

WIDTH, LABEL, BAR, GAP, TOP = 720, 120, 18, 8, 34
ROOM = WIDTH - LABEL - 110
OURS, OTHERS, INK = "#0b6e4f", "#9aa5b1", "#333"


class Bar(NamedTuple):
    """One row; `least` and `most` are the ends of its whisker."""

    label: str
    value: float
    least: float
    most: float
    text: str
    ours: bool = False


def bars(title: str, rows: list[Bar]) -> str:
    """A chart with zero at the left, rows in the order given."""
    scale = ROOM / max((row.most for row in rows), default=1.0)
    height = TOP + len(rows) * (BAR + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13" fill="{INK}">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="8" y="20" font-weight="bold">{escape(title)}</text>',
    ]
    for number, row in enumerate(rows):
        y = TOP + number * (BAR + GAP)
        middle, base = y + BAR / 2, y + BAR - 5
        left, right = LABEL + row.least * scale, LABEL + row.most * scale
        parts += [
            f'<text x="{LABEL - 8}" y="{base}" text-anchor="end">{escape(row.label)}</text>',
            f'<rect x="{LABEL}" y="{y}" width="{max(row.value * scale, 1):.1f}" height="{BAR}" '
            f'fill="{OURS if row.ours else OTHERS}"/>',
            f'<path d="M{left:.1f} {middle}H{right:.1f}" stroke="{INK}"/>',
            f'<text x="{right + 8:.1f}" y="{base}">{escape(row.text)}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])
