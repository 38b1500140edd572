"""Every command of the program, once with `--json` and, where it can, with `--dry-run`: what it
prints is of a shape that docs/json.md has, and a dry run prints one, too.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from epmstore.cli.command import program
from epmstore.cli.table import COMMANDS
from tests.cli.test_json import check
from tests.kit.debs import deb
from tests.package.test_debs import ALSO, CONTROL, FILES

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

pytestmark = pytest.mark.slow

TOUR = """
init --store {other}
app list
app add erp {erp}
app show crm
app set crm --state log/
app move erp {moved}
app apply
app remove erp
doctor
completion bash
snapshot -m one
change begin
change end
run -- true
pin 0
unpin 0
tag golden 0
tag -d golden
log --all
ls
cat 0:crm.conf
diff 0 1
history crm.conf
find *.conf
status
plan 0
plan 0 -o {work}/plan
apply {work}/plan
checkout 0
checkout 0 --target {work}/copy
undo
redo
rollback
recover
confirm
hold crm
unhold crm
release init crm
release set crm --state x/
release add crm {crm} --label 1.0
release list
release list crm
release show crm 0
release diff crm 0..0
package build {work}/crm.toml --out {work}
package show {work}/crm-4.1.0-1.candidate.epkg
package files {work}/crm-4.1.0-1.candidate.epkg
package verify {work}/crm-4.1.0-1.candidate.epkg
package diff {work}/crm-4.1.0-1.candidate.epkg {work}/crm-4.1.0-1.candidate.epkg
package unpack {work}/crm-4.1.0-1.candidate.epkg {work}/unpacked
package edit {work}/crm-4.1.0-1.candidate.epkg --tag beta
package sbom {work}/crm-4.1.0-1.candidate.epkg
package from-deb {work}/web.deb --out {work}
release publish {work}/crm-4.1.0-1.candidate.epkg --out {work}
package from-release crm 0 --version 1.0 --out {work}
install crm --adopt
package from-app --build 2 --out {work}
search crm
installed
why crm
owner {crm}/crm.conf
merge
param list
param set port 9090
param get port
param history port
param reset port
notes
freeze crm
unfreeze crm
upgrade crm
uninstall crm
undo
release relabel crm 0 1.1
release revoke crm 0 --reason x
verify
accept
repair
report
identify {crm}/crm.conf
blame crm.conf
catalog export crm {work}/crm.refcat
catalog verify {work}/crm.refcat
catalog import {work}/crm.refcat
catalog clone {source} crm
catalog convert {work}/plain.json
catalog trust
blob put {crm}/crm.conf
blob get {digest} {work}/got
blob compare {digest} {crm}/crm.conf
blob stat {digest}
fsck
drill
rebuild
forget 0
unforget 0
purge {digest} --yes
gc
stats
store copy {work}/copied
store restore --from {work}/copied
publish init --spool {work}/spool --remote {releases}
publish add --spool {work}/spool --product crm {crm}
publish prepare --spool {work}/spool
publish upload --spool {work}/spool
publish list --spool {work}/spool
publish show --spool {work}/spool 1
publish log --spool {work}/spool
publish status --spool {work}/spool
publish add --spool {work}/spool --product crm {work}/later
publish prepare --spool {work}/spool
publish retry --spool {work}/spool 2
publish hold --spool {work}/spool 1
publish unhold --spool {work}/spool 1
publish withdraw --spool {work}/spool 1
remote add site {depot}
remote list
remote show site
remote set site --order 3
remote check site
push site --yes
pull site
fetch latest --app crm
adopt-host ID --from site
remote add mirror {mirror} --mirror-of site
remote mirror site mirror
sync site
remote remove site
store adopt --moved
store upgrade
config show
console
daemon status
daemon watch
daemon pause
daemon resume
daemon jobs
"""
NAMES = {
    ("verify", "finding"): "Finding",
    ("verify", "summary"): "Verified",
    ("repair", "summary"): "Verified",
    ("identify", "summary"): "Identified",
    ("blame", "summary"): "Blamed",
    ("release diff", "summary"): "Compared",
    ("fsck", "summary"): "Fsck",
    ("blob stat", "blob"): "Stat",
    ("init", "store"): "Made",
    ("store adopt", "store"): "Adopted",
    ("app add", "app"): "Added",
}
"""What a shape is called in docs/json.md, where several have one type."""
REFUSES = {"catalog clone", "confirm", "rollback", "catalog convert", "report"}
"""What this tour gives no reason to do; these have tests of their own."""
RAW = {"cat", "completion", "package sbom"}
"""What prints contents, scripts or a document, and no shapes."""
LISTS = {"app apply", "catalog trust", "notes", "merge"}
"""What prints nothing where there is nothing."""
ELSEWHERE = {
    "adopt-host",
    "console",
    "daemon status",
    "daemon watch",
    "daemon pause",
    "daemon resume",
    "daemon jobs",
}
"""Tested where a daemon runs, or another host has pushed."""


def words_of(line: str) -> str:
    """The command of a line."""
    words = line.split(" ")
    return " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]


def lines() -> list[str]:
    return TOUR.strip().splitlines()


def options_of(words: str) -> set[str]:
    command: click.Command | None = program()
    for word in words.split(" "):
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), word)
    assert command is not None
    parameters = command.get_params(click.Context(command))
    return {name for parameter in parameters for name in parameter.opts}


def test_the_tour_goes_everywhere() -> None:
    assert {words_of(line) for line in lines()} == set(COMMANDS)


def told(cli: "Cli", words: str, args: list[str], more: list[str]) -> list[str]:
    """What is wrong with what one command prints."""
    app = ["--app", "crm"] if "--app" in options_of(words) else []
    end = args.index("--") if "--" in args else len(args)
    found = cli("--json", *args[:end], *app, *more, *args[end:])
    line = " ".join([*args, *more])
    if found.code not in (0, 1, 3):
        return [] if words in REFUSES else [f"{line}: {found.code} {found.err}"]
    if words in RAW:
        return []
    shapes = found.shapes
    if not shapes and (more or words not in LISTS):
        return [f"{line}: nothing"]
    return [f"{line}: {why} in {shape}" for shape in shapes if (why := unlike(words, shape))]


def unlike(words: str, shape: dict[str, object]) -> str:
    """How a shape differs from what the page says; empty if it does not."""
    try:
        check(shape, NAMES.get((words, str(shape.get("type")))))
    except (AssertionError, KeyError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


@pytest.fixture
def places(cli: "Cli", recorded: Path, tmp_path: Path) -> dict[str, Path]:
    """Where a tour may go; `source` is a store with a catalog of crm, for which the example of the
    founding documents is in `plain`.
    """
    made = {
        name: tmp_path / name
        for name in ("erp", "moved", "other", "work", "source", "depot", "mirror", "releases")
    }
    made["work"].mkdir(exist_ok=True)
    spec = f'[package]\nproduct = "crm"\nversion = "4.1.0"\n[[files]]\nfrom = "{recorded}"\n'
    spec += '[[parameters]]\nname = "port"\ntype = "integer"\n'
    (made["work"] / "crm.toml").write_text(spec)
    (made["work"] / "web.deb").write_bytes(deb(CONTROL, FILES, ALSO))
    made["erp"].mkdir()
    made["depot"].mkdir()
    made["mirror"].mkdir()
    made["releases"].mkdir()
    (made["erp"] / "file").write_text("x")
    store = ("--store", str(made["source"]))
    cli.ok("init", *store)
    cli.ok(*store, "app", "add", "crm", str(recorded))
    cli.ok(*store, "release", "init", "crm")
    cli.ok(*store, "release", "add", "crm", str(recorded))
    return {**made, "crm": recorded}


def test_every_shape_that_is_printed_is_documented(cli: "Cli", places: dict[str, Path]) -> None:
    """In one go, because each command lives on what those before it did."""
    wrong: list[str] = []
    for line in lines():
        words = words_of(line)
        if words in ELSEWHERE:
            continue
        if line.startswith("app move"):
            places["erp"].rename(places["moved"])
        if words in ("snapshot", "change end", "verify", "repair", "report"):
            (places["crm"] / "new").write_text(line)
        digest = cli.ok("history", "crm.conf", "--app", "crm", "--json").shapes[0]["digest"]
        args = line.format(**places, digest=digest).split(" ")
        for more in [["--dry-run"], []] if "--dry-run" in options_of(words) else [[]]:
            wrong += told(cli, words, args, more)
    assert wrong == []
