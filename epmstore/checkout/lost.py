"""Contents that are recorded and cannot be read: the paths that they are of, and what helps."""

from collections.abc import Container, Iterable, Sequence

from epmstore.blobs.interface import BlobReader
from epmstore.digest import BlobInfo
from epmstore.errors import BlobNotFoundError, DamagedError, EpmError
from epmstore.relpath import RelPath

NAMED = 10


def unreadable(
    wanted: Sequence[tuple[RelPath, BlobInfo]], blobs: BlobReader, error: EpmError
) -> EpmError:
    """Names the paths whose content cannot be read: all are looked at once more. `error`, which
    was met on the way, if it is about none of them.
    """
    lost = {info for info in {info for _, info in wanted} if not can_read(blobs, info)}
    return damaged(wanted, lost) if lost else error


def damaged(wanted: Iterable[tuple[RelPath, BlobInfo]], lost: Container[BlobInfo]) -> DamagedError:
    """The error that names the paths of what is `lost`."""
    paths = [path for path, info in wanted if info in lost]
    named = ", ".join(map(repr, paths[:NAMED])) + (" ..." if len(paths) > NAMED else "")
    return DamagedError(
        f"the contents of {len(paths):,} paths cannot be read: {named}",
        hint="`epmstore fsck --read-data --repair` takes them from live roots where they still are,"
        " `epmstore store restore --from COPY` from a copy of the store",
        paths=paths,
    )


def can_read(blobs: BlobReader, info: BlobInfo) -> bool:
    """Whether the store gives a content back, to the byte. Reads it."""
    try:
        for _ in blobs.stream(info):
            pass
    except (DamagedError, BlobNotFoundError):
        return False
    return True
