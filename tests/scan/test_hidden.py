import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from epmstore.scan import hidden
from epmstore.scan.hidden import SHOWN, WHY, Hidden
from epmstore.scan.walk import walk

FOREIGN = 1234
INSIDE = """
import json, os, sys
from epmstore.scan.walk import walk
fd = os.open(sys.argv[1], os.O_RDONLY)
def seen(**options):
    found = list(walk(fd, **options))
    return [
        sorted(f"{l.folder}/{n}" for l in found for n in l.names),
        sorted([p.path, p.kind, p.why] for l in found for p in l.unobserved),
    ]
print(json.dumps([seen(), seen(only=["theirs/deeper"])]))
"""


def in_a_user_namespace(script: str, *words: object) -> str:
    done = subprocess.run(
        ["unshare", "-r", sys.executable, "-c", script, *map(str, words)],
        capture_output=True,
        text=True,
    )
    if "unshare" in done.stderr:
        pytest.skip("no user namespaces here")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("table", "is_hidden"),
    [
        ("0 0 4294967295\n", False),
        ("0 1000 1\n", True),
        ("0 1000 1\n1 100000 65533\n", True),
        ("0 1000 1\n1 100000 65536\n", False),
        ("65534 65534 1\n", False),
        ("", True),
        ("no table", False),
    ],
)
def test_a_number_is_nobodys_if_no_row_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, is_hidden: bool
) -> None:
    (tmp_path / "map").write_text(table)
    everybody = tmp_path / "everybody"
    everybody.write_text("0 0 4294967295\n")
    at_root = os.stat("/")
    for which, field in (("USERS", 4), ("GROUPS", 5)):
        monkeypatch.setattr(hidden, "USERS", everybody)
        monkeypatch.setattr(hidden, "GROUPS", everybody)
        monkeypatch.setattr(hidden, which, tmp_path / "map")
        words = list(at_root)
        words[field] = SHOWN
        assert Hidden().has(os.stat_result(words)) is is_hidden
        assert not Hidden().has(os.stat_result([*words[:4], 0, 0, *words[6:]]))


def test_where_the_kernel_does_not_tell_nothing_is_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hidden, "USERS", tmp_path / "none")
    monkeypatch.setattr(hidden, "GROUPS", tmp_path / "none")
    assert not Hidden().possible


@pytest.mark.root
def test_a_path_with_a_hidden_owner_is_named_and_not_entered(root: Path) -> None:
    (root / "theirs/deeper").mkdir(parents=True)
    (root / "theirs/deeper/file").write_text("")
    (root / "mine").write_text("")
    (root / "group").write_text("")
    os.chown(root / "theirs", FOREIGN, 0)
    os.chown(root / "group", 0, FOREIGN)
    whole, named = json.loads(in_a_user_namespace(INSIDE, root))
    assert whole[0] == ["/mine"]
    assert whole[1] == [[path, "unreadable", WHY] for path in ("group", "theirs")]
    assert named == [[], [["theirs", "unreadable", WHY]]]


@pytest.mark.root
def test_outside_everything_is_seen(root: Path, root_fd: int) -> None:
    (root / "nobodys").write_text("")
    os.chown(root / "nobodys", SHOWN, SHOWN)
    if not Hidden().possible:
        (found,) = walk(root_fd)
        assert found.names == ["nobodys"]
