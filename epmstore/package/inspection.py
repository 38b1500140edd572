"""Looking at a package without a store: what is in it, whether all of it is sound, its files.

What is looked at may come from anywhere: it is read as a host would read it. Whether its signature
counts only a store can say. A patch package is looked at beside a store that has what it goes on
from: where there is none, that is said.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

import msgspec

from epmstore.blobs.foreign import Foreign, check_rows, open_frame, read_rows
from epmstore.blobs.pack import PART_THRESHOLD
from epmstore.catalog.model import VersionPart
from epmstore.checkout.target import ExportedTree, export
from epmstore.clock import Clock
from epmstore.digest import BlobInfo, Hasher, Sha256
from epmstore.errors import BadPackageError
from epmstore.package.file_format import NOBODY
from epmstore.package.messages import Begun
from epmstore.package.package_reader import Asking, LargeOne, PackageReading, open_package
from epmstore.package.patch_base import needs_base
from epmstore.package.tables import PackagedRelease, PartsOf
from epmstore.package.workshop import workshop
from epmstore.progress import Progress
from epmstore.refcat import packaging_form
from epmstore.refcat.checker import CheckedCatalog, CheckedRelease, Checker
from epmstore.refcat.hygiene import mask
from epmstore.relpath import sort_paths
from epmstore.store.adopt import Adopter
from epmstore.store.deposit import Deposit
from epmstore.store.store import Store
from epmstore.tree import Entry


class Beside(Protocol):
    """What a patch package goes on from (patch_base.py)."""

    def catalog(self, begun: Begun) -> CheckedCatalog: ...
    def check_stored(self, needed: Sequence[BlobInfo]) -> None: ...
    def read(self, sha256: Sha256) -> bytes: ...
    def stream(self, info: BlobInfo) -> Iterator[bytes]: ...


Finding: TypeAlias = Callable[[Path], Beside | None]
"""Finds a store to look at a patch package beside; asked for such alone."""


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """A package: its release; lines in it; contents and their plain bytes, if those were read. A
    patch leads there from release `since`.
    """

    release: PackagedRelease
    since: CheckedRelease | None = None
    lines: int
    size: int
    contents: int = 0
    plain: int = 0

    @property
    def is_candidate(self) -> bool:
        return self.release.about.app == NOBODY

    @property
    def title(self) -> str:
        """`4.1.0-1 (41)`; of a candidate `4.1.0-1`."""
        package, record = self.release.package, self.release.record
        number = "" if self.is_candidate else f" ({record.version})"
        return f"{package.version}-{package.build}{number}"


def _nowhere(_: Path) -> None:
    """Where there is no store."""


class _Side:
    """The store beside a package, once it turned out that it needs one."""

    def __init__(self, path: Path, finding: Finding) -> None:
        self._path = path
        self._finding = finding
        self.found: Beside | None = None

    def known(self, begun: Begun) -> CheckedCatalog:
        self.found = self._finding(self._path)
        if self.found is None:
            raise needs_base(self._path, begun)
        return self.found.catalog(begun)

    def read(self, sha256: Sha256) -> bytes:
        if self.found is None:
            raise BadPackageError(f"it needs {sha256.hex()}, which is not in it")
        return self.found.read(sha256)

    def check_stored(self, reading: PackageReading) -> None:
        if self.found is not None:
            self.found.check_stored(reading.lacking)


def look(path: Path, scratch: Path, progress: Progress, finding: Finding = _nowhere) -> Looked:
    """What a package is, by its lines. Raises BadPackageError and its kin, VersionNotFoundError for
    a patch of what is not there, OSError.
    """
    asking = Asking(progress=progress, known=_Side(path, finding).known)
    with open_package(path, scratch, asking) as reading:
        return looked(reading, path)


def verify_package(
    path: Path, scratch: Path, progress: Progress, finding: Finding = _nowhere
) -> Looked:
    """All of it: lines, contents, and that the tables for people say the same. Raises as `look`."""
    side = _Side(path, finding)
    asking = Asking(progress=progress, whole=True, known=side.known)
    with open_package(path, scratch, asking) as reading:
        found = looked(reading, path)
        side.check_stored(reading)
        progress.begin("checking contents")
        contents, plain = _Checking(progress, side.read).check(reading)
        progress.end()
    return msgspec.structs.replace(found, contents=contents, plain=plain)


def unpack(
    path: Path,
    target: Path,
    scratch: Path,
    clock: Clock,
    progress: Progress,
    part: str | None,
    finding: Finding = _nowhere,
) -> ExportedTree:
    """Write the files of a package into a new folder, all or those of a part. Raises as `look`,
    ConflictError if something is there.
    """
    side = _Side(path, finding)
    with (
        workshop(target.absolute().parent, clock) as store,
        open_package(path, scratch, Asking(progress=progress, known=side.known)) as reading,
    ):
        release = looked(reading, path).release
        side.check_stored(reading)
        if side.found is not None and reading.known is not None:
            _bring(store, side.found, reading.lacking, reading.known)
        with Deposit(store) as deposit:
            adopter = Adopter(deposit, reading.bases)
            for one in reading.contents():
                if isinstance(one, LargeOne):
                    adopter.adopt_large(one.info, one.parts)
                else:
                    adopter.adopt(one)
            deposit.commit()
        wanted = list(_wanted(release, part))
        with store.keep_packs():
            return export(target, map(mask, wanted), store, progress)


def _bring(
    store: Store, beside: Beside, lacking: Sequence[BlobInfo], known: CheckedCatalog
) -> None:
    """What a patch has no contents for; and large ones, of which it may have parts alone."""
    tree = (entry.content for entry in known.tree if entry.path_class != "secret")
    large = {info for info in tree if info is not None and info.size > PART_THRESHOLD}
    with Deposit(store) as deposit:
        for info in {*lacking, *large}:
            deposit.add_stream(beside.stream(info), info.size)
        deposit.commit()


def _wanted(release: PackagedRelease, part: str | None) -> Iterator[Entry]:
    parts = PartsOf(release.package)
    for entry in release.entries:
        if part is None or entry.kind == "directory" or parts.of(entry.path) == part:
            yield entry


def looked(reading: PackageReading, path: Path) -> Looked:
    """What the lines of a package say. Raises as `look`."""
    data, sound = reading.lines()
    known = reading.known
    checker = Checker() if known is None else Checker.resume(known)
    last: VersionPart | None = None
    for line in data.splitlines(keepends=True):
        _, record = checker.add(line)
        last = record if isinstance(record, VersionPart) else last
    assert last is not None, "who read it saw a release"
    entries = {entry.path: entry for entry in checker.tree()}
    release = PackagedRelease(
        about=checker.finish(),
        record=last.header,
        package=packaging_form.read(checker.package),
        entries=[entries[name] for name in sort_paths(entries)],
        digest=checker.head,
    )
    since = known.releases[-1] if known is not None and known.releases else None
    size = path.stat().st_size
    return Looked(release=release, since=since, lines=sound.lines, size=size)


class _Checking:
    """Contents that are decoded and compared, and not kept."""

    def __init__(self, progress: Progress, elsewhere: Callable[[Sha256], bytes]) -> None:
        """`elsewhere` is where what is not in the package is read."""
        self._progress = progress
        self._elsewhere = elsewhere

    def check(self, reading: PackageReading) -> tuple[int, int]:
        """(contents, plain bytes). Raises BadPackageError."""
        contents = plain = 0
        for one in reading.contents():
            if isinstance(one, LargeOne):
                self._check_large(one)
                contents, plain = contents + 1, plain + one.info.size
                self._progress.advance(files=1, size=one.info.size)
                continue
            read = self._read(one)
            files = sum(row.digest is not None for row in one.rows)
            size = sum(map(len, read.values()))
            contents, plain = contents + files, plain + size
            self._progress.advance(files=files, size=size)
        return contents, plain

    def _check_large(self, one: LargeOne) -> None:
        whole = Hasher()
        for part in one.parts:
            if isinstance(part, Foreign):
                for data in self._read(part).values():
                    whole.update(data)
            else:
                whole.update(self._elsewhere(part))
        if whole.info() != one.info:
            raise BadPackageError(f"what is said to be {one.info.sha256.hex()} is another content")

    def _read(self, foreign: Foreign) -> Mapping[Sha256, bytes]:
        found, body = open_frame(foreign.record)
        check_rows(found, foreign.rows)
        rows = read_rows(found, body, foreign.rows, self._elsewhere)
        return {row.sha256: data for row, data in rows}
