"""What a look at a live root could not see, or may not record, as values and as one error.

A path that a Problem names was not observed: its absence from a listing says nothing, and no plan
may touch it. Only `special` is harmless: FIFOs, sockets and devices are seen well, and never
recorded. Where something is mounted or ignored, it is not to be looked at (`is_gap`).
"""

import errno
import os
from typing import ClassVar, Literal, TypeAlias

import msgspec

from epmstore.errors import IncompleteError
from epmstore.limits import OURS
from epmstore.relpath import RelPath

ProblemKind: TypeAlias = Literal[
    "special",  # a FIFO, socket or device
    "unreadable",  # no permission, or an I/O error
    "mount",  # another file system is mounted there
    "covered",  # the same, and what is below it is recorded
    "ignored",  # the rules in force say not to look
    "vanished",  # was there a moment ago
    "unstable",  # changes faster than it can be read
]

_NO_GAP = ("special", "mount", "ignored")
# Besides the plain ones: a symlink, socket or other kind of file has taken the name.
_GONE = (errno.ENOENT, errno.ESTALE, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EINVAL)


class Problem(msgspec.Struct, frozen=True, gc=False):
    """One path that was not (fully) observed. `why` is for people; `kind` decides."""

    path: RelPath
    kind: ProblemKind
    why: str

    @property
    def is_gap(self) -> bool:
        """Whether something may have changed there that was not seen."""
        return self.kind not in _NO_GAP


class UnreadError(IncompleteError):
    """A file was not read; nothing that was read of it before counts."""

    code: ClassVar[str] = "unread"

    def __init__(self, name: str, kind: ProblemKind, why: str) -> None:
        super().__init__(f"{name!r} was not read: {why}", kind=kind)
        self.kind: ProblemKind = kind
        self.why = why

    def problem(self, path: RelPath) -> Problem:
        return Problem(path, self.kind, self.why)


def judge(error: OSError) -> tuple[ProblemKind, str]:
    """The kind and the reason of a failed look at a path. Raises the error itself if it says
    nothing about the path (no descriptors, no memory).
    """
    code = error.errno or 0
    if code in OURS:
        raise error
    if code in _GONE:
        return "vanished", "vanished or replaced meanwhile"
    if code == errno.EAGAIN:
        return "unstable", "somebody holds a lease on it"
    return "unreadable", os.strerror(code)
