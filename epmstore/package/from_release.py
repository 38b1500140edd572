"""A release of a store as a package: its lines, its contents, and the tables for people.

Of a full package that is all of it; of a patch package what leads from an older release to this one
(patching.py). How contents go into either, packing.py says.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import msgspec
from msgspec.structs import replace

from epmstore.catalog.format import decode_line, seal_line
from epmstore.catalog.model import VersionPart
from epmstore.errors import UsageError
from epmstore.package.elf import ElfFiles, elf_files, elf_rows
from epmstore.package.package_reader import FREE, RATIO
from epmstore.package.packing import Packer
from epmstore.package.patching import PatchStep, step_between, whole
from epmstore.package.tables import PackagedRelease, PartsOf, rows_of
from epmstore.package.writing import PackageWriter
from epmstore.progress import Progress
from epmstore.refcat import packaging_form
from epmstore.refcat.interchange import export_lines
from epmstore.refcat.releases import Releases
from epmstore.store.store import Store


class Packed(msgspec.Struct, frozen=True):
    """A package that was written: what is in it, and its bytes."""

    release: PackagedRelease
    contents: int
    plain: int
    size: int


def read_release(releases: Releases, number: int) -> PackagedRelease:
    """A release as a package holds it. Raises VersionNotFoundError, DamagedError, UsageError for
    one that does not say how it is a package.
    """
    about, said = releases.about(), releases.package(number)
    if about is None or not said:
        raise UsageError(
            f"release {releases.get(number).title} does not say how it is a package",
            hint="its vendor publishes what was built as a package",
        )
    return PackagedRelease(
        about=about,
        record=releases.record(number),
        package=packaging_form.read(said),
        entries=list(releases.tree(number)),
        digest=releases.get(number).digest,
    )


def write_package(
    store: Store,
    app: str,
    number: int,
    path: Path,
    progress: Progress,
    *,
    since: int | None = None,
    tags: Iterable[str] = (),
    elf: ElfFiles | None = None,
) -> Packed:
    """The full package of a release, durable at `path`; or the patch package that leads to it from
    the release `since`. `elf` is what is known of its ELF files already. Raises as `read_release`,
    BlobNotFoundError for contents that are not stored, UsageError for what no host would take,
    EpmError for an ELF file that takes too much to read, OSError.
    """
    releases = Releases(store, app)
    release = read_release(releases, number)
    step = whole(release.entries) if since is None else _step(releases, since, release)
    contents = step.contents
    progress.begin("packing", files=len(contents), size=sum(one.size for one in contents))
    with store.keep_packs(), PackageWriter(path) as writer, Packer(store, writer, progress) as pack:
        lines = islice(_lines_up_to(store, releases, number), step.start, None)
        writer.add_lines(app, map(seal_line, lines), step.start)
        pack.pack(contents, step.bases)
        if pack.plain > FREE + RATIO * writer.stored:
            raise UsageError(
                f"it comes to {pack.plain:,} bytes, more than {RATIO} times its own: no host takes"
                " that",
                hint="leave out what is empty space, or give it the class state",
            )
        said = replace(release, entries=step.entries)
        if elf is None:
            elf = elf_files(step.entries, store.blobs.stream)
        about = elf_rows(step.entries, elf, release.about.key, PartsOf(release.package))
        writer.finish({**rows_of(said, tags), **about})
    progress.end()
    return Packed(release, len(contents), pack.plain, path.stat().st_size)


def _step(releases: Releases, since: int, release: PackagedRelease) -> PatchStep:
    """What leads to a release from an older one. Raises VersionNotFoundError, UsageError."""
    number, before = release.record.version, releases.get(since)
    if since >= number:
        raise UsageError(f"a patch leads to a newer release, and {before.title} is none before it")
    start = next(seq + 1 for seq, head in releases.heads() if head == before.digest)
    return step_between(list(releases.tree(since)), release.entries, start)


def _lines_up_to(store: Store, releases: Releases, number: int) -> Iterator[bytes]:
    for plain in export_lines(store, releases):
        yield plain
        record = decode_line(plain)[1]
        header = record.header if isinstance(record, VersionPart) else None
        if header is not None and (header.version, header.part) == (number, header.parts):
            return
