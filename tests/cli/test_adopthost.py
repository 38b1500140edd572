"""A host is destroyed, and another one takes its place: by what docs/remotes.md says."""

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_json import check

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

PAGE = Path(__file__).parents[2] / "docs/remotes.md"


@pytest.fixture
def old(cli: "Cli", recorded: Path, tmp_path: Path) -> str:
    """The id of a host that has pushed two versions with their contents, of three."""
    depot = tmp_path / "depot"
    depot.mkdir()
    (recorded / "key.pem").write_text("secret")
    cli.ok("app", "set", "crm", "--secret", "*.pem")
    (recorded / "bin" / "crmd").write_bytes(b"program 2\n")
    cli.ok("snapshot", "-m", "edited")
    cli.ok("tag", "good", "1")
    writer = cli.ok("remote", "add", "site", str(depot), "--json").shapes[0]["writer"]
    cli.ok("remote", "set", "site", "--push", "restorable")
    cli.ok("push", "site", "--yes")
    return str(writer)


def lines_of_the_page() -> list[str]:
    _, _, rest = PAGE.read_text().partition("## When a host is gone\n")
    section, _, _ = rest.partition("\n## ")
    return re.findall(r"^    epmstore (.*)$", section, re.MULTILINE)


def test_the_page_is_enough_to_take_the_place_of_a_host_that_is_gone(
    cli: "Cli", recorded: Path, old: str, tmp_path: Path
) -> None:
    depot, away = tmp_path / "depot", tmp_path / "lost"
    files = {p.relative_to(recorded): p.read_bytes() for p in recorded.rglob("*") if p.is_file()}
    cli.store.rename(away)
    mode = recorded.stat().st_mode
    shutil.rmtree(recorded)
    lines = lines_of_the_page()
    assert len(lines) == 8
    for line in lines:
        words = line.replace("/mnt/site/depot", str(depot)).replace("/opt/crm", str(recorded))
        found = cli(*words.replace("ID", old).split())
        assert found.code == (3 if "--app crm" in line and "--target" not in line else 0), found
        if line.startswith("pull"):
            assert old in found.out
        if line.startswith("adopt-host"):
            assert "1 secret never went there" in found.err
    now = {p.relative_to(recorded): p.read_bytes() for p in recorded.rglob("*") if p.is_file()}
    assert {**now, Path("key.pem"): b"secret"} == files and recorded.stat().st_mode == mode
    cli.ok("fsck", "--read-data")
    assert "good" in cli.ok("log").out
    assert "*.pem" in cli.ok("app", "show", "crm").out
    cli.ok("checkout", "0")
    assert (recorded / "bin" / "crmd").read_bytes() == b"program 1\n"
    [shown] = cli.ok("remote", "show", "site", "--json").shapes
    assert shown["writer"] != old and shown["number"] == 1
    # the old one comes back
    refused = cli("push", "site", "--store", str(away))
    assert refused.code == 7 and "--new-writer" in refused.err
    assert f"delete adopted/{old} there" in refused.err
    (depot / "adopted" / old).rename(tmp_path / "said")
    cli.ok("push", "site", "--yes", "--dry-run", "--store", str(away))  # as it says
    (tmp_path / "said").rename(depot / "adopted" / old)
    cli.ok("remote", "set", "site", "--new-writer", "--yes", "--store", str(away))
    cli.ok("push", "site", "--yes", "--store", str(away))


def test_versions_that_were_never_pushed_whole_are_named_and_forgotten(
    cli: "Cli", recorded: Path, old: str, tmp_path: Path
) -> None:
    """And a host that may be alive, one of another history, and a remote that is away."""
    depot, new = tmp_path / "depot", ("--store", str(tmp_path / "new"))
    cli.ok("remote", "set", "site", "--push", "facts")
    (recorded / "bin" / "crmd").write_bytes(b"program 3\n")
    cli.ok("snapshot")
    cli.ok("push", "site", "--yes")
    cli.ok("init", *new)
    cli.ok("remote", "add", "site", str(depot), *new)
    take = ("adopt-host", old, "--from", "site", *new)
    assert cli(*take, "--dry-run").code == 5 and cli("adopt-host", "x", *take[2:]).code == 2
    cli.ok("pull", "site", *new)
    alive = cli(*take, "--yes")
    assert alive.code == 7 and "--dead" in alive.err
    planned = cli.ok(*take, "--dead", "--dry-run", "--json").shapes[0]
    check(planned)
    assert planned["writer"] is None and planned["apps"][0]["version"] == 2
    [pack] = depot.rglob("*.pack")
    pack.rename(tmp_path / "pack")
    (depot / "EPMSTORE").rename(tmp_path / "marker")
    assert cli(*take, "--dead", "--yes").code == 10
    (tmp_path / "marker").rename(depot / "EPMSTORE")
    (tmp_path / "pack").rename(pack)
    done = cli(*take, "--dead", "--yes", "--json")
    assert done.code == 3
    check(done.shapes[0])
    [app] = done.shapes[0]["apps"]
    assert app["lacking"] == 1 and app["forgotten"] == [2] and app["secrets"] == 1
    cli.ok("fsck", "--read-data", *new)
    again = cli.ok(*take, "--dead", "--yes", "--json").shapes[0]
    assert again["apps"][0]["new"] is False and again["writer"] == done.shapes[0]["writer"]
    cli.ok("checkout", "1", "--app", "crm", "--target", str(tmp_path / "root"), *new)
    assert (tmp_path / "root/bin/crmd").read_bytes() == b"program 2\n"


def test_a_store_that_came_back_from_a_backup_goes_on_where_it_was(
    cli: "Cli", recorded: Path, old: str, tmp_path: Path
) -> None:
    """With the application that was added since as one that was removed; a clone is refused."""
    backup, other = tmp_path / "backup", tmp_path / "other"
    shutil.copytree(cli.store, backup, symlinks=True)
    (recorded / "bin" / "crmd").write_bytes(b"program 3\n")
    cli.ok("snapshot", "-m", "after the backup")
    cli.ok("tag", "third", "2")
    other.mkdir()
    (other / "file").write_text("x")
    cli.ok("app", "add", "other", str(other))
    cli.ok("snapshot", "--app", "other")
    cli.ok("push", "site")
    assert cli.ok("pull", "site", "--own").out == "site: nothing that is not here\n"
    shutil.copytree(cli.store, tmp_path / "clone", symlinks=True)
    shutil.rmtree(cli.store)
    backup.rename(cli.store)
    (recorded / "bin" / "crmd").write_bytes(b"program 2\n")  # as it was then
    refused = cli("push", "site")
    assert refused.code == 7 and "epmstore pull NAME --own" in refused.err
    planned = cli.ok("pull", "site", "--own", "--dry-run", "--json").shapes[0]
    check(planned)
    assert {app["app"]: app["version"] for app in planned["apps"]} == {"crm": 2, "other": 0}
    assert "crm version 2" in cli.ok("pull", "site", "--own").out
    assert "M bin/crmd" in cli("status").out
    cli.ok("fsck", "--read-data")
    cli.ok("checkout", "third")
    assert (recorded / "bin" / "crmd").read_bytes() == b"program 3\n"
    cli.ok("app", "add", "other", "--again")
    cli.ok("push", "site")
    cli.ok("remote", "check", "site", "--read-data")
    # a clone that recorded something of its own has nothing to take back
    clone = ("--store", str(tmp_path / "clone"))
    (recorded / "bin" / "crmd").write_bytes(b"program 4\n")
    cli.ok("snapshot", "--app", "crm", *clone)
    for words in (("push", "site"), ("pull", "site", "--own")):
        assert cli(*words, *clone).code == 7
    for n in range(3):  # nor if it recorded more than was pushed
        (recorded / "bin" / "crmd").write_text(f"{n}")
        cli.ok("snapshot", "--app", "crm", *clone)
    assert cli("pull", "site", "--own", *clone).code == 7
