"""Publishing: one more release at the end of a refcat, and what its vendor says of it afterwards.

A release is the difference between a tree and the newest release. Rules: it takes the next number;
nothing new is no release; what was published is never touched again. An mtime alone is no change:
builds give new ones to the same bytes, which keep the one that they were first released with. And a
source that does not say whose its files are does not change that.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from epmstore.catalog.model import (
    NO_PACKAGE,
    AboutRecord,
    Counts,
    RelabelRecord,
    Requirement,
    RevokeRecord,
    VersionPart,
    VersionRecord,
)
from epmstore.catalog.packaging import Package
from epmstore.clock import to_rfc3339
from epmstore.errors import ChangedError, EpmError, UsageError
from epmstore.refcat import packaging_form
from epmstore.refcat.naming import check_label
from epmstore.refcat.releases import Releases
from epmstore.refcat.strict import check_record
from epmstore.relpath import RelPath, sort_paths
from epmstore.store.commit import HistoryHead, commit_fact
from epmstore.store.deposit import Deposit
from epmstore.store.store import Store
from epmstore.tree import Entry, changed_fields, shifted_sum


class ReleaseDelta(msgspec.Struct, frozen=True):
    """What a release changes: complete entries, pairs of old and new, and entries that go."""

    added: list[Entry]
    modified: list[tuple[Entry, Entry]]
    removed: list[Entry]

    @property
    def is_empty(self) -> bool:
        return not (self.added or self.modified or self.removed)

    @property
    def counts(self) -> Counts:
        return Counts(len(self.added), len(self.modified), len(self.removed))


class ReleaseDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A release to be: what is said of it beside its entries. `after`: which release it follows, if
    that is not the newest one.
    """

    label: str | None = None
    requires: tuple[Requirement, ...] = ()
    after: int | None = None
    package: Package | None = None


def make_delta(old: Mapping[RelPath, Entry], new: Iterable[Entry]) -> ReleaseDelta:
    """What leads from one release to a tree. Pure."""
    added, modified, seen = [], [], set()
    for entry in new:
        seen.add(entry.path)
        before = old.get(entry.path)
        if before is None:
            added.append(entry)
        elif _is_new(before, settled := _settled(before, entry)):
            modified.append((before, settled))
    return ReleaseDelta(added, modified, [entry for path, entry in old.items() if path not in seen])


def publish(
    deposit: Deposit, about: AboutRecord, tree: Sequence[Entry], draft: ReleaseDraft
) -> VersionRecord | None:
    """Append a release of a whole tree; None if nothing differs from the newest one. As
    `publish_delta`.
    """
    releases = Releases(deposit.store, about.app)
    latest = releases.latest()
    old = {} if latest is None else {e.path: e for e in releases.tree(latest.version)}
    delta = make_delta(old, tree)
    if delta.is_empty and latest is not None:
        return None
    return publish_delta(deposit, about, delta, draft)


def publish_delta(
    deposit: Deposit, about: AboutRecord, delta: ReleaseDelta, draft: ReleaseDraft
) -> VersionRecord:
    """Append a release that differs by `delta` from the newest one, with its contents in `deposit`.
    Under the app's lock. Raises UsageError, DamagedError, ChangedError, OSError.
    """
    store = deposit.store
    releases = Releases(store, about.app)
    _check_label(releases, draft)
    latest = releases.latest()
    before = None if latest is None else releases.record(latest.version)

    def make(head: HistoryHead) -> VersionPart:
        if (None if head.version is None else head.version.txid) != (before and before.txid):
            raise ChangedError("another release was published meanwhile", hint="try again")
        return _checked(store, _part(store, about, delta, before, draft, txid), before, draft)

    txid = secrets.token_hex(16)
    return deposit.commit_version(releases.catalog, make, txid=txid)


def check_delta(store: Store, about: AboutRecord, delta: ReleaseDelta, draft: ReleaseDraft) -> None:
    """What `publish_delta` would refuse of a release itself. Raises UsageError."""
    releases = Releases(store, about.app)
    _check_label(releases, draft)
    latest = releases.latest()
    before = None if latest is None else releases.record(latest.version)
    part = _part(store, about, delta, before, draft, secrets.token_hex(16))
    _checked(store, part, before, draft)


def _check_label(releases: Releases, draft: ReleaseDraft) -> None:
    if draft.label is not None:
        check_label(releases.all(), draft.label)


def say(store: Store, app: str, fact: AboutRecord | RevokeRecord | RelabelRecord) -> None:
    """Begin a refcat with what it is about, say it anew, withdraw or relabel something.

    Raises UsageError, DamagedError, OSError.
    """
    _check(fact)
    commit_fact(store, Releases(store, app).catalog, fact)


def _check(record: VersionPart | AboutRecord | RevokeRecord | RelabelRecord) -> None:
    """Nothing is published that no host would take: there is no way back. Raises UsageError."""
    try:
        check_record(record)
    except EpmError as error:
        raise UsageError(f"it cannot be published: {error.message}") from None


def _checked(
    store: Store, part: VersionPart, before: VersionRecord | None, draft: ReleaseDraft
) -> VersionPart:
    """The same. Raises UsageError."""
    _check(part)
    if draft.package is None:
        return part
    packaging_form.check_words(draft.package)
    new = {entry.path: entry.content for entry in part.entries}
    gone = set(part.removed)

    def is_file(path: RelPath) -> bool:
        if path in new or path in gone or before is None:
            return new.get(path) is not None
        entry = store.entries.at(Releases(store, before.app).catalog, before.version, path)
        return entry is not None and entry.content is not None

    try:
        packaging_form.check_files(draft.package, is_file)
    except EpmError as error:
        raise UsageError(f"it cannot be published: {error.message}") from None
    return part


def _part(
    store: Store,
    about: AboutRecord,
    delta: ReleaseDelta,
    before: VersionRecord | None,
    draft: ReleaseDraft,
    txid: str,
) -> VersionPart:
    gone = [*delta.removed, *(old for old, _ in delta.modified)]
    come = [*delta.added, *(new for _, new in delta.modified)]
    start = 0 if before is None else int(before.tree, 16)
    header = VersionRecord(
        version=0 if before is None else before.version + 1,
        app=about.app,
        key=about.key,
        txid=txid,
        kind="change",
        reason="release",
        tree=f"{shifted_sum(start, gone=gone, come=come):064x}",
        counts=delta.counts,
        time=to_rfc3339(store.clock.now()),
        label=draft.label,
        requires=draft.requires,
        after=draft.after,
        package=NO_PACKAGE if draft.package is None else packaging_form.write(draft.package),
    )
    meta = [new for old, new in delta.modified if _same_bytes(old, new)]
    whole = [new for old, new in delta.modified if not _same_bytes(old, new)]
    return VersionPart(
        header,
        [*delta.added, *whole],
        [replace(entry, content=None) for entry in meta],
        sort_paths(entry.path for entry in delta.removed),
    )


def _same_bytes(old: Entry, new: Entry) -> bool:
    return old.kind == new.kind == "file" and old.content == new.content


def _is_new(old: Entry, new: Entry) -> bool:
    """Whether a path changed, its class included: in a release that is part of what it says."""
    return old != new and (bool(changed_fields(old, new)) or old.path_class != new.path_class)


def _settled(old: Entry, new: Entry) -> Entry:
    """`new` with what it does not say itself: owners, and of the same bytes when they were made."""
    same = old.kind == new.kind and (old.content, old.target) == (new.content, new.target)
    return replace(
        new,
        user=old.user if new.user is None else new.user,
        group=old.group if new.group is None else new.group,
        mtime_ns=old.mtime_ns if same else new.mtime_ns,
    )
