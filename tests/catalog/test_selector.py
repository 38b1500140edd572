"""Names of versions: read, refused, resolved."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore.catalog.model import Decoded, TagRecord, VersionPart
from epmstore.catalog.selector import (
    check_tag,
    parse_selector,
    resolve,
)
from epmstore.catalog.state import CatalogState, reduce
from epmstore.errors import UsageError, VersionNotFoundError
from tests.catalog.trees import header

TIMES = ["2026-10-01T10:00:00.000Z", "2026-10-02T10:00:00.000Z", "2026-10-03T14:00:00.000Z"]


def history() -> CatalogState:
    records: list[Decoded] = [
        VersionPart(header(number, time=time)) for number, time in enumerate(TIMES)
    ]
    return reduce([*records, TagRecord(time=TIMES[0], name="good", version=1)])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0", 0),
        ("2", 2),
        ("002", 2),
        ("latest", 2),
        ("latest~1", 1),
        ("latest~", 1),
        ("latest~0", 2),
        ("2~2", 0),
        ("now", "now"),
        ("good", 1),
        ("good~1", 0),
        ("@2026-10-02", 0),
        ("@2026-10-03", 1),
        ("@2026-10-03T14:00", 2),
        ("@2026-10-03T13:59", 1),
        ("@2026-10-03T13:59:59.999999", 1),
        ("@2026-10-03T14:00Z", 2),
        ("@2026-10-03T15:59+02:00", 1),
        ("@2026-10-03T16:00+02:00", 2),
        ("@2027-01-01~1", 1),
    ],
)
def test_resolving(text: str, wanted: int | str) -> None:
    assert resolve(parse_selector(text), history()) == wanted


@pytest.mark.parametrize(
    "text", ["3", "latest~3", "good~2", "bad", "@2026-10-01", "release:7", "123456789012345678"]
)
def test_selectors_of_missing_versions_are_not_found(text: str) -> None:
    with pytest.raises(VersionNotFoundError) as caught:
        resolve(parse_selector(text), history())
    assert caught.value.hint
    assert caught.value.data == {"selector": text}


def test_missing_versions_are_named_as_written() -> None:
    with pytest.raises(VersionNotFoundError, match=r"no version latest~3$"):
        resolve(parse_selector("latest~3"), history())
    with pytest.raises(VersionNotFoundError) as caught:
        resolve(parse_selector("@2026-10-01"), history())
    assert "without a zone is local" in (caught.value.hint or "")


def test_nothing_is_found_in_an_empty_history() -> None:
    for text in ("0", "latest", "good", "@2026-10-03"):
        with pytest.raises(VersionNotFoundError, match="nothing is recorded"):
            resolve(parse_selector(text), CatalogState())
    assert resolve(parse_selector("now"), CatalogState()) == "now"


@pytest.mark.parametrize(
    "text",
    [
        *("", "~1", "a b", "@", "@yesterday", "@2026-13-01", "@2026-10-03T25:00", "now~1", "now~"),
        *(
            "1~x",
            "1~-1",
            "release",
            "release:",
            "release:x y",
            "release:label:",
            "1:",
            "1:a",
            ":a",
            "a@b",
            "a\n",
            "1\n",
        ),
    ],
)
def test_selectors_that_name_no_version_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        resolve(parse_selector(text), history())


@pytest.mark.parametrize("name", ["good", "v1.2", "4.1-beta", "a/b", "é", "1a", "latest1"])
def test_tags(name: str) -> None:
    check_tag(name)
    assert parse_selector(name).base == "tag"


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "117",
            "latest",
            "now",
            "release",
            "a:b",
            "a@b",
            "@a",
            "a..b",
            "a~",
            "a~1",
            "-a",
            ".",
        ),
        *(".a", "a.", "a b", "a\tb", "a\n", "1" * 20),
    ],
)
def test_check_tag_refuses_names_that_are_none(name: str) -> None:
    with pytest.raises(UsageError):
        check_tag(name)


@given(st.text(max_size=12))
def test_a_tag_is_read_back_as_that_tag(name: str) -> None:
    try:
        check_tag(name)
    except UsageError:
        return
    found = parse_selector(name)
    assert (found.base, found.value, found.back) == ("tag", name, 0)


def test_a_path_too_many_says_how_to_go_on() -> None:
    with pytest.raises(UsageError, match="'crm:0' has a path") as caught:
        parse_selector("crm:0")
    assert caught.value.hint is not None and "--app" in caught.value.hint
