"""How people name releases, and how a release is shown: one resolver for every command. Pure.

    RELEASE   14 | number:14     its number
              4.2.16 | label:..  its label, as its vendor gave it
              4.1.0              the newest build of a version, as packages are labelled: 4.1.0-2
              latest | latest~1  the newest one, or one so many before it

`release:` may stand in front of each. A bare word that one release has as its label and another one
as its number, or that several have as their label, names none of them: it is refused with all that
it could mean. Shown is the label first, and the number in parentheses: `4.2.16 (14)`.
"""

import re
from collections.abc import Sequence
from typing import Protocol

from epmstore.errors import UsageError, VersionNotFoundError

RESERVED = frozenset({"latest", "now", "release", "label", "number", "all"})
"""Words that mean something else where a release is named."""
_LATEST = re.compile(r"latest(?:~(?P<back>[0-9]{0,15}))?")
_NUMBER = re.compile(r"[0-9]{1,15}")
_BUILD = re.compile(r"[1-9][0-9]{0,8}")
_HINT = (
    "a release is written as 7, latest, latest~1, by its label or version: `epmstore release list`"
)


class NamedRelease(Protocol):
    """What a release is called."""

    @property
    def version(self) -> int: ...
    @property
    def label(self) -> str | None: ...


def title(version: int, label: str | None) -> str:
    """`4.2.16 (14)`; without a label, `14`."""
    return f"{label} ({version})" if label else str(version)


def resolve(releases: Sequence[NamedRelease], text: str) -> int:
    """The number of the release that `text` names. `releases` are all of them, by number.

    Raises VersionNotFoundError, and UsageError for a word that names more than one.
    """
    wanted = text.removeprefix("release:")
    kind, colon, value = wanted.partition(":")
    if colon and kind == "number" and _NUMBER.fullmatch(value):
        return by_number(releases, int(value))
    if colon and kind == "label":
        return _one_of(value, _by_label(releases, value))
    found = _LATEST.fullmatch(wanted)
    if found is not None:
        back = 0 if found["back"] is None else int(found["back"] or 1)
        return by_number(releases, len(releases) - 1 - back)
    meant = _by_label(releases, wanted)
    if _NUMBER.fullmatch(wanted) and int(wanted) < len(releases):
        meant = {**meant, int(wanted): releases[int(wanted)]}
    if not meant and (builds := _builds_of(releases, wanted)):
        return builds[max(builds)]
    if not meant and _NUMBER.fullmatch(wanted):
        return by_number(releases, int(wanted))
    return _one_of(wanted, meant)


def check_label(releases: Sequence[NamedRelease], label: str, *, of: int | None = None) -> None:
    """Raises UsageError unless a release (`of`; None: a new one) may take a label: each names one
    release, and none is a word that means something else.
    """
    if label in RESERVED or _LATEST.fullmatch(label) or not label.strip():
        raise UsageError(
            f"{label!r} cannot be the label of a release", hint="take another, such as 10.1.SP2"
        )
    taken = [one for one in _by_label(releases, label) if one != of]
    if taken:
        raise UsageError(
            f"release {taken[0]} has the label {label!r} already: a label names one release",
            hint="take another label; one that is wrong is corrected with"
            " `epmstore release relabel KEY RELEASE LABEL`",
            label=label,
        )


def _by_label(releases: Sequence[NamedRelease], label: str) -> dict[int, NamedRelease]:
    return {one.version: one for one in releases if one.label == label}


def _builds_of(releases: Sequence[NamedRelease], version: str) -> dict[int, int]:
    """The builds of a version, as packages are labelled, with the number of each release."""
    ends = {one.version: (one.label or "").removeprefix(f"{version}-") for one in releases}
    return {
        int(end): number
        for number, end in ends.items()
        if _BUILD.fullmatch(end) and releases[number].label != end
    }


def by_number(releases: Sequence[NamedRelease], number: int) -> int:
    """A number that is one of a release. Raises VersionNotFoundError."""
    if not 0 <= number < len(releases):
        there = f"there are 0 to {len(releases) - 1}" if releases else "there is none at all"
        raise VersionNotFoundError(
            f"no release {number}", hint=f"{there}: `epmstore release list`", version=number
        )
    return number


def _one_of(text: str, meant: dict[int, NamedRelease]) -> int:
    if not meant:
        raise VersionNotFoundError(f"no release {text!r}", hint=_HINT)
    if len(meant) > 1:
        readings = [title(one.version, one.label) for one in meant.values()]
        exact = [f"number:{number}" for number in meant]
        raise UsageError(
            f"{text!r} names more than one release: {', '.join(readings)}",
            hint=f"write {' or '.join(exact)}",
            releases=sorted(meant),
        )
    return next(iter(meant))
