"""What is in a package, as CycloneDX 1.6 has it (https://cyclonedx.org): the product, each of its
files with its digests, the libraries in it, and what it needs. Pure.

It says the same for the same release: its serial number follows from the digest of that, and its
time is when it was built.
"""

import uuid
from collections.abc import Iterator
from typing import Final, TypeAlias

from epmstore.catalog.packaging import Need, Package
from epmstore.package.ranges import describe
from epmstore.package.tables import PackagedRelease, PartsOf
from epmstore.relpath import to_json
from epmstore.tree import Entry

_NAMES: Final = uuid.UUID("8c9f3c0a-3d0e-5a6e-9a59-2a4b1f6a7d10")
"""Of serial numbers: each is a UUID by the digest of a release below this."""
Json: TypeAlias = dict[str, object]


def bill_of(release: PackagedRelease) -> Json:
    """The document."""
    package, key = release.package, release.about.key
    version = f"{package.version}-{package.build}"
    ref = f"{key}@{version}"
    parts = PartsOf(package)
    metadata: Json = {
        "component": _product(package, key, version, ref, release.about.name),
        "properties": [{"name": "epmstore:digest", "value": release.digest}],
    }
    if package.build_time is not None:
        metadata = {"timestamp": package.build_time, **metadata}
    needs = {_need_ref(one): one for one in package.requires}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMES, release.digest)}",
        "version": 1,
        "metadata": metadata,
        "components": [
            *(_file(one, parts) for one in release.entries if one.content is not None),
            *(_needed(one, ref) for ref, one in needs.items()),
        ],
        "dependencies": [
            {"ref": ref, "dependsOn": sorted(needs)},
            *({"ref": one} for one in sorted(needs)),
        ],
    }


def _product(package: Package, key: str, version: str, ref: str, name: str | None) -> Json:
    found: Json = {"type": "application", "bom-ref": ref, "name": key, "version": version}
    if package.packager:
        found["publisher"] = package.packager
    if package.summary or package.description:
        found["description"] = package.summary or package.description
    if package.licenses:
        found["licenses"] = [{"expression": _together(package.licenses)}]
    if package.url is not None:
        found["externalReferences"] = [{"type": "website", "url": package.url}]
    said = {"epmstore:name": name, "epmstore:architecture": package.architecture}
    properties = [{"name": k, "value": v} for k, v in said.items() if v]
    return found | ({"properties": properties} if properties else {})


def _together(licenses: tuple[str, ...]) -> str:
    """All of them hold."""
    if len(licenses) == 1:
        return licenses[0]
    return " AND ".join(f"({one})" if " " in one else one for one in licenses)


def _file(entry: Entry, parts: PartsOf) -> Json:
    info = entry.content
    assert info is not None, "the caller looked"
    said = [{"name": "epmstore:class", "value": entry.path_class}]
    part = parts.of(entry.path)
    if part is not None:
        said.append({"name": "epmstore:part", "value": part})
    path = to_json(entry.path)
    return {
        "type": "file",
        "bom-ref": f"file:{path}",
        "name": path,
        "hashes": [
            {"alg": "SHA-1", "content": info.digest.hex()},
            {"alg": "SHA-256", "content": info.sha256.hex()},
        ],
        "properties": said,
    }


def _needed(need: Need, ref: str) -> Json:
    name = need.product or need.capability or need.soname or need.part or ""
    said = dict(_properties(need))
    return {
        "type": "library" if need.soname else "application",
        "bom-ref": ref,
        "name": name,
        "scope": "optional" if need.optional else "required",
        "properties": [{"name": f"epmstore:{k}", "value": v} for k, v in said.items()],
    }


def _properties(need: Need) -> Iterator[tuple[str, str]]:
    yield "need", describe(need, need.app)
    if need.of is not None:
        yield "part", need.of


def _need_ref(need: Need) -> str:
    of = f"{need.of}:" if need.of is not None else ""
    return f"need:{of}{describe(need, need.app)}"
