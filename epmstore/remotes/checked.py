"""Objects, checked: every read of a remote that is relied upon goes through here.

A name, a size and a digest come from what is believed already; a remote gives bytes, and no more of
them are taken than were asked for.
"""

import hashlib
from collections.abc import Iterable, Iterator

from epmstore.errorform import from_system
from epmstore.errors import BadObjectError, RemoteTransientError
from epmstore.remotes.remote import Remote


def read_small(remote: Remote, name: str, limit: int) -> bytes:
    """All of an object of unknown size. Raises BadObjectError if that is beyond `limit` bytes, and
    as `Remote.read`.
    """
    found = bytearray()
    for piece in remote.read(name):
        found += piece
        if len(found) > limit:
            raise BadObjectError(f"{name} is larger than {limit} bytes", object=name)
    return bytes(found)


def read_checked(remote: Remote, name: str, size: int, sha256: str) -> bytes:
    """All of an object whose size and digest (hex) are known. Raises BadObjectError for any other
    bytes, and as `Remote.read`.
    """
    return b"".join(stream_checked(remote, name, size, sha256))


def stream_checked(remote: Remote, name: str, size: int, sha256: str) -> Iterator[bytes]:
    """The same in pieces; that all were right is known when the last has come."""
    hasher = hashlib.sha256()
    count = 0
    for piece in remote.read(name, 0, size):
        count += len(piece)
        if count > size:
            break
        hasher.update(piece)
        yield piece
    if count < size:
        raise RemoteTransientError(f"{name} ended after {count} of {size} bytes", object=name)
    if count > size or hasher.hexdigest() != sha256:
        raise BadObjectError(
            f"{name} is not what it should be: its digest is another one",
            hint="the remote lost or changed it; whoever wrote it can push again",
            object=name,
        )


def holds(remote: Remote, name: str, size: int, sha256: str) -> bool:
    """Whether an object is there, and right: by the digest of the remote, else by reading it."""
    info = remote.stat(name)
    if info is None or info.size != size:
        return False
    if info.sha256 is not None:
        return info.sha256 == sha256
    try:
        for _ in stream_checked(remote, name, size, sha256):
            pass
    except BadObjectError:
        return False
    return True


def checked_pieces(pieces: Iterable[bytes], size: int, sha256: str, name: str) -> Iterator[bytes]:
    """For who writes an object: its pieces. Raises BadObjectError at the end, before anything may
    have its name, if they were not those that were promised. What this host cannot read is no fault
    of the remote: an OSError of the pieces is an EpmError.
    """
    hasher = hashlib.sha256()
    count = 0
    for piece in _own(pieces):
        hasher.update(piece)
        count += len(piece)
        if count > size:
            break
        yield piece
    if count != size or hasher.hexdigest() != sha256:
        raise BadObjectError(
            f"{name} was not written: its bytes are not those that were to be written",
            hint="a file changed, or was damaged, while it was read: `epmstore fsck --read-data`",
            object=name,
        )


def _own(pieces: Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from pieces
    except OSError as error:
        raise from_system(error) from None


def exactly(pieces: Iterable[bytes], length: int | None, name: str) -> Iterator[bytes]:
    """For who reads an object: exactly `length` bytes of its pieces. Raises RemoteTransientError if
    there are fewer.
    """
    left = length
    for piece in pieces:
        if left is None:
            yield piece
            continue
        if piece[:left]:
            yield piece[:left]
        left -= len(piece[:left])
        if not left:
            return
    if left:
        raise RemoteTransientError(f"{name} ended {left} bytes too early", object=name)
