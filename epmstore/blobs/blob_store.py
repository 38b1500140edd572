"""Stored contents by identity: packs and the pack log, as the index says where things lie.

The index is a cache and is believed in nothing but places: what comes out is always checked against
the SHA-256 that was asked for. May be used from several threads.
"""

import contextlib
import hashlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Self, TypeAlias

from epmstore import codec
from epmstore.blobs.interface import BlobTable
from epmstore.blobs.pack import PART_THRESHOLD, DeltaBase
from epmstore.blobs.reader import FrameReader
from epmstore.digest import BlobInfo, Sha256, check_no_collision
from epmstore.errors import BlobNotFoundError, DamagedError, DigestMismatchError, UsageError
from epmstore.pack_table import DeltaFrame, Place
from epmstore.prefetch import prefetch
from epmstore.seal import RecordKind

_Placed: TypeAlias = tuple[Place, Place | None]
"""Where a content lies, and where its base does."""


class PackStore:
    """A BlobReader over `packs`, and what writers need to know of what is stored."""

    def __init__(self, packs: Path, table: BlobTable) -> None:
        self._table = table
        self._reader = FrameReader(packs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close files and drop what was decoded; a later read opens again."""
        self._reader.close()

    def has(self, info: BlobInfo) -> bool:
        """Whether the index knows a place of this content. Does not read it."""
        return _is_at(info, self._table.places([info.sha256]).get(info.sha256))

    def missing(self, infos: Iterable[BlobInfo]) -> list[BlobInfo]:
        """Those that `has` would deny, and those of which a file that they need is lost."""
        wanted = list(infos)
        # What was merged into another pack since the look-up has another place by now.
        gone = set(self._not_there(self._not_there(wanted)))
        return [info for info in wanted if info in gone]

    def _not_there(self, infos: list[BlobInfo]) -> list[BlobInfo]:
        known = self._table.places([info.sha256 for info in infos])
        places = known
        while more := {one for place in places.values() for one in _leans_on(place)} - known.keys():
            places = self._table.places(list(more))
            known.update(places)
            if len(places) < len(more):
                break
        there = {name: self._reader.is_there(name) for name in {p.file for p in known.values()}}

        def is_whole(sha256: Sha256) -> bool:
            place = known.get(sha256)
            return (
                place is not None
                and (not place.file or there[place.file])
                and all(map(is_whole, _leans_on(place)))
            )

        return [i for i in infos if not (_is_at(i, known.get(i.sha256)) and is_whole(i.sha256))]

    def read(self, info: BlobInfo) -> bytes:
        """The whole content. Raises BlobNotFoundError, DamagedError."""
        return b"".join(self.stream(info))

    def read_part(self, sha256: Sha256) -> bytes:
        """A content that is known by its witness only. Raises BlobNotFoundError, DamagedError."""
        return self._read(self._place(sha256))

    def stream(self, info: BlobInfo) -> Iterator[bytes]:
        """The content in pieces, in bounded memory; the last piece comes only if all were right.

        Raises BlobNotFoundError, DamagedError.
        """
        place = self._places([info])[info.sha256]
        if place.kind is not None:
            ((_, data),) = self.read_together([place])
            yield data
            return
        whole = hashlib.sha256()
        last = b""
        with contextlib.closing(self._part_contents(place)) as contents:
            for data in contents:
                if last:
                    yield last
                last = data
                whole.update(last)
        if whole.digest() != info.sha256:
            raise _mismatch(info.sha256)
        yield last

    def read_many(self, wanted: Iterable[BlobInfo]) -> Iterator[tuple[BlobInfo, bytes]]:
        """Each content once, in the order that decodes each frame once, not in the order given.
        What is not stored is noticed before the first one.

        Contents above the part threshold must be streamed instead. Raises BlobNotFoundError,
        DamagedError, UsageError.
        """
        infos = {info.sha256: info for info in wanted}
        for place, data in self.read_together(self._places(infos.values()).values()):
            yield infos[place.sha256], data

    def read_places(self, places: Iterable[Place]) -> Iterator[tuple[Place, bytes]]:
        """Like `read_many`, for contents whose places are already known, where others of the same
        frames may be read soon.
        """
        for place, base in self._in_reading_order(places):
            yield place, self._read(place, base)

    def read_together(self, places: Iterable[Place]) -> Iterator[tuple[Place, bytes]]:
        """The same, where few others are going to be: each frame is decoded up to the last content
        that is wanted.
        """
        for _, placed in groupby(self._in_reading_order(places), _frame):
            together = [(place, base, base or place) for place, base in placed]
            end = max(plain.offset + plain.length for _, _, plain in together)
            for place, base, _ in together:
                yield place, self._read(place, base, end)

    def differences(self, wanted: Mapping[Sha256, Sha256]) -> dict[Sha256, DeltaFrame]:
        """Of contents, each with another one that the caller has: those that are stored as their
        difference to just that. What cannot be read is left out.
        """
        places = self._table.places(list(wanted)).values()
        found: dict[Sha256, DeltaFrame] = {}
        for place in sorted(places, key=lambda one: (one.file, one.seal_offset, one.offset)):
            if place.base is None or place.base != wanted[place.sha256]:
                continue
            with contextlib.suppress(OSError, DamagedError):
                frame = self._reader.frame(place)[place.offset : place.offset + place.length]
                found[place.sha256] = DeltaFrame(place.sha256, place.size, place.base, frame)
        return found

    def part_base(self, sha256: Sha256) -> Place | None:
        """The same of a content that is known by its witness only."""
        return self._bases_of([sha256]).get(sha256)

    def bases_for(self, infos: Sequence[BlobInfo]) -> dict[BlobInfo, Place]:
        """What new versions of stored contents should be made deltas against: the content itself
        if it is stored in full, else its own base.

        Left out is what is not stored or too large, and a base whose deltas already add up to what
        it takes itself: then it is time for a full copy.
        """
        bases = self._bases_of([info.sha256 for info in infos])
        return {info: bases[info.sha256] for info in infos if info.sha256 in bases}

    def _bases_of(self, wanted: Sequence[Sha256]) -> dict[Sha256, Place]:
        places = self._table.places(wanted)
        bases = self._table.places([place.base for place in places.values() if place.base])
        worth: dict[Sha256, bool] = {}
        found: dict[Sha256, Place] = {}
        for sha256, place in places.items():
            if place.base is not None:
                if place.base not in bases:
                    continue
                place = bases[place.base]
            if not _can_be_base(place):
                continue
            if place.sha256 not in worth:
                worth[place.sha256] = self._table.delta_bytes(place.sha256) < stored_share(place)
            if worth[place.sha256]:
                found[sha256] = place
        return found

    def part_bases(self, info: BlobInfo) -> "OldParts | None":
        """What parts of a new version of a large content may be made deltas against."""
        place = self._table.places([info.sha256]).get(info.sha256)
        return None if place is None or not place.parts else OldParts(self, place.parts)

    def check_no_collision(self, info: BlobInfo) -> None:
        """Raises CollisionError if another content with this address is stored."""
        for known in self._table.with_digest(info.digest):
            check_no_collision(known, info)

    def _places(self, infos: Iterable[BlobInfo]) -> dict[Sha256, Place]:
        wanted = {info.sha256: info for info in infos}
        places = self._table.places(list(wanted))
        for info in wanted.values():
            place = places.get(info.sha256)
            if place is None or not _is_at(info, place):
                raise _not_found(info.sha256, digest=info.digest.hex())
        return places

    def _in_reading_order(self, places: Iterable[Place]) -> list[_Placed]:
        found = list(places)
        bases = self._bases(found)
        placed = [(place, None if place.base is None else bases[place.base]) for place in found]
        placed.sort(key=_reading_order)
        return placed

    def _place(self, sha256: Sha256) -> Place:
        place = self._table.places([sha256]).get(sha256)
        if place is None:
            raise _not_found(sha256)
        return place

    def _bases(self, places: Sequence[Place]) -> dict[Sha256, Place]:
        wanted = list({place.base for place in places if place.base is not None})
        bases = self._table.places(wanted)
        for sha256 in wanted:
            if sha256 not in bases:
                raise _not_found(sha256)
        return bases

    def _part_contents(self, place: Place) -> Generator[bytes, None, None]:
        """The parts of a large content in order, each checked. They are decoded ahead by a thread,
        which asks the index for nothing: the reader may hold its lock.
        """
        parts = self._parts(place)
        bases = self._bases(parts)
        placed = [(part, None if part.base is None else bases[part.base]) for part in parts]
        calls = (partial(self._unless_moved, part, base) for part, base in placed)
        with contextlib.closing(prefetch(calls)) as contents:
            for part, data in zip(parts, contents, strict=True):
                yield self._moved(part) if data is None else data

    def _parts(self, place: Place) -> list[Place]:
        parts = self._table.places(list(dict.fromkeys(place.parts)))
        for sha256 in place.parts:
            if sha256 not in parts:
                raise _not_found(sha256)
        return [parts[sha256] for sha256 in place.parts]

    def _read(self, place: Place, base: Place | None = None, wanted: int | None = None) -> bytes:
        """One content, checked. `wanted` are plain bytes of its frame or of its base's, as for
        `FrameReader.frame`.
        """
        data = self._unless_moved(place, base, wanted)
        return self._moved(place) if data is None else data

    def _moved(self, place: Place) -> bytes:
        """A content whose pack was merged into another since the look-up."""
        place = self._place(place.sha256)
        base = None if place.base is None else self._place(place.base)
        data = self._unless_moved(place, base)
        if data is None:
            raise _not_found(place.sha256, file=place.file)
        return data

    def _unless_moved(
        self, place: Place, base: Place | None, wanted: int | None = None
    ) -> bytes | None:
        """One content, checked; None if its file or its base's is not there any more."""
        try:
            return self._content(place, base, wanted)
        except FileNotFoundError:
            return None

    def _content(self, place: Place, base: Place | None, wanted: int | None = None) -> bytes:
        if place.kind is None:
            raise UsageError("a large content is streamed, not read with others")
        has_others = place.length < place.plain_size
        frame = self._reader.frame(place, None if base else wanted, keep=has_others)
        data = frame[place.offset : place.offset + place.length]
        if base is not None:
            data = codec.decompress_delta(data, self._full(base, wanted), place.size)
        if len(data) != place.size or hashlib.sha256(data).digest() != place.sha256:
            raise _mismatch(place.sha256)
        return data

    def _full(self, base: Place, wanted: int | None = None) -> bytes:
        if base.kind is None or base.kind is RecordKind.DELTA:
            raise DamagedError(
                f"the base {base.sha256.hex()} is not stored in full",
                hint="run `epmstore fsck`",
            )
        return self._reader.frame(base, wanted)[base.offset : base.offset + base.length]


class OldParts:
    """The parts of an older version of a large content: see PartBases. A part is likely to be like
    the one at its place; once one was met elsewhere, all that follow have moved as far.
    """

    def __init__(self, store: PackStore, parts: Sequence[Sha256]) -> None:
        self._store = store
        self._parts = parts
        self._places = {sha256: number for number, sha256 in enumerate(parts)}
        self._moved = 0

    def met(self, number: int, sha256: Sha256) -> None:
        if sha256 in self._places:
            self._moved = number - self._places[sha256]

    def base(self, number: int) -> DeltaBase | None:
        if not 0 <= number - self._moved < len(self._parts):
            return None
        place = self._store.part_base(self._parts[number - self._moved])
        if place is None:
            return None
        ((_, data),) = self._store.read_places([place])
        return place.sha256, data


def stored_share(place: Place) -> int:
    """About how many stored bytes a content takes of its frame."""
    return place.body_length * place.size // max(place.plain_size, 1)


def _can_be_base(place: Place) -> bool:
    is_full = place.kind is not None and place.kind is not RecordKind.DELTA
    return is_full and 0 < place.size <= PART_THRESHOLD


def _leans_on(place: Place) -> tuple[Sha256, ...]:
    """What a content is made of, or a difference to."""
    return place.parts if place.base is None else (place.base, *place.parts)


def _is_at(info: BlobInfo, place: Place | None) -> bool:
    return place is not None and place.size == info.size


def _frame(placed: _Placed) -> tuple[str, int]:
    """The one that holds the plain bytes."""
    plain = placed[1] or placed[0]
    return plain.file, plain.seal_offset


def _reading_order(placed: _Placed) -> tuple[str, int, str, int, int]:
    """By the frame that the content or its base lies in, so that each is decoded once."""
    place, base = placed
    plain = base or place
    return plain.file, plain.seal_offset, place.file, place.seal_offset, place.offset


def _not_found(sha256: Sha256, **data: str) -> BlobNotFoundError:
    return BlobNotFoundError(
        f"no content with the SHA-256 {sha256.hex()} is stored",
        hint="run `epmstore fsck`",
        sha256=sha256.hex(),
        **data,
    )


def _mismatch(sha256: Sha256) -> DigestMismatchError:
    return DigestMismatchError(
        f"content with the SHA-256 {sha256.hex()} does not match its digest",
        hint="run `epmstore fsck --read-data --repair`",
        sha256=sha256.hex(),
    )
