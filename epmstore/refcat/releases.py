"""Releases: what the vendor of one application ever released, as this store knows it. Changes
nothing.

A refcat is a catalog like a syscat, by the same scheme and in the same index, under a name of its
own (store/store.py: `refcat`). Its versions are the releases. They never change and are never
forgotten; their contents may or may not be stored here.
"""

import os
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from epmstore.catalog.appcat import App
from epmstore.catalog.classes import Patterns
from epmstore.catalog.fold import check_sum
from epmstore.catalog.format import decode_line
from epmstore.catalog.model import (
    NO_PACKAGE,
    AboutRecord,
    Counts,
    Decoded,
    Envelope,
    Requirement,
    VersionPart,
    VersionRecord,
)
from epmstore.catalog.state import CatalogState, reduce
from epmstore.digest import Digest, Sha256
from epmstore.errors import DamagedError, PathNotFoundError
from epmstore.index.entries import IndexedPosition, Span
from epmstore.refcat import naming
from epmstore.refcat.classify import Shipped
from epmstore.refcat.lines import Lines
from epmstore.relpath import RelPath
from epmstore.store.store import Store, app_of, refcat
from epmstore.tree import Entry

REFCAT_OPTION = "refcat"
"""The option of an app that names the refcat (UUID) it is compared with, if that is not its own."""


NO_REASON = "no reason given"


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """One release. `digest` is the SHA-256 of the last line that published it: it vouches for
    everything up to there. `revoked` is the reason why its vendor withdrew it, None if not.
    `after` is the release that it names as the one before it in its line (None: the one with the
    number before). `formerly` is the label that it was published with, if that was put right.
    """

    version: int
    label: str | None
    time: str
    digest: str
    tree: str
    counts: Counts
    revoked: str | None = None
    requires: tuple[Requirement, ...] = ()
    after: int | None = None
    formerly: str | None = None

    @property
    def title(self) -> str:
        """How it is shown: `4.2.16 (14)`, or `14`."""
        return naming.title(self.version, self.label)


class Releases:
    """The refcat of one application (UUID). One that has none has no releases."""

    def __init__(self, store: Store, app: str) -> None:
        self._store = store
        self.app = app
        self.catalog = refcat(app)
        self._known: tuple[IndexedPosition, CatalogState, list[Release]] | None = None

    @classmethod
    def of(cls, store: Store, app: App) -> "Releases":
        """Those that an app of this host is compared with."""
        return cls(store, refcat_of(app))

    def exists(self) -> bool:
        return self._store.entries.position(self.catalog) is not None

    def about(self) -> AboutRecord | None:
        """Whose catalog it is; None if there is none."""
        return self._state().about

    def patterns(self) -> Patterns:
        """The vendor's word on which paths are configuration, state and so on."""
        about = self.about()
        return Patterns() if about is None else about.patterns

    def patterns_at(self, version: int) -> Patterns:
        """What the vendor's word was when a release was published."""
        said = Patterns()
        for line in self._store.entries.records(self.catalog):
            if line.type == "about":
                about = decode_line(line.form)[1]
                said = about.patterns if isinstance(about, AboutRecord) else said
            elif line.version == version:
                break
        return said

    def head(self) -> str | None:
        """The SHA-256 of the catalog's last line: equal heads are equal catalogs."""
        found = self._store.entries.position(self.catalog)
        return None if found is None else found[1]

    def heads(self) -> list[tuple[int, str]]:
        """(number, SHA-256) of the last line of each record, in order."""
        position = self._store.entries.position(self.catalog)
        if position is None:
            return []
        lines = self._store.entries.records(self.catalog)
        ends = [*(line.seq - 1 for line in lines[1:]), position[2] - 1]
        forms = [decode_line(line.form)[0] for line in lines[1:]]
        return list(zip(ends, [*(one.prev for one in forms), position[1]], strict=True))

    def all(self) -> list[Release]:
        """All of them, oldest first."""
        return self._read()[2]

    def latest(self) -> Release | None:
        releases = self.all()
        return releases[-1] if releases else None

    def get(self, version: int) -> Release:
        """Raises VersionNotFoundError."""
        releases = self.all()
        return releases[naming.by_number(releases, version)]

    def resolve(self, text: str | int) -> int:
        """The number of the release that people mean (refcat/naming.py); an int is a
        number. Raises VersionNotFoundError, UsageError for what may be more than one.
        """
        if isinstance(text, int):
            return self.get(text).version
        return naming.resolve(self.all(), text)

    def lines(self) -> Lines:
        """Which release follows which."""
        return Lines([one.after for one in self.all()])

    def record(self, version: int) -> VersionRecord:
        """What a release says of itself. Raises VersionNotFoundError."""
        self.get(version)
        return self._state().versions[version].record

    def package(self, version: int) -> msgspec.Raw:
        """What a release says of its packaging, as `VersionRecord.package`; `record` leaves it out.
        Raises VersionNotFoundError.
        """
        self.get(version)
        lines = self._store.entries.records(self.catalog)
        form = next(line.form for line in lines if line.version == version)
        record = decode_line(form)[1]
        return record.header.package if isinstance(record, VersionPart) else NO_PACKAGE

    def tree(self, version: int) -> Iterator[Entry]:
        """Every entry of a release, in byte order of paths.

        Raises VersionNotFoundError, and DamagedError unless it has the sum it was published with.
        """
        record = self.record(version)
        entries = list(self._store.entries.tree(self.catalog, version))
        check_sum({entry.path: entry for entry in entries}, record)
        return iter(sorted(entries, key=lambda entry: os.fsencode(entry.path)))

    def history(self, path: RelPath) -> list[Span]:
        """Every state that a path was released in, oldest first. Raises PathNotFoundError."""
        found = self._store.entries.history(self.catalog, path) if self.exists() else []
        if not found:
            raise PathNotFoundError(f"no release ever had {path!r}", path=path)
        return found

    def changed(self, one: int, two: int) -> list[tuple[Entry | None, Entry | None]]:
        """(entry in `one`, entry in `two`) of every path that differs between two releases."""
        self.get(one), self.get(two)
        return self._store.entries.changed(self.catalog, one, two)

    def spans(self, wanted: Iterable[Sha256]) -> dict[Sha256, list[Shipped]]:
        """Where any vendor's catalog in this store has these contents, this one's or another's.

        In order of app, path and release; what none ever shipped is left out.
        """
        found = self._store.entries.shipped(wanted)
        return {
            sha256: [Shipped(app_of(s.catalog), s.path, s.since, s.until) for s in spans]
            for sha256, spans in found.items()
        }

    def has_component(self, digest: Digest) -> bool:
        """Whether any release has a file with this SHA-1."""
        contents = self._store.contents.seen(digest)
        spans = self.spans(info.sha256 for info in contents)
        return any(one.app == self.app for found in spans.values() for one in found)

    def revoked_contents(self) -> dict[str, str]:
        """SHA-1 (hex) of each component that its vendor withdrew, and why."""
        revoked = self._state().revoked
        return {r.digest: r.reason or NO_REASON for r in revoked if r.digest is not None}

    def missing(self, entries: Iterable[Entry]) -> list[Entry]:
        """Those whose content is not stored here."""
        held = [(entry.content, entry) for entry in entries if entry.content is not None]
        gone = set(self._store.blobs.missing(content for content, _ in held))
        return [entry for content, entry in held if content in gone]

    def _state(self) -> CatalogState:
        return self._read()[1]

    def _read(self) -> tuple[IndexedPosition, CatalogState, list[Release]]:
        position = self._store.entries.position(self.catalog)
        if position is None:
            return (0, "", 0), CatalogState(), []
        if self._known is None or self._known[0] != position:
            lines = self._store.entries.records(self.catalog)
            decoded = [_without_package(*decode_line(line.form)) for line in lines]
            state = reduce(record for _, record in decoded)
            heads = _heads([envelope for envelope, _ in decoded], position[1])
            self._known = position, state, _releases(state, heads, [r.version for r in lines])
        return self._known


def refcat_of(app: App) -> str:
    """The UUID of the refcat that an app is compared with: its own, unless an option says other."""
    chosen = app.options.get(REFCAT_OPTION)
    return chosen if isinstance(chosen, str) else app.uuid


def key_of(store: Store, app: str) -> str:
    """What the vendor calls an application (UUID)."""
    about = Releases(store, app).about()
    return app if about is None else about.key


def _without_package(envelope: Envelope, record: Decoded) -> tuple[Envelope, Decoded]:
    """A record as it is held for all releases: packagings are long, and seldom asked for."""
    if isinstance(record, VersionPart) and record.header.package:
        record = VersionPart(msgspec.structs.replace(record.header, package=NO_PACKAGE))
    return envelope, record


def _heads(envelopes: Sequence[Envelope], last: str) -> list[str]:
    """The SHA-256 of the last line of each record: what the next one names as the one before it."""
    return [*(envelope.prev for envelope in envelopes[1:]), last]


def _releases(
    state: CatalogState, heads: Sequence[str], versions: Sequence[int | None]
) -> list[Release]:
    at = {version: head for version, head in zip(versions, heads, strict=True)}
    reasons = {r.version: r.reason or NO_REASON for r in state.revoked if r.version is not None}
    found: list[Release] = []
    for info in state.versions:
        if info.version not in at or info.version != len(found):
            raise DamagedError("the index is damaged", hint="run `epmstore rebuild`")
        record = info.record
        label = state.relabelled.get(info.version, record.label)
        found.append(
            Release(
                version=info.version,
                label=label,
                time=record.time,
                digest=at[info.version],
                tree=record.tree,
                counts=record.counts,
                revoked=reasons.get(info.version),
                requires=record.requires,
                after=record.after,
                formerly=record.label if record.label != label else None,
            )
        )
    return found
