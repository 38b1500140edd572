"""What a package from elsewhere says that it holds: the tables `blobs` and `parts`, read without
trust. Pure but for the database.

A content is in it only if a release of its lines names it, with the very size and SHA-1; a part
only if a large content has it; a frame only if something lies in it.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from epmstore.digest import BlobInfo, Digest, Sha256
from epmstore.errors import BadPackageError
from epmstore.package.messages import Blob
from epmstore.refcat.checker import Checker
from epmstore.relpath import RelPath

MAX_ROWS: Final = 1 << 17
"""Contents in one frame."""
SMALLEST_PART: Final = 1 << 20
"""Bytes of a part of a large content, on average."""
_Sha256: TypeAlias = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Sha1: TypeAlias = Annotated[bytes, Meta(min_length=20, max_length=20)]
_Number: TypeAlias = Annotated[int, Meta(ge=0, le=(1 << 53) - 1)]
_Lies: TypeAlias = tuple[int, Blob]


class _Row(msgspec.Struct, frozen=True, array_like=True):
    """A row of `blobs`."""

    sha256: _Sha256
    sha1: _Sha1 | None
    size: _Number
    frame: _Number | None
    offset: _Number
    length: _Number
    base: _Sha256 | None


class _PartRow(msgspec.Struct, frozen=True, array_like=True):
    blob: _Sha256
    n: _Number
    sha256: _Sha256


class Holding:
    """Raises BadPackageError with the first fault."""

    def __init__(self, db: sqlite3.Connection, checker: Checker) -> None:
        self._named = {info.sha256: info for info in checker.contents}
        self._wanted = [
            (entry.path, entry.content)
            for entry in checker.tree()
            if entry.content is not None and entry.path_class != "secret"
        ]
        self._places: dict[bytes, _Lies] = {}
        self.large: list[Blob] = []
        parts = _read_parts(db)
        self._part_names = {part for found in parts.values() for part in found}
        for row in db.execute("SELECT sha256, sha1, size, frame, offset, length, base FROM blobs"):
            self._add(row, parts)
        if parts:
            raise BadPackageError(f"parts of {next(iter(parts)).hex()}, which is not in it")
        self._check_bases()
        self._frames = self._by_frame()
        there = {row[0] for row in db.execute("SELECT id FROM frames")}
        odd = min(there ^ set(self._frames), default=None)
        if odd is not None:
            what = "holds nothing" if odd in there else "is not in it"
            raise BadPackageError(f"frame {odd} {what}")

    @property
    def bases(self) -> list[bytes]:
        """What deltas in it were made against."""
        found = (blob.base for _, blob in self._places.values())
        return sorted({base for base in found if base is not None})

    def lacking(self) -> Iterator[tuple[RelPath, BlobInfo]]:
        """Contents of the newest release that are not in it, each once, with one of its paths."""
        seen = {blob.sha256 for blob in self.large} | set(self._places)
        for path, info in self._wanted:
            if info.sha256 not in seen:
                seen.add(info.sha256)
                yield path, info

    def bases_elsewhere(self) -> Iterator[BlobInfo]:
        """What deltas in it were made against, and is not in it; parts are not known here."""
        for base in self.bases:
            info = self._named.get(Sha256(base))
            if info is not None and base not in self._places:
                yield info

    def frames(self) -> Iterator[tuple[int, list[Blob]]]:
        """Frames with contents that are files of their own, deltas last."""
        deltas = []
        for number, blobs in sorted(self._frames.items()):
            if any(blob.sha1 is None for blob in blobs):
                if len(blobs) > 1:
                    raise BadPackageError(f"frame {number} holds a part, and something else")
                continue
            if any(blob.base is not None for blob in blobs):
                deltas.append((number, blobs))
            else:
                yield number, blobs
        yield from deltas

    def part(self, sha256: bytes) -> _Lies | None:
        """Where a part lies; None: not in it."""
        return self._places.get(sha256)

    def _add(self, said: Sequence[object], parts: dict[bytes, list[bytes]]) -> None:
        row = _read(said)
        self._check_named(row.sha256, row.sha1, row.size)
        if row.frame is not None:
            lies = (row.offset, row.length, row.base)
            self._places[row.sha256] = row.frame, Blob(row.sha256, row.sha1, row.size, *lies)
            return
        if row.sha1 is None or row.base is not None:
            raise BadPackageError(f"{row.sha256.hex()} lies nowhere")
        names = parts.pop(row.sha256, [])
        if not names or len(names) > row.size // SMALLEST_PART + 1:
            raise BadPackageError(f"{row.sha256.hex()} does not have parts as one of its size has")
        self.large.append(Blob(row.sha256, row.sha1, row.size, parts=names))

    def _check_named(self, sha256: bytes, sha1: bytes | None, size: int) -> None:
        if sha1 is None:
            if sha256 not in self._part_names:
                raise BadPackageError(f"{sha256.hex()} is part of nothing in it")
        elif self._named.get(Sha256(sha256)) != BlobInfo(Digest(sha1), Sha256(sha256), size):
            raise BadPackageError(f"no release has the content {sha256.hex()}")

    def _check_bases(self) -> None:
        """A delta is on a content of a release, or on what may be a part, that is no delta here."""
        for _, blob in self._places.values():
            if blob.base is None:
                continue
            _, base = self._places.get(blob.base, (0, None))
            if base is not None and base.base is not None:
                raise BadPackageError(f"{blob.sha256.hex()} is a difference to a difference")
            if blob.sha1 is not None and Sha256(blob.base) not in self._named:
                raise BadPackageError(f"{blob.sha256.hex()} is a difference to what no release has")

    def _by_frame(self) -> dict[int, list[Blob]]:
        found: dict[int, list[Blob]] = {}
        for number, blob in self._places.values():
            found.setdefault(number, []).append(blob)
        for number, blobs in found.items():
            blobs.sort(key=lambda blob: blob.offset)
            if len(blobs) > MAX_ROWS:
                raise BadPackageError(f"frame {number} holds more than {MAX_ROWS:,} contents")
            if len({blob.base is None for blob in blobs}) > 1:
                raise BadPackageError(f"frame {number} holds deltas, and something else")
        return found


def _read(said: Sequence[object]) -> _Row:
    try:
        return msgspec.convert(said, _Row)
    except ValueError as error:
        raise BadPackageError(f"a row of `blobs` is none: {error}") from None


def _read_parts(db: sqlite3.Connection) -> dict[bytes, list[bytes]]:
    """The parts of each large content, in order."""
    found: dict[bytes, list[bytes]] = {}
    for said in db.execute("SELECT blob, n, sha256 FROM parts ORDER BY blob, n"):
        try:
            row = msgspec.convert(said, _PartRow)
        except ValueError as error:
            raise BadPackageError(f"a row of `parts` is none: {error}") from None
        names = found.setdefault(row.blob, [])
        if row.n != len(names):
            raise BadPackageError(f"part {len(names)} of {row.blob.hex()} is not in it")
        names.append(row.sha256)
    return found
