"""Releases by label, number and line, in every command that takes one; paths and versions in
commands that take both.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from epmstore.cli.command import program
from epmstore.cli.table import COMMANDS
from tests.cli.test_json import check
from tests.cli.test_verify import text

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

TREES = {
    "4.2.15": {"bin/app": "app 4.2.15", "lib/old": "old"},
    "5.0": {"bin/app": "app 5.0", "lib/new": "new"},
    "4.2.16": {"bin/app": "app 4.2.16", "lib/old": "old"},
    "1": {"bin/app": "app 5.1", "lib/new": "new"},
}
AFTER = {"4.2.16": "4.2.15", "1": "5.0"}


def lay_out(folder: Path, files: dict[str, str]) -> None:
    for old in [p for p in folder.rglob("*") if p.is_file()]:
        old.unlink()
    for path, seed in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(text(seed))


@pytest.fixture
def root(cli: "Cli", tmp_path: Path) -> Path:
    """An application whose vendor maintains two lines; its root is release 5.0 (1), recorded."""
    root, build = tmp_path / "root", tmp_path / "build"
    lay_out(root, TREES["5.0"])
    cli.ok("init")
    cli.ok("app", "add", "app", str(root))
    cli.ok("release", "init", "app")
    for label, files in TREES.items():
        lay_out(build, files)
        after = ("--after", AFTER[label]) if label in AFTER else ()
        cli.ok("release", "add", "app", str(build), "--label", label, *after)
    cli.ok("snapshot", "-m", "as delivered")
    return root


NAMING = [
    ("verify", "--release", "{}"),
    ("report", "--json", "--release", "{}"),
    ("repair", "--dry-run", "--release", "{}"),
    ("ls", "release:{}"),
    ("cat", "release:{}:bin/app"),
    ("diff", "release:{}..now"),
    ("diff", "now", "release:{}"),
    ("plan", "release:{}"),
    ("checkout", "release:{}", "--dry-run"),
    ("release", "show", "app", "{}"),
    ("release", "diff", "app", "{}..latest"),
    ("release", "revoke", "app", "{}", "--dry-run"),
    ("release", "relabel", "app", "{}", "new", "--dry-run"),
    ("release", "add", "app", "BUILD", "--dry-run", "--after", "{}"),
    ("release", "add", "app", "BUILD", "--dry-run", "--requires", "app2>={}"),
]


@pytest.mark.parametrize("words", NAMING, ids=lambda words: "-".join(words[:2]))
def test_one_resolver_for_every_command(
    cli: "Cli", root: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    build = tmp_path / "next"
    lay_out(build, {"bin/app": "next"})
    if "app2>={}" in words:  # needs go one way, so they are another application's
        cli.ok("release", "init", "app2")
        words = ("release", "add", "app2", "BUILD", "--dry-run", "--requires", "app>={}")

    def ask(name: str) -> int:
        return cli(*(word.replace("BUILD", str(build)).format(name) for word in words)).code

    said = {name: ask(name) for name in ("5.0", "number:1", "label:5.0")}
    assert len(set(said.values())) == 1 and said["5.0"] in (0, 1), said
    assert ask("1") == 2, "label of release 3 and number of release 1"
    assert ask("label:1") in (0, 1)
    assert ask("9.9") == 5


def test_an_ambiguous_release_is_refused_with_both_readings(cli: "Cli", root: Path) -> None:
    found = cli("ls", "release:1")
    assert found.code == 2
    assert "5.0 (1)" in found.err and "1 (3)" in found.err
    assert "number:1" in found.err and "number:3" in found.err
    assert cli.ok("cat", "release:number:3:bin/app").out == text("app 5.1").decode()
    assert cli.ok("cat", "release:label:1:bin/app").out == text("app 5.1").decode()


def test_lines_decide_what_is_older(cli: "Cli", root: Path) -> None:
    (root / "bin/app").write_bytes(text("app 4.2.16"))
    found = cli("verify")
    assert (
        "parallel (1): from a release of another line\n  bin/app  (release 4.2.16 (2))" in found.out
    )
    (root / "bin/app").write_bytes(text("app 4.2.15"))
    assert "stale (1)" in cli("verify", "--release", "4.2.16").out
    (root / "bin/app").write_bytes(text("app 5.1"))
    assert "ahead (1): from a newer release\n  bin/app  (release 1 (3))" in (
        cli("verify", "--release", "5.0").out
    )


def test_a_switch_of_lines_is_neither_up_nor_down(cli: "Cli", root: Path) -> None:
    for label, kind in (
        ("4.2.16", "switch 5.0 (1) -> 4.2.16 (2)"),
        ("4.2.15", "downgrade 4.2.16 (2) -> 4.2.15 (0)"),
        ("1", "upgrade 4.2.15 (0) -> 1 (3)"),
    ):
        lay_out(root, TREES[label])
        cli.ok("snapshot", "-m", label)
        assert cli.ok("log", "-n", "1").out.rstrip().endswith(f"({kind})")
    for version in cli.ok("log", "--json").shapes:
        check(version, "version")


def test_tilde_names_the_release_before(cli: "Cli", root: Path) -> None:
    assert cli.ok("cat", "release:4.2.16~1:bin/app").out == text("app 4.2.15").decode()
    assert cli.ok("cat", "release:label:1~2:bin/app").out == text("app 4.2.15").decode()
    assert cli("cat", "release:4.2.16~2:bin/app").code == 5
    [shape] = cli.ok("release", "show", "app", "4.2.16", "--json").shapes
    check(shape, "release")
    assert shape["after"] == 0
    assert "[follows 4.2.15 (0)]" in cli.ok("release", "list", "app").out


def test_a_need_of_one_line_is_not_met_by_another(cli: "Cli", root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    lay_out(other, {"bin/o": "o"})
    cli.ok("app", "add", "other", str(other))
    cli.ok("snapshot", "--app", "other")
    cli.ok("release", "init", "other")
    cli.ok("release", "add", "other", str(other), "--label", "o1", "--requires", "app>=5.0")
    cli.ok("checkout", "release:o1", "--app", "other", "--dry-run")
    lay_out(root, TREES["4.2.16"])
    cli.ok("snapshot", "--app", "app")
    found = cli("checkout", "release:o1", "--app", "other", "--dry-run")
    assert found.code == 7
    assert "app is at release 4.2.16 (2), 5.0 (1) or newer is needed" in found.err


def test_a_label_is_used_once_and_put_right_by_a_record(
    cli: "Cli", root: Path, tmp_path: Path
) -> None:
    build = tmp_path / "build"
    lay_out(build, {"bin/app": "app 5.2"})
    refused = cli("release", "add", "app", str(build), "--label", "5.0")
    assert refused.code == 2 and "relabel" in refused.err
    [done] = cli.ok("release", "relabel", "app", "label:1", "5.1", "--json").shapes
    check(done, "relabelled")
    assert (done["release"], done["from"], done["to"]) == (3, "1", "5.1")
    assert cli.ok("cat", "release:1:bin/app").out == text("app 5.0").decode(), "no more ambiguous"
    assert "release    app 5.1 (3)\npublished as 1;" in cli.ok("release", "show", "app", "5.1").out
    cli.ok("release", "relabel", "app", "5.1", "--none")
    assert cli.ok("release", "show", "app", "3", "--json").shapes[0]["label"] is None
    # and it travels
    exported = tmp_path / "app.refcat"
    cli.ok("release", "relabel", "app", "3", "5.1")
    cli.ok("catalog", "export", "app", str(exported))
    store = str(tmp_path / "second")
    cli.ok("init", "--store", store)
    cli.ok("catalog", "import", str(exported), "--allow-unsigned", "--store", store)
    shapes = cli.ok("release", "list", "app", "--json", "--store", store).shapes
    assert [shape["label"] for shape in shapes] == ["5.1", "4.2.16", "5.0", "4.2.15"]
    assert [shape["after"] for shape in shapes] == [1, 0, 0, None]


def test_a_second_revoke_keeps_the_reason(cli: "Cli", root: Path) -> None:
    cli.ok("release", "revoke", "app", "5.0", "--reason", "it leaks")
    cli.ok("release", "revoke", "app", "5.0")
    assert cli.ok("release", "show", "app", "5.0", "--json").shapes[0]["revoked"] == "it leaks"
    cli.ok("release", "revoke", "app", "4.2.15")
    assert cli.ok("release", "show", "app", "4.2.15", "--json").shapes[0]["revoked"], "never falsy"
    found = cli("status")
    assert "release 5.0 (1) is withdrawn by its vendor: it leaks" in found.out
    [shape] = cli("status", "--json").shapes
    check(shape, "status")
    assert shape["revoked"] == "it leaks"


def test_withdrawn_components_are_named_wherever_they_are_met(
    cli: "Cli", root: Path, tmp_path: Path
) -> None:
    digest = cli.ok("identify", str(root / "bin/app"), "--json").shapes[0]["digest"]
    cli.ok("release", "revoke", "app", digest, "--reason", "vulnerable")
    assert "! bin/app  (vulnerable)" in cli("status").out
    assert "withdrawn: vulnerable" in cli.ok("identify", str(root / "bin/app")).out
    assert "withdrawn by its vendor: vulnerable" in cli.ok("blame", "bin/app").out
    assert "bin/app is withdrawn by its vendor: vulnerable" in cli("report").out
    exported = tmp_path / "app.refcat"
    cli.ok("catalog", "export", "app", str(exported))
    store = str(tmp_path / "second")
    cli.ok("init", "--store", store)
    imported = cli("catalog", "import", str(exported), "--allow-unsigned", "--store", store)
    assert f"{digest} (vulnerable)" in imported.err


def test_patterns_a_vendor_ignores_are_proposed(cli: "Cli", tmp_path: Path) -> None:
    root, build = tmp_path / "root", tmp_path / "build"
    lay_out(root, {"bin/app": "app", "cache/x": "x"})
    lay_out(build, {"bin/app": "app"})
    cli.ok("init")
    cli.ok("release", "init", "app", "--ignore", "cache/")
    cli.ok("release", "add", "app", str(build))
    added = cli.ok("app", "add", "app", str(root))
    assert "--ignore cache/" in added.err
    cli.ok("snapshot")
    [report] = cli("report", "--json").shapes
    whats = {one["path"]: one["what"] for one in report["files"]}
    assert whats == {"bin/app": "known", "cache/x": "ignore"}


def test_paths_narrow_what_is_told(cli: "Cli", root: Path) -> None:
    (root / "bin/app").write_bytes(text("mine"))
    (root / "extra").write_bytes(text("extra"))
    assert "1 of 1 file = release 5.0 (1)" in cli.ok("verify", "lib", "--release", "5.0").out
    assert [s["path"] for s in cli("verify", "bin", "--json").shapes[:-1]] == ["bin/app"]
    assert cli("verify", "nosuch").code == 5
    assert "nothing has changed" in cli.ok("status", "lib").out
    assert cli("status", "lib", "extra", "--json").shapes[0]["added"] == ["extra"]
    assert cli("status", "nosuch").code == 5
    cli.ok("snapshot", "-m", "mine")
    (root / "lib/new").write_bytes(text("newer"))
    cli.ok("snapshot", "-m", "lib alone")

    def versions(*paths: str) -> list[int]:
        return [shape["version"] for shape in cli.ok("log", "--json", *paths).shapes]

    assert versions("bin") == versions("bin/app") == [1, 0]
    assert versions("lib/new", "extra") == [2, 1, 0]
    assert cli("log", "nosuch").code == 5


def test_two_versions_need_no_dots(cli: "Cli", root: Path) -> None:
    (root / "bin/app").write_bytes(text("mine"))
    cli.ok("snapshot", "-m", "mine")
    plain = cli.ok("diff", "0..1").out
    assert "M bin/app" in plain
    assert cli.ok("diff", "0", "1").out == plain
    assert cli.ok("diff", "0", "latest", "bin").out == plain
    assert cli.ok("diff", "0", "bin").out == plain, "a single A is compared with now"
    cli.ok("tag", "good", "1")
    assert cli.ok("diff", "0", "good").out == plain
    (root / "1").write_bytes(text("a file called 1"))
    cli.ok("snapshot")
    both = cli("diff", "0", "1")
    assert both.code == 2 and "0..1" in both.err and "0..now 1" in both.err


@pytest.mark.parametrize(
    "words", [("diff", "0..1"), ("diff", "0..now"), ("diff", "release:5.0..now"),
              ("diff", "release:5.0..release:4.2.16")],
)  # fmt: skip
def test_a_path_on_neither_side_is_an_error(cli: "Cli", root: Path, words: tuple[str, ...]) -> None:
    (root / "bin/app").write_bytes(text("mine"))
    cli.ok("snapshot")
    assert cli(*words, "bin").code == 0
    assert cli(*words, "nosuch").code == 5


def commands(group: click.Command, words: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    if isinstance(group, click.Group):
        for name in group.list_commands(context):
            found = group.get_command(context, name)
            assert found is not None
            yield from commands(found, f"{words} {name}".strip())
    else:
        yield words, group


def test_no_command_has_two_parameters_of_one_name() -> None:
    found = dict(commands(program()))
    assert set(COMMANDS) <= set(found)
    for words, command in found.items():
        names = [str(one.name) for one in command.params]
        assert len(set(names)) == len(names), f"{words}: {names}"
        flags = [flag for one in command.params for flag in one.opts]
        assert len(set(flags)) == len(flags), f"{words}: {flags}"
        taken = {"store", "app", "json", "quiet", "verbose", "dry_run", "yes"}
        arguments = {str(p.name) for p in command.params if isinstance(p, click.Argument)}
        assert not arguments & taken, f"{words}: {arguments & taken} hides a common option"


def test_json_of_a_report_reads_again(cli: "Cli", root: Path, tmp_path: Path) -> None:
    (root / "bin/app").write_bytes(text("app 4.2.16"))
    for kind in ("json", "html", "txt"):
        cli("report", "-o", str(tmp_path / f"r.{kind}"))
    assert "4.2.16 (2)" in (tmp_path / "r.html").read_text()
    assert "4.2.16 (2)" in (tmp_path / "r.txt").read_text()
    form = json.loads((tmp_path / "r.json").read_text())
    assert form["labels"]["2"] == "4.2.16"
    assert cli("report", "read", str(tmp_path / "r.json")).code == 1


def test_conffiles_of_a_package_are_configuration_here_and_on_hosts(
    cli: "Cli", tmp_path: Path
) -> None:
    if not Path("/usr/bin/dpkg-deb").exists():
        pytest.skip("dpkg-deb is not there")
    tree = tmp_path / "tree"
    names = ["etc/app/app.conf", "etc/app/odd [1] name*.conf", "opt/x/own.conf"]
    lay_out(tree, {"bin/app": "app", "etc/app/plain": "p", **{name: name for name in names}})
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(
        "Package: app\nVersion: 1.0-1\nArchitecture: all\nMaintainer: n <n@n>\nDescription: x\n"
    )
    (tree / "DEBIAN/conffiles").write_text("".join(f"/{name}\n" for name in names))
    deb = str(tmp_path / "app.deb")
    build = ["dpkg-deb", "--root-owner-group", "-b", str(tree), deb]
    subprocess.run(build, check=True, capture_output=True)
    cli.ok("init")
    cli.ok("release", "init", "app", "--config", "opt/")
    dry = cli.ok("release", "add", "app", deb, "--dry-run", "--json").shapes[0]
    [done] = cli.ok("release", "add", "app", deb, "--json").shapes
    check(done, "published")
    assert done["config"] == dry["config"] and len(done["config"]) == 2, "opt/ says the third"
    entries = cli.ok("release", "show", "app", "--template").shapes[0]["entries"]
    classes = {e["path"]: e.get("class", "program") for e in entries if e["kind"] == "file"}
    assert classes == {
        "bin/app": "program", "etc/app/plain": "program", **dict.fromkeys(names, "config")
    }  # fmt: skip
    root = tmp_path / "root"
    lay_out(root, {"bin/app": "app", **{name: name for name in names}})
    added = cli.ok("app", "add", "app", str(root), "--json").shapes[0]
    assert set(done["config"]) <= {p["pattern"] for p in added["proposals"]}
    again = cli.ok("release", "add", "app", deb, "--json").shapes[0]
    assert not again["changed"] and again["config"] == []


def test_a_secret_that_a_release_has_promises_no_content(
    cli: "Cli", root: Path, tmp_path: Path
) -> None:
    """Its catalog came without contents, and what the host has of it is never stored."""
    exported, store = tmp_path / "app.refcat", str(tmp_path / "second")
    cli.ok("catalog", "export", "app", str(exported))
    cli.ok("init", "--store", store)
    cli.ok("app", "add", "app", str(root), "--secret", "bin/app", "--store", store)
    cli.ok("catalog", "import", str(exported), "--allow-unsigned", "--store", store)
    (root / "bin/app").chmod(0o700)
    cli.ok("snapshot", "--store", store)
    for words in (("checkout", "release:5.0", "bin/app"), ("undo",), ("redo",)):
        cli.ok(*words, "--store", store)
    shapes = cli.ok("ls", "--json", "--store", store).shapes
    assert [one["class"] for one in shapes if one["path"] == "bin/app"] == ["secret"]
    assert (root / "bin/app").stat().st_mode & 0o777 == 0o644
    cli.ok("fsck", "--store", store)
