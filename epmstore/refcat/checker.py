"""A whole catalog that came from elsewhere: its lines in order, without trust. Pure.

Checked are, line by line: what strict.py asks; the chain and the running numbers; that releases
count up by one and are complete; that each fits the one before (nothing is removed that is not
there), has the counts and the tree sum that it says; that no path lies below a file or a link; that
hard links are of one content; that no SHA-1 stands for two contents; and that needs go one way.

The first fault ends it: BadCatalogError names the line and the reason.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from epmstore.catalog.model import (
    NO_HEAD,
    NO_PACKAGE,
    AboutRecord,
    Counts,
    Decoded,
    Envelope,
    RelabelRecord,
    Requirement,
    RevokeRecord,
    VersionPart,
    VersionRecord,
    next_part,
)
from epmstore.digest import BlobInfo, Digest
from epmstore.errors import BadCatalogError, EpmError
from epmstore.refcat.hygiene import MAX_ENTRIES
from epmstore.refcat.packaging_form import check_files, read
from epmstore.refcat.requires import check_one_way
from epmstore.refcat.strict import read_line
from epmstore.relpath import RelPath, parents, to_json
from epmstore.tree import SUM_MODULUS, Entry, changed_fields, entry_sum


class CheckedRelease(msgspec.Struct, frozen=True):
    """One release that was checked; `lines` are those up to its end, `digest` that of the last."""

    version: int
    label: str | None
    digest: str
    lines: int


class CheckedCatalog(msgspec.Struct, frozen=True, kw_only=True):
    """A catalog that was checked, up to the end of a record: `lines` of them, with the `head` of
    the last; the `tree` of its newest release, and all `contents` that any release has.
    """

    about: AboutRecord
    lines: int
    head: str
    releases: Sequence[CheckedRelease]
    tree: Sequence[Entry]
    contents: Sequence[BlobInfo]


class _Held(msgspec.Struct, frozen=True, gc=False):
    """An entry of the tree, and its part of the sum."""

    entry: Entry
    sum: int


class Checker:
    """Takes one line after the other."""

    def __init__(self, others: Mapping[str, Sequence[Requirement]] | None = None) -> None:
        """`others`: what the newest releases of other applications need (for circles)."""
        self.lines = 0
        self.head = NO_HEAD
        self.about: AboutRecord | None = None
        self.releases: list[CheckedRelease] = []
        self._others = dict(others or {})
        self._tree: dict[RelPath, _Held] = {}
        self._below: dict[str, int] = {}
        """Folder to how many paths lie in it, at any depth; with all folders that have no entry."""
        self._contents: dict[Digest, BlobInfo] = {}
        self._sum = 0
        self._run: VersionRecord | None = None
        self._package = NO_PACKAGE
        self._before: dict[RelPath, Entry | None] = {}
        """What each path that the release in hand names was before."""

    @classmethod
    def resume(
        cls, known: CheckedCatalog, others: Mapping[str, Sequence[Requirement]] | None = None
    ) -> "Checker":
        """One that has taken the lines of `known` already. The next one must follow their head, so
        what is another catalog is refused with its first line.
        """
        checker = cls(others)
        checker.about, checker.lines, checker.head = known.about, known.lines, known.head
        checker.releases = list(known.releases)
        checker._contents = {info.digest: info for info in known.contents}
        for entry in known.tree:
            checker._change(entry.path, entry)
        checker._before = {}
        return checker

    def add(self, plain: bytes) -> tuple[Envelope, Decoded]:
        """The record in the next line, and its envelope. Raises BadCatalogError."""
        try:
            if not plain.endswith(b"\n"):
                raise BadCatalogError("it is cut off: no line ends here")
            envelope, record = read_line(plain)
            self._check_chain(envelope, record)
            if isinstance(record, VersionPart):
                self._add_part(record)
            elif isinstance(record, RevokeRecord):
                self._check_revoked(record)
            elif isinstance(record, RelabelRecord) and record.version >= len(self.releases):
                raise BadCatalogError(f"release {record.version} is relabelled before it is there")
        except EpmError as error:
            raise _at(self.lines + 1, error) from None
        self.lines += 1
        self.head = hashlib.sha256(plain).hexdigest()
        if isinstance(record, VersionPart) and self._run is None:
            header = record.header
            self.releases.append(
                CheckedRelease(header.version, header.label, self.head, self.lines)
            )
        return envelope, record

    def finish(self) -> AboutRecord:
        """Whose catalog it is. Raises BadCatalogError if it is none, or ends too early."""
        if self._run is not None:
            part, parts = self._run.part, self._run.parts
            raise _at(
                self.lines,
                BadCatalogError(f"release {self._run.version} ends at {part} of {parts}"),
            )
        if self.about is None:
            raise BadCatalogError("there is no line in it", line=0)
        return self.about

    def tree(self) -> Iterator[Entry]:
        """The newest release, in no order."""
        return (held.entry for held in self._tree.values())

    @property
    def package(self) -> msgspec.Raw:
        """What the release that was begun last says of its packaging."""
        return self._package

    @property
    def contents(self) -> Sequence[BlobInfo]:
        """Every content that any release has."""
        return list(self._contents.values())

    def _check_chain(self, envelope: Envelope, record: Decoded) -> None:
        if envelope.seq != self.lines:
            raise BadCatalogError(f"it is record {envelope.seq}, where {self.lines} is due")
        if envelope.prev != self.head:
            raise BadCatalogError("it does not follow the line before it: one of them was edited")
        if self._run is not None and not isinstance(record, VersionPart):
            raise BadCatalogError(f"release {self._run.version} is not complete before it")
        if isinstance(record, AboutRecord):
            if self.about is not None and record.app != self.about.app:
                raise BadCatalogError("a catalog does not become that of another application")
            self.about = record
        elif self.about is None:
            raise BadCatalogError("a reference catalog begins with what it is about")

    def _check_revoked(self, record: RevokeRecord) -> None:
        if record.version is not None and record.version >= len(self.releases):
            raise BadCatalogError(f"release {record.version} is withdrawn before it is there")
        if record.digest is not None and bytes.fromhex(record.digest) not in self._contents:
            raise BadCatalogError(f"no release has the component {record.digest}")

    def _add_part(self, part: VersionPart) -> None:
        header = part.header
        self._check_header(header)
        for path in part.removed:
            if not self._change(path, None):
                raise BadCatalogError(f"{to_json(path)!r} is removed, and was not there")
        for entry in part.meta:
            held = self._tree.get(entry.path)
            if held is None or held.entry.content is None:
                raise BadCatalogError(f"{to_json(entry.path)!r} has no content to keep")
            self._change(entry.path, replace(entry, content=held.entry.content))
        for entry in part.entries:
            self._check_content(entry)
            self._change(entry.path, entry)
        if len(self._tree) > MAX_ENTRIES:
            raise BadCatalogError(f"more than {MAX_ENTRIES:,} paths")
        if header.part == header.parts:
            self._end(header)
            self._run, self._before = None, {}
        else:
            self._run = header

    def _check_header(self, header: VersionRecord) -> None:
        run, about = self._run, self.about
        assert about is not None, "it is the first line"
        if run is not None:
            if header != next_part(run):
                raise BadCatalogError(f"release {run.version} is not complete before it")
            return
        if header.part != 1:
            raise BadCatalogError(f"release {header.version} begins with part {header.part}")
        if header.version != len(self.releases):
            raise BadCatalogError(
                f"it is release {header.version}, where {len(self.releases)} is due"
            )
        if header.app != about.app:
            raise BadCatalogError(f"it is a release of another application: {header.app}")
        check_one_way(header.app, header.requires, self._others)
        self._package = header.package

    def _check_content(self, entry: Entry) -> None:
        info = entry.content
        if info is None:
            if entry.kind == "file" and entry.path_class != "state":
                raise BadCatalogError(f"{to_json(entry.path)!r} has no content")
            return
        known = self._contents.setdefault(info.digest, info)
        if known != info:
            raise BadCatalogError(f"two contents have the SHA-1 {info.digest.hex()}")

    def _change(self, path: RelPath, new: Entry | None) -> bool:
        """Whether the path was there before."""
        if path in self._before:
            raise BadCatalogError(f"{to_json(path)!r} is in it twice")
        held = self._tree.pop(path, None)
        self._before[path] = None if held is None else held.entry
        total = self._sum - (0 if held is None else held.sum)
        if new is not None:
            fresh = self._tree[path] = _Held(new, entry_sum(new))
            total += fresh.sum
        self._sum = total % SUM_MODULUS
        if (held is None) != (new is None):
            self._count(path, 1 if held is None else -1)
        return held is not None

    def _count(self, path: RelPath, by: int) -> None:
        below = self._below
        folder = path
        while (end := folder.rfind("/")) > 0:
            folder = RelPath(folder[:end])
            below[folder] = below.get(folder, 0) + by

    def _end(self, header: VersionRecord) -> None:
        for path in self._before:
            held = self._tree.get(path)
            if held is not None:
                self._check_place(path, held.entry)
        if f"{self._sum:064x}" != header.tree:
            raise BadCatalogError(f"release {header.version} does not have the tree sum it says")
        if self._package:
            check_files(read(self._package), self._has_content)
        counts = self._counts()
        if counts != header.counts:
            raise BadCatalogError(f"release {header.version} does not have the counts it says")

    def _has_content(self, path: RelPath) -> bool:
        held = self._tree.get(path)
        return held is not None and held.entry.content is not None

    def _counts(self) -> Counts:
        added = modified = removed = 0
        for path, before in self._before.items():
            held = self._tree.get(path)
            if held is None:
                removed += 1
            elif before is None:
                added += 1
            elif changed_fields(before, held.entry) or before.path_class != held.entry.path_class:
                modified += 1
        return Counts(added, modified, removed)

    def _check_place(self, path: RelPath, entry: Entry) -> None:
        for above in parents(path):
            held = self._tree.get(RelPath(above))
            if held is not None and held.entry.kind != "directory":
                raise BadCatalogError(f"{to_json(path)!r} lies below {above!r}, no directory")
        if entry.kind != "directory" and self._below.get(path, 0) > 0:
            raise BadCatalogError(f"{to_json(path)!r} is no directory, and has paths below it")
        if entry.same_as is not None:
            first = self._tree.get(entry.same_as)
            if first is None or first.entry.content != entry.content or entry.content is None:
                raise BadCatalogError(f"{to_json(path)!r} is no hard link of {entry.same_as!r}")


def _at(line: int, error: EpmError) -> EpmError:
    """The same fault, with its line."""
    if error.exit_code != BadCatalogError.exit_code and error.code not in ("conflict", "usage"):
        return error
    return BadCatalogError(
        f"line {line}: {error.message}",
        hint="nothing was changed; ask its vendor for the catalog again",
        line=line,
        reason=error.message,
    )
