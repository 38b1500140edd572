"""Why there is no solution, as an object and as text: because, so, therefore. Pure.

A step says one thing once, of all releases that it is true of. Its reasons come right behind it.
What had to be tried is indented: `if`, what follows from that, and `so`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from epmstore.catalog.packaging import Need
from epmstore.package.clauses import NOW, Allowed, ClauseReason, PartOf, Variable
from epmstore.package.fitting import fits
from epmstore.package.options import SAID
from epmstore.package.refute import ROOT, Cause, Refutation
from epmstore.package.rules import NeedRules
from epmstore.package.universe import ProductRelease, Slot

Connective: TypeAlias = Literal["because", "if", "so", "therefore"]
SEVERAL: Final = {
    "needs": "need", "conflicts": "conflict", "is": "are", "consists": "consist", "has": "have",
}  # fmt: skip
SHOWN: Final = 3
"""Releases that are named one by one."""
STEPS: Final = 40
"""Steps of a text for people; the object has all of them, up to ALL."""
ALL: Final = 1_000


@dataclass(frozen=True, slots=True)
class DerivationStep:
    """One sentence of a derivation. `kind` is that of the reason (see clauses.py), `releases` are
    those that it is about, oldest last; `there` is what there is of what they need.
    """

    word: Connective
    says: str
    kind: str = ""
    releases: tuple[str, ...] = ()
    there: tuple[str, ...] = ()
    depth: int = 0

    @property
    def text(self) -> str:
        who = f"{some(self.releases)} " if self.releases else ""
        says = _of_several(self.says) if len(self.releases) > 1 else self.says
        there = f"; {', '.join(self.there)}" if self.there else ""
        return f"{'  ' * self.depth}{self.word} {who}{says}{there}"


@dataclass(frozen=True, slots=True)
class Derivation:
    """Steps in the order in which they are read. `text` is cut after STEPS."""

    steps: tuple[DerivationStep, ...]

    @property
    def text(self) -> str:
        shown = [step.text for step in self.steps]
        if len(shown) > STEPS:
            left = len(shown) - STEPS
            shown[STEPS - 1 : -1] = [f"... and {left} steps more"]
        return "\n".join(shown)


def _of_several(says: str) -> str:
    """`need lib` for `needs lib`: what is said of one, said of several."""
    verb, _, rest = says.partition(" ")
    return f"{SEVERAL.get(verb, verb)} {rest}"


def some(names: tuple[str, ...]) -> str:
    """`a`, `a, b and c`, or `a to z (9 releases)`."""
    if len(names) > SHOWN:
        return f"{names[-1]} to {names[0]} ({len(names)} releases)"
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


class Trace:
    """Follows the causes of a refutation. `slots` are those that it came by; `assumed`: whether it
    rests on what was tried.
    """

    def __init__(self, rules: NeedRules, refutation: Refutation, depth: int = 0) -> None:
        self._rules = rules
        self._causes = refutation.causes
        self._depth = depth
        self._steps: list[DerivationStep] = []
        self._at: dict[tuple[str, str, str], int] = {}
        self._seen: set[tuple[Variable, int]] = set()
        self.slots: dict[Slot, None] = {}
        self.who: dict[ProductRelease, None] = {}
        self.assumed = False
        gone = [value for variable, value in self._causes if variable == refutation.empty]
        stack = [self._all_gone(refutation.empty, sorted(gone))]
        while stack:
            deeper = next(stack[-1], None)
            if deeper is None:
                stack.pop()
            else:
                stack.append(deeper)

    @property
    def steps(self) -> tuple[DerivationStep, ...]:
        return tuple(self._steps[:ALL])

    def _all_gone(self, variable: Variable, values: Iterable[int]) -> "Iterator[_Visit]":
        if isinstance(variable, Slot) and variable != ROOT:
            self.slots[variable] = None
        for value in values:
            if (variable, value) in self._causes and (variable, value) not in self._seen:
                self._seen.add((variable, value))
                yield self._visit(variable, value, self._causes[variable, value])

    def _visit(self, variable: Variable, value: int, cause: Cause) -> "Iterator[_Visit]":
        if cause.tried is not None:
            self._tried(variable, value, cause.tried)
            return
        if cause.clause is None:
            self.assumed = True
            return
        owner, of = cause.owner
        if (owner, of) != (variable, value):
            others = [v for one, v in self._causes if one == owner and v != of]
            yield self._all_gone(owner, sorted(others))
        reason = cause.clause.reason
        self._because(reason, is_impossible=not cause.clause.choices)
        for literal in cause.blocked:
            dead = sorted(literal.values)
            yield self._all_gone(literal.variable, dead)
            if (owner, of) == (variable, value):
                self._so(literal, dead)

    def _because(self, reason: ClauseReason, *, is_impossible: bool) -> None:
        product = ""
        if reason.who is not None:
            self.who[reason.who] = None
            product = reason.who.product
        there = self._there(reason) if is_impossible else ()
        titles = (reason.who.title,) if reason.who is not None else ()
        step = DerivationStep("because", reason.says, reason.kind, titles, there)
        self._add((reason.kind, product, reason.says), step)

    def _so(self, literal: Allowed, values: list[int]) -> None:
        variable = literal.variable
        if isinstance(variable, PartOf):
            return
        found = [one for value in values if (one := self._rules.release(variable, value))]
        if found and NOW not in values:
            titles = tuple(one.title for one in found)
            says = (
                "cannot be installed" if len(titles) == 1 else "cannot be installed, none of them"
            )
            self._add(("so", found[0].product, says), DerivationStep("so", says, "", titles))

    def _add(self, key: tuple[str, str, str], step: DerivationStep) -> None:
        step = replace(step, depth=self._depth)
        if key not in self._at:
            self._at[key] = len(self._steps)
            self._steps.append(step)
            return
        there = self._steps[self._at[key]]
        releases = tuple(dict.fromkeys((*there.releases, *step.releases)))
        self._steps[self._at[key]] = replace(there, releases=releases)

    def _tried(self, variable: Variable, value: int, refutation: Refutation) -> None:
        if len(self._steps) > ALL:
            return
        sub = Trace(self._rules, refutation, self._depth)
        deeper = Trace(self._rules, refutation, self._depth + 1) if sub.assumed else sub
        self.slots |= sub.slots
        self.who |= sub.who
        if not sub.assumed:
            self._steps += sub.steps
            return
        named = self._named(variable, value)
        self._steps.append(DerivationStep("if", named, depth=self._depth))
        self._steps += deeper.steps
        self._steps.append(DerivationStep("so", "that cannot be", depth=self._depth + 1))

    def _named(self, variable: Variable, value: int) -> str:
        if isinstance(variable, PartOf):
            return f"part {variable.part} is {'installed' if value else 'left out'}"
        release = self._rules.release(variable, value)
        if release is None:
            now = self._rules.release(variable, NOW)
            return f"{now.product if now else 'it'} is not there"
        return f"{release.title} is {'kept' if value == NOW else 'taken'}"

    def _there(self, reason: ClauseReason) -> tuple[str, ...]:
        """What there is of what a reason is about: no release that would do is available."""
        options = self._rules.options
        if reason.need is None:
            return ()
        if reason.kind in ("conflict", "needed"):
            return tuple(self._standing(reason))
        slots = self._rules.slots_about(reason.need)
        for slot in slots:
            self.slots[slot] = None
        said = [one for slot in slots for one in self._barred(slot, reason.need)]
        if said:
            return tuple(said[:SHOWN])
        titles = [
            release.title for slot in slots for release in options.of(slot) if release is not None
        ]
        return tuple(self._only(titles)) or ("nothing that is here does that",)

    def _barred(self, slot: Slot, need: Need) -> Iterator[str]:
        """Releases that would do but for something else."""
        for one in self._rules.options.left_out.get(slot, ()):
            if fits(one.release, need, self._rules.options.orderings):
                yield f"{one.release.title} is not chosen, because {SAID[one.why]}"

    def _standing(self, reason: ClauseReason) -> Iterator[str]:
        """What of what is installed stands in the way."""
        assert reason.need is not None, "the caller looked"
        options = self._rules.options
        there = [options.installed.get(slot) for slot in self._rules.slots_about(reason.need)]
        there += [one for one in options.installed.values() if one.release is reason.who]
        for one in there:
            if one is None:
                continue
            fitting = fits(one.release, reason.need, options.orderings)
            if one.release is not reason.who and not fitting:
                continue
            self.slots[one.slot] = None
            how = "is frozen" if one.frozen else "is installed"
            yield f"{one.release.title} {how if not one.found else 'is there'}"

    def _only(self, titles: list[str]) -> list[str]:
        """`there is only a and b`."""
        if len(titles) > SHOWN:
            titles = [*titles[:SHOWN], f"{len(titles) - SHOWN} others"]
        return [f"there is only {some(tuple(titles))}"] if titles else []


_Visit: TypeAlias = Iterator["_Visit"]


def derive(rules: NeedRules, refutation: Refutation) -> tuple[Derivation, Trace]:
    """The whole derivation of a proof, and what it came by."""
    trace = Trace(rules, refutation)
    steps = (*trace.steps, DerivationStep("therefore", "there is no solution"))
    return Derivation(steps), trace
