"""Whether two of very many contents seem to have one address, asked in little memory. Pure."""

from collections.abc import Iterable
from itertools import pairwise

from epmstore.digest import BlobInfo

_SHORT = 8
"""Bytes of a digest of which two that differ are hardly ever alike."""
_PAIR = 2 * _SHORT
_SHARES = 32
"""They are looked at a share at a time."""


class CollisionFilter:
    """Contents that were met: of each the beginning of its address, and of its witness."""

    def __init__(self) -> None:
        self._shares = [bytearray() for _ in range(_SHARES)]

    def add(self, contents: Iterable[BlobInfo]) -> None:
        for content in contents:
            digest = content.digest
            self._shares[digest[0] % _SHARES] += digest[:_SHORT] + content.sha256[:_SHORT]

    def may_collide(self) -> bool:
        """Whether it is worth a closer look: of those that collide, none is missed."""
        return any(map(_may_collide, self._shares))


def _may_collide(share: bytearray) -> bool:
    met = bytes(share)
    pairs = sorted({met[at : at + _PAIR] for at in range(0, len(met), _PAIR)})
    return any(one[:_SHORT] == two[:_SHORT] for one, two in pairwise(pairs))
