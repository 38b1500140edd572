"""What callers of the library may give for paths, versions and lists."""

import os
from pathlib import Path, PurePosixPath

import pytest

from epmstore import given
from epmstore.errors import UsageError
from epmstore.relpath import RelPath


class Bytes(os.PathLike[bytes]):
    def __fspath__(self) -> bytes:
        return b"bin/tool"


@pytest.mark.parametrize("path", ["bin/tool", RelPath("bin/tool"), PurePosixPath("./bin//tool")])
def test_a_path_is_a_text_or_a_path_object(path: given.AnyPath) -> None:
    assert given.a_path(path) == "bin/tool"
    assert given.a_place(path) == Path("bin/tool")


@pytest.mark.parametrize("text", ["\ud800", "a\udfff"])
def test_texts_that_decode_from_no_name_are_refused(text: str) -> None:
    for convert in (given.a_path, given.a_place, given.a_name, lambda one: given.texts([one], "x")):
        with pytest.raises(UsageError, match="no name can have"):
            convert(text)


def test_numbers_are_numbers() -> None:
    assert given.numbers([1, 2], "versions") == (1, 2)
    for wrong in (["1"], [True], "12", None):
        with pytest.raises(UsageError, match="versions are"):
            given.numbers(wrong, "versions")  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["", "/etc", "../etc", "a//b", "./a", "a/", "a\0", "x" * 5000])
def test_paths_outside_a_root_are_refused(path: str) -> None:
    with pytest.raises(UsageError):
        given.a_path(path)


@pytest.mark.parametrize("wrong", [None, 7, b"bin/tool", Bytes(), ["a"], 1.5, object()])
def test_values_that_are_no_path_are_refused_by_name(wrong: given.AnyPath) -> None:
    for convert in (given.a_path, given.a_place):
        with pytest.raises(UsageError) as caught:
            convert(wrong)
        assert repr(wrong) in caught.value.message


def test_a_name_that_is_no_text_is_a_path() -> None:
    odd = os.fsdecode(b"a\xff")
    assert given.a_path(odd) == odd


@pytest.mark.parametrize("place", ["", "a\0b"])
def test_places_the_system_does_not_take_are_refused(place: str) -> None:
    with pytest.raises(UsageError):
        given.a_place(place)


def test_the_root_stands_for_everything_in_it() -> None:
    assert given.scope(["a", Path("b")]) == ("a", "b")
    assert given.scope([]) == given.scope(["."]) == given.scope(["a", Path(".")]) == ()


def test_one_text_is_no_list() -> None:
    """Python would take it for the list of its letters: the patterns `/`, `l`, `o` ..."""
    for wrong in ("bin/tool", b"bin", Path("bin/tool")):
        with pytest.raises(UsageError, match="as a list"):
            given.scope(wrong)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="as a list"):
            given.texts(wrong, "patterns")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="as a list"):
            given.several_places(wrong)  # type: ignore[arg-type]


def test_a_list_of_something_else_is_refused() -> None:
    with pytest.raises(UsageError, match="not 7"):
        given.texts(["a", 7], "patterns")  # type: ignore[list-item]
    with pytest.raises(UsageError, match="None"):
        given.scope(None)  # type: ignore[arg-type]


def test_a_version_is_a_text_or_a_number() -> None:
    assert [given.a_version(one) for one in (0, 117, "latest~1")] == ["0", "117", "latest~1"]
    for wrong in (True, -1, None, 1.0, b"1"):
        with pytest.raises(UsageError, match="a version is a number or a text"):
            given.a_version(wrong)  # type: ignore[arg-type]


def test_the_number_of_a_release_is_no_label() -> None:
    assert [given.a_release(one) for one in (7, "7")] == [7, "7"]
    with pytest.raises(UsageError):
        given.a_release(True)


def test_whatever_can_be_asked_is_asked() -> None:
    class All:
        def __contains__(self, place: object) -> bool:
            return True

    anything = All()
    assert given.places(anything) is anything
    assert Path("/a/b") in given.places(["/a/b"])
    with pytest.raises(UsageError):
        given.places("/a/b")
