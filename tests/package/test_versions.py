"""How versions are compared: tables of real ones, and that it is a total order."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore.catalog.packaging import Need
from epmstore.package.versions import Ordering, compare, is_version_within, split_build, version_key
from epmstore.refcat.lines import Lines

# The published cases of rpm (its tests/rpmvercmp.at), as far as their texts are versions here.
RPM = """
1.0 = 1.0 | 1.0 < 2.0 | 2.0.1 = 2.0.1 | 2.0 < 2.0.1 | 2.0.1a = 2.0.1a | 2.0.1a > 2.0.1
5.5p1 = 5.5p1 | 5.5p1 < 5.5p2 | 5.5p10 = 5.5p10 | 5.5p1 < 5.5p10 | 10xyz < 10.1xyz
xyz10 = xyz10 | xyz10 < xyz10.1 | xyz.4 = xyz.4 | xyz.4 < 8 | xyz.4 < 2 | 5.5p2 < 5.6p1
5.6p1 < 6.5p1 | 6.0.rc1 > 6.0 | 10b2 > 10a1 | 1.0aa = 1.0aa | 1.0a < 1.0aa
10.0001 = 10.0001 | 10.0001 = 10.1 | 10.0001 < 10.0039 | 4.999.9 < 5.0 | 20101121 = 20101121
20101121 < 20101122 | 2_0 = 2_0 | 2.0 = 2_0 | a = a | a+ = a+ | a+ = a_
+a = +a | +a = _a | +_ = +_ | _+ = +_ | + = _
1.0~rc1 = 1.0~rc1 | 1.0~rc1 < 1.0 | 1.0~rc1 < 1.0~rc2 | 1.0~rc1~git123 < 1.0~rc1
1.0^ = 1.0^ | 1.0^ > 1.0 | 1.0^git1 > 1.0 | 1.0^git1 < 1.0^git2 | 1.0^git1 < 1.01
1.0^20160101 < 1.0.1 | 1.0^20160102 > 1.0^20160101^git1 | 1.0^20160101^git1 = 1.0^20160101^git1
1.0~rc1^git1 > 1.0~rc1 | 1.0^git1~pre = 1.0^git1~pre | 1.0^git1 > 1.0^git1~pre
1b.fc17 < 1.fc17 | 1g.fc17 > 1.fc17
"""

# Each line is of one vendor or habit, the oldest first.
RISING = {
    "rpm": [
        "1.0.2 1.0.2a 1.0.2d 1.0.2zh 1.1.0",  # OpenSSL
        "R2023a R2023b R2024a R2024b",
        "9.2.10 9.10.2 10.0.1",
        "2.36~rc1 2.36 2.36+deb12u1 2.36+deb12u10",
        "6.1.170 6.1.170_1 6.1.171",
        "1.8.0_202 1.8.0_212 8u202 8u212 11.0.2 17.0.9+9 17.0.10+7",  # Java
        "20240101 20240101.1 20240102",
        "1.2.3^20240101git1a2b3c 1.2.3^20240202git00ff 1.2.4",
        "4.1.0~alpha1 4.1.0~beta1 4.1.0~beta2 4.1.0~rc1 4.1.0~rc10 4.1.0 4.1.0.post1 4.1.1",
        "10.1.SP1 10.1.SP2 10.1.SP10 10.2",
        "0 0.0.1 0.1 1 1.0 1.0.0",
        "7.4p1 7.9p1 8.0p1 9.2p1",  # OpenSSH
        "2.0~~dev1 2.0~~dev2 2.0~rc1 2.0",
        "12.2.0 12.2.0+dfsg1 12.2.1",
        "1.0.0 1.0.0+20130313 1.0.1",
    ],
    "apm": [
        "0.9d 0.9d1 0.9a1 0.9b1 0.9b2 0.9 1.0",
        "3.2 3.2.1 3.2.2d 3.2.2d2 3.2.2a 3.2.2b9 3.2.2 3.10",
        "4.0b 4.0 4.0c 4.0.1",
    ],
}  # fmt: skip


@dataclass(frozen=True)
class Release:
    version: str | None
    build: int | None = 1
    number: int | None = None
    order: str = "rpm"


TEXTS = st.text("019abdz.~^_+", min_size=1, max_size=8)
ORDERED = st.sampled_from(["rpm", "apm"])


def numbered(versions: Sequence[str], order: str) -> list[Release]:
    return [Release(version, 1, number, order) for number, version in enumerate(versions)]


@pytest.mark.parametrize(
    "case", [case.strip() for case in RPM.replace("\n", "|").split("|") if case.strip()]
)
def test_versions_compare_as_rpm_says(case: str) -> None:
    one, sign, two = case.split()
    assert compare(one, two) == {"<": -1, "=": 0, ">": 1}[sign]
    assert compare(two, one) == -compare(one, two)


@pytest.mark.parametrize(
    ("order", "line"), [(order, line) for order, lines in RISING.items() for line in lines]
)
def test_versions_of_a_vendor_rise(order: str, line: str) -> None:
    for one, two in pairwise(line.split()):
        assert compare(one, two, order) == -1, (one, two)


@given(ORDERED, TEXTS, TEXTS, TEXTS)
def test_comparing_is_a_total_order(order: str, one: str, two: str, three: str) -> None:
    assert compare(one, one, order) == 0
    assert compare(one, two, order) == -compare(two, one, order)
    if compare(one, two, order) <= 0 and compare(two, three, order) <= 0:
        assert compare(one, three, order) <= 0
    if compare(one, two, order) == 0:
        assert compare(one, three, order) == compare(two, three, order)


@given(ORDERED, TEXTS, TEXTS)
def test_dividing_marks_do_not_count(order: str, one: str, two: str) -> None:
    assert version_key(f"{one}.{two}", order) == version_key(f"{one}_+.{two}", order)
    assert version_key(f"{one}~", order) < version_key(one, order) < version_key(f"{one}^", order)


@pytest.mark.parametrize("early", ["1.0.dev1", "1.0a1", "1.0b2", "1.0rc1", "1.0-rc.1", "1.0.alpha"])
def test_by_rpm_only_a_tilde_is_before_the_final_version(early: str) -> None:
    """What is written for other rules is newer here; the docs say to write 1.0~rc1."""
    assert version_key(early, "rpm") > version_key("1.0", "rpm")
    assert version_key(f"1.0~{early[3:]}", "rpm") < version_key("1.0", "rpm")


def test_builds_count_where_versions_are_the_same() -> None:
    assert compare("4.1.0-2", "4.1.0-10") == -1
    assert compare("4.1.0-2", "4.1.1-1") == -1
    assert compare("4.1.0-2", "4.1.0") == 0
    assert split_build("4.1.0-2") == ("4.1.0", 2)
    assert split_build("4.1.0") == ("4.1.0", None)


def test_the_newest_release_says_how_all_are_compared() -> None:
    releases = [Release("1.0b1", 1, 0, "rpm"), Release("1.0", 1, 1, "apm")]
    ordering = Ordering(releases)
    assert ordering.order == "apm"
    assert ordering.is_older(releases[0], releases[1])
    assert not Ordering(releases[:1]).is_older(releases[0], releases[1])


def test_an_order_that_is_not_known_is_said_and_replaced_by_numbers() -> None:
    releases = [Release("9", 1, 0, "semver"), Release("1", 1, 1, "semver")]
    ordering = Ordering(releases)
    assert ordering.unknown == "semver"
    assert ordering.is_older(releases[0], releases[1])


def test_a_hotfix_after_a_newer_version_is_older() -> None:
    newest, hotfix = Release("4.2.0", 1, 7), Release("4.1.8", 1, 8)
    assert Ordering([newest, hotfix]).is_older(hotfix, newest)
    by_number = [Release("4.2.0", 1, 2, "release"), Release("4.1.8", 1, 3, "release")]
    lines = Lines([None, None, 1, 1])
    assert Ordering(by_number, lines).is_older(by_number[1], by_number[0])
    assert not Ordering(by_number).is_older(by_number[1], by_number[0])


def test_a_candidate_without_a_number_is_the_newest_of_its_version() -> None:
    published, made = Release("4.1.0", 1, 7), Release("4.1.0", 1, None)
    ordering = Ordering([published, made])
    assert ordering.is_older(published, made)
    assert ordering.is_older(made, Release("4.1.0", 2, 3))


@pytest.mark.parametrize(
    ("version", "build", "low", "high", "within"),
    [
        ("4.1.0", 2, "4.1.0", "4.1.0", True),
        ("4.1.0", 2, "4.1.0-2", "4.1.0-2", True),
        ("4.1.0", 3, "4.1.0-2", "4.1.0-2", False),
        ("4.1.0", 1, "4.1.0-2", None, False),
        ("4.1.1", 1, "4.1.0-2", None, True),
        ("4.0", 9, None, "4~", False),
        ("4~rc1", 1, None, "4~", False),
        ("3.99", 1, None, "4~", True),
        ("3", 1, "3^", None, False),
        ("3.0.1", 1, "3^", None, True),
        ("10", 1, "9", None, True),
        ("4.1.0", None, "4.1.0-1", None, False),
        ("4.1.0", None, "4.1.0", None, True),
    ],
)  # fmt: skip
def test_both_ends_of_a_range_are_in_it(
    version: str, build: int | None, low: str | None, high: str | None, within: bool
) -> None:
    assert is_version_within(version, build, low, high) == within


@given(st.lists(TEXTS, min_size=1, max_size=6), TEXTS, TEXTS, ORDERED)
def test_a_range_is_by_the_order_of_the_product(
    versions: list[str], low: str, high: str, order: str
) -> None:
    releases = numbered(versions, order)
    ordering = Ordering(releases)
    need = Need(product="a", min=low, max=high)
    for one in releases:
        assert one.version is not None
        within = compare(low, one.version, order) <= 0 <= compare(high, one.version, order)
        assert ordering.is_within(one, need) == within


def test_by_release_a_version_stands_for_the_releases_that_have_it() -> None:
    releases = numbered(["R9", "R1", "R5", "R1"], "release")
    ordering = Ordering(releases)

    def within(need: Need) -> list[int | None]:
        return [one.number for one in releases if ordering.is_within(one, need)]

    assert within(Need(product="a", min="R1")) == [1, 2, 3]
    assert within(Need(product="a", max="R5")) == [0, 1, 2]
    assert within(Need(product="a", min="R9", max="R5")) == [0, 1, 2]
    assert within(Need(product="a", min="R7")) == []
    assert within(Need(product="a", first=1, last=2)) == [1, 2]


def test_a_range_of_releases_is_along_their_line() -> None:
    releases = numbered(["4", "5", "4.1", "5.1"], "rpm")
    ordering = Ordering(releases, Lines([None, 0, 0, 1]))
    since = Need(product="a", first=1)
    assert [ordering.is_within(one, since) for one in releases] == [False, True, False, True]
    until = Need(product="a", last=2)
    assert [ordering.is_within(one, until) for one in releases] == [True, False, True, False]
    assert ordering.is_within(Release("6", 1, None), since)
    assert not ordering.is_within(Release("6", 1, None), until)


@given(ORDERED, st.lists(st.tuples(TEXTS, st.integers(1, 3)), min_size=2, max_size=6, unique=True))
def test_sorting_agrees_with_older(order: str, pairs: list[tuple[str, int]]) -> None:
    releases = [Release(text, build, n, order) for n, (text, build) in enumerate(pairs)]
    ordering = Ordering(releases)
    for one, two in product(releases, releases):
        older = ordering.is_older(one, two)
        assert older == (ordering.key(one) < ordering.key(two))
        assert (older or ordering.is_older(two, one)) == (one is not two)
