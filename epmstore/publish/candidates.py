"""Builds that are candidates of packages: each becomes the next release of its product, once.

The preparer's lock is held meanwhile, so that builds are numbered in the order of their records. A
run that was killed between the catalog and the record finds the release that it made.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from epmstore.package.file_format import CANDIDATE
from epmstore.publish.build import BuildRecord

if TYPE_CHECKING:
    from epmstore.package.publish import PackageFile


class Numbering(Protocol):
    """Where releases are numbered, and packed."""

    def number(self, candidate: Path, *, product: str) -> int:
        """The release that a candidate is, published if it was not. Raises EpmError, OSError."""
        ...

    def pack(self, key: str, release: int, folder: Path) -> "PackageFile":
        """The package of a release, in a folder. Raises EpmError, OSError."""
        ...


OpenNumbering: TypeAlias = Callable[[], Numbering]
"""Opens the catalogs when the first candidate needs them."""


def is_candidate(build: BuildRecord) -> bool:
    return build.payload == "epkg" and build.path.endswith(CANDIDATE)
