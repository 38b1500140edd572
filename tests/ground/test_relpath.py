"""Paths: which there are, how they sort, and that JSON gives them back."""

import os

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore.errors import InvalidNameError
from epmstore.relpath import (
    NAME_MAX,
    PATH_MAX,
    RelPath,
    from_bytes,
    from_json,
    join,
    parents,
    parse_relpath,
    sort_paths,
    split,
    text_from_json,
    text_to_json,
    to_bytes,
    to_json,
)

NAMES = st.one_of(
    st.sampled_from([b"a", b"%41", b"//", b"..a", b"...", b"\xff", "é".encode()]),
    st.binary(min_size=1, max_size=12),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6).map(str.encode),
).filter(lambda name: name not in (b".", b"..") and not set(name) & set(b"/\0"))
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(
    lambda names: RelPath(os.fsdecode(b"/".join(names)))
)
TEXTS = st.binary(max_size=20).map(os.fsdecode)


@given(PATHS)
def test_every_path_that_linux_allows_is_one(path: RelPath) -> None:
    assert parse_relpath(path) == path
    assert from_bytes(to_bytes(path)) == path


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "./a",
            "a/.",
            "a/../b",
            "..",
            "a/..",
            "\0",
            "a\0",
        ),
        "x" * (NAME_MAX + 1),
        "é" * (NAME_MAX // 2 + 1),
        "a/" * (PATH_MAX // 2) + "a",
    ],
)
def test_parse_relpath_refuses_paths_outside_a_root(text: str) -> None:
    with pytest.raises(InvalidNameError):
        parse_relpath(text)
    with pytest.raises(InvalidNameError):
        from_json(text)


def test_the_longest_paths() -> None:
    parse_relpath("x" * NAME_MAX)
    parse_relpath("a/" * (PATH_MAX // 2 - 1) + "aa")


@given(PATHS)
def test_json_gives_a_path_back(path: RelPath) -> None:
    key = to_json(path)
    assert from_json(key) == path
    # through real JSON, which holds no lone surrogates
    assert msgspec.json.decode(msgspec.json.encode({key: 1})) == {key: 1}


@given(PATHS, PATHS)
def test_two_paths_are_two_keys(one: RelPath, two: RelPath) -> None:
    assert (to_json(one) == to_json(two)) == (one == two)


def test_to_json_escapes_only_what_is_not_utf8() -> None:
    assert to_json("bin/a b%20") == "bin/a b%20"
    assert to_json("énorme") == "énorme"
    assert to_json("caf\udce9/b c") == "//caf%E9/b%20c"


@pytest.mark.parametrize("key", ["//", "//%2E%2E", "//a/%2e", "///a", "//a%00", "//a//b", "//a/"])
def test_an_escape_smuggles_nothing_in(key: str) -> None:
    with pytest.raises(InvalidNameError):
        from_json(key)


@given(TEXTS)
def test_json_gives_any_text_back_that_may_be_a_name(text: str) -> None:
    shown = text_to_json(text)
    if "\0" in text:
        with pytest.raises(InvalidNameError):
            text_from_json(shown)
    else:
        assert text_from_json(shown) == text
    assert msgspec.json.decode(msgspec.json.encode(shown)) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("/opt/x", "/opt/x"),
        ("../x", "../x"),
        ("//x", "////x"),
        ("a\udcff", "//a%FF"),
        ("%41", "%41"),
        ("//%41", "////%2541"),
    ],
)
def test_text_to_json_round_trips(text: str, shown: str) -> None:
    assert text_to_json(text) == shown
    assert text_from_json(shown) == text


@given(st.lists(PATHS))
def test_order_is_the_order_of_bytes(paths: list[RelPath]) -> None:
    assert sort_paths(paths) == sorted(paths, key=os.fsencode)
    valid = [path for path in paths if to_json(path) == path]
    assert sort_paths(valid) == sorted(valid, key=os.fsencode)


def test_a_name_that_is_not_utf8_sorts_among_the_others() -> None:
    # as strings the astral one comes last, as bytes the odd one does
    paths = [RelPath("\udcff"), RelPath("\U0001f600"), RelPath("a")]
    assert sort_paths(paths) == ["a", "\U0001f600", "\udcff"]


@given(PATHS)
def test_taking_apart_and_putting_together(path: RelPath) -> None:
    folder, name = split(path)
    assert join(folder, name) == path
    assert "/" not in name
    above = parents(path)
    assert above == ([*parents(folder), folder] if folder else [])


def test_parents_are_topmost_first() -> None:
    assert parents("a/b/c") == ["a", "a/b"]
    assert parents("a") == []
    assert split("a") == ("", "a")


@pytest.mark.parametrize("text", ["\ud800", "a\0b", "//%00", "\udfff\ud800"])
def test_readers_refuse_texts_that_name_nothing(text: str) -> None:
    for read in (text_from_json, from_json, parse_relpath):
        with pytest.raises(InvalidNameError):
            read(text)
