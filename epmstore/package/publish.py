"""A candidate becomes a release of its product: numbered, appended, and packed for hosts.

The store's lock is held from the comparison to the line, so two pipelines never make two releases
of one number. A candidate that differs in nothing but its build from the newest release is none.
What is published once is never replaced: a package that is there already is left as it is, and one
that is another release's is an error.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from epmstore import fsio
from epmstore.atomic import directory, discard, temporary_name
from epmstore.catalog.classes import LISTS, Patterns, Rules
from epmstore.catalog.model import AboutRecord
from epmstore.catalog.packaging import Package
from epmstore.clock import to_rfc3339
from epmstore.errors import AppNotFoundError, BadCatalogError, ConflictError, UsageError
from epmstore.package.file_format import PATCH, SUFFIX
from epmstore.package.from_release import read_release, write_package
from epmstore.package.inspection import Looked, looked
from epmstore.package.package_reader import Asking, LargeOne, PackageReading, open_package
from epmstore.package.patch_base import PatchBase
from epmstore.package.tables import PackagedRelease
from epmstore.package.taking import SCRATCH
from epmstore.progress import Progress
from epmstore.refcat import packaging_form
from epmstore.refcat.append import (
    ReleaseDelta,
    ReleaseDraft,
    check_delta,
    make_delta,
    publish_delta,
    say,
)
from epmstore.refcat.catalogs import find_refcat
from epmstore.refcat.gather import Gatherer
from epmstore.refcat.releases import Release, Releases
from epmstore.refcat.signature import sign_file
from epmstore.relpath import RelPath
from epmstore.store.adopt import Adopter
from epmstore.store.deposit import Deposit
from epmstore.store.store import Store
from epmstore.tree import Entry

SIGNED = ".asc"


class Numbered(msgspec.Struct, frozen=True, kw_only=True):
    """What publishing a candidate came to. `release` is None for a dry run; `changed` is false if
    the newest release is the same, which is then `release`. `bases` are the releases from which
    patches were asked for.
    """

    about: AboutRecord
    release: Release | None
    label: str
    changed: bool
    delta: ReleaseDelta
    files: int
    bases: tuple[int, ...] = ()


class PackageFile(msgspec.Struct, frozen=True, kw_only=True):
    """A package for hosts: of which release, of a patch package `since` which. `written` is false
    if it was there already.
    """

    path: Path
    release: int
    since: int | None = None
    label: str | None
    size: int
    signed: bool
    written: bool


def publish_candidate(
    store: Store,
    path: Path,
    progress: Progress,
    *,
    after: str | None = None,
    patch_from: Sequence[str] = (),
    dry_run: bool = False,
) -> Numbered:
    """Publish a candidate in the catalog of its product. Raises UsageError for what is no
    candidate, AppNotFoundError, BadPackageError and its kin, VersionNotFoundError, ConflictError,
    OSError; then nothing is published.
    """
    asking = Asking(progress=progress, known=PatchBase(store, path).catalog)
    with open_package(path, store.path / SCRATCH, asking) as reading:
        found = looked(reading, path)
        if not found.is_candidate:
            raise UsageError(
                f"{path.name} is {found.release.about.key} {found.title}: it is published already"
            )
        releases = find_refcat(store, found.release.about.key)
        bases = tuple(dict.fromkeys(map(releases.resolve, patch_from)))
        for base in bases:
            read_release(releases, base)
        with store.lock_app(releases.app), Deposit(store) as deposit:
            done = _number(deposit, reading, found, releases, progress, after, dry_run=dry_run)
        return replace(done, bases=bases)


def _number(
    deposit: Deposit,
    reading: PackageReading,
    found: Looked,
    releases: Releases,
    progress: Progress,
    after: str | None,
    *,
    dry_run: bool,
) -> Numbered:
    store, package = deposit.store, found.release.package
    latest = releases.latest()
    old = {} if latest is None else {e.path: e for e in releases.tree(latest.version)}
    about, is_said = _about(releases, found.release.about.patterns)
    _take(deposit, reading, progress)
    entries = _entries(deposit, releases, about, old, found, progress)
    delta = make_delta(old, entries)
    follows = None if after is None else releases.resolve(after)
    label = f"{package.version}-{package.build}"
    draft = ReleaseDraft(
        label=label,
        package=package,
        after=None if latest is not None and follows == latest.version else follows,
    )
    is_new = latest is None or not delta.is_empty or _differs(releases, latest, package)
    if is_new:
        _check(package, releases.app)
    if is_new and dry_run:
        check_delta(store, about, delta, draft)
    elif is_new:
        if not is_said:  # first: the entries are of the classes that this says
            said = replace(about, time=to_rfc3339(store.clock.now()))
            say(store, about.app, said)
        publish_delta(deposit, about, delta, draft)
    return Numbered(
        about=about,
        release=None if dry_run and is_new else releases.latest(),
        label=label,
        changed=is_new,
        delta=delta,
        files=sum(entry.kind == "file" for entry in entries),
    )


def _check(package: Package, app: str) -> None:
    """Whether a packaging is right for the product (UUID) that it is published of. Raises
    UsageError.
    """
    try:
        packaging_form.check(package, app)
    except BadCatalogError as error:
        raise UsageError(f"it cannot be published: {error.message}") from None


def _take(deposit: Deposit, reading: PackageReading, progress: Progress) -> None:
    adopter = Adopter(deposit)
    progress.begin("taking contents")
    for one in reading.contents():
        if isinstance(one, LargeOne):
            adopter.adopt_large(one.info, one.parts)
        else:
            adopter.adopt(one)
        progress.advance(files=1)
    progress.end()


def _entries(
    deposit: Deposit,
    releases: Releases,
    about: AboutRecord,
    old: Mapping[RelPath, Entry],
    found: Looked,
    progress: Progress,
) -> list[Entry]:
    """The tree of the candidate, with the classes of the catalog."""
    gatherer = Gatherer(deposit, releases.catalog, Rules(about.patterns), old, progress)
    gatherer.add_tree(found.release.entries)
    return gatherer.finish().entries


def _about(releases: Releases, patterns: Patterns) -> tuple[AboutRecord, bool]:
    """What the catalog is about, with the patterns of the candidate beside its own; and whether it
    says so already.
    """
    about = releases.about()
    if about is None:
        raise AppNotFoundError(f"the catalog of {releases.app} does not say what it is about")
    lists = {
        kind: (*known, *(one for one in getattr(patterns, kind) if one not in known))
        for kind in LISTS
        for known in [getattr(about.patterns, kind)]
    }
    joined = Patterns(**lists)
    return replace(about, patterns=joined), joined == about.patterns


def _differs(releases: Releases, latest: Release, package: Package) -> bool:
    """Whether a packaging says more than another build of the newest release would."""
    said = releases.package(latest.version)
    if not said:
        return True
    before = packaging_form.read(said)
    return replace(before, build=package.build, build_time=package.build_time) != package


def pack_release(
    store: Store,
    releases: Releases,
    number: int,
    folder: Path,
    progress: Progress,
    since: int | None = None,
) -> PackageFile:
    """The package of a release in `folder`, by its own name; or the patch package that leads to it
    from the release `since`. Raises ConflictError if that of another release is there, UsageError
    for one that says nothing of a package or is not newer, OSError.
    """
    release = read_release(releases, number)
    path = folder / _file_name(releases, release, since)
    is_there = path.exists()
    if is_there:
        _check_same(store, path, release.digest, since)
    else:
        write_package(store, releases.app, number, path, progress, since=since)
    return PackageFile(
        path=path,
        release=number,
        since=since,
        label=releases.get(number).label,
        size=path.stat().st_size,
        signed=path.with_name(path.name + SIGNED).exists(),
        written=not is_there,
    )


def _file_name(releases: Releases, release: PackagedRelease, since: int | None) -> str:
    """`crm-4.1.0-1.epkg`; of a patch `crm-4.0.0-1_4.1.0-1.patch.epkg`."""
    key, title = release.about.key, f"{release.package.version}-{release.package.build}"
    if since is None:
        return f"{key}-{title}{SUFFIX}"
    before = read_release(releases, since).package
    return f"{key}-{before.version}-{before.build}_{title}{PATCH}"


def _check_same(store: Store, path: Path, digest: str, since: int | None) -> None:
    """That a package that is there is the one that would be written. Raises ConflictError."""
    asking = Asking(known=PatchBase(store, path).catalog)
    with open_package(path, store.path / SCRATCH, asking) as reading:
        there = looked(reading, path)
    before = None if there.since is None else there.since.version
    if (there.release.digest, before) != (digest, since):
        raise ConflictError(
            f"{path} is there, and is another release",
            hint="what was given to others is never replaced: name another folder",
        )


def sign_package(path: Path, secret: bytes) -> None:
    """A signature beside a package, durably, unless there is one. Raises UsageError, OSError."""
    beside = path.with_name(path.name + SIGNED)
    if beside.exists():
        return
    name = temporary_name()
    with directory(path.parent) as parent:
        try:
            sign_file(path, path.with_name(name), secret)
            fd = fsio.open_append(name, parent)
            try:
                fsio.set_mode(fd, 0o644)
                fsio.sync_file(fd)
            finally:
                os.close(fd)
            fsio.rename(name, parent, beside.name, parent)
            fsio.sync_directory(parent)
        except BaseException:
            discard(name, parent)
            raise
