"""Databases in a tree, by what they look like. Nothing is decided here.

- PostgreSQL: a folder with a file PG_VERSION is a whole data directory, whatever is below it.
- SQLite: a file and its -wal, -shm and -journal are one unit. To keep this cheap, the first bytes
  are read only of files whose name ends like a database or that have such a companion, and whose
  size is a multiple of 512. One that has both -wal and -shm is taken for a database unread: it may
  be encrypted.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias

import msgspec

from epmstore.relpath import RelPath, join, parents
from epmstore.scan.folders import FolderCache
from epmstore.scan.problem import UnreadError, judge
from epmstore.scan.steady import stream_steady
from epmstore.scan.walk import Listing
from epmstore.tree import PathClass

DatabaseKind: TypeAlias = Literal["postgresql", "sqlite"]

PG_MARK = "PG_VERSION"
SQLITE_MAGIC = b"SQLite format 3\0"
SQLITE_SUFFIXES = (".db", ".sqlite", ".sqlite3", ".db3", ".s3db", ".sl3")
COMPANIONS = ("-wal", "-shm", "-journal")

_NAMES = re.compile(
    rb"(?:%s|%s)(?:\0|\Z)"
    % (PG_MARK.encode(), rb"|".join(re.escape(s.encode()) for s in (*SQLITE_SUFFIXES, *COMPANIONS)))
)

_ANY_SIZE = 1 << 62


class DatabaseUnit(msgspec.Struct, frozen=True, gc=False):
    """One unit: all of it is replaced, or nothing. `path` is a folder for PostgreSQL ('' if that
    is the root), the main file for SQLite. `members` are the paths that belong to it now; what is
    below a member belongs to it too.
    """

    path: RelPath
    kind: DatabaseKind
    members: tuple[RelPath, ...]
    path_class: PathClass

    def covers(self, path: str) -> bool:
        """Whether a path is part of this database."""
        return any(m in ("", path) or path.startswith(f"{m}/") for m in self.members)


def may_hold_databases(packed: bytes) -> bool:
    """Whether any name in the packed stats of a folder is one that is looked at here."""
    return _NAMES.search(packed) is not None


def databases(listings: Iterable[Listing], folders: FolderCache) -> Iterator[DatabaseUnit]:
    """The databases in listings that come as a walk gives them: a folder before what is below.

    Those of every class are found; who has given them one knows about them. Raises OSError
    only if descriptors or memory run out.
    """
    inside: set[str] = set()
    for listing in listings:
        folder = listing.folder
        if inside and not inside.isdisjoint(("", *parents(folder)) if folder else ()):
            continue
        if PG_MARK in listing.names:
            inside.add(folder)
            path_class = _class_of(listing, listing.names.index(PG_MARK))
            yield DatabaseUnit(RelPath(folder), "postgresql", (RelPath(folder),), path_class)
        else:
            yield from _sqlite(listing, folders)


def _sqlite(listing: Listing, folders: FolderCache) -> Iterator[DatabaseUnit]:
    companions: dict[str, set[str]] = {}
    for name in listing.names:
        if name.endswith(COMPANIONS):
            main, _, suffix = name.rpartition("-")
            companions.setdefault(main, set()).add(f"-{suffix}")
    for n, name in enumerate(listing.names):
        beside = companions.get(name, set())
        if not beside and not name.endswith(SQLITE_SUFFIXES):
            continue
        if beside >= {"-wal", "-shm"} or _is_sqlite(listing, n, folders):
            names = [name, *(name + suffix for suffix in sorted(beside))]
            members = tuple(join(listing.folder, member) for member in names)
            yield DatabaseUnit(members[0], "sqlite", members, _class_of(listing, n))


def _is_sqlite(listing: Listing, n: int, folders: FolderCache) -> bool:
    found = listing.stats[n]
    if found.st_size < 512 or found.st_size % 512:
        return False
    try:
        folder_fd = folders.open(listing.folder)
        with stream_steady(folder_fd, listing.names[n], found, _ANY_SIZE) as stream:
            return next(stream.chunks(len(SQLITE_MAGIC)), b"") == SQLITE_MAGIC
    except UnreadError:
        return False
    except OSError as error:
        judge(error)
        return False


def _class_of(listing: Listing, n: int) -> PathClass:
    return "program" if listing.classes is None else listing.classes[n]
