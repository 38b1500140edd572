"""docs/founding.md says what became of each wish of the founding documents: all of them are there,
once, and the tests, commands and pages that it names are there, too. Whether they show what it says
is for people to read.
"""

import ast
import re
from functools import cache
from pathlib import Path

import click
import pytest

from epmstore.cli.reference import load
from epmstore.cli.table import COMMANDS
from epmstore.package.draft import Draft
from tests.test_floors import ROOT

DOCS = ROOT / "docs"
HEADINGS = ("EPM", "Packages that are databases", "APM", "The release pipeline")
WAITS_FOR = ("packages", "the console", "remotes", "the pipeline")
ROW = re.compile(r"^\| (?!row |-)(.*) \|$", re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\[[^\]]+\]\(([^)#]*)(?:#([^)]*))?\)")


def sections() -> list[list[list[str]]]:
    """The cells of the rows of each table."""
    first, *found = re.split(r"^## ", (DOCS / "founding.md").read_text("utf-8"), flags=re.M)
    assert [one.startswith(name) for one, name in zip(found, HEADINGS, strict=True)] == [True] * 4
    assert not ROW.search(first)
    return [[row.split(" | ") for row in ROW.findall(one)] for one in found]


ROWS = [row for rows in sections() for row in rows]


def ids(section: int) -> list[str]:
    return [name for row in sections()[section] for name in row[0].split(", ")]


@cache
def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }


@cache
def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}


@cache
def options(words: str) -> set[str]:
    command, context = load(words)
    params = [one for one in command.get_params(context) if isinstance(one, click.Option)]
    return {name for one in params for name in one.opts}


def test_every_wish_is_there_once() -> None:
    assert sorted(ids(0)) == sorted([*(f"E{n}" for n in range(1, 37)), "E13b", "E13c", "E14b"])
    assert ids(1) == [f"Z{n}" for n in range(1, 40)]
    assert ids(3) == [f"P{n}" for n in range(1, 15)]
    assert len(ids(2)) == len(set(ids(2))) == 122
    assert len(sections()[2]) == 90
    named = [name for name in ids(2) if not re.fullmatch(r"\d+(\.\d+)+", name)]
    assert named == [
        "introduction", "vision", "roles", "developer's interface", "administrator's interface",
    ]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_is_whole(row: list[str]) -> None:
    _, asked, here, shown, proof = row
    assert all(cell.strip() for cell in row)
    is_nothing = here.startswith(("not yet", "left out"))
    assert is_nothing == (proof == "-"), "a test for what is there, and for nothing else"
    waits = re.findall(r"([a-z ]+): not yet(?:,|$)", shown)
    assert [one.strip() for one in waits if one.strip() not in WAITS_FOR] == []
    assert ("not yet" in here) == bool(waits), "what lacks waits for something"
    if "**otherwise:**" in here:
        assert LINK.search(here.partition("**otherwise:**")[2]), "the page that says why"
    assert "not yet" not in asked


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_names_tests_commands_and_pages_that_are_there(row: list[str]) -> None:
    _, _, here, shown, proof = row
    tests = CODE.findall(proof)
    assert ", ".join(f"`{one}`" for one in tests) == proof or proof == "-"
    for one in tests:
        path, _, name = one.partition("::")
        assert name.startswith("test_") and name in functions(ROOT / path), one
    for spoken in CODE.findall(shown):
        if spoken.startswith("Draft."):
            assert hasattr(Draft, spoken.removeprefix("Draft.")), spoken
            continue
        words, *said = re.split(r" (?=--)", spoken)
        assert words in COMMANDS, spoken
        assert set(said) <= options(words), spoken
    for target, anchor in LINK.findall(f"{here} {shown}"):
        assert (DOCS / target).is_file(), target
        assert not anchor or anchor in anchors(DOCS / target), f"{target}#{anchor}"
