"""Contents that are recorded and cannot be read: the paths that they are of, and what helps."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from epmstore.blobs.interface import BlobReader
from epmstore.digest import BlobInfo
from epmstore.errors import BlobNotFoundError, DamagedError, EpmError, NotRestorableError
from epmstore.relpath import RelPath
from epmstore.store.store import Store

NAMED = 10


class UnreadableContentsError(DamagedError):
    """Contents that the store says it has cannot be read: `contents`, which may be elsewhere."""

    def __init__(self, message: str, *, contents: Collection[BlobInfo], **data: Any) -> None:
        super().__init__(message, **data)
        self.contents = frozenset(contents)


class AbsentContentsError(NotRestorableError):
    """Contents are not stored: `contents`, which may be elsewhere."""

    def __init__(self, message: str, *, contents: Collection[BlobInfo], **data: Any) -> None:
        super().__init__(message, **data)
        self.contents = frozenset(contents)


def unreadable(
    wanted: Sequence[tuple[RelPath, BlobInfo]], blobs: BlobReader, error: EpmError
) -> EpmError:
    """Names the paths whose content cannot be read: all are looked at once more. `error`, which
    was met on the way, if it is about none of them.
    """
    lost = {info for info in {info for _, info in wanted} if not can_read(blobs, info)}
    return damaged(wanted, lost) if lost else error


def damaged(
    wanted: Iterable[tuple[RelPath, BlobInfo]], lost: Collection[BlobInfo]
) -> UnreadableContentsError:
    """The error that names the paths of what is `lost`."""
    paths = [path for path, info in wanted if info in lost]
    named = ", ".join(map(repr, paths[:NAMED])) + (" ..." if len(paths) > NAMED else "")
    return UnreadableContentsError(
        f"the contents of {len(paths):,} paths cannot be read: {named}",
        hint="`epmstore fsck --read-data --repair` takes them from live roots where they still are,"
        " and from remotes; `epmstore store restore --from COPY` from a copy of the store",
        contents=lost,
        paths=paths,
    )


def known_unreadable(store: Store, contents: Iterable[BlobInfo]) -> set[BlobInfo]:
    """Those that lie in a file in which the last check found damage, or lean on others, and cannot
    be read. Nothing is read as long as nothing was found.
    """
    files = set(store.notes.damaged_packs())
    if not files:
        return set()
    found = list(contents)
    places = store.contents.places([one.sha256 for one in found])
    doubtful = {
        sha256
        for sha256, place in places.items()
        if place.file in files or place.base is not None or place.parts
    }
    return {one for one in found if one.sha256 in doubtful and not can_read(store.blobs, one)}


def can_read(blobs: BlobReader, info: BlobInfo) -> bool:
    """Whether the store gives a content back, to the byte. Reads it."""
    try:
        for _ in blobs.stream(info):
            pass
    except (DamagedError, BlobNotFoundError):
        return False
    return True
