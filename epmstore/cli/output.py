"""What is printed, and how it stays harmless.

Results go to stdout, everything else to stderr. A file name is data of the user who made the file:
on the way to a terminal no control character, no unprintable one and no byte that is not UTF-8 gets
through; such a name is shown as `$'a\\nb'`, which a shell reads back as that very name. JSON has
the form of epmstore/relpath.py instead.
"""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from epmstore.errorform import plain_text
from epmstore.errors import EpmError
from epmstore.wording import counted, name, number, one_line, safe_text, size

__all__ = [
    "Output",
    "OutputError",
    "Told",
    "counted",
    "encode",
    "name",
    "number",
    "one_line",
    "paint",
    "safe_text",
    "size",
]


def encode(shape: dict[str, Any]) -> str:
    """One JSON object on one line. Numbers are exact and nothing is escaped that need not be."""
    return json.dumps(shape, ensure_ascii=False, separators=(",", ":"))


class OutputError(EpmError):
    """What was to be printed could not be written: that says nothing about the store."""

    code = "output"

    @classmethod
    def of(cls, error: OSError) -> "OutputError":
        return cls(
            f"the output could not be written: {error.strerror}",
            hint="what the command did is done, and is not done again by running it: `epmstore log`"
            " and `epmstore status` show it",
        )


class Told:
    """What was said until now: how many shapes, and the notes, which JSON does not have."""

    def __init__(self) -> None:
        self.shapes = 0
        self.notes: list[str] = []


class Output:
    """Where a command prints. `quiet` drops notes, `as_json` turns warnings into JSON."""

    def __init__(
        self, *, as_json: bool, quiet: bool, verbose: bool, told: Told | None = None
    ) -> None:
        self.as_json = as_json
        self.told = told or Told()
        self.quiet = quiet
        self.limit = None if verbose else 20

    def line(self, text: str = "") -> None:
        """A result, for people."""
        _put(text + "\n")

    def shape(self, shape: dict[str, Any]) -> None:
        """A result, for programs."""
        self.told.shapes += 1
        _put(encode(shape) + "\n")

    def outcome(self, shape: dict[str, Any], text: str) -> None:
        """What was done, in one line."""
        if self.as_json:
            self.shape(shape)
        elif not self.quiet:
            self.line(safe_text(text))

    def paint(self, text: str, code: str) -> str:
        return paint(text, code, sys.stdout)

    def raw(self, data: bytes) -> None:
        """Contents as they are."""
        sys.stdout.flush()
        sys.stdout.buffer.write(data)

    def note(self, text: str) -> None:
        """What is good to know."""
        self.told.notes.append(text)
        if not self.quiet and not self.as_json:
            sys.stderr.write(safe_text(text) + "\n")

    def warn(self, text: str, **data: Any) -> None:
        """What should not be overlooked."""
        if self.as_json:
            shape = {"type": "warning", "app": None, "message": plain_text(text), "data": data}
            sys.stderr.write(encode(shape) + "\n")
        else:
            sys.stderr.write(f"{paint('warning:', '33', sys.stderr)} {safe_text(text)}\n")

    def some(self, lines: Sequence[str], *, indent: str = "  ") -> list[str]:
        """The first lines of many, and how many more there are."""
        shown = lines if self.limit is None or len(lines) <= self.limit + 1 else lines[: self.limit]
        more = len(lines) - len(shown)
        tail = [f"{indent}... and {number(more)} more (use --json or -v)"] if more else []
        return [f"{indent}{line}" for line in shown] + tail

    def table(self, rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()) -> None:
        """Columns, two blanks apart; those numbered in `right` are aligned to the right."""
        known = list(rows)
        if not known:
            return
        widths = [max(len(row[n]) for row in known) for n in range(len(known[0]))]
        for row in known:
            cells = [
                cell.rjust(width) if n in right else cell.ljust(width)
                for n, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            self.line("  ".join(cells).rstrip())


def _put(text: str) -> None:
    """Raises OutputError: a full disk behind it must not be taken for the store's."""
    try:
        sys.stdout.write(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError.of(error) from None


def paint(text: str, code: str, stream: TextIO) -> str:
    """Coloured, where colour is welcome: on a terminal, and NO_COLOR is not set."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return text
    return f"\x1b[{code}m{text}\x1b[0m"
