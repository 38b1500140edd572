"""A hint names what helps: each one in the code is followed to success by a test, or has a reason
why no test can; and what it says to type is what the program understands.
"""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from epmstore.cli.table import COMMANDS, GROUPS
from tests.cli.test_tour import options_of
from tests.test_floors import ROOT

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

HOLE = "…"
"""What stands for a value in the text of a hint."""


def text_of(node: ast.expr) -> Iterator[str]:
    """The texts that a hint may have; nothing for one that is handed on, and is found elsewhere."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(
            str(part.value) if isinstance(part, ast.Constant) else HOLE for part in node.values
        )
    elif isinstance(node, ast.IfExp):
        yield from text_of(node.body)
        yield from text_of(node.orelse)
    elif isinstance(node, ast.BinOp):
        yield "".join([*text_of(node.left), *text_of(node.right)])


def is_hint(name: str) -> bool:
    return name.lower().strip("_") in {"hint", "ask", "gone", "forbidden", "unreadable", "repair"}


def said_by(node: ast.AST) -> Iterator[str]:
    """The hints that a piece of code gives, or has a name for."""
    if isinstance(node, ast.keyword) and node.arg == "hint":
        yield from text_of(node.value)
    elif isinstance(node, ast.Assign):
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        if any(map(is_hint, names)):
            yield from text_of(node.value)


def hints() -> dict[str, str]:
    """Every text, and where it is."""
    found: dict[str, str] = {}
    for top in ("epmstore", "daemon/epmstored"):
        for path in sorted((ROOT / top).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                place = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
                found |= {text: place for text in said_by(node) if text.strip()}
    return found


HINTS = hints()
TYPED = re.compile(r"epmstore ((?:[a-z]+ )?[a-z]+)((?: [^`;,()]*)?)")


def typed(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each command that a hint says to type, and its options."""
    for found in TYPED.finditer(text):
        words = found[1] if found[1] in COMMANDS else found[1].split(" ")[0]
        if words in COMMANDS:
            yield words, re.findall(r"(?<=\s)--[a-z][\w-]*", found[0])
        else:
            yield words, ["no such command"] if words not in GROUPS else []


@pytest.mark.parametrize("text", sorted(text for text in HINTS if "`epmstore " in text))
def test_hints_name_commands_that_are_understood(text: str) -> None:
    for words, options in typed(text):
        if words in GROUPS:
            continue
        assert set(options) <= options_of(words), (HINTS[text], words)


class Way(NamedTuple):
    """`fails` is refused with a hint that is like `hint`; `follow`, made of that hint, is what it
    says, and `fails` succeeds after it.
    """

    hint: str
    before: str
    fails: str
    follow: str
    again: str | None = None


WAYS = (
    Way("make one with `epmstore init`", "", "log --store {new}",
        "init --store {new}", "app list --store {new}"),
    Way("register one: epmstore app add KEY ROOT", "init --store {new}", "snapshot --store {new}",
        "app add erp {crm} --store {new}"),
    Way("name it with --app, or change into its root", "app add erp {other}", "snapshot",
        "snapshot --app crm", "snapshot --app erp"),
    Way("close it with `epmstore change end`", "change begin", "change begin", "change end"),
    Way("begin one: epmstore change begin", "", "change end", "change begin"),
    Way("let go of a version", "edit; snapshot; pin 0", "forget 0", "unpin 0"),
    Way("run `epmstore rebuild`", "spoil", "log", "rebuild"),
    Way("if this directory is the right one now", "replace", "status", "app move crm {crm}"),
    Way("lets automation go on", "edit; snapshot; plan 0 -o {plan}; hold crm -m x",
        "apply --unattended {plan}", "unhold crm"),
    Way("make a new plan, and look at it again", "edit; snapshot; plan 0 -o {plan}; edit",
        "apply {plan}", "plan 0 -o {fresh}", "apply {fresh}"),
    Way("name a new file", "", "blob get {digest} {crm}/crm.conf",
        "blob get {digest} {fresh}", "log"),
    Way("write 2026-10-03", "", "log --since frob", "log --since 7d", "log"),
)  # fmt: skip


def act(name: str, cli: "Cli", crm: Path) -> bool:
    """What is done by hand between commands; whether there is such a thing."""
    if name == "edit":
        with (crm / "crm.conf").open("a") as file:
            file.write("edited\n")
    elif name == "spoil":
        (cli.store / "index.sqlite").write_bytes(b"no database at all" * 100)
    elif name == "replace":
        shutil.copytree(crm, crm.with_name("copy"), symlinks=True)
        crm.rename(crm.with_name("old"))
        crm.with_name("copy").rename(crm)
    return name in ("edit", "spoil", "replace")


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.hint)
def test_a_hint_that_is_followed_leads_to_success(
    cli: "Cli", recorded: Path, tmp_path: Path, way: Way
) -> None:
    digest = cli.ok("history", "crm.conf", "--json").shapes[0]["digest"]
    places = {name: str(tmp_path / name) for name in ("new", "other", "plan", "fresh")}
    Path(places["other"]).mkdir()

    def words(line: str) -> list[str]:
        return line.format(**places, crm=recorded, digest=digest).split()

    for line in filter(None, map(str.strip, way.before.split(";"))):
        if not act(line, cli, recorded):
            cli.ok(*words(line))
    refused = cli(*words(way.fails), "--json")
    assert refused.code not in (0, 1), "it is not refused"
    assert way.hint in refused.error["hint"]
    followed = cli(*words(way.follow))
    assert followed.code in (0, 1, 3), followed
    found = cli(*words(way.again or way.fails))
    assert found.code in (0, 1, 3), found


def test_a_full_output_is_not_a_full_store(cli: "Cli", recorded: Path) -> None:
    """Nor is a command that is done advised to be done again."""
    (recorded / "new").write_text("x")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "epmstore", "snapshot"], stdout=full, stderr=subprocess.PIPE,
            text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 4
    assert "the output could not be written" in done.stderr
    assert "gc" not in done.stderr and "forget" not in done.stderr
    assert len(cli.ok("log", "--json").shapes) == 2


RELEASES = r"catalog clone|catalog import|release (list|init|relabel)|import it"
FOLLOWED: dict[str, str] = {
    **{re.escape(way.hint): "tests/cli/test_hints.py" for way in WAYS},
    r"start it: systemctl start epmstored|it makes it anew": "tests/daemon/test_daemon_client.py",
    r"`epmstore daemon status` asks it": "tests/daemon/test_service.py",
    r"fsck|rebuild|store restore|copy of the store": "tests/record/test_damaged.py",
    r"free some space|remove some files|1 MiB|mount it writable": "tests/cli/test_unwritable.py",
    r"`ulimit|LimitNOFILE|limit of memory|sysctl": "tests/ground/test_limits.py",
    r"catalog trust|\.asc|gpg |sign": "tests/refcat/test_signatures.py",
    r"safe_stores|chown|chmod": "tests/cli/test_foreign.py",
    r"`epmstore (recover|confirm|redo|undo|unhold)": "tests/checkout/test_supervised.py",
    r"store adopt": "tests/care/test_machine.py",
    r"curl|GET|POST|Host:|Content-Type|40 hex|one piece|metrics": "tests/daemon/api/test_gate.py",
    RELEASES: "tests/cli/test_release.py",
    r"chattr": "tests/checkout/test_preflight.py",
    r"it can be done with": "tests/package/test_solve.py",
    r"it needs the full package": "tests/cli/test_patches.py",
    r"another one: --product|publish that as the next build": "tests/cli/test_candidates.py",
    r"--dead|out of service": "tests/cli/test_adopthost.py",
    r"--credentials FILE|ssh-keygen|authorized_keys": "tests/cli/test_remotes_sftp.py",
}
"""Tests that go the way of a hint; a pattern of it."""
REASONS: dict[str, str] = {
    r"try again|run the command again|next start goes on": "nothing is in the way any more then",
    r"^see|shows?\b|known:|look at|epmstore find|lists|--help|names? it": "it says where to look",
    r"writ(e|ten) |name (a|an|the|one|it|its|what)|use |give it|put it|quotes|say it|such as": (
        "it says how it is said"
    ),
    r"longest|at most|count from|ends in|begin|take another|leave out|first\b|one of|as in": (
        "it says how it is said"
    ),
    r"make (it|one|them)|did you mean|a version is|root = |are$": "it says how it is said",
    r"that one, too|`contents` writes": "it says how it is said",
    r"newer release|release of epmstore|newe?r? (one|catalog)|vendor|only grows": "others act",
    r"one name|two catalogs|host has|renewed|ask for|by accident|read beside": "others act",
    r"needs go|whole|unsigned|go back|goes there|not permitted": "it says what is so",
    r"by hand|move (it|that|the)|remove (it|that)|stop that|end it|see who|folder": "a person acts",
    r"put the directory|mount it|elsewhere|nobody|as root|be root|as the owner": "a person acts",
    r"file server|its owner|wrote it|mounted\?": "others act",
    r"copy of the depot|stays as it is|not believed": "it says what is so",
    r"is SFTP allowed": "others act",
    r"^it looks like|^below \[default\]": "it says how it is said",
    r"who put (it|them) there": "a person acts",
    r"access key|--region|--endpoint|authority is": "tests/remotes/test_objects.py classes them",
    r"clock of this host": "a person acts",
    r"pip install": "it says what to install",
    r"dmesg|file system|fuser|right one|reads|set the clock|other hosts": "a person acts",
    r"fault of epmstore|shows where": "a fault of ours",
    r"nothing is lost|nothing was changed|root is|systemctl|told to stop": "it says what is so",
    r"roots are": "it says what is so",
    r"epmstore [\w…]": "it names a command, which is held against the program above",
}
"""Why no test follows a hint; a pattern of it."""


def test_every_hint_is_followed_or_has_a_reason() -> None:
    known: list[Callable[[str], object]] = [
        re.compile(pattern).search for pattern in (*FOLLOWED, *REASONS)
    ]
    lost = {text: place for text, place in HINTS.items() if not any(one(text) for one in known)}
    assert lost == {}


@pytest.mark.parametrize("place", sorted(set(FOLLOWED.values())))
def test_every_test_that_is_named_is_there(place: str) -> None:
    assert (ROOT / place).is_file()
