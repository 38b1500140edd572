"""The words that a problem of needs is written in: variables, values, and what must hold. Pure.

- A variable is a slot or a part of one. The values of a slot are numbers of its options, of which 0
  is what is there now (a release or nothing); those of a part are OUT and IN.
- A clause holds if one of its choices does, a choice if all of its literals do, and a literal if
  its variable has one of the allowed values. A clause is owned by the value that asks for it, or by
  the request.
"""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from epmstore.catalog.packaging import Need
from epmstore.package.universe import ProductRelease, Slot

NOW: Final = 0
OUT: Final = 0
IN: Final = 1
ReasonKind: TypeAlias = Literal[
    "asked", "need", "needed", "tied", "member", "conflict", "singleton", "part", "stays"
]
"""Why something must hold. `needed` is a need of what is installed already; `stays` is about what
nothing may change.
"""


class PartOf(NamedTuple):
    """Whether a part of what is in a slot is installed."""

    slot: Slot
    part: str


Variable: TypeAlias = Slot | PartOf


class Allowed(NamedTuple):
    """A literal: the variable has one of these values."""

    variable: Variable
    values: frozenset[int]


Alternative: TypeAlias = tuple[Allowed, ...]


@dataclass(frozen=True, slots=True)
class ClauseReason:
    """Why a clause must hold: `who` says so (None: the request), and `says` what, as the rest of a
    sentence. `need` is what it is about, if it is a need.
    """

    kind: ReasonKind
    says: str
    who: ProductRelease | None = None
    need: Need | None = None

    @property
    def text(self) -> str:
        return f"{self.who.title} {self.says}" if self.who is not None else self.says


@dataclass(frozen=True, slots=True, eq=False)
class Clause:
    """What must hold, and why. No choice: it cannot."""

    reason: ClauseReason
    choices: tuple[Alternative, ...]


def joined(choices: list[Alternative]) -> tuple[Alternative, ...]:
    """Choices of one and the same variable alone become one; such that allow nothing are left
    out. The order is that of the first ones.
    """
    alone: dict[Variable, frozenset[int]] = {}
    found: list[Alternative | Variable] = []
    for choice in choices:
        if not all(literal.values for literal in choice):
            continue
        if len(choice) == 1:
            variable, values = choice[0]
            if variable not in alone:
                found.append(variable)
            alone[variable] = alone.get(variable, frozenset()) | values
        else:
            found.append(choice)
    return tuple(
        (Allowed(one, alone[one]),) if isinstance(one, Slot | PartOf) else one for one in found
    )
