"""Who is at the other end of the socket, and what that one may do.

The kernel says who it is (SO_PEERCRED, SO_PEERGROUPS), at the moment of connecting; no text that a
client sends is ever believed about it.

    right     who has it
    LOOK      root, the owner of the store, the group: health, status, versions, metrics
    CONTENT   root, the owner of the store: what is in files, and which differ
    ACT       root, the owner of the store: jobs, pause and resume
"""

import enum
import errno
import grp
import pwd
import socket
import struct
from collections.abc import Set

import msgspec

from epmstore.workspace.actor import Actor

SO_PEERGROUPS = 59
MANY_GROUPS = 256
"""As many as Python can ask for. Of a process with more, only the first one counts."""
_CREDENTIALS = struct.Struct("=iII")


class AccessRight(enum.Enum):
    LOOK = "look"
    CONTENT = "content"
    ACT = "act"


class Peer(msgspec.Struct, frozen=True):
    """The process that connected, as it was then. `groups` with the supplementary ones."""

    pid: int
    uid: int
    gid: int
    groups: frozenset[int]


class Access(msgspec.Struct, frozen=True):
    """The table above. `owner` is a uid, `group` a gid or None for none."""

    owner: int
    group: int | None = None

    def rights(self, peer: Peer) -> Set[AccessRight]:
        """Empty for all others."""
        if peer.uid in (0, self.owner):
            return frozenset(AccessRight)
        if self.group is not None and self.group in peer.groups:
            return frozenset({AccessRight.LOOK})
        return frozenset()


def peer_of(connection: socket.socket) -> Peer:
    """Raises OSError."""
    size = _CREDENTIALS.size
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    pid, uid, gid = _CREDENTIALS.unpack(data)
    return Peer(pid, uid, gid, frozenset({gid, *_groups(connection)}))


def _groups(connection: socket.socket) -> tuple[int, ...]:
    """Of the kernels that can say; none elsewhere, so that no client is let in by mistake."""
    try:
        data = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, 4 * MANY_GROUPS)
    except OSError as error:
        if error.errno in (errno.ENOPROTOOPT, errno.ERANGE):
            return ()
        raise
    return struct.unpack(f"={len(data) // 4}I", data)


def actor_of(peer: Peer) -> Actor:
    """Who asks, for the record."""
    try:
        user = pwd.getpwuid(peer.uid).pw_name
    except KeyError:
        user = None
    return {"uid": peer.uid, "user": user, "via": "api"}


def name_of(peer: Peer) -> str:
    """The user's name, or the number if there is none."""
    return str(actor_of(peer).get("user") or peer.uid)


def gid_of(group: str) -> int | None:
    """None if this host has no such group."""
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        return None
