"""The socket: made where it belongs, for whom it is meant, and taken over from a daemon that died.

Only the holder of the daemon's lock of the store may listen: then a socket that is there already
has no process behind it. It gets its name when it is ready, so that no client ever meets one with
the wrong mode. Addresses of Unix sockets end after 107 bytes: the folder is named by its
descriptor.
"""

import contextlib
import os
import socket
import stat
from pathlib import Path

from epmstore import fsio
from epmstore.atomic import directory, discard, make_directories, temporary_name
from epmstore.errors import ConflictError

BACKLOG = 128
PRIVATE = 0o600
FOR_GROUP = 0o660


def listen(path: Path, group: int | None) -> socket.socket:
    """A listening socket at `path`, for this user and `group`. Raises ConflictError, OSError."""
    make_directories(path.parent, 0o755 if group is not None else 0o700)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with directory(path.parent) as parent:
            _check_place(path, parent)
            _bind(listener, path.name, parent, group)
    except BaseException:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def remove(path: Path, listener: socket.socket) -> None:
    """Take the socket away; by the holder of the lock, as `listen`."""
    with contextlib.suppress(FileNotFoundError), directory(path.parent) as parent:
        if stat.S_ISSOCK(fsio.lstat(path.name, parent).st_mode):
            fsio.unlink(path.name, parent)
    listener.close()


def _bind(listener: socket.socket, name: str, parent: int, group: int | None) -> None:
    temporary = temporary_name()
    umask = os.umask(0o177)
    try:
        fsio.bind_socket(listener, temporary, parent)
    finally:
        os.umask(umask)
    try:
        if group is not None:
            fsio.set_link_owner(temporary, parent, -1, group)
            fsio.set_named_mode(temporary, parent, FOR_GROUP)
        listener.listen(BACKLOG)
        fsio.rename(temporary, parent, name, parent)
    except BaseException:
        discard(temporary, parent)
        raise


def _check_place(path: Path, parent: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(fsio.lstat(path.name, parent).st_mode):
            raise ConflictError(
                f"{path} is there and is no socket", hint="move it away", file=str(path)
            )
