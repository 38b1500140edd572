"""How people name versions: `117`, `latest~1`, `now`, `@2026-10-03T14:00`, a tag. Pure.

    selector  BASE | BASE~N         N versions before (`~` alone: one); not with `now`
    BASE      digits | latest | now | @TIME | release:RELEASE | TAG
    RELEASE   number | label | number:N | label:TEXT | latest    (refcat/naming.py)
    TIME      date, or date T hours:minutes with seconds and offset if wanted; UTC without one

`@TIME` is the version that was the latest at that moment; a date alone is its first moment. What is
behind a colon, or between two dots, cli/paths.py takes apart.
"""

import re
from typing import Final, Literal, Protocol, TypeAlias

import msgspec

from epmstore.clock import from_rfc3339
from epmstore.errors import UsageError, VersionNotFoundError

SelectorBase: TypeAlias = Literal["version", "latest", "now", "time", "release", "tag"]
Resolved: TypeAlias = int | Literal["now"]
_BASES: Final[tuple[SelectorBase, ...]] = ("version", "latest", "now", "time", "release", "tag")
RESERVED: Final = frozenset({"latest", "now", "release"})

_SELECTOR = re.compile(
    r"""(?: (?P<version> [0-9]{1,15} )
          | (?P<latest> latest )
          | (?P<now> now )
          | @(?P<time> [0-9]{4}-[0-9]{2}-[0-9]{2}
                (?: T[0-9]{2}:[0-9]{2} (?: :[0-9]{2} (?: \.[0-9]{1,6} )? )?
                    (?: Z | [+-][0-9]{2}:[0-9]{2} )? )? )
          | release:(?P<release> (?: number: | label: )? [^\s:@~]+ )
          | (?P<tag> [^\s:@~]+ )
        )
        (?: ~(?P<back> [0-9]{0,15} ) )?
        (?: : (?P<path> .* ) )?""",
    re.VERBOSE | re.DOTALL,
)
_HINT = (
    "a version is written as 117, latest, latest~1, now, @2026-10-03T14:00 or as the name of a tag"
)


class Selector(msgspec.Struct, frozen=True, kw_only=True):
    """One version, as it was asked for; `value` is its number, time or tag, `back` the `~N`."""

    text: str
    base: SelectorBase
    value: str
    back: int = 0


class VersionLookup(Protocol):
    """What resolving needs to know of a history."""

    def span(self) -> tuple[int, int] | None:
        """The first version and the last; None if there is none."""
        ...

    def at(self, moment: float) -> int | None:
        """The last version recorded at this time or before, in seconds since 1970."""
        ...

    def tagged(self, name: str) -> int | None:
        """The version that has a tag."""
        ...

    def is_lost(self, version: int) -> bool:
        """Whether there was a version of this number, and its lines are lost."""
        ...


def parse_selector(text: str) -> Selector:
    """Raises UsageError for what cannot name a version."""
    found = _SELECTOR.fullmatch(text)
    bases = [base for base in _BASES if found is not None and found[base] is not None]
    if found is None or found["tag"] in RESERVED or (found["now"] and found["back"] is not None):
        raise UsageError(f"{text!r} does not name a version", hint=_HINT)
    if found["path"] is not None:
        raise UsageError(
            f"{text!r} has a path where a version alone is meant",
            hint="leave out the colon and what follows it; an application is named with --app",
        )
    [base] = bases
    back = 0 if found["back"] is None else int(found["back"] or 1)
    return Selector(text=text, base=base, value=found[base], back=back)


def check_tag(name: str) -> None:
    """Raises UsageError unless `name` may be a tag."""
    found = _SELECTOR.fullmatch(name)
    dots = ".." in name or name.startswith((".", "-")) or name.endswith(".")
    if found is None or found["tag"] != name or dots or name in RESERVED or name.isdecimal():
        raise UsageError(
            f"{name!r} cannot be a tag",
            hint="a tag has no spaces and none of `:`, `@`, `~` and `..`, is not digits alone, "
            "does not begin with `-` or `.` or end with `.`, and is none of latest, now, release",
            name=name,
        )


def resolve(selector: Selector, versions: VersionLookup) -> Resolved:
    """The version meant, which exists, or "now". Raises VersionNotFoundError."""
    if selector.base == "now":
        return "now"
    span = versions.span()
    if span is None:
        raise _not_found(selector, "nothing is recorded yet", "record with `epmstore snapshot`")
    first, last = span
    version = _base(selector, versions, first, last) - selector.back
    if not first <= version <= last:
        meant = selector.text if selector.back else version  # never -4, which was not written
        raise _not_found(selector, f"no version {meant}", f"there are {first} to {last}")
    if versions.is_lost(version):
        raise _not_found(
            selector,
            f"version {version} is lost: its lines in the catalog were damaged",
            "a copy of the store may have it: `epmstore store restore --from COPY`",
        )
    return version


def _base(selector: Selector, versions: VersionLookup, first: int, last: int) -> int:
    if selector.base == "version":
        return int(selector.value)
    if selector.base == "latest":
        return last
    if selector.base == "release":
        raise _not_found(
            selector, f"no release {selector.value}", "this application has no reference catalog"
        )
    if selector.base == "tag":
        tagged = versions.tagged(selector.value)
        if tagged is None:
            raise _not_found(selector, f"no tag {selector.value!r}", _HINT)
        return tagged
    found = versions.at(from_rfc3339(selector.value))
    if found is None:
        raise _not_found(
            selector,
            f"nothing was recorded by {selector.value}",
            f"the first version is {first}; a time that is typed without a zone is local",
        )
    return found


def _not_found(selector: Selector, message: str, hint: str) -> VersionNotFoundError:
    return VersionNotFoundError(message, hint=hint, selector=selector.text)
