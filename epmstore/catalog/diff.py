"""In what trees differ. Pure.

A delta is a mapping from path to Change; it leads from one tree to another, and only from trees
that have its old entries.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

import msgspec

from epmstore.catalog.model import Counts, Tally
from epmstore.relpath import RelPath, sort_paths
from epmstore.tree import Entry, Field, Tree, changed_fields, is_disclosed

ChangeKind: TypeAlias = Literal["added", "modified", "removed"]


class Change(msgspec.Struct, frozen=True):
    """What became of one path; one of `old` and `new` may be None. `fields` say in what a modified
    entry differs, and are empty for the others.
    """

    path: RelPath
    change: ChangeKind
    fields: tuple[Field, ...]
    old: Entry | None
    new: Entry | None


ChangesByPath: TypeAlias = Mapping[RelPath, Change]


def compare(old: Tree, new: Tree) -> dict[RelPath, Change]:
    """The delta from `old` to `new`, in byte order of paths. A changed class is no change."""
    paths = {path for path, entry in new.items() if old.get(path) != entry}
    paths.update(path for path in old if path not in new)
    changes = ((path, change(path, old.get(path), new.get(path))) for path in sort_paths(paths))
    return {path: found for path, found in changes if found is not None}


def tally(pairs: Iterable[tuple[Entry | None, Entry | None]], *, root: bool = False) -> Tally:
    """What pairs of (before, after) of different entries come to. `root`: the root itself, which is
    a folder and no entry, was modified, too.
    """
    paths, folders, times = [0, int(root), 0], [0, int(root), 0], 0
    for old, new in pairs:
        at = 0 if old is None else 2 if new is None else 1
        paths[at] += 1
        folders[at] += (new or old).kind == "directory"  # type: ignore[union-attr]
        if old is not None and new is not None:
            times += changed_fields(old, new) == ["mtime"]
    return Tally(Counts(*paths), Counts(*folders), times)


def change(path: RelPath, old: Entry | None, new: Entry | None) -> Change | None:
    """What became of one path; None if nothing did."""
    if old is None:
        return None if new is None else Change(path, "added", (), None, new)
    if new is None:
        return Change(path, "removed", (), old, None)
    fields = changed_fields(old, new) or (["content"] if is_disclosed(old, new) else [])
    return Change(path, "modified", tuple(fields), old, new) if fields else None


def merge(first: ChangesByPath, second: ChangesByPath) -> dict[RelPath, Change]:
    """The delta that does what `first` and then `second` do; what came and went is not in it."""
    merged = dict(first)
    for path, later in second.items():
        earlier = first.get(path)
        both = later if earlier is None else change(path, earlier.old, later.new)
        if both is None:
            del merged[path]
        else:
            merged[path] = both
    return {path: merged[path] for path in sort_paths(merged)}


def reverse(delta: ChangesByPath) -> dict[RelPath, Change]:
    """The delta that leads back."""
    swapped = ((path, change(path, found.new, found.old)) for path, found in delta.items())
    return {path: found for path, found in swapped if found is not None}


def count(changes: Iterable[Change]) -> Counts:
    found = [each.change for each in changes]
    return Counts(found.count("added"), found.count("modified"), found.count("removed"))


def is_metadata_only(old: Entry, new: Entry) -> bool:
    """Whether a file has the content that it had: all that is left to record is metadata."""
    return old.kind == new.kind == "file" and old.content == new.content
