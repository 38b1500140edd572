"""What the tables for people say of a release: rows, in the order of their keys. Pure.

They say nothing that the lines do not say, but for ELF (epmstore/package/elf.py) and tags.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from epmstore.catalog.classes import Patterns, Rules
from epmstore.catalog.model import AboutRecord, VersionRecord
from epmstore.catalog.packaging import Need, Package, Parameter
from epmstore.package.file_format import NOBODY
from epmstore.relpath import RelPath, text_to_json, to_json
from epmstore.tree import Entry

PackageRow: TypeAlias = tuple[str | int | bytes | None, ...]
PackageTables: TypeAlias = Mapping[str, Sequence[PackageRow]]


class PackagedRelease(msgspec.Struct, frozen=True, kw_only=True):
    """One release as a package holds it: whose it is, what is said of it, its tree, its digest."""

    about: AboutRecord
    record: VersionRecord
    package: Package
    entries: Sequence[Entry]
    digest: str


def rows_of(release: PackagedRelease, tags: Iterable[str] = ()) -> PackageTables:
    """The rows of every table that follows from the lines; `tags` are of the package."""
    package, key = release.package, release.about.key
    parts = PartsOf(package)
    found: dict[str, list[PackageRow]] = {
        "packages": [_package_row(release)],
        "paths": [_path_row(entry) for entry in release.entries],
        "packagefiles": [
            (to_json(entry.path), key, parts.of(entry.path), entry.path_class)
            for entry in release.entries
        ],
        "scripts": [
            (key, stage, one.path, one.interpreter, one.failure, one.idempotent, one.network)
            for stage, one in package.scripts.items()
        ],
        "packagegroups": [(key, group) for group in package.groups],
        "licenses": [(key, one) for one in package.licenses],
        "parameters": [_parameter_row(key, one) for one in package.parameters],
        "tags": [(key, "", tag) for tag in tags],
        "members": [
            (key, one.product, one.app, one.release, bytes.fromhex(one.digest), one.required)
            for one in package.members
        ],
        **_relations(key, package),
    }
    return {name: _plain(rows, name) for name, rows in found.items()}


class PartsOf:
    """Which part of a package each file is of."""

    def __init__(self, package: Package) -> None:
        self._rules = [
            (part.name, Rules(Patterns(config=part.patterns)))
            for part in package.parts
            if part.patterns
        ]

    def of(self, path: RelPath) -> str | None:
        """The first part that has a pattern which matches the path."""
        found = (name for name, rules in self._rules if rules.classify(path) == "config")
        return next(found, None)


def _package_row(release: PackagedRelease) -> PackageRow:
    about, record, package = release.about, release.record, release.package
    is_candidate = about.app == NOBODY
    return (
        about.key,
        None if is_candidate else about.app,
        about.name,
        package.version,
        package.build,
        None if is_candidate else record.version,
        record.label,
        package.order,
        package.summary or None,
        package.description or None,
        package.architecture,
        package.url,
        package.packager or None,
        package.build_time,
        package.root,
        package.singleton,
        package.data_epoch,
        bytes.fromhex(release.digest),
    )


def _path_row(entry: Entry) -> PackageRow:
    info = entry.content
    xattrs = {text_to_json(name): value.hex() for name, value in entry.xattrs}
    return (
        to_json(entry.path),
        entry.kind,
        entry.mode,
        entry.user,
        entry.group,
        None if entry.mtime_ns is None else str(entry.mtime_ns),
        None if info is None else info.sha256,
        None if info is None else info.digest,
        None if info is None else info.size,
        None if entry.target is None else text_to_json(entry.target),
        None if entry.same_as is None else to_json(entry.same_as),
        _json(xattrs) if xattrs else None,
    )


def _parameter_row(key: str, one: Parameter) -> PackageRow:
    return (
        key,
        one.name,
        one.type,
        None if one.default is None else _json(one.default),
        None if one.min is None else _json(one.min),
        None if one.max is None else _json(one.max),
        _json(one.choices) if one.choices else None,
        one.least,
        one.most,
        one.section or None,
        one.description or None,
        one.site,
        one.restart,
    )


def _relations(key: str, package: Package) -> dict[str, list[PackageRow]]:
    """Needs of products and parts are packagedeps, those of labels are requires."""
    deps: list[PackageRow] = []
    labels: list[PackageRow] = []
    for kind, needs in (("requires", package.requires), ("conflicts", package.conflicts)):
        for one in needs:
            if one.product is not None or one.part is not None:
                deps.append(_dep(key, kind, one))
            elif kind == "requires":
                labels.append((key, one.of, *_label(one), one.min, one.max, one.optional))
            else:
                row = (key, one.of, f"conflicts {_label(one)[0]}", _label(one)[1], None)
                deps.append((*row, one.min, one.max, None, None, None, False))
    for tied in package.tied:
        at = (None, None, tied.release, tied.release, bytes.fromhex(tied.digest))
        deps.append((key, None, "tied", tied.product, None, *at, False))
    offers: list[PackageRow] = [
        (key, one.of, "soname" if one.soname else "capability", one.soname or one.capability,
         one.version)
        for one in package.provides
    ]  # fmt: skip
    return {
        "packagedeps": _counted(deps),
        "provides": _counted(offers),
        "requires": _counted(labels),
    }


def _dep(key: str, kind: str, one: Need) -> PackageRow:
    bounds = (one.min, one.max, one.first, one.last)
    return (key, one.of, kind, one.product, one.part, *bounds, None, one.optional)


def _label(one: Need) -> tuple[str, str]:
    if one.soname is not None:
        return "soname", one.soname
    return "capability", one.capability or ""


def _counted(rows: Sequence[PackageRow]) -> list[PackageRow]:
    return [(number, *row) for number, row in enumerate(rows, 1)]


def _plain(rows: Iterable[PackageRow], table: str) -> list[PackageRow]:
    """As SQLite has them, in the order of its keys."""
    found: list[PackageRow] = [
        tuple(int(value) if isinstance(value, bool) else value for value in row) for row in rows
    ]
    if table in ("packagedeps", "provides", "requires"):
        return found
    return sorted(found, key=lambda row: [str(value).encode() for value in row[:3]])


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
