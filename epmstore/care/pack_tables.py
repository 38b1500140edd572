"""The tables of all packs and pack logs, read from the files themselves: what lies where, in truth.

The index holds one place of each content; here are all copies, so that a collection or a check
never depends on what the index says. May be given to a PackStore as its table.
"""

import os
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from epmstore.blobs.packlog import LogScan, read_groups
from epmstore.blobs.reader import place_of
from epmstore.blobs.records import load_group, open_pack
from epmstore.digest import BlobInfo, Digest, Sha256
from epmstore.errors import DamagedError
from epmstore.pack_table import NO_FRAME, BlobRow, FrameRow, GroupTable, Place
from epmstore.store.replay import pack_files
from epmstore.store.store import Store


class Located(msgspec.Struct, frozen=True):
    """A group and where it begins: in a file below `packs/`, at an offset."""

    file: str
    start: int
    group: GroupTable


class StoredCopy(msgspec.Struct, frozen=True, gc=False):
    """One of the places of a content."""

    where: Located
    row: BlobRow

    @property
    def frame(self) -> FrameRow | None:
        """None for a large content."""
        return None if self.row.frame == NO_FRAME else self.where.group.frames[self.row.frame]

    @property
    def is_full(self) -> bool:
        return self.row.base is None

    def place(self) -> Place:
        return place_of(self.where.file, self.where.start, self.where.group, self.row)


class Tables:
    """`groups`: of each file that can be read; `faults`: why others cannot; `logs`: how the logs
    were found; `sizes` in bytes of all.
    """

    def __init__(self) -> None:
        self.groups: dict[str, list[Located]] = {}
        self.faults: dict[str, DamagedError] = {}
        self.logs: dict[str, LogScan] = {}
        self.sizes: dict[str, int] = {}
        self._copies: dict[Sha256, list[StoredCopy]] = {}

    def add(self, file: str, groups: Iterable[Located]) -> None:
        found = self.groups.setdefault(file, [])
        for located in groups:
            found.append(located)
            for row in located.group.blobs:
                self._copies.setdefault(row.sha256, []).append(StoredCopy(located, row))

    def drop(self, file: str) -> None:
        """The file is not there any more."""
        for copy in list(self.rows(file)):
            sha256 = copy.row.sha256
            rest = [other for other in self._copies.get(sha256, ()) if other.where.file != file]
            if rest:
                self._copies[sha256] = rest
            else:
                self._copies.pop(sha256, None)
        for known in (self.groups, self.faults, self.logs, self.sizes):
            known.pop(file, None)

    def rows(self, file: str) -> Iterator[StoredCopy]:
        """Everything that a file holds."""
        for located in self.groups.get(file, ()):
            for row in located.group.blobs:
                yield StoredCopy(located, row)

    def copies(self, sha256: Sha256) -> Sequence[StoredCopy]:
        """Every place of a content, full ones first."""
        return sorted(self._copies.get(sha256, ()), key=lambda copy: not copy.is_full)

    def contents(self) -> Iterable[Sha256]:
        return self._copies.keys()

    def info(self, sha256: Sha256) -> BlobInfo | None:
        """The identity of a content; None for a part."""
        for copy in self._copies.get(sha256, ()):
            if copy.row.digest is not None:
                return BlobInfo(copy.row.digest, sha256, copy.row.size)
        return None

    def leans_on(self, sha256: Sha256) -> set[Sha256]:
        """What must be there so that every copy of a content can be read: bases and parts."""
        found: set[Sha256] = set()
        for copy in self._copies.get(sha256, ()):
            found.update(leans_on(copy.row))
        return found

    # What a PackStore asks.

    def with_digest(self, digest: Digest) -> list[BlobInfo]:
        found = {self.info(sha256) for sha256 in self._copies}
        return [info for info in found if info is not None and info.digest == digest]

    def places(self, wanted: Sequence[Sha256]) -> dict[Sha256, Place]:
        return {s: self.copies(s)[0].place() for s in wanted if s in self._copies}

    def delta_bytes(self, base: Sha256) -> int:
        copies = [copy for found in self._copies.values() for copy in found]
        return sum(copy.row.length for copy in copies if copy.row.base == base)


def leans_on(row: BlobRow) -> set[Sha256]:
    """What a content cannot be read without: its base, its parts."""
    return {*row.parts, *(() if row.base is None else (row.base,))}


def read_tables(store: Store, files: Iterable[str] | None = None) -> Tables:
    """Of these files, or of all. Within `keep_packs`. Raises OSError."""
    tables = Tables()
    for file in pack_files(store) if files is None else files:
        read_table(store, tables, file)
    return tables


def read_table(store: Store, tables: Tables, file: str) -> None:
    """Enter one file, or what is wrong with it."""
    tables.sizes[file] = os.lstat(store.packs / file).st_size
    try:
        if is_log(file):
            fd = open_pack(store.packs / file)
            try:
                scan = read_groups(fd)
            finally:
                os.close(fd)
            tables.logs[file] = scan
            tables.add(file, [Located(file, found.start, found.group) for found in scan.groups])
        else:
            tables.add(file, [Located(file, 0, load_group(store.packs / file))])
    except DamagedError as error:
        tables.faults[file] = error


def is_log(file: str) -> bool:
    return file.startswith("log/")
