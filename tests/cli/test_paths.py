"""What users type for a path, a version or a range."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from epmstore.cli.paths import relative, split_range, split_version
from epmstore.errors import UsageError

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "opt" / "crm"
    (root / "bin").mkdir(parents=True)
    return root


@pytest.mark.parametrize(
    ("folder", "typed", "found"),
    [
        ("", "bin/a", "bin/a"),
        ("bin", "a", "bin/a"),
        ("bin", "../lib/x", "lib/x"),
        ("bin", "./", "bin"),
        ("bin", "..", None),
        ("..", "bin/a", "bin/a"),
        ("../..", "bin/a", "bin/a"),
        ("..", "crm/bin/a", "bin/a"),
        ("../..", "opt/crm/bin/a", "bin/a"),
        ("..", "crm", None),
        ("..", ".", None),
    ],
)
def test_relative_to_the_working_directory_or_else_to_the_root(
    root: Path, folder: str, typed: str, found: str | None
) -> None:
    cwd = (root / folder).resolve()
    assert relative(typed, str(root), cwd) == found


def test_an_absolute_path_must_lie_in_the_root(root: Path) -> None:
    assert relative(f"{root}/bin/a", str(root), Path("/")) == "bin/a"
    assert relative(str(root), str(root), None) is None
    with pytest.raises(UsageError, match=str(root)):
        relative(f"{root}2/bin", str(root), root)


def test_a_path_that_climbs_out_is_refused(root: Path) -> None:
    with pytest.raises(UsageError, match="outside"):
        relative("../../x", str(root), root / "bin")
    with pytest.raises(UsageError, match="outside"):
        relative("../x", str(root), root.parent)


def test_a_root_seen_through_a_link_is_the_root(root: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(root)
    assert relative(f"{link}/bin/a", str(root), Path("/")) == "bin/a"
    assert relative("a", str(link), root / "bin") == "bin/a"


def test_a_link_at_the_end_is_not_followed(root: Path, tmp_path: Path) -> None:
    (root / "out").symlink_to(tmp_path)
    assert relative("out", str(root), root) == "out"


@pytest.mark.parametrize("typed", ["", "a\0b", "x" * 300])
def test_words_that_are_no_path_are_refused(root: Path, typed: str) -> None:
    with pytest.raises(UsageError):
        relative(typed, str(root), root)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("117", ("117", None)),
        ("117:bin/a", ("117", "bin/a")),
        ("117:a:b", ("117", "a:b")),
        ("117:", ("117", ".")),
        ("@2026-10-03T14:00", ("@2026-10-03T14:00", None)),
        ("@2026-10-03T14:00:bin/a", ("@2026-10-03T14:00", "bin/a")),
        ("@2026-10-03T14:00:30+02:00:bin/a", ("@2026-10-03T14:00:30+02:00", "bin/a")),
        ("@2026-10-03:bin", ("@2026-10-03", "bin")),
        ("@yesterday:bin", ("@yesterday", "bin")),
    ],
)
def test_version_and_path(typed: str, found: tuple[str, str | None]) -> None:
    assert split_version(typed) == found


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("1..2", ("1", "2")),
        ("1", ("1", "now")),
        ("1..", ("1", "now")),
        ("..2", ("latest", "2")),
        ("latest~1..latest", ("latest~1", "latest")),
    ],
)
def test_range(typed: str, found: tuple[str, str]) -> None:
    assert split_range(typed) == found


@pytest.mark.parametrize(
    "words",
    [
        ["identify"],
        ["blob", "put"],
        ["apply"],
        ["report", "read"],
        ["catalog", "verify"],
        ["catalog", "import"],
        ["catalog", "trust"],
        ["release", "add", "crm"],
        ["repair", "--from"],
    ],
)
def test_a_named_file_that_is_not_there_is_not_found(
    cli: "Cli", recorded: Path, words: list[str]
) -> None:
    for name in ("nope", "nowhere/nope"):
        found = cli(*words, name)
        assert (found.code, found.out) == (5, "")
        assert name.partition("/")[0] in found.err
    empty = cli(*words, "")
    assert (empty.code, empty.out) == (2, "")
    assert "an empty name is no file" in empty.err
