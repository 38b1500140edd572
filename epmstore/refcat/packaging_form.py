"""The packaging of a release as a catalog has it: read, written, and held to what it may say. Pure.

What a value may be by itself is in catalog/packaging.py. Asked here is how values fit each other:
names are there once, paths are paths that may be released, defaults are within their limits, what
is spoken of is there. The first fault is raised as BadCatalogError, which ends with the key. Words
that this release does not know are left to the code that acts on them; only a vendor is held to
those that are known (`check_words`), for a misspelt one cannot be taken back.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime
from typing import Final

import msgspec

from epmstore.catalog.classes import Patterns, Rules
from epmstore.catalog.hooks import check_command
from epmstore.catalog.packaging import (
    FORMATS,
    MAX_LETTERS,
    MAX_PACKAGE,
    MAX_PATTERNS,
    ORDERS,
    STAGES,
    TYPES,
    Accounts,
    Exact,
    Need,
    Offer,
    Package,
    Parameter,
    ParameterFile,
)
from epmstore.errors import BadCatalogError, EpmError, UsageError
from epmstore.refcat.hygiene import check_name
from epmstore.refcat.parameter_values import bound, check_value, measure
from epmstore.refcat.rendering import check_names, check_sayable, of_file
from epmstore.relpath import RelPath, parse_relpath

_UNITS: Final = (".service", ".socket", ".target", ".timer", ".path", ".slice", ".mount")
_SHOWN: Final = 200
"""Letters of a reason that are shown: values may be long."""
_decoder = msgspec.json.Decoder(Package)
_encoder = msgspec.json.Encoder()


def read(said: msgspec.Raw) -> Package:
    """What a version says of its packaging. Raises BadCatalogError, also for what is beyond a
    limit; `check` looks at the rest.
    """
    try:
        return _decoder.decode(said)
    except (ValueError, RecursionError) as error:
        raise BadCatalogError(f"package: {error}".replace("`$", "`package")) from None


def write(package: Package) -> msgspec.Raw:
    """The inverse of `read`."""
    return msgspec.Raw(_encoder.encode(package))


def check(package: Package, app: str) -> None:
    """What a package of the product `app` says. Raises BadCatalogError."""
    if len(_encoder.encode(package)) > MAX_PACKAGE:
        raise BadCatalogError(f"package: it is longer than {MAX_PACKAGE:,} bytes")
    if package.build_time is not None:
        try:
            datetime.fromisoformat(package.build_time)
        except ValueError:
            raise _bad(f"{package.build_time!r} is not a time", "build_time") from None
    if package.root is not None:
        _check_host_path(package.root, "root")
    _check_parts(package)
    _check_relations(package, app)
    if package.accounts is not None:
        _check_accounts(package.accounts)
    _check_named(package)
    _check_scripts(package)
    _check_commands(package)
    _check_parameters(package)


def check_words(package: Package) -> None:
    """Raises UsageError for a word that this release does not know."""
    for where, word, known in _words(package):
        if word not in known:
            raise UsageError(
                f"{word!r} is none of {', '.join(known)} - at `package.{where}`", key=where
            )


def check_files(package: Package, is_file: Callable[[RelPath], bool]) -> None:
    """Raises BadCatalogError for a file that it speaks of and the release does not have, and for
    one that the host is to write and the release has.
    """
    for where, path in _files(package):
        if not is_file(RelPath(path)):
            raise _bad(f"{path!r} is no file of the release", where)
    for n, file in enumerate(package.parameter_files):
        if is_file(RelPath(file.path)):
            why = f"{file.path!r} is written on the host, and the release has it as well"
            raise _bad(why, f"parameter_files[{n}].path")


def _words(package: Package) -> Iterator[tuple[str, str, Collection[str]]]:
    yield "order", package.order, ORDERS
    for stage in package.scripts:
        yield "scripts", stage, STAGES
    for n, parameter in enumerate(package.parameters):
        yield f"parameters[{n}].type", parameter.type, TYPES
    for n, file in enumerate(package.parameter_files):
        yield f"parameter_files[{n}].format", file.format, FORMATS


def _files(package: Package) -> Iterator[tuple[str, str]]:
    """(where, path) of each file of the release that it speaks of."""
    for stage, script in package.scripts.items():
        yield f"scripts.{stage}.path", script.path
    for key in ("units", "links", "grants"):
        for n, one in enumerate(getattr(package, key)):
            yield f"{key}[{n}].path", one.path


def _bad(why: str, where: str) -> BadCatalogError:
    shown = why if len(why) <= _SHOWN else f"{why[:_SHOWN]}..."
    return BadCatalogError(f"package: {shown} - at `package.{where}`")


def _check_path(path: str, where: str) -> None:
    try:
        parse_relpath(path)
        check_name(path)
    except EpmError as error:
        raise _bad(error.message, where) from None


def _check_host_path(path: str, where: str) -> None:
    _check_path(path.removeprefix("/"), where)


def _check_once(names: Iterable[str], where: str) -> None:
    seen: set[str] = set()
    for n, name in enumerate(names):
        if name in seen:
            raise _bad(f"{name!r} is there twice", f"{where}[{n}]")
        seen.add(name)


def _check_parts(package: Package) -> None:
    _check_once((part.name for part in package.parts), "parts")
    if sum(len(part.patterns) for part in package.parts) > MAX_PATTERNS:
        raise _bad(f"more than {MAX_PATTERNS:,} patterns", "parts")
    if sum(len(pattern) for part in package.parts for pattern in part.patterns) > MAX_LETTERS:
        raise _bad(f"patterns of more than {MAX_LETTERS:,} letters", "parts")
    for n, part in enumerate(package.parts):
        try:
            Rules(Patterns(config=part.patterns))
        except UsageError as error:
            raise _bad(error.message, f"parts[{n}].patterns") from None


# What it needs, offers and goes with.


def _check_relations(package: Package, app: str) -> None:
    parts = {part.name for part in package.parts}
    for key in ("requires", "conflicts", "provides"):
        for n, one in enumerate(getattr(package, key)):
            where = f"{key}[{n}]"
            if one.of is not None and one.of not in parts:
                raise _bad(f"there is no part {one.of!r}", f"{where}.of")
            if isinstance(one, Offer):
                _check_offer(one, where)
            else:
                _check_need(one, where, parts, app)
    for n, one in enumerate(package.conflicts):
        if one.optional:
            raise _bad("a conflict is not optional", f"conflicts[{n}].optional")
    _check_exact(package.tied, "tied", app)
    _check_exact(package.members, "members", app)


def _check_need(need: Need, where: str, parts: Collection[str], app: str) -> None:
    product = need.product is not None
    kinds = [product or need.part is not None, need.capability is not None, need.soname is not None]
    if sum(kinds) != 1:
        raise _bad("it is of one of these: product or part, capability, soname", where)
    if not product:
        said = next(
            (key for key in ("app", "first", "last") if getattr(need, key) is not None), None
        )
        if said is not None:
            raise _bad("only a product has it", f"{where}.{said}")
        if need.part is not None and need.part not in parts:
            raise _bad(f"there is no part {need.part!r}", f"{where}.part")
    if need.app == app and need.app is not None:
        raise _bad("it is of itself", f"{where}.app")
    _check_range(need, where)


def _check_range(need: Need, where: str) -> None:
    is_versioned = need.product is not None or need.capability is not None
    if not is_versioned and (need.min or need.max) is not None:
        raise _bad("only a product or a capability has versions", where)
    by_version = need.min is not None or need.max is not None
    if by_version and (need.first is not None or need.last is not None):
        raise _bad("it is by version, or by release", where)
    if need.first is not None and need.last is not None and need.first > need.last:
        raise _bad(f"no release is {need.first} or newer and {need.last} or older", where)


def _check_offer(offer: Offer, where: str) -> None:
    if (offer.capability is None) == (offer.soname is None):
        raise _bad("it is either a capability or a soname", where)
    if offer.capability is None and offer.version is not None:
        raise _bad("only a capability has a version", f"{where}.version")


def _check_exact(releases: Iterable[Exact], where: str, app: str) -> None:
    found = list(releases)
    _check_once((one.app for one in found), where)
    for n, one in enumerate(found):
        if one.app == app:
            raise _bad("it is of itself", f"{where}[{n}].app")


# What installing it takes.


def _check_scripts(package: Package) -> None:
    for stage, script in package.scripts.items():
        where = f"scripts.{stage}"
        if script.interpreter is not None:
            _check_host_path(script.interpreter, f"{where}.interpreter")
        for n, path in enumerate(script.paths):
            _check_host_path(path, f"{where}.paths[{n}]")


def _check_accounts(accounts: Accounts) -> None:
    users = [user.name for user in accounts.users]
    groups = [group.name for group in accounts.groups]
    _check_once(users, "accounts.users")
    _check_once(groups, "accounts.groups")
    if "root" in (*users, *groups):
        raise _bad("'root' is the system's own", "accounts")
    for n, user in enumerate(accounts.users):
        for key in ("home", "shell"):
            if (path := getattr(user, key)) is not None:
                _check_host_path(path, f"accounts.users[{n}].{key}")


def _check_named(package: Package) -> None:
    for where, path in _files(package):
        _check_path(path, where)
    units = [unit.path.rpartition("/")[2] for unit in package.units]
    _check_once(units, "units")
    for n, name in enumerate(units):
        if not name.endswith(_UNITS):
            raise _bad(f"{name!r} is not the name of a unit", f"units[{n}].path")
    _check_once((link.name for link in package.links), "links")
    _check_once((grant.path for grant in package.grants), "grants")
    for n, grant in enumerate(package.grants):
        if not (grant.setuid or grant.setgid or grant.capabilities):
            raise _bad("it asks for nothing", f"grants[{n}]")


def _check_commands(package: Package) -> None:
    commands = {f"checks[{n}].command": check.command for n, check in enumerate(package.checks)}
    for name in ("stop", "start", "health"):
        if package.hooks is not None and (words := getattr(package.hooks, name)) is not None:
            commands[f"hooks.{name}"] = words
    for where, words in commands.items():
        try:
            check_command(words)
        except UsageError as error:
            raise _bad(error.message, where) from None


# Parameters.


def _check_parameters(package: Package) -> None:
    names = [parameter.name for parameter in package.parameters]
    _check_once(names, "parameters")
    for n, parameter in enumerate(package.parameters):
        if parameter.type in TYPES:
            _check_parameter(parameter, f"parameters[{n}]")
    _check_once((file.path for file in package.parameter_files), "parameter_files")
    for n, file in enumerate(package.parameter_files):
        where = f"parameter_files[{n}]"
        _check_path(file.path, f"{where}.path")
        unknown = next((name for name in file.parameters if name not in names), None)
        if unknown is not None:
            raise _bad(f"there is no parameter {unknown!r}", f"{where}.parameters")
        _check_rendering(package, file, f"{where}.format")


def _check_parameter(one: Parameter, where: str) -> None:
    if bool(one.choices) != (one.type == "choice"):
        raise _bad("a parameter has choices if it is a choice", f"{where}.choices")
    for n, choice in enumerate(one.choices):
        try:
            measure(one, choice)
        except UsageError as error:
            raise _bad(error.message, f"{where}.choices[{n}]") from None
    if one.least > one.most:
        raise _bad(f"at least {one.least} and at most {one.most}", f"{where}.least")
    bounds = [_bound(one, key, where) for key in ("min", "max")]
    low, high = bounds
    if low is not None and high is not None and low > high:
        raise _bad("no value is within these limits", f"{where}.min")
    if one.default is None:
        return
    if one.type == "secret":
        raise _bad("a secret has no default", f"{where}.default")
    try:
        check_value(one, one.default)
    except UsageError as error:
        raise _bad(error.message, f"{where}.default") from None


def _bound(one: Parameter, key: str, where: str) -> int | float | None:
    value = getattr(one, key)
    try:
        return None if value is None else bound(one, value)
    except UsageError as error:
        raise _bad(error.message, f"{where}.{key}") from None


def _check_rendering(package: Package, file: ParameterFile, where: str) -> None:
    """What a file of its format cannot say is refused where it is made."""
    try:
        check_names(file, package.parameters)
        for one in of_file(file, package.parameters):
            if one.default is not None:
                check_sayable(file.format, one, one.default)
    except UsageError as error:
        raise _bad(error.message, where) from None
