"""What a tree is, by a walk that shares nothing with the program's own."""

import hashlib
import os
import stat
from collections.abc import Container, Iterator
from typing import NamedTuple, TypeAlias

KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "block",
    stat.S_IFCHR: "char",
}
ROOT = b"."
"""The root itself, among its paths."""


class Seen(NamedTuple):
    """One path. `content` is the SHA-256 of a file or the target of a symlink; `first` is the first
    name of the same file in this tree.
    """

    kind: str
    mode: int
    uid: int
    gid: int
    xattrs: tuple[tuple[str, bytes], ...]
    mtime_ns: int | None
    content: str | None
    first: bytes | None
    size: int
    inode: tuple[int, int]
    links: int

    @property
    def facts(self) -> tuple[object, ...]:
        """All that a checkout has to bring back."""
        return self[:8]


Look: TypeAlias = dict[bytes, Seen]


def look(root: bytes) -> Look:
    """Everything at and below a folder; of what is mounted below it only that it is there. Nothing
    for a root that is not there.
    """
    try:
        own = os.lstat(root)
    except OSError:
        return {}
    found: Look = {ROOT: _seen(root, own, None)}
    if not stat.S_ISDIR(own.st_mode):
        return found
    firsts: dict[int, bytes] = {}
    for path, where, stats in _below(root, b"", own.st_dev):
        first = None
        if stat.S_ISREG(stats.st_mode):
            first = firsts.setdefault(stats.st_ino, path)
        found[path] = _seen(where, stats, first)
        if stats.st_dev != own.st_dev:
            found[path] = found[path]._replace(kind="mount")
    return found


def _below(
    folder: bytes, prefix: bytes, device: int
) -> Iterator[tuple[bytes, bytes, os.stat_result]]:
    for name in sorted(os.listdir(folder)):
        where = folder + b"/" + name
        stats = os.lstat(where)
        yield prefix + name, where, stats
        if stat.S_ISDIR(stats.st_mode) and stats.st_dev == device:
            yield from _below(where, prefix + name + b"/", device)


def _seen(where: bytes, stats: os.stat_result, first: bytes | None) -> Seen:
    kind = KINDS[stat.S_IFMT(stats.st_mode)]
    content, mtime = None, None
    if kind == "file":
        with open(where, "rb", buffering=0) as file:
            content = hashlib.sha256(file.readall()).hexdigest()
        mtime = stats.st_mtime_ns
    elif kind == "symlink":
        content, mtime = os.readlink(where).decode("utf-8", "surrogateescape"), stats.st_mtime_ns
    names = sorted(os.listxattr(where, follow_symlinks=False))
    return Seen(
        kind=kind,
        mode=stat.S_IMODE(stats.st_mode),
        uid=stats.st_uid,
        gid=stats.st_gid,
        xattrs=tuple((name, os.getxattr(where, name, follow_symlinks=False)) for name in names),
        mtime_ns=mtime,
        content=content,
        first=first,
        size=stats.st_size,
        inode=(stats.st_dev, stats.st_ino),
        links=stats.st_nlink,
    )


def unlike(one: Look, two: Look, without: Container[bytes] = ()) -> list[bytes]:
    """Paths in which two looks differ."""
    return sorted(
        path
        for path in one.keys() | two.keys()
        if path not in without and facts_of(one, path) != facts_of(two, path)
    )


def facts_of(found: Look, path: bytes) -> tuple[object, ...] | None:
    seen = found.get(path)
    return None if seen is None else seen.facts


def contents(found: Look) -> set[str]:
    """The SHA-256 of all files."""
    return {seen.content for seen in found.values() if seen.kind == "file" and seen.content}


def above(path: bytes) -> Iterator[bytes]:
    """The folders that a path is in, the topmost first."""
    at = path.find(b"/")
    while at >= 0:
        yield path[:at]
        at = path.find(b"/", at + 1)


def is_within(path: bytes, tops: Container[bytes]) -> bool:
    """Whether a path is one of `tops` or below one."""
    return path in tops or any(folder in tops for folder in above(path))
