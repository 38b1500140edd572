"""docs/compatibility.md says what a program does with what a later one writes: each row of it is
one of tests/fixtures/later.json, and is put into a store here.

With EPM_TEST_OLDER, the folder of an earlier release, what that does is looked at instead: of the
release that the page speaks of, it is what its second number says.
"""

import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from epmstore.catalog import appcat
from epmstore.catalog.format import seal_line
from epmstore.catalog.history import CatalogFile
from epmstore.checkout import journal as journal_file
from epmstore.checkout import obligations as owed_file
from epmstore.scan.fsclock import boot_id
from epmstore.store import identity
from epmstore.workspace import Workspace
from tests.cli.conftest import Cli
from tests.kit.program import Outcome

TESTS = Path(__file__).parents[1]
LATER = json.loads((TESTS / "fixtures" / "later.json").read_text("utf-8"))
OLDER = os.environ.get("EPM_TEST_OLDER", "")
Vector: TypeAlias = dict[str, Any]
Run: TypeAlias = Callable[..., Outcome]


def apart(*args: str, **environment: str) -> Outcome:
    """A command in a process of its own, of the earlier release if there is one."""
    start = "import sys; from epmstore.cli.main import main; sys.exit(main())"
    found = subprocess.run(
        [sys.executable, "-c", start, *args],
        env={**os.environ, "PYTHONPATH": OLDER, **environment},
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return Outcome(found.returncode, found.stdout, found.stderr)


def changed(form: Vector, vector: Vector, part: str) -> Vector:
    """A part of a document, as a vector has it."""
    kept = {key: said for key, said in form.items() if key not in vector.get("without", ())}
    return {**kept, **vector.get(part, {})}


class Bench:
    """A store with two versions, and a program that reads it."""

    def __init__(self, run: Run, store: Path, root: Path) -> None:
        self.run = run
        self.store = store
        self.root = root
        self.plan = root.parent / "back.plan"
        (self.syscat,) = store.glob("catalogs/*.syscat.zst")
        self.app = self.syscat.name.partition(".")[0]

    def kept(self) -> dict[str, bytes]:
        """All that a refusal may not touch: the store but for its caches, and the root."""
        paths = [path for top in (self.store, self.root) for path in top.rglob("*")]
        caches = ("index.sqlite", "live", "locks", "clock.json", "care.json")
        return {
            str(path): path.read_bytes()
            for path in paths
            if path.is_file() and not any(part.startswith(caches) for part in path.parts)
        }

    # What a later release writes.

    def put(self, vector: Vector) -> list[str]:
        """Write it; the command that meets it."""
        put: Callable[[Vector], None] = getattr(self, f"_{vector['where'].lower()}")
        put(vector)
        if vector["where"] == "plan":
            return ["apply", str(self.plan)]
        if vector["where"] in ("journal", "owed", "transaction"):
            return ["recover"]
        (self.root / "tool").write_text("three")
        return ["snapshot", "-m", "three"]

    def _format(self, vector: Vector) -> None:
        path = self.store / "FORMAT"
        document = {**json.loads(path.read_text()), **vector["keys"]}
        path.write_text(json.dumps({**document, "sum": identity._sum(document)}))

    def _appcat(self, vector: Vector) -> None:
        path, head, zeros = self.store / "catalogs/appcat.json", appcat._HEAD, appcat._ZEROS
        document = {**json.loads(path.read_text()), **vector["keys"], "sha256": zeros.decode()}
        data = json.dumps(document, indent=2).encode()
        assert data.startswith(head + zeros)
        digest = hashlib.sha256(data).hexdigest().encode()
        path.write_bytes(data.replace(head + zeros, head + digest, 1))

    def _catalog(self, vector: Vector) -> None:
        catalog = CatalogFile(self.syscat)
        *_, last = catalog.lines()
        line = {"seq": last.after.seq, "prev": last.after.head, "type": "", "format": 1}
        line |= {"time": "2026-11-30T12:00:00.000Z", **vector["keys"]}
        with self.syscat.open("ab") as file:
            file.write(seal_line(json.dumps(line, separators=(",", ":")).encode() + b"\n"))

    def _version(self, vector: Vector) -> None:
        *_, last = CatalogFile(self.syscat).lines()
        said = json.loads(last.plain)
        said = {key: said[key] for key in ("type", "app", "key", "tree", "kind")}
        said |= {"version": 2, "from": 1, "txid": "later", "label": None}
        self._catalog({"keys": {**said, **vector["keys"]}})

    def _index(self, vector: Vector) -> None:
        with closing(sqlite3.connect(self.store / "index.sqlite")) as db:
            db.execute(f"PRAGMA user_version = {vector['number']}")

    def _journal(self, vector: Vector) -> None:
        header = {
            "txid": "0" * 32, "app": self.app, "key": "crm", "root": str(self.root),
            "root_inode": self.root.stat().st_ino, "action": "checkout", "reason": "checkout",
            "time": "2026-11-30T12:00:00.000Z", "base": 1, "of": 0, "from_": 1, "safety": None,
            "scope": None, "label": None, "actor": None, "rules": "",
        }  # fmt: skip
        first = {"format": 1, "header": changed(header, vector, "header")}
        lines = [first | vector.get("keys", {}), {"state": "PLANNED"}, *vector.get("lines", ())]
        data = b"".join(map(journal_file.seal_form, lines))
        (self.store / "journals" / f"{self.app}.journal").write_bytes(data)

    def _transaction(self, vector: Vector) -> None:
        said = {"goal": {"of": 0}, "transaction": [self.app, "1" * 32]}
        self._journal({"keys": {"format": 4}, "without": ["of"], "header": said})
        decided = {"format": 1, "transaction": {}, **vector["keys"]}
        path = self.store / "journals" / f"{'0' * 32}.transaction"
        path.write_bytes(journal_file.seal_form(decided))

    def _owed(self, vector: Vector) -> None:
        owed = {
            "app": self.app, "key": "crm", "phase": "STOPPING", "action": "checkout",
            "txid": "0" * 32, "from": 1, "of": 0, "time": "2026-11-30T12:00:00.000Z",
            "since": {"wall": 1.0, "boot": boot_id(), "uptime": 1.0},
        }  # fmt: skip
        document = {"format": 1, "owed": changed(owed, vector, "owed")}
        document |= vector.get("keys", {})
        sealed = {"sha256": owed_file._digest(document), **document}
        (self.store / "journals" / f"{self.app}.owed").write_text(json.dumps(sealed))

    def _plan(self, vector: Vector) -> None:
        assert self.run("plan", "0", "-o", str(self.plan)).code == 0
        document = {**json.loads(self.plan.read_text()), **vector["keys"]}
        document["request"] = changed(document["request"], vector, "request")
        self.plan.write_text(json.dumps(document))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A store, and the root that is recorded in it."""
    place = tmp_path_factory.mktemp("made")
    store, root = place / "store", place / "root"
    root.mkdir()
    for text in ("one", "two"):
        (root / "tool").write_text(text)
        if OLDER:
            begin = [["init"], ["app", "add", "crm", str(root)]] if text == "one" else []
            for command in (*begin, ["snapshot", "-m", text]):
                assert apart(*command, EPMSTORE_STORE=str(store)).code == 0
            continue
        with Workspace.init(store) if text == "one" else Workspace.open(store) as ws:
            if text == "one":
                ws.apps.add("crm", root)
            ws.app("crm").snapshot(text)
    return store, root


@pytest.fixture
def bench(cli: Cli, made: tuple[Path, Path]) -> Bench:
    store, root = made
    shutil.copytree(store, cli.store, symlinks=True)
    (root / "tool").write_text("two")
    return Bench(apart if OLDER else cli, cli.store, root)


@pytest.mark.parametrize("vector", LATER, ids=lambda vector: vector["row"])
def test_later_formats_are_read_or_refused_as_documented(bench: Bench, vector: Vector) -> None:
    command = bench.put(vector)
    before = bench.kept()
    found = bench.run(*command)
    assert found.code == vector["before" if OLDER else "code"], found
    if OLDER:
        return
    assert "Traceback" not in found.err
    if found.code:
        assert vector["says"] in found.err
        assert bench.kept() == before
    else:
        assert vector.get("shows", "") in bench.run("log").out
        if vector["where"] in ("catalog", "version"):
            assert bench.run("fsck").code == 0
    for where, path in {"catalog": bench.syscat, "version": bench.syscat}.items():
        if vector["where"] == where:  # whatever it is, it is not lost
            assert path.read_bytes().startswith(before[str(path)])


@pytest.mark.skipif(bool(OLDER), reason="the page speaks of this release")
def test_every_row_of_the_page_is_tried() -> None:
    page = (TESTS.parent / "docs" / "compatibility.md").read_text("utf-8")
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| (\d+) \| (\d+) \|$", page, re.MULTILINE)
    assert {row: (int(code), int(before)) for row, code, before in rows} == {
        one["row"]: (one["code"], one["before"]) for one in LATER
    }
