"""Products and their releases as people name them where something is installed. Pure.

crm               the product
crm=4.1.0         its newest build of this version
crm=4.1.0-2       this build
crm=release:41    the release of this number
crm=SP2           the release with this label
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from epmstore.errors import UsageError, VersionNotFoundError
from epmstore.package.universe import ProductRelease
from epmstore.package.versions import split_build

_BUILT: Final = re.compile(r"-[1-9][0-9]*\Z")
HINT: Final = "as in crm, crm=4.1.0, crm=4.1.0-2 or crm=release:41"


class Named(NamedTuple):
    """A product (key or UUID), and which release of it (None: any)."""

    product: str
    release: str | None


def parse_named(text: str) -> Named:
    """Raises UsageError."""
    product, equals, release = text.partition("=")
    is_range = any(sign in text for sign in "<>")
    if not product or (equals and not release) or is_range or not text.isprintable():
        raise UsageError(f"{text!r} names no product", hint=HINT)
    return Named(product, release if equals else None)


def release_named(releases: Sequence[ProductRelease], text: str) -> ProductRelease:
    """Of all releases of a product, by number, the one that is meant. Raises
    VersionNotFoundError.
    """
    number = text.removeprefix("release:")
    if number != text:
        found = [one for one in releases if str(one.number) == number]
    else:
        found = _of_version(releases, text) or [one for one in releases if one.label == text]
    if not found:
        product = releases[0].product if releases else "it"
        raise VersionNotFoundError(
            f"no release {text!r} of {product}",
            hint=f"`epmstore release list {product}` lists them; {HINT}",
            release=text,
        )
    return found[-1]


def _of_version(releases: Sequence[ProductRelease], text: str) -> list[ProductRelease]:
    """Those of a version, in the order of their builds."""
    version, build = split_build(text) if _BUILT.search(text) else (text, None)
    found = [one for one in releases if one.version == version and build in (None, one.build)]
    return sorted(found, key=lambda one: (one.build or 0, one.number or 0))
