"""What a version says of the root directory itself, which has no path below itself: an entry with
the path `.`, kept in the version's header (docs/formats/catalog.md). Pure.

A version that says nothing did not look: it was recorded by an earlier release.
"""

import msgspec

from epmstore.catalog.model import RootFacts, VersionRecord
from epmstore.errors import DamagedError
from epmstore.relpath import ROOT, text_from_json, text_to_json
from epmstore.tree import Entry, changed_fields


def facts_of(root: Entry) -> RootFacts:
    facts = {name: getattr(root, name) for name in RootFacts.__struct_fields__}
    facts["mode"] = f"{root.mode:04o}"
    facts["xattrs"] = {text_to_json(name): value for name, value in root.xattrs}
    return RootFacts(**facts)


def root_of(version: VersionRecord) -> Entry | None:
    """Raises DamagedError."""
    if version.root is None:
        return None
    facts = msgspec.structs.asdict(version.root)
    try:
        mode = int(facts["mode"], 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise DamagedError(f"{facts['mode']!r} is not a mode")
    xattrs = tuple((text_from_json(name), value) for name, value in facts["xattrs"].items())
    return Entry(path=ROOT, kind="directory", **{**facts, "mode": mode, "xattrs": xattrs})


def root_change(old: Entry | None, new: Entry | None) -> tuple[Entry, Entry] | None:
    """Both, if they differ; None also where one of them is not known."""
    if old is None or new is None or not changed_fields(old, new):
        return None
    return old, new
