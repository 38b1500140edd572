"""Which contents are new: asked by every reader, for all readers of one job together.

A content is stored once, whichever process meets it first. Readers in processes of their own have a
Dedup each, and share their claims through memory.
"""

import contextlib
import hashlib
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, Self

from epmstore import fsio
from epmstore.blobs.blob_store import PackStore
from epmstore.digest import BlobInfo, Sha256
from epmstore.index.contents import Contents
from epmstore.relpath import RelPath

_SLOT = 32
_FREE = bytes(_SLOT)
_TABLES = (1 << 17, 1 << 20, 1 << 23)
"""Slots: enough for any tree that is recorded here; of more, some contents are stored twice."""
_NEAR = 64
"""Slots that a digest may lie behind its own."""


class Claims(Protocol):
    """What the readers of one job have taken upon themselves to store."""

    def take(self, sha256: Sha256) -> bool:
        """Whether it was not taken before."""
        ...


class OwnClaims:
    """Those of a single reader."""

    def __init__(self) -> None:
        self._taken: set[Sha256] = set()

    def take(self, sha256: Sha256) -> bool:
        if sha256 in self._taken:
            return False
        self._taken.add(sha256)
        return True


class SharedClaims:
    """Hash tables in memory that processes share: whole digests, open addressing, no lock.

    Two that write one slot in the same instant may both be told that they are the first: then a
    content is stored twice, which costs space. It cannot get lost: only who finds all bytes of a
    digest leaves it to the other.

    How many there will be is not known when the first is taken. So there are several tables, each
    larger than the one before, and a digest that finds no place near its own goes to the next: what
    is not used of a table takes no memory.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._table = mmap.mmap(fd, 0)

    @classmethod
    def create(cls) -> Self:
        """Raises OSError."""
        fd = os.memfd_create("epmstore-claims", os.MFD_CLOEXEC)
        fsio.truncate(fd, _SLOT * sum(_TABLES))
        return cls(fd)

    def take(self, sha256: Sha256) -> bool:
        number = int.from_bytes(sha256[:8])
        start = 0
        for size in _TABLES:
            for step in range(_NEAR):
                at = _SLOT * (start + (number + step) % size)
                found = self._table[at : at + _SLOT]
                if found == sha256:
                    return False
                if found == _FREE:
                    self._table[at : at + _SLOT] = sha256
                    return True
            start += size
        return True

    def close(self) -> None:
        self._table.close()
        os.close(self.fd)


class Dedup:
    """What is stored already, and where new contents go. `collided` are paths whose content has the
    address of another stored one. `purged` is what was never to be stored again when it began.
    """

    def __init__(
        self, packs: Path, contents: Contents, blobs: PackStore, claims: Claims | None = None
    ) -> None:
        self.packs = packs
        self.contents = contents
        self.blobs = blobs
        self.collided: list[RelPath] = []
        self._claims: Claims = claims or OwnClaims()
        self._empty = contents.is_empty()
        self.purged = contents.purged()

    def claim(self, info: BlobInfo, path: RelPath) -> bool:
        """Whether the caller is the one to store this content; what was purged is never stored."""
        if info in self.purged:
            return False
        if not self._empty:
            known = self.contents.with_digest(info.digest)
            if any(other.sha256 != info.sha256 for other in known):
                self.collided.append(path)
            if info in known:
                return False
        return self._claims.take(info.sha256)

    @contextlib.contextmanager
    def asked_much(self) -> Iterator[None]:
        """Many questions follow, each of which would else be a transaction of its own."""
        with self.contents.database.read():
            yield

    def has_part(self, sha256: Sha256) -> bool:
        return not self._empty and bool(self.contents.places([sha256]))

    def claim_part(self, sha256: Sha256) -> bool:
        """Whether the caller is the one to store this part of a large content. All that the readers
        of the job store must be kept, or nothing.
        """
        # not as a content: who stores a part stores no address
        name = Sha256(hashlib.sha256(b"part" + sha256).digest())
        return not self.has_part(sha256) and self._claims.take(name)
