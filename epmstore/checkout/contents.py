"""Writing many contents into new files: each frame of the store is decoded once, and where there is
enough to do, two threads share the work. Decoding, digests and writing give up the interpreter's
lock, so threads do.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager
from typing import TypeAlias, TypeVar

from epmstore.blobs.interface import BlobReader
from epmstore.blobs.pack import PART_THRESHOLD
from epmstore.digest import BlobInfo

_Place = TypeVar("_Place")
_Share = TypeVar("_Share")
Write: TypeAlias = Callable[[_Place, Iterable[bytes]], None]
Writer: TypeAlias = Callable[[], AbstractContextManager[Write[_Place]]]
"""Makes what writes the pieces of a content to a place; each thread has one of its own."""

WORKERS = 2
ALONE = 256
"""Contents up to which a second thread costs more than it brings."""


def write_contents(
    blobs: BlobReader, wanted: Mapping[BlobInfo, Sequence[_Place]], writer: Writer[_Place]
) -> None:
    """Each content to all of its places. What a writer raises ends everything.

    Raises BlobNotFoundError, DamagedError, OSError.
    """
    small = [info for info in wanted if info.size <= PART_THRESHOLD]
    shares = blobs.shares(small, WORKERS if len(small) > ALONE else 1)
    stop = threading.Event()

    def write_share(share: Iterator[tuple[BlobInfo, bytes]]) -> None:
        with writer() as write:
            for info, data in share:
                for place in wanted[info]:
                    write(place, (data,))
                if stop.is_set():
                    return

    _run(write_share, shares, stop)
    with writer() as write:
        for info in wanted.keys() - set(small):
            for place in wanted[info]:
                write(place, blobs.stream(info))


def _run(work: Callable[[_Share], None], shares: Sequence[_Share], stop: threading.Event) -> None:
    """Side by side; the first that fails stops the others."""
    if len(shares) < WORKERS:
        for share in shares:
            work(share)
        return
    with ThreadPoolExecutor(len(shares)) as pool:
        futures = [pool.submit(work, share) for share in shares]
        try:
            for future in as_completed(futures):
                future.result()
        finally:
            stop.set()
