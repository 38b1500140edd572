"""What users type for paths, versions and ranges, turned into what the library takes.

The rule for a PATH, also behind a version's colon:

- absolute: it must lie in the application's root;
- relative: from the working directory, as with git, if that leads into the root;
- else, typed outside of the root: from the application's root.

The root itself stands for everything in it. Symbolic links are followed only in the folders above
the path, and only where the path as typed is not in the root.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from epmstore.cli.session import working_directory
from epmstore.errors import InvalidNameError, UsageError
from epmstore.relpath import RelPath, parse_relpath

_TIME = re.compile(
    r"@(\d{4}-\d\d-\d\d(?:[T ]\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?(?:Z|[+-]\d\d:?\d\d)?)?)"
)
_VERSION = re.compile(r"(?:[0-9]{1,15}|latest|now|@.*|release:.*)(?:~[0-9]*)?")
_RELEASE = re.compile(r"release:(?:(?:number|label):)?[^\s:@~]+")


def relative(text: str, root: str, cwd: Path | None) -> RelPath | None:
    """A PATH as a path below `root`; None for the root itself. Raises UsageError."""
    if not text or "\0" in text:
        raise UsageError(f"{text!r} is not a path")
    roots = {root, os.path.realpath(root)}
    full = os.path.normpath(os.path.join(root if cwd is None else cwd, text))
    found = _below(full, roots)
    if found is None and cwd is not None and _below(str(cwd), roots) is None:
        full = os.path.normpath(os.path.join(root, text))
        found = _below(full, roots)
    if found is None:
        folder, last = os.path.split(full)
        found = _below(os.path.join(os.path.realpath(folder), last), roots)
    if found is None:
        raise UsageError(
            f"{text!r} is outside of the application's root {root}",
            hint="relative paths count from the working directory if that leads into the root,"
            " else from the root",
            root=root,
        )
    try:
        return parse_relpath(found) if found else None
    except InvalidNameError as error:
        raise UsageError(error.message) from None


def _below(full: str, roots: Iterable[str]) -> str | None:
    for root in roots:
        if full == root:
            return ""
        if full.startswith(root.rstrip("/") + "/"):
            return full[len(root.rstrip("/")) + 1 :]
    return None


def scope(texts: Iterable[str], root: str) -> tuple[RelPath, ...]:
    """PATHs of one command; empty means everything. Raises UsageError."""
    cwd = working_directory()
    found = [relative(text, root, cwd) for text in texts]
    return () if None in found else tuple(path for path in found if path is not None)


def split_version(text: str) -> tuple[str, str | None]:
    """`117:bin/a` as version and path; no colon, no path. A time or a release has colons of its
    own.
    """
    whole = _TIME.match(text) or _RELEASE.match(text)
    start = whole.end() if whole else 0
    version, colon, path = text[start:].partition(":")
    if colon and not path:
        path = "."
    return text[:start] + version, path if colon else None


def is_version(text: str) -> bool:
    """Whether a word can only be a version: not a name that a path or a tag may have, too."""
    return bool(_VERSION.fullmatch(text))


def split_range(text: str) -> tuple[str, str]:
    """`A..B` as two versions; either may be left out, and a single A is compared with now."""
    first, dots, second = text.partition("..")
    if not dots:
        return text, "now"
    return first or "latest", second or "now"
