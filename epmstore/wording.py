"""Names, counts and sizes in what people read. Pure.

A file name is data of the user who made the file: no control character, no unprintable one and no
byte that is not UTF-8 gets through to a terminal or a page; such a name is shown as `$'a\\nb'`,
which a shell reads back as that very name.
"""

import os

SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\x1b": "\\e", "\\": "\\\\", "'": "\\'"}


UNITS = ("kB", "MB", "GB", "TB")


def name(text: str) -> str:
    """A file name for people: itself, or quoted as a shell does it."""
    if text.isprintable() and text:
        return text
    return f"$'{''.join(map(_escape, text))}'"


def _escape(letter: str) -> str:
    if letter in SHORT:
        return SHORT[letter]
    if letter.isprintable():
        return letter
    try:
        raw = os.fsencode(letter)
    except UnicodeEncodeError:  # half of a letter, out of foreign JSON
        raw = letter.encode("utf-8", "surrogatepass")
    return "".join(f"\\{byte:03o}" for byte in raw)


def safe_text(text: str) -> str:
    """A message for people: line ends and tabs stay, other unprintable characters are escaped."""
    return "".join(c if c.isprintable() or c in "\n\t" else _escape(c) for c in text)


def one_line(text: str) -> str:
    """A message in which no label or file name breaks the line."""
    return safe_text(text).replace("\n", "\\n")


def size(count: int) -> str:
    """`1.2 MB`, in powers of ten; below 1000 exact."""
    if abs(count) < 1000:
        return f"{count} B"
    value, power = count / 1000, 0
    while abs(value) >= 999.95 and power < len(UNITS) - 1:
        value, power = value / 1000, power + 1
    return f"{value:.1f} {UNITS[power]}"


def number(count: int) -> str:
    """`78,600`"""
    return f"{count:,}"


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 file`, `2,120 files`"""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
