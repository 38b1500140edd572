"""What a patch package goes on from, in a store: the catalog up to there, and contents.

What is not here is said before anything is decoded, with what helps: the full package, which needs
nothing that is here.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from epmstore.digest import BlobInfo, Sha256
from epmstore.errors import ForkError, VersionNotFoundError
from epmstore.package.messages import Begun
from epmstore.refcat import naming
from epmstore.refcat.checker import CheckedCatalog
from epmstore.refcat.interchange import known_here
from epmstore.store.store import Store

_NAMED: Final = re.compile(
    r".+-(?P<old>[A-Za-z0-9.+~^_]{1,64}-[0-9]{1,9})_(?P<new>[A-Za-z0-9.+~^_]{1,64}-[0-9]{1,9})"
    r"\.patch\.epkg"
)


class PatchBase:
    """Of the package in the file `path`, which need not be a patch. Changes nothing."""

    def __init__(self, store: Store, path: Path) -> None:
        self._store = store
        self._path = path
        self._begun: Begun | None = None
        self._title = "another release"

    def catalog(self, begun: Begun) -> CheckedCatalog:
        """The catalog that the lines of the package go on from, up to there. Raises
        VersionNotFoundError, ForkError.
        """
        self._begun = begun
        try:
            known = known_here(self._store, begun.product, begun.first)
        except VersionNotFoundError:
            raise needs_base(self._path, begun) from None
        if known.head != begun.prev:
            raise ForkError(
                f"line {begun.first} of the catalog of {known.about.key}, which it goes on from, is"
                " another one here",
                hint="one of the two is not its vendor's: a published release never changes",
                line=begun.first,
            )
        if known.releases:
            last = known.releases[-1]
            self._title = naming.title(last.version, last.label)
        return known

    def check_stored(self, needed: Sequence[BlobInfo]) -> None:
        """That what the package needs and does not have is stored here, or was purged. Raises
        VersionNotFoundError.
        """
        purged = self._store.contents.purged()
        lost = [one for one in self._store.blobs.missing(needed) if one not in purged]
        if lost:
            raise self.lacks(
                f"it is a patch of {self._title}, and {len(lost):,} contents of that are not here"
            )

    def lacks(self, why: str) -> VersionNotFoundError:
        """Contents are not here that it needs."""
        return VersionNotFoundError(why, hint=_help(self._path, self._begun))

    def read(self, sha256: Sha256) -> bytes:
        """A content, or a part of one, that is stored here. Raises BlobNotFoundError."""
        return self._store.blobs.read_part(sha256)

    def stream(self, info: BlobInfo) -> Iterator[bytes]:
        """A content in pieces. Raises BlobNotFoundError."""
        return self._store.blobs.stream(info)


def needs_base(path: Path, begun: Begun) -> VersionNotFoundError:
    """What a patch package goes on from is not here."""
    number = None if begun.release is None else begun.release - 1
    found = _NAMED.fullmatch(path.name)
    before = "another catalog" if number is None else f"release {number}"
    if number is not None and found is not None:
        before = naming.title(number, found["old"])
    return VersionNotFoundError(
        f"it is a patch of {before}, which is not here", hint=_help(path, begun)
    )


def _help(path: Path, begun: Begun | None) -> str:
    found = _NAMED.fullmatch(path.name)
    new, old = ("this release", "the one before it") if found is None else found.group("new", "old")
    hint = f"it needs the full package of {new}"
    return hint if begun is None or not begun.first else f"{hint}, or first that of {old}"
