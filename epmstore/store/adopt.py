"""Frames of others come into a store by its one door: as they are, where that is right.

Rules: a frame is decoded, and every content in it has the size and both digests that are said of it
(blobs/foreign.py), before any of it is taken. A plain frame of which most is new here is copied as
it is; of one that is mostly known, the new contents are stored anew. A delta is taken as it is only
if its base is stored in full, here or in this very deposit: there are no deltas on deltas, and one
that were would be stored without complaint and read never. Any other delta is decoded, and its
content stored in full. What was purged here is not stored.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from epmstore.blobs.foreign import Foreign, check_rows, frame_row, open_frame, read_rows
from epmstore.blobs.merge import is_wasteful
from epmstore.digest import BlobInfo, Hasher, Sha256
from epmstore.errors import BadPackageError, BlobNotFoundError
from epmstore.pack_table import NO_FRAME, BlobRow, Place
from epmstore.seal import RecordKind
from epmstore.store.deposit import Deposit

AdoptedPart: TypeAlias = Foreign | Sha256
"""A part of a large content: sealed, or one that is stored here."""
MOST_BASES = 64 << 20
"""Plain bytes of contents that are kept at hand, because deltas on them are going to follow."""


class Adopter:
    """Takes frames of others into a deposit. Plain frames come before the deltas on them."""

    def __init__(self, deposit: Deposit, bases: Iterable[Sha256] = ()) -> None:
        """`bases` are what deltas that follow were made against, as far as they follow, too."""
        self._deposit = deposit
        self._purged = deposit.store.contents.purged()
        self._taken: set[Sha256] = set()
        self._full: set[Sha256] = set()
        """Of what was taken, what is no delta."""
        self._wanted = frozenset(bases)
        self._bases: dict[Sha256, bytes] = {}
        self._held = 0
        self._places: Mapping[Sha256, Place] = {}
        """Where the bases of the frame in hand are stored, looked up together."""

    def adopt(self, foreign: Foreign) -> None:
        """Raises BadPackageError with the reason, CollisionError, BlobNotFoundError for a delta on
        what is nowhere, OSError.
        """
        self._take(foreign)

    def adopt_large(self, info: BlobInfo, parts: Iterable[AdoptedPart]) -> None:
        """A content that lies in parts, in order. Raises as `adopt`."""
        self._deposit.check(info)
        whole, names = Hasher(), []
        for part in parts:
            if isinstance(part, Foreign):
                ((name, data),) = self._take(part).items()
            else:
                name, data = part, self._stored(part)
            names.append(name)
            whole.update(data)
            if whole.info().size > info.size:
                break
        if whole.info() != info:
            raise BadPackageError(f"what is said to be {info.sha256.hex()} is another content")
        row = BlobRow(info.digest, info.sha256, info.size, NO_FRAME, 0, 0, None, tuple(names))
        for fresh in self._fresh([row]):
            self._deposit.writer.copy_large(fresh)
            self._taken.add(info.sha256)

    def _take(self, foreign: Foreign) -> Mapping[Sha256, bytes]:
        found, body = open_frame(foreign.record)
        check_rows(found, foreign.rows)
        read: dict[Sha256, bytes] = {}
        bases = {row.base for row in foreign.rows if row.base is not None}
        self._places = self._deposit.store.contents.places(list(bases - self._full))
        for row, data in read_rows(found, body, foreign.rows, self._base):
            read[row.sha256] = data
            if row.sha256 in self._wanted:
                self._hold(row.sha256, data)
        self._deposit.check(*(info for row in foreign.rows if (info := _info(row)) is not None))
        fresh = self._fresh(foreign.rows)
        if found.kind is RecordKind.DELTA:
            for row in fresh:
                self._take_delta(row, bytes(body[row.offset : row.offset + row.length]), read)
        elif self._is_better_anew(found.number, foreign.rows, fresh):
            for row in fresh:
                self._add(row, read[row.sha256])
        elif fresh:
            self._deposit.roll()
            self._deposit.writer.copy_frame(frame_row(found), foreign.record, fresh)
            self._note(fresh)
        return read

    def _fresh(self, rows: Sequence[BlobRow]) -> list[BlobRow]:
        """Those that are not stored, and may be."""
        here = self._deposit.store.contents.places([row.sha256 for row in rows])
        return [
            row
            for row in rows
            if row.sha256 not in here
            and row.sha256 not in self._taken
            and _info(row) not in self._purged
        ]

    def _is_better_anew(self, size: int, rows: Sequence[BlobRow], fresh: Sequence[BlobRow]) -> bool:
        """Whether contents are stored without the frame that they came in: it has much that is here
        already, or something that was purged here.
        """
        known = size - sum(row.size for row in fresh)
        return is_wasteful(known, size) or any(_info(row) in self._purged for row in rows)

    def _note(self, rows: Iterable[BlobRow]) -> None:
        """They are taken, in full."""
        for row in rows:
            self._taken.add(row.sha256)
            self._full.add(row.sha256)

    def _take_delta(self, row: BlobRow, frame: bytes, read: Mapping[Sha256, bytes]) -> None:
        assert row.base is not None, "it is a delta"
        if self._is_in_full(row.base):
            self._deposit.roll()
            self._deposit.writer.copy_delta(row, frame)
            self._taken.add(row.sha256)
        else:
            self._add(row, read[row.sha256])

    def _add(self, row: BlobRow, data: bytes) -> None:
        self._deposit.roll()
        info = _info(row)
        if info is None:
            self._deposit.writer.add_part(row.sha256, data)
        else:
            self._deposit.writer.add(info, data)
        self._note([row])

    def _is_in_full(self, sha256: Sha256) -> bool:
        if sha256 in self._full:
            return True
        place = self._places.get(sha256)
        return place is not None and place.kind not in (None, RecordKind.DELTA)

    def _hold(self, sha256: Sha256, data: bytes) -> None:
        if sha256 in self._bases:
            return
        self._held += len(data)
        if self._held > MOST_BASES:
            raise BadPackageError(f"its deltas are on more than {MOST_BASES:,} bytes")
        self._bases[sha256] = data

    def _base(self, sha256: Sha256) -> bytes:
        """The content that a delta was made against."""
        data = self._bases.get(sha256)
        return self._stored(sha256) if data is None else data

    def _stored(self, sha256: Sha256) -> bytes:
        place = self._places.get(sha256)
        if place is None:  # a part that is named, and no base
            place = self._deposit.store.contents.places([sha256]).get(sha256)
        if place is None or place.kind is None:
            raise BlobNotFoundError(
                f"no content with the SHA-256 {sha256.hex()} is stored", sha256=sha256.hex()
            )
        ((_, data),) = self._deposit.store.blobs.read_places([place])
        return data


def _info(row: BlobRow) -> BlobInfo | None:
    return None if row.digest is None else BlobInfo(row.digest, row.sha256, row.size)
