"""Checkouts that an earlier release began, and that were killed, are ended by this one."""

import json
import os
import subprocess
from ast import literal_eval
from pathlib import Path

import pytest

from epmstore.api import AppHandle, Workspace
from epmstore.checkout import journal
from epmstore.checkout.switch import RISKY
from epmstore.refcat.catalogchild import plain_lines
from epmstore.relpath import STAGE_PREFIX
from tests.fixtures.make_journals import HERE, NAME, look

pytestmark = pytest.mark.root

KNOWN = json.loads((HERE / f"{NAME}.json").read_text())


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("older")
    archive = HERE / f"{NAME}.tar.xz"
    subprocess.run(["tar", "-C", str(base), "-xpJf", str(archive)], check=True)
    return base / NAME


def here(unpacked: Path, place: str, tmp_path: Path) -> Workspace:
    """A place on this machine: files have other inodes and times of change, and the journal is told
    so. All else that it says is as the earlier release has written it.
    """
    root, store = tmp_path / "root", tmp_path / "store"
    subprocess.run(["cp", "-a", *map(str, (unpacked / place).iterdir()), str(tmp_path)], check=True)
    paths = {int(old): literal_eval(path) for old, path in KNOWN["places"][place].items()}
    now = {old: os.lstat(os.path.join(os.fsencode(root), path)) for old, path in paths.items()}
    inodes = {old: found.st_ino for old, found in now.items()}
    [file] = (store / "journals").iterdir()
    lines = [json.loads(line) for line in plain_lines(file.read_bytes())]
    assert not {"marked", "sight", "patterns"} & lines[0]["header"].keys()
    lines[0]["header"].update(root=str(root), root_inode=inodes[lines[0]["header"]["root_inode"]])
    for step in (step for line in lines for step in line.get("steps", ()) if step["seen"]):
        _, inode, size, mtime, _, links = step["seen"]
        if inode in now:  # it was not removed yet
            found = now[inode]
            step["seen"] = [found.st_dev, found.st_ino, size, mtime, found.st_ctime_ns, links]
    for line in lines:
        line["inodes"] = [[n, inodes.get(inode, 0)] for n, inode in line.get("inodes", ())]
    file.write_bytes(b"".join(journal.seal_form(line) for line in lines))
    Workspace.adopt(store, new_store=False)
    workspace = Workspace.open(store, recover=False)
    workspace.apps.move("crm", root)
    return workspace


def check_ended(crm: AppHandle, root: Path) -> None:
    assert not os.listdir(root.parent / "store/journals")
    assert not [name for name in os.listdir(root) if name.startswith(STAGE_PREFIX)]
    assert crm.status().clean


def test_recovery_takes_back_an_older_plan(unpacked: Path, tmp_path: Path) -> None:
    with here(unpacked, "planned", tmp_path) as workspace:
        crm, root = workspace.app("crm"), tmp_path / "root"
        assert crm.status().interrupted
        assert crm.recover() is None
        assert look(root) == KNOWN["before"]
        check_ended(crm, root)
        assert crm.checkout(0, exact=True).verified
        assert look(root) == KNOWN["after"]


@pytest.mark.parametrize("place", ["half", "switched", "recorded", "committed"])
def test_recovery_finishes_an_older_switch(unpacked: Path, tmp_path: Path, place: str) -> None:
    with here(unpacked, place, tmp_path) as workspace:
        crm, root = workspace.app("crm"), tmp_path / "root"
        result = crm.recover()
        assert result is not None and result.verified
        assert (result.of, result.version, result.meanwhile) == (0, 2, ())
        assert look(root) == KNOWN["after"]
        check_ended(crm, root)
        crm.undo()
        assert look(root) == KNOWN["before"]
        assert workspace.care.fsck(1.0).clean


def test_recovery_of_an_older_stage_gives_no_privilege_in_place(
    unpacked: Path, tmp_path: Path
) -> None:
    """The earlier release would have set the mode of the very file; of that one it is not known who
    has it open.
    """
    with here(unpacked, "staged", tmp_path) as workspace:
        crm, root = workspace.app("crm"), tmp_path / "root"
        result = crm.recover()
        assert result is not None and result.not_restored == (f"bin/su: {RISKY}",)
        check_ended(crm, root)
        assert crm.checkout(0, exact=True).modified == 1
        assert look(root) == KNOWN["after"]
        crm.checkout(1, exact=True)
        assert look(root) == KNOWN["before"]
