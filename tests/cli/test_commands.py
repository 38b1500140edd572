"""What must hold for every command: its help, its examples, its place in the documents."""

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from epmstore.cli import man, reference
from epmstore.cli.command import CliCommand, program
from epmstore.cli.failure import EXIT_CODES
from epmstore.cli.main import main
from epmstore.cli.reference import load
from epmstore.cli.session import Session
from epmstore.cli.table import COMMANDS, EVERY_DAY, GROUPS

DOCS = Path(__file__).resolve().parents[2] / "docs"
README = DOCS.parent / "README.md"

every_command = pytest.mark.parametrize("words", COMMANDS)


def parse(line: str) -> None:
    """Parse a command line without running it. Raises click.UsageError."""
    args = shlex.split(line, comments=True)
    assert args.pop(0) == "epmstore"
    command: click.Command = program()
    context = click.Context(command, info_name="epmstore", obj=Session())
    while isinstance(command, click.Group):
        found = command.get_command(context, args.pop(0))
        assert found is not None, line
        command = found
    command.make_context("", args, parent=context)


def console_lines(page: Path) -> list[str]:
    """Command lines in a document: those after a `$ `."""
    found = re.findall(r"^ *\$ (epmstore .*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [line.strip() for line in found]


@every_command
def test_help_says_what_it_is_and_shows_how(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words.split(" "), "--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert COMMANDS[words].summary in out
    assert f"epmstore {words}" in out.partition("Examples:")[2]
    for shared in ("--store", "--json", "--quiet", "--verbose"):
        assert shared in out


@every_command
def test_the_summary_is_one_sentence_and_more_follows(words: str) -> None:
    command, _ = load(words)
    summary, *rest = reference.paragraphs(command.help or "")
    assert summary == COMMANDS[words].summary
    assert summary.endswith(".") and len(summary) <= 60
    assert rest, "a paragraph says more"


@every_command
def test_every_option_has_a_help_text(words: str) -> None:
    command, context = load(words)
    for option in command.get_params(context):
        if isinstance(option, click.Option):
            assert option.help, f"{words} {option.name}"


@every_command
def test_every_example_parses(words: str) -> None:
    command, _ = load(words)
    for line, remark in command.examples:
        parse(line)
        assert remark


@pytest.mark.parametrize("page", [README, DOCS / "cli.md", DOCS / "commands.md"], ids=str)
def test_every_line_in_the_documents_parses(page: Path) -> None:
    assert console_lines(page)
    for line in console_lines(page):
        parse(line)


def test_an_example_that_does_not_parse_is_noticed() -> None:
    with pytest.raises(click.UsageError):
        parse("epmstore log --frob")


def test_commands_that_change_have_dry_run() -> None:
    harmless = {
        "app list", "app show", "doctor", "completion", "log", "ls", "cat", "diff", "history",
        "find", "status", "plan", "blob compare", "blob stat", "stats", "config show",
        "daemon status", "daemon watch", "console",
        "verify", "identify", "blame", "report",
        "release list", "release show", "release diff", "catalog verify",
            "package show", "package files", "package diff", "package verify",
            "package sbom",
        "installed", "search", "why", "owner", "param list", "param get", "param history",
        "remote list", "remote show", "remote check",
        "publish list", "publish show", "publish log", "publish status",
    }  # fmt: skip
    dry = {words for words in COMMANDS if any(o.name == "dry_run" for o in load(words)[0].common)}
    assert dry == set(COMMANDS) - harmless


def test_the_reference_is_up_to_date() -> None:
    found = (DOCS / "commands.md").read_text(encoding="utf-8")
    assert found == reference.render(), "run: python -m epmstore.cli.reference docs/commands.md"


def test_exit_codes_are_documented() -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    rows = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert rows == set(EXIT_CODES)


def test_help_of_the_program_names_every_command_on_one_screen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    everyday, _, names = out.partition("All commands:")
    for words in EVERY_DAY:
        assert re.search(rf"^  {words} ", everyday, re.MULTILINE), words
    listed = " ".join(names.split()).replace(" |", "|")  # long ones go over two lines
    for words in COMMANDS:
        first, _, rest = words.partition(" ")
        assert re.search(
            rf"\b{first} (?:[\w-]+\|)*{rest}\b" if rest else rf"\b{first}\b", listed
        ), words
    assert out.count("\n") < 60


@pytest.mark.parametrize("group", GROUPS)
def test_help_of_a_group_lists_its_commands(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([group, "--help"]) == 0
    out = capsys.readouterr().out
    for words in COMMANDS:
        if words.startswith(f"{group} "):
            assert words.removeprefix(f"{group} ") in out


def test_every_command_has_a_manual_page(tmp_path: Path) -> None:
    assert man.write(tmp_path / "man1") == len(COMMANDS) + 1
    names = {path.name for path in (tmp_path / "man1").iterdir()}
    assert names == {"epmstore.1"} | {f"epmstore-{w.replace(' ', '-')}.1" for w in COMMANDS}


def test_manual_pages_are_sound_roff() -> None:
    for file, text in man.pages():
        assert text.startswith(".TH "), file
        for line in text.splitlines():
            request = re.match(r"[.'](\w*)", line)
            assert request is None or request[1] in ("TH", "SH", "PP", "TP"), f"{file}: {line}"


def test_manual_pages_say_what_help_says() -> None:
    pages = dict(man.pages())
    text = pages["epmstore-checkout.1"].replace("\\-", "-")
    assert "--target" in text and "/tmp/crm-0" in text and "--dry-run" in text
    for code in EXIT_CODES:
        assert f"\\fB{code}\\fR" in pages["epmstore.1"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_ask_the_program(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert f"_EPMSTORE_COMPLETE={shell}_complete" in capsys.readouterr().out


def complete(
    words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """What bash would offer for the last of the words."""
    monkeypatch.setenv("_EPMSTORE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    main([])
    return [line.partition(",")[2] for line in capsys.readouterr().out.splitlines()]


def test_completion_offers_commands_and_options(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert complete("epmstore sna", capsys, monkeypatch) == ["snapshot"]
    assert complete("epmstore app s", capsys, monkeypatch) == ["show", "set"]
    assert "--dry-run" in complete("epmstore checkout --d", capsys, monkeypatch)
    assert complete("epmstore completion z", capsys, monkeypatch) == ["zsh"]


def test_completion_script_is_valid_bash(capsys: pytest.CaptureFixture[str]) -> None:
    main(["completion", "bash"])
    subprocess.run(["bash", "-n"], input=capsys.readouterr().out, text=True, check=True)


def test_commands_are_declared_one_way() -> None:
    assert all(isinstance(load(words)[0], CliCommand) for words in COMMANDS)
