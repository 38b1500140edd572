"""What comes of a file of configuration that was edited here and changed by its vendor as well."""

import contextlib

from epmstore.checkout.undo import taken_back
from epmstore.digest import BlobInfo, identify
from epmstore.errors import BlobNotFoundError, EpmError, PathNotFoundError
from epmstore.refcat.merge_base import MergeBase, merge_base
from epmstore.refcat.three_way import MergedText, merge_texts, why_not_merged
from epmstore.relpath import RelPath
from epmstore.tree import Entry
from epmstore.workspace.app.context import AppContext


def base_of(context: AppContext, path: RelPath) -> MergeBase | None:
    """What a file of configuration was edited from."""
    state, releases = context.state(), context.releases
    try:
        released = releases.history(path)
    except PathNotFoundError:
        return None
    return merge_base(
        path,
        state,
        taken_back(state.versions),
        releases.app,
        context.store.entries.history(context.app.uuid, path),
        released,
    )


def merged_file(
    context: AppContext, path: RelPath, found: Entry, wanted: Entry
) -> tuple[BlobInfo, bytes] | None:
    """What comes of an edited file and what a release has; None if that is not clean, or it is not
    known what it was edited from.
    """
    base = base_of(context, path)
    mine, theirs = content_of(context, found), content_of(context, wanted)
    if mine is None or theirs is None or found.kind != "file":
        return None
    text, _ = merge_file(context, base, mine, theirs)
    content = None if text is None else text.content
    return None if content is None else (identify(content), content)


def merge_file(
    context: AppContext, base: MergeBase | None, mine: bytes, theirs: bytes
) -> tuple[MergedText | None, str | None]:
    then = None if base is None else content_of(context, base.entry)
    if then is None:
        return None, "what it was edited from is not stored any more"
    why = why_not_merged(then, mine, theirs)
    return (None, why) if why is not None else (merge_texts(then, mine, theirs), None)


def content_of(context: AppContext, entry: Entry) -> bytes | None:
    """A content, from the store or, if the root has it, from there."""
    if entry.content is None:
        return None
    try:
        return context.store.blobs.read(entry.content)
    except BlobNotFoundError:
        pass
    with contextlib.suppress(EpmError, OSError):
        tree = context.trees.at("now")
        there = tree.entry(entry.path)
        if there.content == entry.content:
            return b"".join(tree.stream(there))
    return None
