"""Needs as vendors write them, and as they are shown. Pure.

    libpay               the product is installed
    libpay>=3            of this version or newer; also <=, >, < and =
    libpay>=3,<4         both
    libpay=4.1.0-2       this build of it; without a build, any
    libpay>=release:41   by the number of its release
    crm:client>=4        with this part of it
    tax?                 optional

A capability is written in the same way, without parts and releases. A range has two ends, and both
are in it: what is beyond `<4` is written as the version that comes before all of 4, `4~`, and `>3`
as the one behind all of 3, `3^`. So `<4` also leaves out 4~rc1, which is what those mean who write
it, and `>3` has 3.0.1 in it.
"""

import re
from typing import Final

import msgspec

from epmstore.catalog.packaging import Need
from epmstore.errors import UsageError
from epmstore.package.versions import compare, split_build

_NEED: Final = re.compile(r"([^<>=?,]+?)\s*((?:[<>=])[^?]*)?(\?)?")
_BOUND: Final = re.compile(r"(>=|<=|=|>|<)\s*(release:)?([0-9A-Za-z][0-9A-Za-z.+~^_-]*)", re.A)
_HINT: Final = "as in 'libpay', 'libpay>=3,<4', 'libpay:client>=release:40', 'tax?' (optional)"


def parse_need(text: str) -> Need:
    """A need of a product. Raises UsageError."""
    name, bounds, optional = _parsed(text)
    product, _, part = name.partition(":")
    said: dict[str, object] = {"product": product, "optional": optional, **bounds}
    if part or ":" in name:
        said["part"] = part
    return _checked(said, text)


def parse_capability(text: str) -> Need:
    """A need of a capability. Raises UsageError."""
    name, bounds, optional = _parsed(text)
    if "first" in bounds or "last" in bounds:
        raise UsageError(f"{text!r}: a capability has no releases", hint=_HINT)
    return _checked({"capability": name, "optional": optional, **bounds}, text)


def _parsed(text: str) -> tuple[str, dict[str, object], bool]:
    """(name, ends of the range, whether it is optional)"""
    found = _NEED.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text!r} is no need", hint=_HINT)
    ends: dict[str, object] = {}
    for bound in found[2].split(",") if found[2] else ():
        one = _BOUND.fullmatch(bound.strip())
        if one is None:
            raise UsageError(f"{text!r}: {bound.strip()!r} is no bound", hint=_HINT)
        of = _of_release(one[1], one[3], text) if one[2] else _of_version(one[1], one[3])
        if of.keys() & ends.keys():
            raise UsageError(f"{text!r} has two bounds of one kind", hint=_HINT)
        ends |= of
    return found[1].strip(), ends, bool(found[3])


def _of_version(sign: str, version: str) -> dict[str, object]:
    bare, build = split_build(version) if re.search(r"-[0-9]+$", version) else (version, None)
    match sign:
        case "=":
            return {"min": version, "max": version}
        case ">=":
            return {"min": version}
        case "<=":
            return {"max": version}
        case ">":
            return {"min": f"{bare}^" if build is None else f"{bare}-{build + 1}"}
        case _:
            return {"max": f"{bare}~" if build in (None, 1) else f"{bare}-{int(build or 0) - 1}"}


def _of_release(sign: str, number: str, text: str) -> dict[str, object]:
    if not number.isdigit() or len(number) > 15:
        raise UsageError(f"{text!r}: {number!r} is no number of a release", hint=_HINT)
    release = int(number)
    match sign:
        case "=":
            return {"first": release, "last": release}
        case ">=" | ">":
            return {"first": release + (sign == ">")}
        case _:
            return {"last": release - (sign == "<")}


def _checked(said: dict[str, object], text: str) -> Need:
    """Held to the limits of the format, and to having something in its range."""
    if said.keys() & {"min", "max"} and said.keys() & {"first", "last"}:
        raise UsageError(f"{text!r}: a need is by version, or by release", hint=_HINT)
    try:
        need = msgspec.convert(said, Need)
    except msgspec.ValidationError as error:
        raise UsageError(f"{text!r} is no need: {error}", hint=_HINT) from None
    by_version = need.min is not None and need.max is not None and compare(need.min, need.max) > 0
    first, last = need.first, need.last
    if by_version or (first is not None and last is not None and first > last):
        raise UsageError(f"{text!r} leaves no release", hint=_HINT)
    return need


def describe(need: Need, product: str | None = None) -> str:
    """For people: `libpay 3 or newer`, `capability mta`, `part client of crm`. `product` names it
    where the need itself, being of a UUID or of this release, does not.
    """
    name = need.product or product or "this release"
    if need.soname is not None:
        return f"library {need.soname}"
    what = f"capability {need.capability}" if need.capability is not None else name
    if need.part is not None:
        what = f"part {need.part} of {name}"
    shown = bounds(need)
    return f"{what} {shown}" if shown else what


def bounds(need: Need) -> str:
    """The range of a need: `3 or newer`, `4.1.0-2`, `older than 4`, `release 41 or newer`."""
    if need.first is not None or need.last is not None:
        first, last = need.first, need.last
        if first == last:
            return f"release {first}"
        if last is None:
            return f"release {first} or newer"
        return f"release {last} or older" if first is None else f"release {first} to {last}"
    if need.min is not None and need.min == need.max:
        return need.min
    low = _bound(need.min, "^", "newer than {}", "{} or newer")
    high = _bound(need.max, "~", "older than {}", "{} or older")
    return ", ".join(one for one in (low, high) if one)


def _bound(value: str | None, mark: str, beyond: str, within: str) -> str:
    if value is None:
        return ""
    return beyond.format(value[:-1]) if value.endswith(mark) else within.format(value)
