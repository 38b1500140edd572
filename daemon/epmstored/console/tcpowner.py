"""Who is at the other end of a TCP connection within this host: the kernel knows whose it is.

It is asked for one connection, by both of its ends (sock_diag(7)), which takes microseconds however
many there are. Of `ssh -L` the other end is the process of the user who logged in.
"""

import socket
import struct
from typing import Final

_SOCK_DIAG: Final = 4
_BY_FAMILY: Final = 20
_REQUEST: Final = 1
_ERROR: Final = 2
_ANY_STATE: Final = 0xFFFFFFFF
_NO_COOKIE: Final = 0xFFFFFFFF
_HEAD: Final = struct.Struct("=IHHII")
_ASKED: Final = struct.Struct("=BBBBI")
_IDENTITY: Final = struct.Struct(">HH16s16s")
_REST: Final = struct.Struct("=III")
_FOUND: Final = struct.Struct("=IIIII")
_OFFSET: Final = _HEAD.size + 4 + _IDENTITY.size + _REST.size
_LONGEST: Final = 8192


def owner_of(connection: socket.socket) -> int:
    """The uid of the other end. Raises OSError if the kernel does not say."""
    family = connection.family
    (there, there_port), (here, here_port) = (
        connection.getpeername()[:2],
        connection.getsockname()[:2],
    )
    identity = _IDENTITY.pack(
        there_port,
        here_port,
        socket.inet_pton(family, there).ljust(16, b"\0"),
        socket.inet_pton(family, here).ljust(16, b"\0"),
    )
    asked = _ASKED.pack(family, socket.IPPROTO_TCP, 0, 0, _ANY_STATE)
    body = asked + identity + _REST.pack(0, _NO_COOKIE, _NO_COOKIE)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _SOCK_DIAG) as kernel:
        kernel.settimeout(1.0)
        kernel.send(_HEAD.pack(_HEAD.size + len(body), _BY_FAMILY, _REQUEST, 1, 0) + body)
        return _uid(kernel.recv(_LONGEST))


def _uid(answer: bytes) -> int:
    kind = _HEAD.unpack_from(answer)[1]
    if kind == _ERROR:
        (number,) = struct.unpack_from("=i", answer, _HEAD.size)
        raise OSError(-number, "who has connected is not known")
    if kind != _BY_FAMILY or len(answer) < _OFFSET + _FOUND.size:
        raise OSError(0, "who has connected is not known")
    *_, uid, inode = _FOUND.unpack_from(answer, _OFFSET)
    if not inode:  # its process has let go of it: the kernel would say that it is root's
        raise OSError(0, "who has connected is gone")
    assert isinstance(uid, int)
    return uid
