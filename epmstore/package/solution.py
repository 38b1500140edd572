"""What a request comes to: what is installed, upgraded, downgraded and removed, and why; in the
order of need. Values, and how they are made from what the solver found. Pure.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from epmstore.catalog.packaging import Need
from epmstore.package.clauses import IN, NOW, Clause, ClauseReason, PartOf
from epmstore.package.fitting import fits
from epmstore.package.ranges import describe
from epmstore.package.rules import NeedRules
from epmstore.package.search import Values, is_held
from epmstore.package.universe import ProductRelease, Slot

LIKED = 10
"""Optional needs of a release that are named, if more are not met."""
Effect: TypeAlias = Literal["install", "upgrade", "downgrade", "remove", "parts"]


@dataclass(frozen=True, slots=True)
class SolutionStep:
    """One application and product that changes. `parts` are those that it has afterwards (None:
    all). `why` are sentences: what was asked for, or who needs it.
    """

    instance: str
    product: str
    change: Effect
    before: ProductRelease | None
    after: ProductRelease | None
    parts: frozenset[str] | None
    why: tuple[str, ...]

    @property
    def text(self) -> str:
        """`install crm 4.1.0-1 (41)`, `upgrade crm 4.0.0-1 (40) to 4.1.0-1 (41)`."""
        if self.before is None or self.after is None or self.change == "parts":
            release = self.after or self.before
            return f"{self.change} {release.title if release else self.product}"
        to = self.after.title.removeprefix(f"{self.product} ")
        return f"{self.change} {self.before.title} to {to}"


@dataclass(frozen=True, slots=True)
class Kept:
    """What was asked to become newer, or might have been expected to, and stays."""

    instance: str
    release: ProductRelease
    why: str


@dataclass(frozen=True, slots=True)
class Solution:
    """`steps` are in the order of need: who is needed first. What runs is stopped in the reverse
    order and started in this one. `kept` is what stays although newer was wanted; `unmet` are
    optional needs that nothing meets, as sentences.
    """

    steps: tuple[SolutionStep, ...]
    kept: tuple[Kept, ...] = ()
    unmet: tuple[str, ...] = ()

    def of(self, change: Effect) -> tuple[SolutionStep, ...]:
        return tuple(step for step in self.steps if step.change == change)


def solution(rules: NeedRules, values: Values, kept: Sequence[Kept] = ()) -> Solution:
    """`values` hold all clauses."""
    changed = {
        slot: None for one in values for slot in [one.slot if isinstance(one, PartOf) else one]
    }
    after = {slot: rules.release(slot, values.get(slot, NOW)) for slot in changed}
    made = {slot: _step(rules, values, slot, after[slot]) for slot in changed}
    order = in_order(made, lambda slot: _needed(rules, after, slot))
    real = [made[slot] for slot in order if made[slot] is not None]
    steps = tuple(step for step in real if step is not None)
    return Solution(steps, tuple(kept), tuple(_unmet(rules, values, steps)))


def in_order(slots: Iterable[Slot], needed: Callable[[Slot], set[Slot]]) -> list[Slot]:
    """Who is needed comes first; in a circle, who has the lesser name."""
    wanted = sorted(slots)
    among, done, found = set(wanted), set[Slot](), list[Slot]()
    for first in wanted:
        stack: list[tuple[Slot, Iterator[Slot]]] = []
        if first not in done:
            done.add(first)
            stack.append((first, iter(sorted(among & needed(first)))))
        while stack:
            slot, rest = stack[-1]
            following = next((one for one in rest if one not in done), None)
            if following is None:
                found.append(slot)
                stack.pop()
            else:
                done.add(following)
                stack.append((following, iter(sorted(among & needed(following)))))
    return found


def _needed(rules: NeedRules, after: Mapping[Slot, ProductRelease | None], slot: Slot) -> set[Slot]:
    """Those of the slots that change which a slot needs, before or afterwards."""
    installed = rules.options.installed.get(slot)
    releases = [after[slot], installed.release if installed else None]
    needs = [need for one in releases if one is not None for need in rules.needs(one)]
    needs += [
        Need(product=exact.product, app=exact.app)
        for one in releases
        if one is not None and one.package is not None
        for exact in (*one.package.tied, *one.package.members)
    ]
    return {other for need in needs for other in rules.slots_about(need) if other != slot}


def _step(
    rules: NeedRules, values: Values, slot: Slot, after: ProductRelease | None
) -> SolutionStep | None:
    now = rules.options.installed.get(slot)
    before = rules.release(slot, NOW)
    release = after or before
    assert release is not None, "nothing does not become nothing"
    parts = _parts(rules, values, slot, after)
    change: Effect
    if before is None:
        change = "install"
    elif after is None:
        change = "remove"
    elif after is before:
        if now is not None and parts == now.parts:
            return None
        change = "parts"
    else:
        ordering = rules.options.orderings[slot.app]
        change = "downgrade" if ordering.is_older(after, before) else "upgrade"
    why = tuple(dict.fromkeys(reason.text for reason in _reasons(rules, values, slot)))
    if not why and rules.is_to_be_newer(slot):
        why = ("all is to be upgraded",)
    return SolutionStep(slot.instance, release.product, change, before, after, parts, why)


def _parts(
    rules: NeedRules, values: Values, slot: Slot, after: ProductRelease | None
) -> frozenset[str] | None:
    if after is None:
        return frozenset()
    has = {
        part
        for part in after.parts
        if rules.has_part(slot, part) or values.get(PartOf(slot, part)) == IN
    }
    now = rules.options.installed.get(slot)
    was_all = now is None or now.parts is None
    return None if has == after.parts and was_all else frozenset(has)


def _reasons(rules: NeedRules, values: Values, slot: Slot) -> Iterator[ClauseReason]:
    """Clauses that would not hold if the slot stayed as it is."""
    without = {
        one: value
        for one, value in values.items()
        if one != slot and not (isinstance(one, PartOf) and one.slot == slot)
    }
    for clause in asked_of(rules, values, but=slot):
        if not is_held(clause, without):
            yield clause.reason


def asked_of(rules: NeedRules, values: Values, but: Slot | None = None) -> Iterator[Clause]:
    """All that the request and these values ask for; not what a slot asks for itself."""
    yield from rules.roots()
    for variable, value in values.items():
        if variable != but:
            yield from rules.clauses(variable, value)


def _unmet(rules: NeedRules, values: Values, steps: Iterable[SolutionStep]) -> Iterator[str]:
    """Optional needs of what is installed anew, or newer: one sentence for each release."""
    there = [
        one
        for slots in rules.options.slots.values()
        for slot in slots
        if (one := rules.release(slot, values.get(slot, NOW))) is not None
    ]
    for step in steps:
        if step.after is None or step.after.package is None:
            continue
        lacking = [
            describe(need, step.product)
            for need in step.after.package.requires
            if need.optional
            and (need.soname or need.capability) not in rules.options.universe.system
            and not any(fits(one, need, rules.options.orderings) for one in there)
        ]
        if lacking:
            more = len(lacking) - LIKED
            named = ", ".join(lacking[:LIKED]) + (f" and {more} more" if more > 0 else "")
            yield f"{step.after.title} would like {named}"
