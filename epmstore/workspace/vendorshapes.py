"""The shapes of docs/json.md that say what vendors know: findings and their summary."""

from typing import Any

from epmstore.relpath import to_json
from epmstore.tree import Entry
from epmstore.vendor.classify import Finding
from epmstore.vendor.verify import Verified

Shape = dict[str, Any]


def finding(app: str, value: Finding, *, accepted: bool) -> Shape:
    other = value.other
    return {
        "type": "finding",
        "app": app,
        "path": to_json(value.path),
        "class": value.what,
        "path_class": value.path_class,
        "release": value.release,
        "expected": _digest(value.expected),
        "found": _digest(value.found),
        "fields": list(value.fields),
        "other": None if other is None else {"app": other[0], "path": to_json(other[1])},
        "accepted": accepted,
    }


def verified(app: str, value: Verified, *, clean: bool) -> Shape:
    """The summary that ends the findings."""
    return {
        "type": "summary",
        "app": app,
        "release": value.release.version,
        "label": value.release.label,
        "given": value.was_given,
        "revoked": value.release.revoked,
        "clean": clean,
        "files": value.files,
        "accepted": len(value.accepted),
        "counts": value.counts,
    }


def _digest(entry: Entry | None) -> str | None:
    return None if entry is None or entry.content is None else entry.content.digest.hex()
