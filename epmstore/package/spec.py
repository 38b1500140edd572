"""The file that says how a package is built: TOML, in the vendor's repository. Drawn in
docs/vendors.md.

Words are those of the packaging (catalog/packaging.py), with hyphens. What is not known is refused:
a misspelt word would be a package without what its vendor meant.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec

from epmstore.catalog import packaging as packaged
from epmstore.catalog.classes import Patterns
from epmstore.catalog.packaging import Key, Need, Offer, Package, Script, Word
from epmstore.errors import UsageError
from epmstore.package.ranges import parse_capability, parse_need

LIMIT: Final = 1 << 20
"""Bytes of a spec."""
_Base = TypeVar("_Base", bound=msgspec.Struct)


class _Strict(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"
):
    """What has no other words than these."""


class Info(_Strict, frozen=True, kw_only=True):
    """What the package is called, and what people read of it."""

    product: Key
    version: packaged.Version
    build: packaged.Build = 1
    name: packaged.Line | None = None
    order: Word = "rpm"
    summary: packaged.Line = ""
    description: packaged.Text = ""
    url: packaged.Url | None = None
    licenses: tuple[packaged.License, ...] = ()
    packager: packaged.Line = ""
    architecture: packaged.Architecture | None = None
    groups: tuple[packaged.Label, ...] = ()
    root: packaged.HostPath | None = None
    singleton: bool = False
    data_epoch: packaged.Number = 0
    tags: tuple[Word, ...] = ()
    sonames: bool = True


class Files(_Strict, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A folder or an archive (`from`), or one file (`file`), and where it goes."""

    from_: str | None = None
    file: str | None = None
    to: str = ""
    below: str | None = None
    part: Word | None = None
    owner: str | None = None
    group: str | None = None
    mode: Annotated[str, msgspec.Meta(pattern="^[0-7]{3,4}$")] | None = None


class SpecNeeds(_Strict, frozen=True, kw_only=True):
    """Needs as they are written in short."""

    products: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    sonames: tuple[str, ...] = ()


class ScriptFile(_Strict, frozen=True, kw_only=True):
    """A script: a `file` beside the spec, or a `path` of the package."""

    file: str | None = None
    path: str | None = None
    interpreter: packaged.HostPath | None = None
    fatal: bool = True
    idempotent: bool = False
    network: bool = False
    paths: tuple[packaged.HostPath, ...] = ()


class _Part(packaged.Part, frozen=True, forbid_unknown_fields=True):
    pass


class _Need(Need, frozen=True, forbid_unknown_fields=True):
    pass


class _Offer(Offer, frozen=True, forbid_unknown_fields=True):
    pass


class _User(packaged.User, frozen=True, forbid_unknown_fields=True):
    pass


class _Group(packaged.Group, frozen=True, forbid_unknown_fields=True):
    pass


class _Accounts(_Strict, frozen=True, kw_only=True):
    users: tuple[_User, ...] = ()
    groups: tuple[_Group, ...] = ()


class _Unit(packaged.Unit, frozen=True, forbid_unknown_fields=True):
    pass


class _Link(packaged.Link, frozen=True, forbid_unknown_fields=True):
    pass


class _Grant(packaged.Grant, frozen=True, forbid_unknown_fields=True):
    pass


class _Hooks(packaged.ProposedHooks, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    pass


class _Parameter(packaged.Parameter, frozen=True, forbid_unknown_fields=True):
    pass


class _ParameterFile(packaged.ParameterFile, frozen=True, forbid_unknown_fields=True):
    pass


class _Check(packaged.Check, frozen=True, forbid_unknown_fields=True):
    pass


class _Classes(Patterns, frozen=True, forbid_unknown_fields=True):
    pass


class Spec(_Strict, frozen=True, kw_only=True):
    """All of it."""

    package: Info
    files: tuple[Files, ...] = ()
    parts: tuple[_Part, ...] = ()
    classes: _Classes = _Classes()
    requires: SpecNeeds = SpecNeeds()
    conflicts: SpecNeeds = SpecNeeds()
    provides: SpecNeeds = SpecNeeds()
    needs: tuple[_Need, ...] = ()
    offers: tuple[_Offer, ...] = ()
    scripts: dict[Word, ScriptFile] = {}
    accounts: _Accounts | None = None
    units: tuple[_Unit, ...] = ()
    links: tuple[_Link, ...] = ()
    grants: tuple[_Grant, ...] = ()
    hooks: _Hooks | None = None
    parameters: tuple[_Parameter, ...] = ()
    parameter_files: tuple[_ParameterFile, ...] = ()
    checks: tuple[_Check, ...] = ()


def read_spec(data: bytes, name: str) -> Spec:
    """Raises UsageError, which names the file and the key."""
    try:
        said: dict[str, Any] = tomllib.loads(data.decode())
        return msgspec.convert(said, Spec)
    except (ValueError, RecursionError) as error:
        why = str(error).replace("`$.", "`").replace("`$`", "the file")
        raise UsageError(
            f"{name}: {why}", hint="docs/vendors.md says what may stand in it"
        ) from None


def patterns_of(spec: Spec) -> Patterns:
    """The classes of its paths."""
    return _plain(Patterns, spec.classes)


def package_of(spec: Spec, scripts: Mapping[str, str], build_time: str) -> Package:
    """The packaging that a spec asks for; `scripts` has the path in the package for each stage.
    Parts have no patterns yet but those that are written. Raises UsageError.
    """
    info, accounts = spec.package, spec.accounts
    return Package(
        version=info.version,
        build=info.build,
        order=info.order,
        summary=info.summary,
        description=info.description,
        url=info.url,
        licenses=info.licenses,
        packager=info.packager,
        architecture=info.architecture,
        groups=info.groups,
        root=info.root,
        singleton=info.singleton,
        data_epoch=info.data_epoch,
        build_time=build_time,
        parts=_plains(packaged.Part, spec.parts),
        requires=(*_needs(spec.requires), *_plains(Need, spec.needs)),
        conflicts=tuple(_needs(spec.conflicts)),
        provides=(*_offers(spec.provides), *_plains(Offer, spec.offers)),
        scripts={stage: _script(one, scripts[stage]) for stage, one in spec.scripts.items()},
        accounts=None
        if accounts is None
        else packaged.Accounts(
            users=_plains(packaged.User, accounts.users),
            groups=_plains(packaged.Group, accounts.groups),
        ),
        units=_plains(packaged.Unit, spec.units),
        links=_plains(packaged.Link, spec.links),
        grants=_plains(packaged.Grant, spec.grants),
        hooks=None if spec.hooks is None else _plain(packaged.ProposedHooks, spec.hooks),
        parameters=_plains(packaged.Parameter, spec.parameters),
        parameter_files=_plains(packaged.ParameterFile, spec.parameter_files),
        checks=_plains(packaged.Check, spec.checks),
    )


def _script(one: ScriptFile, path: str) -> Script:
    return Script(
        path=path,
        interpreter=one.interpreter,
        failure="fatal" if one.fatal else "note",
        idempotent=one.idempotent,
        network=one.network,
        paths=one.paths,
    )


def _needs(needs: SpecNeeds) -> Iterator[Need]:
    yield from map(parse_need, needs.products)
    yield from map(parse_capability, needs.capabilities)
    for text in needs.sonames:
        yield Need(soname=text.removesuffix("?"), optional=text.endswith("?"))


def _offers(offers: SpecNeeds) -> Iterator[Offer]:
    if offers.products:
        raise UsageError("provides: products are not offered", hint="capabilities and sonames are")
    for text in offers.capabilities:
        name, sign, version = map(str.strip, text.partition("="))
        if sign and not version:
            raise UsageError(f"{text!r} is nothing to offer", hint="as in 'mta', 'crm-api=2.1'")
        yield Offer(capability=name, version=version or None)
    for text in offers.sonames:
        yield Offer(soname=text)


def _plain(base: type[_Base], value: msgspec.Struct) -> _Base:
    """The same value, as the type that is written."""
    return base(**{name: getattr(value, name) for name in base.__struct_fields__})


def _plains(base: type[_Base], values: Sequence[msgspec.Struct]) -> tuple[_Base, ...]:
    return tuple(_plain(base, value) for value in values)
