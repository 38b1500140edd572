"""What all records of a catalog come to: versions with what was said of them later. Pure.

The latest word counts. `log`, selectors and retention look at this, and it needs nothing but the
records, so a rebuilt index comes to the same.
"""

from collections.abc import Iterable

import msgspec

from epmstore.catalog.model import (
    AboutRecord,
    AcceptRecord,
    Decoded,
    ForgetRecord,
    HoldRecord,
    LabelRecord,
    PinRecord,
    PurgeRecord,
    RevokeRecord,
    SettingsRecord,
    TagRecord,
    UnforgetRecord,
    VersionKind,
    VersionPart,
    VersionRecord,
)
from epmstore.clock import from_rfc3339


class VersionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One version as it stands now: `record` is what was said of it when it was recorded.

    `kind` and `label` may have come later (LabelRecord). `restorable` is false once it is
    forgotten.
    """

    record: VersionRecord
    kind: VersionKind
    label: str | None
    tags: tuple[str, ...]
    pinned: bool
    restorable: bool

    @property
    def version(self) -> int:
        return self.record.version

    @property
    def time(self) -> float:
        """When it was recorded, in seconds since 1970."""
        return from_rfc3339(self.record.time)


class CatalogState(msgspec.Struct, frozen=True, kw_only=True):
    """A whole history as it stands now. `versions` are in order, and there is none missing. Only a
    refcat has `about` and `revoked`, what is withdrawn now.
    """

    versions: list[VersionInfo] = []
    tags: dict[str, int] = {}
    hold: HoldRecord | None = None
    settings: dict[str, object] = {}
    accepts: list[AcceptRecord] = []
    purged: list[PurgeRecord] = []
    about: AboutRecord | None = None
    revoked: list[RevokeRecord] = []

    def span(self) -> tuple[int, int] | None:
        """The first version and the last; None if there is none."""
        return (self.versions[0].version, self.versions[-1].version) if self.versions else None

    def find(self, version: int) -> VersionInfo | None:
        first = self.versions[0].version if self.versions else 0
        at = version - first
        return self.versions[at] if 0 <= at < len(self.versions) else None

    def at(self, moment: float) -> int | None:
        """The last version recorded at this time or before, in seconds since 1970."""
        # from the end, not by halving: clocks are set back now and then
        return next((v.version for v in reversed(self.versions) if v.time <= moment), None)

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


class _Facts:
    """The latest word on everything."""

    def __init__(self) -> None:
        self._versions: dict[int, VersionRecord] = {}
        self._labels: dict[int, LabelRecord] = {}
        self._tags: dict[str, int] = {}
        self._pinned: set[int] = set()
        self._forgotten: set[int] = set()
        self._hold: HoldRecord | None = None
        self._settings: dict[str, object] = {}
        self._accepts: list[AcceptRecord] = []
        self._purged: list[PurgeRecord] = []
        self._about: AboutRecord | None = None
        self._revoked: dict[tuple[int | None, str | None], RevokeRecord] = {}

    def add(self, record: Decoded) -> None:
        match record:
            case VersionPart():
                self._versions.setdefault(record.header.version, record.header)
            case LabelRecord():
                self._label(record)
            case TagRecord():
                self._tag(record)
            case PinRecord():
                change = self._pinned.add if record.pinned else self._pinned.discard
                change(record.version)
            case ForgetRecord():
                self._forgotten.update(record.versions)
            case UnforgetRecord():
                self._forgotten.difference_update(record.versions)
            case _:
                self._add_rare(record)

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
            case _:
                pass  # squash changes nothing of this; the rest is not known here

    def _label(self, record: LabelRecord) -> None:
        before = self._labels.get(record.version)
        if record.label is None and before is not None:
            record = msgspec.structs.replace(record, label=before.label)
        self._labels[record.version] = record

    def _revoke(self, record: RevokeRecord) -> None:
        what = (record.version, record.digest)
        self._revoked.pop(what, None)
        if record.revoked:
            self._revoked[what] = record

    def _tag(self, record: TagRecord) -> None:
        if record.version is None:
            self._tags.pop(record.name, None)
        else:
            self._tags[record.name] = record.version

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
            accepts=self._accepts,
            purged=self._purged,
            about=self._about,
            revoked=list(self._revoked.values()),
        )

    def _info(self, record: VersionRecord, tags: tuple[str, ...]) -> VersionInfo:
        label = self._labels.get(record.version)
        return VersionInfo(
            record=record,
            kind=record.kind if label is None else label.kind,
            label=record.label if label is None or label.label is None else label.label,
            tags=tags,
            pinned=record.version in self._pinned,
            restorable=record.version not in self._forgotten,
        )
