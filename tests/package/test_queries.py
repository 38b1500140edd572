"""`why` and `owner`: who needs what is installed, and who has what."""

import dataclasses

import pytest

from epmstore.catalog.packaging import Exact
from epmstore.errors import AppNotFoundError
from epmstore.package.queries import owner, search, why
from epmstore.package.universe import InstalledRelease, Universe
from tests.package.hosts import app, installed, release

LIB = release("lib-2", parts=["dev"], provides=["=liblib.so.2", "dev -> :lib-api=2.1"])


def test_who_needs_something_is_said_with_how() -> None:
    tied = Exact(product="lib", app=app("lib"), release=2, digest=LIB.digest or "")
    universe = Universe(
        installed(
            LIB,
            release("crm-1", needs=["lib>=2", "=liblib.so.2"]),
            release("tax-1", needs=["lib?"]),
            release("doc-1", tied=(tied,)),
            release("web-1", needs=["crm"]),
        )
    )
    (found,) = why(universe, "lib")
    assert [one.text for one in found.by] == [
        "crm 1-1 (1) needs lib 2 or newer",
        "crm 1-1 (1) needs library liblib.so.2",
        "tax 1-1 (1) would like lib",
        "doc 1-1 (1) is tied to lib 2-1 (2)",
    ]
    assert [one.by for one in why(universe, "web")] == [()]
    with pytest.raises(AppNotFoundError):
        why(universe, "nope")


def test_others_that_would_do_are_named() -> None:
    two = [release(f"{name}-1", provides=[":mta"]) for name in ("exim", "postfix")]
    universe = Universe(installed(*two, release("crm-1", needs=[":mta"])))
    (found,) = why(universe, "exim")
    assert found.by[0].text == "crm 1-1 (1) needs capability mta (as would postfix 1-1 (1))"


def test_a_need_that_is_not_met_by_something_is_no_reason_for_it() -> None:
    universe = Universe(installed(LIB, release("crm-1", needs=["lib>=3"])))
    assert why(universe, "lib")[0].by == ()


def test_parts_that_are_not_installed_neither_need_nor_own() -> None:
    crm = release("crm-1", parts=["client"], needs=["client -> lib", "lib:dev"])
    there = (InstalledRelease("lib", LIB, frozenset()), InstalledRelease("crm", crm, frozenset()))
    assert why(Universe(there), "lib")[0].by == ()
    (one,) = owner(Universe(there), "lib-api")
    assert (one.version, one.part, one.present) == ("2.1", "dev", False)


def test_owners_are_found_by_soname_and_capability() -> None:
    universe = Universe(installed(LIB, release("crm-1", needs=["=liblib.so.2"])))
    assert [one.release for one in owner(universe, "liblib.so.2")] == [LIB]
    assert owner(universe, "lib-api")[0].present
    assert owner(universe, "libnope.so") == ()


def test_products_are_found_by_all_words_of_what_their_newest_release_says() -> None:
    old = release("crm-1")
    new = release("crm-2", provides=[":crm-api=2"])
    withdrawn = dataclasses.replace(release("crm-3"), revoked="leaks")
    gone = dataclasses.replace(LIB, revoked="old")
    there = installed(old)
    universe = Universe(there, releases=(old, new, withdrawn, gone))
    assert [(one.release, one.instances) for one in search(universe, "API crm")] == [
        (new, (there[0].instance,))
    ]
    assert [one.release for one in search(universe, "")] == [new, gone]
    assert [one.release for one in search(universe, "liblib.so")] == [gone]
    assert search(universe, "crm nothing") == ()
