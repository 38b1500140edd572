"""The catalog that docs/formats/catalog.md shows is one, byte for byte."""

import re
from pathlib import Path

import msgspec
import pytest

from epmstore import codec, seal
from epmstore.catalog import model
from epmstore.catalog.appcat import App
from epmstore.catalog.fold import check_sum, fold
from epmstore.catalog.format import TYPES, decode_line, encode_line
from epmstore.catalog.history import CatalogFile
from epmstore.catalog.model import VersionPart
from epmstore.catalog.sections import Sections
from epmstore.catalog.state import reduce
from epmstore.digest import identify
from epmstore.relpath import RelPath
from epmstore.tree import Entry

DOC = Path(__file__).resolve().parents[2] / "docs" / "formats" / "catalog.md"


@pytest.fixture
def lines() -> list[bytes]:
    blocks = re.findall(r"^```json\n(.*?)^```$", DOC.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [msgspec.json.format(block.encode(), indent=-1) + b"\n" for block in blocks]


@pytest.fixture
def catalog(lines: list[bytes], tmp_path: Path) -> CatalogFile:
    found = CatalogFile(tmp_path / "crm.syscat.zst")
    with found.path.open("wb") as stream:
        for line in lines:
            body = codec.compress(line)
            stream.write(seal.seal(seal.RecordKind.LINE, body, number=len(line)) + body)
    return found


def test_the_example_is_a_catalog(catalog: CatalogFile) -> None:
    state = reduce(found.record for found in catalog.read())
    assert [info.version for info in state.versions] == [0, 1]
    assert [info.restorable for info in state.versions] == [False, True]
    assert state.tags == {"before-patch": 1}


def test_it_would_be_written_as_it_is_shown(catalog: CatalogFile, lines: list[bytes]) -> None:
    for found, line in zip(catalog.read(), lines, strict=True):
        assert not isinstance(found.record, model.UnknownRecord)
        assert encode_line(found.record, found.before) == line


def test_its_trees_have_the_sums_that_it_shows(catalog: CatalogFile) -> None:
    records = [found.record for found in catalog.read()]
    headers = [record.header for record in records if isinstance(record, VersionPart)]
    for header in headers:
        check_sum(fold(records, header.version), header)


def test_vector_reads_as_documented(catalog: CatalogFile) -> None:
    records = [found.record for found in catalog.read()]
    before, after = fold(records, 0), fold(records, 1)
    program = before[RelPath("bin/crm")]
    assert program.content == identify(b"program 1\n")
    assert (program.mode, after[program.path].mode) == (0o755, 0o4755)
    assert before[RelPath("bin/crmctl")].same_as == "bin/crm"
    assert set(before) - set(after) == {"caf\udce9.txt"}
    assert after[RelPath("etc/crm.conf")].content == identify(b"port 81\n")
    assert before[RelPath("log/crm.log")] == Entry(
        path=RelPath("log/crm.log"),
        kind="file",
        mode=0o644,
        uid=990,
        gid=990,
        user="crm",
        group="crm",
        path_class="state",
    )


def test_the_founding_form_is_read() -> None:
    digest, info = identify(b"x").digest.hex(), identify(b"x")
    line = {
        "seq": 0, "prev": model.NO_HEAD, "type": "version", "time": "", "txid": "", "app": "",
        "key": "", "kind": "change", "reason": "snapshot", "tree": "",
        "version": 1, "components": {digest: ["path1", "path2"]},
        "blobs": {digest: {"size": 1, "sha256": info.sha256.hex()}},
    }  # fmt: skip
    _, record = decode_line(msgspec.json.encode(line))
    assert isinstance(record, VersionPart)
    assert record.entries == [
        Entry(path=RelPath(path), kind="file", mode=0o644, content=info)
        for path in ("path1", "path2")
    ]


def test_every_key_is_explained() -> None:
    text = DOC.read_text("utf-8")
    structs = [*TYPES.values(), model.VersionRecord, model.Envelope, Sections, App]
    keys = {name for struct in structs for name in struct.__struct_encode_fields__}
    unexplained = {key for key in keys if f"`{key}`" not in text}
    assert unexplained == {"other"}
    assert {name for name in TYPES if f"`{name}`" not in text} == set()
