"""Small hosts for tests of the solver: products by their keys, releases as `crm-4.1.0-2`."""

import uuid
from collections.abc import Iterable

from epmstore.catalog.packaging import Need, Offer, Package, Part
from epmstore.package.ranges import parse_need
from epmstore.package.solution import Solution
from epmstore.package.solve import solve
from epmstore.package.universe import InstalledRelease, ProductRelease, SolveRequest, Universe, Want


def app(product: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, product))


def need(text: str) -> Need:
    """`lib>=3`, `:mta` is a capability, `=libpay.so.3` a soname, `/dev` a part of this release;
    `client:lib>=3` is what the part needs.
    """
    of, arrow, rest = text.partition(" -> ")
    if arrow:
        return _of(need(rest), of)
    optional = text.endswith("?")
    bare = text.removesuffix("?")
    if bare.startswith("/"):
        return Need(part=bare[1:], optional=optional)
    if bare.startswith("="):
        return Need(soname=bare[1:], optional=optional)
    if bare.startswith(":"):
        like = parse_need("x" + bare[1:].lstrip("abcdefghijklmnopqrstuvwxyz-"))
        name = bare[1:].rstrip("0123456789.<>=,")
        return Need(capability=name, min=like.min, max=like.max, optional=optional)
    return parse_need(text)


def _of(one: Need, part: str) -> Need:
    said = {name: getattr(one, name) for name in one.__struct_fields__}
    return Need(**{**said, "of": part})


def offer(text: str) -> Offer:
    """`:mta`, `:api=2.1`, `=libpay.so.3`; `dev -> :api` is of a part."""
    of, arrow, rest = text.rpartition(" -> ")
    part = of if arrow else None
    if rest.startswith("="):
        return Offer(soname=rest[1:], of=part)
    name, _, version = rest[1:].partition("=")
    return Offer(capability=name, version=version or None, of=part)


def release(
    name: str,
    number: int | None = None,
    *,
    needs: Iterable[str] = (),
    conflicts: Iterable[str] = (),
    provides: Iterable[str] = (),
    parts: Iterable[str] = (),
    revoked: str | None = None,
    singleton: bool = False,
    **more: object,
) -> ProductRelease:
    """`crm-4.1.0` or `crm-4.1.0-2`; its number is the first one of its version, if none is said."""
    product, _, version = name.partition("-")
    version, _, build = version.partition("-")
    package = Package(
        version=version,
        build=int(build or 1),
        requires=tuple(need(text) for text in needs),
        conflicts=tuple(need(text) for text in conflicts),
        provides=tuple(offer(text) for text in provides),
        parts=tuple(Part(name=part) for part in parts),
        singleton=singleton,
        **more,  # type: ignore[arg-type]
    )
    number = int(version.split(".")[0]) if number is None else number
    return ProductRelease(
        app(product), product, number, package, digest=f"{number:064x}", revoked=revoked
    )


def installed(
    *releases: ProductRelease, frozen: Iterable[str] = ()
) -> tuple[InstalledRelease, ...]:
    return tuple(
        InstalledRelease(one.product, one, frozen=one.product in frozen) for one in releases
    )


def ask(universe: Universe, *wants: str, **more: bool) -> Solution:
    """`crm`, `crm>=4`, `+crm` to upgrade it, `-crm` to remove it."""
    return solve(universe, SolveRequest(tuple(map(want, wants)), **more))


def want(text: str) -> Want:
    if text[0] in "+-":
        return Want(text[1:], "upgrade" if text[0] == "+" else "remove")
    one = parse_need(text)
    assert one.product is not None
    is_bare = {one.min, one.max, one.first, one.last} == {None}
    return Want(one.product, within=None if is_bare else one)


def texts(solution: Solution) -> list[str]:
    return [step.text for step in solution.steps]
