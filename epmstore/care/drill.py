"""The restore drill: a version is written into a scratch folder and compared with its catalog.

The only proof that a version can be restored is to restore it. What is compared is what was read
back from the written tree, file by file, and not what was meant to be written: contents with both
digests, kinds, modes, targets. The live root is not looked at.
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from epmstore import locks
from epmstore.atomic import directory, make_directories
from epmstore.checkout.target import export, remove_tree
from epmstore.digest import Purges, identify_stream
from epmstore.errors import BusyError, DiskFullError
from epmstore.progress import SILENT, Progress
from epmstore.relpath import RelPath
from epmstore.scan.walk import walk
from epmstore.store.seeking import CameFrom
from epmstore.store.store import Store
from epmstore.tree import Entry

SCRATCH = "scratch"
PREFIX = "drill-"
SPARE = 256 << 20
"""Bytes that a drill leaves free."""
PIECE = 1 << 20


class Drill(msgspec.Struct, frozen=True):
    """What came of it. `without` counts files that have no stored content (by their class, or for
    want of room) and are left out. `differs` are paths and what is wrong with them: then nothing is
    proven. `came` says from where contents came that could not be read before.
    """

    files: int
    size: int
    without: int
    differs: tuple[tuple[RelPath, str], ...]
    came: tuple[CameFrom, ...] = ()

    @property
    def is_proven(self) -> bool:
        return not self.differs


def drill(store: Store, entries: Sequence[Entry], *, progress: Progress = SILENT) -> Drill:
    """Restore these entries, the whole tree of a version, and look. Nothing is left. One at a time.

    Raises BusyError, DiskFullError, DamagedError, BlobNotFoundError, OSError.
    """
    purged = store.contents.purged()
    wanted = [entry for entry in entries if _is_written(entry, purged)]
    size = sum(e.content.size for e in wanted if e.content is not None and e.same_as is None)
    folder = store.path / SCRATCH
    make_directories(folder)
    with _alone(store.path):
        _clear(folder)
        _check_room(folder, size)
        target = folder / f"{PREFIX}{secrets.token_hex(8)}"
        try:
            with store.keep_packs():
                export(target, entries, store, progress, purged)
            differs = tuple(_compare(target, wanted, progress))
        finally:
            _clear(folder)
    files = sum(entry.kind == "file" for entry in wanted)
    without = sum(entry.kind == "file" for entry in entries) - files
    return Drill(files, size, without, differs)


def clear(store: Path) -> None:
    """What a drill that was killed left; not while there is one. Raises OSError."""
    with contextlib.suppress(BusyError, FileNotFoundError), _alone(store):
        _clear(store / SCRATCH)


@contextlib.contextmanager
def _alone(store: Path) -> Iterator[None]:
    """Each takes away what others left, so there is one at a time. Raises BusyError."""
    with locks.hold(store / "locks", "drill", wait=0):
        yield


def _clear(scratch: Path) -> None:
    with directory(scratch) as folder:
        for name in os.listdir(folder):
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                remove_tree(name, folder)


def _is_written(entry: Entry, purged: Purges) -> bool:
    """Files of class state and secret have no stored content, and what was purged has none left."""
    if entry.kind != "file":
        return True
    has_content = entry.content is not None and entry.content not in purged
    return has_content and entry.path_class != "secret"


def _check_room(folder: Path, size: int) -> None:
    free = os.statvfs(folder)
    if free.f_bavail * free.f_frsize < size + SPARE:
        raise DiskFullError(
            f"a drill needs {size} bytes for a while, and {SPARE} are to stay free",
            hint="free some space: `epmstore gc` after `epmstore forget`",
            needed=size,
        )


def _compare(
    target: Path, wanted: Sequence[Entry], progress: Progress
) -> Iterable[tuple[RelPath, str]]:
    """What of the written tree is not as it was recorded."""
    progress.begin("comparing", files=len(wanted))
    seen: set[str] = set()
    with directory(target) as root:
        for listing in walk(root):
            seen.update(
                f"{listing.folder}/{name}" if listing.folder else name for name in listing.names
            )
        for entry in wanted:
            what = _difference(root, entry)
            if what is not None:
                yield entry.path, what
            progress.advance(files=1)
    for path in sorted(seen - {entry.path for entry in wanted} - _folders(wanted)):
        yield RelPath(path), "is not in the version"
    progress.end()


def _folders(wanted: Sequence[Entry]) -> set[str]:
    found: set[str] = set()
    for entry in wanted:
        parts = entry.path.split("/")
        found.update("/".join(parts[:count]) for count in range(1, len(parts)))
    return found


def _difference(root: int, entry: Entry) -> str | None:
    try:
        found = os.stat(entry.path, dir_fd=root, follow_symlinks=False)
    except FileNotFoundError:
        return "is missing"
    if entry.kind == "symlink":
        is_link = stat.S_ISLNK(found.st_mode)
        same = is_link and os.readlink(entry.path, dir_fd=root) == entry.target
        return None if same else "has another target"
    if entry.kind == "directory":
        return None if stat.S_ISDIR(found.st_mode) else "is no directory"
    if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) & 0o777 != entry.mode & 0o777:
        return "has another kind or mode"
    return None if _content(root, entry) else "has another content"


def _content(root: int, entry: Entry) -> bool:
    """Read back, and not from the links and names that led there."""
    fd = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
    try:
        pieces = iter(lambda: os.read(fd, PIECE), b"")
        return identify_stream(pieces) == entry.content
    finally:
        os.close(fd)
