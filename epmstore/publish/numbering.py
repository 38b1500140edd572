"""Where a candidate gets its number: in the catalog of its product, once.

The release that it became is found by its label and all that its packaging says, and no number is
given twice.
"""

from pathlib import Path

from epmstore.errors import NotFoundError, UsageError
from epmstore.package.inspection import look
from epmstore.package.publish import publish_candidate
from epmstore.package.taking import SCRATCH
from epmstore.progress import Progress
from epmstore.refcat import packaging_form
from epmstore.refcat.catalogs import find_refcat
from epmstore.store.store import Store


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
