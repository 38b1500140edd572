"""Contents that a store lacks, or has lost, sought where they may be: in live files, in folders, in
archives, in other stores.

A Seeker is not believed: the functions here compute both digests of what it offers, and store only
what is sought.
"""

from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import closing, suppress
from typing import NamedTuple, Protocol

import msgspec

from epmstore.blobs.pack import PART_THRESHOLD, GroupWriter, discard_written
from epmstore.digest import BlobInfo, Sha256, identify, identify_stream
from epmstore.errors import EpmError
from epmstore.progress import Progress
from epmstore.store.deposit import Deposit
from epmstore.store.store import Store


class ContentOffer(NamedTuple):
    """What may be a content that is sought: `size` bytes, in pieces that are read once, before the
    next offer is asked for.
    """

    size: int
    pieces: Iterator[bytes]


class Seeker(Protocol):
    """A place where contents may be. As a text it is what messages call it."""

    def offers(self, wanted: Collection[BlobInfo]) -> Iterator[ContentOffer]:
        """Whatever may be one of these. What is found is taken out of `wanted` meanwhile. A place
        that cannot be looked into at all is an error of its own; one that may not be there, or is
        damaged in part, just offers less.
        """


class CameFrom(msgspec.Struct, frozen=True):
    """How many contents came from a place, or would come, as about so many bytes."""

    place: str
    contents: int
    size: int


def find_contents(
    wanted: Collection[BlobInfo], seeker: Seeker, progress: Progress
) -> set[BlobInfo]:
    """Those that `fetch_contents` would store, without storing any. Raises as it does."""
    progress.begin(f"looking into {_short(seeker)}")
    left = set(wanted)
    with closing(_offers(seeker, left)) as offers:
        for offer in offers:
            left.discard(identify_stream(offer.pieces))
            progress.advance(size=offer.size)
    progress.end()
    return set(wanted) - left


def fetch_contents(
    store: Store, wanted: Collection[BlobInfo], seeker: Seeker, progress: Progress
) -> set[BlobInfo]:
    """Store those of `wanted`, which are not stored, that a seeker has; which they were. Raises
    CollisionError, OSError, and what the seeker raises.
    """
    for info in wanted:
        store.blobs.check_no_collision(info)
    progress.begin(f"looking into {_short(seeker)}")
    left = set(wanted)
    with Deposit(store) as deposit, closing(_offers(seeker, left)) as offers:
        for offer in offers:
            if offer.size > PART_THRESHOLD:
                _take_large(deposit, left, offer, deposit.dedup.has_part)
            else:
                _take_small(left, offer, deposit.add)
            progress.advance(size=offer.size)
        deposit.commit()
    progress.end()
    return set(wanted) - left


def give_anew(
    deposit: Deposit,
    wanted: Collection[BlobInfo],
    seeker: Seeker,
    has_part: Callable[[Sha256], bool],
    progress: Progress,
) -> set[Sha256]:
    """Have a deposit store those of `wanted` that a seeker has, whatever the store says that it
    holds; these, and the parts that were stored with them. `has_part` says which parts of large
    contents are sound there. Raises OSError.
    """
    progress.begin(f"looking into {_short(seeker)}")
    left, given = set(wanted), set[Sha256]()
    with closing(_offers(seeker, left)) as offers:
        for offer in offers:
            if offer.size > PART_THRESHOLD:
                given |= _take_large(deposit, left, offer, has_part)
            else:
                _take_small(left, offer, deposit.writer.add)
            progress.advance(size=offer.size)
    progress.end()
    return given | {info.sha256 for info in {*wanted} - left}


def as_far_as_readable(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """For a Seeker: what cannot be read to its end is another content than the one sought."""
    with suppress(EpmError, OSError):
        yield from pieces


def _offers(seeker: Seeker, left: set[BlobInfo]) -> Generator[ContentOffer, None, None]:
    """As long as anything is wanted."""
    if left:
        for offer in seeker.offers(left):
            yield offer
            if not left:
                return


def _take_small(
    left: set[BlobInfo], offer: ContentOffer, add: Callable[[BlobInfo, bytes], None]
) -> None:
    data = b"".join(offer.pieces)
    info = identify(data)
    if info in left:
        add(info, data)
        left.remove(info)


def _take_large(
    deposit: Deposit,
    left: set[BlobInfo],
    offer: ContentOffer,
    has_part: Callable[[Sha256], bool],
) -> set[Sha256]:
    """Written before it is known what it is, as it can be read only once; then kept, if it was
    sought. What was: the content and those of its parts that were not there.
    """
    with GroupWriter(deposit.store.packs) as writer:
        info = writer.add_large(offer.pieces, has_part)
        written = writer.finish()
    if info in left:
        deposit.take([written])
        left.remove(info)
        return {row.sha256 for row in written.group.blobs}
    discard_written(written)
    return set()


def _short(seeker: Seeker) -> str:
    return str(seeker).rpartition("/")[2]
