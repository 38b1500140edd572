"""Limits of this process and of this host, and the errors that tell of them and of nothing else.

What the operating system refuses for want of descriptors or memory says nothing about the path that
was asked for: it must never read as "gone", "cannot be read" or "damaged".
"""

import errno
import os
import resource
from pathlib import Path
from typing import NamedTuple

from epmstore.errors import LimitError

OURS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EBADF, errno.EFAULT)
"""About this process or host, whatever path was named."""
ENOUGH = 64
"""Descriptors that any of our commands can do with."""
_OPEN = Path("/proc/self/fd")
NO_PROC = "this process sees no /proc, without which nothing can be looked at or changed safely"
MOUNT_PROC = "mount it where epmstore runs: `mount -t proc proc /proc`"


class Descriptors(NamedTuple):
    """How many this process has, may have (`soft`), and may allow itself (`hard`)."""

    used: int
    soft: int
    hard: int


def descriptors() -> Descriptors:
    """As it is now. -1 in use where that is not known."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        used = len(os.listdir(_OPEN)) - 1  # the listing holds one itself
    except OSError as error:
        used = soft if error.errno == errno.EMFILE else -1
    return Descriptors(used, soft, hard)


_before: int | None = None
"""What this process was started with, if it has allowed itself more since."""


def raise_descriptors() -> None:
    """Allow this process as many descriptors as it may have: for where a program begins."""
    global _before
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):  # a kernel may allow less than "unlimited"
        return
    _before = soft


def allow_as_before(process: int) -> None:
    """Give a foreign program that we started the limit that we were started with: some
    cannot name more than 1024 descriptors. One that has ended already needs nothing.
    """
    if _before is None:
        return
    try:
        _, hard = resource.prlimit(process, resource.RLIMIT_NOFILE)
        resource.prlimit(process, resource.RLIMIT_NOFILE, (min(_before, hard), hard))
    except (OSError, ValueError):
        return


OWNER = 0o700
_umask = -1
"""What this process was started with, if it has set another since; -1 is "the same" to `Popen`."""


def keep_own_rights() -> None:
    """Let the umask take nothing from the owner of what this process makes, which it has to open
    again: for where a program begins. To others it allows no more than before.
    """
    global _umask
    before = os.umask(0o077)
    os.umask(before & ~OWNER)
    if before & OWNER:
        _umask = before
    elif before != _umask & ~OWNER:  # else it is the one that was set here
        _umask = -1


def umask_as_before() -> int:
    """The umask that a foreign program is started with, as `Popen` takes it."""
    return _umask


def is_out_of_descriptors() -> bool:
    """Whether this process, or the host, has no descriptor left now."""
    try:
        os.close(os.open("/", os.O_PATH | os.O_CLOEXEC))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return False


def limit_error(error: OSError, what: str) -> LimitError | None:
    """The same as an error that names the limit; None for one that tells of something else. `what`
    could not be done.
    """
    if error.errno == errno.EMFILE:
        return descriptors_error(what)
    if error.errno == errno.ENFILE:
        hint = "raise it: sysctl fs.file-max"
        return LimitError(f"{what}: this host has no descriptors left", hint=hint, limit="file-max")
    return memory_error(what) if error.errno == errno.ENOMEM else None


def size_error(what: str) -> LimitError:
    """A file would be larger than this process, or the file system, allows."""
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if soft == resource.RLIM_INFINITY:
        return LimitError(
            f"{what}: a file would be larger than its file system allows",
            hint="move the store or the application to a file system for larger files",
            limit="file size",
        )
    return LimitError(
        f"{what}: a file would be larger than the {soft:,} bytes that this process may write"
        " (RLIMIT_FSIZE)",
        hint="raise the limit: `ulimit -f unlimited` in a shell, LimitFSIZE= in a unit",
        limit="RLIMIT_FSIZE",
    )


def memory_error(what: str) -> LimitError:
    """There is none left for this process."""
    return LimitError(
        f"{what}: no memory is left",
        hint="raise the limit of memory of this process or its unit, or end what takes it",
        limit="memory",
    )


def descriptors_error(what: str) -> LimitError:
    """This process has none left."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return LimitError(
        f"{what}: all {soft} descriptors of this process are in use (RLIMIT_NOFILE)",
        hint="raise the limit: `ulimit -n` in a shell, LimitNOFILE= in a unit"
        + ("" if soft == hard else f"; up to {hard} it needs no privilege"),
        limit="RLIMIT_NOFILE",
    )
