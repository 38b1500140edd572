"""What all records of a catalog come to: versions with what was said of them later. Pure.

The latest word counts, and the earlier ones are not lost: each version has all that was ever said
of it. `log`, selectors and retention look at this, and it needs nothing but the records, so a
rebuilt index comes to the same.
"""

from bisect import bisect_left
from collections.abc import Iterable
from operator import attrgetter
from typing import Literal, TypeAlias

import msgspec

from epmstore.catalog.model import (
    AboutRecord,
    AcceptRecord,
    AcknowledgeRecord,
    Counts,
    Decoded,
    ForgetRecord,
    FreezeRecord,
    GapRecord,
    HoldRecord,
    LabelRecord,
    MergeRecord,
    PinRecord,
    PurgeRecord,
    Record,
    RecordedActor,
    RelabelRecord,
    RevokeRecord,
    SettingsRecord,
    TagRecord,
    UnforgetRecord,
    VersionKind,
    VersionPart,
    VersionRecord,
)
from epmstore.clock import from_rfc3339

RemarkKind: TypeAlias = Literal[
    "label", "change", "tag", "untag", "pin", "unpin", "forget", "unforget"
]


class Remark(msgspec.Struct, frozen=True):
    """One thing that was said of a version: what, when and by whom. `text` is the label or the tag.

    `change`: drift was declared to be a change. `untag`: the tag was dropped, or moved on.
    """

    what: RemarkKind
    text: str | None
    time: str
    actor: RecordedActor | None


class VersionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One version as it stands now: `record` is what was said of it when it was recorded.

    `kind` may have come later (LabelRecord). `forgotten` is what let it go, None if it is
    restorable. `remarks`
    are all that was ever said of it, oldest first, with the label that it was recorded with.
    `changes_nothing`: it is the tree of the version before, as of a command that changed nothing,
    and what is installed, and set, is the same.
    """

    record: VersionRecord
    kind: VersionKind
    remarks: tuple[Remark, ...]
    changes_nothing: bool
    tags: tuple[str, ...]
    pinned: bool
    forgotten: ForgetRecord | None

    @property
    def restorable(self) -> bool:
        return self.forgotten is None

    @property
    def version(self) -> int:
        return self.record.version

    @property
    def label(self) -> str | None:
        """The first label that it was given. None of them is ever replaced."""
        return next(iter(self.labels), None)

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label that it was given, once, in the order in which they came."""
        texts = (one.text for one in self.remarks if one.what == "label" and one.text is not None)
        return tuple(dict.fromkeys(texts))

    @property
    def time(self) -> float:
        """When it was recorded, in seconds since 1970."""
        return from_rfc3339(self.record.time)

    @property
    def reckoned(self) -> float:
        """The same, as far as it can be relied upon by what is known of this version alone."""
        return from_rfc3339(self.record.reckoned or self.record.time)


class CatalogState(msgspec.Struct, frozen=True, kw_only=True):
    """A whole history as it stands now. `versions` are in order; one is missing only where lines of
    the catalog were lost, which `gaps` speak of once the loss was accepted. `frozen` are products
    by UUID, `acknowledged` pairs of a version and the place of a note among its notes, `merges` the
    answers about configuration, oldest first. Only a
    refcat has `about`, `revoked`, what is withdrawn now, and `relabelled`, labels that were put
    right.
    """

    versions: list[VersionInfo] = []
    tags: dict[str, int] = {}
    hold: HoldRecord | None = None
    settings: dict[str, object] = {}
    frozen: dict[str, FreezeRecord] = {}
    acknowledged: frozenset[tuple[int, int]] = frozenset()
    merges: list[MergeRecord] = []
    accepts: list[AcceptRecord] = []
    purged: list[PurgeRecord] = []
    about: AboutRecord | None = None
    revoked: list[RevokeRecord] = []
    relabelled: dict[int, str | None] = {}
    gaps: list[GapRecord] = []

    def span(self) -> tuple[int, int] | None:
        """The first version and the last; None if there is none."""
        return (self.versions[0].version, self.versions[-1].version) if self.versions else None

    def find(self, version: int) -> VersionInfo | None:
        at = bisect_left(self.versions, version, key=attrgetter("version"))
        found = self.versions[at] if at < len(self.versions) else None
        return found if found is not None and found.version == version else None

    def at(self, moment: float) -> int | None:
        """The last version recorded at this time or before, in seconds since 1970."""
        # from the end, not by halving: clocks are set back now and then
        return next((v.version for v in reversed(self.versions) if v.time <= moment), None)

    def is_lost(self, version: int) -> bool:
        """Whether it is missing between others, or was said to be lost."""
        return self.find(version) is None

    def tagged(self, name: str) -> int | None:
        return self.tags.get(name)


def reduce(records: Iterable[Decoded]) -> CatalogState:
    """The state after these records, which begin with the first of the catalog.

    Of a version of many lines, the first is enough.
    """
    facts = _Facts()
    for record in records:
        facts.add(record)
    return facts.state()


_NOTHING = Counts()


class _Facts:
    """The latest word on everything."""

    def __init__(self) -> None:
        self._versions: dict[int, VersionRecord] = {}
        self._kinds: dict[int, VersionKind] = {}
        self._remarks: dict[int, list[Remark]] = {}
        self._tags: dict[str, int] = {}
        self._pinned: set[int] = set()
        self._forgotten: dict[int, ForgetRecord] = {}
        self._hold: HoldRecord | None = None
        self._settings: dict[str, object] = {}
        self._frozen: dict[str, FreezeRecord] = {}
        self._acknowledged: set[tuple[int, int]] = set()
        self._merges: list[MergeRecord] = []
        self._accepts: list[AcceptRecord] = []
        self._purged: list[PurgeRecord] = []
        self._about: AboutRecord | None = None
        self._revoked: dict[tuple[int | None, str | None], RevokeRecord] = {}
        self._relabelled: dict[int, str | None] = {}
        self._gaps: list[GapRecord] = []

    def add(self, record: Decoded) -> None:
        match record:
            case VersionPart():
                self._version(record.header)
            case LabelRecord():
                self._label(record)
            case TagRecord():
                self._tag(record)
            case PinRecord():
                self._pin(record)
            case ForgetRecord():
                for version in record.versions:
                    self._forgotten.setdefault(version, record)  # the rest were gone already
                self._remark(record, "forget", *record.versions)
            case UnforgetRecord():
                for version in record.versions:
                    self._forgotten.pop(version, None)
                self._remark(record, "unforget", *record.versions)
            case FreezeRecord() | AcknowledgeRecord() | MergeRecord():
                self._add_installing(record)
            case _:
                self._add_rare(record)

    def _add_installing(self, record: FreezeRecord | AcknowledgeRecord | MergeRecord) -> None:
        match record:
            case FreezeRecord():
                self._frozen.pop(record.product, None)
                self._frozen.update({record.product: record} if record.frozen else {})
            case AcknowledgeRecord():
                self._acknowledged.update((record.version, n) for n in record.notes)
            case MergeRecord():
                self._merges.append(record)

    def _add_rare(self, record: Decoded) -> None:
        match record:
            case HoldRecord():
                self._hold = record if record.held else None
            case SettingsRecord():
                self._settings = record.settings
            case AcceptRecord():
                self._accepts.append(record)
            case PurgeRecord():
                self._purged.append(record)
            case AboutRecord():
                self._about = record
            case RevokeRecord():
                self._revoke(record)
            case RelabelRecord():
                self._relabelled[record.version] = record.label
            case GapRecord():
                self._gaps.append(record)
            case _:
                pass  # squash changes nothing of this; the rest is not known here

    def _version(self, record: VersionRecord) -> None:
        if record.version in self._versions:
            return  # another line of it
        self._versions[record.version] = record
        if record.label is not None:
            self._remark(record, "label", record.version, text=record.label)

    def _pin(self, record: PinRecord) -> None:
        change = self._pinned.add if record.pinned else self._pinned.discard
        change(record.version)
        self._remark(record, "pin" if record.pinned else "unpin", record.version)

    def _label(self, record: LabelRecord) -> None:
        self._kinds[record.version] = record.kind
        what: RemarkKind = "change" if record.label is None else "label"
        self._remark(record, what, record.version, text=record.label)

    def _remark(
        self, said: Record, what: RemarkKind, *versions: int, text: str | None = None
    ) -> None:
        remark = Remark(what, text, said.time, said.actor)
        for version in versions:
            self._remarks.setdefault(version, []).append(remark)

    def _revoke(self, record: RevokeRecord) -> None:
        what = (record.version, record.digest)
        before = self._revoked.pop(what, None)
        if record.revoked:
            if not record.reason and before is not None:  # said again without a reason: it stands
                record = msgspec.structs.replace(record, reason=before.reason)
            self._revoked[what] = record

    def _tag(self, record: TagRecord) -> None:
        before = self._tags.pop(record.name, None)
        if before is not None and before != record.version:
            self._remark(record, "untag", before, text=record.name)
        if record.version is not None:
            self._tags[record.name] = record.version
            self._remark(record, "tag", record.version, text=record.name)

    def state(self) -> CatalogState:
        tags: dict[int, list[str]] = {}
        for name, version in sorted(self._tags.items()):
            tags.setdefault(version, []).append(name)
        return CatalogState(
            versions=[
                self._info(record, tuple(tags.get(version, ())))
                for version, record in sorted(self._versions.items())
            ],
            tags=self._tags,
            hold=self._hold,
            settings=self._settings,
            frozen=self._frozen,
            acknowledged=frozenset(self._acknowledged),
            merges=self._merges,
            accepts=self._accepts,
            purged=self._purged,
            about=self._about,
            revoked=list(self._revoked.values()),
            relabelled=self._relabelled,
            gaps=self._gaps,
        )

    def _info(self, record: VersionRecord, tags: tuple[str, ...]) -> VersionInfo:
        before = self._versions.get(record.version - 1)
        return VersionInfo(
            record=record,
            kind=self._kinds.get(record.version, record.kind),
            remarks=tuple(self._remarks.get(record.version, ())),
            changes_nothing=before is not None
            and record.counts == _NOTHING
            and record.installed is None
            and record.parameters is None
            and record.tree == before.tree,
            tags=tags,
            pinned=record.version in self._pinned,
            forgotten=self._forgotten.get(record.version),
        )
