"""Manual pages, made from the commands themselves: `python -m epmstore.cli.man DIR`.

One page for the program (exit codes, environment, files) and one for each command, in the plain
old `man` macros, which every system reads. The text is that of --help; nothing is written twice.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from epmstore import __version__
from epmstore.atomic import make_directories, replace_file
from epmstore.cli.command import common_options, program
from epmstore.cli.failure import EXIT_CODES
from epmstore.cli.reference import load, paragraphs, records
from epmstore.cli.table import COMMANDS, SECTIONS

ENVIRONMENT = {
    "EPMSTORE_STORE": "The store, if --store is not given.",
    "EPMSTORE_DEBUG": "1 shows where an unexpected error happened.",
    "NO_COLOR": "If set and not empty, nothing is coloured.",
}
FILES = {
    "/var/lib/epmstore": "The store of root.",
    "~/.local/share/epmstore": "The store of any other user ($XDG_DATA_HOME/epmstore).",
}


def pages() -> Iterator[tuple[str, str]]:
    """File names and texts of all pages."""
    yield "epmstore.1", _program_page()
    for words in COMMANDS:
        yield f"{_page(words)}.1", _command_page(words)


def _page(words: str) -> str:
    return f"epmstore-{words.replace(' ', '-')}"


def _program_page() -> str:
    lines = [*_head("epmstore", "know what is on this host, and get back")]
    lines += [".SH SYNOPSIS", _bold("epmstore"), r"[\fIOPTION\fR]... \fICOMMAND\fR"]
    lines += [".SH DESCRIPTION", *_body(program().help or "")]
    for title, rows in SECTIONS.items():
        lines += [".SH " + _text(title).upper()]
        for words, row in rows.items():
            lines += _item(f"{_bold(_page(words))}(1)", row.summary)
    lines += [".SH OPTIONS", *_options(list(common_options()), click.Context(program()))]
    codes = {str(code): text for code, text in EXIT_CODES.items()}
    for title, items in (("EXIT STATUS", codes), ("ENVIRONMENT", ENVIRONMENT), ("FILES", FILES)):
        lines += [f".SH {title}"]
        for key, text in items.items():
            lines += _item(_bold(key), text)
    return "\n".join(lines) + "\n"


def _command_page(words: str) -> str:
    command, context = load(words)
    summary, _, rest = (command.help or "").partition("\n")
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [*_head(_page(words), summary.rstrip("."))]
    lines += [".SH SYNOPSIS", f"{_bold(f'epmstore {words}')} {_text(usage)}"]
    lines += [".SH DESCRIPTION", *_body(rest)]
    lines += [".SH OPTIONS", *_options(command.get_params(context), context)]
    lines += [".SH EXAMPLES"]
    for line, remark in command.examples:
        lines += _item(_bold(line), remark)
    lines += [".SH SEE ALSO", f"{_bold('epmstore')}(1), which lists the exit codes"]
    return "\n".join(lines) + "\n"


def _head(title: str, summary: str) -> list[str]:
    return [
        f'.TH {_text(title).upper()} 1 "" "epmstore {__version__}" "epmstore"',
        ".SH NAME",
        f"{_text(title)} \\- {_text(summary[:1].lower() + summary[1:])}",
    ]


def _options(params: list[click.Parameter], context: click.Context) -> list[str]:
    found = records(params, context)
    return [line for names, text in found for line in _item(_bold(names), text)]


def _item(head: str, text: str) -> list[str]:
    return [".TP", head, _text(text)]


def _body(text: str) -> list[str]:
    return [line for part in paragraphs(text) for line in (".PP", _text(part))]


def _bold(text: str) -> str:
    return rf"\fB{_text(text)}\fR"


def _text(text: str) -> str:
    """Plain text for roff: no escape, no request, and hyphens that can be copied."""
    safe = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{safe}" if safe.startswith((".", "'")) else safe


def write(folder: Path) -> int:
    """Write all pages into a folder, which is made if need be; how many."""
    make_directories(folder, 0o755)
    count = 0
    for file, text in pages():
        replace_file(folder / file, text.encode(), 0o644)
        count += 1
    return count


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m epmstore.cli.man DIR")
    write(Path(sys.argv[1]))
