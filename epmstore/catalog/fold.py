"""The tree of a version from the records that lead to it. Pure.

What the index answers from intervals, this answers from the catalog alone: slower, and the truth.
"""

from collections.abc import Iterable

import msgspec

from epmstore.catalog.model import Decoded, GapRecord, VersionPart, VersionRecord
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
    is_behind_gap = False
    for record in records:
        is_behind_gap |= isinstance(record, GapRecord)
        if not isinstance(record, VersionPart):
            continue
        if version is not None and record.header.version > version:
            break
        apply(tree, record, is_behind_gap=is_behind_gap)
        reached = record.header.version
    if version is not None and reached != version:
        raise VersionNotFoundError(f"no version {version}", hint="see `epmstore log --all`")
    return tree


def apply(tree: dict[RelPath, Entry], part: VersionPart, *, is_behind_gap: bool = False) -> None:
    """Change `tree` as one line of a version says. Raises DamagedError if it does not fit; behind a
    gap, where lines were lost, it need not: the sum tells.
    """
    for path in part.removed:
        if tree.pop(path, None) is None and not is_behind_gap:
            raise _misfit(part, path, "removes")
    for entry in part.meta:
        before = tree.get(entry.path)
        is_file = before is not None and before.kind == "file"
        if not is_file and not is_behind_gap:
            raise _misfit(part, entry.path, "has metadata of")
        content = None if before is None else before.content
        tree[entry.path] = msgspec.structs.replace(entry, content=content)
    for entry in part.entries:
        tree[entry.path] = entry


def check_sum(tree: Tree, record: VersionRecord) -> None:
    """Raises DamagedError unless `tree` has the sum that its version was recorded with."""
    found = f"{tree_sum(tree.values()):064x}"
    if found != record.tree:
        raise DamagedError(
            f"the tree of version {record.version} does not have the sum that was recorded",
            hint="`epmstore rebuild` mends an index that is wrong; if lines of the history are"
            " lost, which `epmstore fsck` says, a copy has them: `epmstore store restore --from"
            " COPY`",
            version=record.version,
            expected=record.tree,
            found=found,
        )


def check_whole(tree: Tree, record: VersionRecord, *, is_behind_gap: bool) -> None:
    """As `check_sum`, of a history whose loss of lines was accepted."""
    try:
        check_sum(tree, record)
    except DamagedError as error:
        if not is_behind_gap:
            raise
        raise DamagedError(
            f"not all of version {record.version} is known: lines of the history before it were"
            " lost, and somebody went on without them",
            hint="a copy of the store from before can still have it: `epmstore checkout"
            f" {record.version} --store COPY --target DIR`",
            **error.data,
        ) from None


def _misfit(part: VersionPart, path: RelPath, does: str) -> DamagedError:
    version = part.header.version
    return DamagedError(
        f"version {version} {does} {path!r}, which is not there before it",
        hint="run `epmstore fsck`",
        version=version,
    )
