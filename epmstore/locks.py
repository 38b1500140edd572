"""Advisory locks: `flock` on files that are never deleted.

The kernel frees them when their holder dies, so there is no stale lock. Order, outermost first:
`gc`, then `app-<uuid>`, then `write`. Whoever takes a lock exclusively writes into it who it is,
for the message that the next one prints.
"""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from epmstore import fsio
from epmstore.atomic import about, directory
from epmstore.errors import BusyError

POLL_SECONDS = 0.05
WAIT_SECONDS = 10.0
_UNWRITABLE = (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM)


@contextlib.contextmanager
def hold(
    folder: Path,
    name: str,
    *,
    shared: bool = False,
    reading: bool = False,
    wait: float = WAIT_SECONDS,
    owner: str = "",
) -> Iterator[None]:
    """Hold the lock `name` for the block. Who is only `reading` can hold it where nothing can be
    written, too; if nobody ever took it there, nobody holds it. Raises BusyError, naming the
    holder, after `wait` s; OSError.
    """
    fd = _open(folder, name, reading=reading)
    if fd is None:
        yield
        return
    try:
        _acquire(fd, name, shared=shared, wait=wait)
        if shared:
            yield
            return
        _write_owner(fd, f"process {os.getpid()} {owner}\n")
        try:
            yield
        finally:
            _write_owner(fd, "")  # or it would be blamed for those who share the lock next
    finally:
        os.close(fd)


def is_held(folder: Path, name: str) -> bool:
    """Whether somebody holds the lock exclusively now. Taking it for a moment to find out, so
    whoever wants it must be ready to try twice, as `hold` is.
    """
    try:
        fd = os.open(folder / name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(fd)


def _open(folder: Path, name: str, *, reading: bool) -> int | None:
    """Null for a reader, where there is no such lock and none can be made."""
    with directory(folder) as parent, about(folder / name):
        try:
            return _open_or_make(name, parent)
        except OSError as error:
            if not reading or error.errno not in _UNWRITABLE:
                raise
        try:
            # the lock counts all the same: elsewhere the folder may be mounted writable
            return fsio.open_file(name, parent)
        except FileNotFoundError:
            return None


def _open_or_make(name: str, parent: int) -> int:
    try:
        return fsio.open_append(name, parent)
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):
            return fsio.create(name, parent)
        return fsio.open_append(name, parent)


def _acquire(fd: int, name: str, *, shared: bool, wait: float) -> None:
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise _busy(fd, name) from None
            time.sleep(POLL_SECONDS)
        else:
            return


def _busy(fd: int, name: str) -> BusyError:
    holder = os.pread(fd, 200, 0).decode(errors="replace").strip()
    return BusyError(
        f"the store is busy: {holder or 'another process'} holds the lock {name!r}",
        hint="try again when it is done",
        lock=name,
        holder=holder,
    )


def _write_owner(fd: int, text: str) -> None:
    """Plain writes: nobody depends on this text, and it must not slow a lock down."""
    with contextlib.suppress(OSError):
        fsio.truncate(fd, 0)
        if text:
            fsio.write_at(fd, text.encode(), 0)
