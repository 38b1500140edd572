"""Which releases of which applications ever shipped a content: from the index, for one or many."""

from collections.abc import Iterable, Sequence

import msgspec

from epmstore.digest import BlobInfo, Digest
from epmstore.record.store import Store
from epmstore.relpath import RelPath
from epmstore.vendor.releases import Release, Releases, Shipped


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """A place that a content was shipped to: an application (UUID, and what its vendor calls it), a
    path, the first and the last release that has it there. `is_latest`: the newest release still
    has it.
    """

    app: str
    key: str
    path: RelPath
    first: Release
    last: Release
    is_latest: bool


class Identifier:
    """Looks contents up in every refcat of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[str, Sequence[Release]]] = {}

    def with_digest(self, digest: Digest) -> list[BlobInfo]:
        """The contents with an address that any catalog names."""
        return self._store.contents.seen(digest)

    def origins(self, contents: Iterable[BlobInfo]) -> dict[BlobInfo, list[Origin]]:
        """Where each was shipped, in order of application, path and release; empty for what nobody
        ever did.
        """
        wanted = list(contents)
        spans = Releases(self._store, "").spans([info.sha256 for info in wanted])
        return {info: [self._origin(one) for one in spans.get(info.sha256, ())] for info in wanted}

    def _origin(self, one: Shipped) -> Origin:
        key, releases = self._app(one.app)
        last = len(releases) - 1 if one.until is None else one.until - 1
        return Origin(
            app=one.app,
            key=key,
            path=one.path,
            first=releases[one.since],
            last=releases[last],
            is_latest=one.until is None,
        )

    def _app(self, app: str) -> tuple[str, Sequence[Release]]:
        if app not in self._known:
            releases = Releases(self._store, app)
            about = releases.about()
            self._known[app] = (app if about is None else about.key, releases.numbers())
        return self._known[app]
