"""How releases are named: by number, label, position; refused where a word could be two of them."""

import itertools
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore.errors import UsageError, VersionNotFoundError
from epmstore.refcat.naming import check_label, resolve, title


class Named(NamedTuple):
    version: int
    label: str | None


def releases(*labels: str | None) -> list[Named]:
    return [Named(version, label) for version, label in enumerate(labels)]


DJANGO = releases("4.2.15", "5.0", "4.2.16", None, "1", "5.0")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("number:1", 1),
        ("label:1", 4),
        ("4.2.16", 2),
        ("label:4.2.16", 2),
        ("latest", 5),
        ("latest~1", 4),
        ("latest~", 4),
        ("release:2", 2),
        ("release:4.2.15", 0),
        ("release:latest~3", 2),
        ("release:label:4.2.15", 0),
    ],
)
def test_a_release_is_named(text: str, number: int) -> None:
    assert resolve(DJANGO, text) == number


@pytest.mark.parametrize(
    ("text", "readings"), [("1", ["5.0 (1)", "1 (4)"]), ("5.0", ["5.0 (1)", "5.0 (5)"])]
)
def test_a_word_that_could_be_two_releases_is_refused_with_both(
    text: str, readings: list[str]
) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(DJANGO, text)
    assert all(reading in caught.value.message for reading in readings)
    named = [part for part in str(caught.value.hint).split() if part.startswith("number:")]
    assert len({resolve(DJANGO, part) for part in named}) == 2, "the hint works"


@pytest.mark.parametrize("text", ["6", "number:6", "label:9", "9.9", "latest~6", "label:", "x:1"])
def test_unknown_release_names_are_not_found(text: str) -> None:
    with pytest.raises(VersionNotFoundError):
        resolve(DJANGO, text)


@given(st.lists(st.sampled_from([None, "0", "1", "2", "3", "1.0", "a"]), max_size=5), st.data())
def test_a_name_is_one_release_or_refused(labels: list[str | None], data: st.DataObject) -> None:
    known = releases(*labels)
    text = data.draw(st.sampled_from(["0", "1", "2", "3", "1.0", "a"]))
    meant = {one.version for one in known if text in (one.label, str(one.version))}
    if len(meant) == 1:
        assert resolve(known, text) == meant.pop()
    else:
        with pytest.raises(UsageError if meant else VersionNotFoundError):
            resolve(known, text)


def test_every_release_has_an_exact_name() -> None:
    for one in DJANGO:
        assert resolve(DJANGO, f"number:{one.version}") == one.version


def test_a_version_is_its_newest_build_unless_a_label_is_meant() -> None:
    built = releases(
        "4.1.0-2", "4.1.0-10", "4.1.0-9", "4.2.0-1", "4.2.0", "7-1", "9", "rc-x", "x-01"
    )
    assert [resolve(built, text) for text in ("4.1.0", "release:4.1.0", "4.1.0-2")] == [1, 1, 0]
    assert [resolve(built, text) for text in ("4.2.0", "4.2.0-1", "7", "9")] == [4, 3, 7, 6]
    for text in ("4.1", "rc", "x", "", "-1"):
        with pytest.raises(VersionNotFoundError):
            resolve(built, text)
    assert resolve(releases("41-1"), "41") == 0


def test_a_label_names_one_release() -> None:
    check_label(DJANGO, "5.1")
    check_label(DJANGO, "4.2.16", of=2)
    for taken, of in itertools.product(["4.2.16"], [None, 0]):
        with pytest.raises(UsageError, match="already"):
            check_label(DJANGO, taken, of=of)


@pytest.mark.parametrize("label", ["latest", "latest~1", "now", " ", "number", "label"])
def test_words_that_mean_something_else_are_no_labels(label: str) -> None:
    with pytest.raises(UsageError):
        check_label([], label)


def test_the_label_is_shown_first() -> None:
    assert (title(14, "4.2.16"), title(14, None)) == ("4.2.16 (14)", "14")
