"""A solver that tries everything, for small hosts: what the real one is held against.

It knows nothing of clauses: it looks at a host before and after, and asks of each need whether it
is met. A state is, for each product, the release that is there (or none) and whether part `p` is.
"""

from collections.abc import Iterator
from itertools import product as every
from typing import NamedTuple

from epmstore.catalog.packaging import Need
from epmstore.package.universe import InstalledRelease, ProductRelease, Slot, SolveRequest, Universe
from epmstore.package.versions import Ordering, is_version_within, split_build

PART = "p"


class There(NamedTuple):
    """What is in a slot."""

    release: ProductRelease | None
    has_part: bool


State = dict[Slot, There]


class Brute:
    """Every product has one slot, named as its key."""

    def __init__(self, universe: Universe, request: SolveRequest) -> None:
        self.universe, self.request = universe, request
        self.releases: dict[Slot, list[ProductRelease]] = {}
        for one in (*(i.release for i in universe.installed), *universe.releases):
            known = self.releases.setdefault(Slot(one.app, one.product), [])
            if one.number not in [other.number for other in known]:
                known.append(one)
        self.orderings = {slot.app: Ordering(known) for slot, known in self.releases.items()}
        self.installed: dict[Slot, InstalledRelease] = {one.slot: one for one in universe.installed}
        self.before: State = {slot: self._now(slot) for slot in self.releases}

    def solutions(self) -> Iterator[State]:
        slots = list(self.releases)
        for there in every(*(list(self._may_be(slot)) for slot in slots)):
            state = dict(zip(slots, there, strict=True))
            if self.is_solution(state):
                yield state

    def is_solution(self, state: State) -> bool:
        return (
            self._is_asked(state)
            and all(self._is_at_peace(slot, state) for slot in state)
            and all(self._is_met(slot, need, state) for slot, need in self._owed(state))
        )

    def changed(self, state: State) -> set[Slot]:
        return {slot for slot, there in state.items() if there != self.before[slot]}

    def _now(self, slot: Slot) -> There:
        one = self.installed.get(slot)
        return There(one.release, one.has_part(PART)) if one else There(None, False)

    def _may_be(self, slot: Slot) -> Iterator[There]:
        now = self.before[slot]
        wants = [want for want in self.request.wants if want.product == slot.instance]
        yield now
        if (one := self.installed.get(slot)) is not None and one.frozen:
            return
        if now.release is not None and any(want.action == "remove" for want in wants):
            yield There(None, False)
        left_out = any(PART in want.without for want in wants)
        has_all = one is None or one.parts is None
        for release in self.releases[slot]:
            same = now.release is not None and release.number == now.release.number
            if release.revoked and not same and not any(want.revoked for want in wants):
                continue
            older = now.release is not None and self.orderings[slot.app].is_older(
                release, now.release
            )
            if older and not self.request.downgrade:
                continue
            having = PART in release.parts and not left_out
            for part in {having and (has_all or now.has_part), having}:
                if There(now.release if same else release, part) != now:
                    yield There(now.release if same else release, part)

    def _is_asked(self, state: State) -> bool:
        for want in self.request.wants:
            slot = next(one for one in state if one.instance == want.product)
            release, now = state[slot].release, self.before[slot].release
            if want.action == "remove":
                if release is not None:
                    return False
                continue
            if release is None or (PART in want.parts and not state[slot].has_part):
                return False
            ordering = self.orderings[slot.app]
            if want.within is not None and not ordering.is_within(release, want.within):
                return False
            if want.action == "upgrade" and now is not None and not ordering.is_older(now, release):
                # Older is no upgrade, also where going back is allowed and newer cannot be.
                newer = [one.release for one in self._may_be(slot) if one.release is not None]
                if any(ordering.is_older(now, one) for one in newer):
                    return False
        return True

    def _owed(self, state: State) -> Iterator[tuple[Slot, Need]]:
        """Needs of what is new, and of what was there and had them met."""
        for slot, there in state.items():
            for need in there.release.package.requires if there.release else ():  # type: ignore[union-attr]
                if need.optional or (need.of == PART and not there.has_part):
                    continue
                before = self.before[slot]
                was = before.release is there.release and (need.of is None or before.has_part)
                if not was or self._is_met(slot, need, self.before):
                    yield slot, need

    def _is_met(self, slot: Slot, need: Need, state: State) -> bool:
        if need.product is None and need.part is not None:
            return state[slot].has_part
        if need.capability is None:
            return any(self._matches(other, need, state) for other in state)
        by_host = need.capability in self.universe.system and {need.min, need.max} == {None}
        return by_host or any(self._matches(other, need, state) for other in state)

    def _matches(self, slot: Slot, need: Need, state: State) -> bool:
        release, has_part = state[slot]
        if release is None:
            return False
        if need.capability is None:
            return (
                need.product == release.product
                and (need.part is None or has_part)
                and self.orderings[slot.app].is_within(release, need)
            )
        assert release.package is not None
        return any(
            offer.capability == need.capability
            and (offer.of is None or has_part)
            and (
                {need.min, need.max} == {None}
                or (
                    offer.version is not None
                    and is_version_within(*split_build(offer.version), need.min, need.max)
                )
            )
            for offer in release.package.provides
        )

    def _is_at_peace(self, slot: Slot, state: State) -> bool:
        """A conflict counts if one side of it is new."""
        there, before = state[slot], self.before[slot]
        for need in there.release.package.conflicts if there.release else ():  # type: ignore[union-attr]
            if need.of == PART and not there.has_part:
                continue
            for other in state:
                if other != slot and self._matches(other, need, state):
                    old = (
                        there.release is before.release
                        and (need.of is None or before.has_part)
                        and state[other].release is self.before[other].release
                        and self._matches(other, need, self.before)
                    )
                    if not old:
                        return False
        return True
