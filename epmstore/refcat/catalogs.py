"""All refcats of a store: found by key, and what their newest releases need."""

from collections.abc import Sequence

from epmstore.catalog import appcat
from epmstore.catalog.model import AboutRecord, Requirement
from epmstore.errors import AppNotFoundError, VersionNotFoundError
from epmstore.refcat.releases import Releases, refcat_of
from epmstore.store.store import Store, app_of

APPCAT = "appcat.json"


def all_refcats(store: Store) -> list[AboutRecord]:
    """What each is about, in order of keys."""
    found = [Releases(store, app_of(name)).about() for name in store.vendor_catalogs()]
    return sorted((one for one in found if one is not None), key=lambda one: (one.key, one.app))


def registered(store: Store, key: str) -> str | None:
    """The UUID of the application of this host that has a key; None if none has."""
    apps = appcat.load(store.catalogs / APPCAT).apps
    return next((app.uuid for app in apps if app.key == key), None)


def find_refcat(store: Store, key: str) -> Releases:
    """The refcat of an application of this host, or the one that has this key or UUID.

    Raises AppNotFoundError.
    """
    for app in appcat.load(store.catalogs / APPCAT).apps:
        if app.key == key and Releases.of(store, app).exists():
            return Releases.of(store, app)
    known = all_refcats(store)
    for one in known:
        if key in (one.key, one.app):
            return Releases(store, one.app)
    keys = ", ".join(one.key for one in known)
    raise AppNotFoundError(
        f"no reference catalog of {key!r}",
        hint=f"known: {keys}"
        if keys
        else "begin one with `epmstore release init KEY`, or import"
        " one with `epmstore catalog import FILE`",
        key=key,
    )


class KnownVendors:
    """Vendors (requires.py): what this store knows of other applications."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def app(self, key: str) -> str:
        for app in appcat.load(self._store.catalogs / APPCAT).apps:
            if app.key == key:
                return refcat_of(app)
        return find_refcat(self._store, key).app

    def release(self, app: str, text: str) -> int:
        try:
            return Releases(self._store, app).resolve(text)
        except VersionNotFoundError:
            if text.isascii() and text.isdigit():
                return int(text)  # its catalog is not here, or not yet at that release
            raise VersionNotFoundError(
                f"no release of that application is called {text!r}",
                hint="write its number, or import its catalog first",
                label=text,
            ) from None


def needs_of_others(store: Store, app: str) -> dict[str, Sequence[Requirement]]:
    """What the newest release of every other application needs."""
    needs: dict[str, Sequence[Requirement]] = {}
    for name in store.vendor_catalogs():
        other = app_of(name)
        latest = Releases(store, other).latest()
        if other != app and latest is not None:
            needs[other] = latest.requires
    return needs
