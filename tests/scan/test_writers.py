"""Which files are open for writing."""

import time
from pathlib import Path

import pytest

from epmstore.scan.writers import writers_below
from tests.scan.test_holders import process


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        ("os.O_RDONLY", set()),
        ("os.O_WRONLY", {"bin/file"}),
        ("os.O_RDWR | os.O_APPEND", {"bin/file"}),
        ("os.O_PATH", set()),
    ],
)
def test_files_that_are_open(root: Path, flags: str, found: set[str]) -> None:
    (root / "bin").mkdir()
    (root / "bin/file").write_text("data")
    with process(f"os.open(sys.argv[1], {flags})", root / "bin/file"):
        assert writers_below(str(root), 0.0).paths == found
        assert writers_below(str(root / "bin"), 0.0).paths == {Path(p).name for p in found}
    assert writers_below(str(root), 0.0).paths == set()


def test_files_that_are_none_of_the_folder(root: Path, tmp_path: Path) -> None:
    beside = root.with_name(f"{root.name}-beside")
    beside.write_text("data")
    (root / "gone").write_text("data")
    open_all = "[os.open(path, os.O_WRONLY) for path in sys.argv[1:]]; os.unlink(sys.argv[2])"
    with process(open_all, beside, root / "gone"):
        (root / "gone").write_text("another one")
        assert writers_below(str(root), 0.0).paths == set()


def test_files_kept_open_for_writing_are_not_being_written(root: Path) -> None:
    (root / "log").write_text("old")
    with process("os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)", root / "log"):
        assert writers_below(str(root), time.time() - 60).paths == {"log"}
        assert writers_below(str(root), time.time() + 60).paths == set()
