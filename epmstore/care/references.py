"""Which versions need which contents, read from the catalogs alone: they are the truth.

The folding is that of catalog/fold.py, with two things kept on the way: the versions between which
each content was part of the tree, and whether each version has the sum that it was recorded with.
"""

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import msgspec

from epmstore import codec, seal
from epmstore.atomic import read_file
from epmstore.catalog import appcat
from epmstore.catalog.appcat import App
from epmstore.catalog.format import decode_line
from epmstore.catalog.history import Read
from epmstore.catalog.model import START, CatalogPosition, GapRecord, VersionPart, VersionRecord
from epmstore.catalog.state import CatalogState, reduce
from epmstore.digest import BlobInfo, Purges, Sha256, read_purges
from epmstore.errors import DamagedError
from epmstore.progress import SILENT, Progress
from epmstore.relpath import RelPath
from epmstore.store.soundness import fault_error, known_fault
from epmstore.store.store import Store, is_refcat
from epmstore.tree import Entry, shifted_sum

APPCAT = "appcat.json"
LAST = 1 << 62
"""Stands for "until now"."""
_WITNESS = re.compile(rb'"([0-9a-f]{64})"')


class CatalogNeeds(msgspec.Struct, frozen=True):
    """What one catalog says, up to `position`. `spans` maps each content that can be stored to the
    versions that have it: from the first until before the second number. `wrong` are versions whose
    tree does not have the recorded sum (only if sums were asked for), `partial` those of which that
    is known, because they are behind a gap. `fault` is what stopped the reading early.
    """

    app: str
    key: str
    position: CatalogPosition
    state: CatalogState
    spans: dict[BlobInfo, list[tuple[int, int]]]
    wrong: tuple[int, ...] = ()
    partial: tuple[int, ...] = ()
    fault: DamagedError | None = None

    def versions(self, info: BlobInfo) -> list[int]:
        """The restorable versions that have a content."""
        spans = self.spans.get(info, ())
        return [
            found.version
            for found in self.state.versions
            if found.restorable and any(a <= found.version < b for a, b in spans)
        ]

    def needed(self, *, without: Collection[int] = (), also: Collection[int] = ()) -> set[BlobInfo]:
        """The contents of every restorable version but those in `without`, and of those in `also`,
        which were forgotten. Of a catalog that cannot be read whole, everything that it may need.
        """
        if self.fault is not None:
            return {*self.spans}
        kept = [
            v.version
            for v in self.state.versions
            if (v.restorable or v.version in also) and v.version not in without
        ]
        return {
            info
            for info, spans in self.spans.items()
            if any(has_between(kept, low, high) for low, high in spans)
        }


def read_needs(
    store: Store, app: str, end: int | None = None, *, sums: bool = False
) -> CatalogNeeds:
    """Of one app, up to the committed length `end`. Raises nothing for damage: see `fault`."""
    reading = _Reading(sums)
    fault = None
    try:
        for read in store.catalog(app).read(START, end):
            reading.add(read)
    except DamagedError as error:
        fault = error
    return reading.need(store, app, fault)


def all_catalogs(store: Store) -> list[str]:
    """Names of all catalogs; also of those that only the index knows: a file that was lost is
    damage, and not a history without a file.
    """
    return sorted({*store.all_catalogs(), *store.entries.catalogs()})


def all_needs(store: Store, progress: Progress = SILENT) -> dict[str, CatalogNeeds]:
    """Of every catalog, as committed. One that cannot be read whole may need every content that
    there is, and does not hinder the others. Raises DamagedError (of the index).
    """
    needs = {}
    catalogs = {app: committed(store, app) for app in all_catalogs(store)}
    progress.begin("reading histories", size=sum(one.length for one in catalogs.values()))
    for app, position in catalogs.items():
        need = read_needs(store, app, position.length)
        known = known_fault(store, app)
        if need.fault is None and known is not None:
            need = msgspec.structs.replace(need, fault=fault_error(store, app, known))
        if need.fault is not None:
            spans = {info: [(0, LAST)] for info in store.contents.all_named()}
            need = msgspec.structs.replace(need, spans={**spans, **need.spans}, position=position)
        needs[app] = need
        progress.advance(size=position.length)
    progress.end()
    return needs


def purges(needs: Iterable[CatalogNeeds]) -> Purges:
    """What was purged, by whichever catalog."""
    said = (record for need in needs for record in need.state.purged)
    return read_purges((record.digest, record.sha256) for record in said)


def purged_contents(needs: Collection[CatalogNeeds]) -> set[BlobInfo]:
    """The contents that some catalog names and that were purged: no version needs them any more."""
    purged = purges(needs)
    return {info for need in needs for info in need.spans if info in purged}


def committed(store: Store, app: str) -> CatalogPosition:
    """How far the catalog is known to be acknowledged."""
    found = store.entries.position(app)
    return START if found is None else CatalogPosition(*found)


def index_state(store: Store, app: str) -> CatalogState:
    """The state of an app as the index has it."""
    records = store.entries.records(app)
    return reduce(decode_line(record.form)[1] for record in records if record.form)


def keys(store: Store) -> dict[str, str]:
    """UUID to key of the registered apps. Raises DamagedError."""
    return {app.uuid: app.key for app in appcat.load(store.catalogs / APPCAT).apps}


def open_journals(store: Store) -> list[Path]:
    """Of checkouts that have not ended."""
    return sorted(store.journals.glob("*.journal"))


def named_in(journal: Path) -> set[Sha256]:
    """Every witness that a journal names, whatever the line says of it; what cannot be read of a
    torn or damaged journal names nothing.
    """
    found: set[Sha256] = set()
    try:
        data = read_file(journal)
    except (FileNotFoundError, DamagedError):
        return found
    offset = 0
    while offset < len(data):
        try:
            record, body = seal.read(data, offset)
            plain = codec.decompress(body, record.number)
        except DamagedError:
            break
        found.update(Sha256(bytes.fromhex(m.decode())) for m in _WITNESS.findall(plain))
        offset = record.end
    return found


class _Reading:
    """Folds a catalog record by record."""

    def __init__(self, sums: bool) -> None:
        self._sums = sums
        self._sum = 0
        self._tree: dict[RelPath, Entry] = {}
        self._since: dict[RelPath, int] = {}
        self._spans: dict[BlobInfo, list[tuple[int, int]]] = {}
        self._headers: list[Read] = []
        self._wrong: list[int] = []
        self._partial: list[int] = []
        self._last: VersionRecord | None = None
        self._position = START
        self._is_behind_gap = False
        """From a gap on, until a tree is known to be whole again."""

    def add(self, read: Read) -> None:
        record = read.record
        if isinstance(record, VersionPart):
            self._apply(record)
            if record.header.part == record.header.parts:
                self._check(record.header)
            read = msgspec.structs.replace(read, record=VersionPart(record.header))
        elif isinstance(record, GapRecord):
            self._is_behind_gap = True
        self._headers.append(read)
        self._position = read.after

    def need(self, store: Store, app: str, fault: DamagedError | None) -> CatalogNeeds:
        for path in list(self._tree):
            self._close(path, LAST)
        key = _key(store, app)
        if key is None:
            key = app if self._last is None else _named(app, self._last.key)
        state = reduce(read.record for read in self._headers)
        wrong, partial = tuple(self._wrong), tuple(self._partial)
        return CatalogNeeds(app, key, self._position, state, self._spans, wrong, partial, fault)

    def _apply(self, part: VersionPart) -> None:
        version = part.header.version
        self._last = part.header
        removed = part.removed
        if self._is_behind_gap:
            removed = [path for path in removed if path in self._tree]
        gone = [self._take(path, version, part) for path in removed]
        come: list[Entry] = []
        for entry in part.meta:
            before = self._tree.get(entry.path)
            if before is not None and before.kind == "file":
                entry = msgspec.structs.replace(entry, content=before.content)
            elif not self._is_behind_gap:
                raise _misfit(part, entry.path)
            come.append(entry)
        come += part.entries
        for entry in come:
            before = self._tree.get(entry.path)
            if before is not None:
                gone.append(before)
            if before is None or _stored(before) != _stored(entry):
                if before is not None:
                    self._close(entry.path, version)
                self._since[entry.path] = version
            self._tree[entry.path] = entry
        if self._sums:
            self._sum = shifted_sum(self._sum, gone=gone, come=come)

    def _take(self, path: RelPath, version: int, part: VersionPart) -> Entry:
        if path not in self._tree:
            raise _misfit(part, path)
        self._close(path, version)
        del self._since[path]
        return self._tree.pop(path)

    def _close(self, path: RelPath, until: int) -> None:
        content = _stored(self._tree[path])
        since = self._since[path]
        if content is not None and since < until:
            self._spans.setdefault(content, []).append((since, until))

    def _check(self, header: VersionRecord) -> None:
        if not self._sums:
            return
        if f"{self._sum:064x}" == header.tree:
            self._is_behind_gap = False
        elif self._is_behind_gap:
            self._partial.append(header.version)
        else:
            self._wrong.append(header.version)


def apps_or_none(store: Store) -> Sequence[App]:
    """The registered apps; none if the appcat is damaged, which is said elsewhere."""
    try:
        return appcat.load(store.catalogs / APPCAT).apps
    except DamagedError:
        return ()


def key_of(store: Store, app: str) -> str:
    """What people call an app: its key, or the last one that a removed app had."""
    found = _key(store, app)
    if found is not None:
        return found
    state = index_state(store, app)
    return _named(app, state.versions[-1].record.key) if state.versions else app


def _named(name: str, key: str) -> str:
    """What people call a catalog: a syscat by the key of its app, a refcat with `/refcat`."""
    return f"{key}/refcat" if is_refcat(name) else key


def _key(store: Store, app: str) -> str | None:
    return next((found.key for found in apps_or_none(store) if found.uuid == app), None)


def witnesses(infos: Iterable[BlobInfo]) -> set[Sha256]:
    return {info.sha256 for info in infos}


def _stored(entry: Entry) -> BlobInfo | None:
    """The content that the store must hold for this entry; of secrets it never does."""
    return None if entry.path_class == "secret" else entry.content


def has_between(ordered: Sequence[int], low: int, high: int) -> bool:
    """Whether one of these versions is at least `low` and below `high`."""
    at = bisect_left(ordered, low)
    return at < len(ordered) and ordered[at] < high


def _misfit(part: VersionPart, path: RelPath) -> DamagedError:
    version = part.header.version
    return DamagedError(
        f"version {version} speaks of {path!r}, which is not there before it", version=version
    )
