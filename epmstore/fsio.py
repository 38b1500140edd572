"""System calls that change files, one function each; nothing else in epmstore mutates a file
system.

Every name is a single component below an open directory descriptor, and no call follows a symlink
in its last component. `FaultHook` is the one seam for tests: it sees each mutating call before it
is made, and may count it, fail it or kill the process. Nothing here retries, composes or decides:
see atomic.py.
"""

import ctypes
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Callable
from typing import TypeAlias

DirFd: TypeAlias = int

READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
PLACE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
UNNAMED = os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC
PRIVATE = 0o700
"""The mode of what no other user may look into."""
PROTECTED = 0x10 | 0x20
"""Immutable, append-only: among the `lsattr` flags and the attributes of statx alike."""
APPEND = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2
_FS_IOC_GETFLAGS = 0x80086601
_AT_SYMLINK_NOFOLLOW = 0x100
_STATX_SIZE = 256
_STATX_ATTRIBUTES = 8
_STATX_KNOWN = 56
_NUMBER = struct.Struct("=Q")
_libc = ctypes.CDLL(None, use_errno=True)
_statx = getattr(_libc, "statx", None)

FaultHook: TypeAlias = Callable[[str, tuple[object, ...]], None]
_fault: FaultHook | None = None


def install_fault(fault: FaultHook | None) -> None:
    """For tests: `fault(call, arguments)` is called before each mutating call, and may raise.

    What it gets is enough to do the call itself, or half of it: names, then the descriptors that
    they are below, then what is to be set; of a write the descriptor, the bytes, and the offset if
    there is one.
    """
    global _fault
    _fault = fault


def _before(call: str, *arguments: object) -> None:
    if _fault is not None:
        _fault(call, arguments)


# Looking: these change nothing and are here so that their flags stand in one place.


def open_root(path: str | bytes) -> DirFd:
    """A descriptor of a directory named by an absolute path; the last component is no symlink."""
    return os.open(path, DIRECTORY)


def open_directory(name: str | bytes, parent: DirFd) -> DirFd:
    return os.open(name, DIRECTORY, dir_fd=parent)


def open_file(name: str | bytes, parent: DirFd) -> int:
    """For reading; does not hang on a FIFO and does not follow a symlink."""
    return os.open(name, READ, dir_fd=parent)


def open_place(name: str | bytes, parent: DirFd) -> int:
    """For `fstat` and `set_opened_times` only; takes no permission, and follows no symlink."""
    return os.open(name, PLACE, dir_fd=parent)


def lstat(name: str | bytes, parent: DirFd) -> os.stat_result:
    return os.stat(name, dir_fd=parent, follow_symlinks=False)


def attribute_flags(fd: int) -> int:
    """The `lsattr` flags of an open file; 0 where the file system has none."""
    buffer = bytearray(8)
    try:
        fcntl.ioctl(fd, _FS_IOC_GETFLAGS, buffer)
    except OSError:
        return 0
    return int(struct.unpack("<q", buffer)[0])


def is_protected(name: str | bytes, parent: DirFd) -> bool | None:
    """Whether an entry is immutable or append-only, without opening it; None where the file system
    or the C library does not say. Raises OSError.
    """
    if _statx is None:
        return None
    buffer = ctypes.create_string_buffer(_STATX_SIZE)
    _check(_statx(parent, os.fsencode(name), _AT_SYMLINK_NOFOLLOW, 0, buffer), name)
    (attributes,) = _NUMBER.unpack_from(buffer, _STATX_ATTRIBUTES)
    (known,) = _NUMBER.unpack_from(buffer, _STATX_KNOWN)
    return bool(attributes & PROTECTED) if known & PROTECTED == PROTECTED else None


# Changing.


def create(name: str | bytes, parent: DirFd, mode: int = 0o600) -> int:
    """A new file, open for writing. Raises FileExistsError."""
    _before("create", name, parent)
    return os.open(name, CREATE, mode, dir_fd=parent)


def create_unnamed(parent: DirFd) -> int:
    """A new file that no folder names, and that is gone when it is closed; no watcher sees a
    change. Raises OSError where the file system has none.
    """
    return os.open(".", UNNAMED, 0o600, dir_fd=parent)


def open_append(name: str | bytes, parent: DirFd) -> int:
    """An existing file of ours, open for reading and writing at explicit offsets."""
    return os.open(name, APPEND, dir_fd=parent)


def write(fd: int, data: bytes | bytearray | memoryview) -> None:
    """All of `data`, at the file's offset."""
    _before("write", fd, data, None)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_at(fd: int, data: bytes | memoryview, offset: int) -> None:
    """All of `data`, at `offset`."""
    _before("write", fd, data, offset)
    view = memoryview(data)
    while view:
        count = os.pwrite(fd, view, offset)
        view, offset = view[count:], offset + count


def truncate(fd: int, size: int) -> None:
    _before("truncate", fd, size)
    os.ftruncate(fd, size)


def allocate(fd: int, size: int) -> None:
    """Reserve `size` bytes from the start. Raises OSError (ENOSPC) and changes nothing visible."""
    _before("allocate", fd, size)
    if size:
        os.posix_fallocate(fd, 0, size)


def sync_file(fd: int) -> None:
    """Data and metadata durable. An error is final: write the file again from its source."""
    _before("fsync", fd)
    os.fsync(fd)


def sync_data(fd: int) -> None:
    """Data and size durable."""
    _before("fdatasync", fd)
    os.fdatasync(fd)


def sync_directory(fd: DirFd) -> None:
    """Names in a directory durable."""
    _before("fsyncdir", fd)
    os.fsync(fd)


def sync_filesystem(fd: int) -> None:
    """Everything on the file system of `fd` durable."""
    _before("syncfs", fd)
    _check(_libc.syncfs(fd))


def rename(old: str | bytes, old_parent: DirFd, new: str | bytes, new_parent: DirFd) -> None:
    """Replaces `new` if it is there."""
    _before("rename", old, new, old_parent, new_parent)
    os.rename(old, new, src_dir_fd=old_parent, dst_dir_fd=new_parent)


def rename_new(old: str | bytes, old_parent: DirFd, new: str | bytes, new_parent: DirFd) -> None:
    """Raises FileExistsError if `new` is there."""
    _before("rename", old, new, old_parent, new_parent)
    _renameat2(old, old_parent, new, new_parent, _RENAME_NOREPLACE)


def exchange(one: str | bytes, one_parent: DirFd, two: str | bytes, two_parent: DirFd) -> None:
    """Two names swap what they name, in one step. Raises OSError (EINVAL) where that does not
    exist.
    """
    _before("exchange", one, two, one_parent, two_parent)
    _renameat2(one, one_parent, two, two_parent, _RENAME_EXCHANGE)


def unlink(name: str | bytes, parent: DirFd) -> None:
    _before("unlink", name, parent)
    os.unlink(name, dir_fd=parent)


def make_directory(name: str | bytes, parent: DirFd, mode: int = 0o700) -> None:
    _before("mkdir", name, parent)
    os.mkdir(name, mode, dir_fd=parent)


def remove_directory(name: str | bytes, parent: DirFd) -> None:
    _before("rmdir", name, parent)
    os.rmdir(name, dir_fd=parent)


def make_symlink(target: str | bytes, name: str | bytes, parent: DirFd) -> None:
    _before("symlink", name, parent, target)
    os.symlink(target, name, dir_fd=parent)


def make_link(old: str | bytes, old_parent: DirFd, new: str | bytes, new_parent: DirFd) -> None:
    _before("link", old, new, old_parent, new_parent)
    os.link(old, new, src_dir_fd=old_parent, dst_dir_fd=new_parent, follow_symlinks=False)


def set_mode(fd: int, mode: int) -> None:
    _before("chmod", fd, mode)
    os.fchmod(fd, mode)


def set_owner(fd: int, uid: int, gid: int) -> None:
    _before("chown", fd, uid, gid)
    os.fchown(fd, uid, gid)


def set_link_owner(name: str | bytes, parent: DirFd, uid: int, gid: int) -> None:
    """Of a symlink itself."""
    _before("chown", name, parent, uid, gid)
    os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)


def bind_socket(listener: socket.socket, name: str, parent: DirFd) -> None:
    """Give a Unix socket its name, however long the path of `parent` is. Raises FileExistsError as
    OSError with EADDRINUSE.
    """
    _before("bind", name, parent)
    listener.bind(f"/proc/self/fd/{parent}/{name}")


def set_named_mode(name: str, parent: DirFd, mode: int) -> None:
    """Of a socket or folder of ours. In a folder of ours alone: it would follow a symlink."""
    _before("chmod", name, parent, mode)
    os.chmod(name, mode, dir_fd=parent)


def set_opened_times(fd: int, mtime_ns: int) -> None:
    """As `set_times`, of what is open only as a place (`open_place`)."""
    _before("utime", fd, mtime_ns)
    os.utime(f"/proc/self/fd/{fd}", ns=(mtime_ns, mtime_ns))


def set_times(fd: int, mtime_ns: int) -> None:
    _before("utime", fd, mtime_ns)
    os.utime(fd, ns=(mtime_ns, mtime_ns))


def set_link_times(name: str | bytes, parent: DirFd, mtime_ns: int) -> None:
    """Of a symlink itself."""
    _before("utime", name, parent, mtime_ns)
    os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=parent, follow_symlinks=False)


def set_xattr(fd: int | str, name: str, value: bytes) -> None:
    """`fd` may be a `/proc/self/fd/N/NAME` path: symlinks have no descriptor to write to."""
    _before("setxattr", fd, name, value)
    os.setxattr(fd, name, value, follow_symlinks=False) if isinstance(fd, str) else os.setxattr(
        fd, name, value
    )


def remove_xattr(fd: int | str, name: str) -> None:
    _before("removexattr", fd, name)
    os.removexattr(fd, name, follow_symlinks=False) if isinstance(fd, str) else os.removexattr(
        fd, name
    )


def _renameat2(
    old: str | bytes, old_parent: DirFd, new: str | bytes, new_parent: DirFd, flags: int
) -> None:
    _check(
        _libc.renameat2(old_parent, os.fsencode(old), new_parent, os.fsencode(new), flags),
        old,
        new,
    )


def _check(result: int, *names: str | bytes) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), *map(os.fsdecode, names[:1]))


def is_full(error: OSError) -> bool:
    """Whether a call failed for want of space, inodes or quota."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
