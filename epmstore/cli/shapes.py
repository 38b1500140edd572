"""The shapes that `--json` prints: those of epmstore/workspace/shapes.py."""

from epmstore.workspace.shapes import (
    Shape,
    change,
    finding,
    fsck_summary,
    gc,
    maybe_entry,
    paths,
    problems,
    reasons,
    result,
    started_run,
    status,
    text,
    unseen,
    version,
)

__all__ = [
    "Shape",
    "change",
    "finding",
    "fsck_summary",
    "gc",
    "maybe_entry",
    "paths",
    "problems",
    "reasons",
    "result",
    "started_run",
    "status",
    "text",
    "unseen",
    "version",
]
