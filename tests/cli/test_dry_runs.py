"""A dry run of what changes the store alone is refused as the run is, changes nothing, and says in
JSON that it was one.
"""

from pathlib import Path

import pytest

from tests.cli.conftest import Cli

SHA1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709"
REFUSED = {
    "a root that is not there": (7, "app move crm nowhere"),
    "a root that is a file": (7, "app move crm crm/f"),
    "a root of something else": (7, "app move crm other"),
    "the store as a root": (7, "app move crm store"),
    "a key that is taken": (7, "app add crm other"),
    "a root that is taken": (7, "app add web crm"),
    "a new root that is not there": (7, "app add web nowhere"),
    "a root in a root": (7, "app add web crm/d"),
    "a bad key": (2, "app add a/b other"),
    "no hold": (5, "unhold crm"),
    "no tag": (5, "tag --delete nope"),
    "a bad tag": (2, "tag a:b 0"),
    "a word of ours": (2, "tag latest 0"),
    "nothing to confirm": (5, "confirm"),
    "a file that is there": (7, f"blob get {SHA1} other"),
    "a folder that is not there": (5, f"blob get {SHA1} nowhere/f"),
    "a folder as a content": (2, "blob put other"),
    "a catalog with a bad key": (2, "release init a/b"),
}
SHAPED = [
    *("tag golden 0", "pin 0", "unpin 0", "hold crm", "unhold crm", "accept", "blob put crm/f"),
    *(f"blob get {SHA1} new", "app move crm crm", "app remove crm", "app add web other"),
]


@pytest.fixture
def place(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in ("crm/d", "other"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "crm/f").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    cli.ok("init")
    cli.ok("app", "add", "crm", "crm")
    cli.ok("snapshot")
    return tmp_path


@pytest.mark.parametrize(("code", "line"), REFUSED.values(), ids=REFUSED)
def test_a_dry_run_is_refused_as_the_run(cli: Cli, place: Path, code: int, line: str) -> None:
    words = [str(cli.store) if word == "store" else word for word in line.split()]
    if words[:2] == ["blob", "get"]:
        cli.ok("blob", "put", "crm/f")
    assert cli(*words, "--dry-run").code == cli(*words).code == code


@pytest.mark.parametrize("line", SHAPED)
def test_a_dry_run_says_so_and_changes_nothing(cli: Cli, place: Path, line: str) -> None:
    if line.startswith("unhold"):
        cli.ok("hold", "crm")
    before = cli.ok("log", "-v").out, cli.ok("app", "list").out
    [shape] = cli.ok(*line.split(), "--dry-run", "--json").shapes
    assert shape["dry_run"] is True
    assert (cli.ok("log", "-v").out, cli.ok("app", "list").out) == before
    assert not (place / "new").exists()
    [done] = cli.ok(*line.split(), "--json").shapes[:1]
    assert not done.get("dry_run")
