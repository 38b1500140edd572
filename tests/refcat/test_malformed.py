"""A hundred and more catalogs that are none: each is refused with its line and the reason, and
nothing has changed then.

A case edits the documents of a sound catalog; unless it says otherwise the chain is made anew after
that, so that it is refused for what it is and not for its chain.
"""

import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epmstore import codec
from epmstore.catalog.model import Requirement
from epmstore.digest import identify
from epmstore.errors import BadCatalogError, EpmError
from epmstore.progress import SILENT
from epmstore.refcat.append import ReleaseDraft, publish
from epmstore.refcat.catalogchild import examine
from epmstore.refcat.interchange import check_catalog, export_lines, import_catalog
from epmstore.refcat.releases import Releases
from epmstore.relpath import RelPath
from epmstore.store.deposit import Deposit
from epmstore.store.store import Store
from epmstore.tree import Entry
from epmstore.workspace import Workspace
from tests.kit.vendors import CRM, SERVER, Vendor, file

Doc = dict[str, Any]
A0, A1 = identify(b"a0"), identify(b"a1")
PDB = identify(b"pdb")


def entry(path: str, kind: str = "directory", **more: Any) -> Entry:
    mode = 0o777 if kind == "symlink" else 0o755
    return Entry(path=RelPath(path), kind=kind, mode=mode, **more)  # type: ignore[arg-type]


TREES = [
    [
        entry("bin"),
        file("bin/a", b"a0", 0o755),
        entry("bin/l", "symlink", target="a"),
        file("bin/x.pdb", b"pdb"),
        entry("etc"),
        file("etc/c", b"conf"),
    ],
    [
        entry("bin"),
        file("bin/a", b"a1", 0o755),
        entry("bin/l", "symlink", target="a"),
        file("bin/x.pdb", b"pdb", 0o600),
        entry("etc"),
    ],
]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> list[Doc]:
    """about, release 0, release 1, withdrawal of 0."""
    vendor = Vendor(tmp_path_factory.mktemp("vendor"))
    with vendor.open() as ws, Deposit(ws._store) as deposit:
        for number, tree in enumerate(TREES):
            needs = (Requirement(digest=A0.digest.hex(), of=PDB.digest.hex()),)
            draft = ReleaseDraft(label=f"1.{number}", requires=needs)
            publish(deposit, vendor.about, tree, draft)
        ws.vendors.revoke("crm", release=0, reason="old")
        return [json.loads(line) for line in export_lines(ws._store, Releases(ws._store, CRM))]


def dump(doc: Doc) -> bytes:
    return json.dumps(doc, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def chained(docs: list[Doc]) -> list[bytes]:
    head, lines = "0" * 64, []
    for number, doc in enumerate(docs):
        lines.append(dump({**doc, "seq": number, "prev": head}))
        head = hashlib.sha256(lines[-1]).hexdigest()
    return lines


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    path = tmp_path_factory.mktemp("host") / "store"
    with Workspace.init(path) as ws:
        yield ws


def test_the_sound_one_is_sound(sound: list[Doc], tmp_path: Path) -> None:
    lines = chained(sound)
    with Workspace.init(tmp_path / "store") as ws:
        found = check_catalog(ws._store, b"".join(lines), None, SILENT)
        import_catalog(ws._store, found, "file", SILENT)
        assert [r.label for r in Releases(ws._store, CRM).all()] == ["1.0", "1.1"]
        assert b"".join(export_lines(ws._store, Releases(ws._store, CRM))) == b"".join(lines)
        assert ws.care.fsck().clean


# What is done to the documents, and on which line (from 1) and why that is refused.

Edit = Callable[[list[Doc]], Any]
CASES: dict[str, tuple[Edit, int, str]] = {}


def case(name: str, line: int, why: str) -> Callable[[Edit], Edit]:
    def add(edit: Edit) -> Edit:
        assert name not in CASES
        CASES[name] = (edit, line, why)
        return edit

    return add


def setting(name: str, number: int, keys: str, value: Any, why: str) -> None:
    """One value of document `number` (from 0), by the path of its keys, becomes another."""

    def edit(docs: list[Doc]) -> None:
        *folders, last = keys.split(".")
        here = docs[number]
        for key in folders:
            here = here[key]
        here[last] = value

    case(name, number + 1, why)(edit)


def path_case(name: str, path: str, why: str) -> None:
    """A path of release 0 becomes another."""

    def edit(docs: list[Doc]) -> None:
        paths = docs[1]["components"][A0.digest.hex()]
        paths[path] = paths.pop("bin/a")

    case(f"path: {name}", 2, why)(edit)


for _name, _path, _why in [
    ("empty", "", "not a path below a root"),
    ("absolute", "/etc/passwd", "not a path below a root"),
    ("root", "/", "not a path below a root"),
    ("dot", ".", "not a path below a root"),
    ("dot-dot", "..", "not a path below a root"),
    ("dot-dot inside", "bin/../../x", "not a path below a root"),
    ("dot inside", "bin/./x", "not a path below a root"),
    ("double slash", "bin//x", "not a path below a root"),
    ("slash at the end", "bin/x/", "not a path below a root"),
    ("NUL", "bin/\0x", "no name of anything"),
    ("too long a name", "x" * 256, "more than 255 bytes"),
    ("too long", "x/" * 2048 + "x", "not a path below a root"),
    ("backslash", "bin\\x", "backslash"),
    ("drive and backslash", "C:\\windows", "backslash"),
    ("backslash and x", "bin\\xzz", "backslash"),
    ("line end", "bin/a\nb", "control character"),
    ("carriage return", "bin/a\rb", "control character"),
    ("escape", "bin/\x1b[2J", "control character"),
    ("DEL", "bin/\x7f", "control character"),
    ("C1", "bin/\x85", "control character"),
    ("bidi", "bin/a\u202etxt.exe", "turns text around"),
    ("isolate", "bin/\u2066a", "turns text around"),
    ("not NFC", "bin/e\u0301", "normal form"),
    ("bytes that are not UTF-8", "//bin/%FF", "not UTF-8"),
    ("escaped dot-dot", "//../%2e%2e", "not a path below a root"),
    ("too deep", "d/" * 128 + "x", "folders deep"),
    ("below a file", "etc/c/x", "has paths below it"),
    ("below a link", "bin/l/x", "has paths below it"),
    ("a folder's own", "bin", "occurs twice"),
]:
    path_case(_name, _path, _why)

for _name, _line, _keys, _value, _why in [
    ("digest: short", 1, "components", {"a5e22878": ["x"]}, "40 hexadecimal"),
    ("digest: no hex", 1, "components", {"z" * 40: ["x"]}, "40 hexadecimal"),
    ("digest: SHA-256", 1, "components", {"0" * 64: ["x"]}, "40 hexadecimal"),
    ("digest: no witness", 1, "blobs", {}, "no size and SHA-256"),
    ("witness: short", 1, f"blobs.{A0.digest.hex()}.sha256", "00", "64 hexadecimal"),
    ("size: negative", 1, f"blobs.{A0.digest.hex()}.size", -1, "is no size"),
    ("size: huge", 1, f"blobs.{A0.digest.hex()}.size", 1 << 60, "is no size"),
    ("size: text", 1, f"blobs.{A0.digest.hex()}.size", "9", "Expected `int`"),
    ("size: fraction", 1, f"blobs.{A0.digest.hex()}.size", 1.5, "Expected `int`"),
    ("size: null", 1, f"blobs.{A0.digest.hex()}.size", None, "Expected `int`"),
    ("mode: no octal", 1, "directories.bin", {"mode": "0999"}, "is not a mode"),
    ("mode: beyond", 1, "directories.bin", {"mode": "10755"}, "is not a mode"),
    ("mode: number", 1, "directories.bin", {"mode": 493}, "Expected `str`"),
    ("owner: negative", 1, "directories.bin", {"uid": -1}, "is no owner"),
    ("owner: huge", 1, "directories.bin", {"gid": 1 << 32}, "is no owner"),
    ("owner: name", 1, "directories.bin", {"user": "a:b"}, "no name of an owner"),
    ("owner: empty name", 1, "directories.bin", {"group": ""}, "no name of an owner"),
    ("time: huge", 1, "links.bin/l", {"target": "a", "mtime_ns": 10**9 << 63}, "beyond all times"),
    (
        "time: beyond 64 bits",
        1,
        "links.bin/l",
        {"target": "a", "mtime_ns": 1 << 120},
        "a number of 37 digits",
    ),
    ("link: no target", 1, "links.bin/l", {}, "links have a target"),
    ("link: empty target", 1, "links.bin/l", {"target": ""}, "no path"),
    ("link: NUL", 1, "links.bin/l", {"target": "a\0b"}, "no name of anything"),
    ("link: long", 1, "links.bin/l", {"target": "x" * 5000}, "no path"),
    ("folder with target", 1, "directories.bin", {"target": "x"}, "nothing else has"),
    ("attribute", 1, "directories.bin", {"xattrs": {"user.x": "AA=="}}, "not released"),
    (
        "attribute: no base64",
        1,
        "directories.bin",
        {"xattrs": {"security.x": "?"}},
        "Invalid base64",
    ),
    ("class: unknown", 1, "directories.bin", {"class": "magic"}, "Invalid enum"),
    ("state with content", 1, f"components.{A0.digest.hex()}.bin/a", {"class": "state"}, "state"),
    ("hard link of nothing", 1, f"components.{A0.digest.hex()}.bin/a", {"same_as": "no"}, "link"),
    ("hard link of another", 1, f"components.{A0.digest.hex()}.bin/a", {"same_as": "etc/c"}, "li"),
    ("components: list", 1, "components", [], "Expected `object`"),
    ("components: number", 1, "components", {A0.digest.hex(): 7}, "Expected"),
    ("path: number", 1, "components", {A0.digest.hex(): [7]}, "Expected `str`"),
    ("removed: not there", 2, "removed", ["etc/nothing"], "was not there"),
    ("removed: twice", 2, "removed", ["etc/c", "etc/c"], "occurs twice"),
    ("meta: not there", 2, "meta", {"bin/new": {}}, "no content to keep"),
    ("meta: of a folder", 2, "meta", {"etc": {}}, "no content to keep"),
    ("counts: wrong", 1, "counts.added", 7, "counts"),
    ("counts: negative", 1, "counts.removed", -1, "a count is -1"),
    ("tree sum: wrong", 1, "tree", "0" * 64, "tree sum"),
    ("tree sum: none", 1, "tree", "zz", "is not a tree sum"),
    ("version: gap", 2, "version", 2, "where 1 is due"),
    ("version: again", 2, "version", 0, "where 1 is due"),
    ("version: back", 2, "version", -1, "the release is -1"),
    ("version: huge", 2, "version", 10**30, "the release is 1000"),
    ("version: text", 2, "version", "1", "Expected `int`"),
    ("version: true", 2, "version", True, "Expected `int`"),
    ("first is 1", 1, "version", 1, "where 0 is due"),
    ("part: of another", 2, "part", 2, "part 2 of 1"),
    ("parts: zero", 2, "parts", 0, "part 1 of 0"),
    ("parts: huge", 2, "parts", 10**6, "part 1 of"),
    ("kind: drift", 1, "kind", "drift", "no reason for a release"),
    ("reason: snapshot", 1, "reason", "snapshot", "no reason for a release"),
    ("reason: unknown", 1, "reason", "magic", "Invalid enum"),
    ("a host's key", 1, "safety", 0, "a release has no 'safety'"),
    ("a host's scope", 1, "scope", ["bin"], "a release has no 'scope'"),
    ("unobserved", 1, "unobserved", [["x", "y"]], "a release has no 'unobserved'"),
    ("label: control", 1, "label", "1.0\x1b[2J", "control characters"),
    ("label: long", 1, "label", "x" * 5000, "too long"),
    ("txid: path", 1, "txid", "../../x", "not a transaction id"),
    ("time: none", 1, "time", "yesterday", "is not a time"),
    ("time: missing", 1, "time", None, "Expected `str`"),
    ("another app's release", 2, "app", SERVER, "another application"),
    ("key: none", 1, "key", "UP PER", "cannot name an application"),
    ("uuid: path", 0, "app", "../../../etc/passwd", "is not a UUID"),
    ("uuid: empty", 0, "app", "", "is not a UUID"),
    ("about: key", 0, "key", "../x", "cannot name an application"),
    ("about: name", 0, "name", "a\0b", "control characters"),
    ("about: pattern", 0, "patterns", {"config": ["!"]}, "is not a pattern"),
    ("about: patterns", 0, "patterns", {"config": ["x"] * 1001}, "patterns"),
    ("about: pattern list", 0, "patterns", {"config": "etc/"}, "Expected `array`"),
    ("format: newer", 1, "format", 2, "format 2"),
    ("revoked: not there", 3, "version", 9, "before it is there"),
    ("revoked: nothing", 3, "version", None, "either a release or a component"),
    ("revoked: both", 3, "digest", "0" * 40, "either a release or a component"),
    ("revoked: reason", 3, "reason", "x\x07", "control characters"),
    ("need: nothing", 1, "requires", [{}], "of an application, or of a component"),
    ("need: both", 1, "requires", [{"app": SERVER, "digest": "0" * 40}], "or of a component"),
    ("need: digest", 1, "requires", [{"digest": "short"}], "is not a SHA-1"),
    ("need: no release", 1, "requires", [{"app": SERVER, "min": 4, "max": 3}], "no release"),
    ("need: negative", 1, "requires", [{"app": SERVER, "min": -4}], "a release is -4"),
    ("need: app's component", 1, "requires", [{"app": SERVER, "of": "0" * 40}], "by a component"),
    ("need: itself", 1, "requires", [{"app": CRM}], "circle"),
    ("actor: huge", 1, "actor", {"x": "y" * 5000}, "actor is too long"),
]:
    setting(_name, _line, _keys, _value, _why)


@case("needs: a circle of components", 2, "circle")
def _(docs: list[Doc]) -> None:
    one, two = "1" * 40, "2" * 40
    docs[1]["requires"] = [{"digest": one, "of": two}, {"digest": two, "of": one}]


@case("two contents of one SHA-1", 3, "two contents have the SHA-1")
def _(docs: list[Doc]) -> None:
    paths = docs[2]["components"].pop(A1.digest.hex())
    docs[2]["components"] = {A0.digest.hex(): paths}
    docs[2]["blobs"] = {A0.digest.hex(): {"size": 2, "sha256": "1" * 64}}


@case("a path in two sections", 2, "occurs twice")
def _(docs: list[Doc]) -> None:
    docs[1]["directories"]["bin/a"] = {}


@case("a file becomes a folder's place", 3, "no directory")
def _(docs: list[Doc]) -> None:
    del docs[1]["directories"]["bin"]
    docs[1]["directories"]["b"] = docs[1]["directories"].pop("etc")
    docs[:] = mend(docs, lines_of_link="bin")


def mend(docs: list[Doc], lines_of_link: str) -> list[Doc]:
    """Release 0 without the folder `bin`, release 1 makes a link of that name."""
    from epmstore.tree import tree_sum  # noqa: PLC0415

    first = [e for e in TREES[0] if e.path not in ("bin", "etc")] + [entry("b")]
    second = [*first, entry(lines_of_link, "symlink", target="b")]
    docs[1]["tree"], docs[1]["counts"]["added"] = f"{tree_sum(first):064x}", len(first)
    keep = {key: docs[2][key] for key in docs[2] if key not in ("meta", "removed", "blobs")}
    keep |= {"components": {}, "links": {lines_of_link: {"target": "b"}}, "defaults": None}
    keep |= {
        "tree": f"{tree_sum(second):064x}",
        "counts": {"added": 1, "modified": 0, "removed": 0},
    }
    return [docs[0], docs[1], keep]


@case("no about", 1, "begins with what it is about")
def _(docs: list[Doc]) -> None:
    del docs[0]


@case("about of another", 5, "another application")
def _(docs: list[Doc]) -> None:
    docs.append({**docs[0], "app": SERVER})


@case("a host's record", 5, "no such record")
def _(docs: list[Doc]) -> None:
    docs.append({"type": "forget", "time": docs[0]["time"], "versions": [0]})


@case("a host's pin", 5, "no such record")
def _(docs: list[Doc]) -> None:
    docs.append({"type": "pin", "time": docs[0]["time"], "version": 0, "pinned": True})


@case("incomplete release", 3, "ends at 1 of 2")
def _(docs: list[Doc]) -> None:
    del docs[3]
    docs[2]["parts"] = 2


@case("another record within a release", 4, "not complete before it")
def _(docs: list[Doc]) -> None:
    docs[2]["parts"] = 2


@case("type is missing", 2, "missing required field")
def _(docs: list[Doc]) -> None:
    del docs[1]["type"]


@case("type is a number", 2, "Expected `str`")
def _(docs: list[Doc]) -> None:
    docs[1]["type"] = 7


# What is done to the lines as bytes; the chain is not mended.

RAW: dict[str, tuple[Callable[[list[bytes]], bytes], int, str]] = {
    "nothing": (lambda lines: b"", 0, "no line in it"),
    "white space": (lambda lines: b"\n\n", 1, "not a catalog line|truncated|is not JSON"),
    "not JSON": (lambda lines: b"hello\n", 1, "invalid character"),
    "an array": (lambda lines: b"[]\n", 1, "Expected `object`"),
    "HTML": (lambda lines: b"<html>404</html>\n", 1, "invalid character"),
    "cut off": (lambda lines: b"".join(lines)[:-9], 4, "cut off"),
    "cut in the middle": (lambda lines: lines[0] + lines[1][:100], 2, "cut off"),
    "an edited line": (
        lambda lines: lines[0].replace(b'"key":"crm"', b'"key":"crn"') + b"".join(lines[1:]),
        2,
        "does not follow the line before",
    ),
    "an edited label": (
        lambda lines: b"".join(lines).replace(b'"label":"1.0"', b'"label":"1.9"'),
        3,
        "does not follow the line before",
    ),
    "a line left out": (lambda lines: lines[0] + lines[2], 2, "where 1 is due"),
    "lines swapped": (lambda lines: lines[0] + lines[2] + lines[1], 2, "where 1 is due"),
    "a line twice": (lambda lines: lines[0] + lines[1] * 2, 3, "where 2 is due"),
    "wrong chain": (
        lambda lines: lines[0] + lines[1].replace(b'"prev":"', b'"prev":"0', 1),
        2,
        "does not follow",
    ),
    "first has a predecessor": (
        lambda lines: lines[0].replace(b"0" * 64, b"1" * 64),
        1,
        "does not follow",
    ),
    "not UTF-8": (lambda lines: lines[0].replace(b'"crm"', b'"\xff\xfe"'), 1, "utf-8"),
    "a surrogate": (lambda lines: lines[0].replace(b'"crm"', b'"\\ud800"'), 1, "hex escape"),
    "a raw control": (
        lambda lines: lines[0].replace(b'"crm"', b'"c\x01m"'),
        1,
        "invalid character",
    ),
    "key twice": (
        lambda lines: lines[0].replace(b'"key":"crm"', b'"key":"crm","key":"crm"'),
        1,
        "'key' is there twice",
    ),
    "path twice": (
        lambda lines: (
            lines[0] + lines[1].replace(b'"bin/x.pdb":{', b'"bin/x.pdb":{},"bin/x.pdb":{')
        ),
        2,
        "'bin/x.pdb' is there twice",
    ),
    "deep nesting": (
        lambda lines: lines[0].replace(b'"key"', b'"x":' + b"[" * 99 + b"]" * 99 + b',"key"'),
        1,
        "nested more than 16 deep",
    ),
    "abysmal nesting": (
        lambda lines: lines[0].replace(b'"key"', b'"x":' + b"[" * 10**6 + b"]" * 10**6 + b',"key"'),
        1,
        "recursion|nested|lists",
    ),
    "huge number": (
        lambda lines: lines[0].replace(b'"key"', b'"x":' + b"9" * 5000 + b',"key"'),
        1,
        "number",
    ),
    "NaN": (lambda lines: lines[0].replace(b'"key"', b'"x":NaN,"key"'), 1, "invalid character"),
    "a comment": (lambda lines: lines[0].replace(b"{", b"{ // x\n", 1), 1, "keys must be strings"),
    "a trailing comma": (lambda lines: lines[0].replace(b"}\n", b",}\n"), 1, "trailing comma"),
    "two objects in a line": (lambda lines: lines[0][:-1] + lines[1], 1, "trailing characters"),
    "two chains": (lambda lines: b"".join(lines) * 2, 5, "where 4 is due"),
    "BOM": (lambda lines: b"\xef\xbb\xbf" + lines[0], 1, "invalid character"),
    "junk compressed": (lambda lines: codec.compress(b"junk\n"), 1, "invalid character"),
    "not even compressed": (lambda lines: b"\x00\x01\x02junk", 1, "cut off"),
    "cut compressed": (lambda lines: codec.compress(b"".join(lines))[:-20], 1, "ends too early"),
    "flipped compressed": (lambda lines: flipped(codec.compress(b"".join(lines))), 1, "damaged"),
    "the founding documents' form": (
        lambda lines: b'{"version": 1, "components": {"a5e22878": ["path1", "path2"]}}\n',
        1,
        "missing required field",
    ),
}


def flipped(data: bytes) -> bytes:
    changed = bytearray(data)
    changed[len(data) // 2] ^= 0x10
    return bytes(changed)


def test_there_are_more_than_a_hundred() -> None:
    assert len(CASES) + len(RAW) > 100


def refused(store: Store, data: bytes, line: int, why: str) -> None:
    with pytest.raises(BadCatalogError, match=why) as caught:
        check_catalog(store, data, None, SILENT, examine=examine)
    assert caught.value.data["line"] == line, caught.value
    assert f"line {line}: " in caught.value.message or line == 0 or caught.value.data["line"]
    assert store.vendor_catalogs() == []


@pytest.mark.parametrize("name", CASES)
def test_edited_documents_are_refused(sound: list[Doc], place: Workspace, name: str) -> None:
    edit, line, why = CASES[name]
    docs = copy.deepcopy(sound)
    edit(docs)
    if name == "format: newer":
        with pytest.raises(Exception, match=why):
            check_catalog(place._store, b"".join(chained(docs)), None, SILENT, examine=examine)
        return
    refused(place._store, b"".join(chained(docs)), line, why)


@pytest.mark.parametrize("name", RAW)
def test_edited_bytes_are_refused(sound: list[Doc], place: Workspace, name: str) -> None:
    edit, line, why = RAW[name]
    data = edit(chained(sound))
    assert data != b"".join(chained(sound))
    refused(place._store, data, line, why)


def test_keys_of_a_newer_release_are_kept(sound: list[Doc], tmp_path: Path) -> None:
    docs = copy.deepcopy(sound)
    docs[1]["novelty"] = {"a": [1, 2, {"b": None}]}
    docs.insert(3, {"type": "novel", "time": docs[0]["time"], "what": 7})
    data = b"".join(chained(docs))
    with Workspace.init(tmp_path / "store") as ws:
        import_catalog(
            ws._store, check_catalog(ws._store, data, None, SILENT, examine=examine), "f", SILENT
        )
        found = Releases(ws._store, CRM)
        assert b"".join(export_lines(ws._store, found)) == data
        lines = chained(docs)
        assert [r.digest for r in found.all()] == [
            hashlib.sha256(lines[1]).hexdigest(),
            hashlib.sha256(lines[2]).hexdigest(),
        ]
        assert ws.care.fsck().clean


def test_other_spellings_of_a_sound_catalog_are_sound(sound: list[Doc], place: Workspace) -> None:
    head, lines = "0" * 64, []
    for number, doc in enumerate(sound):
        spelled = json.dumps({**doc, "seq": number, "prev": head}, sort_keys=True).encode() + b"\n"
        head = hashlib.sha256(spelled).hexdigest()
        lines.append(spelled)
    found = check_catalog(place._store, b"".join(lines), None, SILENT, examine=examine)
    assert [one.label for one in found.releases] == ["1.0", "1.1"]


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_whatever_is_changed_it_is_refused_or_another_sound_catalog(
    sound: list[Doc], place: Workspace, data: st.DataObject
) -> None:
    lines = chained(sound)
    whole = bytearray(b"".join(lines))
    for _ in range(data.draw(st.integers(1, 3))):
        if not whole:
            break  # cut to one byte, and that one dropped
        at = data.draw(st.integers(0, len(whole) - 1))
        what = data.draw(st.sampled_from(["flip", "drop", "insert", "cut"]))
        if what == "flip":
            whole[at] ^= data.draw(st.integers(1, 255))
        elif what == "drop":
            del whole[at : at + data.draw(st.integers(1, 9))]
        elif what == "insert":
            whole[at:at] = data.draw(st.binary(min_size=1, max_size=4))
        else:
            del whole[max(at, 1) :]
    try:
        found = check_catalog(place._store, bytes(whole), None, SILENT, examine=examine)
    except EpmError as error:
        assert error.message and error.exit_code in (6, 10)
        return
    # nothing but the last line can be another one without the chain saying so
    kept = bytes(whole).splitlines(keepends=True)
    assert kept[:-1] == lines[: len(kept) - 1]
    assert len(found.lines) == len(kept)
