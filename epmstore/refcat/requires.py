"""What a release needs: how it is written, that it goes one way, and whether it is there. Pure.

    server                 the application is installed
    server>=40  <=42  =41  with such a release; also ">=40,<=42", and labels instead of numbers
    SHA1                   exactly this content is there
    PATH -> PATH           the component at the first path needs exactly the one at the second
    PATH -> SHA1           or exactly this content
    ...?                   optional: said where it is not met, and no hindrance

Each release says all that it needs. What is needed does not thereby need back, and a circle of
needs, by however many steps, is refused.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Protocol

import msgspec

from epmstore.catalog.model import Requirement
from epmstore.errors import ConflictError, UsageError
from epmstore.refcat.lines import ReleaseOrder
from epmstore.relpath import RelPath
from epmstore.tree import Entry, Tree

_SHA1 = re.compile(r"[0-9a-f]{40}")
_APP = re.compile(r"([a-z0-9][a-z0-9_.-]{0,63}|[0-9a-f-]{36})((?:(?:>=|<=|=)[^,<>=]+,?)*)")
_BOUND = re.compile(r"(>=|<=|=)([^,<>=]+)")
_HINT = "as in 'server>=40,<=42', 'bin/x.pdb -> bin/x.exe' or a SHA-1; `?` at the end: optional"


class VendorLookup(Protocol):
    """What is known of other applications when a requirement is written."""

    def app(self, key: str) -> str:
        """The UUID of an application. Raises AppNotFoundError."""
        ...

    def release(self, app: str, text: str) -> int:
        """The release that is named so. Raises VersionNotFoundError, UsageError."""
        ...


class Host(Protocol):
    """What is known of the host that a release is to be installed on."""

    def is_installed(self, app: str) -> bool:
        """Whether there is a syscat of the application."""
        ...

    def release_of(self, app: str) -> int | None:
        """The release that explains an installed application best; None if none does."""
        ...

    def order(self, app: str, one: int, two: int) -> ReleaseOrder:
        """What one release of an application is to another one."""
        ...

    def title(self, app: str, release: int) -> str:
        """How a release is shown."""
        ...

    def has(self, digests: Iterable[str]) -> set[str]:
        """Those of these SHA-1 that a file of any application has."""
        ...


class Unmet(msgspec.Struct, frozen=True):
    """A requirement that is not met, and in what."""

    requirement: Requirement
    why: str


def parse_requirement(text: str, tree: Tree, vendors: VendorLookup) -> Requirement:
    """`tree` is that of the release. Raises UsageError, AppNotFoundError, VersionNotFoundError."""
    wanted = text.strip()
    optional = wanted.endswith("?")
    wanted = wanted.removesuffix("?").rstrip()
    needing, arrow, needed = (part.strip() for part in wanted.partition("->"))
    if arrow:
        of = _component(needing, tree)
        digest = needed if _SHA1.fullmatch(needed) else _component(needed, tree)
        return Requirement(digest=digest, of=of, optional=optional)
    if _SHA1.fullmatch(wanted):
        return Requirement(digest=wanted, optional=optional)
    found = _APP.fullmatch(wanted)
    if found is None:
        raise UsageError(f"{text!r} is no requirement", hint=_HINT)
    app = vendors.app(found[1])
    low, high = _bounds(found[2], text, lambda named: vendors.release(app, named))
    return Requirement(app=app, key=found[1], min=low, max=high, optional=optional)


def _bounds(text: str, whole: str, release: Callable[[str], int]) -> tuple[int | None, int | None]:
    low: int | None = None
    high: int | None = None
    for sign, value in _BOUND.findall(text):
        number = release(value.strip())
        if sign in (">=", "="):
            low = number
        if sign in ("<=", "="):
            high = number
    if low is not None and high is not None and low > high:
        raise UsageError(f"{whole!r} leaves no release", hint=_HINT)
    return low, high


def _component(path: str, tree: Tree) -> str:
    entry: Entry | None = tree.get(RelPath(path))
    if entry is None or entry.content is None:
        raise UsageError(f"{path!r} is no component of this release", hint=_HINT)
    return entry.content.digest.hex()


def check_one_way(
    app: str,
    requires: Sequence[Requirement],
    others: Mapping[str, Sequence[Requirement]],
    keys: Mapping[str, str] | None = None,
) -> None:
    """Raises ConflictError for a circle: among the components of a release of `app`, or among
    applications, given what the newest releases of the `others` need. `keys` are what people call
    applications (UUIDs).
    """
    components: dict[str, set[str]] = {}
    for one in requires:
        if one.digest is not None and one.of is not None:
            components.setdefault(one.of, set()).add(one.digest)
    _check_acyclic(components, "component", {})
    apps = {other: {r.app for r in needs if r.app is not None} for other, needs in others.items()}
    apps[app] = {r.app for r in requires if r.app is not None}
    said = {
        r.app: r.key for needs in (requires, *others.values()) for r in needs if r.app and r.key
    }
    _check_acyclic(apps, "application", {**said, **(keys or {})})


def _check_acyclic(graph: Mapping[str, Iterable[str]], what: str, keys: Mapping[str, str]) -> None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = [keys.get(str(node), str(node)) for node in error.args[1]]
        raise ConflictError(
            f"a circle of needs: {what} {' is needed by '.join(circle)}",
            hint="needs go one way: leave one of them out",
            circle=circle,
        ) from None


def unmet(requires: Sequence[Requirement], wanted: Tree, host: Host) -> list[Unmet]:
    """What is not met once `wanted` is what is installed."""
    will_be = {e.content.digest.hex() for e in wanted.values() if e.content is not None}
    asked = {r.digest for r in requires if r.digest is not None} - will_be
    there = will_be | (host.has(asked) if asked else set())
    found = []
    for one in requires:
        if one.app is not None:
            why = _unmet_app(one, host)
        elif one.digest is not None and (one.of is None or one.of in will_be):
            why = None if one.digest in there else f"the component {one.digest} is not there"
        else:
            why = None
        if why is not None:
            found.append(Unmet(one, why))
    return found


def unmet_by(
    written: Collection[str],
    releases: Iterable[Sequence[Requirement]],
    there: Callable[[Collection[str]], Collection[str]],
) -> list[Unmet]:
    """What components that are written need, and what is not there then. `written` are SHA-1;
    `releases` are the needs of each release that may say something of them, and one that is content
    with what there is suffices. `there` says which of some SHA-1 a file will have.
    """
    said: dict[str, list[list[Requirement]]] = {}
    for requires in releases:
        of: dict[str, list[Requirement]] = {}
        for one in requires:
            if one.of in written and one.of is not None and not one.optional:
                of.setdefault(one.of, []).append(one)
        for digest, needs in of.items():
            said.setdefault(digest, []).append(needs)
    asked = {one.digest for sets in said.values() for needs in sets for one in needs if one.digest}
    will_be = set(there(asked)) if asked else set()
    found: list[Unmet] = []
    for sets in said.values():
        lacking = [[one for one in needs if one.digest not in will_be] for needs in sets]
        least = min(lacking, key=len)
        found += [Unmet(one, f"component {one.of} needs {one.digest}") for one in least]
    return found


def _unmet_app(one: Requirement, host: Host) -> str | None:
    name = one.key or one.app
    assert one.app is not None, "the caller looked"
    if not host.is_installed(one.app):
        return f"{name} is not installed"
    if one.min is None and one.max is None:
        return None
    release = host.release_of(one.app)
    if release is None:
        return f"{name} is installed, and no release of it explains what is there"
    fits = (one.min is None or host.order(one.app, one.min, release) in ("same", "older")) and (
        one.max is None or host.order(one.app, one.max, release) in ("same", "newer")
    )
    if fits:
        return None
    app = one.app
    needed = bounds(one, lambda number: host.title(app, number))
    return f"{name} is at release {host.title(app, release)}, {needed} is needed"


def bounds(one: Requirement, title: Callable[[int], str] = str) -> str:
    """`40 to 42`, `40 or newer`, `42 or older`, `any release`; `title` says how one is shown."""
    if one.min is not None and one.max is not None:
        return title(one.min) if one.min == one.max else f"{title(one.min)} to {title(one.max)}"
    if one.min is not None:
        return f"{title(one.min)} or newer"
    return "any release" if one.max is None else f"{title(one.max)} or older"


def describe(one: Requirement) -> str:
    """For people: one line."""
    mark = " (optional)" if one.optional else ""
    if one.app is not None:
        return f"{one.key or one.app}: {bounds(one)}{mark}"
    needing = f"component {one.of} needs " if one.of else ""
    return f"{needing}component {one.digest}{mark}"
