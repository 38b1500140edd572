"""Bringing a catalog back from everything that still knows of it, or going on without what is known
nowhere any more.

Sources are the sound lines of the file itself, those of copies of it, and the index, which keeps
records and entries and from these makes the very lines again. The chain proves it: a line belongs
where the next one names its SHA-256, or where the index noted it as the last; nothing else is put
in. A chain that reaches as far as any source knows is whole.

Where it is not, a new chain can be begun: what is proven, a record that names the gap, then all
that is sound behind it, and at last a version that says what the tree is as far as it is known. The
file that was there goes to the quarantine.
"""

import contextlib
import hashlib
import secrets
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from epmstore import fsio
from epmstore.atomic import directory, is_something_else, replace_file, retire
from epmstore.catalog.diff import is_metadata_only
from epmstore.catalog.format import decode_line, moved_line, plain_lines, position_behind, seal_line
from epmstore.catalog.history import Read
from epmstore.catalog.model import (
    START,
    CatalogPosition,
    GapRecord,
    VersionPart,
    VersionRecord,
    Written,
    highest_number,
)
from epmstore.catalog.salvage import CatalogSalvage, sound_lines
from epmstore.errors import EpmError
from epmstore.index.entries import Entries
from epmstore.index.entries import IndexedRecord as Kept
from epmstore.relpath import RelPath
from epmstore.store.store import Store
from epmstore.tree import Entry, tree_sum


class ReadableLine(msgspec.Struct, frozen=True):
    """A line that can be read, and where it says that it stands."""

    seq: int
    prev: str
    head: str
    plain: bytes


class Chain(msgspec.Struct, frozen=True):
    """Lines that follow each other from the first, as plain bytes; `seq` is the number of them and
    `head` the SHA-256 of the last. `is_whole` says that they are all that the index and the file
    have, and that no line is known to follow, or more than the file has. `from_file` of them were
    in the file.
    """

    lines: list[bytes]
    head: str
    is_whole: bool
    from_file: int

    @property
    def seq(self) -> int:
        return len(self.lines)


def assemble(
    path: Path,
    index: "IndexLines | None",
    copies: Sequence[Path] = (),
    known: CatalogPosition = START,
    top: int = -1,
) -> Chain:
    """The longest chain that is proven by all sources. `known` is how far the index knows it, `top`
    the highest number that a version is known to have had.
    """
    own = list(_pieces(path))
    pieces: dict[int, list[ReadableLine]] = {}
    for piece in [*own, *(p for copy in copies for p in _pieces(copy))]:
        pieces.setdefault(piece.seq, []).append(piece)
    lines = _follow(pieces, index, known)
    if not _reaches(lines, known) and index is not None:  # the file has another history
        lines = _bridge([], index, {}, known) or lines
    mine = {piece.head for piece in own}
    from_file = sum(_hash(line) in mine for line in lines)
    last = max((piece.seq for piece in own), default=-1)
    is_better = len(lines) > from_file or _highest(lines) >= top
    is_whole = _reaches(lines, known) and last < len(lines) and is_better
    return Chain(lines, _head(lines), is_whole, from_file)


def _follow(
    pieces: dict[int, list[ReadableLine]], index: "IndexLines | None", known: CatalogPosition
) -> list[bytes]:
    lines: list[bytes] = []
    head = START.head
    while True:
        found = next((p for p in pieces.get(len(lines), ()) if p.prev == head), None)
        if found is not None:
            lines.append(found.plain)
            head = found.head
            continue
        made = None if index is None else _bridge(lines, index, pieces, known)
        if made is None:
            return lines
        lines = made
        head = _head(lines)


def _highest(lines: Sequence[bytes]) -> int:
    found = (highest_number(decode_line(plain)[1]) for plain in reversed(lines))
    return next((number for number in found if number >= 0), -1)


def _reaches(lines: Sequence[bytes], known: CatalogPosition) -> bool:
    """Whether they go on from what the index knows."""
    if not known.seq:
        return True
    return len(lines) >= known.seq and _hash(lines[known.seq - 1]) == known.head


def _bridge(
    lines: list[bytes],
    index: "IndexLines",
    pieces: dict[int, list[ReadableLine]],
    known: CatalogPosition,
) -> list[bytes] | None:
    """The lines, and behind them what the index makes until something proves it; None if nothing
    does. A version that is there in part is made anew.
    """
    start = index.begin_of(len(lines))
    if start is None:
        return None
    made = lines[:start]
    for run in index.lines(start, _head(made)):
        made += run
        head = _head(made)
        follows = any(piece.prev == head for piece in pieces.get(len(made), ()))
        if follows or (len(made), head) == (known.seq, known.head):
            return made if len(made) > len(lines) else None
    return None


class IndexLines:
    """What an index keeps of a catalog, as the lines that it was entered from."""

    def __init__(self, entries: Entries, app: str) -> None:
        """Raises DamagedError."""
        self._entries = entries
        self._app = app
        self._kept = entries.records(app)

    def begin_of(self, seq: int) -> int | None:
        """Where the record begins that a line of this number is part of; None if there is none."""
        return max((kept.seq for kept in self._kept if kept.seq <= seq), default=None)

    def lines(self, start: int, head: str) -> Iterator[list[bytes]]:
        """The lines of one record after the other, from that which begins at `start`."""
        position = CatalogPosition(0, head, start)
        for kept in self._kept:
            if kept.seq < start:
                continue
            if kept.seq != position.seq:
                return
            try:
                run = list(self._run(kept, position))
            except (EpmError, ValueError):
                return
            for plain in run:
                position = position_behind(position, plain, 0)
            yield run

    def _run(self, kept: Kept, position: CatalogPosition) -> Iterator[bytes]:
        _, record = decode_line(kept.form)
        if not isinstance(record, VersionPart):
            yield kept.form
            return
        yield from plain_lines(self.version(record.header), position)

    def version(self, header: VersionRecord) -> VersionPart:
        """A version with all that it says. Raises DamagedError."""
        number = header.version
        earlier = [k.version for k in self._kept if k.version is not None and k.version < number]
        if not earlier:
            return VersionPart(header, list(self._entries.tree(self._app, number)))
        entries: list[Entry] = []
        meta: list[Entry] = []
        removed: list[RelPath] = []
        for old, new in self._entries.changed(self._app, max(earlier), number):
            if new is None:
                assert old is not None, "a pair has at least one side"
                removed.append(old.path)
            elif old is not None and is_metadata_only(old, new):
                meta.append(msgspec.structs.replace(new, content=None))
            else:
                entries.append(new)
        return VersionPart(header, entries, meta, removed)


def write_chain(store: Store, app: str, lines: Iterable[bytes]) -> None:
    """The catalog is these lines, durably; what it was before is kept in the quarantine. Under the
    `write` lock. Raises OSError.
    """
    path = store.catalog(app).path
    if is_something_else(path):
        retire(path, store.quarantine)
    elif path.exists():
        with directory(path.parent) as parent, directory(store.quarantine) as kept:
            fsio.make_link(path.name, parent, f"{path.name}.{secrets.token_hex(4)}", kept)
            fsio.sync_directory(kept)
    replace_file(path, b"".join(map(seal_line, lines)))


def begin_again(path: Path, chain: Chain, *, top: int, time: str, why: str) -> list[bytes]:
    """The lines of a new catalog: what is proven, what is sound in the file behind it, a record for
    each gap, and what it all comes to. `top` is the highest number that a version is known to have
    had.
    """
    new = _NewChain(time, why)
    for plain in _without_open_version(chain.lines):
        new.take(plain)
    due = chain.seq
    rest = [read for read in CatalogSalvage(path).reads if read.envelope.seq >= chain.seq]
    lines = {offset: plain for offset, _, plain in sound_lines(path)}
    for at, read in enumerate(rest):
        if not at or read.envelope.seq != due:
            numbers = (number for one in rest[at:] if (number := _version_of(one)) is not None)
            new.name_gap(read.envelope.seq - due, next(numbers, top + 1))
        new.move(lines[read.before.length])
        due = read.envelope.seq + 1
    if not rest or top > new.version:
        new.name_gap(None, top + 1)
    new.close()
    return new.lines


class _NewChain:
    """Lines that follow each other, and the tree that they lead to as far as it is known."""

    def __init__(self, time: str, why: str) -> None:
        self.lines: list[bytes] = []
        self.version = -1
        self._time = time
        self._why = why
        self._position = START
        self._tree: dict[RelPath, Entry] = {}
        self._header: VersionRecord | None = None

    def take(self, plain: bytes) -> None:
        """The next line, as it is."""
        self.lines.append(plain)
        self._position = position_behind(self._position, plain, 0)
        record = decode_line(plain)[1]
        if isinstance(record, VersionPart):
            self._fold(record)
        elif isinstance(record, GapRecord) and record.last is not None:
            self.version = max(self.version, record.last)

    def move(self, plain: bytes) -> None:
        """A line that stood elsewhere."""
        self.take(moved_line(plain, self._position))

    def name_gap(self, records: int | None, before: int) -> None:
        """Say that lines are missing here; `before` is the number of the next version."""
        first, last = self.version + 1, before - 1
        is_lost = last >= first
        self._say(
            GapRecord(
                time=self._time,
                first=first if is_lost else None,
                last=last if is_lost else None,
                records=records,
                why=self._why,
            )
        )

    def close(self) -> None:
        """Append a version of what is known of the tree, if the newest one is not known in full."""
        header = self._header
        if header is None:
            return
        found = f"{tree_sum(self._tree.values()):064x}"
        if found == header.tree:
            return
        closing = VersionRecord(
            version=self.version + 1,
            app=header.app,
            key=header.key,
            txid=secrets.token_hex(16),
            kind="drift",
            reason="safety",
            tree=found,
            time=self._time,
            label="what is known of the version before, behind a gap in the history",
            from_=header.version,
            ignored=header.ignored,
        )
        self._say(VersionPart(closing))

    def _say(self, record: Written) -> None:
        for plain in plain_lines(record, self._position):
            self.take(plain)

    def _fold(self, part: VersionPart) -> None:
        """As an index that is made of it: what is not there before is passed over."""
        tree = self._tree
        for path in part.removed:
            tree.pop(path, None)
        for entry in part.meta:
            before = tree.get(entry.path)
            content = None if before is None else before.content
            tree[entry.path] = msgspec.structs.replace(entry, content=content)
        tree.update((entry.path, entry) for entry in part.entries)
        self._header, self.version = part.header, part.header.version


def _without_open_version(lines: Sequence[bytes]) -> Sequence[bytes]:
    """Without the parts of a version at the end that is not complete."""
    for count in range(len(lines), 0, -1):
        record = decode_line(lines[count - 1])[1]
        if not isinstance(record, VersionPart) or record.header.part == record.header.parts:
            return lines[:count]
    return ()


def _version_of(read: Read) -> int | None:
    return read.record.header.version if isinstance(read.record, VersionPart) else None


def _pieces(path: Path) -> Iterator[ReadableLine]:
    for _, _, plain in sound_lines(path):
        with contextlib.suppress(EpmError):
            envelope, _ = decode_line(plain)
            yield ReadableLine(envelope.seq, envelope.prev, _hash(plain), plain)


def _head(lines: Sequence[bytes]) -> str:
    return _hash(lines[-1]) if lines else START.head


def _hash(plain: bytes) -> str:
    return hashlib.sha256(plain).hexdigest()
