"""What differs inside two text files, as a unified diff: bounded, and harmless for a terminal."""

import difflib
from typing import TYPE_CHECKING

from epmstore.cli.output import name, safe_text, size
from epmstore.tree import Entry

if TYPE_CHECKING:
    from epmstore.workspace import Change
    from epmstore.workspace.trees import TreeSource

LARGEST = 1 << 20
"""Bytes of a file beyond which only the fact is shown."""
NOTHING = "/dev/null"
PROBE = 8000
"""Bytes in which a NUL says that this is no text (as git does it)."""


def content_diff(a: "TreeSource", b: "TreeSource", change: "Change") -> str | None:
    """The text to show for one change; None if the contents do not differ."""
    if change.change == "modified" and "content" not in change.fields:
        return None
    old, new = change.old, change.new
    for entry in (old, new):
        if entry is not None and entry.kind == "file":
            if entry.content is None or entry.path_class == "secret":
                return "the content is not recorded"
            if entry.content.size > LARGEST:
                return f"too large to show ({size(entry.content.size)})"
    before, after = _read(a, old), _read(b, new)
    if b"\0" in before[:PROBE] or b"\0" in after[:PROBE]:
        return "binary content differs"
    path = name(change.path)
    return unified(before, after, f"a/{path}" if old else NOTHING, f"b/{path}" if new else NOTHING)


def _read(source: "TreeSource", entry: Entry | None) -> bytes:
    """As much of a content as may be shown."""
    found = b""
    if entry is not None and entry.kind == "file":
        for piece in source.stream(entry):
            found += piece
            if len(found) > LARGEST:
                break
    return found[:LARGEST]


def unified(before: bytes, after: bytes, old_name: str, new_name: str) -> str | None:
    """None if there is nothing to show."""
    pair = _lines(before), _lines(after)
    lines = difflib.unified_diff(*pair, old_name, new_name, lineterm="", n=3)
    return "\n".join(safe_text(line) for line in lines) or None


def _lines(data: bytes) -> list[str]:
    *lines, last = data.decode("utf-8", "surrogateescape").split("\n")
    return [*lines, f"{last}\n\\ No newline at end of file"] if last else lines
