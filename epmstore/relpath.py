"""Paths relative to a root: what is allowed, how they sort, how they look in JSON.

A RelPath is a `str` as Python decodes file names (`surrogateescape`), so that every name Linux
allows survives; it is ordered by its bytes. Only the structural rules are here; the hygiene rules
for trees from other hosts belong to the code that imports such trees. Pure.
"""

import os
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import NewType
from urllib.parse import quote_from_bytes, unquote_to_bytes

from epmstore.errors import InvalidNameError

RelPath = NewType("RelPath", str)

NAME_MAX = 255
PATH_MAX = 4096
ESCAPE = "//"
STAGE_PREFIX = ".epm-"
"""Names that begin so, at the top of a root, are our own staging directories: never recorded."""
ROOT = RelPath(".")
"""The root itself, where a list of paths has to name it."""


_ENCODING = sys.getfilesystemencoding()


def parse_relpath(text: str) -> RelPath:
    """Raises InvalidNameError for what no tree holds: empty, absolute, `.`, `..`, too long; and for
    what is no name of anything.
    """
    raw = _raw(text)
    parts = raw.split(b"/")
    if len(raw) > PATH_MAX or any(p in (b"", b".", b"..") for p in parts):
        raise InvalidNameError(f"{text!r} is not a path below a root")
    if max(map(len, parts)) > NAME_MAX:
        raise InvalidNameError(f"{text!r} has a name of more than {NAME_MAX} bytes")
    return RelPath(text)


def is_relpath(text: str) -> bool:
    """Whether `parse_relpath` takes it."""
    try:
        parse_relpath(text)
    except InvalidNameError:
        return False
    return True


def are_plain_paths(texts: Sequence[str]) -> bool:
    """Whether `from_json` takes all of these, as they stand. It says so of what is plain, quickly;
    of names that are written with `ESCAPE`, and of all that is odd, it never does.
    """
    if not texts:
        return True
    try:
        raw = "\0".join(texts).encode()
    except UnicodeEncodeError:
        return False
    parts = raw.replace(b"/", b"\0")
    edged = b"\0%b\0" % parts
    return (
        raw.count(b"\0") == len(texts) - 1
        and not any(odd in edged for odd in (b"\0\0", b"\0.\0", b"\0..\0"))
        and max(map(len, parts.split(b"\0"))) <= NAME_MAX
        and max(map(len, raw.split(b"\0"))) <= PATH_MAX
    )


def to_bytes(path: str) -> bytes:
    return path.encode(_ENCODING, "surrogateescape")  # os.fsencode, in a third of its time


def from_bytes(raw: bytes) -> RelPath:
    """The inverse of `to_bytes`. Checks nothing: for bytes that were a RelPath before."""
    return RelPath(raw.decode(_ENCODING, "surrogateescape"))  # as `to_bytes`


def sort_paths(paths: Iterable[RelPath]) -> list[RelPath]:
    """In byte order, which for names that are UTF-8 is the order of the strings themselves."""
    found = list(paths)
    if all(map(is_utf8, found)):
        found.sort()
    else:
        found.sort(key=os.fsencode)
    return found


def split(path: str) -> tuple[str, str]:
    """(folder, name); the folder of a top-level name is the empty string."""
    folder, _, name = path.rpartition("/")
    return folder, name


def join(folder: str, name: str) -> RelPath:
    return RelPath(f"{folder}/{name}" if folder else name)


def parents(path: str) -> list[str]:
    """Every folder above `path`, topmost first, the root itself left out."""
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


def is_within(path: str, tops: Collection[str]) -> bool:
    """Whether a path is one of `tops` or below one."""
    return bool(tops) and (path in tops or any(above in tops for above in parents(path)))


def to_json(path: str) -> str:
    """A path as a JSON key: itself, or `//` and percent-encoded bytes if it is not UTF-8."""
    if path.isascii() or is_utf8(path):
        return path
    return ESCAPE + quote_from_bytes(os.fsencode(path), safe="/")


def from_json(text: str) -> RelPath:
    """The inverse of `to_json`. Raises InvalidNameError for what is not a path below a root."""
    if text.startswith(ESCAPE):
        return parse_relpath(os.fsdecode(unquote_to_bytes(text[len(ESCAPE) :])))
    return parse_relpath(text)


def from_json_or_root(text: str) -> RelPath:
    """As `from_json`, where a list of paths may name the root."""
    return ROOT if text == ROOT else from_json(text)


def text_to_json(text: str) -> str:
    """A symlink target or other name in JSON: like a path, but any text that Linux allows.

    A text that itself begins with `//` is encoded too, so that the form stays unambiguous.
    """
    if is_utf8(text) and not text.startswith(ESCAPE):
        return text
    return ESCAPE + quote_from_bytes(os.fsencode(text), safe="/")


def text_from_json(text: str) -> str:
    """The inverse of `text_to_json`. Raises InvalidNameError for what Linux has no name for."""
    if text.startswith(ESCAPE):
        text = os.fsdecode(unquote_to_bytes(text[len(ESCAPE) :]))
    _raw(text)
    return text


def _raw(text: str) -> bytes:
    try:
        raw = to_bytes(text)
    except UnicodeEncodeError:
        raw = b"\0"
    if b"\0" in raw:
        raise InvalidNameError(f"{text!r} is no name of anything")
    return raw


def is_utf8(text: str) -> bool:
    """Whether a name is text, without bytes that Python could not decode."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
