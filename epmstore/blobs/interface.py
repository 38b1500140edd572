"""What the rest of epmstore asks of stored contents, and what the blob store asks of the index."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from epmstore.digest import BlobInfo, Digest, Sha256
from epmstore.pack_table import Place


class BlobReader(Protocol):
    """Contents by identity. What comes out is always exactly the content that was asked for."""

    def has(self, info: BlobInfo) -> bool:
        """Whether the store says that it holds this content. Does not read it."""
        ...

    def missing(self, infos: Iterable[BlobInfo]) -> list[BlobInfo]:
        """Those that `has` would deny, and those of which a file is lost. Reads none of them."""
        ...

    def read(self, info: BlobInfo) -> bytes:
        """The whole content. Raises BlobNotFoundError, DamagedError."""
        ...

    def stream(self, info: BlobInfo) -> Iterator[bytes]:
        """The content in pieces, in bounded memory; the last piece comes only if all were right.

        Raises BlobNotFoundError, DamagedError.
        """
        ...

    def read_many(self, wanted: Iterable[BlobInfo]) -> Iterator[tuple[BlobInfo, bytes]]:
        """Each content once, in the order that decodes each frame once, not in the order given.

        Contents above the part threshold must be streamed instead. Raises BlobNotFoundError,
        DamagedError.
        """
        ...


class BlobTable(Protocol):
    """What the blob store needs to know of the index. Safe to call from worker threads."""

    def with_digest(self, digest: Digest) -> list[BlobInfo]:
        """Stored contents with this address; more than one only after a collision."""
        ...

    def places(self, wanted: Sequence[Sha256]) -> dict[Sha256, Place]:
        """Where contents (and parts) lie; what is not stored is left out."""
        ...

    def delta_bytes(self, base: Sha256) -> int:
        """Stored bytes of all deltas made against this content."""
        ...
