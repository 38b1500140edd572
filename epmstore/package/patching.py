"""What leads from one release to another, as a patch package has it. Pure.

Contents that the older release lacks; of each, what of the older one is likely to be alike: what
had its path, or else, where a path is new, what had its name and is gone, the one whose folders are
most alike.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from epmstore.digest import BlobInfo, Sha256
from epmstore.tree import Entry


class PatchStep(msgspec.Struct, frozen=True, kw_only=True):
    """`start` is the first line that is not here before, `contents` are those that a package has,
    `bases` what they may be made differences to, by their SHA-256; `entries` are those that are new
    or another.
    """

    start: int
    contents: Sequence[BlobInfo]
    bases: Mapping[Sha256, BlobInfo]
    entries: Sequence[Entry]


def whole(new: Sequence[Entry]) -> PatchStep:
    """From nothing to a tree."""
    return PatchStep(start=0, contents=_contents(new), bases={}, entries=new)


def step_between(old: Sequence[Entry], new: Sequence[Entry], start: int) -> PatchStep:
    """From one tree to another, whose lines begin at `start`."""
    known = set(_contents(old))
    contents = [info for info in _contents(new) if info not in known]
    before = {entry.path: entry for entry in old}
    return PatchStep(
        start=start,
        contents=contents,
        bases=_bases(before.values(), new, set(contents)),
        entries=changed(before.values(), new),
    )


def changed(old: Iterable[Entry], new: Iterable[Entry]) -> list[Entry]:
    """Entries of a tree that are not the same in an older one."""
    before = {entry.path: entry for entry in old}
    return [entry for entry in new if before.get(entry.path) != entry]


def _contents(entries: Iterable[Entry]) -> list[BlobInfo]:
    """Those that a package has, each once, in the order of their paths."""
    held = (e.content for e in entries if e.content and e.path_class != "secret")
    return list(dict.fromkeys(held))


def _bases(
    old: Iterable[Entry], new: Sequence[Entry], wanted: set[BlobInfo]
) -> dict[Sha256, BlobInfo]:
    held = {e.path: e.content for e in old if e.content and e.path_class != "secret"}
    gone: dict[str, list[str]] = {}
    for path in held.keys() - {entry.path for entry in new}:
        gone.setdefault(_name(path), []).append(path)
    by_text = {str(path): content for path, content in held.items()}
    found: dict[Sha256, BlobInfo] = {}
    for entry in new:
        info = entry.content
        if info is None or info not in wanted or info.sha256 in found:
            continue
        base = held.get(entry.path)
        if base is None and (like := gone.get(_name(entry.path))):
            base = by_text[max(like, key=lambda one: (_alike(one, entry.path), one))]
        if base is not None:
            found[info.sha256] = base
    return found


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _alike(one: str, two: str) -> int:
    """How many of the last folders of two paths are the same."""
    count = 0
    for a, b in zip(reversed(one.split("/")), reversed(two.split("/")), strict=False):
        if a != b:
            break
        count += 1
    return count
