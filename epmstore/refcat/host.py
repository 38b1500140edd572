"""What needs are held against: the applications of this host, their releases and their files."""

from collections.abc import Iterable

from epmstore.catalog import appcat
from epmstore.catalog.appcat import App
from epmstore.digest import parse_digest
from epmstore.index.comparison import Comparison
from epmstore.refcat.catalogs import APPCAT
from epmstore.refcat.fit import best_fit
from epmstore.refcat.lines import ReleaseOrder
from epmstore.refcat.releases import Releases, refcat_of
from epmstore.store.store import Store, is_refcat


class StoreHost:
    """A Host (requires.py): what one store knows of its host, as it was recorded last."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def is_installed(self, app: str) -> bool:
        return self._find(app) is not None

    def release_of(self, app: str) -> int | None:
        found = self._find(app)
        releases = Releases(self._store, app)
        if found is None or not releases.exists():
            return None
        comparison = Comparison(self._store.database, found.uuid, releases.catalog)
        numbers = [one.version for one in releases.all()]
        fit = best_fit(comparison.matches(), comparison.sizes(), numbers)
        return None if fit is None else fit.release

    def order(self, app: str, one: int, two: int) -> ReleaseOrder:
        return Releases(self._store, app).lines().order(one, two)

    def title(self, app: str, release: int) -> str:
        found = Releases(self._store, app).all()
        return found[release].title if 0 <= release < len(found) else str(release)

    def has(self, digests: Iterable[str]) -> set[str]:
        """Where catalogs say which content is meant, another one with its SHA-1 is not it."""
        wanted = {parse_digest(text): text for text in digests}
        contents, entries = self._store.contents, self._store.entries
        found: set[str] = set()
        for digest in entries.live_contents(wanted):
            named = [info.sha256 for info in contents.seen(digest)]
            meant = set(entries.shipped(named)) or set(named)
            live = {
                span.entry.content.sha256
                for app, span in (entries.with_content(digest) if len(named) > 1 else ())
                if span.until is None and not is_refcat(app) and span.entry.content is not None
            }
            if len(named) == 1 or live & meant:
                found.add(wanted[digest])
        return found

    def _find(self, app: str) -> App | None:
        """The installed application that is compared with this refcat."""
        for one in appcat.load(self._store.catalogs / APPCAT).apps:
            if refcat_of(one) == app and self._store.entries.position(one.uuid) is not None:
                return one
        return None
