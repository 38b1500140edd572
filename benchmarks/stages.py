"""What is measured: stages, and how trees are made ready for them."""

import filecmp
import hashlib
import os
import random
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

MILLION = 1_000_000


class Stage(NamedTuple):
    """One kind of work. Stages of one chain follow each other on the same store and root."""

    name: str
    targets: str
    title: str


MAIN = (
    Stage("cold", "P1, P2", "record the tree for the first time"),
    Stage("again", "P4", "record it again, nothing changed"),
    Stage("status", "P4", "ask what changed: nothing"),
    Stage("patch", "P3", "record the next release, other files untouched"),
    Stage("back", "P5", "bring the root back to the older release, in place"),
    Stage("full", "P6", "write the older release into an empty folder"),
)
TOUCHED = (Stage("touched", "P3b", "record the next release, every mtime changed"),)
TENTH = (Stage("tenth", "P9", "record every tenth file of the tree for the first time"),)
LARGE = (
    Stage("huge", "P9", "record one file of 1 GiB"),
    Stage("random", "P11", "record it with 1 % of it overwritten, 4 KiB here and there"),
    Stage("ahead", "P11", "record it with 10 bytes inserted at its head"),
    Stage("before", "P11", "record it with 16 MiB inserted at its head"),
    Stage("behind", "P11", "record it with 1 MB appended"),
)
START = (Stage("start", "P10", "start and print the version"),)
SLOW_FROM = 20_000
"""Files of a tree over which contestants leave out what is costly."""
CHAINS = {"main": MAIN, "touched": TOUCHED, "tenth": TENTH, "huge": LARGE, "start": START}


class Release(NamedTuple):
    """How the newer tree differs from the older one; paths relative to them."""

    newer: Path
    changed: list[str]
    removed: list[str]


def files_of(tree: Path) -> Iterator[str]:
    """Everything below a tree that is no directory, in byte order."""
    for folder, directories, names in os.walk(tree):
        directories.sort(key=os.fsencode)
        links = [name for name in directories if os.path.islink(os.path.join(folder, name))]
        for name in sorted([*names, *links], key=os.fsencode):
            yield os.path.relpath(os.path.join(folder, name), tree)


def is_same(one: Path, two: Path) -> bool:
    """Same kind, mode and content (or target)."""
    a, b = one.lstat(), two.lstat()
    if stat.S_ISLNK(a.st_mode) or stat.S_ISLNK(b.st_mode):
        return one.is_symlink() and two.is_symlink() and one.readlink() == two.readlink()
    return a.st_mode == b.st_mode and filecmp.cmp(one, two, shallow=False)


def compare_releases(older: Path, newer: Path, *, added: bool = True) -> Release:
    """Without what was `added`, if the older one is only a part of what it was."""
    before, after = set(files_of(older)), set(files_of(newer))
    both = before & after
    after = after if added else both
    changed = [path for path in both if not is_same(older / path, newer / path)]
    return Release(newer, sorted([*changed, *(after - before)]), sorted(before - after))


def apply_release(root: Path, release: Release, *, touch: bool = False) -> None:
    """Bring a root to the newer release as a package manager does: new file, then rename.

    Files that are the same keep inode and mtime, unless `touch`.
    """
    for path in release.removed:
        (root / path).unlink()
    for path in release.changed:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(".new." + target.name[:200])
        shutil.copy2(release.newer / path, temporary, follow_symlinks=False)
        temporary.replace(target)
    if touch:
        for path in files_of(root):
            os.utime(root / path, follow_symlinks=False)


def facts(tree: Path) -> str:
    """A digest over names, kinds, contents, modes, link targets and mtimes of everything."""
    total = hashlib.sha256()
    for path in files_of(tree):
        info = (tree / path).lstat()
        if stat.S_ISLNK(info.st_mode):
            content = os.fsencode(os.readlink(tree / path))
        else:
            content = hashlib.sha256((tree / path).read_bytes()).digest()
        line = (path, info.st_mode, info.st_mtime_ns, content)
        total.update(repr(line).encode(errors="surrogateescape"))
    return total.hexdigest()


def make_tenth(older: Path, target: Path) -> Path:
    """Every tenth file of a tree: a tenth of the files with the same mixture of sizes."""
    if not target.is_dir():
        for path in list(files_of(older))[::10]:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(older / path, target / path, follow_symlinks=False)
    return target


HUGE = "huge.bin"


def make_huge(target: Path, size: int) -> Path:
    """One file that compresses to about half."""
    file = target / HUGE
    if not file.is_file():
        target.mkdir(parents=True, exist_ok=True)
        dice = random.Random(1)
        with file.open("wb") as out:
            for _ in range(size >> 20):
                out.write(dice.randbytes(1 << 19) + dice.randbytes(64) * (1 << 13))
    return target


def _overwrite(file: Path) -> None:
    dice = random.Random(3)
    size = file.stat().st_size
    with file.open("r+b") as out:
        for block in dice.sample(range(size >> 12), max(1, (size >> 12) // 100)):
            out.seek(block << 12)
            out.write(dice.randbytes(1 << 12))


def _insert(file: Path, data: bytes) -> None:
    fresh = file.with_name("new")
    with file.open("rb") as source, fresh.open("wb") as out:
        out.write(data)
        shutil.copyfileobj(source, out, 1 << 22)
    fresh.replace(file)


def _append(file: Path) -> None:
    with file.open("ab") as out:
        out.write(random.Random(6).randbytes(MILLION))


EDITS: dict[str, Callable[[Path], None]] = {
    "random": _overwrite,
    "ahead": lambda file: _insert(file, random.Random(4).randbytes(10)),
    "before": lambda file: _insert(file, random.Random(5).randbytes(16 << 20)),
    "behind": _append,
}
"""What happens to the large file before a stage; each begins with the file as it was at first."""


def make_small(cache: Path) -> tuple[Path, Path]:
    """Two releases of a made-up tree of 500 files: to try the benchmark, not to believe it."""
    dice = random.Random(2)
    pair = cache / "small-1", cache / "small-2"
    if all(tree.is_dir() for tree in pair):
        return pair
    for number in range(500):
        path = f"part{number % 20}/file{number}.txt"
        text = "".join(f"line {dice.randrange(1000)}\n" for _ in range(dice.randrange(400)))
        for tree, lines in zip(pair, (text, text + "more\n" * (number % 10 == 0)), strict=True):
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(lines)
            os.utime(tree / path, (1_700_000_000 + number, 1_700_000_000 + number))
    return pair
