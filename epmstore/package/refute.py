"""Proving that nothing meets a request, and keeping why; or finding what does. Pure.

Values that cannot be are taken away, each with its cause, until some variable has none left. Where
that does not happen by itself, a value is tried: if nothing follows, that is a solution; else the
value is taken away because of what was found. This ends, and is complete; it is asked after
resolvelib found nothing, which does not say why, and is bounded by `limit` tries.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from epmstore.package.clauses import NOW, Allowed, Clause, Variable
from epmstore.package.rules import NeedRules
from epmstore.package.search import TooDeep, Values, is_held
from epmstore.package.universe import Slot

ROOT: Final = Slot("", "")
"""Whose only value owns what the request asks for."""
OwnedValue: TypeAlias = tuple[Variable, int]


class Cause(NamedTuple):
    """Why a value is taken away: a clause of `owner` allows no other way, because the `blocked`
    literals of its choices have no values left. `tried`: instead, it was tried in vain.
    """

    owner: OwnedValue
    clause: Clause | None
    blocked: tuple[Allowed, ...] = ()
    tried: "Refutation | None" = None


@dataclass(frozen=True, slots=True, eq=False)
class Refutation:
    """A variable has no value left, and why each of them was taken away."""

    empty: Variable
    causes: dict[tuple[Variable, int], Cause]
    clause: Clause | None = None
    """What the request asks for and cannot be, where that is what is refuted."""
    blocked: tuple[Allowed, ...] = ()


@dataclass(slots=True)
class _State:
    domains: dict[Variable, frozenset[int]]
    causes: dict[tuple[Variable, int], Cause]
    dirty: dict[tuple[OwnedValue, Clause], None] = field(default_factory=dict)

    def copy(self) -> "_State":
        return _State(dict(self.domains), dict(self.causes), dict(self.dirty))


class _Refuted(Exception):
    def __init__(self, refutation: Refutation) -> None:
        super().__init__()
        self.refutation = refutation


class Refuter:
    """Works on the clauses of one request. `limit`: values that are tried, at most; `reach`:
    clauses that are looked at, at most.
    """

    def __init__(self, rules: NeedRules, limit: int, reach: int = 1_000_000) -> None:
        self._rules = rules
        self._left = limit
        self._reach = reach
        self._watching: dict[Variable, list[tuple[OwnedValue, Clause]]] = defaultdict(list)
        self._roots = tuple(rules.roots())

    def run(self) -> Values | Refutation:
        """What meets the request, or the proof that nothing does. Raises TooDeep."""
        state = _State({ROOT: frozenset({NOW})}, {})
        self._meet([ROOT], state)
        return self._search(state)

    def necessary(self) -> set[Variable]:
        """The variables that cannot stay as they are, as far as that follows without a try."""
        state = _State({ROOT: frozenset({NOW})}, {})
        self._meet([ROOT], state)
        self._propagate(state)
        return {one for one, domain in state.domains.items() if NOW not in domain}

    def _clauses(self, variable: Variable, value: int) -> tuple[Clause, ...]:
        return self._roots if variable == ROOT else self._rules.clauses(variable, value)

    def _meet(self, variables: Iterable[Variable], state: _State) -> None:
        """All variables that can be reached, with all their values."""
        queue = list(variables)
        seen = set(queue)
        for variable in queue:
            for value in sorted(state.domains[variable]):
                for clause in self._clauses(variable, value):
                    self._reach -= 1
                    if self._reach < 0:
                        raise TooDeep
                    at = ((variable, value), clause)
                    state.dirty[at] = None
                    for one in dict.fromkeys(lit.variable for c in clause.choices for lit in c):
                        self._watching[one].append(at)
                        if one not in seen:
                            seen.add(one)
                            state.domains[one] = self._rules.domain(one)
                            queue.append(one)

    def _search(self, state: _State) -> Values | Refutation:
        while True:
            try:
                self._propagate(state)
            except _Refuted as end:
                return end.refutation
            picked = self._pick(state)
            if picked is None:
                return {
                    variable: value
                    for variable, domain in state.domains.items()
                    if NOW not in domain
                    for value in domain
                }
            self._left -= 1
            if self._left < 0:
                raise TooDeep
            variable, value = picked
            trial = state.copy()
            for other in state.domains[variable] - {value}:
                self._take(trial, variable, other, Cause(picked, None))
            found = self._search(trial)
            if not isinstance(found, Refutation):
                return found
            self._take(state, variable, value, Cause(picked, None, (), found))

    def _pick(self, state: _State) -> OwnedValue | None:
        """A value to try, of what is not decided; None if everything holds as it is."""
        open_ = [
            one for one, domain in state.domains.items() if NOW not in domain and len(domain) > 1
        ]
        if open_:
            least = min(open_, key=lambda one: len(state.domains[one]))
            return self._best(state, least)
        values = {
            one: next(iter(domain)) for one, domain in state.domains.items() if NOW not in domain
        }
        for variable, value in [(ROOT, NOW), *values.items()]:
            for clause in self._clauses(variable, value):
                if not is_held(clause, values):
                    return self._best_of(state, clause, values)
        return None

    def _best(self, state: _State, variable: Variable) -> OwnedValue:
        domain = state.domains[variable]
        return variable, next(v for v in self._rules.preferred(variable) if v in domain)

    def _best_of(self, state: _State, clause: Clause, values: Values) -> OwnedValue:
        for choice in clause.choices:
            if all(state.domains[one] & allowed for one, allowed in choice):
                for variable, allowed in choice:
                    if values.get(variable, NOW) not in allowed:
                        order = self._rules.preferred(variable)
                        alive = allowed & state.domains[variable]
                        return variable, next(value for value in order if value in alive)
        raise AssertionError("a clause that cannot hold was taken away")

    def _propagate(self, state: _State) -> None:
        """Raises _Refuted. Causes that are fewer steps away are found first."""
        while state.dirty:
            dirty, state.dirty = state.dirty, {}
            for owner, clause in dirty:
                if owner[1] in state.domains[owner[0]]:
                    self._weigh(state, owner, clause)

    def _weigh(self, state: _State, owner: OwnedValue, clause: Clause) -> None:
        """What follows from a clause of a value that may be, or has to be."""
        alive, blocked = [], []
        for choice in clause.choices:
            dead = next((one for one in choice if not state.domains[one[0]] & one[1]), None)
            if dead is None:
                alive.append(choice)
                if len(alive) > 1:
                    return
            else:
                blocked.append(dead)
        if not alive:
            self._take(state, *owner, Cause(owner, clause, tuple(blocked)))
        elif len(state.domains[owner[0]]) == 1:
            cause = Cause(owner, clause, tuple(blocked))
            for variable, allowed in alive[0]:
                for value in sorted(state.domains[variable] - allowed):
                    self._take(state, variable, value, cause)

    def _take(self, state: _State, variable: Variable, value: int, cause: Cause) -> None:
        state.causes[variable, value] = cause
        state.domains[variable] -= {value}
        if not state.domains[variable]:
            raise _Refuted(Refutation(variable, dict(state.causes)))
        for at in self._watching[variable]:
            state.dirty[at] = None
        if len(state.domains[variable]) == 1:
            last = next(iter(state.domains[variable]))
            for clause in self._clauses(variable, last):
                state.dirty[(variable, last), clause] = None
