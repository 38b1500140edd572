"""What a caller of the library may give for a path, a version or a list, as the code works with it.

It is converted once, where it comes in. A path is a `str` or a path object, a version a `str` or a
number. Anything else is a UsageError that names what was given: also a single text where a list is
meant, which Python would take for the list of its letters.
"""

import os
from collections.abc import Container, Iterable
from pathlib import Path
from typing import TypeAlias, TypeVar

from epmstore.errors import InvalidNameError, UsageError
from epmstore.relpath import ROOT, RelPath, parse_relpath

AnyPath: TypeAlias = str | os.PathLike[str]
"""A path: of this host, or relative to the root of an application, whichever is meant."""
AnyPlaces: TypeAlias = Container[Path] | Iterable[AnyPath]
"""Several paths of this host, or whatever can be asked whether it has one."""
AnyVersion: TypeAlias = str | int
"""A version or a release as it is named on the command line, or its number."""

T = TypeVar("T")


def a_place(given: AnyPath) -> Path:
    """A path of this host. Raises UsageError."""
    text = _path_text(given)
    if not text or "\0" in text:
        raise UsageError(f"{text!r} is not a path")
    return Path(text)


def a_path(given: AnyPath) -> RelPath:
    """A path below the root of an application, or `.` for the root. Raises UsageError."""
    text = _path_text(given)
    if text == ROOT:
        return ROOT
    try:
        return parse_relpath(text)
    except InvalidNameError as error:
        raise UsageError(
            error.message, hint="write it relative to the root of the application, as bin/tool"
        ) from None


def scope(given: Iterable[AnyPath]) -> tuple[RelPath, ...]:
    """Paths that are meant with everything below them. Empty stands for everything, and so does a
    list with the root in it. Raises UsageError.
    """
    found = tuple(map(a_path, _many(given, "paths")))
    return () if ROOT in found else found


def a_version(given: AnyVersion) -> str:
    """A version as people name it. Raises UsageError for what can be none."""
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        return str(given)
    if isinstance(given, str):
        return given
    raise UsageError(f"a version is a number or a text such as 'latest~1', not {given!r}")


def a_release(given: AnyVersion) -> AnyVersion:
    """A release as people name it. A number stays one: as a text it might be a label. Raises
    UsageError for what can be none.
    """
    return given if a_version(given) == given else int(given)


def a_name(given: str) -> str:
    """A text that the system may take for a name: all but what no name is decoded to. Raises
    UsageError.
    """
    if not isinstance(given, str):
        raise UsageError(f"a text is meant, not {given!r}")
    try:
        os.fsencode(given)
    except UnicodeEncodeError:
        raise UsageError(f"{given!r} has what no name can have") from None
    return given


def numbers(given: Iterable[int], what: str) -> tuple[int, ...]:
    """A list of numbers; `what` they are. Raises UsageError."""
    found = tuple(_many(given, what))
    for one in found:
        if not isinstance(one, int) or isinstance(one, bool):
            raise UsageError(f"{what} are numbers, not {one!r}")
    return found


def texts(given: Iterable[str], what: str) -> tuple[str, ...]:
    """A list of texts; `what` they are. Raises UsageError."""
    found = tuple(_many(given, what))
    for one in found:
        a_name(one)
    return found


def places(given: AnyPlaces) -> Container[Path]:
    """Paths of this host; what can only be asked whether it has one is asked. Raises UsageError."""
    return frozenset(several_places(given)) if isinstance(given, Iterable) else given


def several_places(given: Iterable[AnyPath]) -> tuple[Path, ...]:
    """Several paths of this host. Raises UsageError."""
    return tuple(map(a_place, _many(given, "paths")))


def _many(given: Iterable[T], what: str) -> Iterable[T]:
    if isinstance(given, str | bytes | os.PathLike) or not isinstance(given, Iterable):
        raise UsageError(
            f"{what} are given as a list, not as {given!r}", hint=f"write it as [{given!r}]"
        )
    return given


def _path_text(given: AnyPath) -> str:
    found = os.fspath(given) if isinstance(given, str | os.PathLike) else given
    if not isinstance(found, str):
        raise UsageError(f"a path is a text or a path object, not {given!r}")
    return a_name(found)
