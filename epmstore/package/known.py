"""What a store knows when needs are solved: the releases of its refcats, and what the histories of
its applications say is installed. Changes nothing.

An application that has a history, and no version that says what is installed, is there all the
same: it is `found`. Its release is known only where it is the newest one that was gone to.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from epmstore.care.references import index_state
from epmstore.catalog.appcat import App
from epmstore.catalog.format import decode_line
from epmstore.catalog.installed import installed_at
from epmstore.catalog.model import NO_PACKAGE, Installed, VersionPart
from epmstore.catalog.packaging import Package
from epmstore.catalog.state import CatalogState
from epmstore.errors import BadCatalogError
from epmstore.package.universe import InstalledRelease, ProductRelease, Universe
from epmstore.refcat import packaging_form as packaging
from epmstore.refcat.lines import Lines
from epmstore.refcat.releases import Releases, refcat_of
from epmstore.store.store import Store, app_of, is_refcat

ANY: Final = frozenset({"all", "any", "noarch"})
SAME: Final = {"amd64": "x86_64", "x86-64": "x86_64", "arm64": "aarch64", "i386": "i686"}
"""What packagers call machines, and what the kernel calls them."""
LIBRARIES: Final = tuple(map(Path, ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")))


class InstalledProduct(msgspec.Struct, frozen=True, kw_only=True):
    """A product that an application says is installed there. `release` is None where its catalog is
    not here any more. `frozen`: it stays as it is.
    """

    app: App
    said: Installed
    release: ProductRelease | None
    frozen: bool = False

    @property
    def title(self) -> str:
        """`crm 4.1.0-1 (41)`."""
        if self.release is not None:
            return self.release.title
        return f"{self.said.product} ({self.said.release})"


def releases_of(store: Store, product: str) -> list[ProductRelease]:
    """All releases of a product (UUID) that are here, by number. Those whose packaging has a form
    that this release does not read are left out: what they need is not known.
    """
    releases = Releases(store, product)
    about = releases.about()
    if about is None:
        return []
    said = _packagings(store, releases)
    found = []
    for one in releases.all():
        package = said.get(one.version)
        if isinstance(package, BadCatalogError):
            continue
        found.append(
            ProductRelease(
                app=product,
                product=about.key,
                number=one.version,
                package=package,
                label=one.label,
                digest=one.digest,
                requires=one.requires,
                revoked=one.revoked,
            )
        )
    return found


def _packagings(store: Store, releases: Releases) -> dict[int, Package | BadCatalogError]:
    found: dict[int, Package | BadCatalogError] = {}
    for line in store.entries.records(releases.catalog):
        if line.version is None or b'"package"' not in line.form:
            continue
        record = decode_line(line.form)[1]
        if not isinstance(record, VersionPart) or record.header.package is NO_PACKAGE:
            continue
        try:
            found[line.version] = _for_here(packaging.read(record.header.package))
        except BadCatalogError as error:
            found[line.version] = error
    return found


def _for_here(package: Package) -> Package:
    """With the kernel's word for its architecture."""
    said = package.architecture
    if said is None or (said == SAME.get(said, said) and said not in ANY):
        return package
    return msgspec.structs.replace(package, architecture=None if said in ANY else SAME[said])


class KnownProducts:
    """The products of a store, each read when it is first asked for."""

    def __init__(self, store: Store, apps: Iterable[App]) -> None:
        self._store = store
        self.apps = tuple(apps)
        self._releases: dict[str, list[ProductRelease]] = {}
        self._states: dict[str, CatalogState] = {}

    def releases(self, product: str) -> Sequence[ProductRelease]:
        """Of a product, by number."""
        if product not in self._releases:
            self._releases[product] = releases_of(self._store, product)
        return self._releases[product]

    def products(self) -> Iterator[str]:
        """UUIDs of all that have a refcat here: those that only the index knows are on trial."""
        known = (name for name in self._store.entries.catalogs() if is_refcat(name))
        return map(app_of, sorted({*self._store.vendor_catalogs(), *known}))

    def state(self, app: App) -> CatalogState:
        """What the history of an application comes to."""
        if app.uuid not in self._states:
            self._states[app.uuid] = index_state(self._store, app.uuid)
        return self._states[app.uuid]

    def installed(self) -> list[InstalledProduct]:
        """In order of the keys of applications."""
        return [one for app in self.apps for one in self.installed_in(app)]

    def installed_in(self, app: App) -> list[InstalledProduct]:
        """What an application says is installed there."""
        state = self.state(app)
        return [
            InstalledProduct(
                app=app,
                said=said,
                release=self._release(said),
                frozen=said.product in state.frozen,
            )
            for said in installed_at(state)
        ]

    def _release(self, said: Installed) -> ProductRelease | None:
        known = self.releases(said.product)
        return next((one for one in known if one.number == said.release), None)

    def universe(self, machine: str, *, as_new: Collection[str] = ()) -> Universe:
        """What needs are solved by, on a `machine` as the kernel calls it. Applications in `as_new`
        (keys) count as empty if no version says what is installed in them.
        """
        installed = [one for app in self.apps for one in self._there(app, app.key in as_new)]
        releases = [one for product in self.products() for one in self.releases(product)]
        lines = {product: Releases(self._store, product).lines() for product in self.products()}
        return Universe(
            installed=tuple(installed),
            releases=tuple(releases),
            system=self._libraries(releases),
            architecture=SAME.get(machine, machine),
            lines={product: found for product, found in lines.items() if _has_several(found)},
        )

    def _there(self, app: App, is_new: bool) -> Iterator[InstalledRelease]:
        here = self.installed_in(app)
        for one in here:
            parts = None if one.said.parts is None else frozenset(one.said.parts)
            yield InstalledRelease(
                instance=app.key,
                release=one.release or _unknown(one.said),
                parts=parts,
                frozen=one.frozen,
            )
        ever = any(one.record.installed is not None for one in self.state(app).versions)
        if here or ever or is_new or not self._has_anything(app):
            return
        product = refcat_of(app)
        known = self.releases(product)
        if known:
            release = replace(known[0], number=None, package=None, label=None, digest=None)
            yield InstalledRelease(instance=app.key, release=release, found=True)

    def _has_anything(self, app: App) -> bool:
        entries = self._store.entries
        return entries.position(app.uuid) is not None and bool(entries.live_folder(app.uuid, ""))

    def _libraries(self, releases: Iterable[ProductRelease]) -> frozenset[str]:
        """Of the host, if a release needs libraries."""
        needs = (need for one in releases if one.package for need in one.package.requires)
        return libraries() if any(need.soname is not None for need in needs) else frozenset()


def _unknown(said: Installed) -> ProductRelease:
    """A release whose catalog is not here any more."""
    return ProductRelease(
        app=said.product, product=said.product, number=said.release, digest=said.digest
    )


def _has_several(lines: Lines) -> bool:
    return any(lines.before(one) not in (None, one - 1) for one in range(lines.count))


def libraries(places: Iterable[Path] = LIBRARIES) -> frozenset[str]:
    """Names of the libraries in folders of the system, and one folder deep in them."""
    found: set[str] = set()
    for place in places:
        found.update(_names(place))
        triplets = (name for name in _names(place) if name.endswith(("-linux-gnu", "-linux-musl")))
        for name in list(triplets):
            found.update(_names(place / name))
    return frozenset(name for name in found if ".so" in name)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
