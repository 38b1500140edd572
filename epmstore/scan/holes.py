"""Files with holes: writing them again without filling the holes.

A hole reads as zeros, so it needs no record of its own: whatever comes back as a run of zeros, in
whole blocks, may be a hole again.
"""

from collections.abc import Iterable, Iterator

import msgspec

from epmstore import fsio

BLOCK = 4096

_ZEROS = bytes(BLOCK)


class Extent(msgspec.Struct, frozen=True, gc=False):
    """A stretch of a file, in bytes."""

    offset: int
    length: int


def zero_runs(chunk: bytes, offset: int = 0) -> Iterator[Extent]:
    """The stretches of whole, aligned blocks of zeros in a chunk that lies at `offset` of a file.

    Extents count from the start of the file.
    """
    start = None
    first = -offset % BLOCK
    for at in range(first, len(chunk) - BLOCK + 1, BLOCK):
        if chunk[at : at + BLOCK] == _ZEROS:
            start = at if start is None else start
        elif start is not None:
            yield Extent(offset + start, at - start)
            start = None
    if start is not None:
        end = first + (len(chunk) - first) // BLOCK * BLOCK
        yield Extent(offset + start, end - start)


def write_sparse(fd: int, chunks: Iterable[bytes]) -> int:
    """Write a content into a new, empty file, leaving holes for blocks of zeros; returns its size.

    Only blocks that lie whole in one chunk become holes. Raises OSError.
    """
    size = 0
    for chunk in chunks:
        view = memoryview(chunk)
        done = 0
        for run in zero_runs(chunk, size):
            _write(fd, view[done : run.offset - size], size + done)
            done = run.offset - size + run.length
        _write(fd, view[done:], size + done)
        size += len(chunk)
    fsio.truncate(fd, size)
    return size


def _write(fd: int, data: memoryview, offset: int) -> None:
    if data:
        fsio.write_at(fd, data, offset)
