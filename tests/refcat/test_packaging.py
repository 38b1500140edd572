"""What a release says of its packaging: the vectors of tests/fixtures/packages.json are taken, or
refused in one line that ends with the key; and whoever passes a catalog on passes all of it on.
"""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from epmstore import rescue
from epmstore.catalog import packaging as structs
from epmstore.catalog.format import PART_ENTRIES, decode_line, without_entries
from epmstore.catalog.model import NO_HEAD, NO_PACKAGE, START, VersionPart
from epmstore.catalog.packaging import Package, Parameter, Script
from epmstore.cli import schema
from epmstore.errors import BadCatalogError, UsageError
from epmstore.progress import SILENT
from epmstore.refcat import packaging_form
from epmstore.refcat.append import ReleaseDraft, publish
from epmstore.refcat.catalogchild import examine
from epmstore.refcat.interchange import check_catalog, export_lines, import_catalog
from epmstore.refcat.releases import Releases
from epmstore.store.catalog_repair import IndexLines
from epmstore.store.deposit import Deposit
from epmstore.workspace import Workspace
from tests.kit.vendors import CRM, Vendor, file
from tests.refcat.test_malformed import Doc, chained, dump, entry

ROOT = Path(__file__).resolve().parents[2]
VECTORS = json.loads((ROOT / "tests/fixtures/packages.json").read_text("utf-8"))
EVERYTHING: bytes = next(
    dump(vector["package"]) for vector in VECTORS["good"] if vector["name"] == "everything"
).replace(b'"APP"', b'"%b"' % CRM.encode())
"""A package that says all that can be said."""
LEAST: Doc = {"version": "4.1.0", "build": 1}
DOC = ROOT / "docs/formats/package.md"

# Too long to be shown: what is beyond a limit of length, and where.
LONG: list[tuple[Doc, str]] = [
    ({"description": "x" * 16_385}, "of length <= 16384 - at `package.description`"),
    (
        {"parts": [{"name": "a", "patterns": ["x"] * 1001}]},
        "of length <= 1000 - at `package.parts[0].patterns`",
    ),
    (
        {"parts": [{"name": name, "patterns": ["x"] * 501} for name in ("a", "b")]},
        "more than 1,000 patterns - at `package.parts`",
    ),
    (
        {"parts": [{"name": "a", "patterns": ["x" * 1024] * 65}]},
        "patterns of more than 65,536 letters - at `package.parts`",
    ),
    (
        {"parameters": [{"name": "a", "type": "size", "default": "9" * 4096}]},
        "99... - at `package.parameters[0].default`",
    ),
    ({"requires": [{"soname": "a.so"}] * 1001}, "of length <= 1000 - at `package.requires`"),
    (
        {"parameters": [{"name": f"a{n}", "type": "string"} for n in range(1001)]},
        "of length <= 1000 - at `package.parameters`",
    ),
    (
        {
            "parameters": [
                {"name": f"a{n}", "type": "string", "description": "x" * 16_000} for n in range(66)
            ]
        },
        "longer than 1,048,576 bytes",
    ),
]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> list[Doc]:
    """about, and release 0 with the files that the vectors speak of."""
    vendor = Vendor(tmp_path_factory.mktemp("vendor"))
    tree = [entry("bin"), entry("bin/l", "symlink", target="a"), entry("etc"), entry("lib")]
    tree += [file(path, path.encode()) for path in VECTORS["files"]]
    with vendor.open() as ws, Deposit(ws._store) as deposit:
        publish(deposit, vendor.about, tree, ReleaseDraft(label="4.1.0"))
        return [json.loads(line) for line in export_lines(ws._store, Releases(ws._store, CRM))]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with Workspace.init(tmp_path_factory.mktemp("host") / "store") as ws:
        yield ws


def with_package(sound: list[Doc], package: Any) -> bytes:
    docs = copy.deepcopy(sound)
    said = json.loads(json.dumps(package).replace('"APP"', f'"{CRM}"'))
    docs[1]["package"] = said
    return b"".join(chained(docs))


def refused(place: Workspace, data: bytes, line: int, says: str) -> None:
    with pytest.raises(BadCatalogError) as caught:
        check_catalog(place._store, data, None, SILENT, examine=examine)
    assert says in caught.value.message
    assert caught.value.data["line"] == line
    assert "\n" not in caught.value.message and len(caught.value.message) < 500
    assert place._store.vendor_catalogs() == []


# The vectors.


@pytest.mark.parametrize("vector", VECTORS["good"], ids=lambda vector: vector["name"])
def test_a_sound_package_is_taken(sound: list[Doc], tmp_path: Path, vector: Doc) -> None:
    data = with_package(sound, vector["package"])
    with Workspace.init(tmp_path / "store") as ws:
        found = check_catalog(ws._store, data, None, SILENT, examine=examine)
        import_catalog(ws._store, found, "file", SILENT)
        said = Releases(ws._store, CRM).package(0)
    assert json.loads(bytes(said)) == vector["package"]
    package = packaging_form.read(said)
    assert packaging_form.read(packaging_form.write(package)) == package
    if vector["name"] == "everything":
        assert set(vector["package"]) == set(Package.__struct_encode_fields__)
        assert json.loads(bytes(packaging_form.write(package))) == vector["package"]


@pytest.mark.parametrize("vector", VECTORS["bad"], ids=lambda vector: vector["name"])
def test_another_is_refused_with_the_key(sound: list[Doc], place: Workspace, vector: Doc) -> None:
    refused(place, with_package(sound, vector["package"]), 2, vector["says"])


@pytest.mark.parametrize("number", range(len(LONG)))
def test_package_sections_beyond_a_limit_are_refused(
    sound: list[Doc], place: Workspace, number: int
) -> None:
    said, why = LONG[number]
    refused(place, with_package(sound, LEAST | said), 2, why)


def test_every_list_has_a_limit() -> None:
    """In the schema: texts, lists, objects and numbers."""
    document = json.loads(schema.render())

    def look(one: Any, where: str) -> None:
        if isinstance(one, list):
            for n, inner in enumerate(one):
                look(inner, f"{where}[{n}]")
        if not isinstance(one, dict):
            return
        kind = one.get("type")
        if kind == "array":
            assert "maxItems" in one, where
        elif kind == "string" and "enum" not in one:
            bounded = "maxLength" in one or re.search(r"\{\d+(,\d+)?\}", one.get("pattern", ""))
            assert bounded, where
        elif kind == "integer":
            assert "maximum" in one and "minimum" in one, where
        elif kind == "object":
            assert "properties" in one or "maxProperties" in one, where
        for key, inner in one.items():
            look(inner, f"{where}.{key}")

    look(document, "")


# Bytes.


def test_a_key_that_is_there_twice_is_refused(sound: list[Doc], place: Workspace) -> None:
    about, release = with_package(sound, LEAST).splitlines(keepends=True)
    release = release.replace(b'"build":1', b'"build":1,"build":1')
    refused(place, about + release, 2, "'build' is there twice")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b'{"version":"1","build":1,"x":"\xff"}', "not UTF-8"),
        (b'{"version":"1","build":1,"x":' + b"[" * 20 + b"]" * 20 + b"}", "nested more than 16"),
        (b'{"version":"1","build":1,"x":' + b"9" * 50 + b"}", "a number of 50 digits"),
        (b'{"version":"1","build":1,"x":' + b"[" * 9999 + b"]" * 9999 + b"}", "recursion|nested"),
        (b'{"version":"1","build":1', "malformed|truncated"),
    ],
)
def test_check_looks_at_unknown_parts_of_a_package(
    sound: list[Doc], place: Workspace, said: bytes, why: str
) -> None:
    about, release = with_package(sound, LEAST).splitlines(keepends=True)
    data = about + release.replace(b'{"version":"4.1.0","build":1}', said)
    with pytest.raises(BadCatalogError, match=why):
        check_catalog(place._store, data, None, SILENT, examine=examine)


def test_none_is_no_package(sound: list[Doc], place: Workspace) -> None:
    line = with_package(sound, None).splitlines(keepends=True)[1]
    record = decode_line(line)[1]
    assert isinstance(record, VersionPart) and record.header.package is NO_PACKAGE
    check_catalog(place._store, with_package(sound, None), None, SILENT, examine=examine)


def test_whoever_passes_it_on_keeps_every_byte(sound: list[Doc], tmp_path: Path) -> None:
    later = {**json.loads(EVERYTHING), "sbom": {"path": "x", "n": 1}}
    later["parts"][0]["icon"] = ["a"]
    data = with_package(sound, later).replace(b'"sbom":{"path"', b'"sbom": {"path"')
    said = data.splitlines()[1].partition(b'"package":')[2].removesuffix(b"}")
    (tmp_path / "file").write_bytes(data)
    with Workspace.init(tmp_path / "store") as ws:
        ws.catalogs.import_(tmp_path / "file", allow_unsigned=True)
        ws.care.copy(tmp_path / "copy")
    assert Workspace.rebuild(tmp_path / "copy") == []
    with Workspace.init(tmp_path / "clone") as ws:
        ws.catalogs.clone(tmp_path / "copy", "crm")
    for name in ("store", "copy", "clone"):
        with Workspace.open(tmp_path / name) as ws:
            assert b"".join(ws.catalogs.export("crm")) == data
            assert bytes(Releases(ws._store, CRM).package(0)) == said
            assert ws.care.fsck().clean
            line = data.splitlines(keepends=True)[1]
            kept = without_entries(line, decode_line(line)[1], START)
            assert b'"package":' + said in kept
    found = rescue.History(str(tmp_path / "store" / "catalogs" / f"{CRM}.refcat.zst"), until=0)
    assert (found.problems, found.sum_is_right) == ([], True)


# Publishing.


def publish_package(
    vendor: Vendor, package: Package, *paths: str, label: str | None = None
) -> None:
    tree = [file(path, path.encode()) for path in sorted(paths)]
    with vendor.open() as ws, Deposit(ws._store) as deposit:
        publish(deposit, vendor.about, tree, ReleaseDraft(label=label, package=package))


def test_a_release_of_several_lines_says_it_in_the_first(tmp_path: Path) -> None:
    vendor = Vendor(tmp_path)
    package = Package(version="4.1.0", build=2, summary="Customer records")
    publish_package(vendor, package, *(f"f{n}" for n in range(PART_ENTRIES + 1)))
    vendor.release({"f0": b"new"})
    with vendor.open() as ws:
        data = b"".join(ws.catalogs.export("crm"))
        assert packaging_form.read(Releases(ws._store, CRM).package(0)) == package
        assert Releases(ws._store, CRM).package(1) is NO_PACKAGE
        assert Releases(ws._store, CRM).record(0).package is NO_PACKAGE
        assert ws.care.fsck().clean
    said = [b'"package":' in line for line in data.splitlines()]
    assert said == [False, True, False, False, False]
    rescued = rescue.History(str(vendor.path / "catalogs" / f"{CRM}.refcat.zst"), until=0)
    assert (rescued.problems, rescued.sum_is_right) == ([], True)
    assert Workspace.rebuild(vendor.path) == []
    (tmp_path / "file").write_bytes(data)
    docs = [json.loads(line) for line in data.splitlines()]
    with Workspace.init(tmp_path / "host") as ws:
        docs[2]["package"] = docs[1]["package"]
        refused(ws, b"".join(chained(docs)), 3, "only the first part of a release says 'package'")
        del docs[1]["package"]
        refused(ws, b"".join(chained(docs)), 3, "only the first part of a release says 'package'")
        ws.catalogs.import_(tmp_path / "file", allow_unsigned=True)
        assert b"".join(ws.catalogs.export("crm")) == data


def test_an_index_is_enough_to_make_its_lines_again(tmp_path: Path) -> None:
    vendor = Vendor(tmp_path)
    publish_package(vendor, Package(version="1", build=1, summary="Customer records"), "bin/a")
    vendor.release({"bin/a": b"new"})
    with vendor.open() as ws:
        found = IndexLines(ws._store.entries, Releases(ws._store, CRM).catalog).lines(0, NO_HEAD)
        assert b"".join(line for run in found for line in run) == b"".join(
            ws.catalogs.export("crm")
        )


def test_nothing_is_published_that_no_host_takes(tmp_path: Path) -> None:
    vendor = Vendor(tmp_path)
    script = {"post-install": Script(path="bin/a")}
    with pytest.raises(UsageError, match="'bin/a' is no file of the release"):
        publish_package(vendor, Package(version="1", build=1, scripts=script), "bin/b")
    publish_package(vendor, Package(version="1", build=1, scripts=script), "bin/a", "bin/b")
    # a file that an earlier release brought
    publish_package(vendor, Package(version="2", build=1, scripts=script), "bin/a", "bin/c")
    with pytest.raises(UsageError, match="'bin/a' is no file of the release"):
        publish_package(vendor, Package(version="3", build=1, scripts=script), "bin/c")
    with pytest.raises(UsageError, match=r"at `package.version`"):
        publish_package(vendor, Package(version="3-1", build=1), "bin/c")
    with vendor.open() as ws:
        assert len(Releases(ws._store, CRM).all()) == 2


@pytest.mark.parametrize(
    ("package", "says"),
    [
        (Package(version="1", build=1, order="calver"), "'calver' is none of rpm.*`package.order`"),
        (
            Package(version="1", build=1, scripts={"preinstall": Script(path="bin/a")}),
            "'preinstall' is none of pre-install.*`package.scripts`",
        ),
        (
            Package(version="1", build=1, parameters=(Parameter(name="a", type="int"),)),
            r"'int' is none of string.*`package.parameters\[0\].type`",
        ),
    ],
)
def test_a_vendor_uses_words_that_are_known(tmp_path: Path, package: Package, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        publish_package(Vendor(tmp_path), package, "bin/a")


# Documentation.


def test_the_schema_is_that_of_the_code() -> None:
    found = (ROOT / "docs/formats/package.schema.json").read_bytes()
    assert found == schema.render(), (
        "run: python -m epmstore.cli.schema docs/formats/package.schema.json"
    )


def test_every_key_and_word_is_explained() -> None:
    text = DOC.read_text("utf-8")
    found = {
        key
        for one in vars(structs).values()
        if isinstance(one, type) and issubclass(one, msgspec.Struct)
        for key in one.__struct_encode_fields__
    }
    words = {*structs.ORDERS, *structs.STAGES, *structs.TYPES, *structs.FORMATS}
    assert {word for word in found | words if f"`{word}`" not in text} == set()


def test_the_example_of_the_page_is_a_package(sound: list[Doc], place: Workspace) -> None:
    (block,) = re.findall(r"^```json\n(.*?)^```$", DOC.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    example = json.loads(block)
    package = packaging_form.read(msgspec.Raw(dump(example)))
    packaging_form.check(package, CRM)
    packaging_form.check_words(package)
    assert json.loads(bytes(packaging_form.write(package))) == example
