"""Small files from elsewhere that come to very much: memory, computing, paths. Each is refused in
one line, and takes no more than a fixed amount, here and in the process that reads it.
"""

import bz2
import contextlib
import gzip
import hashlib
import io
import json
import lzma
import os
import resource
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
import zstandard

from epmstore.cli.main import main as program
from epmstore.digest import identify
from epmstore.errors import EpmError
from epmstore.progress import SILENT
from epmstore.refcat.rehearsal import rehearse
from epmstore.refcat.seekers import seeker_at
from epmstore.store.seeking import fetch_contents
from epmstore.workspace import Workspace
from epmstore.workspace.vendors import Source
from tests.kit.program import amount

ALL_OF_THEM = amount("EPM_TEST_BOMBS", 0)
LONG = {"zip_that_swells", "very_many", "lines", "gz", "words-founding", "lists-founding",
        "deep-founding", "marks-founding"}  # fmt: skip
"""They take many seconds each before they are refused, and are tried with EPM_TEST_BOMBS=1."""
MOST = 500 << 20
BLOCK = 16 << 20
GIB = 1 << 30
Pack = Callable[[bytes], bytes]
PACKED: dict[str, Pack] = {
    "zst": lambda data: zstandard.compress(data, 3),
    "gz": lambda data: gzip.compress(data, 6, mtime=0),
    "bz2": lambda data: bz2.compress(data),
    "xz": lambda data: lzma.compress(data, preset=1),
}
"""Each of these may be put one behind the other."""


@pytest.fixture(autouse=True)
def only_short_ones(request: pytest.FixtureRequest) -> None:
    names = request.node.name.partition("[")[2].rstrip("]")
    if names in LONG and not ALL_OF_THEM:
        pytest.skip("EPM_TEST_BOMBS=1 tries it")


@pytest.fixture(scope="module")
def blocks() -> dict[tuple[str, bytes], bytes]:
    return {(n, c): pack(c * BLOCK) for n, pack in PACKED.items() for c in (b"a", b"\0")}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.init(tmp_path / "store") as workspace:
        workspace.vendors.init("crm")
        yield workspace


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    """This process gets no more; what it starts has limits of its own (test_limited.py)."""
    old = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MOST, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, old)


def kept(shop: Workspace) -> list[Path]:
    return sorted(p for name in ("packs", "catalogs") for p in (shop.path / name).rglob("*"))


def refused(shop: Workspace, path: Path) -> str:
    """An archive is, by both ways to read it; and nothing of it stays."""
    before = kept(shop)
    with little_memory(), pytest.raises(EpmError) as caught:
        shop.vendors.add("crm", Source(paths=(path,)))
    assert "\n" not in caught.value.message
    assert caught.value.exit_code in (2, 4, 6, 7), caught.value
    assert kept(shop) == before
    return caught.value.message


def header(name: str, kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


HEADERS = {"long name": b"L", "long link": b"K", "pax": b"x", "pax for all": b"g", "Solaris": b"X"}


FORMS = [*((kind, "zst") for kind in HEADERS), *(("pax", form) for form in ("gz", "bz2", "xz"))]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "form"), FORMS)
def test_headers_without_end(
    shop: Workspace, tmp_path: Path, blocks: dict[tuple[str, bytes], bytes], kind: str, form: str
) -> None:
    start = header("././@LongLink", HEADERS[kind], 4 * GIB)
    whole = PACKED[form](start) + blocks[form, b"a"] * (4 * GIB // BLOCK)
    path = tmp_path / f"x.tar.{form}"
    path.write_bytes(whole + PACKED[form](header("x", b"0", 0) + bytes(1024)))
    assert path.stat().st_size < 6 << 20
    assert "no name is so long" in refused(shop, path)


@pytest.mark.slow
@pytest.mark.parametrize("form", PACKED)
def test_a_content_that_says_how_large_it_is(
    shop: Workspace, tmp_path: Path, blocks: dict[tuple[str, bytes], bytes], form: str
) -> None:
    path = tmp_path / f"x.tar.{form}"
    path.write_bytes(PACKED[form](header("big", b"0", 64 * GIB)) + blocks[form, b"\0"])
    assert "more than an archive of its size" in refused(shop, path)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["zst", "gz"])
def test_very_many_contents(
    shop: Workspace, tmp_path: Path, blocks: dict[tuple[str, bytes], bytes], form: str
) -> None:
    path = tmp_path / f"x.tar.{form}"
    one = [
        PACKED[form](header(f"f{n}", b"0", 2 * BLOCK)) + blocks[form, b"\0"] * 2 for n in range(40)
    ]
    path.write_bytes(b"".join(one))
    assert "more than an archive of its size" in refused(shop, path)


def sparse(tmp_path: Path) -> bytes:
    info = tarfile.TarInfo("hole")
    info.type = b"S"
    raw = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    raw[386:398] = b"0" * 11 + b" "
    raw[398:410] = b"0" * 11 + b" "
    raw[482] = 0
    raw[483:495] = b"\x80" + (1 << 50).to_bytes(11, "big")
    return checked(raw) + bytes(1024)


def checked(raw: bytearray) -> bytes:
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw[:512])
    return bytes(raw)


def pax(fields: dict[str, str]) -> bytes:
    info = tarfile.TarInfo("f")
    info.pax_headers = fields
    return info.tobuf(tarfile.PAX_FORMAT) + bytes(1024)


def sparse_by_pax(tmp_path: Path) -> bytes:
    return pax(
        {
            "GNU.sparse.major": "0",
            "GNU.sparse.minor": "1",
            "GNU.sparse.name": "f",
            "GNU.sparse.size": str(1 << 60),
            "GNU.sparse.map": "0,0",
        }
    )


def large_by_pax(tmp_path: Path) -> bytes:
    return pax({"size": str(1 << 70)})


def number_by_pax(tmp_path: Path) -> bytes:
    return pax({"mtime": "1" * 4000})


def time_without_end(tmp_path: Path) -> bytes:
    return pax({"mtime": "inf"})


def chain_of_names(tmp_path: Path) -> bytes:
    one = header("././@LongLink", b"L", 512) + b"a" * 511 + b"\0"
    return zstandard.compress(one * 100_000)


def very_many(tmp_path: Path) -> bytes:
    raw = bytearray(header("000000", b"0", 0))
    headers = []
    for number in range(45_000):
        raw[:6] = b"%06d" % number
        headers.append(checked(raw))
    return zstandard.compress(b"".join(headers))


def the_same_again(tmp_path: Path) -> bytes:
    return zstandard.compress(header("one", b"0", 0) * 500_000)


def wide_window(tmp_path: Path) -> bytes:
    params = zstandard.ZstdCompressionParameters(window_log=30, write_content_size=False)
    made = zstandard.ZstdCompressor(compression_params=params).compressobj()
    return made.compress(header("x", b"0", GIB) + bytes(BLOCK * 8)) + made.flush()


def wide_dictionary(tmp_path: Path) -> bytes:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]
    data = bytearray(lzma.compress(header("x", b"0", 0), filters=filters))
    at = data.index(b"\x21\x01")
    data[at + 2] = 40
    start = data[12:]
    length = (start[0] + 1) * 4
    block = bytes(start[: length - 4])
    data[12 + length - 4 : 12 + length] = struct.pack("<I", zlib.crc32(block))
    return bytes(data)


def zip_of(*contents: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        for name, data in contents:
            made.writestr(name, data)
    return file.getvalue()


def zip_that_swells(tmp_path: Path) -> bytes:
    return zip_of(*[(f"f{n}", bytes(BLOCK)) for n in range(42)])


def zip_that_lies(tmp_path: Path) -> bytes:
    data = bytearray(zip_of(("f", bytes(BLOCK * 8))))
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 10)
    return bytes(data)


def zip_that_boasts(tmp_path: Path) -> bytes:
    data = bytearray(zip_of(("f", b"x")))
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 0xFFFFFFF0)
    return bytes(data)


def zip_of_one_content(tmp_path: Path) -> bytes:
    """Very many entries for the same bytes."""
    data = zip_of(("f", bytes(BLOCK)))
    at, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry = bytearray(data[at:end])
    entries = []
    for number in range(20_000):
        name = b"%06d" % number
        entry[28:30] = struct.pack("<H", len(name))
        entries.append(bytes(entry[:46]) + name)
    directory = b"".join(entries)
    last = bytearray(data[end:])
    last[8:12] = struct.pack("<HH", 20_000, 20_000)
    last[12:20] = struct.pack("<II", len(directory), at)
    return data[:at] + directory + bytes(last)


def zip_of_a_long_link(tmp_path: Path) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        info = zipfile.ZipInfo("l")
        info.create_system = 3
        info.external_attr = 0o120777 << 16
        info.compress_type = zipfile.ZIP_DEFLATED
        made.writestr(info, bytes(BLOCK * 4))
    return file.getvalue()


def ar(*parts: tuple[str, bytes, int | None]) -> bytes:
    made = [b"!<arch>\n"]
    for name, data, size in parts:
        length = len(data) if size is None else size
        made += [f"{name:<16}{0:<12}{0:<6}{0:<6}{644:<8}{length:<10}`\n".encode(), data]
        made += [b"\n"] if len(data) % 2 else []
    return b"".join(made)


def deb(data: bytes, control: bytes | None = None) -> bytes:
    said = control if control is not None else control_of(b"Package: p\nVersion: 1\n")
    return ar(("debian-binary", b"2.0\n", None), ("control.tar", said, None),
              ("data.tar.zst", data, None))  # fmt: skip


def control_of(text: bytes) -> bytes:
    return header("./control", b"0", len(text)) + text + bytes(-len(text) % 512 + 1024)


def deb_of_names(tmp_path: Path) -> bytes:
    block = zstandard.compress(b"a" * BLOCK)
    return deb(zstandard.compress(header("@", b"L", 4 * GIB)) + block * (4 * GIB // BLOCK))


def deb_of_control(tmp_path: Path) -> bytes:
    block = zstandard.compress(b"a" * BLOCK)
    control = zstandard.compress(header("@", b"x", 4 * GIB)) + block * (4 * GIB // BLOCK)
    return deb(b"", control)


def deb_that_boasts(tmp_path: Path) -> bytes:
    return ar(("data.tar", header("x", b"0", 1 << 33), 9_999_999_999))


def deb_of_many_parts(tmp_path: Path) -> bytes:
    return ar(*[("x", b"", None)] * 100_000)


def nested(tmp_path: Path) -> bytes:
    """Compressed ten times over: what is in it is no archive."""
    data = bytes(BLOCK)
    for _ in range(10):
        data = zstandard.compress(data)
    return data


BOMBS: list[Callable[[Path], bytes]] = [
    sparse, sparse_by_pax, large_by_pax, number_by_pax, time_without_end, chain_of_names, very_many,
    the_same_again, wide_window, wide_dictionary, zip_that_swells, zip_that_lies, zip_that_boasts,
    zip_of_one_content, zip_of_a_long_link, deb_of_names, deb_of_control, deb_that_boasts,
    deb_of_many_parts, nested,
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.__name__)
def test_archives(shop: Workspace, tmp_path: Path, bomb: Callable[[Path], bytes]) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(bomb(tmp_path))
    assert path.stat().st_size < 6 << 20
    refused(shop, path)


@pytest.mark.slow
def test_searching_an_archive_stays_within_limits(shop: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(deb_of_names(tmp_path))
    with little_memory(), pytest.raises(EpmError):
        fetch_contents(shop._store, [identify(b"sought")], seeker_at(path), SILENT)


ABOUT = {
    "type": "about", "format": 1, "time": "2026-10-03T14:02:03.123Z",
    "app": "0b9d3b0e-6d3c-4f0e-9c51-0d6a3f9c3f1a", "key": "crm", "name": "x", "patterns": {},
}  # fmt: skip


def catalog(*bodies: str) -> bytes:
    """Lines that follow each other, after the first; each is the rest of an object."""
    head, lines = "0" * 64, []
    rest = json.dumps(ABOUT)[1:]
    for number, body in enumerate((rest, *bodies)):
        line = f'{{"seq":{number},"prev":"{head}",{body}\n'.encode()
        head = hashlib.sha256(line).hexdigest()
        lines.append(line)
    return b"".join(lines)


def novel(value: str) -> str:
    return f'"type":"zzz","format":1,"time":"2026-10-03T14:02:03.123Z","x":{value}}}'


CATALOGS: dict[str, Callable[[], bytes]] = {
    "lists": lambda: catalog(novel("[" + "[]," * 10_000_000 + "[]]")),
    "objects": lambda: catalog(novel("[" + '{"a":1},' * 3_000_000 + "1]")),
    "numbers": lambda: catalog(novel("[" + "1," * 15_000_000 + "1]")),
    "deep": lambda: catalog(novel("[" * 30_000_000 + "]" * 30_000_000)),
    "digits": lambda: catalog(novel("1" * 20_000_000)),
    "keys": lambda: catalog(novel("{" + ",".join(f'"{n}":0' for n in range(300_000)) + "}")),
    "a long line": lambda: b'{"' + b"a" * (80 << 20),
    "lines": lambda: catalog(*[novel(f'"{"a" * (60 << 20)}"')] * 3),
    "patterns": lambda: catalog().replace(
        b'"patterns": {}', b'"patterns": {"state": [' + b'"*a",' * 5_000_000 + b'"*a"]}'
    ),
    "a pattern": lambda: catalog().replace(
        b'"patterns": {}', b'"patterns": {"state": ["' + b"*a" * 15_000_000 + b'"]}'
    ),
    "nothing": lambda: b"\n" * (100 << 20),
    "no end": lambda: b"x" * (60 << 20) + b"\n",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", CATALOGS)
def test_catalogs(shop: Workspace, tmp_path: Path, name: str) -> None:
    path = tmp_path / "bomb.refcat.zst"
    path.write_bytes(zstandard.compress(CATALOGS[name](), 3))
    assert path.stat().st_size < 6 << 20
    with little_memory():
        try:
            shop.catalogs.check(path)
        except EpmError as error:
            assert "\n" not in error.message
        else:
            assert name in ("keys", "digits"), "what is unknown, and fits, is kept"
    assert len(shop._store.vendor_catalogs()) == 1


@pytest.mark.slow
def test_strings_are_no_trouble(shop: Workspace, tmp_path: Path) -> None:
    """What is unknown is kept as it is, and looked at without a stack that grows with it."""
    other_store = tmp_path / "other"
    path = tmp_path / "large.refcat.zst"
    path.write_bytes(zstandard.compress(catalog(novel(f'"{"a" * (30 << 20)}"')), 3))
    with Workspace.init(other_store) as other:
        assert other.catalogs.import_(path).lines == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "signature",
    [b"", b"-----BEGIN PGP SIGNATURE-----\n\n" + b"A" * 900_000, os.urandom(1 << 20)],
    ids=["none", "armor", "noise"],
)
def test_signatures(shop: Workspace, tmp_path: Path, signature: bytes) -> None:
    path = tmp_path / "c.refcat"
    path.write_bytes(catalog())
    path.with_name("c.refcat.asc").write_bytes(signature)
    with little_memory(), pytest.raises(EpmError) as caught:
        shop.catalogs.import_(path)
    assert caught.value.exit_code == 8


DOCUMENTS = {
    "lists": b"[" + b"[]," * 2_500_000 + b"[]]",
    "deep": b"[" * 2_000_000,
    "open": b'{"version": 1, "components": {' * 200_000,
    "marks": b"{" * 4_000_000,
    "words": b'"a"' * 2_000_000,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["report", "founding"])
@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents(kind: Literal["report", "founding"], name: str) -> None:
    """What comes to much more than its size is refused; else it could be read, and was."""
    with little_memory():
        try:
            rehearse(kind, DOCUMENTS[name], "it")
        except EpmError as error:
            assert "\n" not in error.message
        else:
            assert (kind, name) == ("report", "lists") and len(DOCUMENTS[name]) > 5 << 20


@pytest.mark.parametrize("words", ["report read", "catalog convert", "catalog verify"])
def test_a_file_that_is_too_large_takes_no_memory(tmp_path: Path, words: str) -> None:
    store, hole = str(tmp_path / "store"), tmp_path / "hole"
    Workspace.init(store).close()
    with hole.open("wb") as file:
        file.truncate(40 << 30)
    with little_memory():
        assert program([*words.split(), str(hole), "--store", store]) in (2, 6)
