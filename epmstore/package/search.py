"""Finding values that hold all clauses, by resolvelib. Pure.

An identifier is a variable, or a clause with several choices; so what resolvelib picks is either
the value of a variable or the choice of a clause. Everything is preferred as it is now; of what has
to change the newest comes first, and of several choices the one that is there already.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from resolvelib import AbstractProvider, BaseReporter, Resolver
from resolvelib.resolvers import ResolutionImpossible, ResolutionTooDeep
from resolvelib.structs import RequirementInformation, State

from epmstore.package.clauses import NOW, Allowed, Alternative, Clause, Variable
from epmstore.package.rules import NeedRules

Values: TypeAlias = dict[Variable, int]
"""Those that are not as they are now."""
_Identifier: TypeAlias = Variable | Clause
TURNS: Final = 20
"""How often a search may turn back: where it does, a proof is quicker (see refute.py)."""


class TooDeep(Exception):
    """The search did not end within its limit, and nothing is known."""


class Asked(NamedTuple):
    """A requirement: the identifier has one of these values."""

    identifier: _Identifier
    values: frozenset[int]


class Pin(NamedTuple):
    """A candidate: a value of a variable, or a choice of a clause."""

    identifier: _Identifier
    value: int


def search(rules: NeedRules, rounds: int) -> Values | None:
    """None: resolvelib found that there are none. Raises TooDeep."""
    seen = _Seen()
    resolver = Resolver(_Provider(rules, seen), seen)
    roots = [one for clause in rules.roots() for one in _asks(clause)]
    try:
        result = resolver.resolve(roots, max_rounds=rounds)
    except ResolutionImpossible:
        return None
    except ResolutionTooDeep:
        raise TooDeep from None
    return {
        identifier: pin.value
        for identifier, pin in result.mapping.items()
        if not isinstance(identifier, Clause) and pin.value != NOW
    }


def holds(rules: NeedRules, values: Mapping[Variable, int]) -> bool:
    """Whether all clauses of these values hold."""
    clauses = [*rules.roots()]
    for variable, value in values.items():
        if value not in rules.domain(variable):
            return False
        clauses += rules.clauses(variable, value)
    return all(is_held(clause, values) for clause in clauses)


def is_held(clause: Clause, values: Mapping[Variable, int]) -> bool:
    """Whether one of its choices is there."""
    return any(
        all(values.get(literal.variable, NOW) in literal.values for literal in choice)
        for choice in clause.choices
    )


def _asks(clause: Clause) -> Iterator[Asked]:
    if len(clause.choices) == 1:
        yield from (Asked(*literal) for literal in clause.choices[0])
    elif () not in clause.choices:
        yield Asked(clause, frozenset(range(len(clause.choices))))


class _Seen(BaseReporter[Asked, Pin, _Identifier]):
    """Keeps what is pinned so far, and ends a search that turned back too often."""

    def __init__(self) -> None:
        self.pins: Mapping[_Identifier, Pin] = {}
        self._turns = 0

    def resolving_conflicts(self, causes: Collection[RequirementInformation[Asked, Pin]]) -> None:
        self._turns += 1
        if self._turns > TURNS:
            raise TooDeep

    def ending_round(self, index: int, state: State[Asked, Pin, _Identifier]) -> None:
        self.pins = state.mapping


class _Provider(AbstractProvider[Asked, Pin, _Identifier]):
    def __init__(self, rules: NeedRules, seen: _Seen) -> None:
        self._rules = rules
        self._seen = seen
        self._pins: dict[Pin, Pin] = {}

    def identify(self, requirement_or_candidate: Asked | Pin) -> _Identifier:
        return requirement_or_candidate.identifier

    def get_preference(
        self,
        identifier: _Identifier,
        resolutions: Mapping[_Identifier, Pin],
        candidates: Mapping[_Identifier, Iterator[Pin]],
        information: Mapping[_Identifier, Iterator[RequirementInformation[Asked, Pin]]],
        backtrack_causes: Sequence[RequirementInformation[Asked, Pin]],
    ) -> Any:
        """Variables before clauses, and the one with the fewest values left first."""
        if isinstance(identifier, Clause):
            return (True, len(identifier.choices))
        return (False, sum(1 for _ in candidates[identifier]))

    def find_matches(
        self,
        identifier: _Identifier,
        requirements: Mapping[_Identifier, Iterator[Asked]],
        incompatibilities: Mapping[_Identifier, Iterator[Pin]],
    ) -> Iterable[Pin] | Callable[[], Iterable[Pin]]:
        # After it has turned back, resolvelib also asks about what nothing requires any more.
        values = self._all(identifier).intersection(
            *(one.values for one in requirements[identifier])
        )
        values -= {pin.value for pin in incompatibilities[identifier]}
        if isinstance(identifier, Clause):
            clause = identifier
            return lambda: [self._pin(clause, n) for n in self._by_nearness(clause, values)]
        return [
            self._pin(identifier, value)
            for value in self._rules.preferred(identifier)
            if value in values
        ]

    def _all(self, identifier: _Identifier) -> frozenset[int]:
        if isinstance(identifier, Clause):
            return frozenset(range(len(identifier.choices)))
        return self._rules.domain(identifier)

    def is_satisfied_by(self, requirement: Asked, candidate: Pin) -> bool:
        return candidate.value in requirement.values

    def get_dependencies(self, candidate: Pin) -> Iterable[Asked]:
        identifier, value = candidate
        if isinstance(identifier, Clause):
            return [Asked(*literal) for literal in identifier.choices[value]]
        return [one for clause in self._rules.clauses(identifier, value) for one in _asks(clause)]

    def _pin(self, identifier: _Identifier, value: int) -> Pin:
        """resolvelib tells candidates apart by what object they are."""
        pin = Pin(identifier, value)
        return self._pins.setdefault(pin, pin)

    def _by_nearness(self, clause: Clause, values: frozenset[int]) -> list[int]:
        """Choices by how much of them is not there yet."""
        return sorted(values, key=lambda n: (self._distance(clause.choices[n]), n))

    def _distance(self, choice: Alternative) -> int:
        return sum(not self._is_there(literal) for literal in choice)

    def _is_there(self, literal: Allowed) -> bool:
        pin = self._seen.pins.get(literal.variable)
        return (pin.value if pin is not None else NOW) in literal.values
