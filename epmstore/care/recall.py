"""Contents that a store lacks, or cannot read any more, are brought back where they are needed.

They are sought in live files, then by the seekers that the caller has, and stored anew whatever the
index says of them: what it knew of their places is forgotten in the same step. Packs that are
damaged stay where they are; `fsck --repair` is to find all that is wrong with them. What came stays
also if that is all that came: it is committed now and then.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from epmstore.care.live_sources import LiveFiles
from epmstore.digest import BlobInfo, Sha256
from epmstore.errors import BlobNotFoundError, DamagedError
from epmstore.progress import Progress
from epmstore.store.deposit import Deposit
from epmstore.store.seeking import CameFrom, ContentOffer, Seeker, find_contents, give_anew
from epmstore.store.store import Store

KEPT_AFTER: Final = 64 << 20
"""Bytes that come before what came is committed."""


def came_from(place: Seeker, found: Collection[BlobInfo]) -> CameFrom:
    """What was read there whole."""
    return CameFrom(str(place), len(found), sum(info.size for info in found))


def recall(
    store: Store, wanted: Collection[BlobInfo], seekers: Sequence[Seeker], progress: Progress
) -> tuple[list[CameFrom], set[BlobInfo]]:
    """(from where contents came, those of `wanted` that are nowhere). Raises CollisionError,
    BusyError, DamagedError, OSError, and what a seeker raises.
    """
    for info in wanted:
        store.blobs.check_no_collision(info)
    left, came = set(wanted), []
    with Deposit(store) as deposit:
        for seeker in (LiveFiles(store), *seekers):
            found = _take(deposit, left, seeker, progress) if left else set()
            if found:
                came.append(came_from(seeker, found))
                left -= found
    return came, left


def find(
    store: Store, wanted: Collection[BlobInfo], seekers: Sequence[Seeker], progress: Progress
) -> tuple[list[CameFrom], set[BlobInfo]]:
    """The same, of which nothing is stored: it is only read. Raises OSError, and what a seeker
    raises.
    """
    left, there = set(wanted), []
    for seeker in (LiveFiles(store), *seekers):
        found = find_contents(left, seeker, progress) if left else set()
        if found:
            there.append(came_from(seeker, found))
            left -= found
    return there, left


def _take(
    deposit: Deposit, wanted: Collection[BlobInfo], seeker: Seeker, progress: Progress
) -> set[BlobInfo]:
    """What of `wanted` a seeker has, stored."""
    store = deposit.store

    def is_sound(part: Sha256) -> bool:
        try:
            store.blobs.read_part(part)
        except (BlobNotFoundError, DamagedError):
            return False
        return True

    given = give_anew(deposit, wanted, _Keeping(seeker, deposit), is_sound, progress)
    deposit.commit(anew=True)
    return {info for info in wanted if info.sha256 in given}


class _Keeping:
    """A Seeker, of which what was taken is committed now and then."""

    def __init__(self, seeker: Seeker, deposit: Deposit) -> None:
        self._seeker = seeker
        self._deposit = deposit

    def __str__(self) -> str:
        return str(self._seeker)

    def offers(self, wanted: Collection[BlobInfo]) -> Iterator[ContentOffer]:
        """Between two offers nothing is half written."""
        size = 0
        for offer in self._seeker.offers(wanted):
            yield offer
            size += offer.size
            if size >= KEPT_AFTER:
                self._deposit.commit(anew=True)
                size = 0
