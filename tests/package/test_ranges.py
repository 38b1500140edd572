"""Needs of products, as vendors write them and as they are shown."""

import pytest

from epmstore.catalog.packaging import Need
from epmstore.errors import UsageError
from epmstore.package.ranges import describe, parse_capability, parse_need
from epmstore.package.versions import is_version_within


@pytest.mark.parametrize(
    ("text", "need", "shown"),
    [
        ("tax", Need(product="tax"), "tax"),
        ("tax?", Need(product="tax", optional=True), "tax"),
        ("libpay>=3", Need(product="libpay", min="3"), "libpay 3 or newer"),
        ("libpay >= 3, < 4", Need(product="libpay", min="3", max="4~"),
         "libpay 3 or newer, older than 4"),
        ("libpay>3", Need(product="libpay", min="3^"), "libpay newer than 3"),
        ("libpay=4.1.0-2", Need(product="libpay", min="4.1.0-2", max="4.1.0-2"), "libpay 4.1.0-2"),
        ("libpay<=4.1.0", Need(product="libpay", max="4.1.0"), "libpay 4.1.0 or older"),
        ("libpay>4.1.0-2", Need(product="libpay", min="4.1.0-3"), "libpay 4.1.0-3 or newer"),
        ("libpay<4.1.0-2?", Need(product="libpay", max="4.1.0-1", optional=True),
         "libpay 4.1.0-1 or older"),
        ("libpay<4.1.0-1", Need(product="libpay", max="4.1.0~"), "libpay older than 4.1.0"),
        ("libpay>=release:41", Need(product="libpay", first=41), "libpay release 41 or newer"),
        ("libpay>=release:41,<release:50", Need(product="libpay", first=41, last=49),
         "libpay release 41 to 49"),
        ("libpay=release:41", Need(product="libpay", first=41, last=41), "libpay release 41"),
        ("crm:client>=4", Need(product="crm", part="client", min="4"),
         "part client of crm 4 or newer"),
    ],
)  # fmt: skip
def test_a_need_is_read_and_shown(text: str, need: Need, shown: str) -> None:
    assert parse_need(text) == need
    assert describe(need) == shown


@pytest.mark.parametrize(
    "text",
    ["", "Libpay", "a b", "a>=", "a>=3,,<4", "a>=3,>=4", "a=3,<4", "a>=4,<4", "a>=release:", "a=>3",
     "a>=release:x", "a>=release:5,<=release:4", "a<release:0", "a>=3,<release:9",
     "a>=release:3,<=9",
     "a>=3 4", "a>=" + "9" * 90, "a:", "?",
     "a>=\u0664"],
)  # fmt: skip
def test_other_text_is_no_need(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_need(text)
    assert refused.value.hint is not None


@pytest.mark.parametrize(
    ("text", "fits", "not_fits"),
    [
        (">=3", ["3-1", "3.1-1", "10-1", "3^git1-1"], ["2.9-9", "3~rc1-1"]),
        ("<4", ["3.9.9-1", "0-1"], ["4-1", "4~rc1-1", "4.0-1", "4^git1-1"]),
        (">3", ["3.0.1-1", "3^git1-1", "4-1"], ["3-9", "3~rc1-1"]),
        ("=4.1.0-2", ["4.1.0-2"], ["4.1.0-1", "4.1.0-3", "4.1-2"]),
        ("=4.1.0", ["4.1.0-1", "4.1.0-9"], ["4.1.0.1-1", "4.1-1"]),
    ],
)  # fmt: skip
def test_signs_mean_what_they_say(text: str, fits: list[str], not_fits: list[str]) -> None:
    need = parse_need(f"a{text}")
    for wanted, versions in ((True, fits), (False, not_fits)):
        for one in versions:
            version, _, build = one.rpartition("-")
            assert is_version_within(version, int(build), need.min, need.max) == wanted, one


def test_a_capability_has_versions_and_no_releases() -> None:
    assert parse_capability("mta >= 2?") == Need(capability="mta", min="2", optional=True)
    with pytest.raises(UsageError):
        parse_capability("mta>=release:2")


def test_needs_of_other_kinds_are_shown_by_their_names() -> None:
    assert describe(Need(capability="mta", min="2")) == "capability mta 2 or newer"
    assert describe(Need(soname="libpay.so.3")) == "library libpay.so.3"
    assert describe(Need(part="dev"), "crm") == "part dev of crm"
