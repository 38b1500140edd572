"""The versions that a checkout records: of what it did, and of what other processes did meanwhile.
Pure.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from msgspec.structs import replace

from epmstore.catalog.diff import is_metadata_only, tally
from epmstore.catalog.install_notes import incomplete
from epmstore.catalog.model import VersionPart, VersionRecord
from epmstore.catalog.rootfacts import facts_of
from epmstore.checkout.journal import Header
from epmstore.record.observed_changes import paths_of
from epmstore.relpath import ROOT, RelPath
from epmstore.store.commit import HistoryHead
from epmstore.tree import Entry, shifted_sum

EntriesBeforeAndAfter: TypeAlias = Mapping[RelPath, tuple[Entry | None, Entry | None]]
"""Path to (entry before, entry now). Those that are as they were are no part of a version."""


def done_version(
    header: Header,
    head: HistoryHead,
    outcome: EntriesBeforeAndAfter,
    now: str,
    *,
    missed: Mapping[RelPath, str],
) -> VersionPart:
    """Of what was done. Where that changes what is installed, there are notes of what was `missed`:
    paths that are not as wanted, and why.
    """
    part = found_version(header, head, outcome, now, txid=header.txid)
    record = replace(
        part.header,
        kind="change",
        reason=header.reason,
        operation=None if header.action == header.reason else header.action,
        label=header.label,
        scope=header.scope,
        safety=header.safety,
        installed=header.installed,
        parameters=header.parameters,
        notes=(*header.notes, *(incomplete(missed) if header.installed is not None else ())),
        transaction=header.transaction,
    )
    return replace(part, header=header.goal.said_in(record))


def found_version(
    header: Header, head: HistoryHead, outcome: EntriesBeforeAndAfter, now: str, *, txid: str
) -> VersionPart:
    """Of what was found meanwhile, with a transaction id of its own."""
    assert head.version is not None, "a checkout follows a version"
    root = outcome.get(ROOT)
    pairs = [(old, new) for path, (old, new) in outcome.items() if path != ROOT and old != new]
    found = tally(pairs, root=root is not None)
    record = VersionRecord(
        version=head.version.version + 1,
        app=header.app,
        key=header.key,
        txid=txid,
        kind="drift",
        reason="safety",
        tree=_sum_after(head.version, pairs),
        counts=found.counts,
        folders=found.folders,
        times=found.times,
        time=now,
        actor=header.actor,
        from_=head.version.version,
        ignored=header.rules,
        rules=header.patterns,
        unobserved=header.unobserved,
        sight=header.sight,
        root=head.version.root if root is None or root[1] is None else facts_of(root[1]),
    )
    come = [new for _, new in pairs if new is not None]
    meta = [new for old, new in pairs if old and new and is_metadata_only(old, new)]
    quiet = {entry.path for entry in meta}
    return VersionPart(
        record,
        [entry for entry in come if entry.path not in quiet],
        [replace(entry, content=None) for entry in meta],
        paths_of(old for old, new in pairs if old is not None and new is None),
    )


def _sum_after(version: VersionRecord, pairs: Sequence[tuple[Entry | None, Entry | None]]) -> str:
    """What a tree has as its sum once it is changed."""
    gone = [old for old, _ in pairs if old is not None]
    come = [new for _, new in pairs if new is not None]
    return f"{shifted_sum(int(version.tree, 16), gone=gone, come=come):064x}"
