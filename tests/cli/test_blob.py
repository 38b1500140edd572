"""blob put, get, compare, stat: single contents."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

CONTENT = b"content\n" * 100
SHA1 = hashlib.sha1(CONTENT, usedforsecurity=False).hexdigest()
UNKNOWN = "0" * 40


@pytest.fixture
def stored(cli: "Cli") -> Path:
    """A file in the working directory whose content is stored."""
    cli.ok("init")
    file = Path("file")
    file.write_bytes(CONTENT)
    assert cli.ok("blob", "put", "file").out == f"{SHA1}\n"
    return file


def test_a_content_comes_back(cli: "Cli", stored: Path) -> None:
    cli.ok("blob", "get", SHA1, "copy")
    assert Path("copy").read_bytes() == CONTENT
    assert cli.ok("blob", "put", "file", "--json").shapes[0]["size"] == len(CONTENT)


def test_an_existing_file_is_not_overwritten(cli: "Cli", stored: Path) -> None:
    Path("copy").write_text("precious")
    assert cli("blob", "get", SHA1, "copy").code == 7
    assert Path("copy").read_text() == "precious"


def test_compare(cli: "Cli", stored: Path) -> None:
    assert cli.ok("blob", "compare", SHA1, "file").out == "the same\n"
    stored.write_bytes(CONTENT[:-1] + b"x")
    found = cli("blob", "compare", SHA1.upper(), "file")
    assert (found.code, found.out) == (1, "different\n")
    assert cli("blob", "compare", SHA1, "file", "--json").shapes[0]["same"] is False
    assert cli("blob", "compare", SHA1, "none").code == 5


def test_stat_names_the_versions(cli: "Cli", recorded: Path) -> None:
    digest = cli.ok("ls", "0:bin/crmd", "--json").shapes[0]["digest"]
    [shape] = cli.ok("blob", "stat", digest, "--json").shapes
    assert shape["versions"] == [{"app": "crm", "version": 0}]
    out = cli.ok("blob", "stat", digest).out
    assert digest in out and "crm 0" in out


def test_dry_puts_and_gets_nothing(cli: "Cli", stored: Path) -> None:
    stored.write_bytes(b"other")
    digest = cli.ok("blob", "put", "file", "--dry-run").out.strip()
    assert cli("blob", "stat", digest).code == 5
    cli.ok("blob", "get", SHA1, "copy", "--dry-run")
    assert not Path("copy").exists()


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["stat", UNKNOWN], 5),
        (["get", UNKNOWN, "copy"], 5),
        (["stat", "abc"], 2),
        (["stat", "z" * 40], 2),
        (["put", "none"], 5),
        (["put", "."], 2),
    ],
)
def test_bad_input(cli: "Cli", stored: Path, args: list[str], code: int) -> None:
    found = cli("blob", *args)
    assert (found.code, found.out) == (code, "")
