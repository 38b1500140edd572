"""Templates: a release as one JSON object, for programs that know nothing of catalogs. Pure.

An application template is the last word on what a release looks like: every path, complete. A patch
template leads from one release to another: for each path what must be there before (the
precondition: not to be replaced otherwise) and what is there afterwards. docs/formats/refcat.md.
"""

from collections.abc import Iterable

import msgspec

from epmstore.catalog.diff import Change
from epmstore.catalog.model import AboutRecord
from epmstore.entryform import entry_to_form
from epmstore.refcat.releases import Release
from epmstore.relpath import to_json
from epmstore.tree import Entry

FORMAT = 1
OPS = {"added": "add", "modified": "replace", "removed": "remove"}


def application_template(
    about: AboutRecord, release: Release, entries: Iterable[Entry]
) -> dict[str, object]:
    """The whole tree of a release; `entries` in byte order of paths."""
    return {
        **_head("application-template", about, release),
        "patterns": msgspec.to_builtins(about.patterns),
        "entries": list(map(entry_to_form, entries)),
    }


def patch_template(
    about: AboutRecord, start: Release | None, release: Release, changes: Iterable[Change]
) -> dict[str, object]:
    """From one release to another (None: from nothing); `changes` in byte order of paths."""
    before = {
        "from": None if start is None else start.version,
        "from_label": None if start is None else start.label,
        "from_digest": None if start is None else start.digest,
    }
    return {
        **_head("patch-template", about, release),
        **before,
        "steps": [
            {
                "op": OPS[change.change],
                "path": to_json(change.path),
                "fields": list(change.fields),
                "before": None if change.old is None else entry_to_form(change.old),
                "after": None if change.new is None else entry_to_form(change.new),
            }
            for change in changes
        ],
    }


def _head(kind: str, about: AboutRecord, release: Release) -> dict[str, object]:
    return {
        "type": kind,
        "format": FORMAT,
        "app": about.key,
        "uuid": about.app,
        "name": about.name,
        "release": release.version,
        "label": release.label,
        "time": release.time,
        "digest": release.digest,
        "tree": release.tree,
        "revoked": release.revoked,
        "requires": [requirement_form(one) for one in release.requires],
    }


def requirement_form(one: msgspec.Struct) -> dict[str, object]:
    """Every key, None where nothing is said."""
    return {name: getattr(one, name) for name in one.__struct_fields__}
