"""Merging configuration: the verdict and the result are those of `git merge-file`."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epmstore.refcat.three_way import MAX_BYTES, MAX_LINES, merge_texts, why_not_merged

LINES = st.lists(st.sampled_from([b"a", b"b", b"c", b"d", b"e"]), max_size=9).map(
    lambda lines: b"".join(line + b"\n" for line in lines)
)
UNIQUE = [f"key{n} = 1\n".encode() for n in range(12)]


@st.composite
def edits(draw: st.DrawFn) -> bytes:
    """A file of lines that occur once, as configuration mostly is, with a few changes."""
    lines = list(UNIQUE)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["change", "drop", "add"])):
            case "change":
                lines[at] = lines[at].replace(b"1", draw(st.sampled_from([b"2", b"3"])))
            case "drop":
                del lines[at]
            case "add":
                lines.insert(at, draw(st.sampled_from([b"new\n", b"other\n"])))
    return b"".join(lines)


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(mine=edits(), theirs=edits())
def test_clean_is_what_git_finds_clean(tmp_path: Path, mine: bytes, theirs: bytes) -> None:
    base = b"".join(UNIQUE)
    for name, text in (("base", base), ("mine", mine), ("theirs", theirs)):
        (tmp_path / name).write_bytes(text)
    git = subprocess.run(
        ["git", "merge-file", "-p", "mine", "base", "theirs"], cwd=tmp_path, capture_output=True
    )
    merged = merge_texts(base, mine, theirs)
    assert (merged.conflicts == 0) == (git.returncode == 0)
    if not merged.conflicts:
        assert merged.content == git.stdout


@given(base=LINES, mine=LINES, theirs=LINES)
def test_whoever_changed_nothing_gets_the_other_side(
    base: bytes, mine: bytes, theirs: bytes
) -> None:
    assert merge_texts(base, mine, base).content == mine
    assert merge_texts(base, base, theirs).content == theirs
    assert merge_texts(base, mine, mine).content == mine
    there, back = merge_texts(base, mine, theirs), merge_texts(base, theirs, mine)
    assert there.content == back.content and there.conflicts == back.conflicts
    if there.conflicts:
        marked = there.marked("mine", "theirs")
        assert marked.count(b"<<<<<<< mine\n") == there.conflicts


def test_line_ends_are_those_of_mine() -> None:
    base, theirs = b"a = 1\nb = 1\nc = 1\n", b"a = 1\nb = 1\nc = 2\n"
    mine = b"a = 9\r\nb = 1\r\nc = 1\r\n"
    assert merge_texts(base, mine, theirs).content == b"a = 9\r\nb = 1\r\nc = 2\r\n"
    assert merge_texts(base, b"a = 9\nb = 1\nc = 1\n", theirs.replace(b"\n", b"\r\n")).content == (
        b"a = 9\nb = 1\nc = 2\n"
    )
    conflict = merge_texts(base, mine, b"a = 8\nb = 1\nc = 1\n")
    assert conflict.content is None and b"a = 9\r\n=======\r\na = 8\r\n" in conflict.marked(
        "m", "t"
    )


def test_a_last_line_without_an_end_stays_one() -> None:
    assert merge_texts(b"a\nb", b"a\nb\nc", b"x\na\nb").conflicts in (0, 1)
    assert merge_texts(b"a\nm\nb", b"a\nm\nB", b"A\nm\nb").content == b"A\nm\nB"


def test_only_small_texts_are_merged() -> None:
    assert why_not_merged(b"a\n", b"b") is None
    assert why_not_merged(b"a\n", b"\0") == "it is no text"
    for large in (b"\n" * (MAX_LINES + 1), b"x" * (MAX_BYTES + 1)):
        assert "more than" in (why_not_merged(b"", large) or "")
