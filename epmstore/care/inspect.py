"""Looking into pack files: whether what their tables promise is there, frame by frame.

A file whose table can be read is checked against it; of one whose table is damaged, everything that
can still be identified is, and what the index remembers beyond that is lost.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import closing

import msgspec

from epmstore.blobs import frames
from epmstore.blobs.blob_store import PackStore
from epmstore.blobs.packlog import LogScan
from epmstore.blobs.records import SealedRecord, open_pack, read_record
from epmstore.blobs.salvage import SalvagedGroup, scan_frames
from epmstore.care.damage import DamageKind
from epmstore.care.pack_tables import Located, Tables, is_log
from epmstore.codec import decompress_delta
from epmstore.digest import BlobInfo, Sha256, identify, identify_stream
from epmstore.errors import BlobNotFoundError, DamagedError, TornError
from epmstore.pack_table import NO_FRAME, BlobRow
from epmstore.seal import RecordKind
from epmstore.store.store import Store

_TRAILER = 96


class FileFault(msgspec.Struct, frozen=True):
    """Something wrong with a file, and the contents (and parts) that it takes away there."""

    file: str
    kind: DamageKind
    detail: str
    contents: frozenset[Sha256] = frozenset()


class Choice(msgspec.Struct, frozen=True):
    """Which frames are read: a share of all, the same ones for the same seed, and all of some
    `files`. Shares of one seed that begin where others end have no frame in common.
    """

    share: float
    seed: int
    start: float = 0.0
    files: frozenset[str] = frozenset()

    def takes(self, file: str, offset: int) -> bool:
        if self.share >= 1 or file in self.files:
            return True
        mark = hashlib.sha256(f"{self.seed}:{file}:{offset}".encode()).digest()
        place = int.from_bytes(mark[:8]) / (1 << 64)
        return self.start <= place < self.start + self.share


class Inspector:
    """Checks the pack files of one store, which the index knows up to the lengths `known`, and
    which had `sizes` then: what comes behind that is not torn, it is newer. `read` counts frames
    that were decoded; `salvaged` are the contents of files whose table is damaged that can be read
    all the same.
    """

    def __init__(
        self,
        store: Store,
        tables: Tables,
        choice: Choice,
        known: Mapping[str, int],
        sizes: Mapping[str, int],
    ) -> None:
        self._store = store
        self._tables = tables
        self._choice = choice
        self._known = known
        self._sizes = sizes
        self.read = 0
        self.salvaged: set[Sha256] = set()
        self.notes: list[str] = []
        self._bases_seen: set[Sha256] = set()

    def inspect(self, file: str) -> list[FileFault]:
        """What is wrong with one file. Raises OSError."""
        error = self._tables.faults.get(file) or self._log_fault(file) or self._name_fault(file)
        if error is not None:
            return [self._broken(file, error)]
        with closing(PackStore(self._store.packs, self._tables)) as blobs:
            found = [
                fault
                for located in self._tables.groups[file]
                for fault in self._frames(located, blobs)
            ]
            return found + list(self._large(file, blobs))

    def _log_fault(self, file: str) -> DamagedError | None:
        scan: LogScan | None = self._tables.logs.get(file)
        if scan is None:
            return None
        known = self._known.get(file, 0)
        if scan.damage:
            return DamagedError(f"damaged at byte {scan.damage[0].start}")
        if scan.end < known:
            kind = TornError if scan.size < known else DamagedError
            return kind(f"damaged at byte {scan.end}: {known} bytes were acknowledged")
        torn = self._sizes.get(file, 0) - scan.end
        if torn > 0:
            self.notes.append(f"packs/{file}: {torn} bytes at the end were never acknowledged")
        return None

    def _name_fault(self, file: str) -> DamagedError | None:
        """A pack is named after its table."""
        if is_log(file):
            return None
        fd = open_pack(self._store.packs / file)
        try:
            head = read_record(fd, os.fstat(fd).st_size - _TRAILER).seal.head
        finally:
            os.close(fd)
        stem = file.rpartition("/")[2].partition(".")[0]
        return None if head.hex() == stem else DamagedError("holds what belongs in another file")

    def _broken(self, file: str, error: DamagedError) -> FileFault:
        readable = {row.sha256 for row in salvage(self._store, self._tables, file).group.blobs}
        self.salvaged |= readable
        expected = {sha256 for _, sha256, _, _ in self._store.contents.rows(file)}
        expected.update(copy.row.sha256 for copy in self._tables.rows(file))
        kind: DamageKind = "torn" if isinstance(error, TornError) else "damaged"
        return FileFault(file, kind, error.message, frozenset(expected - readable))

    def _frames(self, located: Located, blobs: PackStore) -> Iterator[FileFault]:
        rows: dict[int, list[BlobRow]] = {}
        for row in located.group.blobs:
            rows.setdefault(row.frame, []).append(row)
        fd = open_pack(self._store.packs / located.file)
        try:
            for number, frame in enumerate(located.group.frames):
                offset = located.start + frame.offset
                if not self._choice.takes(located.file, offset):
                    continue
                self.read += 1
                held = rows.get(number, [])
                try:
                    bad = _bad_rows(read_record(fd, offset), held, self._tables, blobs)
                except DamagedError:
                    bad = held
                    yield _fault(located.file, f"the frame at byte {offset} is damaged", bad)
                    continue
                if bad:
                    text = f"contents of the frame at byte {offset} are wrong"
                    yield _fault(located.file, text, bad)
                yield from self._bases(held, blobs)
        finally:
            os.close(fd)

    def _bases(self, rows: list[BlobRow], blobs: PackStore) -> Iterator[FileFault]:
        """Bases that are stored and cannot be read: their own frame may not have been chosen."""
        for base in {row.base for row in rows if row.base is not None} - self._bases_seen:
            self._bases_seen.add(base)
            if _read(self._tables, blobs, base) is None:
                for copy in self._tables.copies(base):
                    yield _fault(
                        copy.where.file, "the base of other contents is damaged", [copy.row]
                    )

    def _large(self, file: str, blobs: PackStore) -> Iterator[FileFault]:
        for copy in self._tables.rows(file):
            if copy.row.frame != NO_FRAME or not self._choice.takes(file, copy.row.size):
                continue
            if not _is_whole(blobs, copy.row):
                yield _fault(file, "a large content cannot be put together", [copy.row])


def salvage(store: Store, tables: Tables, file: str) -> SalvagedGroup:
    """Everything readable in a file, whatever its table says. Raises OSError."""
    with closing(PackStore(store.packs, tables)) as blobs:
        # what has no base in sight is looked for twice: it may lie in this very file
        first = scan_frames(store.packs / file)
        own = Tables()
        own.add(file, [Located(file, 0, first.group)])
        with closing(PackStore(store.packs, own)) as within:

            def find_base(prefix: bytes) -> Iterator[tuple[Sha256, bytes]]:
                for table, reader in ((own, within), (tables, blobs)):
                    for sha256 in table.contents():
                        if not sha256.startswith(prefix):
                            continue
                        content = _read(table, reader, sha256)
                        if content is not None:
                            yield sha256, content

            return scan_frames(store.packs / file, find_base=find_base) if first.lost else first


def _read(table: Tables, reader: PackStore, sha256: Sha256) -> bytes | None:
    """A content that is stored in full; None if it is not, or cannot be read."""
    for copy in table.copies(sha256):
        if copy.frame is None or not copy.is_full:
            continue
        try:
            ((_, content),) = reader.read_places([copy.place()])
        except (DamagedError, BlobNotFoundError):
            continue
        return content
    return None


def _bad_rows(
    record: SealedRecord, rows: list[BlobRow], tables: Tables, blobs: PackStore
) -> list[BlobRow]:
    """Those of a frame's contents that are not what their rows say. Raises DamagedError."""
    if record.seal.kind is RecordKind.DELTA:
        held = record.body
    else:
        held = frames.plain_bytes(record.seal, record.body)
    return [row for row in rows if not _is_right(row, held, tables, blobs)]


def _is_right(row: BlobRow, held: bytes, tables: Tables, blobs: PackStore) -> bool:
    data = held[row.offset : row.offset + row.length]
    if row.base is not None:
        base = _read(tables, blobs, row.base)
        if base is None:  # what is wrong is the base, and that is said of the base
            return True
        try:
            data = decompress_delta(data, base, row.size)
        except DamagedError:
            return False
    found = identify(data)
    return (found.sha256, found.size) == (row.sha256, row.size) and row.digest in (
        None,
        found.digest,
    )


def _is_whole(blobs: PackStore, row: BlobRow) -> bool:
    """Whether a large content can be put together of its parts."""
    if row.digest is None:
        return False
    info = BlobInfo(row.digest, row.sha256, row.size)
    try:
        return identify_stream(blobs.stream(info)) == info
    except (DamagedError, BlobNotFoundError):
        return False


def _fault(file: str, detail: str, rows: list[BlobRow]) -> FileFault:
    return FileFault(file, "damaged", detail, frozenset(row.sha256 for row in rows))
