"""Advisory locks: `flock` on files that are never deleted.

The kernel frees them when their holder dies, so there is no stale lock. Order, outermost first:
`gc`, then `app-<uuid>`, then `write`. A process that takes a lock exclusively writes into it who it
is, for the message that the next one prints.
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
LOCKS = Path("/proc/locks")
SHOWN = 3
"""So many of those who share a lock are named."""
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
    written, too; if it was never taken there, it is free. Raises BusyError, naming the holder,
    after `wait` s; OSError.
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
    """Whether a process holds the lock exclusively now. Taking it for a moment to find out, so
    a caller that wants it must be ready to try twice, as `hold` is.
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
    """None for a reader, where there is no such lock and none can be made."""
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
    holder = _holder(fd)
    return BusyError(
        f"the store is busy: {holder or 'another process'} holds the lock {name!r}",
        hint="try again when it is done",
        lock=name,
        holder=holder,
    )


def _holder(fd: int) -> str:
    """Who holds a lock, as far as can be told: who took it alone has written it down; of those who
    share it, and of one who was killed, the kernel knows. Empty if it is free.
    """
    written = os.pread(fd, 200, 0).decode(errors="replace").strip()
    processes = _processes(fd)
    if not processes:
        return written
    if any(written.startswith(f"process {process} ") for process in processes):
        return written
    shown = [f"process {process}{_command(process)}" for process in processes[:SHOWN]]
    more = len(processes) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _processes(fd: int) -> list[int]:
    """Who holds a `flock` on a file, by the kernel's table; the waiting ones are not in it."""
    found = os.fstat(fd)
    wanted = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    try:
        lines = LOCKS.read_text().splitlines()
    except OSError:
        return []
    rows = [line.split() for line in lines]
    return sorted(
        int(row[4])
        for row in rows
        if len(row) > 5 and row[1] == "FLOCK" and row[5] == wanted and int(row[4]) > 0
    )


def _command(process: int) -> str:
    """` (epmstore blob get)`: the beginning of its command line; empty if it is gone."""
    try:
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    text = " ".join(os.path.basename(word.decode(errors="replace")) for word in words[:5]).strip()
    return f" ({''.join(c if c.isprintable() else '?' for c in text)[:80]})" if text else ""


def _write_owner(fd: int, text: str) -> None:
    """Plain writes: nothing depends on this text, and it must not slow a lock down."""
    with contextlib.suppress(OSError):
        fsio.truncate(fd, 0)
        if text:
            fsio.write_at(fd, text.encode(), 0)
