"""What may be in each slot: the releases to choose from, and those that are left out, and why.
Pure.

Not chosen from are: releases older than what is installed (unless going back was asked for), what
was revoked (unless it was named), what the channel of the product does not offer, what is for
another architecture, and products whose order is not known here. What is frozen or found stays.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from epmstore.errors import AppNotFoundError, UsageError
from epmstore.package.universe import (
    InstalledRelease,
    ProductRelease,
    Slot,
    SolveRequest,
    Universe,
    Want,
)
from epmstore.package.versions import Ordering

Hindrance: TypeAlias = Literal[
    "older", "revoked", "channel", "architecture", "order", "frozen", "found"
]
SAID: dict[Hindrance, str] = {
    "older": "it is older than what is installed",
    "revoked": "its vendor withdrew it",
    "channel": "the channel does not offer it",
    "architecture": "it is for another architecture",
    "order": "it is ordered by a word that this release of epmstore does not know",
    "frozen": "what is installed is frozen",
    "found": "what is there was never recorded as installed",
}


@dataclass(frozen=True, slots=True)
class NotChosen:
    """A release that is not chosen from."""

    release: ProductRelease
    why: Hindrance


class SlotOptions:
    """`slots` are those that there are; the first option of each is what is there now."""

    def __init__(self, universe: Universe, request: SolveRequest) -> None:
        self.universe = universe
        self.request = request
        self._by_app: dict[str, list[ProductRelease]] = defaultdict(list)
        self._known: dict[tuple[str, object], ProductRelease] = {}
        self.installed: dict[Slot, InstalledRelease] = {one.slot: one for one in universe.installed}
        for release in self._all(universe, request):
            if self._known.setdefault((release.app, release.identity), release) is release:
                self._by_app[release.app].append(release)
        self.orderings = {
            app: Ordering(known, universe.lines.get(app)) for app, known in self._by_app.items()
        }
        self.wanted: dict[Slot, list[Want]] = {}
        self.slots: dict[str, list[Slot]] = defaultdict(list)
        """By the UUID of the product."""
        for slot in self.installed:
            self.slots[slot.app].append(slot)
        for want in request.wants:
            for slot in self._slots_of(want):
                self.wanted.setdefault(slot, []).append(want)
        for app, known in self._by_app.items():
            if not self.slots[app]:
                self.slots[app] = [Slot(app, known[0].product)]
        self._options: dict[Slot, tuple[ProductRelease | None, ...]] = {}
        self.left_out: dict[Slot, tuple[NotChosen, ...]] = {}

    @staticmethod
    def _all(universe: Universe, request: SolveRequest) -> Iterable[ProductRelease]:
        """Installed ones first: they are the same objects wherever they are spoken of."""
        yield from (one.release for one in universe.installed)
        yield from universe.releases
        yield from (want.release for want in request.wants if want.release is not None)

    def known(self, release: ProductRelease) -> ProductRelease:
        """The object that stands for a release."""
        return self._known[release.app, release.identity]

    def of(self, slot: Slot) -> tuple[ProductRelease | None, ...]:
        """The options of a slot; None is nothing."""
        if slot not in self._options:
            self._options[slot], self.left_out[slot] = self._work_out(slot)
        return self._options[slot]

    def known_of(self, app: str) -> Sequence[ProductRelease]:
        """All releases of a product, chosen from or not."""
        return self._by_app[app]

    def apps_named(self, product: str) -> list[str]:
        """The products of a key or a UUID."""
        if product in self._by_app:
            return [product]
        return [app for app, known in self._by_app.items() if known[0].product == product]

    def newest_first(self, releases: Iterable[ProductRelease]) -> list[ProductRelease]:
        """Releases of one product."""
        found = list(releases)
        return sorted(found, key=self.orderings[found[0].app].key, reverse=True) if found else []

    def has_newer(self, slot: Slot) -> bool:
        """Whether there would be something newer but for its being frozen."""
        now = self.installed[slot].release
        self.of(slot)
        ordering = self.orderings[slot.app]
        return any(
            one.why == "frozen" and ordering.is_older(now, one.release)
            for one in self.left_out[slot]
        )

    def _work_out(
        self, slot: Slot
    ) -> tuple[tuple[ProductRelease | None, ...], tuple[NotChosen, ...]]:
        now = self.installed.get(slot)
        chosen: list[ProductRelease] = []
        left_out: list[NotChosen] = []
        for release in self.newest_first(self._by_app[slot.app]):
            if now is not None and release is self.known(now.release):
                continue
            why = self._hindrance(slot, release)
            if why is None:
                chosen.append(release)
            else:
                left_out.append(NotChosen(release, why))
        if now is None:
            return (None, *chosen), tuple(left_out)
        removed = any(want.action == "remove" for want in self.wanted.get(slot, ()))
        gone = (None,) if removed and not (now.frozen or now.found) else ()
        ordering, at = self.orderings[slot.app], self.known(now.release)
        newer = [one for one in chosen if not ordering.is_older(one, at)]
        older = [one for one in chosen if ordering.is_older(one, at)]
        return (at, *newer, *older, *gone), tuple(left_out)

    def _hindrance(self, slot: Slot, release: ProductRelease) -> Hindrance | None:
        ordering = self.orderings[slot.app]
        wants = self.wanted.get(slot, [])
        machine = release.package.architecture if release.package else None
        if machine is not None and self.universe.architecture not in (None, machine):
            return "architecture"
        if ordering.unknown is not None:
            return "order"
        if release.revoked is not None and not any(want.revoked for want in wants):
            return "revoked"
        if not self._is_offered(slot, release):
            return "channel"
        now = self.installed.get(slot)
        return self._fixed(now, release) if now is not None else None

    def _is_offered(self, slot: Slot, release: ProductRelease) -> bool:
        """Under a channel: it is a target, or a user named it."""
        targets = self.universe.targets.get(slot.app)
        if targets is None or release.given or release.number in targets:
            return True
        named = [want.release for want in self.wanted.get(slot, []) if want.release is not None]
        return any(one.identity == release.identity for one in named)

    def _fixed(self, now: InstalledRelease, release: ProductRelease) -> Hindrance | None:
        if now.frozen:
            return "frozen"
        if now.found:
            return "found"
        older = self.orderings[release.app].is_older(release, now.release)
        return "older" if older and not self.request.downgrade else None

    def _slots_of(self, want: Want) -> list[Slot]:
        """The slots that a want is about. Raises AppNotFoundError, UsageError."""
        apps = [want.release.app] if want.release is not None else self.apps_named(want.product)
        if len(apps) > 1:
            raise UsageError(
                f"{want.product!r} is the key of several products",
                hint="name it by its UUID",
                products=sorted(apps),
            )
        there = [
            slot
            for app in apps
            for slot in self.slots[app]
            if want.instance in (None, slot.instance)
        ]
        if not apps or (want.action != "install" and not there):
            what = "known" if not apps else "installed"
            where = f" in {want.instance}" if want.instance and apps else ""
            raise AppNotFoundError(
                f"{want.product} is not {what}{where}",
                hint="name a product by its key: one that is installed, or that has releases here",
                product=want.product,
            )
        if want.action == "install" and len(there) > 1:
            raise UsageError(
                f"{want.product} is installed in {', '.join(slot.instance for slot in there)}",
                hint="name the application with --app",
                instances=[slot.instance for slot in there],
            )
        if not there:
            new = Slot(apps[0], want.instance or self._by_app[apps[0]][0].product)
            self.slots[apps[0]].append(new)
            there = [new]
        return there
