"""What a request comes to on a host, with the least change. Pure: values in, a value out. Who
asks has built the Universe (known.py).

Least change means, in this order:

1. What is asked for is there, as new as it can be; what is installed and will do stays.
2. Of what is installed and was not asked for, nothing changes that could stay, whatever else would
   then be new: of the rest of the changes there is no smaller set.
3. With these versions, no change can be left out: nothing is installed that is not needed.

Nothing is ever removed unless that was asked for, and nothing becomes older unless that was
allowed. A search that does not end within its limits says so, and proves nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from epmstore.errors import NeedsError, NoSolutionError, UnsolvedError
from epmstore.package.clauses import NOW, PartOf
from epmstore.package.derive import Trace, derive
from epmstore.package.refute import Refutation, Refuter
from epmstore.package.rules import NeedRules
from epmstore.package.search import TooDeep, Values, holds, is_held, search
from epmstore.package.solution import Kept, Solution, solution
from epmstore.package.universe import InstalledRelease, Slot, SolveRequest, Universe, Want

ROUNDS: Final = 4_000
"""Of resolvelib: each picks one value, or takes one back."""
TRIES: Final = 200
"""Values that a proof may try."""
REACH: Final = 300_000
"""Clauses that a proof may look at."""
HELPS: Final = 4
"""Remedies that are tried."""
FEWER: Final = 30
"""Changes that are tried to be done without."""


@dataclass(frozen=True, slots=True)
class Help:
    """A command or option with which there would be a solution: this was tried."""

    command: str
    why: str


def solve(universe: Universe, request: SolveRequest) -> Solution:
    """Raises NoSolutionError with `data["derivation"]` and `data["helps"]`, UnsolvedError if
    the limits were reached, AppNotFoundError, UsageError.
    """
    rules = NeedRules(universe, request)
    found = _find(rules)
    if isinstance(found, Refutation):
        raise _no_solution(universe, request, rules, found)
    values = _least(rules, found)
    return solution(rules, values, tuple(_kept(rules, values)))


def uninstall(universe: Universe, wants: Iterable[Want]) -> Solution:
    """What removing something comes to. Nothing else is changed for it: a product that needs it,
    and is met by no other one, refuses it. Raises NeedsError with `data["needed_by"]`.
    """
    request = SolveRequest(tuple(replace(want, action="remove") for want in wants))
    rules = NeedRules(universe, request)
    values: Values = {}
    frozen = []
    for slot in rules.options.wanted:
        now = rules.options.installed[slot]
        if now.frozen or now.found:
            frozen.append(now)
        values[slot] = len(rules.options.of(slot)) - 1
    if frozen:
        raise _fixed(frozen[0])
    lost = [
        clause.reason
        for slot in rules.options.wanted
        for clause in rules.clauses(slot, values[slot])
        if not is_held(clause, values)
    ]
    if lost:
        by = sorted({reason.who.product for reason in lost if reason.who is not None})
        texts = list(dict.fromkeys(reason.text for reason in lost))
        raise NeedsError(
            f"needed by what stays: {'; '.join(texts)}",
            hint=f"uninstall {', '.join(by)} as well, or install what can take its place first",
            needed_by=by,
            reasons=texts,
        )
    return solution(rules, values)


def _fixed(one: InstalledRelease) -> NeedsError:
    name = one.release.product
    if one.frozen:
        return NeedsError(
            f"{one.release.title} is frozen", hint=f"`epmstore unfreeze {name}`", product=name
        )
    return NeedsError(
        f"{name} was never recorded as installed",
        hint=f"say which release it is: `epmstore install --adopt {name}`",
        product=name,
    )


def _find(rules: NeedRules, rounds: int = ROUNDS) -> Values | Refutation:
    """resolvelib finds; what it does not find is proven not to be there. Raises UnsolvedError."""
    try:
        found = search(rules, rounds)
    except TooDeep:
        found = None
    if found is not None and holds(rules, found):
        return found
    try:
        return Refuter(rules, TRIES, REACH).run()
    except TooDeep:
        raise UnsolvedError(
            "whether this can be done was not found out: too many possibilities",
            hint="ask for less at once, or name versions",
            rounds=rounds,
        ) from None


# The least change.


def _least(rules: NeedRules, values: Values) -> Values:
    asked = list(dict.fromkeys([*rules.options.wanted, *_upgraded(rules)]))
    values = _as_new_as_can_be(rules, values, asked)
    fixed = {slot: values.get(slot, NOW) for slot in asked}
    values = _with_fewer_changed(rules, values, fixed)
    return _with_less(rules, values, fixed)


def _upgraded(rules: NeedRules) -> list[Slot]:
    if not rules.options.request.upgrade_all:
        return []
    return [slot for slot in rules.options.installed if rules.newer(slot)]


def _as_new_as_can_be(rules: NeedRules, values: Values, asked: list[Slot]) -> Values:
    """Of each of what is asked for, in its order, the best that goes with those before it."""
    fixed: dict[Slot, frozenset[int]] = {}
    left = FEWER
    for slot in asked:
        for better in rules.preferred(slot):
            if better == values.get(slot, NOW) or left == 0:
                break
            left -= 1
            narrowed = rules.narrowed({**fixed, slot: frozenset({better})}, _nothing)
            found = _found(narrowed)
            if found is not None:
                values = found
                break
        fixed[slot] = frozenset({values.get(slot, NOW)})
    return values


def _nothing(slot: Slot) -> bool:
    return False


def _changed(rules: NeedRules, values: Values, fixed: dict[Slot, int]) -> list[Slot]:
    """What is installed, and changes without having been asked to; parts count."""
    slots = dict.fromkeys(one.slot if isinstance(one, PartOf) else one for one in values)
    return [slot for slot in slots if slot in rules.options.installed and slot not in fixed]


def _with_fewer_changed(rules: NeedRules, values: Values, fixed: dict[Slot, int]) -> Values:
    """Nothing that is installed changes that could stay."""
    narrow = {slot: frozenset({value}) for slot, value in fixed.items()}
    tried: set[Slot] = set()
    for _ in range(FEWER):
        changed = _changed(rules, values, fixed)
        slot = next((one for one in changed if one not in tried), None)
        if slot is None:
            break
        tried.add(slot)
        stays = {*rules.options.installed, slot} - ({*changed} - {slot}) - {*fixed}
        found = _found(rules.narrowed(narrow, stays.__contains__))
        if found is not None:
            values = found
    return values


def _with_less(rules: NeedRules, values: Values, fixed: dict[Slot, int]) -> Values:
    """No change can be left out, as the versions are."""
    for _ in range(FEWER):
        narrowed = _only(rules, values)
        needed = Refuter(narrowed, 0, REACH).necessary()
        extra = [one for one in values if one not in needed and one not in fixed]
        for one in extra:
            less = {variable: value for variable, value in values.items() if variable != one}
            found = _found(_only(rules, less))
            if found is not None and len(found) < len(values):
                values = found
                break
        else:
            return values
    return values


def _only(rules: NeedRules, values: Values) -> NeedRules:
    """Nothing but these values, and what is there now."""
    slots = {one: frozenset({NOW, value}) for one, value in values.items() if isinstance(one, Slot)}
    parts = {one.slot for one in values if isinstance(one, PartOf)}
    return rules.narrowed(slots, lambda slot: slot not in slots and slot not in parts)


def _found(rules: NeedRules) -> Values | None:
    """A quick look; None also if it did not end."""
    try:
        found = search(rules, ROUNDS // 8)
    except TooDeep:
        return None
    return found if found is not None and holds(rules, found) else None


def _kept(rules: NeedRules, values: Values) -> Iterable[Kept]:
    """What could be newer by itself, was asked to, and is not."""
    for slot in rules.options.installed:
        now = rules.options.installed[slot]
        if rules.options.request.upgrade_all and now.frozen and rules.options.has_newer(slot):
            yield Kept(slot.instance, now.release, "it is frozen")
        newest = min(rules.newer(slot), default=None)
        if newest is None or not rules.is_to_be_newer(slot) or values.get(slot, NOW) == newest:
            continue
        release = rules.release(slot, newest)
        assert release is not None, "it is newer"
        yield Kept(slot.instance, now.release, _why_not(rules, values, slot, newest))


def _why_not(rules: NeedRules, values: Values, slot: Slot, value: int) -> str:
    """The first thing that a release would ask for and that is not so."""
    release = rules.release(slot, value)
    assert release is not None, "it is newer"
    for clause in rules.clauses(slot, value):
        if not is_held(clause, {**values, slot: value}):
            return f"{clause.reason.text}, so {release.title} cannot be installed with the rest"
    return f"{release.title} cannot be installed with the rest"


# No solution.


def _no_solution(
    universe: Universe, request: SolveRequest, rules: NeedRules, refutation: Refutation
) -> NoSolutionError:
    derivation, trace = derive(rules, refutation)
    helps = tuple(_helps(universe, request, rules, trace))
    hint = None
    if helps:
        hint = f"it can be done with {' or '.join(one.command for one in helps)}"
    return NoSolutionError(derivation.text, hint=hint, derivation=derivation, helps=helps)


def _helps(
    universe: Universe, request: SolveRequest, rules: NeedRules, trace: Trace
) -> Iterable[Help]:
    """Remedies that work, one by one."""
    for tried, (help_, other, asked) in enumerate(_remedies(universe, request, rules, trace)):
        if tried >= HELPS:
            return
        if _found(NeedRules(other, asked)) is not None:
            yield help_


_Remedy = tuple[Help, Universe, SolveRequest]


def _remedies(
    universe: Universe, request: SolveRequest, rules: NeedRules, trace: Trace
) -> Iterable[_Remedy]:
    options = rules.options
    left_out = [one for slot in trace.slots for one in options.left_out.get(slot, ())]
    whys = {one.why for one in left_out}
    if "older" in whys and not request.downgrade:
        asked = replace(request, downgrade=True)
        yield Help("--downgrade", "releases may become older"), universe, asked
    if "revoked" in whys:
        wants = tuple(replace(want, revoked=True) for want in request.wants)
        asked = replace(request, wants=wants)
        yield Help("--revoked", "what was withdrawn may be installed"), universe, asked
    for one in options.installed.values():
        if one.slot not in trace.slots and one.release not in trace.who:
            continue
        name = one.release.product
        if one.frozen:
            yield Help(f"epmstore unfreeze {name}", "it is frozen"), _freed(universe, one), request
        elif one.found:
            asked = replace(request, downgrade=True)
            adopt = Help(f"epmstore install --adopt {name}", "then its release is known")
            yield adopt, _freed(universe, one), asked
        elif not any(one.slot == slot for slot in options.wanted):
            gone = Want(one.release.app, "remove", instance=one.instance)
            asked = replace(request, wants=(*request.wants, gone))
            yield Help(f"epmstore uninstall {name}", "it is in the way"), universe, asked


def _freed(universe: Universe, fixed: InstalledRelease) -> Universe:
    installed = tuple(
        replace(one, frozen=False, found=False) if one is fixed else one
        for one in universe.installed
    )
    return replace(universe, installed=installed)
