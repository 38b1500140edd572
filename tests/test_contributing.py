"""CONTRIBUTING.md is a map of this tree: what it names is there, and its floors are the floors."""

import re
import subprocess
import sys

import pytest

from tests.test_floors import DOORS, FLOORS, ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`([^`\n]+)`", PAGE)
PLACES = ("", "epmstore", "daemon")
"""Folders from which the page names files."""


def rows() -> dict[str, int]:
    """The folders of the table of floors."""
    found, floor = {}, ""
    for number, folder in re.findall(r"^\| +(\d*) +\| `([^`]+)` \|", PAGE, re.MULTILINE):
        floor = number or floor
        found[folder] = int(floor)
    return found


def test_the_floors_are_those_that_are_tested() -> None:
    there = {
        f"{path.name}/": FLOORS[f"epmstore.{path.name}"]
        for path in (ROOT / "epmstore").iterdir()
        if (path / "__init__.py").exists()
    }
    there |= {
        f"{name.partition('.')[2]}.py": FLOORS[floor]
        for name, floor in DOORS.items()
        if "__" not in name
    }
    assert rows() == {**there, "*.py": FLOORS["epmstore"], "daemon/epmstored/": FLOORS["epmstored"]}


@pytest.mark.parametrize(
    "name", sorted({name for name in NAMED if re.fullmatch(r"[\w./-]+(\.py|\.md|\.toml|/)", name)})
)
def test_every_file_that_is_named_is_there(name: str) -> None:
    assert any((ROOT / place / name).exists() for place in PLACES), name


@pytest.mark.parametrize(
    "target", sorted(set(re.findall(r"(?:`|^    )make (\w+)", PAGE, re.MULTILINE)))
)
def test_every_target_is_in_the_makefile(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_every_page_that_is_made_by_a_program_is_named_with_it() -> None:
    """Whatever writes a page says so itself."""
    made = []
    for path in [*(ROOT / "epmstore").rglob("*.py"), *(ROOT / "daemon").rglob("*.py")]:
        first = path.read_text(encoding="utf-8").split('"""')[1:2]
        made += re.findall(r"`python -m ([\w.]+) (?:FILE|DIR)`", "".join(first))
    assert len(made) >= 3
    for module in made:
        assert f"python -m {module} " in PAGE, module


@pytest.mark.parametrize("module", sorted(set(re.findall(r"python -m (\w[\w.]*\w)", PAGE))))
def test_every_program_that_is_named_can_be_found(module: str) -> None:
    script = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0
