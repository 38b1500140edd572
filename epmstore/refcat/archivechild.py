"""What reads an archive in a process of its own: it has the limits of epmstore/limited.py, and says
what it finds in messages of about a megabyte.
"""

from collections.abc import Iterator

import msgspec

from epmstore.limited import serve
from epmstore.refcat.archives import Archive, ArchiveMember, MemberKind

BATCH = 1 << 20
PIECES = 1000


class ArchiveOrder(msgspec.Struct, frozen=True):
    """The descriptor of the archive, its name for messages, and whether only what a deb says of
    itself is asked for.
    """

    fd: int
    name: str
    control: bool = False


class ArchivePiece(msgspec.Struct, frozen=True, array_like=True):
    """A member, or the next bytes of its content. Names are bytes, as not all of them are text."""

    name: bytes | None
    kind: MemberKind = "file"
    mode: int = 0
    size: int = 0
    mtime_ns: int | None = None
    user: bytes | None = None
    group: bytes | None = None
    target: bytes | None = None
    data: bytes = b""


def read(setting: bytes) -> Iterator[object]:
    order = msgspec.msgpack.decode(setting, type=ArchiveOrder)
    with open(order.fd, "rb") as file:
        archive = Archive(file, order.name)
        if order.control:
            yield archive.control()
        else:
            yield from _pieces(archive)


def _pieces(archive: Archive) -> Iterator[list[ArchivePiece]]:
    batch: list[ArchivePiece] = []
    size = 0
    for member, content in archive.members():
        batch.append(_piece(member))
        if content is not None:
            for data in archive.read(content, member):
                batch.append(ArchivePiece(None, data=data))
                size += len(data)
                if size >= BATCH:
                    yield batch
                    batch, size = [], 0
        if len(batch) >= PIECES:
            yield batch
            batch, size = [], 0
    yield batch


def _piece(member: ArchiveMember) -> ArchivePiece:
    return ArchivePiece(
        name=_raw(member.name),
        kind=member.kind,
        mode=member.mode,
        size=member.size,
        mtime_ns=member.mtime_ns,
        user=None if member.user is None else _raw(member.user),
        group=None if member.group is None else _raw(member.group),
        target=None if member.target is None else _raw(member.target),
    )


def _raw(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def main() -> None:
    serve(read)
