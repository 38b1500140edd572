"""A release of a store as a package: its lines, its contents, and the tables for people.

A frame is copied as it is if all that lies in it belongs to the release. Whatever else shares a
frame with it (other products, older releases, contents that a host has no business with) stays
behind: then the contents are compressed anew. Deltas are not given away: what they were made
against may not be there.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import msgspec

from epmstore import seal
from epmstore.blobs import frames
from epmstore.blobs.records import open_pack, read_at
from epmstore.catalog.format import decode_line, seal_line
from epmstore.catalog.model import VersionPart
from epmstore.digest import BlobInfo, Sha256
from epmstore.errors import BlobNotFoundError, DamagedError, UsageError
from epmstore.pack_table import NO_FRAME, BlobRow, Place
from epmstore.package.package_reader import FREE, RATIO
from epmstore.package.tables import PackagedRelease, PackageRow, rows_of
from epmstore.package.writing import PackageWriter
from epmstore.progress import Progress
from epmstore.refcat import packaging_form
from epmstore.refcat.interchange import export_lines
from epmstore.refcat.releases import Releases
from epmstore.seal import SIZE, RecordKind
from epmstore.store.store import Store


class Packed(msgspec.Struct, frozen=True):
    """A package that was written: what is in it, and its bytes."""

    release: PackagedRelease
    contents: int
    plain: int
    size: int


def read_release(releases: Releases, number: int) -> PackagedRelease:
    """A release as a package holds it. Raises VersionNotFoundError, DamagedError, UsageError for
    one that does not say how it is a package.
    """
    about, said = releases.about(), releases.package(number)
    if about is None or not said:
        raise UsageError(
            f"release {releases.get(number).title} does not say how it is a package",
            hint="its vendor publishes what was built as a package",
        )
    return PackagedRelease(
        about=about,
        record=releases.record(number),
        package=packaging_form.read(said),
        entries=list(releases.tree(number)),
        digest=releases.get(number).digest,
    )


def contents_of(release: PackagedRelease) -> list[BlobInfo]:
    """The contents that a package of the release has, each once, in the order of its paths."""
    held = (e.content for e in release.entries if e.content and e.path_class != "secret")
    return list(dict.fromkeys(held))


def write_package(
    store: Store,
    app: str,
    number: int,
    path: Path,
    progress: Progress,
    *,
    tags: Iterable[str] = (),
    more: dict[str, Sequence[PackageRow]] | None = None,
) -> Packed:
    """The full package of a release, durable at `path`. `more` are rows of further tables. Raises
    as `read_release`, BlobNotFoundError for contents that are not stored, UsageError for what no
    host would take, OSError.
    """
    releases = Releases(store, app)
    release = read_release(releases, number)
    contents = contents_of(release)
    progress.begin("packing", files=len(contents), size=sum(one.size for one in contents))
    records = _Records(store.packs)
    with store.keep_packs(), records, PackageWriter(path) as writer:
        writer.add_lines(app, map(seal_line, _lines_up_to(store, releases, number)))
        _Packer(store, writer, records, progress).pack(contents)
        plain = sum(one.size for one in contents)
        if plain > FREE + RATIO * writer.stored:
            raise UsageError(
                f"it comes to {plain:,} bytes, more than {RATIO} times its own: no host takes that",
                hint="leave out what is empty space, or give it the class state",
            )
        writer.finish({**rows_of(release, tags), **(more or {})})
    progress.end()
    return Packed(release, len(contents), plain, path.stat().st_size)


def _lines_up_to(store: Store, releases: Releases, number: int) -> Iterator[bytes]:
    for plain in export_lines(store, releases):
        yield plain
        record = decode_line(plain)[1]
        header = record.header if isinstance(record, VersionPart) else None
        if header is not None and (header.version, header.part) == (number, header.parts):
            return


class _Packer:
    """Contents on their way out of a store. Each once."""

    def __init__(
        self, store: Store, writer: PackageWriter, records: "_Records", progress: Progress
    ) -> None:
        self._store = store
        self._writer = writer
        self._records = records
        self._progress = progress
        self._done: set[Sha256] = set()
        self._pending: list[tuple[BlobInfo, bytes]] = []
        self._waiting = 0

    def pack(self, contents: Sequence[BlobInfo]) -> None:
        """Raises BlobNotFoundError, DamagedError, OSError."""
        missing = self._store.blobs.missing(contents)
        if missing:
            raise BlobNotFoundError(
                f"{len(missing):,} contents of the release are not stored here",
                digests=[info.digest.hex() for info in missing],
            )
        wanted = {info.sha256: info for info in contents}
        places = self._store.contents.places(list(wanted))
        self._pack_plain([place for place in places.values() if place.kind is not None], wanted)
        for sha256, place in places.items():
            if place.kind is None:
                self._pack_large(wanted[sha256], place)

    def _pack_large(self, info: BlobInfo, place: Place) -> None:
        parts = self._store.contents.places(list(dict.fromkeys(place.parts)))
        for sha256 in place.parts:
            if sha256 not in self._done:
                self._pack_part(parts[sha256])
        row = BlobRow(info.digest, info.sha256, info.size, NO_FRAME, 0, 0, None, place.parts)
        self._writer.add_large(row)
        self._progress.advance(files=1)

    def _pack_part(self, place: Place) -> None:
        self._done.add(place.sha256)
        if place.kind in (RecordKind.PART, RecordKind.STORED) and place.length == place.plain_size:
            record = self._records.read(place)
        else:
            ((_, data),) = self._store.blobs.read_places([place])
            record = frames.part(data).sealed()
        row = BlobRow(None, place.sha256, place.size, 0, 0, place.size)
        self._writer.add_frame(record, [row])
        self._progress.advance(size=place.size)

    def _pack_plain(self, places: Sequence[Place], wanted: dict[Sha256, BlobInfo]) -> None:
        """Frames that belong to the release whole are copied; of others, contents."""
        anew: list[Place] = []
        ordered = sorted(places, key=lambda p: (p.file, p.seal_offset, p.offset))
        for _, group in groupby(ordered, key=lambda p: (p.file, p.seal_offset)):
            beside = list(group)
            first = beside[0]
            is_whole = sum(place.length for place in beside) == first.plain_size
            if first.kind is RecordKind.DELTA or not is_whole:
                anew += beside
                continue
            rows = [_row(place, wanted[place.sha256]) for place in beside]
            self._writer.add_frame(self._records.read(first), rows)
            self._done.update(row.sha256 for row in rows)
            self._progress.advance(files=len(beside), size=sum(row.size for row in rows))
        for place, data in self._store.blobs.read_places(anew):
            self._add(wanted[place.sha256], data)
            self._progress.advance(files=1, size=place.size)
        self._flush()

    def _add(self, info: BlobInfo, data: bytes) -> None:
        if self._pending and self._waiting + len(data) > frames.FRAME_SIZE:
            self._flush()
        self._pending.append((info, data))
        self._waiting += len(data)
        self._done.add(info.sha256)

    def _flush(self) -> None:
        if not self._pending:
            return
        rows, at = [], 0
        for info, _ in self._pending:
            rows.append(BlobRow(info.digest, info.sha256, info.size, 0, at, info.size))
            at += info.size
        record = frames.solid([data for _, data in self._pending]).sealed()
        self._writer.add_frame(record, rows)
        self._pending, self._waiting = [], 0


class _Records:
    """Sealed frames of packs, as they are; one file is open at a time."""

    def __init__(self, packs: Path) -> None:
        self._packs = packs
        self._file = ""
        self._fd = -1

    def __enter__(self) -> "_Records":
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def read(self, place: Place) -> bytes:
        """Raises DamagedError, OSError."""
        if place.file != self._file or self._fd < 0:
            self.__exit__()
            self._fd = open_pack(self._packs / place.file)
            self._file = place.file
        data = read_at(self._fd, place.seal_offset, SIZE + place.head_length + place.body_length)
        found = seal.parse(data, base=place.seal_offset)
        seal.check(found, memoryview(data)[SIZE + len(found.head) :])
        if (found.kind, found.number) != (place.kind, place.plain_size):
            raise DamagedError(f"record at byte {place.seal_offset} is another")
        return data


def _row(place: Place, info: BlobInfo) -> BlobRow:
    return BlobRow(info.digest, info.sha256, info.size, 0, place.offset, place.length)
