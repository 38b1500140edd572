"""The shapes that `--json` prints (docs/json.md), made from the library's values.

Keys are never left out; what is not known is null. A path that is not UTF-8 has the form of
epmstore/relpath.py.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from epmstore.entryform import entry_to_form
from epmstore.record.result import Result
from epmstore.relpath import text_to_json, to_json
from epmstore.scan.problem import Problem
from epmstore.tree import Entry

Shape: TypeAlias = dict[str, Any]


def text(value: str | None) -> str | None:
    """Any name or text that Linux allows."""
    return None if value is None else text_to_json(value)


def maybe_entry(value: Entry | None) -> Shape | None:
    return None if value is None else entry_to_form(value)


def paths(values: Iterable[str]) -> list[str]:
    return [to_json(value) for value in values]


def problems(values: Iterable[Problem]) -> list[Shape]:
    return [{"path": to_json(p.path), "kind": p.kind, "why": p.why} for p in values]


def reasons(values: Iterable[Sequence[str]]) -> list[Shape]:
    return [{"path": to_json(path), "why": why} for path, why in values]


def result(value: Result) -> Shape:
    return {
        "type": "result",
        "app": value.app,
        "action": value.action,
        "changed": value.changed,
        "from": value.from_,
        "version": value.version,
        "of": value.of,
        "safety": value.safety,
        "label": value.label,
        "added": value.added,
        "modified": value.modified,
        "removed": value.removed,
        "kept": [to_json(path) for path, _ in value.kept],
        "kept_because": {to_json(path): why for path, why in value.kept},
        "skipped": problems(value.skipped),
        "unstable": paths(value.unstable),
        "unobserved": problems(value.unobserved),
        "not_restored": [text_to_json(one) for one in value.not_restored],
        "collisions": paths(value.collisions),
        "verified": value.verified,
        "undo": value.undo,
        "exit_status": value.exit_status,
    }
