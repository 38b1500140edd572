"""Which releases of which applications ever shipped a content: from the index, for one or many."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from epmstore.digest import BlobInfo, Digest
from epmstore.refcat.classify import Shipped
from epmstore.refcat.releases import Release, Releases
from epmstore.relpath import RelPath
from epmstore.store.store import Store


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """A place that a content was shipped to: an application (UUID, and what its vendor calls it), a
    path, the first and the last release that has it there. `is_latest`: the newest release still
    has it. `withdrawn` is the reason why its vendor withdrew the component, or the release if it is
    the only one; None if not.
    """

    app: str
    key: str
    path: RelPath
    first: Release
    last: Release
    is_latest: bool
    withdrawn: str | None = None


class Identifier:
    """Looks contents up in every refcat of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[str, Sequence[Release], Mapping[str, str]]] = {}

    def with_digest(self, digest: Digest) -> list[BlobInfo]:
        """The contents with an address that any catalog names."""
        return self._store.contents.seen(digest)

    def origins(self, contents: Iterable[BlobInfo]) -> dict[BlobInfo, list[Origin]]:
        """Where each was shipped, in order of application, path and release; empty for what was
        never shipped.
        """
        wanted = list(contents)
        spans = Releases(self._store, "").spans([info.sha256 for info in wanted])
        return {
            info: [self._origin(info, one) for one in spans.get(info.sha256, ())] for info in wanted
        }

    def _origin(self, info: BlobInfo, one: Shipped) -> Origin:
        key, releases, revoked = self._app(one.app)
        last = len(releases) - 1 if one.until is None else one.until - 1
        return Origin(
            app=one.app,
            key=key,
            path=one.path,
            first=releases[one.since],
            last=releases[last],
            is_latest=one.until is None,
            withdrawn=revoked.get(info.digest.hex(), _of_all(releases[one.since : last + 1])),
        )

    def _app(self, app: str) -> tuple[str, Sequence[Release], Mapping[str, str]]:
        if app not in self._known:
            releases = Releases(self._store, app)
            about = releases.about()
            key = app if about is None else about.key
            self._known[app] = (key, releases.all(), releases.revoked_contents())
        return self._known[app]


def _of_all(releases: Sequence[Release]) -> str | None:
    """The reason why all of some releases were withdrawn: that of the last one."""
    reasons = [one.revoked for one in releases]
    return None if None in reasons or not reasons else reasons[-1]
