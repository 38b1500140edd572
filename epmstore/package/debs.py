"""What a package of Debian's kind says, in our words. Pure.

- Its version `1.22.1-9+deb12u2` becomes `1.22.1^9+deb12u2`, which is ordered among others as
  Debian orders it; an epoch has no place in it (versions.py).
- What it depends on becomes needs of products that are called like that, and optional, because the
  host may have it otherwise. Libraries are needed by their sonames, which ELF files say, and not
  by the names of their debs as well.
- What it conflicts with, and what it breaks, are conflicts; what it provides are capabilities.
- What has no place here is named: one of several, its scripts.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final

import msgspec

from epmstore.catalog import packaging
from epmstore.catalog.packaging import Need, Offer, Package
from epmstore.errors import UsageError
from epmstore.package.ranges import parse_need
from epmstore.refcat.archives import DebControl

_RELATION: Final = re.compile(
    r"([a-z0-9][a-z0-9+.-]*)(?::[a-z0-9-]+)?"
    r"(?:\s*\(\s*(<<|<=|=|>=|>>)\s*([^)\s]+)\s*\))?(?:\s*\[[^]]*\])?"
)
_SIGNS: Final = {"<<": "<", ">>": ">", "<=": "<=", ">=": ">=", "=": "="}
_MACHINES: Final = {
    "amd64": "x86_64", "arm64": "aarch64", "armel": "armv6l", "armhf": "armv7l", "i386": "i686",
    "ppc64el": "ppc64le",
}  # fmt: skip
"""What `uname -m` calls those that Debian calls otherwise."""
_UNSEEN: Final = re.compile(
    r"[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)


class DebSaid(msgspec.Struct, frozen=True, kw_only=True):
    """The key that a deb would be a product by, its packaging, and what has no place in that."""

    product: str
    package: Package
    left_out: tuple[str, ...] = ()


def read_deb(
    control: DebControl, *, product: str | None = None, build: int = 1, needed: bool = False
) -> DebSaid:
    """`needed`: what it depends on is not optional. Raises UsageError for what cannot be said."""
    key = product or control.package
    if _as(packaging.Key, key) is None:
        raise UsageError(f"{key!r} is no key of a product", hint="say another one: --product")
    fields = control.fields
    left: list[str] = []
    requires: list[Need] = []
    conflicts: list[Need] = []
    for name in ("Pre-Depends", "Depends"):
        for text, need in _needs(fields.get(name, "")):
            if need is None:
                left.append(f"{name}: {text}")
            elif need.product != key:
                requires.append(msgspec.structs.replace(need, optional=not needed))
    for name in ("Conflicts", "Breaks"):
        for text, need in _needs(fields.get(name, "")):
            if need is None:
                left.append(f"{name}: {text}")
            elif need.product != key:
                conflicts.append(need)
    summary, _, rest = fields.get("Description", "").partition("\n")
    architecture = fields.get("Architecture", "all")
    section = _as(packaging.Label, fields.get("Section", ""))
    package = Package(
        version=deb_version(control.version),
        build=build,
        summary=_line(summary),
        description=_text(rest),
        url=_as(packaging.Url, fields.get("Homepage", "")),
        packager=_line(fields.get("Maintainer", "")),
        architecture=None
        if architecture == "all"
        else _as(packaging.Architecture, _MACHINES.get(architecture, architecture)),
        groups=() if section is None else (section,),
        requires=tuple(dict.fromkeys(requires)),
        conflicts=tuple(dict.fromkeys(conflicts)),
        provides=tuple(_offers(fields)),
    )
    left += [f"script: {name}" for name in control.scripts]
    return DebSaid(product=key, package=package, left_out=tuple(left))


def deb_version(text: str) -> str:
    """A version of Debian's as ours. Raises UsageError for what is none."""
    bare = re.sub(r"^[0-9]+:", "", text)
    upstream, dash, revision = bare.rpartition("-")
    said = f"{upstream}^{revision}" if dash else bare
    said = re.sub(r"[-:]", ".", said)
    if _as(packaging.Version, said) is None:
        raise UsageError(f"{text!r} is no version that a package may have")
    return said


def without_libraries(package: Package, sonames: Collection[str]) -> Package:
    """Without optional needs of what Debian calls libraries that are needed by their sonames."""
    names = {_library(one) for one in sonames}
    kept = (one for one in package.requires if not one.optional or one.product not in names)
    return msgspec.structs.replace(package, requires=tuple(kept))


def _library(soname: str) -> str:
    """What the deb of a library is called (Debian's policy, 8.1)."""
    name, _, version = soname.partition(".so.")
    dash = "-" if name[-1:].isdigit() and version else ""
    return f"{name}{dash}{version}".lower().replace("_", "-")


def _needs(field: str) -> Iterator[tuple[str, Need | None]]:
    """Each relation of a field; None for one that cannot be said."""
    for text in filter(None, (one.strip() for one in field.replace("\n", " ").split(","))):
        yield text, _need(text)


def _need(text: str) -> Need | None:
    found = _RELATION.fullmatch(text)
    if found is None:
        return None
    name, sign, version = found.groups()
    try:
        return parse_need(name if sign is None else f"{name}{_SIGNS[sign]}{deb_version(version)}")
    except UsageError:
        return None


def _offers(fields: Mapping[str, str]) -> Iterator[Offer]:
    for text in fields.get("Provides", "").replace("\n", " ").split(","):
        found = _RELATION.fullmatch(text.strip())
        label = None if found is None else _as(packaging.Label, found[1])
        if found is not None and label is not None:
            try:
                version = None if found[3] is None else deb_version(found[3])
            except UsageError:
                version = None
            yield Offer(capability=label, version=version)


def _line(text: str) -> str:
    return _UNSEEN.sub(" ", text.replace("\n", " "))[:200].strip()


def _text(text: str) -> str:
    """Several lines, as Debian writes them: `.` stands for an empty one."""
    lines = ("" if line == "." else line for line in text.splitlines())
    return _UNSEEN.sub(" ", "\n".join(lines))[:16_384].strip()


def _as(kind: object, value: str) -> str | None:
    """The value, if it is one of that kind."""
    try:
        found: str = msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return None
    return found
