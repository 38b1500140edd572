"""Whether a release meets a need, is what a conflict speaks of, or offers something. Pure.

A release never conflicts with itself, and meets its own needs for what it offers.
"""

from collections.abc import Collection, Iterator, Mapping

from epmstore.catalog.model import Requirement
from epmstore.catalog.packaging import Exact, Need
from epmstore.package.universe import ProductRelease
from epmstore.package.versions import Ordering, is_version_within, split_build

Orderings = Mapping[str, Ordering]
"""The order of each product, by UUID."""


def fits(release: ProductRelease, need: Need, orderings: Orderings) -> bool:
    """Whether a release meets a need, if those of its parts are installed that it takes; see
    `parts_for`.
    """
    if need.capability is not None or need.soname is not None:
        return any(True for _ in _offered(release, need))
    if need.app is not None and need.app != release.app:
        return False
    if need.product is not None and need.app is None and need.product != release.product:
        return False
    if need.part is not None and need.part not in release.parts:
        return False
    return orderings[release.app].is_within(release, need)


def parts_for(release: ProductRelease, need: Need) -> frozenset[str]:
    """Parts of a release that fits, one of which has to be installed as well; empty if none has."""
    if need.part is not None:
        return frozenset({need.part})
    if need.capability is None and need.soname is None:
        return frozenset()
    parts = set(_offered(release, need))
    return frozenset() if None in parts else frozenset(part for part in parts if part)


def _offered(release: ProductRelease, need: Need) -> Iterator[str | None]:
    """The part (None: all of it) of each offer that meets a need."""
    for offer in release.package.provides if release.package else ():
        if need.soname is not None:
            if offer.soname == need.soname:
                yield offer.of
        elif offer.capability is not None and offer.capability == need.capability:  # noqa: SIM102
            if _is_within(offer.version, need):
                yield offer.of


def _is_within(version: str | None, need: Need) -> bool:
    """A capability is no product: its versions are compared by the rules of rpm."""
    if need.min is None and need.max is None:
        return True
    return version is not None and is_version_within(*split_build(version), need.min, need.max)


def need_of(required: Requirement) -> Need:
    """The need of an application that a line of a refcat has, as one of a product."""
    return Need(product=required.key, app=required.app, first=required.min, last=required.max)


def is_exactly(release: ProductRelease, exact: Exact) -> bool:
    """By its digest, where that is known."""
    if release.app != exact.app or release.number != exact.release:
        return False
    return release.digest is None or release.digest == exact.digest


def names_offered(release: ProductRelease) -> Collection[str]:
    """Capabilities and libraries, with or without a version."""
    offers = release.package.provides if release.package else ()
    return {offer.capability or offer.soname or "" for offer in offers}
