"""What the refcats of a store know, asked for many contents at once."""

from collections.abc import Iterable, Sequence

from epmstore.digest import BlobInfo, Sha256
from epmstore.errors import PathNotFoundError
from epmstore.index.entries import Span
from epmstore.refcat.classify import Shipped
from epmstore.refcat.releases import Releases
from epmstore.relpath import RelPath
from epmstore.tree import Entry


class Knowledge:
    """A Vendor (classify.py). Contents of `expected` entries are looked up together."""

    def __init__(self, releases: Releases, expected: Iterable[Entry] = ()) -> None:
        self._releases = releases
        wanted = {entry.content.sha256 for entry in expected if entry.content is not None}
        self._asked: set[Sha256] = wanted
        self._shipped = releases.spans(wanted) if wanted else {}

    def shipped(self, content: BlobInfo) -> Sequence[Shipped]:
        if content.sha256 not in self._asked:
            self._asked.add(content.sha256)
            self._shipped.update(self._releases.spans([content.sha256]))
        return self._shipped.get(content.sha256, [])

    def states(self, path: RelPath) -> Sequence[Span]:
        try:
            return self._releases.history(path)
        except PathNotFoundError:
            return []
