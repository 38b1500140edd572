"""One catalog file: appending records durably, and reading them back with every check there is.

What can be wrong with a file is told apart by the length that was committed, which the index knows:

- *damage*: anything wrong before that length (DamagedError, naming file and byte);
- *replay*: whole records beyond it: a commit that the index missed;
- *torn*: anything else beyond it: an append that a crash cut short. The next append cuts it off,
  after copying it to the quarantine.

Without that length (the index is gone) everything readable is history. What then cannot be read is
a torn tail only if no record follows it; `Tail.torn` bytes may have been an acknowledged version.

The writer holds the `write` lock. Readers need none: they stop at a committed length.
"""

import contextlib
import hashlib
import os
import struct
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import msgspec

from epmstore import atomic, fsio, seal
from epmstore.catalog.format import (
    decode_envelope,
    decode_line,
    encode,
    open_line,
    position_behind,
    without_entries,
)
from epmstore.catalog.model import (
    START,
    CatalogPosition,
    Decoded,
    Envelope,
    GapRecord,
    VersionPart,
    VersionRecord,
    Written,
    highest_number,
    next_part,
)
from epmstore.errors import ChangedError, DamagedError, TornError

_BUFFER = 1 << 18
_SEAL_BEGINS = struct.pack("<I", seal.MAGIC)


class CatalogLine(msgspec.Struct, frozen=True):
    """One line as read: plain bytes with their newline, and the positions around it."""

    before: CatalogPosition
    after: CatalogPosition
    plain: bytes


class Read(msgspec.Struct, frozen=True):
    """One record as read, and the positions around it. `kept` is its line without entries."""

    before: CatalogPosition
    after: CatalogPosition
    envelope: Envelope
    record: Decoded
    kept: bytes


class Tail(msgspec.Struct, frozen=True):
    """What lies beyond a committed position: `valid` ends the last whole record, `size` the file,
    and `top` is the highest number that a record in between speaks for; -1 if none does.

    Both lengths are in bytes.
    """

    committed: CatalogPosition
    valid: CatalogPosition
    size: int
    top: int = -1

    @property
    def replay(self) -> bool:
        """Whether whole records follow the committed ones."""
        return self.valid.length > self.committed.length

    @property
    def torn(self) -> int:
        """How many bytes at the end of the file belong to no whole record."""
        return self.size - self.valid.length


class CatalogFile:
    """The catalog at `path`; a file that is not there is an empty catalog."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(
        self, records: Iterable[Written], after: CatalogPosition, quarantine: Path | None = None
    ) -> CatalogPosition:
        """The position behind the records, which are durable when it returns.

        `after` is where the file must end; with START it is made. One sync, whatever the number of
        records, and one write, unless they are many: those are never in memory together. A torn
        tail is cut off first, and copied to the folder `quarantine` if one is given. Raises
        ChangedError if whole records follow `after` (replay them first), DamagedError if the file
        is not one that ends with `after`, OSError. After an error the file ends where it did, as
        far as that is possible.
        """
        return self.append_lines(encode(records, after), after, quarantine)

    def append_lines(
        self,
        lines: Iterable[tuple[bytes, CatalogPosition]],
        after: CatalogPosition,
        quarantine: Path | None = None,
    ) -> CatalogPosition:
        """As `append`, for lines that are sealed: each with the position behind it."""
        left = iter(lines)
        first = next(left, None)  # what cannot be said leaves no file
        self._cut(after, quarantine)
        if first is None:
            return after
        written, end, waiting = after.length, after, bytearray()
        with self._writable() as fd:
            try:
                for stored, end in chain((first,), left):
                    waiting += stored
                    if len(waiting) >= _BUFFER:
                        fsio.write_at(fd, bytes(waiting), written)
                        written, waiting = end.length, bytearray()
                if waiting:
                    fsio.write_at(fd, bytes(waiting), written)
                fsio.sync_data(fd)
            except BaseException:
                # Whole lines may be there by now: a version of which the caller is told that it
                # failed would count.
                with contextlib.suppress(OSError):
                    fsio.truncate(fd, after.length)
                raise
        return end

    def read(self, start: CatalogPosition = START, end: int | None = None) -> Iterator[Read]:
        """Records from `start` to the committed length `end`, in order.

        Checked are seals, the chain from `start` on, running numbers, that versions count up and
        that their parts are complete. Without `end` the file is read to its end, and TornError says
        that a record or a version is incomplete there: parts of it may have come out before. Every
        other fault, and any before `end`, is DamagedError; both name file and byte.
        """
        sequence = _Sequence(first=0 if start == START else None)
        behind = start
        for line in self.lines(start, end):
            try:
                envelope, record = decode_line(line.plain)
                sequence.check(envelope, record, line.before)
                kept = without_entries(line.plain, record, line.before)
            except DamagedError as error:
                raise self._fault(error, line.before.length, end) from None
            behind = line.after
            yield Read(line.before, line.after, envelope, record, kept)
        if sequence.missing:
            raise self._fault(TornError(sequence.missing), behind.length, end)

    def lines(
        self, start: CatalogPosition = START, end: int | None = None
    ) -> Iterator[CatalogLine]:
        """Plain lines, checked against their seals alone. Raises as `read` does."""
        size = self._length()
        stop = size if end is None else end
        if max(start.length, stop) > size:
            what = "the file ends too early" if size else "the file is lost: a copy may have it"
            raise self._fault(DamagedError(what), size, end)
        if start.length >= stop:
            return
        with os.fdopen(atomic.open_regular(self.path), "rb", buffering=_BUFFER) as file:
            file.seek(start.length)
            position = start
            while position.length < stop:
                try:
                    plain, length = _read_line(file, position.length, stop)
                except DamagedError as error:
                    raise self._fault(error, position.length, end) from None
                line = CatalogLine(position, position_behind(position, plain, length), plain)
                position = line.after
                yield line

    def tail(self, committed: CatalogPosition = START, *, many: bool = False) -> Tail:
        """What lies beyond `committed`; START if no committed length is known.

        Raises DamagedError if the file ends before `committed`, and when something follows what
        cannot be read that no append which broke off leaves behind: if no length is known, any
        record; else the beginning of one, unless `many` records were appended at once.
        """
        valid, top = committed, -1
        try:
            for found in self.read(committed):
                record = found.record
                if not isinstance(record, VersionPart) or record.header.part == record.header.parts:
                    valid = found.after
                    top = max(top, highest_number(record))
        except DamagedError as error:
            fault = int(error.data["offset"])
            if (
                fault < committed.length
                or (committed == START and self._record_follows(fault))
                or (not many and self._record_follows(fault, beginning=True))
            ):
                raise DamagedError(error.message, hint=error.hint, **error.data) from None
        return Tail(committed, valid, self._length(), top)

    def check(self, position: CatalogPosition) -> None:
        """Raises DamagedError unless the whole file up to `position` is right and ends in it."""
        last = START
        for found in self.read(START, position.length):
            last = found.after
        if last != position:
            raise self._fault(DamagedError("another history than the index's"), last.length, 0)

    def check_chain(self, position: CatalogPosition) -> None:
        """As `check`, without what the records say: seals, numbers and chain, in a tenth of the
        time.
        """
        last = START
        for line in self.lines(START, position.length):
            try:
                envelope = decode_envelope(line.plain)
                if (envelope.seq, envelope.prev) != (last.seq, last.head):
                    raise DamagedError(f"record {envelope.seq} does not follow the line before it")
            except DamagedError as error:
                raise self._fault(error, line.before.length, 0) from None
            last = line.after
        if last != position:
            raise self._fault(DamagedError("another history than the index's"), last.length, 0)

    def _cut(self, after: CatalogPosition, quarantine: Path | None) -> None:
        """The file ends with `after`, or an error says why it cannot."""
        size = self._length()
        if size == after.length:
            return
        if self.tail(after).replay:
            raise ChangedError(
                f"{self.path} has records that the index does not know",
                hint="run the command again",
                file=str(self.path),
            )
        # A stale index must not take the end of a good history for a torn tail.
        self.check(after)
        if quarantine is not None:
            with os.fdopen(atomic.open_regular(self.path), "rb") as file:
                file.seek(after.length)
                torn = file.read()
            mark = hashlib.sha256(torn).hexdigest()[:16]
            name = f"{self.path.name}-{after.length}-{mark}.torn"
            atomic.replace_file(quarantine / name, torn)
        with self._writable() as fd:
            fsio.truncate(fd, after.length)
            fsio.sync_file(fd)

    @contextlib.contextmanager
    def _writable(self) -> Iterator[int]:
        """The file, open for writing; made, with its name durable, if it was not there."""
        with atomic.directory(self.path.parent) as parent:
            try:
                fd = fsio.open_append(self.path.name, parent)
            except FileNotFoundError:
                fd = fsio.create(self.path.name, parent)
                fsio.sync_directory(parent)
            try:
                yield fd
            finally:
                os.close(fd)

    def _length(self) -> int:
        try:
            fd = atomic.open_regular(self.path)
        except FileNotFoundError:
            return 0
        except DamagedError:
            what = "this is not a regular file: a copy of the store may have it"
            raise self._fault(DamagedError(what), 0, 0) from None
        try:
            return os.fstat(fd).st_size
        finally:
            os.close(fd)

    def _record_follows(self, offset: int, *, beginning: bool = False) -> bool:
        """Whether a sound record lies anywhere from `offset` on; if asked for, one that is not a
        later part of a version.
        """
        with os.fdopen(atomic.open_regular(self.path), "rb") as file:
            file.seek(offset)
            data = file.read()
        at = data.find(_SEAL_BEGINS)
        while at >= 0:
            with contextlib.suppress(DamagedError):
                found, body = seal.read(data, at)
                if not beginning or _begins_record(open_line(found, body), at):
                    return True
            at = data.find(_SEAL_BEGINS, at + 1)
        return False

    def _fault(self, error: DamagedError, offset: int, end: int | None) -> DamagedError:
        """The error with file and byte. What is torn before a committed end is damage."""
        kind = TornError if isinstance(error, TornError) and end is None else DamagedError
        return kind(
            f"{self.path}, byte {offset}: {error.message}",
            hint="run `epmstore fsck`",
            file=str(self.path),
            offset=offset,
        )


class _Sequence:
    """What must hold from record to record."""

    def __init__(self, first: int | None) -> None:
        self._next = first
        self._run: VersionRecord | None = None

    @property
    def missing(self) -> str | None:
        """What is missing if the catalog ends here."""
        run = self._run
        if run is None:
            return None
        return f"version {run.version} has {run.part} of {run.parts} parts"

    def check(self, envelope: Envelope, record: Decoded, before: CatalogPosition) -> None:
        """Raises DamagedError if the record does not follow the ones before it."""
        if envelope.seq != before.seq:
            raise DamagedError(f"record {envelope.seq} where {before.seq} is due")
        if envelope.prev != before.head:
            raise DamagedError(f"record {envelope.seq} does not follow the line before it")
        if isinstance(record, VersionPart):
            self._check_part(record.header)
        elif self._run is not None:
            raise DamagedError(f"{self.missing}, then comes another record")
        elif isinstance(record, GapRecord) and record.last is not None:
            self._next = record.last + 1

    def _check_part(self, header: VersionRecord) -> None:
        run = self._run
        if run is not None:
            if header != next_part(run):
                raise DamagedError(f"{self.missing}, then comes something else")
        elif header.part != 1:
            raise DamagedError(f"version {header.version} begins with part {header.part}")
        elif self._next is not None and header.version != self._next:
            raise DamagedError(f"version {header.version} where {self._next} is due")
        self._run = header if header.part < header.parts else None
        self._next = header.version + 1


def _begins_record(plain: bytes, behind: int) -> bool:
    """Whether a line that lies `behind` bytes behind a fault says that what is wrong there is no
    append that broke off: no append begins behind that, and what cannot be read is not sealed.
    """
    if not behind:
        return True
    _, record = decode_line(plain)
    return not isinstance(record, VersionPart) or record.header.part == 1


def _read_line(file: BinaryIO, offset: int, stop: int) -> tuple[bytes, int]:
    """The plain line at `offset` and the length of its record. Raises TornError, DamagedError."""
    fixed = file.read(min(seal.SIZE, stop - offset))
    found = seal.parse(fixed, base=offset)
    # before anything is read: a flipped length must not ask for terabytes
    if found.end > stop:
        raise TornError("the record ends early")
    body = file.read(found.body_length)
    seal.check(found, body)
    return open_line(found, body), found.end - offset
