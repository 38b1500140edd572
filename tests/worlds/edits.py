"""What people and programs do to a root by hand, each as a value that can be carried out anywhere,
again, and shown as a line of shell. An edit that makes no sense where it comes does nothing.
"""

import contextlib
import ctypes
import fcntl
import os
import shlex
import shutil
import socket
import stat
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.worlds.looks import ROOT, above

_MNT_DETACH = 2
_IMMUTABLE, _GET_FLAGS, _SET_FLAGS = 0x10, 0x80086601, 0x40086602
_HOLE = 1 << 16
_NOBODY = 0xFFFF_FFFF
_ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in (
        (1, 7, _NOBODY),
        (2, 5, 1000),
        (4, 5, _NOBODY),
        (16, 7, _NOBODY),
        (32, 5, _NOBODY),
    )
)
"""As the kernel keeps it: what the owner, user 1000, the group and others may, and the mask."""
_CAPABILITY = struct.pack("<5I", 0x0200_0001, 1 << 10, 0, 0, 0)
"""To bind to low ports."""
_libc = ctypes.CDLL(None, use_errno=True)


class Edit(NamedTuple):
    """`verb` is a name in VERBS; what `value` means is its business."""

    verb: str
    path: bytes
    value: Any = None

    def do(self, root: bytes) -> None:
        where = root if self.path == ROOT else root + b"/" + self.path
        with contextlib.suppress(OSError):
            VERBS[self.verb](where, self.value)

    def shell(self, root: str = "$R") -> str:
        where = root if self.path == ROOT else f"{root}/{quoted(self.path)}"
        return SHELL[self.verb].format(p=where, v=_shown(self.value), r=root)


def quoted(path: bytes) -> str:
    """As bash reads it back."""
    text = path.decode("utf-8", "backslashreplace")
    if len(path) < 60 and text.isprintable() and "\\" not in text:
        return shlex.quote(text)
    if len(set(path)) == 1:
        return f"$(printf '%0{len(path)}d' 0 | tr 0 {chr(path[0])})"
    letters = (chr(b) if 32 <= b < 127 and b not in b"'\\" else f"\\{b:03o}" for b in path)
    return f"$'{''.join(letters)}'"


def _shown(value: Any) -> str:
    return quoted(value) if isinstance(value, bytes) else str(value)


def content(name: bytes) -> bytes:
    """What a file holds, from the name of the content; `big-3` is larger, and does not compress."""
    if name == b"empty":
        return b""
    if name.startswith(b"big"):
        state, words = sum(name) + 1, []
        for _ in range(12_000):
            state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
            words.append(state.to_bytes(8, "big")[:6])
        return b"".join(words)
    return name + b"\n"


def _clear(where: bytes) -> None:
    """Away with what is there, and with whatever stands where a folder has to be."""
    top = os.path.dirname(where)
    for folder in (*above(top), top):
        if folder and not os.path.isdir(folder) and os.path.lexists(folder):
            os.unlink(folder)
    os.makedirs(top, exist_ok=True)
    _remove(where)


def _remove(where: bytes, value: Any = None) -> None:
    if os.path.isdir(where) and not os.path.islink(where):
        shutil.rmtree(where)
    elif os.path.lexists(where):
        os.unlink(where)


def _write(where: bytes, value: bytes) -> None:
    _clear(where)
    with open(where, "wb") as file:
        file.write(content(value))


def _sparse(where: bytes, value: bytes) -> None:
    """A content behind a hole, and a hole behind it."""
    _clear(where)
    with open(where, "wb") as file:
        file.seek(_HOLE)
        file.write(content(value))
        file.truncate(3 * _HOLE)


def _overwrite(where: bytes, value: bytes) -> None:
    """In place: inode and metadata stay."""
    if os.path.isfile(where) and not os.path.islink(where):
        with open(where, "r+b") as file:
            file.write(content(value))
            file.truncate()


def _disguise(where: bytes, value: bytes) -> None:
    """Other bytes of the same size, with the time of before."""
    stats = os.lstat(where)
    _overwrite(where, value)
    os.utime(where, ns=(stats.st_mtime_ns, stats.st_mtime_ns), follow_symlinks=False)


def _folder(where: bytes, value: Any) -> None:
    if not os.path.isdir(where) or os.path.islink(where):
        _clear(where)
        os.mkdir(where)


def _device(where: bytes, value: Any) -> None:
    _clear(where)
    os.mknod(where, stat.S_IFCHR | 0o600, os.makedev(1, 3))


def _symlink(where: bytes, value: bytes) -> None:
    _clear(where)
    os.symlink(value, where)


def _link(where: bytes, value: bytes) -> None:
    """A further name of another file of the root (`value` is its path), or of one outside."""
    root = where[: -len(where.split(b"/root/", 1)[1]) - 1]
    old = root + b"/" + value
    if os.path.isfile(old) and not os.path.islink(old) and old != where:
        _clear(where)
        os.link(old, where)


def _fifo(where: bytes, value: Any) -> None:
    _clear(where)
    os.mkfifo(where)


def _socket(where: bytes, value: Any) -> None:
    _clear(where)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(where)


def _mode(where: bytes, value: str) -> None:
    if not os.path.islink(where):
        os.chmod(where, int(value, 8))


def _owner(where: bytes, value: int) -> None:
    os.chown(where, value, value, follow_symlinks=False)


def _time(where: bytes, value: int) -> None:
    """Seconds since 1970, of any size."""
    os.utime(where, ns=(value * 10**9, value * 10**9), follow_symlinks=False)


def _attribute(where: bytes, value: str) -> None:
    os.setxattr(where, "user.note", value.encode(), follow_symlinks=False)


def _acl(where: bytes, value: str) -> None:
    """For a user, and for what comes into a folder; the mode changes with it."""
    if not os.path.islink(where):
        os.setxattr(where, f"system.posix_acl_{value}", _ACL)


def _capability(where: bytes, value: Any) -> None:
    if os.path.isfile(where) and not os.path.islink(where):
        os.setxattr(where, "security.capability", _CAPABILITY)


def immutable(where: bytes, value: Any = None) -> None:
    _set_flag(where, _IMMUTABLE)


def mutable(where: bytes, value: Any = None) -> None:
    _set_flag(where, 0)


def _set_flag(where: bytes, flag: int) -> None:
    kind = stat.S_IFMT(os.lstat(where).st_mode)
    if kind not in (stat.S_IFREG, stat.S_IFDIR):
        return
    fd = os.open(where, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        flags = struct.unpack("i", fcntl.ioctl(fd, _GET_FLAGS, struct.pack("i", 0)))[0]
        fcntl.ioctl(fd, _SET_FLAGS, struct.pack("i", flags & ~_IMMUTABLE | flag))
    finally:
        os.close(fd)


def _rename(where: bytes, value: bytes) -> None:
    """To a path that is there no more afterwards."""
    root = where[: -len(where.split(b"/root/", 1)[1]) - 1]
    new = root + b"/" + value
    if os.path.lexists(where) and not (new + b"/").startswith(where + b"/"):
        _clear(new)
        os.rename(where, new)


def _aside(where: bytes, value: str) -> None:
    """Another folder stands in the place of a root, or nothing does."""
    if os.path.isdir(where) and not os.path.lexists(where + b".aside"):
        os.rename(where, where + b".aside")
        if value == "new":
            os.mkdir(where)


def _back(where: bytes, value: Any = None) -> None:
    if os.path.isdir(where + b".aside"):
        _remove(where)
        os.rename(where + b".aside", where)


def _mount(where: bytes, value: Any) -> None:
    """Another file system, over a folder and what is in it."""
    if os.path.isdir(where) and not os.path.islink(where) and not os.path.ismount(where):
        _libc.mount(b"tmpfs", where, b"tmpfs", 0, b"size=64k")


def unmount(where: bytes, value: Any = None) -> None:
    _libc.umount2(where, _MNT_DETACH)


VERBS: dict[str, Callable[[bytes, Any], None]] = {
    "write": _write,
    "overwrite": _overwrite,
    "disguise": _disguise,
    "remove": _remove,
    "folder": _folder,
    "symlink": _symlink,
    "link": _link,
    "fifo": _fifo,
    "socket": _socket,
    "device": _device,
    "sparse": _sparse,
    "acl": _acl,
    "capability": _capability,
    "immutable": immutable,
    "mutable": mutable,
    "mode": _mode,
    "owner": _owner,
    "time": _time,
    "attribute": _attribute,
    "rename": _rename,
    "mount": _mount,
    "unmount": unmount,
    "aside": _aside,
    "back": _back,
}
_PARENT = 'mkdir -p "$(dirname {p})"; rm -rf {p}; '
SHELL = {
    "write": _PARENT + "content {v} >{p}",
    "overwrite": "content {v} | dd of={p} status=none",
    "disguise": "touch -r {p} $W/t; content {v} | dd of={p} status=none; touch -r $W/t {p}",
    "remove": "rm -rf {p}",
    "folder": "[ -d {p} ] || {{ rm -f {p}; mkdir -p {p}; }}",
    "symlink": _PARENT + "ln -s {v} {p}",
    "link": _PARENT + "ln {r}/{v} {p}",
    "fifo": _PARENT + "mkfifo {p}",
    "socket": _PARENT + "python3 -c 'import socket,sys;"
    " socket.socket(socket.AF_UNIX).bind(sys.argv[1])' {p}",
    "device": _PARENT + "mknod {p} c 1 3",
    "sparse": _PARENT + "content {v} | dd of={p} bs=64k seek=1 status=none; truncate -s 192k {p}",
    "acl": "setfacl -m $([ {v} = access ] || echo d:)u:1000:r-x {p}",
    "capability": "setcap cap_net_bind_service+ep {p}",
    "immutable": "chattr +i {p}",
    "mutable": "chattr -i {p}",
    "mode": "chmod {v} {p}",
    "owner": "chown -h {v}:{v} {p}",
    "time": "touch -h -d @{v} {p}",
    "attribute": "setfattr -h -n user.note -v {v} {p}",
    "rename": 'mkdir -p "$(dirname {r}/{v})"; rm -rf {r}/{v}; mv -T {p} {r}/{v}',
    "mount": "mount -t tmpfs -o size=64k tmpfs {p}",
    "unmount": "umount {p}",
    "aside": "mv {p} {p}.aside; [ {v} != new ] || mkdir {p}",
    "back": "[ ! -d {p}.aside ] || {{ rm -rf {p}; mv {p}.aside {p}; }}",
}
