"""A group: some sealed frames, one after another, and the table of the blobs in them.

The one unit in which contents become durable. A pack is one group and a trailer; a pack log is a
sequence of groups; the index holds the tables of all groups and can be rebuilt from them. These are
the values that the floors share; how they are written is the business of epmstore/blobs.
"""

import msgspec

from epmstore.digest import Digest, Sha256
from epmstore.seal import RecordKind

NO_FRAME = -1


class FrameRow(msgspec.Struct, frozen=True, gc=False):
    """One frame. `offset` is that of its seal, from the start of the group. Lengths in bytes."""

    kind: RecordKind
    offset: int
    head_length: int
    body_length: int
    plain_size: int


class BlobRow(msgspec.Struct, frozen=True, gc=False):
    """Where one content of a group lies.

    `digest` is None for a part, which is only ever reached through the blob that lists it. `frame`
    counts within the group. In a solid, part or stored frame, `offset` is that in the plain bytes
    and `length` is the size; in a delta frame both are those of the zstd frame within the body, and
    `base` is the content that it was made against. A large blob has `parts` instead: `frame` is
    NO_FRAME, offset and length are 0.
    """

    digest: Digest | None
    sha256: Sha256
    size: int
    frame: int
    offset: int
    length: int
    base: Sha256 | None = None
    parts: tuple[Sha256, ...] = ()


class GroupTable(msgspec.Struct, frozen=True):
    """The table of one group. `length` is that of all its records, footer included, in bytes."""

    frames: tuple[FrameRow, ...]
    blobs: tuple[BlobRow, ...]
    length: int


class DeltaFrame(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A content of `size` bytes as what makes it of the content `base`: a zstd frame."""

    sha256: Sha256
    size: int
    base: Sha256
    frame: bytes


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a stored content is read: a BlobRow joined with its frame and file.

    `file` is the path below `packs/`; `seal_offset` is from the start of that file. `kind` is None
    for a large blob, which lies in its `parts`.
    """

    sha256: Sha256
    size: int
    file: str
    kind: RecordKind | None
    seal_offset: int
    head_length: int
    body_length: int
    plain_size: int
    offset: int
    length: int
    base: Sha256 | None = None
    parts: tuple[Sha256, ...] = ()
