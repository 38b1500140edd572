"""Looking at a package without a store: what is in it, whether all of it is sound, its files.

What is looked at may come from anywhere: it is read as a host would read it. Whether its signature
counts only a store can say.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from epmstore.blobs.foreign import Foreign, check_rows, open_frame, read_rows
from epmstore.catalog.model import VersionPart
from epmstore.checkout.target import ExportedTree, export
from epmstore.clock import Clock
from epmstore.digest import Hasher, Sha256
from epmstore.errors import BadPackageError
from epmstore.package.file_format import NOBODY
from epmstore.package.package_reader import Asking, LargeOne, PackageReading, open_package
from epmstore.package.tables import PackagedRelease, PartsOf
from epmstore.package.workshop import workshop
from epmstore.progress import Progress
from epmstore.refcat import packaging_form
from epmstore.refcat.checker import Checker
from epmstore.refcat.hygiene import mask
from epmstore.relpath import sort_paths
from epmstore.store.adopt import Adopter
from epmstore.store.deposit import Deposit
from epmstore.tree import Entry


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """A package: its release; lines in it; contents and their plain bytes, if those were read."""

    release: PackagedRelease
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


def look(path: Path, scratch: Path, progress: Progress) -> Looked:
    """What a package is, by its lines. Raises BadPackageError and its kin, OSError."""
    with open_package(path, scratch, Asking(progress=progress)) as reading:
        return looked(reading, path)


def verify_package(path: Path, scratch: Path, progress: Progress) -> Looked:
    """All of it: lines, contents, and that the tables for people say the same. Raises as `look`."""
    with open_package(path, scratch, Asking(progress=progress, whole=True)) as reading:
        found = looked(reading, path)
        progress.begin("checking contents")
        contents, plain = _Checking(progress).check(reading)
        progress.end()
    return msgspec.structs.replace(found, contents=contents, plain=plain)


def unpack(
    path: Path, target: Path, scratch: Path, clock: Clock, progress: Progress, part: str | None
) -> ExportedTree:
    """Write the files of a package into a new folder, all or those of a part. Raises as `look`,
    ConflictError if something is there.
    """
    with (
        workshop(target.absolute().parent, clock) as store,
        open_package(path, scratch, Asking(progress=progress)) as reading,
    ):
        release = looked(reading, path).release
        with Deposit(store) as deposit:
            adopter = Adopter(deposit)
            for one in reading.contents():
                if isinstance(one, LargeOne):
                    adopter.adopt_large(one.info, one.parts)
                else:
                    adopter.adopt(one)
            deposit.commit()
        wanted = list(_wanted(release, part))
        with store.keep_packs():
            return export(target, map(mask, wanted), store, progress)


def _wanted(release: PackagedRelease, part: str | None) -> Iterator[Entry]:
    parts = PartsOf(release.package)
    for entry in release.entries:
        if part is None or entry.kind == "directory" or parts.of(entry.path) == part:
            yield entry


def looked(reading: PackageReading, path: Path) -> Looked:
    """What the lines of a package say. Raises as `look`."""
    data, sound = reading.lines()
    checker = Checker()
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
    return Looked(release=release, lines=sound.lines, size=path.stat().st_size)


class _Checking:
    """Contents that are decoded and compared, and not kept."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

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
            if not isinstance(part, Foreign):
                raise BadPackageError(f"a part of {one.info.sha256.hex()} is not in it")
            for data in self._read(part).values():
                whole.update(data)
        if whole.info() != one.info:
            raise BadPackageError(f"what is said to be {one.info.sha256.hex()} is another content")

    def _read(self, foreign: Foreign) -> Mapping[Sha256, bytes]:
        found, body = open_frame(foreign.record)
        check_rows(found, foreign.rows)
        return {row.sha256: data for row, data in read_rows(found, body, foreign.rows, _no_base)}


def _no_base(sha256: Sha256) -> bytes:
    raise BadPackageError(f"it has differences to {sha256.hex()}: only a host that has it can tell")
