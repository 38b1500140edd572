"""requirements.lock has what pyproject.toml wants: everything pinned, and every pin with hashes."""

import re
import tomllib
from itertools import pairwise
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

TOP = Path(__file__).parents[1]
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)(?: ;[^\\]*)? \\$")


def pins() -> dict[str, Version]:
    found: dict[str, Version] = {}
    for line in (TOP / "requirements.lock").read_text().splitlines():
        if match := _PIN.match(line):
            found[canonicalize_name(match[1])] = Version(match[2])
    return found


def wanted() -> list[Requirement]:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())
    lists = [
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    return [Requirement(text) for found in lists for text in found]


def test_the_lock_is_not_behind() -> None:
    locked = pins()
    for requirement in wanted():
        version = locked.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not locked: run `make lock`"
        assert version in requirement.specifier, (
            f"{requirement} is locked as {version}: `make lock`"
        )


def test_every_pin_has_hashes() -> None:
    lines = (TOP / "requirements.lock").read_text().splitlines()
    for line, following in pairwise(lines):
        if line and line[0] not in " #-":
            assert _PIN.match(line), line
            assert following.startswith("    --hash=sha256:"), line
    assert not any("file:" in line or "://" in line for line in lines)
