"""docs/commands.md, made from the commands themselves: `python -m epmstore.cli.reference FILE`."""

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

from epmstore.atomic import replace_file
from epmstore.cli.command import CliCommand, common_options, program
from epmstore.cli.table import GROUPS, SECTIONS

HEAD = """\
# Commands

Made by `python -m epmstore.cli.reference docs/commands.md` from what `--help` says; the rules that
hold for all of them are in [cli.md](cli.md).
"""


def load(words: str) -> tuple[CliCommand, click.Context]:
    """A command of the table, and a context in which it can be described."""
    group: click.Command = program()
    context = click.Context(group, info_name="epmstore")
    for word in words.split(" "):
        assert isinstance(group, click.Group)
        found = group.get_command(context, word)
        assert found is not None
        group, context = found, click.Context(found, info_name=word, parent=context)
    assert isinstance(group, CliCommand)
    return group, context


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a help text, each as one line."""
    found = [" ".join(part.split()) for part in text.strip().split("\n\n")]
    return [part for part in found if part]


def records(params: list[click.Parameter], context: click.Context) -> list[tuple[str, str]]:
    """Options and what they mean."""
    options = [p for p in params if isinstance(p, click.Option) and "--help" not in p.opts]
    return [record for p in options if (record := p.get_help_record(context)) is not None]


def render() -> str:
    """The whole page."""
    lines = [HEAD, "Options of every command:\n"]
    context = click.Context(program())
    lines += _items(records(list(common_options()), context))
    for title, rows in SECTIONS.items():
        lines += [f"\n## {title}"]
        for words in rows:
            lines += _command(words)
    groups = ", ".join(f"`{name}`" for name in GROUPS)
    lines.append(f"\nGroups of commands ({groups}) list theirs with `--help`.")
    return "\n".join(lines) + "\n"


def _command(words: str) -> Iterator[str]:
    found, context = load(words)
    shared = {option.name for option in common_options()}
    usage = [piece for piece in found.collect_usage_pieces(context) if piece != "[OPTIONS]"]
    yield f"\n### epmstore {words}\n\n    {' '.join(['epmstore', words, '[OPTIONS]', *usage])}\n"
    yield "\n\n".join(_wrap(text) for text in paragraphs(found.help or ""))
    options = records([p for p in found.get_params(context) if p.name not in shared], context)
    if options:
        yield ""
        yield from _items(options)
    yield "\n```console"
    for line, remark in found.examples:
        yield f"# {remark}"
        yield f"$ {line}"
    yield "```"


def _items(options: list[tuple[str, str]]) -> list[str]:
    return [_wrap(f"- `{names}`: {text}", "  ") for names, text in options]


def _wrap(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text, 100, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m epmstore.cli.reference FILE")
    replace_file(Path(sys.argv[1]), render().encode(), 0o644)
