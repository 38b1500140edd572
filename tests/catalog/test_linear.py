"""Patterns are matched in proportion to their length, and match what they always did."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec

from epmstore.catalog.classes import Patterns, Rules
from epmstore.catalog.linear import linear
from epmstore.errors import UsageError

PIECES = [
    "a",
    "b",
    "ab",
    "*",
    "**",
    "?",
    "[ab]",
    "[!b]",
    "[a-c]",
    "\\*",
    ".",
    " x",
    "+",
    "é",
    "$",
    "(",
]


def expression(pattern: str) -> str | None:
    try:
        found = list(GitIgnoreSpec.from_lines([pattern], backend="simple").patterns)
    except ValueError:
        return None
    return found[0].regex.pattern if found and found[0].regex is not None else None


def segments(pieces: list[str], most: int) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(pieces), min_size=1, max_size=most).map("".join)


PATTERNS = st.builds(
    lambda start, names, end: start + "/".join(names) + end,
    st.sampled_from(["", "/", "**/", "!"]),
    st.lists(st.one_of(segments(PIECES, 6), st.just("**"), st.just("*")), min_size=1, max_size=5),
    st.sampled_from(["", "/", "/**", "/*"]),
)
PATHS = st.lists(
    segments(["a", "b", "ab", "c", ".", "*", " x", "+", "é"], 5), min_size=1, max_size=6
)


@settings(max_examples=300)
@given(PATTERNS, st.lists(PATHS, min_size=1, max_size=6), st.sampled_from(["", "/"]))
def test_they_match_the_same(pattern: str, paths: list[list[str]], end: str) -> None:
    before = expression(pattern)
    if before is None or not before.startswith("^"):
        return
    # a class never matches a slash, as git has it
    known = re.sub(r"(?<!\\)(\[(?!\^/\])\^?\]?(?:\\.|[^\]\\])*\])", r"(?!/)\1", before)
    after = linear(before)
    assert after is not None, before
    for path in paths:
        text = "/".join(path)
        for subject in (text, text + end, path[-1] + end):
            was = re.fullmatch(known, subject) is not None
            assert (re.fullmatch(after, subject) is not None) == was, (pattern, before, subject)
            assert (re.match(after, subject) is None) == (re.match(known, subject) is None)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a" * 120 + "*b", "a" * 255),
        ("?*" * 100 + "b", "a" * 255),
        ("x/" + "*a" * 50 + "*/" + "*a" * 50 + "b", "x/" + "a" * 250 + "/" + "a" * 250),
        ("**/a/" * 40 + "b", "a/" * 1500 + "a"),
        ("**/*a*a*a*/" * 20 + "b", "aaaaaaaa/" * 400 + "a"),
        ("[a-z]*" * 60 + "!", "a" * 255),
        ("a**" * 60 + "b", "a" * 255),
        ("/**/" + "*/" * 30 + "**/" + "*/" * 30 + "b", "a/" * 1500 + "a"),
    ],
)
def test_none_stops_a_host(pattern: str, path: str) -> None:
    rules = Rules(Patterns(state=(pattern,), ignore=(f"!{pattern}",)))
    for _ in range(20):
        assert rules.classify(path) == "program"


def test_a_class_never_matches_a_slash() -> None:
    assert Rules(Patterns(state=("/a[!b]c",))).classify("a/c") == "program"
    assert Rules(Patterns(state=("/a[!b]c",))).classify("axc") == "state"
    assert Rules(Patterns(state=("/a[.-0]c",))).classify("a/c") == "program"


def test_unknown_expressions_are_left_alone() -> None:
    assert linear("^(?:a|b)") is None
    assert linear("a") is None


@pytest.mark.parametrize("piece", ["x", "**/", "[ab]", "*"])
def test_a_pattern_longer_than_any_path_is_refused(piece: str) -> None:
    """Translating it would take the square of its length: minutes for a megabyte."""
    with pytest.raises(UsageError, match="longer than a path"):
        Rules(Patterns(state=(piece * (1 << 20),)))
