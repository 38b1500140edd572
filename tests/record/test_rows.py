"""What the stat cache holds after we changed a root ourselves."""

import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from epmstore.filestat import AnyStat
from epmstore.record.rows import rows_after
from epmstore.relpath import RelPath
from epmstore.scan.compare import UNKNOWN, compare_stats, pack_stats
from epmstore.scan.folders import FolderCache
from epmstore.scan.walk import walk

LATER = 1 << 62


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    for folder in ("one/deep", "two"):
        (path / folder).mkdir(parents=True)
        for name in "abc":
            (path / folder / name).write_text(name)
    return path


@pytest.fixture
def root_fd(root: Path) -> Iterator[int]:
    fd = os.open(root, os.O_RDONLY)
    yield fd
    os.close(fd)


def rows_now(root_fd: int) -> dict[bytes, bytes]:
    return {
        os.fsencode(found.folder): pack_stats(found.names, found.stats, found.own)
        for found in walk(root_fd)
    }


def known(root: Path, *paths: str) -> dict[RelPath, AnyStat | None]:
    return {
        RelPath(path): os.lstat(root / path) if os.path.lexists(root / path) else None
        for path in paths
    }


def after(
    before: dict[bytes, bytes],
    root_fd: int,
    changed: dict[RelPath, AnyStat | None],
    made: Collection[str] = (),
) -> dict[bytes, bytes]:
    with FolderCache(root_fd) as folders:
        rows, gone = rows_after(before, changed, {*map(RelPath, made)}, folders, LATER)
    return {path: row for path, row in {**before, **rows}.items() if path not in gone}


def test_all_that_can_change(root: Path, root_fd: int) -> None:
    before = rows_now(root_fd)
    (root / "one/a").write_text("new")
    (root / "one/deep/b").unlink()
    (root / "three").mkdir()
    (root / "three/x").symlink_to("nowhere")
    for name in "abc":
        (root / "two" / name).unlink()
    (root / "two").rmdir()
    (root / "two").write_text("a file now")
    paths = ("one/a", "one/deep/b", "three", "three/x", "two", "two/a", "two/b", "two/c")
    assert after(before, root_fd, known(root, *paths), ["three"]) == rows_now(root_fd)


def test_rows_after_show_changes_by_others(root: Path, root_fd: int) -> None:
    before = rows_now(root_fd)
    (root / "one/new").write_text("ours")
    (root / "one/others").write_text("not ours")
    (root / "two/a").unlink()
    (root / "two/b").write_text("ours, and written to since")
    (root / "two/c").unlink()
    changed = known(root, "one/new", "two/a", "two/c")
    changed[RelPath("two/b")] = changed[RelPath("two/c")] = UNKNOWN
    rows = after(before, root_fd, changed)
    now = rows_now(root_fd)
    assert compare_stats(rows[b"one"], now[b"one"]).come == ("others",)
    found = compare_stats(rows[b"two"], now[b"two"])
    assert (found.changed, found.gone) == (("b",), ("c",))


def test_rows_after_doubt_files_that_may_change_unseen(root: Path, root_fd: int) -> None:
    before = rows_now(root_fd)
    settled = time.time_ns() - 3600 * 1_000_000_000
    with FolderCache(root_fd) as folders:
        rows, _ = rows_after(before, known(root, "one/deep/b"), (), folders, settled)
    assert compare_stats(rows[b"one/deep"], rows_now(root_fd)[b"one/deep"]).changed == ("b",)


def test_a_folder_that_cannot_be_opened_has_no_row(root: Path, root_fd: int) -> None:
    before = rows_now(root_fd)
    stats = known(root, "two/a")
    for name in "abc":
        (root / "two" / name).unlink()
    (root / "two").rmdir()
    assert b"two" not in after(before, root_fd, stats)


def test_rows_after_make_no_row_of_an_unknown_folder(root: Path, root_fd: int) -> None:
    """What had gone from it would be in no row, and be missed by nobody."""
    before = rows_now(root_fd)
    (root / "one/a").write_text("ours")
    for folder in (b"one", b""):
        known_then = {path: row for path, row in before.items() if path != folder}
        rows = after(known_then, root_fd, known(root, "one", "one/a"))
        assert folder not in rows and rows.keys() == known_then.keys()


def test_rows_after_show_later_attributes_of_a_folder(root: Path, root_fd: int) -> None:
    """No more than its ctime tells of attributes and ACLs."""
    before = rows_now(root_fd)
    (root / "one/a").write_text("ours")
    then = os.stat(root / "one")
    while os.stat(root / "one").st_ctime_ns == then.st_ctime_ns:
        os.setxattr(root / "one", "user.note", b"not ours")
    rows = after(before, root_fd, {**known(root, "one/a"), RelPath("one"): then})
    assert compare_stats(rows[b"one"], rows_now(root_fd)[b"one"]).own
