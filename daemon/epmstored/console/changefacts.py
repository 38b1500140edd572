"""What the pages of a version and of a file in it read."""

from collections.abc import Sequence

import msgspec

from epmstore.catalog.appcat import App
from epmstore.catalog.diff import Change, change
from epmstore.catalog.state import VersionInfo
from epmstore.errors import EpmError, PathNotFoundError, VersionNotFoundError
from epmstore.index.entries import Span
from epmstore.refcat.explained import Titles
from epmstore.refcat.explanation import Explanation
from epmstore.relpath import RelPath, to_bytes
from epmstore.tree import Entry
from epmstore.workspace import AppHandle, Workspace
from epmstored.console.histories import AppHistory
from epmstored.console.sidebyside import LARGEST

PAGE = 200


class VersionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One version. `changes` are one page of what it changed, in byte order, `total` how many there
    are; None where this user may not know. `next` is the `after` of the next page. The first
    version is no change of anything.
    """

    app: App
    info: VersionInfo
    explanation: Explanation | None
    titles: Titles
    before: int | None
    after: int | None
    changes: Sequence[Change] | None = None
    total: int = 0
    next: RelPath | None = None

    @property
    def is_first(self) -> bool:
        return self.before is None


class FileFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one path in a version. `old` and `new` are contents, as far as they may be
    shown; `unread` says why they are not.
    """

    app: App
    info: VersionInfo
    change: Change
    before: int | None
    old: bytes = b""
    new: bytes = b""
    unread: str | None = None


def read_version(
    workspace: Workspace,
    history: AppHistory,
    number: int,
    after: RelPath | None,
    *,
    with_changes: bool,
) -> VersionFacts:
    """Raises VersionNotFoundError, DamagedError."""
    info, before, behind = _find(history.versions, number)
    facts = VersionFacts(
        app=history.app,
        info=info,
        explanation=history.reasons.get(number),
        titles=history.titles,
        before=before,
        after=behind,
    )
    if not with_changes or before is None:
        return facts
    older = _find(history.versions, before)[0].record
    changes = workspace.app(history.app.key).reading.between(older, info.record)
    start = b"" if after is None else to_bytes(after)
    rest = [one for one in changes if to_bytes(one.path) > start]
    page = rest[:PAGE]
    more = page[-1].path if len(rest) > len(page) else None
    return msgspec.structs.replace(facts, changes=page, total=len(changes), next=more)


def read_file(workspace: Workspace, history: AppHistory, number: int, path: RelPath) -> FileFacts:
    """Raises VersionNotFoundError, PathNotFoundError, DamagedError."""
    handle = workspace.app(history.app.key)
    info, before, _ = _find(history.versions, number)
    found = _change(handle, before, info, path)
    facts = FileFacts(app=handle.app, info=info, change=found, before=before)
    if found.change == "modified" and "content" not in found.fields:
        return facts
    try:
        old = _content(handle, before, found.old)
        new = _content(handle, number, found.new)
    except EpmError as error:
        return msgspec.structs.replace(facts, unread=error.message)
    if old is None or new is None:
        return msgspec.structs.replace(facts, unread="its content is not recorded, or too large")
    return msgspec.structs.replace(facts, old=old, new=new)


def _change(handle: AppHandle, before: int | None, info: VersionInfo, path: RelPath) -> Change:
    """Raises PathNotFoundError if the version did not touch it."""
    spans = handle.history(path)
    old = None if before is None else _at(spans, before)
    found = change(path, old, _at(spans, info.version))
    if found is None:
        raise PathNotFoundError(f"version {info.version} did not change it", path=path)
    return found


def _at(spans: Sequence[Span], version: int) -> Entry | None:
    for span in spans:
        if span.since <= version and (span.until is None or version < span.until):
            return span.entry
    return None


def _content(handle: AppHandle, version: int | None, entry: Entry | None) -> bytes | None:
    """None for what is not to be shown. Raises EpmError."""
    if entry is None or entry.kind != "file" or version is None:
        return b""
    if entry.content is None or entry.path_class == "secret" or entry.content.size > LARGEST:
        return None
    return b"".join(handle.cat(version, entry.path))


def _find(known: Sequence[VersionInfo], number: int) -> tuple[VersionInfo, int | None, int | None]:
    """A version, and the numbers of the one before and the one behind it."""
    for at, one in enumerate(known):
        if one.version == number:
            before = known[at - 1].version if at else None
            behind = known[at + 1].version if at + 1 < len(known) else None
            return one, before, behind
    raise VersionNotFoundError(
        f"there is no version {number}", hint="see the page of the application"
    )
