"""Catalogs as the founding documents drew them."""

import json
from pathlib import Path

import pytest

from epmstore.digest import identify
from epmstore.errors import NotFoundError, UsageError
from epmstore.refcat.converting import unresolved
from epmstore.refcat.founding import read_founding
from epmstore.workspace import Workspace

EXAMPLE = (
    '{"version": 1, "components": {"a5e22878": ["path1", "path2"], "4e4509cd": ["path3", "path4"]}}'
)
SPREAD = """\
>>> json.dumps(
...   {
...     "version": 1,
...     "components":
...     {
...       "a5e22878":
...       [
...         "path1", "path2"
...       ],
...       "4e4509cd":
...       [
...         "path3", "path4"
...       ]
...     }
...   }
... )
"""
SKETCH = '''\
envision_server.refcat:
"""
{
    "version": <incrementing integer starting from 0>
    "components":
    {
        "hexdigest1":
        [
            "first relative path to component1"
            "second relative path to component1"
        ]
        "hexdigest3":
        [
            ...
        ]
    }
    "version": <version++>
    "components":
    {
        "hexdigestN":
        [
            "relative path to componentN"
        ]
    }
}
"""
'''
PATHS = {"a5e22878": ["path1", "path2"], "4e4509cd": ["path3", "path4"]}


def read(text: str) -> list[tuple[int, dict[str, list[str]]]]:
    return [
        (v.version, {d: [*p] for d, p in v.components.items()})
        for v in read_founding(text).versions
    ]


def repairs(text: str) -> list[tuple[int, str]]:
    return [(one.line, one.what) for one in read_founding(text).repairs]


def test_the_example_needs_no_repair() -> None:
    assert read(EXAMPLE) == [(1, PATHS)]
    assert repairs(EXAMPLE) == []


def test_the_same_as_it_was_typed() -> None:
    assert read(SPREAD) == [(1, PATHS)]
    assert (1, "Python's prompts are left out") in repairs(SPREAD)


def test_the_sketch() -> None:
    first = ["first relative path to component1", "second relative path to component1"]
    assert read(SKETCH) == [
        (0, {"hexdigest1": first}),
        (1, {"hexdigestN": ["relative path to componentN"]}),
    ]
    assert repairs(SKETCH) == [
        (1, "'envision_server.refcat' and 1 more words are no part of a catalog"),
        (4, "<incrementing integer starting from 0> is taken for 0"),
        (4, "a comma is missing"),
        (9, "a comma is missing"),
        (11, "a comma is missing"),
        (14, "... is left out"),
        (16, "a comma is missing"),
        (17, "a second `version` in one object: taken for the next"),
        (17, "<version++> is taken for 1"),
        (17, "a comma is missing"),
    ]
    assert [one.digest for one in unresolved(read_founding(SKETCH).versions)] == [
        "hexdigest1",
        "hexdigestN",
    ]


def test_objects_one_after_the_other() -> None:
    two = EXAMPLE + "\n" + EXAMPLE.replace("1", "2", 1).replace("path1", "path9")
    assert [number for number, _ in read(two)] == [1, 2]
    assert [number for number, _ in read(f"[{two}]")] == [1, 2]
    assert repairs(two) == []


@pytest.mark.parametrize(
    ("text", "wanted", "what"),
    [
        ('{"version":0,"components":{"a":["x","x"]}}', {"a": ["x"]}, "later one counts"),
        ('{"version":0,"components":{"a":["x"],"b":["x"]}}', {"b": ["x"]}, "later one counts"),
        ('{"version":0,"components":{"a":["x"],"a":["y"]}}', {"a": ["x", "y"]}, "put together"),
        ('{"version":0,"components":{"a":["bin\\\\x.exe"]}}', {"a": ["bin/x.exe"]}, "backslashes"),
        ('{"version":0,"components":{"a":["bin\\x.exe"]}}', {"a": ["bin/x.exe"]}, "backslashes"),
        ('{"version":0,"components":{"a":{"x":{"mode":"0755"}}}}', {"a": ["x"]}, None),
        ('{"version":0,"components":{"a":"x"}}', {"a": ["x"]}, "without a list"),
        ('{"version":0,"components":{"a":["x",]}}', {"a": ["x"]}, "a comma behind the last one"),
        ('{"version":0,"components":{"a":["x"]', {"a": ["x"]}, "not closed: closed"),
        ('{"components":{"a":["x"]}}', {"a": ["x"]}, "taken for version 0"),
        ("{'version':0,'components':{'a':['x']}}", {"a": ["x"]}, None),
        ('{version:0,"components":{"a":["x"]}}', {"a": ["x"]}, "has no quotes"),
        ('{"version":0,"appID":[1,{"y":2}],"components":{"a":["x"]}}', {"a": ["x"]}, "not known"),
        ('{"version" 0,"components":{"a":["x"]}}', {"a": ["x"]}, "no colon"),
    ],
)
def test_liberties_are_named(text: str, wanted: dict[str, list[str]], what: str | None) -> None:
    assert read(text) == [(0, wanted)]
    found = [said for _, said in repairs(text)]
    assert len(found) == (what is not None)
    assert what is None or what in found[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no version in it"),
        ("hello", "no version in it"),
        ('{"version":0,"components":{"a":["/etc/passwd"]}}', "line 1: '/etc/passwd'"),
        ('{"version":0,\n"components":{"a":["../x"]}}', "line 2: '../x'"),
        ('{"version":0,"components":{"a":["C:\\\\x"]}}', "names a drive"),
        ('{"version":0,"components":{"a":[7]}}', "'7' is no path"),
        ('{"version":"x","components":{}}', "is no version"),
        ('{"version":-1,"components":{}}', "is no version"),
        ('{"version":0,"components":["x"]}', "is due"),
        (EXAMPLE + EXAMPLE, "version 1 comes where 2 is due"),
        ('{"version":0,"x":' + "[" * 99, "nested too deep"),
    ],
)
def test_founding_documents_are_refused_with_the_wrong_line(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read_founding(text)


@pytest.fixture
def builds(tmp_path: Path) -> Path:
    for number in (1, 2):
        (tmp_path / f"builds/{number}").mkdir(parents=True)
        (tmp_path / f"builds/{number}/server.exe").write_bytes(b"server %d" % number)
    (tmp_path / "builds/1/server.pdb").write_bytes(b"pdb")
    return tmp_path / "builds"


def founding(*digests: str) -> str:
    exe1, pdb, exe2 = digests
    return (
        f'{{"version": 0, "components": {{"{exe1}": ["bin\\\\s.exe", "old.exe"],\n'
        f'"{pdb}": ["s.pdb"]}}}}\n'
        f'{{"version": 1, "components": {{"{exe2}": ["bin/s.exe"]}}}}'
    )


@pytest.mark.parametrize("digits", [40, 8])
def test_versions_become_releases(tmp_path: Path, builds: Path, digits: int) -> None:
    datas = (b"server 1", b"pdb", b"server 2")
    text = founding(*(identify(data).digest.hex()[:digits] for data in datas))
    with Workspace.init(tmp_path / "store") as ws:
        ws.vendors.init("crm")
        versions = read_founding(text).versions
        with pytest.raises(NotFoundError, match="3 of 3 components are not at hand"):
            ws.vendors.convert("crm", versions, [])
        with pytest.raises(NotFoundError, match="1 of 3 components"):
            ws.vendors.convert("crm", versions, [builds / "1"])
        assert ws.vendors.releases("crm").all() == []
        assert ws.vendors.convert("crm", versions, [builds / "1", builds / "2"]) == [0, 1]
        trees = [{e.path: e.content for e in ws.vendors.tree("crm", n)} for n in (0, 1)]
        exe1, pdb, exe2 = map(identify, datas)
        assert trees == [
            {"bin/s.exe": exe1, "old.exe": exe1, "s.pdb": pdb},
            {"bin/s.exe": exe2, "old.exe": exe1, "s.pdb": pdb},
        ]
        assert not ws.vendors.releases("crm").missing(ws.vendors.tree("crm", 1))
        assert ws.care.fsck(read_data=1.0).clean


def test_contents_are_kept_for_the_first_version_that_is_new(tmp_path: Path, builds: Path) -> None:
    datas = (b"server 1", b"pdb", b"server 2")
    versions = read_founding(founding(*(identify(d).digest.hex() for d in datas))).versions
    with Workspace.init(tmp_path / "store") as ws:
        ws.vendors.init("crm")
        sources = [builds / "1", builds / "2"]
        assert ws.vendors.convert("crm", versions[:1], sources[:1]) == [0]
        assert ws.vendors.convert("crm", versions, sources) == [1]
        assert not ws.vendors.releases("crm").missing(ws.vendors.tree("crm", 1))
        assert not list((tmp_path / "store/packs").glob(".*"))


def test_letters_beyond_16_bits_come_as_two_halves_and_one_alone_is_none() -> None:
    text = json.dumps({"version": 0, "components": {"0" * 40: ["a/\U0001f4c1"]}})
    assert read_founding(text).versions[0].components == {"0" * 40: ["a/\U0001f4c1"]}
    for half in (text.replace("\\ud83d", ""), text.replace("0" * 40, "\\ud83d")):
        with pytest.raises(UsageError, match="has half of a letter"):
            read_founding(half)
