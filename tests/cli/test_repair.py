"""repair and checkout release:N: what comes back, what is kept, and that it is verified anew."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from epmstore.catalog.classes import Patterns
from epmstore.catalog.model import AboutRecord
from epmstore.clock import to_rfc3339
from epmstore.digest import identify
from epmstore.refcat.append import ReleaseDraft, publish, say
from epmstore.refcat.releases import Releases
from epmstore.relpath import RelPath
from epmstore.store import seeking
from epmstore.store.deposit import Deposit
from epmstore.tree import Entry
from epmstore.workspace import Workspace
from tests.cli.test_json import check
from tests.cli.test_verify import RELEASES, findings, root, text, write

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

__all__ = ["root"]  # a fixture


def put(cli: "Cli", tmp_path: Path, *releases: int) -> None:
    """Store the contents of releases, as whoever brings them from the vendor does."""
    for release in releases:
        write(tmp_path / f"r{release}", RELEASES[release])
        for path in RELEASES[release]:
            cli.ok("blob", "put", str(tmp_path / f"r{release}" / path))


def tree(root: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {str(p.relative_to(root)): (p.read_bytes(), p.stat().st_mode & 0o7777) for p in files}


def test_everything_that_deviates_comes_back(cli: "Cli", root: Path) -> None:
    before = tree(root)
    (root / "bin/crmd").write_bytes(text("tampered"))
    (root / "lib/b.so").rename(root / "lib/c.so")
    (root / "lib/a.so").chmod(0o666)
    shutil.rmtree(root / "doc")
    (root / "mine").write_bytes(text("mine"))
    found = cli("repair", "--yes")
    assert tree(root) == {
        **before,
        "lib/c.so": before["lib/b.so"],
        "mine": (text("mine"), 0o644),
    }
    lines = found.out.splitlines()
    assert lines[0].startswith(
        "crm: version 1 -> 2 'release 1.2 (2)', 3 files and 1 folder brought "
    )
    assert ", verified; undo: epmstore undo" in lines[0]
    assert lines[1] == f"crm at {root}: 6 of 8 files = release 1.2 (2)"
    assert found.code == 1  # two files are still nobody's: kept, and named
    assert "lib/c.so (no release has it here)" in found.err
    assert findings(cli) == {"lib/c.so": "foreign", "mine": "unknown"}
    cli.ok("undo")
    assert (root / "bin/crmd").read_bytes() == text("tampered")
    cli.ok("redo")
    assert cli.ok("repair", "--exact", "--yes").code == 0
    assert tree(root) == before
    cli.ok("verify")


def test_dry_run_changes_nothing_and_names_what_is_kept(cli: "Cli", root: Path) -> None:
    (root / "bin/crmd").write_bytes(text("tampered"))
    (root / "mine").write_bytes(b"mine")
    before = tree(root)
    found = cli.ok("repair", "--dry-run")
    assert "write  bin/crmd" in found.out
    assert "mine (no release has it here)" in found.err
    assert tree(root) == before
    [plan] = cli.ok("repair", "--dry-run", "--json").shapes
    check(plan)
    assert plan["action"] == "repair"


def test_edited_configuration_is_kept_unless_asked_for(cli: "Cli", root: Path) -> None:
    (root / "etc/crm.conf").write_bytes(b"port = 2\n")
    (root / "bin/crmd").unlink()
    found = cli("repair", "--yes")
    assert "etc/crm.conf (configuration that was edited here)" in found.err
    assert (root / "etc/crm.conf").read_bytes() == b"port = 2\n"
    assert (root / "bin/crmd").read_bytes() == RELEASES[2]["bin/crmd"]
    result, summary = cli("repair", "--yes", "--json").shapes
    check(result)
    check(summary, "Verified")
    assert not result["changed"]
    cli.ok("repair", "--config=restore", "--yes")
    assert (root / "etc/crm.conf").read_bytes() == RELEASES[2]["etc/crm.conf"]


def test_repair_keeps_accepted_files(cli: "Cli", root: Path) -> None:
    (root / "bin/crmd").write_bytes(text("hardened"))
    cli.ok("snapshot")
    cli.ok("accept", "latest", "bin/crmd")
    cli.ok("repair", "--yes")
    assert (root / "bin/crmd").read_bytes() == text("hardened")
    cli.ok("repair", "bin/crmd", "--yes")
    assert (root / "bin/crmd").read_bytes() == RELEASES[2]["bin/crmd"]


def test_paths_limit_it(cli: "Cli", root: Path) -> None:
    for path in ("bin/crmd", "lib/a.so"):
        (root / path).write_bytes(text("tampered"))
    assert cli("repair", "lib", "--yes").code == 1
    assert findings(cli) == {"bin/crmd": "local"}


def test_contents_that_are_not_here_are_counted_and_nothing_is_changed(
    cli: "Cli", root: Path, tmp_path: Path
) -> None:
    before = tree(root)
    found = cli("repair", "--release", "0", "--yes")
    assert found.code == 5
    assert (
        "2 of 2 contents of release 1.0 (0) are not to be had; they were sought in the store"
        in found.err
    )
    assert tree(root) == before
    put(cli, tmp_path, 0)
    cli.ok("repair", "--release", "0", "--yes")
    assert {path: data for path, (data, _) in tree(root).items()} == RELEASES[0]


@pytest.mark.parametrize("form", ["folder", "tar.gz", "zip"])
def test_contents_are_sought_where_somebody_says(
    cli: "Cli", root: Path, tmp_path: Path, form: str
) -> None:
    shelf = tmp_path / "shelf"
    (shelf / "odd/names").mkdir(parents=True)
    for number, data in enumerate(RELEASES[0].values()):
        (shelf / f"odd/names/{number}").write_bytes(data)
    (shelf / "another").write_bytes(text("nothing that was asked for"))
    (shelf / "link").symlink_to("odd/names/0")
    place = shelf
    if form != "folder":
        kind = "gztar" if form == "tar.gz" else form
        place = Path(shutil.make_archive(str(tmp_path / "packed"), kind, shelf))
    cli.ok("repair", "--release", "0", "--yes", "--from", str(place))
    assert {path: data for path, (data, _) in tree(root).items()} == RELEASES[0]
    assert findings(cli, "--release", "0") == {}
    other = hashlib.sha1(text("nothing that was asked for")).hexdigest()
    assert cli("blob", "stat", other).code != 0


def test_a_large_content_is_sought_in_one_pass(
    cli: "Cli", root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeking, "PART_THRESHOLD", 100)
    shelf = tmp_path / "shelf"
    write(shelf, RELEASES[0])
    (shelf / "alike").write_bytes(RELEASES[0]["bin/crmd"][::-1])  # of the same size
    archive = shutil.make_archive(str(tmp_path / "packed"), "tar", shelf)
    cli.ok("repair", "--release", "0", "--yes", "--from", archive)
    assert {path: data for path, (data, _) in tree(root).items()} == RELEASES[0]
    other = hashlib.sha1(RELEASES[0]["bin/crmd"][::-1]).hexdigest()
    assert cli("blob", "stat", other).code != 0
    cli.ok("fsck", "--read-data")


def test_repair_counts_missing_contents_and_names_places(
    cli: "Cli", root: Path, tmp_path: Path
) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    (shelf / "one").write_bytes(RELEASES[0]["bin/crmd"])
    before = tree(root)
    found = cli("repair", "--release", "0", "--yes", "--from", str(shelf), "--json")
    assert found.code == 5
    error = found.error
    assert error["data"]["missing"] == 1
    assert error["data"]["sought"][-1] == str(shelf)
    assert str(shelf) in error["message"]
    assert tree(root) == before
    assert cli("repair", "--from", str(tmp_path / "nowhere")).code == 5


def test_checkout_of_a_release_goes_there_and_rollback_comes_back(
    cli: "Cli", root: Path, tmp_path: Path
) -> None:
    put(cli, tmp_path, 1)
    before = tree(root)
    (root / "mine").write_bytes(b"mine")
    assert cli("checkout", "release:1", "--yes").code == 1
    assert {path: data for path, (data, _) in tree(root).items()} == {
        **RELEASES[1],
        "mine": b"mine",
    }
    assert cli("verify", "--json").shapes[-1]["release"] == 1
    assert "release 1.1 (1)" in cli.ok("log").out.splitlines()[0]
    cli.ok("rollback", "--yes")
    assert {**before, "mine": (b"mine", 0o644)} == tree(root)
    assert cli("checkout", "release:9", "--yes").code == 5
    os.unlink(root / "mine")


def test_repair_keeps_paths_the_release_ignored(cli: "Cli", root: Path, tmp_path: Path) -> None:
    """Its vendor ignored a folder when it was published, and does so no more."""
    put(cli, tmp_path, 2)
    slim = {path: data for path, data in RELEASES[2].items() if not path.startswith("doc/")}
    with Workspace.open(cli.store) as ws:
        about = Releases(ws._store, ws.apps.get("crm").uuid).about()
        assert about is not None
        say(ws._store, about.app, replace(about, patterns=Patterns(ignore=("doc/",))))
        files = [
            Entry(path=RelPath(path), kind="file", mode=0o644, mtime_ns=1, content=identify(data))
            for path, data in slim.items()
        ]
        with Deposit(ws._store) as deposit:
            publish(deposit, about, files, ReleaseDraft(label="1.3"))
        say(ws._store, about.app, replace(about, patterns=Patterns()))
    for exact in ((), ("--exact",)):
        found = cli("checkout", "release:3", *exact)
        assert "doc/1 (it was ignored then: it may have been there)" in found.err
    assert (root / "doc/1").read_bytes() == RELEASES[2]["doc/1"]


def test_a_catalog_alone_gives_nobody_rights(cli: "Cli", root: Path) -> None:
    with Workspace.open(cli.store) as ws:
        app = ws.apps.get("crm").uuid
        [newest] = [r for r in Releases(ws._store, app).all() if r.version == 2]
        tree = {e.path: e for e in Releases(ws._store, app).tree(newest.version)}
        tree[RelPath("bin/crmd")] = replace(tree[RelPath("bin/crmd")], mode=0o4755)
        for path, target in (("out", "/etc/passwd"), ("in", "bin/crmd")):
            link = Entry(path=RelPath(path), kind="symlink", mode=0o777, target=target)
            tree[RelPath(path)] = link
        about = AboutRecord(time=to_rfc3339(ws._store.clock.now()), app=app, key="crm")
        with Deposit(ws._store) as deposit:
            publish(deposit, about, [*tree.values()], ReleaseDraft(label="evil"))
    found = cli("repair", "--release", "3", "--yes")
    assert found.code == 1
    assert os.readlink(root / "in") == "bin/crmd"
    assert not (root / "out").is_symlink()
    assert "out (the link that was released leads out of the root)" in found.err
    assert (root / "bin/crmd").stat().st_mode & 0o7777 == 0o755
    assert findings(cli, "--release", "3") == {"bin/crmd": "meta", "out": "missing"}


@pytest.mark.parametrize("reason", ["loses orders", ""])
def test_a_release_that_was_withdrawn_is_named_as_such(
    cli: "Cli", root: Path, tmp_path: Path, reason: str
) -> None:
    cli.ok("release", "revoke", "crm", "2", "--reason", reason)
    said = "release 1.2 (2) is withdrawn by its vendor" + (f": {reason}" if reason else "")
    for words in (("repair", "--dry-run"), ("verify",)):
        assert said in cli(*words).err.splitlines()[0]
    assert said[len("release 1.2 (2) is ") :] in cli("report").out
    cli("report", "-o", str(tmp_path / "page.html"))
    assert "This release is withdrawn by its vendor" in (tmp_path / "page.html").read_text()


def test_where_no_release_explains_the_root_the_plan_says_so(cli: "Cli", root: Path) -> None:
    assert "no release explains" not in cli("repair", "--dry-run").err
    for path in RELEASES[2]:
        (root / path).unlink()
    (root / "mine").write_bytes(text("mine"))
    found = cli("repair", "--dry-run")
    assert "no release explains this root" in found.err and "-> release 1.2 (2)" in found.out
    assert "no release explains" not in cli("repair", "--dry-run", "--release", "1").err
