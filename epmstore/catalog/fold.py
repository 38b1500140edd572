"""The tree of a version from the records that lead to it. Pure.

What the index answers from intervals, this answers from the catalog alone: slower, and the truth.
"""

from collections.abc import Iterable

import msgspec

from epmstore.catalog.model import Decoded, VersionPart, VersionRecord
from epmstore.errors import DamagedError, VersionNotFoundError
from epmstore.relpath import RelPath
from epmstore.tree import Entry, Tree, tree_sum


def fold(records: Iterable[Decoded], version: int | None = None) -> dict[RelPath, Entry]:
    """The tree at `version` (None: after all records), which begin with the first of the catalog.

    Raises VersionNotFoundError if they do not lead there, DamagedError if they contradict each
    other. The sum is not checked: see `check_sum`.
    """
    tree: dict[RelPath, Entry] = {}
    reached = -1
    for record in records:
        if not isinstance(record, VersionPart):
            continue
        if version is not None and record.header.version > version:
            break
        apply(tree, record)
        reached = record.header.version
    if version is not None and reached != version:
        raise VersionNotFoundError(f"no version {version}", hint="see `epmstore log --all`")
    return tree


def apply(tree: dict[RelPath, Entry], part: VersionPart) -> None:
    """Change `tree` as one line of a version says. Raises DamagedError if it does not fit."""
    for path in part.removed:
        if tree.pop(path, None) is None:
            raise _misfit(part, path, "removes")
    for entry in part.meta:
        before = tree.get(entry.path)
        if before is None or before.kind != "file":
            raise _misfit(part, entry.path, "has metadata of")
        tree[entry.path] = msgspec.structs.replace(entry, content=before.content)
    for entry in part.entries:
        tree[entry.path] = entry


def check_sum(tree: Tree, record: VersionRecord) -> None:
    """Raises DamagedError unless `tree` has the sum that its version was recorded with."""
    found = f"{tree_sum(tree.values()):064x}"
    if found != record.tree:
        raise DamagedError(
            f"the tree of version {record.version} does not have the sum that was recorded",
            hint="run `epmstore rebuild`, then `epmstore fsck`",
            version=record.version,
            expected=record.tree,
            found=found,
        )


def _misfit(part: VersionPart, path: RelPath, does: str) -> DamagedError:
    version = part.header.version
    return DamagedError(
        f"version {version} {does} {path!r}, which is not there before it",
        hint="run `epmstore fsck`",
        version=version,
    )
