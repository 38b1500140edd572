"""A tree as a folder of its own, elsewhere: `checkout --target`. The live root is not looked at."""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from epmstore.checkout.target import ExportedTree, export
from epmstore.digest import BlobInfo
from epmstore.errors import NotRestorableError
from epmstore.progress import Progress
from epmstore.refcat.hygiene import leads_outside, mask
from epmstore.relpath import RelPath, is_within, parents, split
from epmstore.store.store import Store
from epmstore.tree import Entry
from epmstore.workspace.trees import TreeSource

OUTSIDE = "the link leads out of the tree"


def export_tree(
    store: Store,
    source: TreeSource,
    place: Path,
    scope: Sequence[RelPath],
    progress: Progress,
    *,
    dry_run: bool,
    coming: Collection[BlobInfo] = frozenset(),
) -> ExportedTree:
    """Write what is in `scope` (empty: all) of a tree. What a foreign one says is masked: it grants
    no rights here, and its links stay within it. Raises PathNotFoundError, NotRestorableError,
    ConflictError, DamagedError, OSError.
    """
    for path in scope:
        source.entries(path)
    found = source.entries()
    wanted = [entry for entry in found if not scope or is_within(entry.path, scope)]
    outside: list[RelPath] = []
    if source.is_foreign:
        _check_stored(source, wanted)
        wanted, outside = _masked(found, wanted)
    wanted.sort(key=lambda entry: split(entry.path))  # folder by folder, as files are made
    with store.keep_packs(reading=True):
        purged = store.contents.purged()
        done = export(place, wanted, store, progress, purged, dry_run=dry_run, coming=coming)
    return replace(done, kept=[*done.kept, *((path, OUTSIDE) for path in outside)])


def _check_stored(source: TreeSource, wanted: Sequence[Entry]) -> None:
    """Raises NotRestorableError. Of a tree of this host a content that lacks is damage."""
    missing = source.missing(entry for entry in wanted if entry.path_class != "secret")
    if missing:
        raise NotRestorableError(
            f"{len(missing)} contents of {source} are not stored here,"
            f" that of {missing[0].path!r} for one",
            hint="`epmstore catalog clone STORE KEY --contents RELEASE` brings them",
            missing=len(missing),
        )


def _masked(tree: Sequence[Entry], wanted: Sequence[Entry]) -> tuple[list[Entry], list[RelPath]]:
    """(what is wanted as it is to be written; links that lead out of the tree)."""
    links: set[str] = {entry.path for entry in tree if entry.kind == "symlink"}
    outside = {
        entry.path
        for entry in wanted
        if entry.target and leads_outside(entry.path, entry.target, links.__contains__)
    }
    inside = {entry.path: mask(entry) for entry in wanted if entry.path not in outside}
    written = _as_mine(_with_folders(inside)).values()
    return [*written], [entry.path for entry in wanted if entry.path in outside]


def _with_folders(tree: Mapping[RelPath, Entry]) -> dict[RelPath, Entry]:
    """With the folders that the paths lie in, where the tree does not name them."""
    whole = dict(tree)
    for path in tree:
        for above in map(RelPath, parents(path)):
            whole.setdefault(above, Entry(path=above, kind="directory", mode=0o755))
    return whole


def _as_mine(tree: Mapping[RelPath, Entry]) -> dict[RelPath, Entry]:
    """Owned by the user who writes it, with hard links only to what is written, too."""
    uid, gid = os.geteuid(), os.getegid()
    return {
        path: replace(
            entry,
            uid=uid,
            gid=gid,
            user=None,
            group=None,
            same_as=entry.same_as if entry.same_as in tree else None,
        )
        for path, entry in tree.items()
    }
