"""Extended attributes: which are recorded, how they are read, and how they are put back.

Recorded are `user.`, `trusted.` (seen by root only) and `security.` attributes and the two POSIX
ACLs. Other `system.` attributes are views that a file system computes.

Attributes are reached through an open descriptor or, where there is none (symlinks), through
`/proc/self/fd/N/NAME`, without following NAME.
"""

import errno
import os

from epmstore import fsio
from epmstore.tree import Xattrs

ACLS = ("system.posix_acl_access", "system.posix_acl_default")
CAPABILITY = "security.capability"
_RECORDED = ("user.", "trusted.", "security.")
# The kernel sets other security labels by its own policy; one that we did not record stays.
_REMOVABLE = ("user.", "trusted.", CAPABILITY)

XATTRS_MAX = 1 << 17
"""Bytes of all recorded attributes of one path, names included: the paths of one catalog line must
have room in it.
"""

_NONE_HERE = (errno.ENOTSUP, errno.ENODATA, errno.ENOSYS)
NOT_PERMITTED = (errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EINVAL, errno.EROFS)


def link_path(dir_fd: int, name: str) -> str:
    """A path that reaches an entry of an open directory, for calls without a `dir_fd`."""
    return f"/proc/self/fd/{dir_fd}/{name}"


def read_xattrs(where: int | str) -> Xattrs:
    """What is recorded of an open file, or of a `link_path`, in name order. Raises OSError."""
    try:
        names = _list(where)
    except OSError as error:
        if error.errno in _NONE_HERE:
            return ()
        raise
    if not names:
        return ()
    wanted = sorted(filter(is_recorded, names), key=os.fsencode)
    found = ((name, _get(where, name)) for name in wanted)
    return tuple((name, value) for name, value in found if value is not None)


def write_xattrs(where: int | str, wanted: Xattrs) -> list[str]:
    """Make the recorded attributes be `wanted`, touching only those that differ.

    Returns the names of those that the privilege or the file system does not allow. Raises OSError
    for anything else, such as a full disk.
    """
    refused: list[str] = []
    for name, value in missing_xattrs(read_xattrs(where), wanted).items():
        _attempt(refused, name, where, value)
    return sorted(refused)


def missing_xattrs(present: Xattrs, wanted: Xattrs) -> dict[str, bytes | None]:
    """What is to be set (None: removed) so that the recorded attributes are `wanted`."""
    if present == wanted:
        return {}
    extra = dict(present).keys() - dict(wanted).keys()
    missing: dict[str, bytes | None] = {
        name: None for name in extra if name.startswith(_REMOVABLE) or name in ACLS
    }
    missing.update(pair for pair in wanted if pair not in present)
    return missing


def is_too_much(xattrs: Xattrs) -> bool:
    return bool(xattrs) and sum(len(name) + len(value) for name, value in xattrs) > XATTRS_MAX


def is_recorded(name: str) -> bool:
    return name.startswith(_RECORDED) or name in ACLS


def _attempt(refused: list[str], name: str, where: int | str, value: bytes | None) -> None:
    try:
        if value is None:
            fsio.remove_xattr(where, name)
        else:
            fsio.set_xattr(where, name, value)
    except OSError as error:
        if error.errno not in NOT_PERMITTED:
            raise
        refused.append(name)


def _list(where: int | str) -> list[str]:
    if isinstance(where, int):
        return os.listxattr(where)
    return os.listxattr(where, follow_symlinks=False)


def _get(where: int | str, name: str) -> bytes | None:
    """None for one that vanished meanwhile, or that is listed and cannot be read."""
    try:
        if isinstance(where, int):
            return os.getxattr(where, name)
        return os.getxattr(where, name, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NONE_HERE:
            return None
        raise
