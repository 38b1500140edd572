"""The directory that an app lives in, opened and checked against what was registered.

Rules: a root that is not there, is another file system now, or was replaced by another directory is
an error and never "everything was removed"; a root that is merely empty is believed. `st_dev` is
not stable across reboots, so a root is recognised by its inode, and by its file system where that
is known.
"""

import contextlib
import errno
import os
from collections.abc import Iterator

import msgspec

from epmstore import fsio, limits
from epmstore.catalog.appcat import App
from epmstore.errors import EpmError, LimitError, RootError, UnreadableRootError
from epmstore.limits import OURS, limit_error
from epmstore.owned import follow
from epmstore.scan.problem import judge

_FORBIDDEN = "run it as root, or as a user who may read the root"
_UNREADABLE = (
    "the file system says so, and `dmesg` may say why; nothing is recorded until it can be read"
)
_GONE = (
    "mount it or put it back; `epmstore app move` if it lives elsewhere now,"
    " `epmstore app remove` if it is gone for good"
)


class Root(msgspec.Struct, frozen=True):
    """An open root. The descriptor belongs to the block that opened it."""

    fd: int
    stat: os.stat_result


@contextlib.contextmanager
def open_root(app: App) -> Iterator[Root]:
    """Raises RootError if the root vanished or is not the registered directory, others may change a
    link that is followed to it, or the application was removed; UnreadableRootError if it may not
    or cannot be read, LimitError for want of descriptors, memory or /proc.
    """
    if app.removed is not None:
        raise RootError(
            f"{app.key} was removed: only its history is here",
            hint=f"`epmstore app add {app.uuid} --again` takes it up",
            app=app.key,
        )
    try:
        fd = follow(app.root, app.key) if app.follow else fsio.open_root(app.root)
    except OSError as error:
        raise _not_opened(app, error) from None
    try:
        if not os.path.exists(f"/proc/self/fd/{fd}"):
            # attributes of what is open are read there: each path would be said to have vanished
            raise LimitError(limits.NO_PROC, hint=limits.MOUNT_PROC, limit="proc")
        found = os.fstat(fd)
        _check(app, found)
        yield Root(fd, found)
    finally:
        os.close(fd)


def is_gone(error: EpmError | OSError) -> bool:
    """Whether a root that could not be opened or looked at is not there, or is another one; false
    if what went wrong says nothing of the kind.
    """
    if isinstance(error, OSError):
        return error.errno not in OURS and judge(error)[0] == "vanished"
    return isinstance(error, RootError) and not isinstance(error, UnreadableRootError)


def _not_opened(app: App, error: OSError) -> EpmError:
    """Only what says that there is no such directory means that the root is not there."""
    what = f"the root of {app.key} cannot be opened: {app.root}"
    if (limit := limit_error(error, what)) is not None:
        return limit
    why = os.strerror(error.errno or 0)
    if judge(error)[0] == "vanished":
        return RootError(f"{what}: {why}", hint=_GONE, app=app.key)
    hint = _FORBIDDEN if error.errno in (errno.EACCES, errno.EPERM) else _UNREADABLE
    return UnreadableRootError(f"{what}: {why}", hint=hint, app=app.key)


def _check(app: App, found: os.stat_result) -> None:
    if app.follow or app.identity is None or found.st_ino == app.identity.inode:
        return
    raise RootError(
        f"the root of {app.key} was replaced: {app.root} is another directory than the one that was"
        " registered (or the file system that belongs there is not mounted)",
        hint=f"`epmstore app move {app.key} {app.root}` if this directory is the right one now",
        app=app.key,
    )
