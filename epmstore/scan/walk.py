"""Looking at every folder of a live root, by directory descriptors, without following a symlink.

A walk yields one Listing a folder: a folder before those below it, siblings in byte order. It reads
names and stats, no contents. What it could not see it names; it never raises for one path.

A folder is listed again while it changes under the walk, because a name that is renamed at that
moment may be missed altogether; one that never holds still is `unstable`.
"""

import os
import stat
from collections.abc import Callable, Collection, Iterator
from typing import Literal, TypeAlias

import msgspec

from epmstore.filestat import FileId
from epmstore.relpath import (
    NAME_MAX,
    PATH_MAX,
    RelPath,
    join,
    parents,
    split,
    to_bytes,
)
from epmstore.scan.folders import FolderCache
from epmstore.scan.hidden import WHY, Hidden
from epmstore.scan.mounts import mounted_below
from epmstore.scan.problem import Problem, judge
from epmstore.scan.staging_mark import marked_by
from epmstore.tree import PathClass

Classify: TypeAlias = Callable[[str, bool], PathClass | Literal["ignore"]]
"""The class of a path; the second argument says whether it is a directory."""

TRIES = 3

_REPLACED = "another directory took its name meanwhile"
_MOUNTED = "another file system is mounted here"
_SUBVOLUME = "a btrfs subvolume, which is a file system of its own"
_SUBVOLUME_INODE = 256
"""Of the top folder of each subvolume."""
_LONG_NAME = f"its name has more than {NAME_MAX} bytes"
_MARKED = "a staging folder of epmstore that no journal of this store names"
_TOO_LONG = f"holds paths of more than {PATH_MAX:,} bytes"
_SURELY_SHORT = (
    PATH_MAX - NAME_MAX - 1
) // 4  # characters, of which none takes more bytes than that
_RECORDED = {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}
_TYPE = 0o170000
_SPECIALS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
}


class Listing(msgspec.Struct, frozen=True, gc=False):
    """One folder ('' is the root) as it was found: its entries, and what is not among them.

    `names` are in byte order and `stats` are parallel to them, as are `classes`, which is None if
    all are `program`. `own` is the folder's own stat. `listed` is False if the folder could not be
    looked into: then `names` says nothing at all, and `unobserved` names it or what is above it.
    `skipped` are FIFOs, sockets and devices of any class but `state`, and staging folders of other
    stores. `ignored` are the topmost
    paths that the rules leave out. Whatever is at or below a path in `unobserved` or `ignored` may
    or may not be there.
    """

    folder: str
    listed: bool
    own: os.stat_result
    names: list[str]
    stats: list[os.stat_result]
    classes: list[PathClass] | None = None
    skipped: tuple[Problem, ...] = ()
    unobserved: tuple[Problem, ...] = ()
    ignored: tuple[RelPath, ...] = ()


def walk(
    root_fd: int,
    *,
    classify: Classify | None = None,
    skip: frozenset[FileId] = frozenset(),
    cross_mounts: bool = False,
    only: Collection[str] | None = None,
    below: Collection[str] = (),
) -> Iterator[Listing]:
    """Every folder of a root; or those in `only`, each without what is below it, and those in
    `below` with all that is.

    `classify` None means that everything is `program`. A folder of class `state` is an entry and
    is not listed; an ignored one is neither. Directories whose identity is in `skip` (the store,
    and its staging folders) are invisible; those of another store are named and not entered. A
    folder of `only` that lies within something that a whole walk would not enter yields nothing.

    Raises OSError if the root itself cannot be looked at, or descriptors or memory run out.
    """
    with FolderCache(root_fd) as cache:
        walker = _Walker(cache, classify, skip, cross_mounts)
        if only is None:
            yield from walker.everything()
            return
        for folder in sorted({*only, *below}, key=os.fsencode):
            yield from walker.one(folder, deep=folder in below)


class _Walker:
    def __init__(
        self,
        cache: FolderCache,
        classify: Classify | None,
        skip: frozenset[FileId],
        cross_mounts: bool,
    ) -> None:
        self._cache = cache
        self._classify = classify
        self._skip = skip
        root = cache.open("")
        self._root = os.fstat(root)
        self._mounts = frozenset() if cross_mounts else mounted_below(root)
        self._mount_parents = {split(path)[0] for path in self._mounts}
        self._device = None if cross_mounts else self._root.st_dev
        self._hidden = Hidden()

    def everything(self) -> Iterator[Listing]:
        yield from self._from("", self._root)

    def _from(self, top: str, stats: os.stat_result) -> Iterator[Listing]:
        pending = [(top, stats)]
        while pending:
            folder, expected = pending.pop()
            listing, below = self._look(folder, expected)
            yield listing
            below.reverse()
            pending += below

    def one(self, folder: str, *, deep: bool) -> Iterator[Listing]:
        """A folder that the caller named, unless a whole walk would not come there."""
        stats = self._root
        for path in [*parents(folder), folder] if folder else []:
            if self._class_of(path, True) in ("ignore", "state"):
                return
            try:
                stats = os.fstat(self._cache.open(path))
            except OSError as error:
                yield _unseen(folder, stats, Problem(RelPath(path), *judge(error)))
                return
            if (stats.st_dev, stats.st_ino) in self._skip or self._is_marked(path, stats):
                return
            if self._hidden.has(stats):
                yield _unseen(folder, stats, Problem(RelPath(path), "unreadable", WHY))
                return
            if self._is_mount(path, stats):
                yield _unseen(
                    folder, stats, Problem(RelPath(path), "mount", self._why_mount(path, stats))
                )
                return
        if deep:
            yield from self._from(folder, stats)
        else:
            yield self._look(folder, stats)[0]

    def _look(
        self, folder: str, expected: os.stat_result
    ) -> tuple[Listing, list[tuple[str, os.stat_result]]]:
        """One folder, and those below it that a walk goes on to."""
        own = expected
        try:
            for _ in range(TRIES):
                fd = self._cache.open(folder)
                names, stats, lost = _list(fd, folder)
                after = os.fstat(fd)
                if not os.path.samestat(own, after):
                    replaced = Problem(RelPath(folder), "vanished", _REPLACED)
                    return _unseen(folder, after, replaced), []
                if _same_times(own, after):
                    break
                own = after
            else:
                lost.append(Problem(RelPath(folder), "unstable", "its names never hold still"))
        except OSError as error:
            if not folder:
                raise
            return _unseen(folder, expected, Problem(RelPath(folder), *judge(error))), []
        if len(folder) > _SURELY_SHORT and _is_too_long(folder, names):
            return _unseen(folder, own, Problem(RelPath(folder), "unreadable", _TOO_LONG)), []
        return self._sort_out(Listing(folder, True, own, names, stats, unobserved=tuple(lost)))

    def _sort_out(self, found: Listing) -> tuple[Listing, list[tuple[str, os.stat_result]]]:
        """Keep what is recorded and name the rest; most folders hold nothing else."""
        prefix = f"{found.folder}/" if found.folder else ""
        below = [
            (prefix + name, stats)
            for name, stats in zip(found.names, found.stats, strict=True)
            if stats.st_mode & _TYPE == stat.S_IFDIR
        ]
        if self._is_plain(found, below):
            return found, below
        return self._sieve(found)

    def _is_plain(self, found: Listing, below: list[tuple[str, os.stat_result]]) -> bool:
        """Whether every entry is an ordinary one, of class `program`, and may be entered."""
        return (
            self._classify is None
            and not self._hidden.possible
            and found.folder != ""
            and found.folder not in self._mount_parents
            and {stats.st_mode & _TYPE for stats in found.stats} <= _RECORDED
            and not any(
                (stats.st_dev, stats.st_ino) in self._skip or self._is_mount(path, stats)
                for path, stats in below
            )
        )

    def _sieve(self, found: Listing) -> tuple[Listing, list[tuple[str, os.stat_result]]]:
        kept: list[tuple[str, os.stat_result, PathClass]] = []
        below: list[tuple[str, os.stat_result]] = []
        skipped: list[Problem] = []
        unobserved = list(found.unobserved)
        ignored: list[RelPath] = []
        for name, stats in zip(found.names, found.stats, strict=True):
            path = join(found.folder, name)
            file_type = stats.st_mode & _TYPE
            is_directory = file_type == stat.S_IFDIR
            if is_directory and (stats.st_dev, stats.st_ino) in self._skip:
                continue
            path_class = self._class_of(path, is_directory)
            if path_class == "ignore":
                ignored.append(path)
            elif self._is_mount(path, stats):
                unobserved.append(Problem(path, "mount", self._why_mount(path, stats)))
            elif self._hidden.has(stats):
                unobserved.append(Problem(path, "unreadable", WHY))
            elif is_directory and self._is_marked(path, stats):
                skipped.append(Problem(path, "special", _MARKED))
            elif file_type not in _RECORDED:
                if path_class == "state":  # known, and to be left alone
                    continue
                skipped.append(Problem(path, "special", _SPECIALS.get(file_type, "no file")))
            else:
                kept.append((name, stats, path_class))
                if is_directory and path_class != "state":
                    below.append((path, stats))
        listing = msgspec.structs.replace(
            found,
            names=[name for name, _, _ in kept],
            stats=[stats for _, stats, _ in kept],
            classes=_classes([path_class for _, _, path_class in kept]),
            skipped=tuple(skipped),
            unobserved=tuple(unobserved),
            ignored=tuple(ignored),
        )
        return listing, below

    def _class_of(self, path: str, is_directory: bool) -> PathClass | Literal["ignore"]:
        return self._classify(path, is_directory) if self._classify else "program"

    def _is_marked(self, path: str, stats: os.stat_result) -> bool:
        """Whether a directory is one that another store uses for a checkout of this root."""
        return "/" not in path and marked_by(self._cache.open(""), path, stats) is not None

    def _why_mount(self, path: str, stats: os.stat_result) -> str:
        """A subvolume has a device number of its own, and is in no table of mounts."""
        is_subvolume = path not in self._mounts and stats.st_ino == _SUBVOLUME_INODE
        return _SUBVOLUME if is_subvolume else _MOUNTED

    def _is_mount(self, path: str, stats: os.stat_result) -> bool:
        if self._device is None:
            return False
        # Only of directories: on an overlay, files may have another st_dev than their folder.
        other = stats.st_dev != self._device and stats.st_mode & _TYPE == stat.S_IFDIR
        return other or path in self._mounts


def _list(fd: int, folder: str) -> tuple[list[str], list[os.stat_result], list[Problem]]:
    """Names in byte order, their stats, and what could not be looked at."""
    names = os.listdir(fd)
    # ASCII sorts alike as text and as bytes; this is asked once a folder, not once a name.
    names.sort(key=None if "".join(names).isascii() else os.fsencode)
    lost: list[Problem] = []
    if max(map(len, names), default=0) > NAME_MAX // 4:  # no character takes more bytes than that
        lost = [
            Problem(join(folder, name), "unreadable", _LONG_NAME)
            for name in names
            if len(to_bytes(name)) > NAME_MAX
        ]
        names = [name for name in names if len(to_bytes(name)) <= NAME_MAX]
    lstat = os.lstat
    try:
        return names, [lstat(name, dir_fd=fd) for name in names], lost
    except OSError:
        return _list_slowly(fd, folder, names, lost)


def _list_slowly(
    fd: int, folder: str, names: list[str], lost: list[Problem]
) -> tuple[list[str], list[os.stat_result], list[Problem]]:
    """As `_list`, one name at a time, because one of them cannot be looked at."""
    seen: list[str] = []
    stats: list[os.stat_result] = []
    for name in names:
        try:
            stats.append(os.lstat(name, dir_fd=fd))
        except OSError as error:
            lost.append(Problem(join(folder, name), *judge(error)))
        else:
            seen.append(name)
    return seen, stats, lost


def _unseen(folder: str, own: os.stat_result, problem: Problem) -> Listing:
    return Listing(folder, False, own, [], [], unobserved=(problem,))


def _is_too_long(folder: str, names: list[str]) -> bool:
    """Whether a path in this folder is one that no catalog may hold (`parse_relpath`)."""
    return any(len(to_bytes(join(folder, name))) > PATH_MAX for name in names)


def _same_times(one: os.stat_result, two: os.stat_result) -> bool:
    return one.st_mtime_ns == two.st_mtime_ns and one.st_ctime_ns == two.st_ctime_ns


def _classes(found: list[PathClass]) -> list[PathClass] | None:
    return found if any(path_class != "program" for path_class in found) else None
