"""The solver beside one that tries everything: there is a solution exactly if there is one, it is
one, and it is the least change.
"""

import os

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from epmstore.catalog.packaging import Need
from epmstore.errors import NoSolutionError, UnsolvedError
from epmstore.package.clauses import NOW
from epmstore.package.refute import Refutation, Refuter
from epmstore.package.rules import NeedRules
from epmstore.package.search import holds
from epmstore.package.solve import solve
from epmstore.package.universe import (
    InstalledRelease,
    ProductRelease,
    Slot,
    SolveRequest,
    Universe,
    Want,
    WantAction,
)
from tests.package.brute import PART, Brute, State, There
from tests.package.hosts import app, release

EXAMPLES = int(os.environ.get("EPM_TEST_SOLVES", "60"))
PRODUCTS = "abcd"
BOUNDS = st.sampled_from(["", "", ">=2", "<2", "<=2", "=1", ">2"])


@st.composite
def needs(draw: st.DrawFn, product: str) -> str:
    of = draw(st.sampled_from(["", "", "", f"{PART} -> "]))
    kind = draw(st.sampled_from(["product", "product", "product", "capability", "part", "own"]))
    if kind == "capability":
        return f"{of}:x{draw(st.sampled_from(['', '', '>=2']))}"
    if kind == "own":
        return f"/{PART}"
    other = draw(st.sampled_from([one for one in PRODUCTS if one != product]))
    part = f":{PART}" if kind == "part" else ""
    return f"{of}{other}{part}{draw(BOUNDS)}"


@st.composite
def releases(draw: st.DrawFn, product: str, number: int) -> ProductRelease:
    parts = [PART] if draw(st.integers(0, 2)) == 0 else []
    own = st.lists(needs(product), max_size=2)
    usable = [one for one in draw(own) if parts or (" -> " not in one and "/" not in one)]
    conflicts = [
        one
        for one in draw(st.lists(needs(product), max_size=1))
        if "/" not in one and (parts or " -> " not in one)
    ]
    offers = draw(st.lists(st.sampled_from([":x", ":x=2", f"{PART} -> :x=3"]), max_size=1))
    return release(
        f"{product}-{number}",
        needs=usable,
        conflicts=conflicts if draw(st.booleans()) else [],
        provides=[one for one in offers if parts or " -> " not in one],
        parts=parts,
        revoked="bad" if draw(st.integers(0, 9)) == 0 else None,
    )


@st.composite
def problems(draw: st.DrawFn) -> tuple[Universe, SolveRequest]:
    known: list[ProductRelease] = []
    there: list[InstalledRelease] = []
    for product in PRODUCTS:
        numbers = draw(st.sets(st.integers(1, 3), min_size=1, max_size=3))
        found = [draw(releases(product, number)) for number in sorted(numbers)]
        known += found
        if draw(st.booleans()):
            parts = draw(st.sampled_from([None, frozenset[str]()]))
            chosen = draw(st.sampled_from(found))
            there.append(
                InstalledRelease(product, chosen, parts, frozen=draw(st.integers(0, 5)) == 0)
            )
    wants = []
    for product in draw(st.lists(st.sampled_from(PRODUCTS), min_size=1, max_size=2, unique=True)):
        is_there = any(one.instance == product for one in there)
        actions: list[WantAction] = ["install", "upgrade", "remove"]
        action = draw(st.sampled_from(actions)) if is_there else "install"
        within = Need(product=product, min="2") if draw(st.integers(0, 3)) == 0 else None
        if action == "remove":
            within = None
        without = (
            frozenset({PART}) if draw(st.integers(0, 9)) == 0 and not is_there else frozenset()
        )
        wants.append(Want(product, action, within, without=without))
    system = frozenset({"x"}) if draw(st.integers(0, 9)) == 0 else frozenset[str]()
    universe = Universe(tuple(there), tuple(known), system=system)
    return universe, SolveRequest(tuple(wants), downgrade=draw(st.integers(0, 3)) == 0)


def state_of(brute: Brute, universe: Universe, request: SolveRequest) -> State:
    state = dict(brute.before)
    for step in solve(universe, request).steps:
        slot = Slot(app(step.product), step.instance)
        has = step.after is not None and PART in step.after.parts
        part = has and (step.parts is None or PART in step.parts)
        before = brute.before[slot].release
        same = before is not None and step.after is not None and before.number == step.after.number
        state[slot] = There(before if same else step.after, part)
    return state


def changes_asked(brute: Brute, state: State) -> dict[str, object]:
    wanted = {want.product for want in brute.request.wants}
    return {
        slot.instance: there.release for slot, there in state.items() if slot.instance in wanted
    }


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(problems())
def test_there_is_a_solution_exactly_if_trying_everything_finds_one(
    problem: tuple[Universe, SolveRequest],
) -> None:
    brute = Brute(*problem)
    possible = list(brute.solutions())
    event("solvable" if possible else "not solvable")
    try:
        found = state_of(brute, *problem)
    except UnsolvedError:
        raise
    except NoSolutionError as error:
        assert not possible, error.message
        assert error.data["derivation"].steps
        assert error.exit_code == 9
        return
    assert brute.is_solution(found)
    check_least(brute, found, possible)


def check_least(brute: Brute, found: State, possible: list[State]) -> None:
    asked = changes_asked(brute, found)
    wanted = {want.product for want in brute.request.wants}
    mine = brute.changed(found)
    alike = [state for state in possible if changes_asked(brute, state) == asked]
    installed = {slot for slot in brute.installed if slot.instance not in wanted}
    for other in alike:
        assert not brute.changed(other) & installed < mine & installed, (
            "more is changed than must be"
        )
        if all(other[slot] in (found[slot], brute.before[slot]) for slot in other):
            assert not brute.changed(other) < mine, "a change could be left out"
    check_new(brute, found, possible)


def check_new(brute: Brute, found: State, possible: list[State]) -> None:
    """The first of what is asked for is as new as it can be, or stays if that will do."""
    want = brute.request.wants[0]
    slot = next(one for one in found if one.instance == want.product)
    now = brute.before[slot].release
    release = found[slot].release
    if release is None:
        return
    others = [one for state in possible if (one := state[slot].release) is not None]
    if want.action == "install" and now is not None and any(one is now for one in others):
        assert release is now
        return
    key = brute.orderings[slot.app].key
    assert key(release) == max(map(key, others))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(problems())
def test_a_proof_finds_what_the_search_finds(problem: tuple[Universe, SolveRequest]) -> None:
    """The proof alone is complete, too: it never rests on resolvelib having been right."""
    rules = NeedRules(*problem)
    proven = Refuter(rules, 1_000).run()
    possible = any(True for _ in Brute(*problem).solutions())
    assert isinstance(proven, Refutation) != possible
    if not isinstance(proven, Refutation):
        assert holds(rules, proven)
        assert NOW not in proven.values()
