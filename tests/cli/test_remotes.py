"""Remotes as users have them: a host that pushes, one that pulls, and what the page says to do."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_json import check
from tests.remotes.webserver import serving

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

PAGE = Path(__file__).parents[2] / "docs/remotes.md"


@pytest.fixture
def depot(tmp_path: Path) -> Path:
    made = tmp_path / "depot"
    made.mkdir()
    return made


@pytest.fixture
def site(cli: "Cli", recorded: Path, depot: Path) -> str:
    """The id of a host that has pushed version 0."""
    writer = cli.ok("remote", "add", "site", str(depot), "--json").shapes[0]["writer"]
    cli.ok("push", "site", "--yes")
    return str(writer)


@pytest.fixture
def other(cli: "Cli", site: str, tmp_path: Path, depot: Path) -> Iterator[str]:
    """The options of a second host, which has the same remote."""
    store = str(tmp_path / "other")
    cli.ok("init", "--store", store)
    cli.ok("remote", "add", "site", str(depot), "--store", store)
    yield store


def test_the_tour_of_the_page_is_right(cli: "Cli", recorded: Path, depot: Path) -> None:
    lines = re.findall(r"^    epmstore (.*?) +#", PAGE.read_text(), re.MULTILINE)
    assert len(lines) == 9
    for line in lines:
        cli.ok(*line.replace("/mnt/site/depot", str(depot)).split())


def test_status_says_how_far_a_remote_is(cli: "Cli", recorded: Path, site: str) -> None:
    assert "recorded here and on site\n" in cli("status").out
    (recorded / "new").write_text("x")
    cli.ok("snapshot")
    assert "recorded here; on site up to 0 of 1\n" in cli("status").out
    found = cli("status", "--json").shapes[0]
    said = {"name": "site", "version": 0, "policy": "facts", "contents": None, "denied": None}
    assert found["remotes"] == [said]
    cli.ok("push")
    assert "recorded here and on site\n" in cli("status").out
    cli.ok("remote", "set", "site", "--push", "restorable")
    assert "on site, without contents yet: epmstore push site\n" in cli("status").out
    cli.ok("push", "--yes")
    assert "recorded here and on site, with contents\n" in cli("status").out
    (recorded / "new").write_text("y")
    cli.ok("snapshot")
    assert "on site up to 1 of 2, contents up to 1 of 2\n" in cli("status").out


def test_the_first_time_it_is_shown_and_not_sent(cli: "Cli", recorded: Path, depot: Path) -> None:
    cli.ok("remote", "add", "site", str(depot))
    assert "not on site yet" in cli("status").out
    refused = cli("push")
    assert refused.code == 2 and "--dry-run" in refused.err and "--yes" in refused.err
    shown = cli.ok("push", "site", "--dry-run")
    assert "crm: version 0" in shown.out
    assert [p.name for p in depot.iterdir()] == ["EPMSTORE"]
    cli.ok("push", "site", "--yes")
    (recorded / "new").write_text("x")
    cli.ok("snapshot")
    cli.ok("push")  # it was agreed to


def test_another_host_knows_what_the_first_has_recorded(cli: "Cli", site: str, other: str) -> None:
    pulled = cli.ok("pull", "--store", other)
    assert site in pulled.out and "crm version 0" in pulled.out
    assert "crm at" in cli.ok("remote", "show", "site", "--store", other).out
    assert "nothing new" in cli.ok("sync", "--yes", "--store", other).out


def test_shapes_of_remotes(cli: "Cli", recorded: Path, depot: Path, tmp_path: Path) -> None:
    for words in (
        ("remote", "add", "site", str(depot)),
        ("remote", "list"),
        ("push", "site", "--yes"),
        ("remote", "show", "site"),
        ("remote", "set", "site", "--order", "7"),
        ("remote", "check", "site"),
        ("pull", "site"),
        ("sync",),
        ("remote", "remove", "site", "--dry-run"),
        ("remote", "remove", "site"),
    ):
        shapes = cli.ok(*words, "--json").shapes
        assert shapes
        for shape in shapes:
            check(shape)


def test_dry_runs_change_nothing(cli: "Cli", recorded: Path, depot: Path) -> None:
    cli.ok("remote", "add", "site", str(depot), "--dry-run")
    assert list(depot.iterdir()) == [] and cli.ok("remote", "list").out == ""
    cli.ok("remote", "add", "site", str(depot))
    before = sorted(depot.rglob("*"))
    for words in (
        ("push", "--dry-run"), ("pull", "--dry-run"), ("sync", "--dry-run"),
        ("remote", "set", "site", "--new-writer", "--dry-run"),
        ("remote", "remove", "site", "--dry-run"),
    ):  # fmt: skip
        cli.ok(*words)
    assert sorted(depot.rglob("*")) == before
    assert len(cli.ok("remote", "list", "--json").shapes) == 1


def test_a_bad_place_for_a_depot_is_refused(
    cli: "Cli", recorded: Path, depot: Path, tmp_path: Path
) -> None:
    (depot / "letter").write_text("dear")
    assert cli("remote", "add", "site", str(depot)).code == 2
    assert cli("remote", "add", "site", str(tmp_path / "nothing")).code == 12
    assert cli("remote", "add", "site", "ftp://host/x").code == 2
    assert cli("remote", "add", "Site", str(depot)).code == 2
    assert cli.ok("remote", "list").out == ""


def test_names_that_are_not_there_are_said(cli: "Cli", recorded: Path, depot: Path) -> None:
    assert cli("push").code == 2
    for words in ("push", "pull", "sync"):
        assert cli(words, "nothing").code == 5
    for words in ("show", "set", "check", "remove"):
        assert cli("remote", words, "nothing").code == 5
    cli.ok("remote", "add", "site", str(depot))
    assert cli("remote", "add", "site", str(depot)).code == 7


def test_one_remote_that_fails_keeps_none_of_the_others(
    cli: "Cli", recorded: Path, depot: Path, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    cli.ok("remote", "add", "gone", str(gone))
    cli.ok("remote", "add", "site", str(depot))
    shutil.rmtree(gone)
    done = cli("push", "--yes")
    assert done.code == 12 and "gone:" in done.err
    assert "site: crm up to version 0" in done.out
    assert cli("sync", "gone", "--yes").code == 12


def test_a_mount_that_is_not_there_is_not_filled(cli: "Cli", site: str, depot: Path) -> None:
    depot.rename(depot.with_name("away"))
    assert cli("push").code == 12
    depot.mkdir()
    refused = cli("push")
    assert refused.code == 10 and "mounted" in refused.err
    assert list(depot.iterdir()) == []
    assert cli("remote", "check", "site").code == 12
    depot.rmdir()
    depot.with_name("away").rename(depot)
    cli.ok("push")


def heads(depot: Path, writer: str) -> Path:
    return depot / "hosts" / writer / "head"


def test_a_head_that_was_rolled_back_is_written_anew_as_the_page_says(
    cli: "Cli", recorded: Path, site: str, other: str, depot: Path
) -> None:
    old = heads(depot, site).read_bytes()
    (recorded / "new").write_text("x")
    cli.ok("snapshot")
    cli.ok("push")
    cli.ok("pull", "--store", other)
    heads(depot, site).write_bytes(old)
    for words in (("push",), ("remote", "check", "site")):
        found = cli(*words)
        assert found.code == 12 and "rolled back" in found.out + found.err
    pulled = cli("pull", "--store", other, "--json")
    assert pulled.code == 12
    assert [one["fault"] for one in pulled.shapes[0]["findings"]] == ["rolled_back"]
    cli.ok("push", "site", "--anew")
    cli.ok("remote", "check", "site")
    cli.ok("pull", "--store", other)


def test_a_history_that_is_lost_there_is_seen_and_written_anew(
    cli: "Cli", site: str, other: str, depot: Path
) -> None:
    [segment] = [p for p in depot.rglob("*-*-*") if p.is_file()]
    segment.write_bytes(b"garbage")
    found = cli("remote", "check", "site")
    assert found.code == 12 and "--anew" in found.err
    assert cli("pull", "--store", other).code == 12
    cli.ok("push", "site", "--anew")
    cli.ok("remote", "check", "site")
    assert site in cli.ok("pull", "--store", other).out


def test_a_clone_is_named_and_made_another_host(
    cli: "Cli", recorded: Path, site: str, tmp_path: Path
) -> None:
    clone = str(tmp_path / "clone")
    shutil.copytree(cli.store, clone, symlinks=True)
    (recorded / "new").write_text("x")
    cli.ok("snapshot")
    cli.ok("push")
    refused = cli("push", "--store", clone)
    assert refused.code == 7 and "--new-writer" in refused.err
    cli.ok("remote", "set", "site", "--new-writer", "--store", clone)
    cli.ok("push", "--store", clone)
    shown = cli.ok("pull", "--json").shapes[0]["hosts"]
    assert len(shown) == 1 and shown[0]["writer"] != site


def test_another_place_has_to_be_the_same_depot(
    cli: "Cli", site: str, depot: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(depot, moved)
    cli.ok("remote", "set", "site", "--url", str(moved))
    cli.ok("remote", "check", "site")
    (tmp_path / "third").mkdir()
    cli.ok("remote", "add", "third", str(tmp_path / "third"))
    refused = cli("remote", "set", "site", "--url", str(tmp_path / "third"))
    assert refused.code == 12 and "another depot" in refused.err


def test_a_web_server_is_read_from(cli: "Cli", site: str, depot: Path, tmp_path: Path) -> None:
    reader = ("--store", str(tmp_path / "reader"))
    cli.ok("init", *reader)
    with serving(depot) as url:
        found = cli.ok("remote", "add", "web", url, "--json", *reader).shapes[0]
        assert found["writer"] is None
        assert cli("push", "web", *reader).code == 12
        assert site in cli.ok("pull", "--host", site, *reader).out
        assert "nothing new" in cli.ok("sync", *reader).out
        cli.ok("remote", "check", "web", *reader)


def test_settings_that_were_changed_by_hand_are_not_believed(cli: "Cli", site: str) -> None:
    path = cli.store / "remotes/site/settings.json"
    said = json.loads(path.read_text())
    path.write_text(json.dumps({**said, "url": "/etc"}))
    assert cli("push").code == 6
    assert cli("status").code == 0
    cli.ok("remote", "remove", "site")
    assert not (cli.store / "remotes/site").exists()


def test_settings_of_before_sftp_and_buckets_are_read(cli: "Cli", site: str) -> None:
    path = cli.store / "remotes/site/settings.json"
    said = json.loads(path.read_text())
    for key in ("credentials", "host_keys", "endpoint", "region"):
        del said[key]
    plain = json.dumps({**said, "sha256": "0" * 64}, separators=(",", ":"))
    said["sha256"] = hashlib.sha256(plain.encode()).hexdigest()
    path.write_text(json.dumps(said, indent=2))
    assert cli.ok("remote", "show", "site", "--json").shapes[0]["writer"] == site
    cli.ok("push")


def test_keys_of_this_host_are_its_owners_alone(cli: "Cli", site: str) -> None:
    for path in (cli.store / "remotes").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_contents_go_when_that_was_agreed_to_and_are_checked(
    cli: "Cli", recorded: Path, site: str, depot: Path
) -> None:
    assert "contents are pushed" in cli.ok("remote", "set", "site", "--push", "restorable").out
    refused = cli("push", "site")
    assert refused.code == 2 and "--dry-run" in refused.err
    assert "contents of" in cli.ok("push", "site", "--dry-run").out
    assert not [*depot.rglob("*.pack")]
    pushed = cli.ok("push", "site", "--yes", "--json").shapes[0]
    check(pushed)
    assert pushed["contents"]["packs"] == 1 and pushed["contents"]["lacking"] == 0
    assert "the one pack is there" in cli.ok("remote", "check", "site").out
    [pack] = depot.rglob("*.pack")
    pack.write_bytes(bytes(pack.stat().st_size))
    assert cli("remote", "check", "site").code == 0
    wrong = cli("remote", "check", "site", "--read-data")
    assert wrong.code == 12 and "--anew" in wrong.err
    cli.ok("push", "site", "--anew")
    cli.ok("remote", "check", "site", "--read-data")


def test_a_release_without_contents_gets_them_from_a_remote(
    cli: "Cli", recorded: Path, depot: Path, tmp_path: Path
) -> None:
    """Those that another host pushed: a dry run asks what is there, a run takes it."""
    vendor, host = str(tmp_path / "vendor"), str(tmp_path / "host")
    cli.ok("init", "--store", vendor)
    cli.ok("release", "init", "app", "--store", vendor)
    cli.ok("release", "add", "app", str(recorded), "--label", "1.0", "--store", vendor)
    cli.ok("remote", "add", "site", str(depot))
    cli.ok("remote", "set", "site", "--push", "restorable")
    cli.ok("push", "site", "--yes")
    (tmp_path / "root2").mkdir()
    cli.ok("init", "--store", host)
    cli.ok("catalog", "clone", vendor, "app", "--store", host)
    cli.ok("app", "add", "app", str(tmp_path / "root2"), "--product", "app", "--store", host)
    cli.ok("snapshot", "--store", host)
    wanted = ("checkout", "release:1.0", "--store", host)
    assert cli(*wanted, "--dry-run").code == cli(*wanted).code == 5
    cli.ok("remote", "add", "site", str(depot), "--store", host)
    cli.ok("pull", "site", "--store", host)
    depot.rename(tmp_path / "away")
    for found in (cli(*wanted, "--dry-run"), cli(*wanted)):
        assert found.code == 12 and "site was asked for contents, in vain" in found.err
    (tmp_path / "away").rename(depot)
    cli.ok(*wanted, "--dry-run")
    assert not any((tmp_path / "root2").iterdir())
    fetch = ("fetch", "release:1.0", "--store", host)
    assert "contents would come" in cli.ok(*fetch, "--dry-run").out
    depot.rename(tmp_path / "away")
    assert cli(*fetch).code == 12
    (tmp_path / "away").rename(depot)
    fetched = cli.ok(*fetch, "--json").shapes[0]
    check(fetched)
    assert fetched["supply"]["from"][0]["place"] == "site"
    depot.rename(tmp_path / "away")  # a night without network
    assert "are here" in cli.ok(*fetch).out
    assert cli("fetch", "0" * 40, "--store", host).code == 5
    cli.ok(*wanted)
    theirs = {p.relative_to(recorded): p.read_bytes() for p in recorded.rglob("*") if p.is_file()}
    root = tmp_path / "root2"
    assert theirs == {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    cli.ok("fsck", "--read-data", "--store", host)


def test_a_repaired_store_says_from_where_contents_came(
    cli: "Cli", recorded: Path, depot: Path
) -> None:
    cli.ok("remote", "add", "site", str(depot))
    cli.ok("remote", "set", "site", "--push", "restorable")
    cli.ok("push", "site", "--yes")
    packs = Path(os.environ["EPMSTORE_STORE"]) / "packs"
    for path in [*packs.rglob("*"), *recorded.rglob("*")]:
        if path.is_file():
            path.unlink()
    assert cli("fsck", "--read-data").code == 6
    found = cli.ok("fsck", "--read-data", "--repair", "--json").shapes[-1]
    assert found["came_from"]["site"] > 0 and found["clean"]
    cli.ok("checkout", "0")


def lose_packs() -> None:
    for path in (Path(os.environ["EPMSTORE_STORE"]) / "packs").rglob("*"):
        if path.is_file():
            path.unlink()


def test_a_version_whose_contents_are_lost_comes_back_over_a_web_server(
    cli: "Cli", recorded: Path, site: str, depot: Path, tmp_path: Path
) -> None:
    """All packs are gone, then one byte is wrong: the checkout brings back what it needs."""
    before = {p: p.read_bytes() for p in recorded.rglob("*") if p.is_file() and p.stat().st_size}
    cli.ok("remote", "set", "site", "--push", "restorable")
    cli.ok("push", "site", "--yes")
    with serving(depot) as url:
        cli.ok("remote", "add", "web", url)
        cli.ok("pull", "web", "--host", site)
        cli.ok("remote", "remove", "site", "--yes")
        lose_packs()
        for path in before:
            path.write_bytes(b"another " + path.read_bytes())
        cli.ok("snapshot")
        assert cli("fsck", "--read-data").code == 6
        planned = cli.ok("checkout", "0", "--dry-run", "--json").shapes[0]
        check(planned)
        assert planned["supply"]["lacking"] == 0
        assert planned["supply"]["from"][0]["place"] == "web"
        shown = cli.ok("checkout", "0", "--dry-run").out
        assert f"{len(before)} of {len(before)} contents" in shown and "from web" in shown
        done = cli.ok("checkout", "0", "--json").shapes[0]
        check(done)
        assert done["came_from"] == {"web": len(before)} and done["verified"]
        assert {p: p.read_bytes() for p in before} == before
        packs = Path(os.environ["EPMSTORE_STORE"]) / "packs"
        for path in packs.rglob("*"):
            if path.is_file():
                path.write_bytes(bytes(path.stat().st_size))
        proven = cli.ok("drill", "0", "--json").shapes[0]
        check(proven)
        assert proven["came_from"] == {"the live roots": len(before)}
        for path in packs.rglob("*"):
            if path.is_file():
                path.write_bytes(bytes(path.stat().st_size))
        for path in before:
            path.unlink()
        assert "lacked here came from web" in cli.ok("checkout", "0").err
        assert {p: p.read_bytes() for p in before} == before
        lose_packs()
        depot.rename(tmp_path / "away")
        for path in before:
            path.write_bytes(b"a third")
        away = cli("checkout", "0")
    assert away.code == 12 and "web was asked for contents, in vain" in away.err
    assert all(path.read_bytes() == b"a third" for path in before)


def test_a_mirror_has_what_all_hosts_had_and_helps_when_the_first_place_is_lost(
    cli: "Cli", recorded: Path, site: str, depot: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "mirror"
    copy.mkdir()
    cli.ok("remote", "set", "site", "--push", "restorable")
    cli.ok("push", "site", "--yes")
    assert cli("remote", "mirror", "site", "site").code == 2
    cli.ok("remote", "add", "central", str(copy), "--mirror-of", "site")
    check(cli.ok("remote", "mirror", "site", "central", "--dry-run", "--json").shapes[0])
    assert [path.name for path in copy.iterdir()] == ["EPMSTORE"]
    (recorded / "new").write_text("x")
    cli.ok("snapshot")
    cli.ok("push", "site")
    [old_head] = depot.rglob("head")
    [pack, *_] = sorted(depot.rglob("*.pack"))
    good = pack.read_bytes()
    pack.write_bytes(bytes(len(good)))
    wrong = cli("remote", "mirror", "site", "central")
    assert wrong.code == 12 and not [*copy.rglob("head")]
    pack.write_bytes(good)
    (depot / "adopted").mkdir()
    for lie in (site, "no-writer"):  # by somebody who may write there
        (depot / "adopted" / lie).write_bytes(bytes(500))
    check(cli.ok("remote", "mirror", "site", "central", "--json").shapes[0])
    assert "nothing new" in cli.ok("remote", "mirror", "site", "central").out
    assert not (copy / "adopted").exists()
    theirs = {p.relative_to(depot): p.read_bytes() for p in depot.rglob("*") if p.is_file()}
    ours = {p.relative_to(copy): p.read_bytes() for p in copy.rglob("*") if p.is_file()}
    assert ours.items() <= theirs.items() and len(ours) > 5
    before = old_head.read_bytes()
    (recorded / "new").write_text("y")
    cli.ok("snapshot")
    cli.ok("push", "site")
    cli.ok("remote", "mirror", "site", "central")
    old_head.write_bytes(before)  # the first place is rolled back
    older = cli("remote", "mirror", "site", "central")
    assert older.code == 12 and "what the mirror has of it stays" in older.err
    shutil.rmtree(depot)
    heir = ("--store", str(tmp_path / "heir"))
    cli.ok("init", *heir)
    cli.ok("remote", "add", "central", str(copy), *heir)
    cli.ok("adopt-host", site, "--from", "central", "--dead", "--yes", *heir)
    cli.ok("checkout", "latest", "--app", "crm", "--target", str(tmp_path / "root"), *heir)
    assert (tmp_path / "root/new").read_text() == "y"
