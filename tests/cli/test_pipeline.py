"""Commands of the release pipeline: what they end with, and what a dry run leaves alone."""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_json import check
from tests.remotes.sftpserver import serving

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


@pytest.fixture
def place(cli: "Cli", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a spool, one build and a remote."""
    monkeypatch.setenv("EPMSTORE_SPOOL", str(tmp_path / "spool"))
    (tmp_path / "releases").mkdir()
    (tmp_path / "crm-4.1").mkdir()
    (tmp_path / "crm-4.1" / "crmd").write_text("program")
    cli.ok("publish", "init", "--remote", str(tmp_path / "releases"))
    cli.ok("publish", "add", str(tmp_path / "crm-4.1"), "--product", "crm")
    return tmp_path


def test_a_build_goes_to_the_remote_and_is_done(cli: "Cli", place: Path) -> None:
    (prepared,) = cli.ok("publish", "prepare", "--json").shapes
    check(prepared)
    assert prepared["state"] == "in_process"
    (waiting,) = cli.ok("publish", "upload", "--dry-run", "--json").shapes
    assert (waiting["state"], waiting["next"]) == ("in_process", "publish upload sends it")
    (done,) = cli.ok("publish", "upload", "--json").shapes
    assert (done["state"], done["association"]) == ("done", "ready")
    assert (place / "releases" / done["remote_path"]).stat().st_size == done["size"]
    assert cli.ok("publish", "upload").out == cli.ok("publish", "prepare").out == ""
    states = [line["to"] for line in cli.ok("publish", "log", "1", "--json").shapes]
    assert states == ["", "", "in_process", "done"]


def test_a_payload_that_was_brought_there_otherwise_is_done(cli: "Cli", place: Path) -> None:
    (prepared,) = cli.ok("publish", "prepare", "--json").shapes
    (payload,) = (place / "spool" / "upload").iterdir()
    shutil.move(payload, place / "releases" / prepared["remote_path"])
    (done,) = cli.ok("publish", "prepare", "--json").shapes
    assert done["state"] == "done"


def test_a_remote_that_fails_ends_an_upload_with_3(cli: "Cli", place: Path) -> None:
    cli.ok("publish", "prepare")
    (place / "releases").rename(place / "away")
    assert cli("publish", "upload").code == 12
    (place / "away").rename(place / "releases")
    shutil.rmtree(place / "releases" / "crm")
    (place / "releases" / "crm").touch()
    (found,) = (failed := cli("publish", "upload", "--json")).shapes
    assert (failed.code, found["state"], found["failures"]) == (3, "in_process", 1)
    assert cli.ok("publish", "upload", "--wait", "--json").shapes == []


def test_a_build_that_fails_ends_a_run_with_3(cli: "Cli", place: Path) -> None:
    cli.ok("publish", "add", str(place / "later"), "--product", "crm")
    found = cli("publish", "prepare", "--json")
    assert found.code == 3
    assert [shape["state"] for shape in found.shapes] == ["in_process", "error"]
    assert cli("publish", "prepare", "--wait", "--json").shapes == []


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (5, "publish show 9"),
        (5, "publish list --spool elsewhere"),
        (7, "publish unhold 1"),
        (7, "publish init --remote ."),
        (2, "publish init --remote sftp://host/x --spool other"),
        (2, "publish init --remote https://get.example.org/x --spool other"),
        (2, "publish init --remote . --region eu --spool other"),
        (12, "publish init --remote nowhere --spool other"),
        (2, "publish add x --product ../up"),
        (2, "publish add x"),
        (2, "publish list --state prepared"),
        (2, "publish upload --stall soon"),
        (2, "publish init --remote . --spool other --database mysql://host/x"),
        (5, "publish add --watch nowhere --product crm"),
        (7, "publish add --no-watch ."),
    ],
)
def test_refusals_have_their_codes(cli: "Cli", place: Path, code: int, line: str) -> None:
    assert cli(*line.split()).code == code


def test_dry_runs_change_nothing(cli: "Cli", place: Path) -> None:
    before = cli.ok("publish", "log", "--json").shapes
    lines = (
        "prepare",
        "hold 1",
        "withdraw 1",
        "add x --product crm",
        "add . --watch --product crm",
    )
    for line in lines:
        for shape in cli.ok("publish", *line.split(), "--dry-run", "--json").shapes:
            assert shape["dry_run"] is True
    assert cli.ok("publish", "log", "--json").shapes == before


def test_packages_are_payloads_and_candidates_become_releases(cli: "Cli", place: Path) -> None:
    cli.ok("init")
    cli.ok("release", "init", "crm")
    spec = f'[package]\nproduct = "crm"\nversion = "4.1.0"\n[[files]]\nfrom = "{place}/crm-4.1"\n'
    (place / "crm.toml").write_text(spec)
    cli.ok("package", "build", str(place / "crm.toml"), "--out", str(place))
    (candidate,) = place.glob("*.candidate.epkg")
    (place / "other.epkg").write_bytes(b"SQLite format 3\0" + bytes(200))
    epkg = ["--product", "crm", "--payload", "epkg"]
    for path in (candidate, place / "other.epkg"):
        cli.ok("publish", "add", str(path), *epkg)
    cli.ok("publish", "add", str(candidate), "--product", "erp", "--payload", "epkg")
    found = {shape["number"]: shape for shape in cli("publish", "prepare", "--json").shapes}
    assert [found[number]["state"] for number in (2, 3, 4)] == ["in_process", "error", "error"]
    assert "no package" in found[3]["error"] and "no candidate of erp" in found[4]["error"]
    assert found[2]["release"] == 0
    (payload,) = (place / "spool" / "upload").glob("crm-4.1.0-1-*.epkg")
    assert cli.ok("package", "show", str(payload), "--json").shapes[0]["release"] == 0
    cli.ok("publish", "add", str(payload), *epkg)
    cli("publish", "prepare", "--json")
    assert sorted((place / "spool" / "upload").glob("crm-4.1.0-1-*"))[1].read_bytes() == (
        payload.read_bytes()
    )


def test_payloads_go_to_a_server(cli: "Cli", place: Path) -> None:
    (place / "srv").mkdir()
    with serving(place / "srv") as server:
        spool = ["--spool", str(place / "other")]
        ways = ["--credentials", str(server.place.credentials)]
        refused = cli("publish", "init", *spool, "--remote", server.place.url, *ways)
        assert refused.code == 12 and "SHA256:" in refused.err
        ways += ["--host-key", server.place.host_keys[0]]
        cli.ok("publish", "init", *spool, "--remote", server.place.url, *ways)
        cli.ok("publish", "add", *spool, str(place / "crm-4.1"), "--product", "crm")
        (prepared,) = cli.ok("publish", "prepare", *spool, "--json").shapes
        (done,) = cli.ok("publish", "upload", *spool, "--json").shapes
    (size,) = (place / "srv" / "crm" / "1").glob("*.filesize")
    assert int(size.read_text()) == prepared["size"]
    assert (place / "srv" / done["remote_path"]).stat().st_size == done["size"]


def test_builds_that_appear_in_a_watched_folder_are_added(cli: "Cli", place: Path) -> None:
    (place / "builds" / "crm-4.2").mkdir(parents=True)
    watch = ["publish", "add", "--watch", str(place / "builds"), "--product", "crm"]
    check(cli.ok(*watch, "--settle", "0", "--json").shapes[0])
    assert [shape["number"] for shape in cli.ok("publish", "prepare", "--json").shapes] == [1, 2]
    (status,) = cli.ok("publish", "status", "--json").shapes
    assert status["watched"] == [str(place / "builds")]
    cli.ok("publish", "add", "--no-watch", str(place / "builds"))


def test_a_library_for_postgresql_that_lacks_is_named(
    cli: "Cli", place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "epmstore.publish.postgresrecords", raising=False)
    spool = ["--spool", str(place / "other"), "--database", "postgresql://host/x"]
    refused = cli("publish", "init", "--remote", str(place / "releases"), *spool, "--json")
    assert refused.code == 4
    assert refused.error["hint"].startswith("pip install 'epmstore[postgresql]'")
    assert not (place / "other").exists()
