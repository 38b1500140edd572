"""What users of other package managers suffered from, played again here; and hostile needs."""

from itertools import pairwise

import msgspec
import pytest

from epmstore.errors import NoSolutionError, UnsolvedError
from epmstore.package import search
from epmstore.package.derive import STEPS
from epmstore.package.solve import solve
from epmstore.package.universe import SolveRequest, Universe, Want
from tests.package.hosts import ask, installed, release, texts


def test_a_conflict_is_an_object_and_its_text_a_rendering() -> None:
    """pip, rattler: people parsed messages, because there was nothing else."""
    crm = release("crm-1", needs=["lib>=3"])
    with pytest.raises(NoSolutionError) as caught:
        ask(Universe(installed(release("lib-2")), (crm,)), "crm")
    derivation = caught.value.data["derivation"]
    assert [(step.word, step.kind, step.releases) for step in derivation.steps] == [
        ("because", "asked", ()),
        ("because", "need", ("crm 1-1 (1)",)),
        ("therefore", "", ()),
    ]
    assert derivation.text == caught.value.message
    assert msgspec.json.encode(derivation)


def test_the_versions_that_fail_alike_are_one_step() -> None:
    """conda, pip: pages of one line for each version."""
    crm = [release(f"crm-{n}", needs=["lib>=3"]) for n in range(1, 40)]
    with pytest.raises(NoSolutionError) as caught:
        ask(Universe(installed(release("lib-2")), tuple(crm)), "crm")
    assert len(caught.value.data["derivation"].steps) == 3
    assert "crm 1-1 (1) to crm 39-1 (39) (39 releases) need lib 3 or newer" in caught.value.message


def test_an_upgrade_never_removes_what_was_not_named() -> None:
    """apt: a dist-upgrade that took the desktop away."""
    desktop = release("desktop-1", needs=["lib<2"])
    universe = Universe(installed(release("lib-1"), desktop), (release("lib-2"),))
    found = ask(universe, upgrade_all=True)
    assert not found.steps and [kept.release.product for kept in found.kept] == ["lib"]
    with pytest.raises(NoSolutionError, match="desktop 1-1 \\(1\\) needs lib older than 2"):
        ask(universe, "+lib")


def test_installing_one_thing_upgrades_nothing_else() -> None:
    """dnf, conda: `install x` moved forty others."""
    others = [release(f"{name}-1") for name in ("a", "b", "c", "lib")]
    newer = [release(f"{name}-2") for name in ("a", "b", "c", "lib")]
    crm = release("crm-1", needs=["lib"])
    assert texts(ask(Universe(installed(*others), (*newer, crm)), "crm")) == ["install crm 1-1 (1)"]


def test_an_older_release_with_fewer_needs_is_no_way_around_them() -> None:
    """pip: backtracking into releases of years ago. Here the newest that can be is taken, and what
    is in its way is moved, not worked around.
    """
    crm = [release("crm-1"), release("crm-2", needs=["lib>=2"])]
    universe = Universe(installed(release("lib-1")), (*crm, release("lib-2")))
    assert texts(ask(universe, "crm"))[-1] == "install crm 2-1 (2)"


def test_a_broken_host_can_still_be_installed_on() -> None:
    """apt: `unmet dependencies, try --fix-broken` whatever one asks for."""
    broken = release("broken-1", needs=["gone"])
    universe = Universe(installed(broken), (release("crm-1"),))
    assert texts(ask(universe, "crm")) == ["install crm 1-1 (1)"]


def test_products_that_need_each_other_are_installed_in_the_order_of_their_names() -> None:
    ring = [release(f"{one}-1", needs=[two]) for one, two in pairwise("abcda")]
    found = ask(Universe((), tuple(ring)), "c")
    assert sorted(step.product for step in found.steps) == list("abcd")
    assert texts(found) == texts(ask(Universe((), tuple(reversed(ring))), "c"))


def test_a_release_does_not_conflict_with_itself() -> None:
    alone = release("exim-1", provides=[":mta"], conflicts=[":mta", "exim"])
    assert texts(ask(Universe((), (alone,)), "exim")) == ["install exim 1-1 (1)"]


def test_a_release_that_needs_what_it_conflicts_with_is_refused() -> None:
    odd = release("odd-1", needs=["lib"], conflicts=["lib"])
    with pytest.raises(NoSolutionError, match="conflicts with lib"):
        ask(Universe((), (odd, release("lib-1"))), "odd")


@pytest.mark.slow
def test_a_long_chain_of_needs_is_followed() -> None:
    count = 300
    chain = [release(f"p{n}-1", needs=[f"p{n + 1}"]) for n in range(count)]
    universe = Universe((), (*chain, release(f"p{count}-1")))
    found = ask(universe, "p0")
    assert texts(found)[0] == f"install p{count} 1-1 (1)"
    with pytest.raises(NoSolutionError) as caught:
        ask(Universe((), tuple(chain)), "p0")
    assert len(caught.value.message.splitlines()) <= STEPS + 1
    steps = caught.value.data["derivation"].steps
    assert (steps[-2].releases, steps[-2].says) == ((f"p{count - 1} 1-1 (1)",), f"needs p{count}")


@pytest.mark.slow
def test_a_thousand_alternatives_are_looked_at_once() -> None:
    many = [release(f"p{n}-1", provides=[":x"], needs=["gone"]) for n in range(1_000)]
    crm = release("crm-1", needs=[":x"])
    with pytest.raises(NoSolutionError, match="gone"):
        ask(Universe((), (*many, crm)), "crm")
    good = release("z-1", provides=[":x"])
    assert texts(ask(Universe((), (*many, good, crm)), "crm")) == [
        "install z 1-1 (1)",
        "install crm 1-1 (1)",
    ]


def pigeons(count: int) -> Universe:
    """`count` products that each need one of a hole less, and no two of them the same one."""
    found = []
    for n in range(count):
        found.append(release(f"pigeon{n}-1", needs=[f":hole{'abcdefghijklmnop'[n]}"]))
        found += [
            release(
                f"nest{n}in{hole}-1",
                provides=[f":hole{'abcdefghijklmnop'[n]}", f":taken{'abcdefghijklmnop'[hole]}"],
                conflicts=[f":taken{'abcdefghijklmnop'[hole]}"],
            )
            for hole in range(count - 1)
        ]
    return Universe((), tuple(found))


@pytest.mark.slow
def test_pigeons_that_do_not_fit_are_refuted_if_they_are_few() -> None:
    wants = tuple(Want(f"pigeon{n}") for n in range(4))
    with pytest.raises(NoSolutionError) as caught:
        solve(pigeons(4), SolveRequest(wants))
    assert not isinstance(caught.value, UnsolvedError)
    assert {step.word for step in caught.value.data["derivation"].steps} >= {"if", "so", "because"}


@pytest.mark.slow
def test_needs_that_explode_end_at_a_limit_that_is_said() -> None:
    wants = tuple(Want(f"pigeon{n}") for n in range(12))
    with pytest.raises(UnsolvedError, match="too many possibilities") as caught:
        solve(pigeons(12), SolveRequest(wants))
    assert caught.value.exit_code == 9
    assert caught.value.hint is not None


def test_a_search_that_turns_back_too_often_leaves_it_to_the_proof(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(search, "TURNS", 0)
    bad = [release(f"lib-{n}", needs=["gone"]) for n in (4, 5, 6)]
    crm = release("crm-1", needs=["lib"])
    found = ask(Universe((), (*bad, release("lib-1"), crm)), "crm")
    assert texts(found) == ["install lib 1-1 (1)", "install crm 1-1 (1)"]
