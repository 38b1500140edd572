"""A Seeker in the depot of a remote: packs of this host, then of others that were pulled.

Nothing is asked of the remote before something is sought. Tables say where contents lie; frames are
read in runs, each once, and what comes out of one is held against both digests before it is
offered. What is wrong is named and sought at the next place that has it. A remote that fails has
nothing more for the rest of the command: a miss, which is told, and never silence.
"""

import contextlib
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from epmstore import codec
from epmstore.blobs.footer import frame_end
from epmstore.blobs.foreign import open_frame, read_rows
from epmstore.blobs.pack import PART_THRESHOLD
from epmstore.digest import BlobInfo, Sha256, identify
from epmstore.errors import (
    BadObjectError,
    BadPackageError,
    DamagedError,
    EpmError,
    LimitError,
    RemoteNotFoundError,
    RemoteTransientError,
)
from epmstore.pack_table import BlobRow, FrameRow, GroupTable
from epmstore.remotes.remote import Remote
from epmstore.seal import RecordKind, Seal
from epmstore.store.seeking import ContentOffer
from epmstore.sync.connecting import RemoteLink
from epmstore.sync.depot import open_depot
from epmstore.sync.depottables import DepotTables
from epmstore.sync.locating import (
    CANDIDATES,
    DepotPlace,
    Found,
    TableSource,
    by_frame,
    cost,
    in_batches,
    locate,
    read_runs,
)
from epmstore.sync.pulling import known_head, known_writers
from epmstore.sync.registry import RemoteRecord, RemoteSettings

Reach: TypeAlias = Callable[[RemoteSettings], contextlib.AbstractContextManager[RemoteLink]]
DELTAS: Final = 32 << 20
"""Bytes of deltas that wait in memory for their bases."""


class DepotHolding(NamedTuple):
    """What a depot says that it has of what is sought, and about how many bytes are to be read."""

    contents: frozenset[BlobInfo]
    size: int


class DepotContents:
    """Of one remote. `failure` is why it has nothing more (None: it has not failed); `bad` are
    objects of it that are not what they should be, with what is wrong.
    """

    def __init__(
        self, record: RemoteRecord, settings: RemoteSettings, connect: Reach, now: float
    ) -> None:
        self._record = record
        self._settings = settings
        self._connect = connect
        self._now = now
        self._tables = DepotTables(record)
        self._sizes: dict[str, bool] = {}
        self.failure: EpmError | OSError | None = None
        self.bad: dict[str, str] = {}

    def __str__(self) -> str:
        return self._settings.name

    def notes(self) -> list[str]:
        """What went wrong there, in words, if anything was sought."""
        found = [f"{self}: {what}" for what in self.bad.values()]
        if self.failure is not None:
            text = getattr(self.failure, "message", None) or str(self.failure)
            found.append(f"{self} was asked for contents, in vain: {text}")
        return found

    def offers(self, wanted: Collection[BlobInfo]) -> Iterator[ContentOffer]:
        with self._guarded() as remote:
            if remote is not None:
                yield from self._offers(remote, wanted)

    def locate(self, wanted: Collection[BlobInfo]) -> DepotHolding:
        """What it has, by its tables and the names and sizes of its packs. No pack is read."""
        with self._guarded() as remote:
            if remote is not None:
                found = self._find(remote, wanted)
                had = frozenset(info for info in wanted if info.sha256 in found)
                return DepotHolding(had, cost({info.sha256 for info in had}, found))
        return DepotHolding(frozenset(), 0)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[Remote | None]:
        """The remote, as long as it works; None if it does not, or has nothing anyway."""
        with contextlib.ExitStack() as stack:
            remote = None
            if self.failure is None and self._sources():
                with self._keeping_failure():
                    link = stack.enter_context(self._connect(self._settings))
                    open_depot(link.remote, link.where, self._settings.depot)
                    remote = link.remote
            with self._keeping_failure():
                yield remote

    @contextlib.contextmanager
    def _keeping_failure(self) -> Iterator[None]:
        """What a remote fails with is no error of the caller, who seeks there."""
        try:
            yield
        except LimitError:
            raise
        except (EpmError, OSError) as error:
            self.failure = error

    def _sources(self) -> list[TableSource]:
        """All packs that are known, those of this host first."""
        found: dict[str, TableSource] = {}
        own, head = self._settings.writer, self._record.reached()
        if own is not None:
            sent = self._record.sent_packs()
            for app in () if head is None else head.apps:
                sent[app.app] = (*sent.get(app.app, ()), *app.packs)
            for uuid, packs in sent.items():
                for pack in packs:
                    names = pack.name(own, uuid), pack.table_name(own, uuid)
                    found[pack.sha256] = TableSource(pack, *names)
        for writer in sorted(known_writers(self._record)):
            known = known_head(self._record, self._settings, writer, self._now)
            for app in () if known is None else known.head.head.apps:
                for pack in app.packs:
                    names = pack.name(writer, app.app), pack.table_name(writer, app.app)
                    found.setdefault(pack.sha256, TableSource(pack, *names))
        return [*found.values()]

    def _find(self, remote: Remote, wanted: Collection[BlobInfo]) -> Found:
        """Where what is wanted lies, in packs that are there."""
        sources = self._sources()

        def tables() -> Iterator[tuple[TableSource, GroupTable]]:
            for source in sources:
                if source.name in self.bad:
                    continue
                try:
                    yield source, self._tables.get(remote, source.pack, source.table_name)
                except (BadObjectError, RemoteNotFoundError) as error:
                    self.bad[source.name] = error.message

        found = locate({info.sha256 for info in wanted}, tables)
        used = {place.source for places in found.values() for place in places}
        gone = {source for source in used if not self._is_there(remote, source)}
        if gone:
            return self._find(remote, wanted)
        sizes = {info.sha256: info.size for info in wanted}
        return {
            sha256: kept
            for sha256, places in found.items()
            if (kept := [p for p in places if p.row.size == sizes.get(sha256, p.row.size)])
        }

    def _is_there(self, remote: Remote, source: TableSource) -> bool:
        """What is too short will not be longer in a while: it is not waited for."""
        if source.name not in self._sizes:
            info = remote.stat(source.name)
            self._sizes[source.name] = info is not None and info.size == source.pack.size
            if not self._sizes[source.name]:
                what = "is not there" if info is None else f"has {info.size} bytes"
                self.bad[source.name] = f"{source.name} {what}, and should have {source.pack.size}"
        return self._sizes[source.name]

    def _offers(self, remote: Remote, wanted: Collection[BlobInfo]) -> Iterator[ContentOffer]:
        found = self._find(remote, wanted)
        for number in range(CANDIDATES):
            now = {i: found[i.sha256][number:] for i in [*wanted] if i.sha256 in found}
            places = {info: left[0] for info, left in now.items() if left}
            plain = [p for p in places.values() if p.row.base is None and not p.row.parts]
            deltas = [p for p in places.values() if p.row.base is not None]
            for batch in in_batches(deltas, DELTAS):
                yield from self._small(remote, plain, batch, found)
                plain = []
            yield from self._small(remote, plain, [], found)
            for info, place in places.items():
                if place.row.parts and info in wanted:
                    parts = self._parts(remote, place.row.parts, found)
                    yield ContentOffer(info.size, self._as_far_as_good(parts))

    def _small(
        self,
        remote: Remote,
        plain: Sequence[DepotPlace],
        deltas: Sequence[DepotPlace],
        found: Found,
    ) -> Iterator[ContentOffer]:
        """Contents that lie in frames, and deltas on such."""
        waiting: dict[Sha256, list[tuple[BlobRow, bytes]]] = {}
        for seal, body, rows in self._frames(remote, deltas):
            for row in rows:
                delta = bytes(body[row.offset : row.offset + row.length])
                assert row.base is not None and seal.kind is RecordKind.DELTA, "it was looked up"
                waiting.setdefault(row.base, []).append((row, delta))
        offered = {place.row.sha256 for place in plain}
        bases = [found[base][0] for base in waiting if base not in offered and base in found]
        for seal, body, rows in self._frames(remote, [*plain, *bases]):
            with self._naming_bad():
                for row, data in read_rows(seal, body, rows, _no_base):
                    if row.sha256 in offered:
                        yield ContentOffer(len(data), iter([data]))
                    for of, delta in waiting.get(row.sha256, ()):
                        with self._naming_bad():
                            made = _undelta(of, delta, data)
                            yield ContentOffer(len(made), iter([made]))

    def _frames(
        self, remote: Remote, places: Iterable[DepotPlace]
    ) -> Iterator[tuple[Seal, memoryview, list[BlobRow]]]:
        """Frames that are what their tables say, and the rows that are wanted of each."""
        for source, frames in by_frame(places).items():
            rows = {frame.offset: wanted for frame, wanted in frames}
            self._reading = source.name
            for frame, record in read_frames(remote, source.name, [f for f, _ in frames]):
                self._reading = source.name
                with self._naming_bad():
                    seal, body = _open(frame, record, rows[frame.offset])
                    yield seal, body, rows[frame.offset]

    def _parts(
        self, remote: Remote, parts: Sequence[Sha256], found: Found
    ) -> Generator[bytes, None, None]:
        """A large content, part by part. Raises DamagedError, RemoteError."""
        last: tuple[Sha256, bytes] | None = None
        at = 0
        while at < len(parts):
            if last is not None and parts[at] == last[0]:
                yield last[1]
                at += 1
                continue
            run = _run_of_parts(parts[at:], found)
            self._reading = run[0].source.name
            for place, data in _read_run(remote, run, found):
                last = place.row.sha256, data
                yield data
            at += len(run)

    def _as_far_as_good(self, parts: Generator[bytes, None, None]) -> Iterator[bytes]:
        """What breaks off is another content than the one that is sought."""
        with contextlib.closing(parts):
            try:
                yield from parts
            except DamagedError as error:
                self._name_bad(error)
            except EpmError as error:
                self.failure = error

    @contextlib.contextmanager
    def _naming_bad(self) -> Iterator[None]:
        name = self._reading
        try:
            yield
        except DamagedError as error:
            self.bad[name] = f"{name}: {error.message}"

    def _name_bad(self, error: DamagedError) -> None:
        self.bad[self._reading] = f"{self._reading}: {error.message}"


def read_frames(
    remote: Remote, name: str, frames: Sequence[FrameRow]
) -> Iterator[tuple[FrameRow, bytes]]:
    """Records of a pack, in order, with one read for those that lie beside each other. Raises
    RemoteError.
    """
    for run in read_runs(frames):
        start, end = run[0].offset, frame_end(run[-1])
        pieces = iter(remote.read(name, start, end - start))
        held = bytearray()
        for frame in run:
            while start + len(held) < frame_end(frame):
                piece = next(pieces, b"")
                if not piece:
                    raise RemoteTransientError(f"{name} ended too early", object=name)
                held += piece
            record = bytes(held[frame.offset - start : frame_end(frame) - start])
            del held[: frame_end(frame) - start]
            start = frame_end(frame)
            yield frame, record


def _open(frame: FrameRow, record: bytes, rows: Sequence[BlobRow]) -> tuple[Seal, memoryview]:
    """Raises BadPackageError unless it is the frame that the table has."""
    seal, body = open_frame(record)
    if (seal.kind, len(seal.head), seal.number) != (
        frame.kind,
        frame.head_length,
        frame.plain_size,
    ):
        raise BadPackageError("it is another frame than the table says")
    if seal.kind is not RecordKind.DELTA and seal.number > PART_THRESHOLD:
        raise BadPackageError("a frame comes to more than any does")
    if any(row.size > PART_THRESHOLD for row in rows):
        raise BadPackageError("a content is too large to lie in one frame")
    return seal, body


def _undelta(row: BlobRow, delta: bytes, base: bytes) -> bytes:
    """Raises DamagedError."""
    data = codec.decompress_delta(delta, base, row.size)
    info = identify(data)
    if info.sha256 != row.sha256 or info.digest != (row.digest or info.digest):
        raise BadPackageError(f"what is said to be {row.sha256.hex()} is another content")
    return data


def _no_base(sha256: Sha256) -> bytes:
    raise BadPackageError(f"{sha256.hex()} should lie there in full")


def _run_of_parts(parts: Sequence[Sha256], found: Found) -> list[DepotPlace]:
    """As many parts as lie beside each other as they follow; one that is a delta is alone."""
    run: list[DepotPlace] = []
    for part in parts:
        place = found[part][0]
        if run:
            before = run[-1].frame
            assert before is not None and place.frame is not None, "parts lie in frames"
            follows = place.source == run[0].source and place.frame.offset > before.offset
            if place.row.base is not None or not follows:
                break
        run.append(place)
        if place.row.base is not None:
            break
    return run


def _read_run(
    remote: Remote, run: Sequence[DepotPlace], found: Found
) -> Iterator[tuple[DepotPlace, bytes]]:
    """Parts, each held against its digest. Raises DamagedError, RemoteError."""
    frames = [place.frame for place in run if place.frame is not None]
    for place, (frame, record) in zip(
        run, read_frames(remote, run[0].source.name, frames), strict=True
    ):
        row = place.row
        seal, body = _open(frame, record, [row])
        if row.base is None:
            ((_, data),) = read_rows(seal, body, [row], _no_base)
        else:
            ((_, base),) = _read_run(remote, [found[row.base][0]], found)
            data = _undelta(row, bytes(body[row.offset : row.offset + row.length]), base)
        yield place, data
