"""Everything that is recorded of a path except its content: one stat, one link target, xattrs.

Content is the caller's business, and so is naming hard links, for which it needs the whole tree:
`group_links`. The inverse, which puts metadata back, is set_metadata.py.
"""

import grp
import os
import pwd
import stat
from collections.abc import Iterable
from typing import Any

import msgspec

from epmstore.digest import BlobInfo
from epmstore.errors import UsageError
from epmstore.filestat import AnyStat, FileId
from epmstore.relpath import RelPath, sort_paths
from epmstore.scan.problem import UnreadError
from epmstore.scan.xattrs import XATTRS_MAX, is_too_much, link_path, read_xattrs
from epmstore.tree import Entry, Kind, PathClass, Xattrs

_KINDS: dict[int, Kind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
}


class Rest(msgspec.Struct, frozen=True, gc=False):
    """What neither a stat nor the content of a path says."""

    target: str | None = None
    xattrs: Xattrs = ()


NOTHING_MORE = Rest()


class OwnerNames:
    """The names of user and group ids on this host, each asked for once."""

    def __init__(self) -> None:
        self._users: dict[int, str | None] = {}
        self._groups: dict[int, str | None] = {}

    def user(self, uid: int) -> str | None:
        if uid not in self._users:
            self._users[uid] = _user_name(uid)
        return self._users[uid]

    def group(self, gid: int) -> str | None:
        if gid not in self._groups:
            self._groups[gid] = _group_name(gid)
        return self._groups[gid]


def kind_of(found: AnyStat) -> Kind:
    """Raises UsageError for what is never recorded: FIFOs, sockets, devices."""
    try:
        return _KINDS[stat.S_IFMT(found.st_mode)]
    except KeyError:
        raise UsageError("not a file, a directory or a symlink") from None


def describe(
    dir_fd: int,
    name: str,
    path: RelPath,
    found: AnyStat,
    *,
    fd: int | None = None,
    path_class: PathClass = "program",
    owners: OwnerNames,
) -> Entry:
    """The entry of `name`, below `dir_fd`, whose stat is `found`; without content and `same_as`.

    `fd` is the path itself, open, where the caller has it so. Of a `state` file, times and holes
    are left out: they change all the time and say nothing. Raises as `read_rest`.
    """
    rest = read_rest(dir_fd, name, found.st_mode, fd=fd)
    return make_entry(path, found, path_class=path_class, owners=owners, rest=rest)


def read_rest(dir_fd: int, name: str, mode: int, *, fd: int | None = None) -> Rest:
    """What is left to read of `name`, below `dir_fd`; `fd` is the path itself, where it is open.

    Raises OSError; UnreadError for what no entry may have: a symlink without a target, more
    attributes than XATTRS_MAX.
    """
    target = os.readlink(name, dir_fd=dir_fd) if stat.S_ISLNK(mode) else None
    if target == "":
        raise UnreadError(name, "unreadable", "a symlink without a target")
    xattrs = read_xattrs(link_path(dir_fd, name) if fd is None else fd)
    if is_too_much(xattrs):
        raise UnreadError(
            name, "unreadable", f"more than {XATTRS_MAX:,} bytes of extended attributes"
        )
    return Rest(target, xattrs) if target or xattrs else NOTHING_MORE


def read_attributes(place: int | str) -> Rest:
    """The same without a target, and without limits: of what is open, or of a `link_path`."""
    return Rest(xattrs=read_xattrs(place))


def settable_of(found: AnyStat, rest: Rest) -> dict[str, Any]:
    """What is there of the fields of an entry that are SETTABLE."""
    return {
        "mode": stat.S_IMODE(found.st_mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
        "xattrs": rest.xattrs,
    }


_MODES = tuple(range(0o10000))
"""One object for each, or there would be one for each file."""


def make_entry(
    path: RelPath,
    found: AnyStat,
    *,
    path_class: PathClass,
    owners: OwnerNames,
    content: BlobInfo | None = None,
    rest: Rest = NOTHING_MORE,
) -> Entry:
    """The entry of a path of which everything has been read; see `describe`."""
    mode = found.st_mode
    kind = kind_of(found)
    is_file = kind == "file" and path_class != "state"
    return Entry(
        path=path,
        kind=kind,
        mode=_MODES[mode & 0o7777],
        uid=found.st_uid,
        gid=found.st_gid,
        user=owners.user(found.st_uid),
        group=owners.group(found.st_gid),
        mtime_ns=found.st_mtime_ns if is_file or kind == "symlink" else None,
        content=content,
        target=rest.target,
        xattrs=rest.xattrs,
        sparse=is_file and is_sparse(found),
        path_class=path_class,
    )


def is_sparse(found: AnyStat) -> bool:
    """Whether a file has fewer blocks than its size needs."""
    return found.st_blocks * 512 < found.st_size


def group_links(found: Iterable[tuple[RelPath, AnyStat]]) -> dict[RelPath, RelPath]:
    """Of files that are one inode: every path but the first in byte order -> that first path.

    Only files with more than one link need to be given. Links from outside the root do not count.
    """
    groups: dict[FileId, list[RelPath]] = {}
    for path, stats in found:
        groups.setdefault((stats.st_dev, stats.st_ino), []).append(path)
    same_as: dict[RelPath, RelPath] = {}
    for paths in groups.values():
        first, *rest = sort_paths(paths)
        same_as.update((path, first) for path in rest)
    return same_as


def _user_name(uid: int) -> str | None:
    try:
        return _text(pwd.getpwuid(uid).pw_name)
    except (KeyError, OSError):  # the service that knows it may not answer
        return None


def _group_name(gid: int) -> str | None:
    try:
        return _text(grp.getgrgid(gid).gr_name)
    except (KeyError, OSError):
        return None


def _text(name: str) -> str | None:
    """Names go into JSON as they are: one that is not UTF-8 is no name."""
    return name if name.encode(errors="replace").decode() == name else None
