"""Putting recorded metadata back onto a path: the inverse of metadata.py.

The order matters: a change of owner clears setuid and capabilities, so it comes first; xattrs want
a file that is still writable, and an ACL moves the mode, so the mode comes after them; every one of
these may move the times. Nothing is written that is already so. What the privilege or the file
system does not allow is returned by name, for the report; it is no error.
"""

import os
import stat
from collections.abc import Callable

from epmstore import fsio
from epmstore.scan.xattrs import NOT_PERMITTED, link_path, read_xattrs, write_xattrs
from epmstore.tree import Entry

_COARSEST_NS = 2 * 10**9
_SETID = stat.S_ISUID | stat.S_ISGID


def apply_metadata(fd: int, entry: Entry, privileged: bool) -> list[str]:
    """Owner, mode, xattrs and time of an open file or directory, as `entry` wants them.

    Without privilege only the group is tried, as far as it is one of the caller's own. A file that
    stays another user's does not become setuid or setgid. Returns what could not be set: `owner`,
    `mode`, `mtime`, and names of xattrs. Raises OSError for anything but a refusal.
    """
    found = os.fstat(fd)
    refused: list[str] = []
    if (found.st_uid, found.st_gid) != (entry.uid, entry.gid):
        uid = entry.uid if privileged else -1
        _attempt(refused, "owner", lambda: fsio.set_owner(fd, uid, entry.gid))
        found = os.fstat(fd)
        if "owner" not in refused and (found.st_uid, found.st_gid) != (entry.uid, entry.gid):
            refused.append("owner")
    refused += write_xattrs(fd, entry.xattrs)
    mode = entry.mode & ~_SETID if "owner" in refused else entry.mode
    if _mode(fd) != mode:
        _attempt(refused, "mode", lambda: fsio.set_mode(fd, mode))
    if "mode" not in refused and _mode(fd) != entry.mode:  # setgid may be dropped without a word
        refused.append("mode")
    mtime = entry.mtime_ns
    if mtime is not None and os.fstat(fd).st_mtime_ns != mtime:
        _attempt(refused, "mtime", lambda: fsio.set_times(fd, mtime))
        if "mtime" not in refused and _is_elsewhere(os.fstat(fd).st_mtime_ns, mtime):
            refused.append("mtime")
    return refused


class NewFiles:
    """Metadata of files that we have just made, in folders of which one is like the other: what
    they inherit is asked of the first one only. For one thread.
    """

    def __init__(self, *, privileged: bool) -> None:
        self._privileged = privileged
        self._is_plain: bool | None = None
        self._owner = (-1, -1)

    def apply(self, fd: int, entry: Entry) -> tuple[os.stat_result, list[str]]:
        """As `apply_metadata`; also what the file is like then."""
        if self._is_plain is None:
            found = os.fstat(fd)
            self._is_plain = not read_xattrs(fd)
            self._owner = (found.st_uid, found.st_gid)
        if self._is_plain and not entry.xattrs:
            found = self._set(fd, entry)
            if _is_as_wanted(found, entry):
                return found, []
        refused = apply_metadata(fd, entry, self._privileged)
        return os.fstat(fd), refused

    def _set(self, fd: int, entry: Entry) -> os.stat_result:
        """Without a look before; what is refused here is asked for again, and named."""
        refused: list[str] = []
        if (entry.uid, entry.gid) != self._owner and self._privileged:
            _attempt(refused, "owner", lambda: fsio.set_owner(fd, entry.uid, entry.gid))
        if not refused:
            _attempt(refused, "mode", lambda: fsio.set_mode(fd, entry.mode))
        mtime = entry.mtime_ns
        if mtime is not None and not refused:
            _attempt(refused, "mtime", lambda: fsio.set_times(fd, mtime))
        return os.fstat(fd)


def _is_as_wanted(found: os.stat_result, entry: Entry) -> bool:
    return (
        (found.st_uid, found.st_gid) == (entry.uid, entry.gid)
        and stat.S_IMODE(found.st_mode) == entry.mode
        and entry.mtime_ns in (None, found.st_mtime_ns)
    )


def apply_link_metadata(dir_fd: int, name: str, entry: Entry, privileged: bool) -> list[str]:
    """As `apply_metadata`, for the symlink `name` itself. Symlinks have no mode of their own."""
    found = fsio.lstat(name, dir_fd)
    refused: list[str] = []
    if (found.st_uid, found.st_gid) != (entry.uid, entry.gid):
        uid = entry.uid if privileged else -1
        _attempt(refused, "owner", lambda: fsio.set_link_owner(name, dir_fd, uid, entry.gid))
        if "owner" not in refused and not privileged and found.st_uid != entry.uid:
            refused.append("owner")
    refused += write_xattrs(link_path(dir_fd, name), entry.xattrs)
    mtime = entry.mtime_ns
    if mtime is not None and fsio.lstat(name, dir_fd).st_mtime_ns != mtime:
        _attempt(refused, "mtime", lambda: fsio.set_link_times(name, dir_fd, mtime))
        if "mtime" not in refused and _is_elsewhere(fsio.lstat(name, dir_fd).st_mtime_ns, mtime):
            refused.append("mtime")
    return refused


def _mode(fd: int) -> int:
    return stat.S_IMODE(os.fstat(fd).st_mode)


def _attempt(refused: list[str], what: str, change: Callable[[], None]) -> None:
    try:
        change()
    except OverflowError:  # a number that the kernel has no room for
        refused.append(what)
    except OSError as error:
        if error.errno not in NOT_PERMITTED:
            raise
        refused.append(what)


def _is_elsewhere(found_ns: int, wanted_ns: int) -> bool:
    """Whether a file system took a time for another one, which lies beyond its own. Fractions may
    be lost.
    """
    return abs(found_ns - wanted_ns) > _COARSEST_NS
