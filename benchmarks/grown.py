"""Grow a tree of a million files from a real one: copies of its small files, each copy different.

Every file of up to 16 KiB is taken again and again, with a line more that names the copy: so sizes,
names and contents are real, and no two files are the same. In the release that follows, every
200th file has one more line.

    python -m benchmarks.grown              8 GB on disk, minutes
    python -m benchmarks.grown 300000       as `grown-300000`
"""

import argparse
import itertools
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from benchmarks.stages import files_of
from benchmarks.trees import CACHE, fetch

FILES = 1_000_000
LARGEST = 16 << 10
CHANGED = 200


def grow(source: Path, target: Path, wanted: int) -> tuple[Path, Path]:
    """`target`, and beside it `<target>.next` with the changed files only; made if not there."""
    following = target.with_name(target.name + ".next")
    if target.is_dir() and following.is_dir():
        return target, following
    partial = target.with_name(f".{target.name}.partial")
    for folder in (partial, target, following):
        shutil.rmtree(folder, ignore_errors=True)
    small = [path for path in files_of(source) if _is_small((source / path).lstat())]
    for number, (path, copy) in enumerate(_copies(small, wanted)):
        data = (source / path).read_bytes() + b"\ncopy %d\n" % copy
        name = f"copy{copy:03}/{path}"
        _write(partial / "all" / name, data, number)
        if number % CHANGED == 0:
            _write(partial / "next" / name, data + b"next release\n", number + wanted)
    (partial / "next").rename(following)
    (partial / "all").rename(target)
    partial.rmdir()
    return target, following


def _is_small(info: os.stat_result) -> bool:
    return stat.S_ISREG(info.st_mode) and info.st_size <= LARGEST


def _copies(paths: list[str], wanted: int) -> Iterator[tuple[str, int]]:
    every = ((path, copy) for copy in itertools.count() for path in paths)
    return itertools.islice(every, wanted)


def _write(path: Path, data: bytes, number: int) -> None:
    """With a time of its own, long ago."""
    try:
        path.write_bytes(data)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    os.utime(path, (1_600_000_000 + number, 1_600_000_000 + number))


def main() -> int:
    parser = argparse.ArgumentParser(description="Grow a tree from the kernel's source.")
    parser.add_argument("files", nargs="?", type=int, help="default: a million")
    options = parser.parse_args()
    name = "million" if options.files is None else f"grown-{options.files}"
    print(*grow(fetch("linux")[0], CACHE / name, options.files or FILES), sep="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
