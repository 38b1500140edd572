"""Which trees are measured, and how much of it: data, and how each pair of releases is had."""

from pathlib import Path
from typing import NamedTuple

from benchmarks import grown, npm, trees
from benchmarks.stages import CHAINS, Release, compare_releases, files_of, make_small, make_tenth

BRIEF = "zstd,git,restic,borg,casync"
QUICK = "zstd,cp,rsync,git,restic,borg,python"
SLOW = "ostree,ostree-archive,casync,bup"


class Plan(NamedTuple):
    """`peers` and `stages` None are all; `apart`: contestants have the disk for themselves."""

    what: str
    chains: tuple[str, ...] = ("main",)
    peers: str | None = None
    rounds: int = 3
    stages: frozenset[str] | None = None
    apart: bool = False


PLANS = {
    "linux": Plan("two patch releases of the kernel's source", tuple(CHAINS), QUICK, rounds=5),
    "linux-slow": Plan("the same, with those who take longer over it", peers=SLOW, rounds=5),
    "postgresql": Plan("two releases of the PostgreSQL server, as packaged"),
    "libnode": Plan("two releases of the Node runtime's library, as packaged", peers=BRIEF),
    "firefox": Plan("two releases of Firefox, half a year apart", peers=BRIEF),
    "chromium": Plan("two releases of Chromium, half a year apart", peers=BRIEF),
    "node_modules": Plan("three applications' node_modules, two releases", peers=BRIEF, rounds=2),
    "million": Plan(
        "a million files grown from the kernel's; every 200th changes",
        peers="restic,rsync",
        rounds=1,
        stages=frozenset({"cold", "again", "status", "patch"}),
        apart=True,
    ),
    "small": Plan("made up: to try the benchmark, not to believe it", tuple(CHAINS)),
    "tenth": Plan("every tenth file of the kernel's source: the same", tuple(CHAINS), rounds=2),
}
OTHERS = ("postgresql", "libnode", "firefox", "chromium", "node_modules")


def pair(name: str) -> tuple[Path, Release, tuple[str, str]]:
    """The older tree, the release after it, and what the two are called.

    Raises MissingTreeError if they cannot be had here. Compares them, and so warms the page cache.
    """
    if name == "million":
        source, _ = trees.fetch("linux")
        older, newer = grown.grow(source, trees.CACHE / name, grown.FILES)
        return older, Release(newer, list(files_of(newer)), []), (older.name, newer.name)
    if name == "node_modules":
        older, newer = npm.fetch()
    elif name == "small":
        older, newer = make_small(trees.CACHE)
    else:
        older, newer = trees.fetch("linux" if name in ("linux-slow", "tenth") else name)
    releases = older.name, newer.name
    if name == "tenth":
        older = make_tenth(older, older.with_name(f"{older.name}.tenth"))
        return older, compare_releases(older, newer, added=False), releases
    return older, compare_releases(older, newer), releases
