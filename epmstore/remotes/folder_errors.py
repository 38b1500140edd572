"""What an operating system says about a folder of a remote, as the errors of remotes."""

import contextlib
import errno
from collections.abc import Iterator
from typing import Final

from epmstore.errors import (
    RemoteDeniedError,
    RemoteError,
    RemoteFullError,
    RemoteTransientError,
)
from epmstore.limits import limit_error

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_DENIED: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_PASSING: Final = (
    errno.ESTALE, errno.EIO, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH,
    errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.ENETDOWN, errno.ENETUNREACH,
    errno.EREMOTEIO, errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.ENOLCK, errno.ENOENT,
)  # fmt: skip
"""What file servers say that are away, restarted or slow. A folder that vanishes is made anew."""


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """An OSError of the block is one of a remote; or of this host, where that is at its limits."""
    try:
        yield
    except OSError as error:
        limit = limit_error(error, what)
        raise limit if limit is not None else _remote_error(error, what) from None


def _remote_error(error: OSError, what: str) -> RemoteError:
    text = f"{what}: {error.strerror or error}"
    if error.errno in _FULL:
        return RemoteFullError(
            text, hint="nothing is lost: make room on the remote, and run the command again"
        )
    if error.errno in _DENIED:
        return RemoteDeniedError(text, hint="let the user who runs this read and write the folder")
    if error.errno in _PASSING:
        return RemoteTransientError(text, hint="is the file server there, and mounted?")
    return RemoteError(text)
