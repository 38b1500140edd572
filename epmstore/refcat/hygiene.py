"""What is asked of names and trees that come from elsewhere. Pure.

A catalog that came over the network must not be able to name what no honest release has. These are
refused wherever such a tree comes in (an archive, an imported catalog):

- names that are not UTF-8 or not NFC; control characters, DEL, and letters that turn text around;
- a backslash, unless it begins systemd's `\\xNN`: elsewhere it is a separator, or begins an escape;
- more than MAX_DEPTH folders deep;
- a path that is a file or a link and has paths below it.

And `mask` takes from what a foreign tree would put into a root what only the host may grant.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable

from msgspec.structs import replace

from epmstore.errors import InvalidNameError
from epmstore.relpath import RelPath, parents
from epmstore.tree import Entry

MAX_DEPTH = 128
MAX_ENTRIES = 2_000_000
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_BAD = re.compile(rf"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029{_BIDI}]|\\(?!x[0-9a-fA-F]{{2}})")
_WHY = (
    (re.compile(r"\x00"), "it has a NUL"),
    (re.compile(r"[\x01-\x1f\x7f-\x9f\u2028\u2029]"), "it has a control character"),
    (re.compile(r"[\ud800-\udfff]"), "it is not UTF-8"),
    (re.compile(rf"[{_BIDI}]"), "it has a letter that turns text around"),
    (re.compile(r"\\"), "it has a backslash"),
)


def check_name(path: str) -> None:
    """Raises InvalidNameError for a path below a root that no release may have."""
    if path.isascii() and path.isprintable() and "\\" not in path:
        bad = None
    elif _BAD.search(path):
        bad = next(why for pattern, why in _WHY if pattern.search(path))
    elif not unicodedata.is_normalized("NFC", path):
        bad = "it is not in Unicode's normal form C"
    else:
        bad = None
    if bad is None and path.count("/") >= MAX_DEPTH:
        bad = f"it is more than {MAX_DEPTH} folders deep"
    if bad is not None:
        raise InvalidNameError(f"{path!r} cannot be released: {bad}", path=path)


def check_folders(paths: Iterable[RelPath], leaves: Collection[RelPath]) -> None:
    """Raises InvalidNameError if a path lies below one of `leaves`: files and links."""
    known: set[str] = set()
    for path in paths:
        folder = path.rpartition("/")[0]
        if folder in known:
            continue
        for above in parents(path):
            if above in leaves:
                raise InvalidNameError(
                    f"{path!r} lies below {above!r}, which is no directory", path=path
                )
        known.add(folder)


def leads_outside(path: str, target: str, is_link: Callable[[str], bool]) -> bool:
    """Whether a link at `path` leaves the root, at its end or on its way there. What is above a
    link that it goes through (`is_link` tells which of the tree's paths are links) is not where it
    seems to be: going up from there counts as leaving.
    """
    if target.startswith("/"):
        return True
    here = path.split("/")[:-1]
    through_link = False
    for part in target.split("/"):
        if part == "..":
            if through_link or not here:
                return True
            here.pop()
        elif part not in ("", "."):
            here.append(part)
            through_link = through_link or is_link("/".join(here))
    return False


def mask(entry: Entry) -> Entry:
    """The same without what only this host may grant: setuid, setgid and sticky, writing by group
    and others, extended attributes.
    """
    if entry.kind == "symlink":
        return replace(entry, xattrs=()) if entry.xattrs else entry
    mode = entry.mode & 0o755
    if mode == entry.mode and not entry.xattrs:
        return entry
    return replace(entry, mode=mode, xattrs=())
