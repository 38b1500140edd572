"""What a request comes to: installing, upgrading, removing, with the least change."""

import pytest

from epmstore.catalog.model import Requirement
from epmstore.catalog.packaging import Exact, Member
from epmstore.errors import AppNotFoundError, NeedsError, NoSolutionError, UsageError
from epmstore.package.solve import solve, uninstall
from epmstore.package.universe import (
    InstalledRelease,
    ProductRelease,
    Slot,
    SolveRequest,
    Universe,
    Want,
)
from tests.package.hosts import app, ask, installed, release, texts

LIB = [release(f"lib-{n}") for n in (1, 2, 3)]


def exact(one: ProductRelease, kind: type[Exact] = Exact, **more: object) -> Exact:
    assert one.number is not None and one.digest is not None
    said = {"product": one.product, "app": one.app, "release": one.number, "digest": one.digest}
    return kind(**said, **more)  # type: ignore[arg-type]


def refused(universe: Universe, *wants: str, **more: bool) -> NoSolutionError:
    with pytest.raises(NoSolutionError) as caught:
        ask(universe, *wants, **more)
    return caught.value


def test_the_newest_is_installed_with_what_it_needs_first() -> None:
    crm = [release(f"crm-{n}", needs=["lib>=2"]) for n in (1, 2)]
    found = ask(Universe((), (*crm, *LIB)), "crm")
    assert texts(found) == ["install lib 3-1 (3)", "install crm 2-1 (2)"]
    assert found.steps[0].why == ("crm 2-1 (2) needs lib 2 or newer",)
    assert found.steps[1].why == ("crm is to be installed",)


def test_an_installed_release_that_will_do_stays() -> None:
    crm = release("crm-1", needs=["lib"])
    assert texts(ask(Universe(installed(LIB[0]), (crm, *LIB)), "crm")) == ["install crm 1-1 (1)"]
    assert texts(ask(Universe(installed(LIB[0]), tuple(LIB)), "lib")) == []


def test_upgrading_goes_to_the_newest_and_takes_others_along() -> None:
    old, new = release("crm-1", needs=["lib<2"]), release("crm-2", needs=["lib>=2"])
    universe = Universe(installed(LIB[0], old), (*LIB, old, new))
    assert texts(ask(universe, "+crm")) == [
        "upgrade lib 1-1 (1) to 3-1 (3)",
        "upgrade crm 1-1 (1) to 2-1 (2)",
    ]
    assert texts(ask(universe, "+lib")) == texts(ask(universe, "+crm"))


def test_a_frozen_release_stays_and_is_named_with_what_helps() -> None:
    crm = release("crm-1", needs=["lib>=2"])
    error = refused(Universe(installed(LIB[0], frozen=["lib"]), (crm, *LIB)), "crm")
    assert "what is installed is frozen" in error.message
    assert [one.command for one in error.data["helps"]] == ["epmstore unfreeze lib"]
    assert "epmstore unfreeze lib" in str(error.hint)


def test_only_with_downgrade_something_becomes_older() -> None:
    crm = release("crm-1", needs=["lib<2"])
    universe = Universe(installed(LIB[1]), (crm, *LIB))
    error = refused(universe, "crm")
    assert "it is older than what is installed" in error.message
    assert "--downgrade" in str(error.hint)
    found = ask(universe, "crm", downgrade=True)
    assert texts(found) == ["downgrade lib 2-1 (2) to 1-1 (1)", "install crm 1-1 (1)"]
    assert texts(ask(Universe(installed(LIB[1]), tuple(LIB)), "+lib", downgrade=True)) == [
        "upgrade lib 2-1 (2) to 3-1 (3)"
    ]


def test_a_revoked_release_is_taken_only_if_it_is_named() -> None:
    bad = release("lib-9", revoked="it loses data")
    universe = Universe((), (*LIB, bad))
    assert texts(ask(universe, "lib")) == ["install lib 3-1 (3)"]
    assert "its vendor withdrew it" in refused(universe, "lib>=9").message
    assert "--revoked" in str(refused(universe, "lib>=9").hint)
    named = Want("lib", release=bad, revoked=True)
    assert texts(solve(universe, SolveRequest((named,)))) == ["install lib 9-1 (9)"]
    assert texts(ask(Universe(installed(bad), tuple(LIB)), "lib")) == []


def test_a_channel_offers_its_targets_and_no_more() -> None:
    universe = Universe((), tuple(LIB), targets={app("lib"): frozenset({2})})
    assert texts(ask(universe, "lib")) == ["install lib 2-1 (2)"]
    assert "the channel does not offer it" in refused(universe, "lib>=3").message
    given = Want("lib", release=LIB[2])
    assert texts(solve(universe, SolveRequest((given,)))) == ["install lib 3-1 (3)"]


def test_releases_for_another_architecture_are_not_taken() -> None:
    arm = release("crm-2", architecture="aarch64")
    universe = Universe((), (arm, release("crm-1")), architecture="x86_64")
    assert texts(ask(universe, "crm")) == ["install crm 1-1 (1)"]


def test_nothing_is_installed_where_something_installed_does() -> None:
    exim, postfix = release("exim-1", provides=[":mta"]), release("postfix-1", provides=[":mta"])
    crm = release("crm-1", needs=[":mta"])
    universe = Universe(installed(postfix), (exim, crm))
    assert texts(ask(universe, "crm")) == ["install crm 1-1 (1)"]
    assert "install postfix 1-1 (1)" in texts(
        ask(Universe((), (exim, postfix, crm)), "crm", "postfix")
    )
    assert len(ask(Universe((), (exim, postfix, crm)), "crm", "postfix").steps) == 2


def test_a_conflict_is_refused_and_removes_nothing_by_itself() -> None:
    mta = {"provides": [":mta"], "conflicts": [":mta"]}
    exim, postfix = release("exim-1", **mta), release("postfix-1", **mta)  # type: ignore[arg-type]
    universe = Universe(installed(exim), (postfix,))
    error = refused(universe, "postfix")
    assert "exim 1-1 (1) is installed" in error.message
    assert "epmstore uninstall exim" in str(error.hint)
    assert texts(ask(universe, "postfix", "-exim")) == [
        "install postfix 1-1 (1)",
        "remove exim 1-1 (1)",
    ]


def test_a_conflict_of_what_is_installed_counts_as_well() -> None:
    old = release("old-1", conflicts=["new<2"])
    universe = Universe(installed(old), (release("new-1"), release("new-2")))
    assert texts(ask(universe, "new")) == ["install new 2-1 (2)"]
    assert "old 1-1 (1) conflicts with new older than 2" in refused(universe, "new<2").message


def test_libraries_are_offered_by_products_or_by_the_host() -> None:
    crm = release("crm-1", needs=["=libc.so.6", "=libpay.so.3"])
    pay = release("pay-1", provides=["=libpay.so.3"])
    host = Universe((), (crm, pay), system=frozenset({"libc.so.6"}))
    assert texts(ask(host, "crm")) == ["install pay 1-1 (1)", "install crm 1-1 (1)"]
    assert (
        "library libc.so.6; nothing that is here does that"
        in refused(Universe((), (crm, pay)), "crm").message
    )


def test_a_release_that_is_tied_goes_with_exactly_one_other() -> None:
    doc = release("doc-1", tied=(exact(LIB[1]),))
    assert texts(ask(Universe((), (doc, *LIB)), "doc")) == [
        "install lib 2-1 (2)",
        "install doc 1-1 (1)",
    ]
    assert (
        "is tied to lib release 2"
        in refused(Universe(installed(LIB[2]), (doc, *LIB)), "doc").message
    )
    there = Universe(installed(LIB[1], doc), tuple(LIB))
    assert texts(ask(there, "+lib")) == ["upgrade lib 2-1 (2) to 3-1 (3)"], "it goes one way"


def test_members_of_a_bundle_come_with_it_and_optional_ones_if_asked() -> None:
    tax = release("tax-1")
    bundle = release("suite-1", members=(exact(LIB[0], Member), exact(tax, Member, required=False)))
    universe = Universe((), (bundle, tax, *LIB))
    assert texts(ask(universe, "suite")) == ["install lib 1-1 (1)", "install suite 1-1 (1)"]
    wanted = Want("suite", members=frozenset({"tax"}))
    assert "install tax 1-1 (1)" in texts(solve(universe, SolveRequest((wanted,))))
    there = Universe(installed(bundle, LIB[0]), (tax, bundle, *LIB))
    assert texts(ask(there, "suite")) == []


def test_an_optional_member_that_is_installed_goes_along_with_its_bundle() -> None:
    tax = [release("tax-1"), release("tax-2")]
    bundles = [
        release(f"suite-{n}", members=(exact(one, Member, required=False),))
        for n, one in enumerate(tax, 1)
    ]
    universe = Universe(installed(bundles[0], tax[0]), (*bundles, *tax))
    assert texts(ask(universe, "+suite")) == [
        "upgrade tax 1-1 (1) to 2-1 (2)",
        "upgrade suite 1-1 (1) to 2-1 (2)",
    ]


def test_a_part_is_added_for_who_needs_it() -> None:
    lib = release("lib-1", parts=["dev"], needs=["dev -> make"])
    crm, make = release("crm-1", needs=["lib:dev"]), release("make-1")
    there = (InstalledRelease("lib", lib, frozenset()),)
    found = ask(Universe(there, (crm, make)), "crm")
    assert texts(found) == ["install make 1-1 (1)", "parts lib 1-1 (1)", "install crm 1-1 (1)"]
    assert found.steps[1].parts is None or found.steps[1].parts == {"dev"}
    assert texts(ask(Universe((), (lib, make)), "lib")) == [
        "install make 1-1 (1)",
        "install lib 1-1 (1)",
    ]
    without = Want("lib", without=frozenset({"dev"}))
    assert texts(solve(Universe((), (lib, make)), SolveRequest((without,)))) == [
        "install lib 1-1 (1)"
    ]


def test_an_application_that_nobody_recorded_meets_needs_and_is_left_alone() -> None:
    crm = release("crm-1", needs=["lib"])
    hand = InstalledRelease("lib", ProductRelease(app("lib"), "lib", None), found=True)
    universe = Universe((hand,), (crm, *LIB))
    assert texts(ask(universe, "crm")) == ["install crm 1-1 (1)"]
    error = refused(Universe((hand,), (release("crm-2", needs=["lib>=1"]), *LIB)), "crm")
    assert "never recorded as installed" in error.message
    assert "epmstore install --adopt lib" in str(error.hint)


def test_needs_of_applications_in_the_line_count_too() -> None:
    line = (Requirement(app=app("lib"), key="lib", min=2),)
    crm = ProductRelease(app("crm"), "crm", 5, requires=line)
    assert texts(ask(Universe(installed(LIB[0]), (crm, *LIB)), "crm")) == [
        "upgrade lib 1-1 (1) to 3-1 (3)", "install crm 5",
    ]  # fmt: skip


def test_a_singleton_has_one_instance() -> None:
    one = release("crm-1", singleton=True)
    second = Want("crm", instance="crm2")
    universe = Universe(installed(one), (one,))
    with pytest.raises(NoSolutionError, match="has one instance on a host"):
        solve(universe, SolveRequest((second,)))
    plain = release("crm-1")
    assert len(solve(Universe(installed(plain), (plain,)), SolveRequest((second,))).steps) == 1


def test_with_several_instances_the_one_that_is_meant_is_named() -> None:
    old, new = release("crm-1"), release("crm-2")
    there = (InstalledRelease("one", old), InstalledRelease("two", old))
    universe = Universe(there, (old, new))
    with pytest.raises(UsageError, match="one, two"):
        ask(universe, "crm")
    assert len(ask(universe, "+crm").steps) == 2
    upgraded = solve(universe, SolveRequest((Want("crm", "upgrade", instance="two"),)))
    assert [step.instance for step in upgraded.steps] == ["two"]


def test_names_of_nothing_are_not_found() -> None:
    with pytest.raises(AppNotFoundError, match="nope is not known"):
        ask(Universe((), tuple(LIB)), "nope")
    with pytest.raises(AppNotFoundError, match="lib is not installed"):
        ask(Universe((), tuple(LIB)), "+lib")


def test_upgrading_all_keeps_what_cannot_and_says_why() -> None:
    old = release("old-1", needs=["lib<2"])
    universe = Universe(installed(LIB[0], old, release("web-1")), (*LIB, release("web-2")))
    found = ask(universe, upgrade_all=True)
    assert texts(found) == ["upgrade web 1-1 (1) to 2-1 (2)"]
    (kept,) = found.kept
    assert kept.release is LIB[0] and "old 1-1 (1) needs lib older than 2" in kept.why
    frozen = ask(Universe(installed(LIB[0], frozen=["lib"]), tuple(LIB)), upgrade_all=True)
    assert [one.why for one in frozen.kept] == ["it is frozen"]


def test_optional_needs_hinder_nothing_and_are_said() -> None:
    crm = release("crm-1", needs=["tax?"])
    assert ask(Universe((), (crm,)), "crm").unmet == ("crm 1-1 (1) would like tax",)
    assert ask(Universe(installed(release("tax-1")), (crm,)), "crm").unmet == ()
    many = release("crm-1", needs=[f"lib{n}?" for n in range(10, 22)])
    [said] = ask(Universe((), (many,)), "crm").unmet
    assert said.startswith("crm 1-1 (1) would like lib10, lib11,") and said.endswith(" and 2 more")


def test_uninstalling_what_others_need_is_refused_with_who() -> None:
    crm = release("crm-1", needs=["lib"])
    universe = Universe(installed(LIB[0], crm), ())
    with pytest.raises(NeedsError, match="crm 1-1 \\(1\\) needs lib") as caught:
        uninstall(universe, [Want("lib")])
    assert caught.value.exit_code == 7
    assert caught.value.data["needed_by"] == ["crm"]
    both = uninstall(universe, [Want("lib"), Want("crm")])
    assert texts(both) == ["remove lib 1-1 (1)", "remove crm 1-1 (1)"]
    assert texts(uninstall(universe, [Want("crm")])) == ["remove crm 1-1 (1)"]


def test_uninstalling_one_of_several_that_would_do_is_fine() -> None:
    mta = [release(f"{name}-1", provides=[":mta"]) for name in ("exim", "postfix")]
    universe = Universe(installed(*mta, release("crm-1", needs=[":mta"])), ())
    assert texts(uninstall(universe, [Want("exim")])) == ["remove exim 1-1 (1)"]
    with pytest.raises(NeedsError, match="capability mta"):
        uninstall(universe, [Want("exim"), Want("postfix")])


def test_a_frozen_release_is_not_uninstalled() -> None:
    with pytest.raises(NeedsError, match="is frozen") as caught:
        uninstall(Universe(installed(LIB[0], frozen=["lib"])), [Want("lib")])
    assert "unfreeze" in str(caught.value.hint)


def test_a_given_candidate_is_installed_although_it_has_no_number() -> None:
    published = release("crm-2")
    candidate = ProductRelease(app("crm"), "crm", None, release("crm-2").package, given=True)
    universe = Universe(installed(published), ())
    found = solve(universe, SolveRequest((Want("crm", release=candidate),)))
    assert texts(found) == ["upgrade crm 2-1 (2) to 2-1"]
    assert Slot(app("crm"), "crm") == universe.installed[0].slot
