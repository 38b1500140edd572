"""Names are data of whoever made the files: nothing in one may act on a terminal."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore.cli.output import counted, name, safe_text, size
from epmstore.errorform import error_from_form, error_to_form, plain_text
from epmstore.errors import BusyError, EpmError

NAMES = st.binary(min_size=1, max_size=40).map(
    lambda raw: raw.replace(b"\0", b"x").decode("utf-8", "surrogateescape")
)


@given(NAMES)
def test_a_name_is_printable_whatever_its_bytes(text: str) -> None:
    shown = name(text)
    assert shown.isprintable()
    shown.encode()


@given(NAMES)
def test_a_message_moves_no_cursor(text: str) -> None:
    shown = safe_text(text)
    assert all(letter.isprintable() or letter in "\n\t" for letter in shown)
    shown.encode()


@given(st.lists(NAMES, min_size=1, max_size=5))
def test_plain_text_can_be_encoded(texts: list[str]) -> None:
    plain_text("".join(texts)).encode()


def test_an_ordinary_name_is_itself() -> None:
    assert name("bin/crm-41 (old).jar") == "bin/crm-41 (old).jar"
    assert name("größe") == "größe"


def test_a_shell_reads_a_quoted_name_back() -> None:
    raw = b"a\nb\x1b[31m\xff'\\\t\xe2\x80\xae"
    shown = name(raw.decode("utf-8", "surrogateescape"))
    found = subprocess.run(["bash", "-c", f"printf %s {shown}"], capture_output=True, check=True)
    assert found.stdout == raw


def test_sizes_are_short() -> None:
    assert [size(n) for n in (0, 999, 1000, 999_949, 999_951, 12_345_678_901)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "999.9 kB",
        "1.0 MB",
        "12.3 GB",
    ]


def test_counts_have_their_plural() -> None:
    assert counted(1, "file") == "1 file"
    assert counted(2120, "file") == "2,120 files"
    assert counted(0, "entry", "entries") == "0 entries"


def test_half_a_letter_out_of_somebodys_json_is_shown() -> None:
    text = "a\ud800b\udcff"
    assert plain_text("\ud800") == "\\ud800"
    assert name(text).isascii() and plain_text(text).isprintable()


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"message": {}, "hint": 3, "data": []},
        {"exit_code": "x"},
        {"data": {"hint": 1, "self": 2}},
    ],
)
def test_whatever_another_process_says_is_an_error(form: dict[str, object]) -> None:
    error = error_from_form(form, EpmError)
    assert error.exit_code == EpmError.exit_code
    assert error_to_form(error)["type"] == "error"


def test_an_error_of_another_process_is_the_error_that_it_was() -> None:
    first = BusyError("busy", hint="wait", holder="me")
    again = error_from_form(error_to_form(first), EpmError)
    assert error_to_form(again) == error_to_form(first)
