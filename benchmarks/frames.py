"""Frame size, order, level and tables, measured over a real tree: sizes, and CPU seconds.

    python -m benchmarks.frames TREE [--next NEWER]

One process, contents in memory, no disk: what compression alone costs and gives. Times are CPU
seconds of this process, so that a busy machine does not matter much; compare within one run only.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import zstandard

from benchmarks.stages import files_of
from epmstore import codec

SIZES = (0, 1 << 17, 1 << 18, 1 << 19, 1 << 20, 1 << 21, 1 << 22)
LEVELS = (1, 2, 3, 4, 5, 6, 9)
MB = 1_000_000
Order = Callable[[str], object]
ORDERS: dict[str, Order] = {
    "path": lambda path: path,
    "kind (suffix), then path": lambda path: (Path(path).suffix, path),
    "file name, then path": lambda path: (Path(path).name, path),
}


class Row(NamedTuple):
    what: str
    stored: int
    packing: float
    unpacking: float


def contents_of(tree: Path) -> dict[str, bytes]:
    """By path: every regular file."""
    return {
        path: (tree / path).read_bytes()
        for path in files_of(tree)
        if not (tree / path).is_symlink()
    }


def frames(contents: dict[str, bytes], size: int, order: Order) -> Iterator[bytes]:
    """Joined up to `size` bytes a frame (0: one file each); a larger one has one for itself."""
    waiting: list[bytes] = []
    held = 0
    for path in sorted(contents, key=order):  # type: ignore[arg-type]
        data = contents[path]
        if waiting and held + len(data) > size:
            yield b"".join(waiting)
            waiting, held = [], 0
        waiting.append(data)
        held += len(data)
    if waiting:
        yield b"".join(waiting)


def measure(what: str, plain: list[bytes], compress: Callable[[bytes], bytes]) -> Row:
    begun = time.process_time()
    packed = [compress(data) for data in plain]
    packing = time.process_time() - begun
    begun = time.process_time()
    for frame, data in zip(packed, plain, strict=True):
        codec.decompress(frame, len(data))
    return Row(what, sum(map(len, packed)), packing, time.process_time() - begun)


def compressor(level: int, **tables: int) -> Callable[[bytes], bytes]:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level, write_checksum=True, write_content_size=True, **tables
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress


def by_size(contents: dict[str, bytes]) -> Iterator[Row]:
    for size in SIZES:
        plain = list(frames(contents, size, ORDERS["path"]))
        what = f"{size >> 10} KiB" if size else "a frame for each file"
        yield measure(f"{what} ({len(plain):,} frames)", plain, compressor(codec.LEVEL))


def by_order(contents: dict[str, bytes]) -> Iterator[Row]:
    for name, order in ORDERS.items():
        yield measure(name, list(frames(contents, 1 << 20, order)), compressor(codec.LEVEL))


def by_level(contents: dict[str, bytes]) -> Iterator[Row]:
    plain = list(frames(contents, 1 << 20, ORDERS["path"]))
    for level in LEVELS:
        yield measure(f"level {level}", plain, compressor(level))
    yield measure("as contents are packed", plain, codec.compress_contents)
    for log in (14, 15, 16, 17):
        tables = compressor(codec.LEVEL, hash_log=log, chain_log=log)
        yield measure(f"level {codec.LEVEL}, tables of 2^{log}", plain, tables)


def by_delta(older: dict[str, bytes], newer: dict[str, bytes]) -> Iterator[Row]:
    """What changed from one release to the next, against its older self and without."""
    pairs = [
        (older[path], data) for path, data in newer.items() if path in older and older[path] != data
    ]
    joined = list(frames({f"{n:06}": new for n, (_, new) in enumerate(pairs)}, 1 << 20, str))
    yield measure("no deltas, frames of 1 MiB", joined, compressor(codec.LEVEL))
    for level in (1, 3, 6, 9):
        begun = time.process_time()
        packed = [codec.compress_delta(new, old, level) for old, new in pairs]
        packing = time.process_time() - begun
        begun = time.process_time()
        for frame, (old, new) in zip(packed, pairs, strict=True):
            codec.decompress_delta(frame, old, len(new))
        spent = time.process_time() - begun
        yield Row(f"{len(pairs):,} deltas, level {level}", sum(map(len, packed)), packing, spent)


def show(title: str, rows: Iterator[Row]) -> None:
    print(f"\n| {title} | stored, MB | packing, CPU s | unpacking, CPU s |\n|---|---|---|---|")
    for row in rows:
        stored = f"{row.stored / MB:.2f}"
        print(f"| {row.what} | {stored} | {row.packing:.2f} | {row.unpacking:.2f} |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure frame sizes, orders, levels and deltas.")
    parser.add_argument("tree", type=Path)
    parser.add_argument("--next", type=Path, help="the release after it, for deltas")
    options = parser.parse_args()
    contents = contents_of(options.tree)
    total = sum(map(len, contents.values()))
    print(f"{options.tree.name}: {len(contents):,} files, {total / MB:.1f} MB")
    show("frame size, in path order, level 3", by_size(contents))
    show("order, frames of 1 MiB, level 3", by_order(contents))
    show("level, frames of 1 MiB in path order", by_level(contents))
    if options.next is not None:
        newer = {path: (options.next / path) for path in contents}
        there = {path: file.read_bytes() for path, file in newer.items() if file.is_file()}
        show("the next release: what changed", by_delta(contents, there))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
