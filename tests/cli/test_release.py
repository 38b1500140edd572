import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_json import check

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


@pytest.fixture
def build(cli: "Cli", tmp_path: Path) -> Path:
    """A catalog of two releases of a folder."""
    top = tmp_path / "build"
    (top / "bin").mkdir(parents=True)
    (top / "bin/tool").write_text("one\n")
    cli.ok("init")
    cli.ok("release", "init", "crm", "--name", "Customers", "--config", "etc/")
    cli.ok("release", "add", "crm", str(top), "--label", "1.0")
    (top / "bin/tool").write_text("two\n")
    cli.ok("release", "add", "crm", str(top), "--label", "1.0.SP1", "--requires", "0" * 40 + "?")
    return top


def test_release_add_list_and_show_print_releases(cli: "Cli", build: Path) -> None:
    assert (
        "published release 2 of 1 file"
        in cli.ok("release", "add", "crm", str(build.parent / "build" / "bin")).out
    )
    lines = cli.ok("release", "list", "crm").out.splitlines()
    assert [line.split()[0] for line in lines] == ["2", "1", "0"] and "1.0.SP1" in lines[1]
    assert "3 releases  latest 2  Customers" in cli.ok("release", "list").out
    assert "M bin/tool  (content, mtime)" in cli.ok("release", "diff", "crm", "1.0..1.0.SP1").out
    shown = cli.ok("release", "show", "crm", "1.0.SP1").out
    assert "release    crm 1.0.SP1 (1)" in shown and "(optional)" in shown


def test_nothing_new_is_said_to_be_nothing(cli: "Cli", build: Path) -> None:
    found = cli.ok("release", "add", "crm", str(build))
    assert "nothing differs from release 1.0.SP1 (1)" in found.out


def test_withdrawn_is_shown_and_may_be_taken_back(cli: "Cli", build: Path) -> None:
    cli.ok("release", "revoke", "crm", "1", "--reason", "loses orders")
    assert "[revoked: loses orders]" in cli.ok("release", "list", "crm").out
    cli.ok("release", "revoke", "crm", "1", "--take-back")
    assert "revoked" not in cli.ok("release", "list", "crm").out
    digest = cli.ok("release", "show", "crm", "--template").shapes[0]["entries"][1]["digest"]
    assert "component" in cli.ok("release", "revoke", "crm", digest).out
    assert cli("release", "revoke", "crm", "f" * 40).code == 5


def test_templates(cli: "Cli", build: Path) -> None:
    [whole] = cli.ok("release", "show", "crm", "0", "--template").shapes
    assert [e["path"] for e in whole["entries"]] == ["bin", "bin/tool"]
    [patch] = cli.ok("release", "show", "crm", "--patch").shapes
    [step] = patch["steps"]
    assert (step["op"], patch["from"], patch["release"]) == ("replace", 0, 1)
    assert step["before"] == whole["entries"][1]
    [first] = cli.ok("release", "show", "crm", "0", "--patch").shapes
    assert first["from"] is None and {s["op"] for s in first["steps"]} == {"add"}
    assert cli("release", "show", "crm", "--patch", "--template").code == 2


def test_shapes(cli: "Cli", build: Path) -> None:
    check(cli.ok("release", "list", "--json").shapes[0])
    for shape in cli.ok("release", "list", "crm", "--json").shapes:
        check(shape)
    check(cli.ok("release", "show", "crm", "--json").shapes[0])
    check(cli.ok("release", "init", "other", "--json").shapes[0])
    check(cli.ok("release", "set", "other", "--config", "x", "--json").shapes[0])
    check(cli.ok("release", "add", "crm", str(build), "--json").shapes[0])
    check(cli.ok("release", "revoke", "crm", "0", "--json").shapes[0])
    *changes, summary = cli.ok("release", "diff", "crm", "0..1", "--json").shapes
    for shape in changes:
        check(shape)
    check(summary, "Compared")


def test_dry_runs_change_nothing(cli: "Cli", build: Path) -> None:
    before = cli.ok("release", "list", "--json").out
    (build / "new").write_text("new")
    found = cli.ok("release", "add", "crm", str(build), "--dry-run", "--json").shapes[0]
    assert found["changed"] and found["release"] is None and found["added"] == 1
    cli.ok("release", "init", "x", "--dry-run")
    cli.ok("release", "set", "crm", "--name", "x", "--dry-run")
    cli.ok("release", "revoke", "crm", "0", "--dry-run")
    assert cli.ok("release", "list", "--json").out == before


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["add", "crm", "nowhere"], 5, "is not there"),
        (["add", "nobody", "."], 5, "no reference catalog of 'nobody'"),
        (["add", "crm", ".", "--requires", "x y"], 2, "is no requirement"),
        (["add", "crm", ".", "--label", " "], 2, "label is empty"),
        (["show", "crm", "9"], 5, "no release 9"),
        (["show", "crm", "SP9"], 5, "by its label"),
        (["diff", "crm", "1"], 2, "is not a range"),
        (["init", "crm"], 7, "already"),
        (["init", "UPPER"], 2, "cannot name an application"),
        (["init", "x", "--uuid", "zz"], 2, "is not a UUID"),
    ],
)
def test_errors_name_the_remedy(
    cli: "Cli", build: Path, args: list[str], code: int, says: str
) -> None:
    Path("file").write_text("x")
    found = cli("release", *args, "--json")
    assert found.code == code and says in found.error["message"] + str(found.error["hint"])
    assert json.dumps(found.error)


def test_a_release_is_named_like_a_version(cli: "Cli", build: Path, tmp_path: Path) -> None:
    cli.ok("app", "add", "crm", str(build))
    cli.ok("snapshot")
    assert "bin/tool" in cli.ok("ls", "release:0:bin").out
    assert cli.ok("cat", "release:0:bin/tool").out == "one\n"
    assert cli.ok("cat", "release:latest:bin/tool").out == "two\n"
    found = cli.ok("diff", "release:0..release:1", "--content").out
    assert "M bin/tool" in found and "-one" in found and "+two" in found
    assert cli("diff", "release:1..now", "--exit-code").code == 0
    *_, summary = cli.ok("diff", "release:0..now", "--json").shapes
    assert (summary["from"], summary["to"], summary["modified"]) == ("release:0", "now", 1)
    assert "crm: version 0 -> release 1.0 (0): 1 file to replace" in cli.ok("plan", "release:0").out
    cli.ok("plan", "release:0", "-o", "back.plan")
    target = str(tmp_path / "out")
    [copied] = cli.ok("checkout", "release:0", "--target", target, "--json").shapes
    check(copied)
    assert (copied["version"], copied["release"]) == (None, 0)
    cli.ok("apply", "back.plan")
    assert (build / "bin/tool").read_text() == "one\n"


def test_a_release_that_was_withdrawn_is_warned_of(cli: "Cli", build: Path) -> None:
    cli.ok("app", "add", "crm", str(build))
    cli.ok("snapshot")
    cli.ok("release", "revoke", "crm", "0", "--reason", "loses orders")
    found = cli("checkout", "release:0")
    assert "release 1.0 (0) is withdrawn by its vendor: loses orders" in found.err
    found = cli("checkout", "release:1", "--dry-run")
    assert "optional: the component" in found.err


def test_a_source_that_is_not_there_is_no_tag(cli: "Cli", build: Path) -> None:
    cli.ok("app", "add", "crm", str(build))
    cli.ok("snapshot")
    found = cli("release", "add", "crm", "nowhere")
    assert found.code == 5 and "nowhere is not there" in found.err and "a folder" in found.err
    assert "no version 9" in cli("release", "add", "crm", "9").err
