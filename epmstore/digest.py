"""Identity of contents: the SHA-1 address, the SHA-256 witness, the size.

The address is plain `sha1(content)`, as an operator computes it with `sha1sum`. SHA-1 alone proves
nothing against a publisher who chose the file, so every blob also carries its SHA-256 and size; the
witness is what the store keys by, and both are checked wherever bytes become a blob again.
"""

import hashlib
from collections.abc import Iterable
from typing import NewType

import msgspec

from epmstore.errors import CollisionError, DigestMismatchError, UsageError

Digest = NewType("Digest", bytes)
"""SHA-1 of the plain bytes, 20 bytes: the address of a blob."""
Sha256 = NewType("Sha256", bytes)
"""SHA-256 of the plain bytes, 32 bytes: the witness of a blob."""


class BlobInfo(msgspec.Struct, frozen=True, gc=False):
    """What identifies one content. `size` in bytes. Equality is equality of all three."""

    digest: Digest
    sha256: Sha256
    size: int


class Purges(msgspec.Struct, frozen=True):
    """Which contents were purged. By their witness; and by the address alone, of which older
    programs said that everything that has it was.
    """

    contents: frozenset[Sha256] = frozenset()
    addresses: frozenset[Digest] = frozenset()

    def __contains__(self, info: object) -> bool:
        return isinstance(info, BlobInfo) and (
            info.sha256 in self.contents or info.digest in self.addresses
        )

    def __bool__(self) -> bool:
        return bool(self.contents or self.addresses)


def read_purges(said: Iterable[tuple[str | None, str | None]]) -> Purges:
    """What pairs of a SHA-1 and a SHA-256 come to, as purge records have them. Raises
    UsageError.
    """
    pairs = list(said)
    return Purges(
        frozenset(parse_sha256(sha256) for _, sha256 in pairs if sha256 is not None),
        frozenset(
            parse_digest(digest) for digest, sha256 in pairs if digest is not None and not sha256
        ),
    )


class Hasher:
    """Both digests of a stream in one pass."""

    def __init__(self) -> None:
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self._size = 0

    def update(self, data: bytes | memoryview) -> None:
        self._sha1.update(data)
        self._sha256.update(data)
        self._size += len(data)

    def info(self) -> BlobInfo:
        """The identity of everything given so far."""
        return BlobInfo(Digest(self._sha1.digest()), Sha256(self._sha256.digest()), self._size)


def identify(data: bytes | memoryview) -> BlobInfo:
    """The identity of a content held in memory."""
    return BlobInfo(
        Digest(hashlib.sha1(data, usedforsecurity=False).digest()),
        Sha256(hashlib.sha256(data).digest()),
        len(data),
    )


def identify_again(data: bytes | memoryview, before: BlobInfo | None) -> BlobInfo:
    """The identity of a content that is probably still the one from `before`: where the witness
    says so, the address follows from it and costs nothing.
    """
    if before is None or len(data) != before.size:
        return identify(data)
    sha256 = Sha256(hashlib.sha256(data).digest())
    if sha256 == before.sha256:
        return before
    digest = Digest(hashlib.sha1(data, usedforsecurity=False).digest())
    return BlobInfo(digest, sha256, len(data))


def identify_stream(chunks: Iterable[bytes]) -> BlobInfo:
    """The identity of a content that comes in pieces."""
    hasher = Hasher()
    for chunk in chunks:
        hasher.update(chunk)
    return hasher.info()


def check(data: bytes | memoryview, wanted: BlobInfo) -> None:
    """Raises DigestMismatchError unless `data` is exactly the content that `wanted` names.

    The witness decides; the address follows from it (the pair was checked when it was recorded).
    """
    if len(data) != wanted.size or hashlib.sha256(data).digest() != wanted.sha256:
        raise DigestMismatchError(
            f"content of {wanted.digest.hex()} does not match its digest",
            hint="run `epmstore fsck --read-data --repair`",
            digest=wanted.digest.hex(),
        )


def check_no_collision(known: BlobInfo, found: BlobInfo) -> None:
    """Raises CollisionError if two contents share an address and are not the same content."""
    if known.digest == found.digest and known != found:
        raise CollisionError(
            f"two different contents have the SHA-1 {found.digest.hex()}",
            hint="this does not happen by accident: find out who made the file",
            digest=found.digest.hex(),
            known=known.sha256.hex(),
            found=found.sha256.hex(),
        )


def parse_address(text: str) -> Digest | Sha256:
    """What names a content: its SHA-1, or its SHA-256, which no other has. Raises UsageError."""
    text = text.lower()
    return parse_sha256(text) if len(text) == 64 else parse_digest(text)


def parse_digest(text: str) -> Digest:
    """Raises UsageError unless `text` is 40 hexadecimal digits."""
    return Digest(_unhex(text, 20))


def parse_sha256(text: str) -> Sha256:
    """Raises UsageError unless `text` is 64 hexadecimal digits."""
    return Sha256(_unhex(text, 32))


def _unhex(text: str, size: int) -> bytes:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != size or len(text) != 2 * size:
        raise UsageError(f"{text!r} is not a digest of {2 * size} hexadecimal digits")
    return raw
