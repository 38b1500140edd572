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

from epmstore import fsio
from epmstore.catalog.appcat import App
from epmstore.errors import RootError

_FORBIDDEN = "run it as root, or as a user who may read the root"
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
    """Raises RootError if the root vanished or is not the registered directory."""
    path = os.path.realpath(app.root) if app.follow else app.root
    try:
        fd = fsio.open_root(path)
    except OSError as error:
        raise RootError(
            f"the root of {app.key} cannot be opened: {app.root}: {os.strerror(error.errno or 0)}",
            hint=_FORBIDDEN if error.errno == errno.EACCES else _GONE,
            app=app.key,
        ) from None
    try:
        found = os.fstat(fd)
        _check(app, found)
        yield Root(fd, found)
    finally:
        os.close(fd)


def _check(app: App, found: os.stat_result) -> None:
    if app.follow or app.identity is None or found.st_ino == app.identity.inode:
        return
    raise RootError(
        f"the root of {app.key} was replaced: {app.root} is another directory than the one that was"
        " registered (or the file system that belongs there is not mounted)",
        hint=f"`epmstore app move {app.key} {app.root}` if this directory is the right one now",
        app=app.key,
    )
