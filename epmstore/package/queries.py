"""Why something is installed, who has what, and what there is, of the same values that the solver
takes. Pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from epmstore.catalog.packaging import Need
from epmstore.errors import AppNotFoundError
from epmstore.package.fitting import fits, is_exactly, names_offered, parts_for
from epmstore.package.ranges import describe
from epmstore.package.rules import NeedRules
from epmstore.package.universe import InstalledRelease, ProductRelease, Universe
from epmstore.package.versions import Ordering


@dataclass(frozen=True, slots=True)
class NeededBy:
    """Who of what is installed needs something, and how: `needs`, `would like`, `is tied to` or
    `consists of`. `others`: what is installed and would do as well.
    """

    instance: str
    release: ProductRelease
    how: str
    what: str
    others: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        also = f" (as would {', '.join(self.others)})" if self.others else ""
        return f"{self.release.title} {self.how} {self.what}{also}"


@dataclass(frozen=True, slots=True)
class Why:
    """Why something is installed: whom it is needed by. If by none, it is there for itself."""

    instance: str
    release: ProductRelease
    by: tuple[NeededBy, ...]


@dataclass(frozen=True, slots=True)
class Offering:
    """Who offers a library or a capability. `version` is that of the capability; `part` has it.
    `present`: it is installed, with that part.
    """

    instance: str
    release: ProductRelease
    version: str | None
    part: str | None
    present: bool


@dataclass(frozen=True, slots=True)
class ProductHit:
    """A product that was looked for: its newest release that was not withdrawn, or the newest of
    all; and the applications that have it installed.
    """

    release: ProductRelease
    instances: tuple[str, ...]


def search(universe: Universe, text: str) -> tuple[ProductHit, ...]:
    """Products that have every word of a text in what they are called, what is said of them, or
    what they offer: in the newest release, in order of their keys. Letters may be small or capital.
    """
    words = text.casefold().split()
    known: dict[str, list[ProductRelease]] = {}
    for release in universe.releases:
        known.setdefault(release.app, []).append(release)
    found = []
    for product, releases in known.items():
        order = Ordering(releases, universe.lines.get(product))
        standing = [one for one in releases if one.revoked is None]
        newest = max(standing or releases, key=order.key)
        said = _said(newest)
        if all(word in said for word in words):
            there = (one.instance for one in universe.installed if one.release.app == product)
            found.append(ProductHit(newest, tuple(there)))
    return tuple(sorted(found, key=lambda one: (one.release.product, one.release.app)))


def _said(release: ProductRelease) -> str:
    package = release.package
    if package is None:
        return f"{release.product} {release.label or ''}".casefold()
    offers = (offer.soname or offer.capability or "" for offer in package.provides)
    said = (release.product, package.summary, package.description, *package.groups, *offers)
    return "\n".join(said).casefold()


def why(universe: Universe, name: str) -> tuple[Why, ...]:
    """Of each application that has a product, by its key, UUID, or the application's own key.
    Raises AppNotFoundError.
    """
    wanted = [
        one
        for one in universe.installed
        if name in (one.release.product, one.release.app, one.instance)
    ]
    if not wanted:
        raise AppNotFoundError(
            f"{name} is not installed",
            hint="name a product or an application by its key",
            product=name,
        )
    orderings = _orderings(universe)
    return tuple(
        Why(one.instance, one.release, tuple(_needed_by(universe, one, orderings)))
        for one in wanted
    )


def owner(universe: Universe, name: str) -> tuple[Offering, ...]:
    """Who of what is installed offers a library (by its soname) or a capability."""
    return tuple(
        Offering(
            one.instance,
            one.release,
            offer.version,
            offer.of,
            offer.of is None or one.has_part(offer.of),
        )
        for one in universe.installed
        if name in names_offered(one.release) and one.release.package is not None
        for offer in one.release.package.provides
        if name in (offer.soname, offer.capability)
    )


def _orderings(universe: Universe) -> dict[str, Ordering]:
    """Of what is installed; where versions are only names, of all releases of those products."""
    known: dict[str, list[ProductRelease]] = {}
    for one in universe.installed:
        known.setdefault(one.release.app, []).append(one.release)
    for release in universe.releases:
        if release.app in known:
            known[release.app].append(release)
    return {app: Ordering(found, universe.lines.get(app)) for app, found in known.items()}


def _needed_by(
    universe: Universe, there: InstalledRelease, orderings: dict[str, Ordering]
) -> Iterator[NeededBy]:
    for one in universe.installed:
        if one is there:
            continue
        for need in NeedRules.needs(one.release):
            if (need.of is None or one.has_part(need.of)) and _meets(there, need, orderings):
                yield _entry(universe, one, "needs", need, there, orderings)
        package = one.release.package
        for need in package.requires if package else ():
            if need.optional and _meets(there, need, orderings):
                yield _entry(universe, one, "would like", need, there, orderings)
        if package is not None:
            for how, exactly in (("is tied to", package.tied), ("consists of", package.members)):
                if any(is_exactly(there.release, exact) for exact in exactly):
                    yield NeededBy(one.instance, one.release, how, there.release.title)


def _entry(
    universe: Universe,
    one: InstalledRelease,
    how: str,
    need: Need,
    there: InstalledRelease,
    orderings: dict[str, Ordering],
) -> NeededBy:
    others = tuple(
        other.release.title
        for other in universe.installed
        if other is not there and other is not one and _meets(other, need, orderings)
    )
    return NeededBy(one.instance, one.release, how, describe(need, one.release.product), others)


def _meets(there: InstalledRelease, need: Need, orderings: dict[str, Ordering]) -> bool:
    is_own_part = need.part is not None and need.product is None and need.app is None
    if is_own_part or not fits(there.release, need, orderings):
        return False
    parts = parts_for(there.release, need)
    return not parts or any(there.has_part(part) for part in parts)
