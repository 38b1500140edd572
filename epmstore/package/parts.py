"""Parts of a package as patterns: which files are whose is said once, and found again. Pure."""

import re
from collections.abc import Mapping
from typing import Final, TypeAlias

from epmstore.catalog.packaging import MAX_PATTERNS
from epmstore.errors import UsageError
from epmstore.relpath import RelPath

_SPECIAL: Final = re.compile(r"([\\*?\[\] !#])")
_ESCAPED: Final = r"\\\1"
_Tree: TypeAlias = "dict[str, _Tree | str | None]"


def literal_pattern(path: str) -> str:
    """The pattern of one path alone."""
    return "/" + "/".join(_SPECIAL.sub(_ESCAPED, name) for name in path.split("/"))


def patterns_of(
    files: Mapping[RelPath, str | None], *, may_end_with_all: bool = True
) -> dict[str, list[str]]:
    """Patterns for each part, in the order in which they are to be asked: together they give each
    file the part that it has, and none to those that have none; the last of them may be `*`. Raises
    UsageError if that takes more than a package may have.
    """
    tree = _tree(files)
    found: dict[str, list[str]] = {}
    for path, part in _tops(tree):
        found.setdefault(part, []).append(path)
    if may_end_with_all and found and None not in files.values():
        most = max(found, key=lambda part: len(found[part]))
        del found[most]
        found[most] = ["*"]
    if sum(map(len, found.values())) > MAX_PATTERNS:
        raise UsageError(
            f"which files are of which part takes more than {MAX_PATTERNS:,} patterns",
            hint="write patterns in [[parts]], or begin with sources that are laid out by parts",
        )
    return found


def _tree(files: Mapping[RelPath, str | None]) -> _Tree:
    tree: _Tree = {}
    for path, part in files.items():
        *folders, name = path.split("/")
        here = tree
        for folder in folders:
            below = here.setdefault(folder, {})
            assert isinstance(below, dict), "no path lies below a file"
            here = below
        here[name] = part
    return tree


def _tops(tree: _Tree) -> list[tuple[str, str]]:
    """(pattern, part) of the highest folders, and of files, that are of one part."""
    found: list[tuple[str, str]] = []
    waiting: list[tuple[str, _Tree]] = [("", tree)]
    while waiting:
        above, here = waiting.pop()
        for name, below in sorted(here.items()):
            path = f"{above}/{_SPECIAL.sub(_ESCAPED, name)}"
            if isinstance(below, dict):
                parts = _parts(below)
                only = parts.pop() if len(parts) == 1 else None
                if only is not None:
                    found.append((f"{path}/", only))
                elif parts:
                    waiting.append((path, below))
            elif below is not None:
                found.append((path, below))
    return found


def _parts(tree: _Tree) -> set[str | None]:
    found: set[str | None] = set()
    waiting = [tree]
    while waiting:
        for below in waiting.pop().values():
            if isinstance(below, dict):
                waiting.append(below)
            else:
                found.add(below)
    return found
