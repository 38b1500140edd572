"""What is said between who reads a package and who asked for it. Values. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from epmstore.catalog.model import Requirement
from epmstore.refcat.checker import CheckedRelease
from epmstore.refcat.signature import Fingerprint, PublicKey

MODULE: Final = "epmstore.package.packagechild"


class Order(msgspec.Struct, frozen=True):
    """The private copy of a package and its length, and how many bytes all in it may come to; its
    signature, with the keys that count and the time; what the newest releases of other applications
    need (for circles). `known` is a descriptor: where a package does not begin with the first line
    of its catalog, the Known that it follows is read from there. `whole` asks for all that a host
    never looks at, too.
    """

    path: str
    size: int
    most: int
    signature: bytes | None
    keys: Sequence[PublicKey]
    now: float
    needs: Mapping[str, Sequence[Requirement]]
    known: int
    whole: bool = False


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """Whose product's lines are in it, which is the first, and the head that this follows; and the
    number of the first release in it, as far as that can be told before anything is checked.
    """

    product: str
    first: int
    prev: str
    release: int | None = None


class LineBytes(msgspec.Struct, frozen=True, tag="lines"):
    """The next plain bytes of the lines."""

    data: bytes


class Sound(msgspec.Struct, frozen=True, tag="sound"):
    """The lines are a sound catalog: its length, head and releases, and who signed the package.
    `bases` are the SHA-256 of what deltas in it were made against.
    """

    lines: int
    head: str
    releases: Sequence[CheckedRelease]
    signer: Fingerprint | None
    bases: Sequence[bytes]


class Blob(msgspec.Struct, frozen=True, array_like=True):
    """A content: of a frame where it lies in it, or of a large one its `parts`."""

    sha256: bytes
    sha1: bytes | None
    size: int
    offset: int = 0
    length: int = 0
    base: bytes | None = None
    parts: Sequence[bytes] = ()


class Lacking(msgspec.Struct, frozen=True, tag="lacking"):
    """Contents that are not in it, and are needed: those of the newest release, and what there are
    differences to.
    """

    blobs: Sequence[Blob]


class Sealed(msgspec.Struct, frozen=True, tag="sealed"):
    """A frame of so many bytes, which follow; and what lies in it."""

    size: int
    blobs: Sequence[Blob]


class Piece(msgspec.Struct, frozen=True, tag="piece"):
    """The next bytes of a frame."""

    data: bytes


class Large(msgspec.Struct, frozen=True, tag="large"):
    """A content that lies in parts; those follow, each sealed, or named if the asker has it."""

    blob: Blob


class Held(msgspec.Struct, frozen=True, tag="held"):
    """A part that is not in it."""

    sha256: bytes


class Tagged(msgspec.Struct, frozen=True, tag="tagged"):
    """Words that its vendor gave it: said last, and only if the tables for people were asked for,
    too.
    """

    words: Sequence[str]


Message: TypeAlias = Begun | LineBytes | Sound | Lacking | Sealed | Piece | Large | Held | Tagged
