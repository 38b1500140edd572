"""What must hold once something is installed, changed or removed: needs as clauses. Pure.

What is installed and stays as it is asks for nothing: it is there. What changes asks that its own
needs are met and its conflicts are not there, and that every installed product which leaned on what
was before is met by something else, or changes as well. So only what is touched is looked at,
however much is installed, and a need that was not met before is no hindrance to anything.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy

from epmstore.catalog.packaging import Exact, Member, Need
from epmstore.errors import UsageError
from epmstore.package.clauses import (
    IN,
    NOW,
    OUT,
    Allowed,
    Alternative,
    Clause,
    ClauseReason,
    PartOf,
    Variable,
    joined,
)
from epmstore.package.fitting import fits, is_exactly, names_offered, need_of, parts_for
from epmstore.package.options import SlotOptions
from epmstore.package.ranges import bounds, describe
from epmstore.package.universe import (
    InstalledRelease,
    ProductRelease,
    Slot,
    SolveRequest,
    Universe,
    Want,
)


class NeedRules:
    """Clauses of one universe and request, each worked out when it is asked for."""

    def __init__(self, universe: Universe, request: SolveRequest) -> None:
        self.options = SlotOptions(universe, request)
        self._narrowed: Mapping[Slot, frozenset[int]] = {}
        self._stays: Callable[[Slot], bool] = lambda slot: False
        self._cached: dict[tuple[Variable, int], tuple[Clause, ...]] = {}
        self._by_name = self._index()
        self._leaning: dict[str, list[tuple[InstalledRelease, Need]]] = defaultdict(list)
        self._against: dict[str, list[tuple[InstalledRelease, Need]]] = defaultdict(list)
        for one in universe.installed:
            for need in self.needs(one.release):
                if self._counts(one, need):
                    for name in _names(need):
                        self._leaning[name].append((one, need))
            for need in one.release.package.conflicts if one.release.package else ():
                if self._counts(one, need):
                    for name in _names(need):
                        self._against[name].append((one, need))

    def narrowed(
        self, values: Mapping[Slot, frozenset[int]], stays: Callable[[Slot], bool]
    ) -> "NeedRules":
        """The same, where some slots have no other values than these, and others stay."""
        found = copy(self)
        found._narrowed, found._stays, found._cached = values, stays, {}
        return found

    # What is asked of a solution.

    def domain(self, variable: Variable) -> frozenset[int]:
        """The values that a variable may have."""
        if isinstance(variable, PartOf):
            wants = self.options.wanted.get(variable.slot, ())
            now = self.options.installed.get(variable.slot)
            is_fixed = now is not None and (now.frozen or now.found or self._stays(variable.slot))
            if is_fixed or any(variable.part in want.without for want in wants):
                return frozenset({OUT})
            return frozenset({OUT, IN})
        if variable in self._narrowed:
            return self._narrowed[variable]
        if self._stays(variable):
            return frozenset({NOW})
        return frozenset(range(len(self.options.of(variable))))

    def roots(self) -> Iterator[Clause]:
        """What the request asks for."""
        for slot, wants in self.options.wanted.items():
            for want in wants:
                yield from self._wanted(slot, want)
                yield from self._taken_out(slot, want)
        if self.options.request.upgrade_all:
            for slot in self.options.installed:
                if self.newer(slot) and self.is_to_be_newer(slot):
                    every = frozenset(range(len(self.options.of(slot))))
                    yield _plain(ClauseReason("asked", "all is to be upgraded"), slot, every)

    def clauses(self, variable: Variable, value: int) -> tuple[Clause, ...]:
        """What must hold if a variable has a value."""
        at = (variable, value)
        if at not in self._cached:
            if isinstance(variable, PartOf):
                found = self._of_part(variable) if value == IN else iter(())
            else:
                found = self._of_slot(variable, value) if value != NOW else iter(())
            self._cached[at] = tuple(found)
        return self._cached[at]

    def preferred(self, variable: Variable) -> Sequence[int]:
        """All values, the best first: what is there now, and then the newest; or, where newer is
        wanted, first what is newer.
        """
        if isinstance(variable, PartOf):
            return (OUT, IN)
        values = range(len(self.options.of(variable)))
        if self.is_to_be_newer(variable):
            newer = self.newer(variable)
            return sorted(values, key=lambda value: (value not in newer, value))
        return values

    def is_to_be_newer(self, slot: Slot) -> bool:
        wants = self.options.wanted.get(slot, ())
        if any(want.action == "remove" for want in wants):
            return False
        return self.options.request.upgrade_all or any(want.action == "upgrade" for want in wants)

    def release(self, slot: Slot, value: int) -> ProductRelease | None:
        return self.options.of(slot)[value]

    @staticmethod
    def needs(release: ProductRelease) -> Iterator[Need]:
        """All that are not optional, of the packaging and of the line."""
        for need in release.package.requires if release.package else ():
            if not need.optional:
                yield need
        for required in release.requires:
            if required.app is not None and not required.optional:
                yield need_of(required)

    def has_part(self, slot: Slot, part: str) -> bool:
        """Whether a part is there without being asked for: it is installed, or what is new comes
        with all of them.
        """
        wants = self.options.wanted.get(slot, ())
        if any(part in want.without for want in wants):
            return False
        now = self.options.installed.get(slot)
        return now is None or now.parts is None or part in now.parts

    def _is_met_by(self, need: Need, there: InstalledRelease) -> bool:
        """Whether what is installed meets a need as it is now."""
        if not fits(there.release, need, self.options.orderings):
            return False
        parts = parts_for(there.release, need)
        return not parts or any(there.has_part(part) for part in parts)

    def _counts(self, one: InstalledRelease, need: Need) -> bool:
        """Whether an installed release has that need, by the parts of it that are installed."""
        return need.of is None or one.has_part(need.of)

    def _wanted(self, slot: Slot, want: Want) -> Iterator[Clause]:
        options = self.options.of(slot)
        name = next((one.product for one in options if one is not None), want.product)
        if want.action == "remove":
            gone = frozenset(v for v, release in enumerate(options) if release is None and v != NOW)
            yield _plain(ClauseReason("asked", f"{name} is to be removed"), slot, gone)
            return
        said = f"{name} {bounds(want.within)}".rstrip() if want.within is not None else name
        if want.release is not None:
            said = want.release.title
        verb = "upgraded" if want.action == "upgrade" else "installed"
        will_do = self._will_do(slot, want)
        yield _plain(
            ClauseReason("asked", f"{said} is to be {verb}", need=want.within), slot, will_do
        )
        for part in sorted(want.parts):
            having = frozenset(v for v in will_do if (one := options[v]) and part in one.parts)
            literals = [Allowed(slot, having)]
            if not self.has_part(slot, part):
                literals.append(Allowed(PartOf(slot, part), frozenset({IN})))
            asked = ClauseReason("asked", f"part {part} of {name} is to be installed")
            yield Clause(asked, joined([tuple(literals)]))

    def _will_do(self, slot: Slot, want: Want) -> frozenset[int]:
        """The options that are what is asked for."""
        options, ordering = self.options.of(slot), self.options.orderings[slot.app]
        there = {value: one for value, one in enumerate(options) if one is not None}
        if want.release is not None:
            same = self.options.known(want.release)
            there = {value: one for value, one in there.items() if one is same}
        if want.within is not None:
            within = want.within
            there = {v: one for v, one in there.items() if ordering.is_within(one, within)}
        newer = self.newer(slot) if want.action == "upgrade" else frozenset()
        return frozenset(there.keys() & newer if newer else there)

    def newer(self, slot: Slot) -> frozenset[int]:
        """Options newer than what is installed."""
        now, options = self.options.installed.get(slot), self.options.of(slot)
        if now is None:
            return frozenset()
        ordering, at = self.options.orderings[slot.app], options[NOW]
        assert at is not None, "it is installed"
        return frozenset(
            value
            for value, one in enumerate(options)
            if value != NOW and one is not None and ordering.is_older(at, one)
        )

    def _taken_out(self, slot: Slot, want: Want) -> Iterator[Clause]:
        """What leans on a part that is to be left out is met by something else, or changes."""
        now = self.options.installed.get(slot)
        if now is None or not want.without:
            return
        unknown = sorted(want.without - now.release.parts)
        if unknown:
            raise UsageError(f"{now.release.title} has no part {unknown[0]}", part=unknown[0])
        for name in _names_of(now.release):
            for one, need in self._leaning.get(name, ()):
                if fits(now.release, need, self.options.orderings):
                    parts = parts_for(now.release, need)
                    if parts and parts <= want.without:
                        yield self._still_met(one, need)

    # What a value asks for.

    def _of_slot(self, slot: Slot, value: int) -> Iterator[Clause]:
        release, now = self.release(slot, value), self.options.installed.get(slot)
        if release is not None:
            yield from self._own(slot, release)
            yield from self._singleton(slot, release)
            yield from self._disliked(slot, release)
        if now is not None:
            for name in _names_of(now.release):
                for one, need in self._leaning.get(name, ()):
                    if one.slot == slot or not self._is_met_by(need, now):
                        continue
                    if release is None or not self._meets(slot, release, need):
                        yield self._still_met(one, need)

    def _own(self, slot: Slot, release: ProductRelease) -> Iterator[Clause]:
        package = release.package
        for need in self.needs(release):
            if need.of is None or self.has_part(slot, need.of):
                yield from self._need(slot, release, need)
            elif need.of in release.parts:
                unless = (Allowed(PartOf(slot, need.of), frozenset({OUT})),)
                yield from self._need(slot, release, need, unless)
        for need in package.conflicts if package else ():
            apart: Alternative = ()
            if need.of is not None and not self.has_part(slot, need.of):
                apart = (Allowed(PartOf(slot, need.of), frozenset({OUT})),)
            yield from self._conflict(slot, release, need, apart)
        for exact in package.tied if package else ():
            yield self._exactly(slot, release, exact, ClauseReason("tied", "", release))
        for member in package.members if package else ():
            if member.required or self._is_asked(slot, member):
                yield self._exactly(slot, release, member, ClauseReason("member", "", release))

    def _of_part(self, variable: PartOf) -> Iterator[Clause]:
        """A part is one of a release that has it; and what this share of it needs is met."""
        slot, part = variable
        options = self.options.of(slot)
        having = frozenset(v for v, one in enumerate(options) if one and part in one.parts)
        yield _plain(ClauseReason("part", f"only these releases have a part {part}"), slot, having)
        now = options[NOW]
        if now is None:
            return
        others = frozenset(self.domain(slot)) - {NOW}
        unless: Alternative = (Allowed(slot, others),)
        for need in self.needs(now):
            if need.of == part:
                yield from self._need(slot, now, need, unless)
        for need in now.package.conflicts if now.package else ():
            if need.of == part:
                yield from self._conflict(slot, now, need, unless)
        for name in _names_of(now):
            for one, need in self._against.get(name, ()):
                if fits(now, need, self.options.orderings) and part in parts_for(now, need):
                    who = self.options.known(one.release)
                    reason = ClauseReason("conflict", f"conflicts with {describe(need)}", who, need)
                    away = (Allowed(one.slot, self.domain(one.slot) - {NOW}),)
                    yield Clause(reason, joined([away, unless]))

    def _need(
        self, slot: Slot, release: ProductRelease, need: Need, unless: Alternative = ()
    ) -> Iterator[Clause]:
        """`unless` holds, the need is met."""
        reason = ClauseReason("need", f"needs {describe(need, release.product)}", release, need)
        if need.product is None and need.app is None and need.part is not None:
            if not self.has_part(slot, need.part):
                own: Alternative = (Allowed(PartOf(slot, need.part), frozenset({IN})),)
                yield Clause(reason, joined([own, *([unless] if unless else ())]))
            return
        if self._is_of_the_host(need) or self._meets(slot, release, need, always=True):
            return
        yield Clause(reason, self._met(need, unless))

    def _is_of_the_host(self, need: Need) -> bool:
        name = need.soname or need.capability
        return name in self.options.universe.system and need.min is None and need.max is None

    def _meets(
        self, slot: Slot, release: ProductRelease, need: Need, *, always: bool = False
    ) -> bool:
        """Whether a release in a slot meets a need with the parts that are there anyway. A release
        meets its own needs of what it offers, and none of a product.
        """
        if always and (need.product is not None or need.app is not None):
            return False
        if not fits(release, need, self.options.orderings):
            return False
        parts = parts_for(release, need)
        return not parts or any(self.has_part(slot, part) for part in parts)

    def _met(self, need: Need, unless: Alternative = ()) -> tuple[Alternative, ...]:
        """All that meets a need: first what is there, then what is asked for, then the rest."""
        found: list[Alternative] = [unless] if unless else []
        for slot in sorted(self.slots_about(need), key=self._rank):
            by_parts: dict[frozenset[str], set[int]] = defaultdict(set)
            for value in self.domain(slot):
                release = self.release(slot, value)
                if release is None or not fits(release, need, self.options.orderings):
                    continue
                parts = parts_for(release, need)
                there = not parts or any(self.has_part(slot, part) for part in parts)
                by_parts[frozenset() if there else parts].add(value)
            for parts, values in sorted(by_parts.items(), key=lambda one: sorted(one[0])):
                allowed = Allowed(slot, frozenset(values))
                if not parts:
                    found.append((allowed,))
                found += [
                    (allowed, Allowed(PartOf(slot, part), frozenset({IN})))
                    for part in sorted(parts)
                    if IN in self.domain(PartOf(slot, part))
                ]
        return joined(found)

    def _rank(self, slot: Slot) -> tuple[bool, bool, str, str]:
        options = self.options
        name = next((one.product for one in options.of(slot) if one is not None), "")
        return (slot not in options.installed, slot not in options.wanted, name, slot.instance)

    def _conflict(
        self, slot: Slot, release: ProductRelease, need: Need, unless: Alternative
    ) -> Iterator[Clause]:
        reason = ClauseReason("conflict", f"conflicts with {describe(need)}", release, need)
        for other in self.slots_about(need):
            if other != slot:
                clause = self._apart(reason, other, need, unless)
                if clause is not None:
                    yield clause

    def _apart(
        self, reason: ClauseReason, other: Slot, need: Need, unless: Alternative
    ) -> Clause | None:
        """A slot has nothing of what a conflict speaks of."""
        domain, apart, by_part = self.domain(other), set[int](), set[int]()
        parts: set[str] = set()
        for value in domain:
            release = self.release(other, value)
            if release is None or not fits(release, need, self.options.orderings):
                apart.add(value)
                continue
            having = parts_for(release, need)
            if having and not any(self.has_part(other, part) for part in having):
                by_part.add(value)
                parts |= having
        if len(apart) == len(domain):
            return None
        choices: list[Alternative] = [(Allowed(other, frozenset(apart)),)]
        if parts:
            out = [Allowed(PartOf(other, part), frozenset({OUT})) for part in sorted(parts)]
            choices.append((Allowed(other, frozenset(apart | by_part)), *out))
        if unless:
            choices.append(unless)
        return Clause(reason, joined(choices))

    def _disliked(self, slot: Slot, release: ProductRelease) -> Iterator[Clause]:
        """Who is installed and conflicts with a release that comes changes, too."""
        for name in _names_of(release):
            for one, need in self._against.get(name, ()):
                if one.slot == slot or not fits(release, need, self.options.orderings):
                    continue
                now = self.options.known(one.release)
                reason = ClauseReason("conflict", f"conflicts with {describe(need)}", now, need)
                choices: list[Alternative] = [(Allowed(one.slot, self.domain(one.slot) - {NOW}),)]
                parts = parts_for(release, need)
                if parts and not any(self.has_part(slot, part) for part in parts):
                    out = frozenset({OUT})
                    choices.insert(0, tuple(Allowed(PartOf(slot, part), out) for part in parts))
                yield Clause(reason, joined(choices))

    def _singleton(self, slot: Slot, release: ProductRelease) -> Iterator[Clause]:
        for other in self.options.slots[slot.app]:
            if other == slot:
                continue
            alone = release.package is not None and release.package.singleton
            values = frozenset(
                value
                for value in self.domain(other)
                if (one := self.release(other, value)) is None
                or not (alone or (one.package is not None and one.package.singleton))
            )
            if values != self.domain(other):
                says = "has one instance on a host"
                yield _plain(ClauseReason("singleton", says, release), other, values)

    def _exactly(
        self, slot: Slot, release: ProductRelease, exact: Exact, reason: ClauseReason
    ) -> Clause:
        word = "is tied to" if reason.kind == "tied" else "consists of"
        found: list[Alternative] = []
        shown = f"{exact.product} release {exact.release}"
        for other in self.options.slots.get(exact.app, ()):
            values = {
                value
                for value in self.domain(other)
                if (one := self.release(other, value)) is not None and is_exactly(one, exact)
            }
            found.append((Allowed(other, frozenset(values)),))
        need = Need(product=exact.product, app=exact.app, first=exact.release, last=exact.release)
        return Clause(ClauseReason(reason.kind, f"{word} {shown}", release, need), joined(found))

    def _is_asked(self, slot: Slot, member: Member) -> bool:
        """An optional member comes if it is asked for, and goes along if it is installed as the
        bundle that is there has it.
        """
        if any(member.product in want.members for want in self.options.wanted.get(slot, ())):
            return True
        now = self.options.installed.get(slot)
        before = now.release.package.members if now and now.release.package else ()
        return any(
            one.app == member.app and is_exactly(there.release, one)
            for one in before
            for other in self.options.slots.get(one.app, ())
            if (there := self.options.installed.get(other)) and not there.frozen
        )

    def _still_met(self, one: InstalledRelease, need: Need) -> Clause:
        now = self.options.known(one.release)
        reason = ClauseReason("needed", f"needs {describe(need, now.product)}", now, need)
        others = self.domain(one.slot) - {NOW}
        choices = [*self._met(need), (Allowed(one.slot, others),)]
        return Clause(reason, joined(choices) if not self._is_of_the_host(need) else ((),))

    # Who is spoken of.

    def slots_about(self, need: Need) -> list[Slot]:
        """The slots that may have what a need is about."""
        found = [slot for name in _names(need) for slot in self._by_name.get(name, ())]
        return list(dict.fromkeys(found))

    def _index(self) -> dict[str, list[Slot]]:
        index: dict[str, dict[Slot, None]] = defaultdict(dict)
        for app, slots in self.options.slots.items():
            for name in {one for known in self.options.known_of(app) for one in _names_of(known)}:
                index[name].update(dict.fromkeys(slots))
        return {name: list(slots) for name, slots in index.items()}


def _names_of(release: ProductRelease) -> Iterator[str]:
    yield release.app
    yield release.product
    yield from names_offered(release)


def _names(need: Need) -> tuple[str, ...]:
    """What a need is filed under: a UUID before a key."""
    name = need.app or need.product or need.capability or need.soname
    return (name,) if name is not None else ()


def _plain(reason: ClauseReason, slot: Slot, values: frozenset[int]) -> Clause:
    return Clause(reason, joined([(Allowed(slot, values),)]))
