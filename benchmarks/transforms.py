"""Deltas of executables: what transforms of calls, and other ways to tell a difference, would give.

    python -m benchmarks.transforms OLDER NEWER [--bsdiff]

For every file of two trees that is an ELF program or library in both and differs: bytes of the
delta that epmstore makes; of the same after the x86 filter of xz (BCJ: relative call targets made
absolute) over both sides; of each at higher levels; of a subtraction block by block (aligned.py);
and with `--bsdiff` of bsdiff, which is slow and needs 17 times the size of a file in memory (`pip
install bsdiff4`). An experiment: no part of epmstore.
"""

import argparse
import importlib
import lzma
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import aligned
from benchmarks.stages import files_of
from epmstore import codec

MB = 1_000_000
Delta = Callable[[bytes, bytes], int]


def pairs_of(older: Path, newer: Path) -> Iterator[tuple[str, bytes, bytes]]:
    """ELF files of both trees that differ, by path."""
    for path in files_of(newer):
        one, two = older / path, newer / path
        if one.is_symlink() or two.is_symlink() or not one.is_file():
            continue
        old, new = one.read_bytes(), two.read_bytes()
        if old != new and old[:4] == new[:4] == b"\x7fELF":
            yield path, old, new


def bcj(data: bytes) -> bytes:
    """Relative call and jump targets of x86 code made absolute; the size stays. The encoder of xz
    does it; LZMA2 behind it stores without compressing well (level 0), and is undone.
    """
    packed = lzma.compress(
        data,
        format=lzma.FORMAT_RAW,
        filters=[{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "preset": 0}],
    )
    plain = lzma.decompress(
        packed, format=lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}]
    )
    assert len(plain) == len(data)
    return plain


def delta(level: int) -> Delta:
    return lambda old, new: len(codec.compress_delta(new, old, level))


def filtered(level: int) -> Delta:
    return lambda old, new: len(codec.compress_delta(bcj(new), bcj(old), level))


def bsdiffed(old: bytes, new: bytes) -> int:
    """The patch as bsdiff orders it, its three streams compressed as ours are."""
    streams = importlib.import_module("bsdiff4.core").diff(old, new)
    return sum(len(codec.compress(stream, 9)) for stream in streams)


def plain(old: bytes, new: bytes) -> int:
    return len(codec.compress(new, 3))


WAYS: dict[str, Delta] = {
    "no delta, level 3": plain,
    "delta, level 3 (what epmstore does)": delta(3),
    "delta, level 6": delta(6),
    "delta, level 9": delta(9),
    "delta, level 12": delta(12),
    "delta, level 16": delta(16),
    "delta, level 19": delta(19),
    "BCJ, delta, level 3": filtered(3),
    "BCJ, delta, level 9": filtered(9),
    "BCJ, delta, level 19": filtered(19),
    "aligned and subtracted, level 9": aligned.stored_bytes,
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure deltas of executables.")
    parser.add_argument("older", type=Path)
    parser.add_argument("newer", type=Path)
    parser.add_argument("--quick", action="store_true", help="without levels above 9")
    parser.add_argument("--bsdiff", action="store_true", help="minutes, gigabytes of memory")
    options = parser.parse_args()
    pairs = list(pairs_of(options.older, options.newer))
    ways = {**WAYS, "bsdiff, streams at level 9": bsdiffed} if options.bsdiff else WAYS
    if options.quick:
        ways = {name: way for name, way in ways.items() if "level 1" not in name}
    total = sum(len(new) for _, _, new in pairs)
    print(f"{options.newer.name}: {len(pairs)} programs and libraries, {total / MB:.1f} MB\n")
    print("| way | stored, MB | of what epmstore does | CPU s |\n|---|---|---|---|")
    base = 0
    for name, way in ways.items():
        begun = time.process_time()
        stored = sum(way(old, new) for _, old, new in pairs)
        spent = time.process_time() - begun
        base = stored if "what epmstore does" in name else base
        share = f"{stored / base:.2f}" if base else ""
        print(f"| {name} | {stored / MB:.3f} | {share} | {spent:.1f} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
