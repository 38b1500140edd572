"""What a remote really does: tried on one object of this host, and held against what was asked for.

What nothing relies on (parts of objects, conditions, a rename) may lack, and is told. Other
bytes than were written are a lie, and are wrong.
"""

import hashlib
import os
from collections.abc import Iterator
from typing import Final, Protocol, runtime_checkable

import msgspec

from epmstore.errors import BadObjectError, RemoteChangedError, RemoteDeniedError, RemoteError
from epmstore.remotes.checked import holds, read_small
from epmstore.remotes.names import split_name
from epmstore.remotes.remote import PIECE, Remote

SIZE: Final = 2 * PIECE + 1
_ELSEWHERE: Final = "nothing of epmstore is safe there: use another server"


class RemoteProbe(msgspec.Struct, frozen=True):
    """One thing that was tried. Not `ok` is what nothing can be built on."""

    name: str
    ok: bool
    detail: str
    hint: str | None = None


@runtime_checkable
class Conditional(Protocol):
    """A remote whose server may keep conditions."""

    def keeps_conditions(self, name: str) -> bool | None:
        """Whether the server itself refuses to replace what is not as expected; None if it knows no
        conditions. An object of that name is made.
        """
        ...


def probe(remote: Remote, place: Remote | None, name: str) -> Iterator[RemoteProbe]:
    """Try a remote by writing one object. `place` is the remote without what goes around it. Raises
    RemoteError where nothing at all can be done there.
    """
    data = os.urandom(SIZE)
    yield _whole(remote, name, data)
    yield _parts(remote, name, data)
    yield _replaced(remote, name)
    if isinstance(place, Conditional):
        yield _conditions(place, name)
    yield from _told(remote)
    yield _listed(remote, name)
    yield _deleted(remote, name)


def _whole(remote: Remote, name: str, data: bytes) -> RemoteProbe:
    pieces = [data[at : at + PIECE] for at in range(0, len(data), PIECE)]
    digest = hashlib.sha256(data).hexdigest()
    remote.write(name, pieces, len(data), digest)
    if holds(remote, name, len(data), digest):
        return RemoteProbe("writes", True, "what was written is there, and right")
    return RemoteProbe("writes", False, "it keeps other bytes than it was given", _ELSEWHERE)


def _parts(remote: Remote, name: str, data: bytes) -> RemoteProbe:
    for start, length in ((0, 1), (PIECE - 1, 2), (1000, PIECE), (SIZE - 1, 1)):
        if b"".join(remote.read(name, start, length)) != data[start : start + length]:
            said = "it gives other parts than were asked for"
            return RemoteProbe("parts", False, said, _ELSEWHERE)
    if not remote.abilities.parts:
        said = "it gives all of an object whatever part is asked for: reading little costs much"
        return RemoteProbe("parts", True, said)
    return RemoteProbe("parts", True, "parts of objects come as they are asked for")


def _replaced(remote: Remote, name: str) -> RemoteProbe:
    try:
        remote.delete(name)
    except RemoteDeniedError:
        before: bytes | None = read_small(remote, name, SIZE)
    else:
        before = None
    for data in (b"first", b"second"):
        remote.replace(name, data, before)
        before = data
        if read_small(remote, name, SIZE) != data:
            said = "what was replaced is still what it was"
            return RemoteProbe("replaces", False, said, _ELSEWHERE)
    try:
        remote.replace(name, b"third", b"first")
    except RemoteChangedError:
        return RemoteProbe("replaces", True, "a head is replaced where it is as expected")
    return RemoteProbe("replaces", False, "a head is replaced whatever it is", _ELSEWHERE)


def _conditions(place: Conditional, name: str) -> RemoteProbe:
    kept = place.keeps_conditions(name)
    said = "ignored, and it does not say so: nothing relies on them"
    if kept is None:
        said = "not known to the server, or misread: nothing relies on them"
    elif kept:
        said = "kept by the server"
    return RemoteProbe("conditions", True, said)


def _told(remote: Remote) -> Iterator[RemoteProbe]:
    """What was noticed on the way."""
    if not remote.abilities.syncs:
        said = "it does not make files durable when it is asked to: a power cut there may lose some"
        yield RemoteProbe("syncs", True, said)
    if not remote.abilities.at_once:
        said = "it cannot rename over a file: for a moment there is none while one is replaced"
        yield RemoteProbe("renames", True, said)


def _listed(remote: Remote, name: str) -> RemoteProbe:
    folders, _ = split_name(name)
    prefix = "".join(f"{folder}/" for folder in folders)
    try:
        found = {one.name for one in remote.list(prefix)}
    except BadObjectError as error:
        return RemoteProbe("lists", False, error.message, error.hint)
    lags = "" if name in found else "; what was just written is not listed yet"
    return RemoteProbe("lists", True, f"what is below a folder is listed{lags}")


def _deleted(remote: Remote, name: str) -> RemoteProbe:
    try:
        remote.delete(name)
    except RemoteDeniedError:
        return RemoteProbe("deletes", True, "this host may not delete, as is advised")
    except RemoteError as error:
        return RemoteProbe("deletes", True, f"nothing is deleted: {error.message}")
    if remote.stat(name) is not None:
        return RemoteProbe("deletes", True, "what was deleted is there, or is kept for a while")
    return RemoteProbe("deletes", True, "this host may delete, which pushes do not need")
