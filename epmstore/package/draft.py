"""A package in the making: what the founding document calls its primitives, one method each.

    with Draft.begin(folder, product="crm", package=Package(version="4.1.0", build=1)) as draft:
        info = draft.add_blob(b"port = 8080\n")
        draft.add_path(Entry(path=RelPath("etc/crm.conf"), kind="file", mode=0o644, content=info))
        draft.associate("etc/crm.conf", "server")
        draft.add_source(Path("build/crm-41"))
        draft.complete(Path("out"))

What comes of it is a candidate: a package without a number. In a draft paths and parts are the
truth; when it is completed, the lines are written from them, and what no catalog could take is
refused then.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Self, TypeAlias

import msgspec
from msgspec.structs import replace

from epmstore.catalog.classes import Patterns, Rules
from epmstore.catalog.model import AboutRecord
from epmstore.catalog.packaging import Package, Part
from epmstore.clock import Clock, SystemClock, to_rfc3339
from epmstore.digest import BlobInfo, identify_stream
from epmstore.errors import BadCatalogError, ConflictError, PathNotFoundError, UsageError
from epmstore.package.elf import ElfFiles, elf_files
from epmstore.package.elfchild import ElfSaid
from epmstore.package.file_format import CANDIDATE, NOBODY
from epmstore.package.from_release import Packed, write_package
from epmstore.package.parts import patterns_of
from epmstore.package.sonames import with_sonames
from epmstore.package.tables import PartsOf
from epmstore.package.workshop import workshop
from epmstore.progress import SILENT, Progress
from epmstore.refcat import packaging_form
from epmstore.refcat.append import ReleaseDraft as Said
from epmstore.refcat.append import publish, say
from epmstore.refcat.gather import Gathered, Gatherer
from epmstore.relpath import RelPath, parse_relpath
from epmstore.store.deposit import Deposit
from epmstore.store.store import Store, refcat
from epmstore.tree import Entry

Difference: TypeAlias = Literal["same", "modified", "missing", "type-changed"]
CHUNK = 1 << 20


class Completed(msgspec.Struct, frozen=True):
    """A candidate, and what of its sources was left out, with why."""

    packed: Packed
    path: Path
    skipped: Sequence[tuple[RelPath, str]]


class Draft:
    """One draft; `Draft.begin` makes it."""

    def __init__(
        self, store: Store, about: AboutRecord, package: Package, progress: Progress
    ) -> None:
        self._store = store
        self._about = about
        self._progress = progress
        self.deposit = Deposit(store)
        """Where its contents come in."""
        self._entries: dict[RelPath, Entry] = {}
        self._parts: dict[RelPath, str] = {}
        self._skipped: list[tuple[RelPath, str]] = []
        self._tags: list[str] = []
        self.package = package
        """Its packaging; a caller that knows more of it puts another one there."""
        self.follows_sonames = True
        """Whether needs and offers of libraries follow from its ELF files."""

    @classmethod
    @contextlib.contextmanager
    def begin(
        cls,
        folder: Path,
        *,
        product: str,
        package: Package,
        name: str | None = None,
        patterns: Patterns = Patterns(),  # noqa: B008 - a frozen value
        clock: Clock | None = None,
        progress: Progress = SILENT,
    ) -> Iterator[Self]:
        """A draft of a product (its key); what is in it lies below `folder` meanwhile. Raises
        UsageError, OSError.
        """
        clock = clock or SystemClock()
        Rules(patterns)
        with workshop(folder, clock) as store:
            time = to_rfc3339(clock.now())
            about = AboutRecord(time=time, app=NOBODY, key=product, name=name, patterns=patterns)
            say(store, NOBODY, about)
            draft = cls(store, about, package, progress)
            with draft.deposit:
                yield draft

    def add_blob(self, data: bytes) -> BlobInfo:
        """Store a content; what identifies it."""
        return self.deposit.add_stream(iter([data]), len(data))

    def add_path(self, entry: Entry) -> None:
        """A path of the package. Raises ConflictError if it is there, and is another one."""
        known = self._entries.setdefault(entry.path, entry)
        if (known.kind, known.content, known.target) != (entry.kind, entry.content, entry.target):
            raise ConflictError(f"two sources have {entry.path!r}, and not the same")

    def associate(self, path: str, part: str) -> None:
        """A path is of a part. Raises PathNotFoundError, ConflictError if it is of another."""
        found = self._entry(path)
        if self._parts.setdefault(found.path, part) != part:
            raise ConflictError(f"{path!r} is of two parts: {self._parts[found.path]} and {part}")

    def tag(self, *words: str) -> None:
        """Words for people who look for it."""
        self._tags += words

    def add_file(self, file: Path, path: str, mode: int | None = None) -> RelPath:
        """One file, as a path of the package; which. Raises OSError, ConflictError."""
        with file.open("rb") as source:
            found = file.stat()
            info = self.deposit.add_stream(iter(lambda: source.read(CHUNK), b""), found.st_size)
        where = parse_relpath(path)
        bits = found.st_mode & 0o777 if mode is None else mode
        self.add_path(
            Entry(path=where, kind="file", mode=bits, mtime_ns=found.st_mtime_ns, content=info)
        )
        return where

    def add_source(
        self,
        source: Path,
        to: str = "",
        *,
        below: str | None = None,
        part: str | None = None,
        owner: str | None = None,
        group: str | None = None,
    ) -> None:
        """All that is in a folder or an archive, `below` one of its folders, as what lies in the
        folder `to` of the package. Raises UsageError, EpmError, ConflictError, InvalidNameError,
        OSError.
        """
        gatherer = self._gatherer(Patterns())
        if source.is_dir():
            gatherer.add_folder(source / below if below else source)
        else:
            gatherer.add_archive(source, None if below is None else parse_relpath(below))
        gathered = gatherer.finish()
        top = parse_relpath(to.strip("/")) if to.strip("/") else None
        for entry in gathered.entries:
            moved = _moved(entry, top)
            said = replace(moved, user=owner or moved.user, group=group or moved.group)
            self.add_path(said)
            if part is not None and said.kind != "directory":
                self.associate(said.path, part)
        self._skipped += [(_below(top, path), why) for path, why in gathered.skipped]

    def add_tree(
        self, entries: Iterable[Entry], stream: Callable[[Entry], Iterator[bytes]]
    ) -> None:
        """A tree of another store, whose contents `stream` gives; data and secrets without them.
        Raises ConflictError, and as `stream`.
        """
        kept = [one for one in entries if one.path_class not in ("state", "secret", "ignore")]
        known: set[BlobInfo] = set()
        files = [one for one in kept if one.content is not None]
        self._progress.begin("taking contents", files=len(files))
        for entry in kept:
            info = entry.content
            if info is not None and info not in known:
                self.deposit.add_stream(stream(entry), info.size)
                known.add(info)
                self._progress.advance(files=1, size=info.size)
            self.add_path(entry)
        self._progress.end()

    def extract(self, path: str) -> Iterator[bytes]:
        """The content of a path, in pieces. Raises PathNotFoundError, BlobNotFoundError."""
        info = self._entry(path).content
        if info is None:
            raise PathNotFoundError(f"{path!r} has no content", path=path)
        self.deposit.commit()
        return self._store.blobs.stream(info)

    def elf(self, path: str) -> ElfSaid | None:
        """What a path of the package says of itself as an ELF file; None for what is none. Raises
        PathNotFoundError, EpmError for one that takes too much to read.
        """
        entry = self._entry(path)
        found = self.elf_files([entry])
        return None if entry.content is None else found.get(entry.content.sha256)

    def elf_files(self, entries: Sequence[Entry] | None = None) -> ElfFiles:
        """What all ELF files of the package say, or those among some entries. Raises EpmError."""
        self.deposit.commit()
        asked = list(self._entries.values()) if entries is None else entries
        return elf_files(asked, self._store.blobs.stream)

    def compare(self, path: str, file: Path) -> Difference:
        """What a path of the package is beside a file."""
        entry = self._entry(path)
        if not file.exists() and not file.is_symlink():
            return "missing"
        kind = "symlink" if file.is_symlink() else "directory" if file.is_dir() else "file"
        if kind != entry.kind:
            return "type-changed"
        if kind == "symlink":
            return "same" if str(file.readlink()) == entry.target else "modified"
        if kind == "directory":
            return "same"
        with file.open("rb") as source:
            info = identify_stream(iter(lambda: source.read(CHUNK), b""))
        return "same" if info == entry.content else "modified"

    def complete(self, folder: Path, path: Path | None = None) -> Completed:
        """The candidate, in a file of its name in `folder`, or at `path`. Raises UsageError,
        InvalidNameError, ConflictError for what no catalog could take, EpmError, OSError.
        """
        gathered = self._gathered()
        package = self._with_parts(gathered)
        elf = self.elf_files(gathered.entries)
        if self.follows_sonames:
            package = with_sonames(package, gathered.entries, elf)
        try:
            packaging_form.check(package, NOBODY)
        except BadCatalogError as error:
            raise UsageError(error.message) from None
        title = f"{package.version}-{package.build}"
        publish(self.deposit, self._about, gathered.entries, Said(label=title, package=package))
        path = path or folder / f"{self._about.key}-{title}{CANDIDATE}"
        packed = write_package(
            self._store, NOBODY, 0, path, self._progress, tags=sorted(self._tags), elf=elf
        )
        return Completed(packed, path, tuple(self._skipped))

    def _gathered(self) -> Gathered:
        """All paths, as they are released: with the classes of the patterns."""
        gatherer = self._gatherer(self._about.patterns)
        gatherer.add_tree(self._entries.values())
        return gatherer.finish()

    def _with_parts(self, gathered: Gathered) -> Package:
        """The packaging with patterns for what was associated."""
        paths = [entry.path for entry in gathered.entries if entry.kind != "directory"]
        asked = PartsOf(self.package)
        open_ = {path: self._parts.get(path) for path in paths if asked.of(path) is None}
        parts = {part.name: part for part in self.package.parts}
        is_free = not any(part.patterns for part in self.package.parts)
        for name, patterns in patterns_of(open_, may_end_with_all=is_free).items():
            known = parts.get(name, Part(name=name))
            if is_free:
                parts.pop(name, None)  # they are asked in this order
            parts[name] = replace(known, patterns=(*known.patterns, *patterns))
        package = replace(self.package, parts=tuple(parts.values()))
        found = PartsOf(package)
        for path in paths:
            wanted = self._parts.get(path)
            if wanted is not None and found.of(path) != wanted:
                raise ConflictError(
                    f"{path!r} is of two parts: {wanted}, and by its patterns {found.of(path)}"
                )
        return package

    def _gatherer(self, patterns: Patterns) -> Gatherer:
        catalog = refcat(NOBODY)
        return Gatherer(self.deposit, catalog, Rules(patterns), {}, self._progress)

    def _entry(self, path: str) -> Entry:
        found = self._entries.get(RelPath(path))
        if found is None:
            raise PathNotFoundError(f"{path!r} is no path of the package", path=path)
        return found


def _moved(entry: Entry, top: RelPath | None) -> Entry:
    if top is None:
        return entry
    same_as = None if entry.same_as is None else _below(top, entry.same_as)
    return replace(entry, path=_below(top, entry.path), same_as=same_as)


def _below(top: RelPath | None, path: RelPath) -> RelPath:
    return path if top is None else parse_relpath(f"{top}/{path}")
