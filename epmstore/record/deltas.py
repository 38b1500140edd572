"""Storing contents that were read: each once, as its difference to what its path had before where
that pays.

A few are stored together, so that what lies in one frame and is to be a base is decoded once, and
only as far as it is needed.
"""

import msgspec

from epmstore.blobs.pack import GroupWriter
from epmstore.digest import BlobInfo, Sha256
from epmstore.pack_table import DeltaFrame, Place
from epmstore.relpath import RelPath
from epmstore.store.dedup import Dedup
from epmstore.store.reverse_deltas import applied, reverse_delta

TOGETHER = 4 << 20
"""Plain bytes that wait, about."""
DELTA_FROM = 512
"""Contents below this many bytes are not worth a delta."""


class Fresh(msgspec.Struct, frozen=True, gc=False):
    """A content that `path` has now, and the one that it had `before` (None: none)."""

    path: RelPath
    info: BlobInfo
    data: bytes
    before: BlobInfo | None


class DeltaWriter:
    """Gives contents to a writer unless they are stored. What waits is stored by `flush`."""

    def __init__(
        self, dedup: Dedup, writer: GroupWriter, back: list[DeltaFrame] | None = None
    ) -> None:
        """What leads back to contents of before, where that is cheap to say, is added to `back`."""
        self.dedup = dedup
        self._back = back
        self.writer = writer
        self._akin: list[tuple[Fresh, BlobInfo]] = []
        self._size = 0

    def add(self, fresh: Fresh) -> None:
        """Raises OSError, DamagedError."""
        if not self.dedup.claim(fresh.info, fresh.path):
            return
        if fresh.before is None or not _is_akin(fresh.before, fresh.info):
            self.writer.add(fresh.info, fresh.data)
            return
        self._akin.append((fresh, fresh.before))
        self._size += len(fresh.data)
        if self._size >= TOGETHER:
            self.flush()

    def flush(self) -> None:
        """Nothing waits any more. Raises OSError, DamagedError."""
        akin, self._akin, self._size = self._akin, [], 0
        if not akin:
            return
        bases = self.dedup.blobs.bases_for([before for _, before in akin])
        users: dict[Sha256, list[Fresh]] = {}
        places: dict[Sha256, Place] = {}
        for fresh, before in akin:
            place = bases.get(before)
            if place is None:
                self.writer.add(fresh.info, fresh.data)
            else:
                places[place.sha256] = place
                users.setdefault(place.sha256, []).append(fresh)
        for place, base in self.dedup.blobs.read_together(places.values()):
            for fresh in users[place.sha256]:
                self.writer.add_delta(fresh.info, fresh.data, place.sha256, base)
                if self._back is not None:
                    self._note_way_back(fresh, place.sha256, base)

    def _note_way_back(self, fresh: Fresh, sha256: Sha256, base: bytes) -> None:
        """The old content is at hand, or its difference to what is at hand is stored."""
        assert self._back is not None and fresh.before is not None, "its caller looked"
        data = base
        if fresh.before.sha256 != sha256:
            stored = self.dedup.blobs.differences({fresh.before.sha256: sha256})
            known = applied(tuple(stored.values()), base, fresh.before)
            if known is None:
                return
            data = known
        found = reverse_delta(fresh.before, data, fresh.info.sha256, fresh.data)
        if found is not None:
            self._back.append(found)


def _is_akin(before: BlobInfo, after: BlobInfo) -> bool:
    """Whether sizes make it likely that one is an edit of the other, and a difference pays."""
    if after.size < DELTA_FROM:
        return False
    return before.size <= 8 * after.size and after.size <= 64 * max(before.size, 1)
