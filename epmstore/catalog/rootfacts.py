"""What a version says of the root directory itself, which has no path below itself: an entry with
the path `.`, kept in the version's header (docs/formats/catalog.md). Pure.

A version that says nothing did not look: it was recorded by an earlier release.
"""

from epmstore.catalog.model import RootFacts, VersionRecord
from epmstore.errors import DamagedError
from epmstore.relpath import ROOT, text_from_json, text_to_json
from epmstore.tree import Entry, changed_fields


def facts_of(root: Entry) -> RootFacts:
    return RootFacts(
        mode=f"{root.mode:04o}",
        uid=root.uid,
        gid=root.gid,
        user=root.user,
        group=root.group,
        xattrs={text_to_json(name): value for name, value in root.xattrs},
    )


def root_of(version: VersionRecord) -> Entry | None:
    """Raises DamagedError."""
    facts = version.root
    if facts is None:
        return None
    try:
        mode = int(facts.mode, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise DamagedError(f"{facts.mode!r} is not a mode")
    return Entry(
        path=ROOT,
        kind="directory",
        mode=mode,
        uid=facts.uid,
        gid=facts.gid,
        user=facts.user,
        group=facts.group,
        xattrs=tuple((text_from_json(name), value) for name, value in facts.xattrs.items()),
    )


def root_change(old: Entry | None, new: Entry | None) -> tuple[Entry, Entry] | None:
    """Both, if they differ; None also where one of them is not known."""
    if old is None or new is None or not changed_fields(old, new):
        return None
    return old, new
