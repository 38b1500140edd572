"""What is installed in an application: the set of products that its history says. Pure.

A version that changes the set names all of it; one that does not says nothing. So a rollback of the
tree is one of the set, and there is no other list that could contradict it. A set has each product
once, in the order of the UUIDs.
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from epmstore.catalog.model import Installed
from epmstore.catalog.state import CatalogState, VersionInfo

InstalledSet: TypeAlias = tuple[Installed, ...]


def installed_at(state: CatalogState, version: int | None = None) -> InstalledSet:
    """The set at a version; without one, now. Empty before anything was installed."""
    return installed_by(state.versions, version)


def installed_by(versions: Sequence[VersionInfo], version: int | None = None) -> InstalledSet:
    """The same, of versions in their order."""
    for one in reversed(versions):
        said = one.record.installed
        if said is not None and (version is None or one.version <= version):
            return said
    return ()


def is_uninstalled(state: CatalogState, product: str) -> bool:
    """Whether a product was installed once, and is not now."""
    if find_product(installed_at(state), product) is not None:
        return False
    return any(find_product(one.record.installed or (), product) for one in state.versions)


def with_product(installed: Iterable[Installed], product: Installed) -> InstalledSet:
    """The set once a release of a product is installed, in place of any other release of it."""
    return as_set([*without_product(installed, product.product), product])


def without_product(installed: Iterable[Installed], product: str) -> InstalledSet:
    """The set once a product is uninstalled."""
    return as_set(one for one in installed if one.product != product)


def find_product(installed: Iterable[Installed], product: str) -> Installed | None:
    return next((one for one in installed if one.product == product), None)


def as_set(installed: Iterable[Installed]) -> InstalledSet:
    """In the order of a set. Raises ValueError if a product is there twice."""
    products = list(installed)
    found = {one.product: one for one in products}
    if len(found) < len(products):
        raise ValueError("a product is installed twice in one application")
    return tuple(found[product] for product in sorted(found))
