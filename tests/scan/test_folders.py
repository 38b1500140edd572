import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore.errors import InvalidNameError
from epmstore.scan.folders import HELD, FolderCache


def inode(fd: int) -> int:
    return os.fstat(fd).st_ino


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    others = max(map(int, os.listdir("/proc/self/fd")))  # of tests before this one
    resource.setrlimit(resource.RLIMIT_NOFILE, (others + 58, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_opens_the_root_and_what_is_below(root: Path, root_fd: int) -> None:
    (root / "a/b").mkdir(parents=True)
    with FolderCache(root_fd) as cache:
        for folder in ("", "a", "a/b"):
            assert inode(cache.open(folder)) == (root / folder).stat().st_ino


@pytest.mark.parametrize("folder", ["link", "link/inner", "real/link", "file", "missing"])
def test_nothing_but_directories_is_passed(
    root: Path, root_fd: int, tmp_path: Path, folder: str
) -> None:
    (tmp_path / "outside/inner").mkdir(parents=True)
    (root / "real").mkdir()
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "real/link").symlink_to("../real")
    (root / "file").write_text("")
    before = open_descriptors()
    with FolderCache(root_fd) as cache, pytest.raises(OSError):
        cache.open(folder)
    assert open_descriptors() == before


@pytest.mark.parametrize("folder", ["..", "a/..", "a/../.."])
def test_never_upwards(root: Path, root_fd: int, folder: str) -> None:
    (root / "a").mkdir()
    with FolderCache(root_fd) as cache, pytest.raises(InvalidNameError):
        cache.open(folder)


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two branches that share their first levels and go deeper than a cache holds."""
    root = tmp_path_factory.mktemp("forest")
    for branch in ("x", "y"):
        (root / "/".join(["d"] * 3 + [branch] * (HELD + 4))).mkdir(parents=True)
    return root


FOLDERS = [
    "/".join((["d"] * 3 + [branch] * (HELD + 4))[:depth])
    for branch in ("x", "y")
    for depth in range(HELD + 8)
]


@given(st.lists(st.sampled_from(FOLDERS), max_size=12))
def test_any_order_reaches_the_right_folder(forest: Path, folders: list[str]) -> None:
    fd = os.open(forest, os.O_RDONLY)
    before = open_descriptors()
    try:
        with FolderCache(fd) as cache:
            for folder in folders:
                assert inode(cache.open(folder)) == (forest / folder).stat().st_ino
                assert open_descriptors() - before <= HELD + 3
        assert open_descriptors() == before
    finally:
        os.close(fd)


def test_depth_is_not_bounded_by_descriptors(
    root: Path, root_fd: int, few_descriptors: None
) -> None:
    deep = "/".join(["d"] * 200)
    (root / deep).mkdir(parents=True)
    with FolderCache(root_fd) as cache:
        for folder in (deep, "d", deep):
            assert inode(cache.open(folder)) == (root / folder).stat().st_ino


def test_a_failed_open_leaves_the_cache_usable(root: Path, root_fd: int) -> None:
    (root / "a/b").mkdir(parents=True)
    with FolderCache(root_fd) as cache:
        with pytest.raises(FileNotFoundError):
            cache.open("a/b/c")
        assert inode(cache.open("a")) == (root / "a").stat().st_ino
