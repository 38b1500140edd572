"""What components need decides about every command that writes them, by path, too."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from epmstore.catalog.model import AboutRecord, Requirement
from epmstore.clock import to_rfc3339
from epmstore.digest import identify
from epmstore.refcat.append import ReleaseDraft, publish, say
from epmstore.relpath import RelPath
from epmstore.store.deposit import Deposit
from epmstore.tree import Entry
from epmstore.workspace import Workspace
from tests.cli.test_verify import text, write

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

RELEASES = [
    {"bin/x.exe": text(f"exe {n}"), "bin/x.pdb": text(f"pdb {n}"), "lib/a": text(f"a {n}")}
    for n in range(2)
]


def sha1(release: int, path: str) -> str:
    return identify(RELEASES[release][path]).digest.hex()


@pytest.fixture
def root(cli: "Cli", tmp_path: Path) -> Path:
    """At release 0. Each release says that its symbols need exactly its program."""
    root = tmp_path / "crm"
    write(root, RELEASES[0])
    cli.ok("init")
    cli.ok("app", "add", "crm", str(root))
    with Workspace.open(cli.store) as ws:
        store, app = ws._store, ws.apps.get("crm").uuid
        about = AboutRecord(time=to_rfc3339(store.clock.now()), app=app, key="crm")
        say(store, app, about)
        for number, files in enumerate(RELEASES):
            tree = [
                Entry(
                    path=RelPath(path), kind="file", mode=0o644, mtime_ns=1, content=identify(data)
                )
                for path, data in files.items()
            ]
            need = Requirement(digest=sha1(number, "bin/x.exe"), of=sha1(number, "bin/x.pdb"))
            with Deposit(store) as deposit:
                publish(deposit, about, tree, ReleaseDraft(label=f"1.{number}", requires=(need,)))
    cli.ok("snapshot", "-m", "as delivered")
    write(tmp_path / "r1", RELEASES[1])
    for path in RELEASES[1]:
        cli.ok("blob", "put", str(tmp_path / "r1" / path))
    return root


PARTS = [
    ["repair", "--release", "1", "bin/x.pdb"],
    ["checkout", "release:1", "bin/x.pdb"],
    ["plan", "release:1", "bin/x.pdb"],
]


@pytest.mark.parametrize("act", PARTS)
@pytest.mark.parametrize("how", [["--dry-run"], []])
def test_a_part_without_what_it_needs(
    cli: "Cli", root: Path, act: list[str], how: list[str]
) -> None:
    if act[0] == "plan" and how:
        return
    found = cli(*act, *how)
    assert found.code == 7
    assert sha1(1, "bin/x.exe") in found.err
    assert "name what is needed as well: bin/x.exe" in found.err
    assert (root / "bin/x.pdb").read_bytes() == RELEASES[0]["bin/x.pdb"]


@pytest.mark.parametrize(
    "paths", [["bin/x.pdb", "bin/x.exe"], ["bin"], ["lib/a"], ["bin/x.exe"], []]
)
def test_a_part_with_all_that_it_needs(cli: "Cli", root: Path, paths: list[str]) -> None:
    assert cli("repair", "--release", "1", *paths).code in (0, 1)
    for path in RELEASES[1]:
        is_new = not paths or any(path.startswith(top) for top in paths)
        assert (root / path).read_bytes() == RELEASES[int(is_new)][path]


def test_needed_files_may_be_there_already(cli: "Cli", root: Path) -> None:
    (root / "bin/x.exe").write_bytes(RELEASES[1]["bin/x.exe"])
    assert cli("checkout", "release:1", "bin/x.pdb").code in (0, 1)
    (root / "bin/x.exe").unlink()
    (root / "bin/x.pdb").unlink()
    assert cli("checkout", "release:1", "bin/x.pdb").code == 7


def test_a_part_of_a_version(cli: "Cli", root: Path) -> None:
    cli.ok("checkout", "release:1", "--yes")
    found = cli("checkout", "0", "bin/x.pdb")
    assert found.code == 7
    assert "bin/x.exe" in found.err
    cli.ok("checkout", "0", "bin/x.pdb", "bin/x.exe")
    cli.ok("undo")
    cli.ok("rollback")
    assert (root / "bin/x.pdb").read_bytes() == RELEASES[0]["bin/x.pdb"]


def test_a_plan_of_it_that_was_made_before(cli: "Cli", root: Path) -> None:
    (root / "bin/x.exe").write_bytes(RELEASES[1]["bin/x.exe"])
    cli.ok("plan", "release:1", "bin/x.pdb", "-o", "p")
    (root / "bin/x.exe").write_bytes(b"another")
    for how in (["--dry-run"], []):
        assert cli("apply", "p", *how).code == 7
