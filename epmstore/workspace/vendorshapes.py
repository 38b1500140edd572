"""The shapes of docs/json.md that say what vendors know: findings and their summary."""

from epmstore.digest import BlobInfo
from epmstore.refcat.blame import Blamed
from epmstore.refcat.classify import Deviation
from epmstore.refcat.identify import Origin
from epmstore.refcat.verify import Verified
from epmstore.relpath import RelPath, text_to_json, to_json
from epmstore.tree import Entry
from epmstore.workspace.shapes import Shape, explanation, maybe_entry


def finding(app: str, value: Deviation, *, accepted: bool) -> Shape:
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
        "subset": value.subset,
        "files": value.files,
        "accepted": len(value.accepted),
        "counts": value.counts,
        "withdrawn": [{"path": to_json(path), "why": why} for path, why in value.withdrawn],
    }


def origin(file: str | None, content: BlobInfo, value: Origin) -> Shape:
    """A place that a content was shipped to; `file` is where it was found."""
    return {
        "type": "origin",
        "app": value.key,
        "uuid": value.app,
        "file": None if file is None else text_to_json(file),
        "digest": content.digest.hex(),
        "path": to_json(value.path),
        "first": value.first.version,
        "first_label": value.first.label,
        "last": value.last.version,
        "last_label": value.last.label,
        "latest": value.is_latest,
        "withdrawn": value.withdrawn,
    }


def blamed(app: str, path: RelPath, value: Blamed) -> Shape:
    record, entry = value.info.record, value.entry
    return {
        "type": "blame",
        "app": app,
        "path": to_json(path),
        "version": value.info.version,
        "kind": value.info.kind,
        "reason": record.reason,
        "time": record.time,
        "window": record.window,
        "label": value.info.label,
        "actor": record.actor,
        "what": value.what,
        "entry": maybe_entry(entry),
        "releases": [
            {"since": since, "last": None if until is None else until - 1}
            for since, until in value.releases
        ],
        "explanation": explanation(value.explanation),
        "others": value.others,
        "with": [to_json(other) for other in value.with_],
    }


def _digest(entry: Entry | None) -> str | None:
    return None if entry is None or entry.content is None else entry.content.digest.hex()
