"""A BlobTable in a dictionary, and a store that grows group by group."""

import random
from collections.abc import Sequence
from pathlib import Path

from epmstore.blobs.blob_store import PackStore
from epmstore.blobs.pack import GroupWriter, WrittenGroup, publish_pack
from epmstore.blobs.reader import place_of
from epmstore.digest import BlobInfo, Digest, Sha256, identify
from epmstore.pack_table import GroupTable, Place


class MemoryTable:
    """What the index does. A content known before keeps its place, unless it was a delta and here
    it is in full.
    """

    def __init__(self) -> None:
        self.found: dict[Sha256, Place] = {}
        self.infos: dict[Digest, list[BlobInfo]] = {}
        self.lookups = 0

    def add_group(self, file: str, start: int, group: GroupTable) -> None:
        for row in group.blobs:
            known_place = self.found.get(row.sha256)
            if known_place is None or (known_place.base and not row.base):
                self.found[row.sha256] = place_of(file, start, group, row)
            if row.digest is not None:
                known = self.infos.setdefault(row.digest, [])
                info = BlobInfo(row.digest, row.sha256, row.size)
                if info not in known:
                    known.append(info)

    def forget_file(self, file: str) -> None:
        self.found = {key: place for key, place in self.found.items() if place.file != file}

    def with_digest(self, digest: Digest) -> list[BlobInfo]:
        return [info for info in self.infos.get(digest, []) if info.sha256 in self.found]

    def places(self, wanted: Sequence[Sha256]) -> dict[Sha256, Place]:
        self.lookups += 1
        return {sha256: self.found[sha256] for sha256 in wanted if sha256 in self.found}

    def delta_bytes(self, base: Sha256) -> int:
        return sum(place.length for place in self.found.values() if place.base == base)


class Shelf:
    """A folder of packs, its table, and the reader over both."""

    def __init__(self, folder: Path) -> None:
        self.packs = folder / "packs"
        self.packs.mkdir()
        self.quarantine = folder / "quarantine"
        self.table = MemoryTable()
        self.store = PackStore(self.packs, self.table)

    def writer(self, **sizes: int) -> GroupWriter:
        return GroupWriter(self.packs, **sizes)

    def publish(self, written: WrittenGroup) -> str:
        group = written.group
        file = publish_pack(self.packs, written)
        self.table.add_group(file, 0, group)
        return file

    def keep(self, *contents: bytes, **sizes: int) -> str:
        """A pack with these contents."""
        return self.publish(group_of(self.packs, *contents, **sizes))


def group_of(packs: Path, *contents: bytes, **sizes: int) -> WrittenGroup:
    with GroupWriter(packs, **sizes) as writer:
        for data in contents:
            writer.add(identify(data), data)
        return writer.finish()


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that do not compress, the same each time."""
    return random.Random(seed).randbytes(size)


def text(lines: int, seed: int = 0) -> bytes:
    """Bytes that compress, the same each time."""
    made = random.Random(seed)
    return b"".join(b"line %d of %d\n" % (n, made.randrange(1000)) for n in range(lines))
