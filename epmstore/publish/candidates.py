"""Candidates get their numbers: a build that is a candidate of a package becomes the next release
of its product, once.

The preparer's lock is held, so that builds are numbered in the order of their records. The release
that a candidate became is found by its label and all that its packaging says: a run that was killed
between the catalog and the record finds it again, and no number is given twice.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeAlias

from epmstore.errors import NotFoundError, UsageError
from epmstore.package.file_format import CANDIDATE
from epmstore.package.inspection import look
from epmstore.package.publish import PackageFile, publish_candidate
from epmstore.package.taking import SCRATCH
from epmstore.progress import Progress
from epmstore.publish.build import BuildRecord
from epmstore.refcat import packaging_form
from epmstore.refcat.catalogs import find_refcat
from epmstore.store.store import Store


class Numbering(Protocol):
    """Where releases are numbered, and packed."""

    def number(self, candidate: Path, *, product: str) -> int:
        """The release that a candidate is, published if it was not. Raises EpmError, OSError."""
        ...

    def pack(self, key: str, release: int, folder: Path) -> PackageFile:
        """The package of a release, in a folder. Raises EpmError, OSError."""
        ...


OpenNumbering: TypeAlias = Callable[[], Numbering]
"""Opens the catalogs when the first candidate needs them."""


def is_candidate(build: BuildRecord) -> bool:
    return build.payload == "epkg" and build.path.endswith(CANDIDATE)


def number_candidate(store: Store, path: Path, product: str, progress: Progress) -> int:
    """The number of the release that a candidate is; published if it was not yet. Raises
    NotFoundError, UsageError if it is none, or of another product, AppNotFoundError,
    BadPackageError and its kin, ConflictError, OSError.
    """
    if not path.is_file():
        raise NotFoundError(f"build not found: {path}", file=str(path))
    found = look(path, store.path / SCRATCH, progress)
    key, package = found.release.about.key, found.release.package
    if not found.is_candidate or key != product:
        raise UsageError(f"{path.name} is no candidate of {product}, but {key} {found.title}")
    releases = find_refcat(store, key)
    label = f"{package.version}-{package.build}"
    for one in releases.all():
        said = releases.package(one.version) if one.label == label else None
        if said and packaging_form.read(said) == package:
            return one.version
    done = publish_candidate(store, path, progress)
    if done.release is None:
        raise UsageError(f"{path.name} was not published")
    return done.release.version
