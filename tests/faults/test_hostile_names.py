"""Names and trees that lead elsewhere: refused wherever they come from, before anything is written;
and no real name is refused.

Cases are a matrix of ways to write a name, sections of a catalog line, and what lies above; each
becomes a catalog that is sealed, chained and summed as it should be, in a store that opens.
"""

import itertools
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epmstore import codec, seal
from epmstore.catalog.format import decode_line
from epmstore.catalog.model import VersionPart
from epmstore.digest import identify
from epmstore.errors import DamagedError, EpmError, InvalidNameError
from epmstore.relpath import from_json, parse_relpath, to_json
from epmstore.seal import RecordKind
from epmstore.tree import tree_sum
from epmstore.workspace import Workspace
from tests.kit.program import amount, picture

LISTS = Path("/var/lib/dpkg/info")
EXAMPLES = amount("EPM_TEST_NAMES", 100)
CONTENT = b"planted"
INFO = identify(CONTENT)

NAMES = [
    "", ".", "..", "/", "//", "///", "/etc/cron.d/x", "../x", "a/../x", "a/../../x", "a/..", "./a",
    "a/.", "a/./b", "a//b", "a/", "/a", "a\0b", "\0", "..\0", "../" * 40 + "tmp/x", "n" * 256,
    "a/" + "n" * 256, "/".join(["d" * 200] * 21), "//%2e%2e/x", "//..%2fx", "//%2e%2e%2fx",
    "//a/%2e%2e/x", "//%00", "//a%00b", "//%2fetc", "///etc", "//", "//.", "//%2e", "//a//b",
    "//" + "%6e" * 256, "//a/", "//./a", "//%2e/a", "//a%2f%2fb", "//%ff/..", "//%ff/../../x",
]  # fmt: skip
SECTIONS = ("components", "links", "directories", "states", "meta", "removed", "same_as")


def line_with(section: str, name: str) -> dict[str, Any]:
    """A line in which one name is in one section."""
    said: dict[str, Any] = {"blobs": {}}
    if section in ("components", "same_as"):
        said["blobs"] = {INFO.digest.hex(): {"size": INFO.size, "sha256": INFO.sha256.hex()}}
        paths = {name: {}} if section == "components" else {"ok": {"same_as": name}}
        said["components"] = {INFO.digest.hex(): paths}
    elif section == "removed":
        said["removed"] = [name]
    elif section == "links":
        said["links"] = {name: {"target": "x"}}
    else:
        said[section] = {name: {}}
    return said


def encoded(said: dict[str, Any], seq: int = 0, prev: str = "0" * 64) -> bytes:
    head = {
        "seq": seq, "prev": prev, "type": "version", "format": 1, "time": "2026-01-01T00:00:00Z",
        "version": seq, "app": "u", "key": "crm", "txid": f"{seq:032x}", "kind": "change",
        "reason": "snapshot", "tree": "0" * 64,
    }  # fmt: skip
    return json.dumps({**head, **said}).encode() + b"\n"


@pytest.mark.parametrize("section", SECTIONS)
def test_names_that_lead_out_are_refused(section: str) -> None:
    assert len(NAMES) * len(SECTIONS) > 280
    accepted = []
    for name in NAMES:
        try:
            decode_line(encoded(line_with(section, name)))
        except DamagedError:
            continue
        accepted.append(name)
    assert accepted == []


@settings(max_examples=EXAMPLES)
@given(st.text(st.sampled_from("./%2eEfF\0ab"), max_size=12), st.sampled_from(SECTIONS))
def test_accepted_names_stay_inside_the_root(name: str, section: str) -> None:
    """Whatever a name is, it is refused, or every part of it is the name of something below."""
    try:
        decoded = decode_line(encoded(line_with(section, name)))[1]
    except DamagedError:
        return
    assert isinstance(decoded, VersionPart)
    paths = [entry.path for entry in (*decoded.entries, *decoded.meta)]
    paths += [entry.same_as for entry in decoded.entries if entry.same_as is not None]
    for path in (*paths, *decoded.removed):
        raw = os.fsencode(path)
        assert raw and b"\0" not in raw
        assert not any(part in (b"", b".", b"..") for part in raw.split(b"/"))


# Trees that are wrong as a whole: each name is allowed.


def file(path: str) -> dict[str, Any]:
    return {path: {}}


def trees(victim: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A symlink, or another thing that is no folder, above something: by kind, depth and target."""
    blob = {"blobs": {INFO.digest.hex(): {"size": INFO.size, "sha256": INFO.sha256.hex()}}}
    targets = (victim, f"{victim}/", "../elsewhere", "/proc/self/cwd/elsewhere", ".", "x/../..")
    below = ("file", "link", "directory", "state")
    for target, depth, kind in itertools.product(targets, (1, 3), below):
        top = "/".join(["d"] * (depth - 1) + ["l"])
        said: dict[str, Any] = {"links": {top: {"target": target}}}
        path = f"{top}/x"
        if kind == "file":
            said |= {"components": {INFO.digest.hex(): file(path)}, **blob}
        elif kind == "link":
            said["links"][path] = {"target": "y"}
        else:
            said["directories" if kind == "directory" else "states"] = {path: {}}
        yield f"{kind} below a link to {target}, {depth} deep", said
    for kind in below[1:]:
        said = {"components": {INFO.digest.hex(): file("f")}, **blob}
        section = {"link": "links", "directory": "directories", "state": "states"}[kind]
        said[section] = {"f/x": {"target": "y"} if kind == "link" else {}}
        yield f"{kind} below a file", said
    for first in ("l", "nowhere", "d"):
        said = {"components": {INFO.digest.hex(): {"x": {"same_as": first}}}, **blob}
        said["links"] = {"l": {"target": f"{victim}/mine"}}
        yield f"another name of {first}", said


class Planted:
    """A store whose only application has a catalog that somebody wrote by hand."""

    def __init__(self, place: Path) -> None:
        self.place, self.root = place, place / "root"
        self.elsewhere = place / "elsewhere"
        self.root.mkdir()
        self.elsewhere.mkdir()
        (self.elsewhere / "mine").write_bytes(b"mine")
        (self.root / "own").write_bytes(CONTENT)
        with Workspace.init(place / "store") as workspace:
            self.uuid = workspace.apps.add("crm", self.root).app.uuid
            (place / "loose").write_bytes(CONTENT)
            workspace.blobs.put(place / "loose")
        self.catalog = place / f"store/catalogs/{self.uuid}.syscat.zst"

    def plant(self, said: dict[str, Any]) -> None:
        """Replace the history; the sum is right, as far as the tree can be read at all."""
        for path in (self.place / "store").glob("index.sqlite*"):
            path.unlink()
        said = {"app": self.uuid, **said}
        part = decode_line(encoded(said))[1]
        assert isinstance(part, VersionPart)
        plain = encoded({**said, "tree": f"{tree_sum(part.entries):064x}"})
        body = codec.compress(plain)
        self.catalog.write_bytes(seal.seal(RecordKind.LINE, body, number=len(plain)) + body)

    def attempt(self) -> list[str]:
        """What got out, of everything that writes."""
        before = picture(self.elsewhere)
        wrong = []
        for path in self.root.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        (self.root / "own").write_bytes(CONTENT)
        for verb in ("export", "checkout", "checkout --exact"):
            try:
                with Workspace.open(self.place / "store") as workspace:
                    handle = workspace.app("crm")
                    if verb == "export":
                        handle.export("0", self.place / "out")
                    else:
                        handle.checkout("0", exact=verb.endswith("exact"))
            except (EpmError, OSError):
                if verb == "export" and (self.place / "out").exists():
                    wrong.append("a refused export is there")
            if picture(self.elsewhere) != before:
                wrong.append(f"{verb} changed something elsewhere")
            if [*(self.place / "store/journals").iterdir()]:
                wrong.append(f"{verb} left a journal")
            shutil.rmtree(self.place / "out", ignore_errors=True)
        return wrong


@pytest.mark.slow
def test_trees_that_lead_out_are_refused(tmp_path: Path) -> None:
    planted, wrong, tried = Planted(tmp_path), {}, 0
    for case, said in trees(str(planted.elsewhere)):
        planted.plant(said)
        tried += 1
        if found := planted.attempt():
            wrong[case] = found
    assert wrong == {}
    assert tried >= 54


def installed() -> list[str]:
    """All paths of the installed Debian packages."""
    found: set[str] = set()
    for path in LISTS.glob("*.list"):
        lines = path.read_bytes().splitlines()
        found.update(os.fsdecode(line) for line in lines if line not in (b"", b"/.", b"/"))
    return sorted(found)


def test_no_real_name_is_refused() -> None:
    paths = installed()
    if len(paths) < 1000:
        pytest.skip("no Debian packages are installed here")
    refused = []
    for path in paths:
        try:
            below = parse_relpath(path.lstrip("/"))
            assert from_json(to_json(below)) == below
        except InvalidNameError:
            refused.append(path)
    assert refused == []
