import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore.scan.holes import BLOCK, Extent, write_sparse, zero_runs


def write(path: Path, chunks: list[bytes]) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        return write_sparse(fd, chunks)
    finally:
        os.close(fd)


def extents(path: Path) -> list[Extent]:
    """Where a file is more than holes, as the file system says."""
    found, end = [], 0
    with path.open("rb") as file, contextlib.suppress(OSError):  # nothing but a hole from there on
        os.fsync(file.fileno())
        while True:
            start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            found.append(Extent(start, end - start))
    return found


@pytest.mark.parametrize(
    ("chunk", "offset", "runs"),
    [
        (b"", 0, []),
        (bytes(BLOCK), 0, [Extent(0, BLOCK)]),
        (bytes(BLOCK - 1), 0, []),
        (bytes(3 * BLOCK), BLOCK, [Extent(BLOCK, 3 * BLOCK)]),
        (bytes(2 * BLOCK), 1, [Extent(BLOCK, BLOCK)]),  # aligned to the file, not to the chunk
        (b"x" + bytes(3 * BLOCK), 0, [Extent(BLOCK, 2 * BLOCK)]),
        (
            bytes(BLOCK) + b"x" * BLOCK + bytes(2 * BLOCK) + b"y",
            0,
            [Extent(0, BLOCK), Extent(2 * BLOCK, 2 * BLOCK)],
        ),
        (b"x" * 5 * BLOCK, 0, []),
    ],
)
def test_runs_of_zeros(chunk: bytes, offset: int, runs: list[Extent]) -> None:
    assert list(zero_runs(chunk, offset)) == runs


def test_blocks_of_zeros_become_holes(root: Path) -> None:
    if not extents_differ(root):
        pytest.skip("no holes on this file system")
    data = bytes(64 * BLOCK) + b"x" * BLOCK + bytes(63 * BLOCK)
    size = write(root / "file", [data[: 24 * BLOCK], data[24 * BLOCK :]])
    assert size == len(data)
    assert (root / "file").read_bytes() == data
    assert extents(root / "file") == [Extent(64 * BLOCK, BLOCK)]


def extents_differ(root: Path) -> bool:
    with (root / "probe").open("wb") as file:
        file.truncate(1 << 20)
    return extents(root / "probe") == []


PIECES = st.lists(
    st.one_of(
        st.integers(0, 3 * BLOCK).map(bytes),
        st.tuples(st.binary(min_size=1, max_size=4), st.integers(1, BLOCK)).map(
            lambda pair: pair[0] * pair[1]
        ),
    ),
    max_size=8,
)


@given(PIECES)
def test_sparse_files_read_back(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    path = tmp_path_factory.getbasetemp() / "sparse"
    assert write(path, pieces) == path.stat().st_size
    assert path.read_bytes() == b"".join(pieces)
