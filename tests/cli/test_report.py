"""report: what it tells, what it never tells, and what the vendor reads in it."""

import contextlib
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from epmstore.cli.output import Output
from epmstore.cli.report import text as lines
from epmstore.errors import EpmError
from epmstore.workspace import Workspace
from tests.cli.test_json import check
from tests.cli.test_verify import RELEASES, publish_all, root, text

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

__all__ = ["root"]  # a fixture
SECRET = "customers-of-the-year"
JUNK: tuple[Any, ...] = (None, 7, "junk", [], {})


@pytest.fixture
def strange(cli: "Cli", root: Path) -> Path:
    (root / "bin/crmd").write_bytes(text("tampered"))
    (root / SECRET).write_bytes(text(SECRET))
    cli.ok("snapshot")
    (root / "lib/a.so").write_bytes(RELEASES[0]["lib/a.so"])
    return root


def made(cli: "Cli", *args: str) -> dict[str, Any]:
    found = cli("report", "--json", *args)
    assert found.code == 1
    [form] = found.shapes
    check(form)
    return form


def test_every_file_has_its_first_release(cli: "Cli", strange: Path) -> None:
    form = made(cli)
    for one in form["files"]:
        check(one, "ReportFile")
    firsts = {one["path"]: (one["what"], one["first"]) for one in form["files"]}
    assert firsts == {
        "bin/crmd": ("local", None),
        SECRET: ("unknown", None),
        "doc/1": ("known", 2),
        "doc/2": ("known", 2),
        "etc/crm.conf": ("known", 0),
        "lib/a.so": ("stale", 0),
        "lib/b.so": ("known", 0),
    }
    assert form["catalog"]["release"] == form["release"]["release"] == 2
    assert form["host"] == platform.node()
    since = {one["path"]: one["since"] for one in form["deviations"]}
    assert since == {"bin/crmd": 1, SECRET: 1, "lib/a.so": None}


def test_contents_never_leave_and_redacted_names_do_not_either(cli: "Cli", strange: Path) -> None:
    for name in ("r.json", "r.html", "r.txt"):
        cli("report", "-o", name)
        plain = Path(name).read_text(encoding="utf-8")
        assert SECRET in plain and "bin/crmd" in plain
        assert text(SECRET).decode()[:20] not in plain
        cli("report", "-o", name, "--redact")
        hidden = Path(name).read_text(encoding="utf-8")
        assert "redacted-" in hidden and "doc/1" in hidden
        for own in (SECRET, "bin/crmd", str(strange)):
            assert own not in hidden, (name, own)
    assert Path("r.json").stat().st_mode & 0o777 == 0o600


def test_preview_lists_what_would_leave(cli: "Cli", strange: Path) -> None:
    lines = cli("report", "--preview").out.splitlines()
    assert "7 paths with digest, size and mode, 2 of them not the vendor's; no contents" in lines
    assert f"  {SECRET}" in lines
    check(cli("report", "--preview", "--json").shapes[0])


def test_the_page_needs_nothing_and_escapes_names(cli: "Cli", root: Path) -> None:
    (root / "<script>alert(1)<").write_bytes(text("x"))
    (root / "esc\x1b[31m").write_bytes(text("y"))
    cli("report", "-o", "r.html")
    page = Path("r.html").read_text(encoding="utf-8")
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "\x1b" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_vendor_reads_it_beside_the_same_catalog(
    cli: "Cli", strange: Path, tmp_path: Path
) -> None:
    cli("report", "-o", "r.json")
    with Workspace.open(cli.store) as ws:  # a release later, the vendor ships what was strange
        app = ws.apps.get("crm").uuid
        publish_all(ws._store, app, [{**RELEASES[2], "bin/crmd": text("tampered")}])
    found = cli("report", "read", "r.json")
    assert found.code == 1
    assert "the catalog is the same up to release 1.2 (2)" in found.out
    assert "the host does not know release 3 and later" in found.out
    assert "bin/crmd: known here as bin/crmd of crm, release 3" in found.out
    [shape] = cli("report", "read", "r.json", "--json").shapes
    assert list(shape["known_here"]) == ["bin/crmd"]


def test_another_catalog_and_nonsense_are_refused(cli: "Cli", strange: Path) -> None:
    cli("report", "-o", "r.json")
    form = json.loads(Path("r.json").read_text(encoding="utf-8"))
    form["catalog"]["digest"] = "0" * 64
    Path("other.json").write_text(json.dumps(form), encoding="utf-8")
    assert cli("report", "read", "other.json").code == 7
    form["catalog"]["release"] = 9
    Path("other.json").write_text(json.dumps(form), encoding="utf-8")
    assert cli("report", "read", "other.json").code == 5
    for nonsense in (
        "",
        "[]",
        '{"type": "report", "format": 1}',
        '{"type": "report", "format": 2}',
    ):
        Path("bad.json").write_text(nonsense, encoding="utf-8")
        found = cli("report", "read", "bad.json")
        assert found.code == 2 and "hint:" in found.err
    assert cli("report", "-o", "x.pdf").code == 2
    assert cli("report", "write", "x").code == 2


def places(value: Any, before: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to every value in a document; of a list to what is in its first item."""
    found = value.items() if isinstance(value, dict) else enumerate(value[:1])
    for key, one in found:
        yield (*before, key)
        if isinstance(one, dict | list):
            yield from places(one, (*before, key))


def test_whatever_is_wrong_in_a_report_is_no_fault_of_epmstore(cli: "Cli", strange: Path) -> None:
    sound = made(cli)
    with Workspace.open(Path(os.environ["EPMSTORE_STORE"])) as ws:
        for place in places(sound):
            for junk in JUNK:
                form = json.loads(json.dumps(sound))
                *way, last = place
                within = form
                for key in way:
                    within = within[key]
                within[last] = junk
                with contextlib.suppress(EpmError):
                    ws.read_report(form).known_here()
                    lines(Output(as_json=False, quiet=False, verbose=True), form)


def test_an_untouched_root_reports_clean(cli: "Cli", root: Path) -> None:
    assert "deviations (0):" in cli.ok("report").out
    cli.ok("report", "-o", "r.html")
    assert "Nothing deviates." in Path("r.html").read_text(encoding="utf-8")


def test_links_were_shipped_too(cli: "Cli", recorded: Path) -> None:
    [app] = cli.ok("app", "show", "crm", "--json").shapes
    cli.ok("release", "init", "crm", "--uuid", app["uuid"])
    cli.ok("release", "add", "crm", "latest", "--label", "old")
    (recorded / "current").unlink()
    (recorded / "current").symlink_to("crm.conf")
    cli.ok("snapshot")
    cli.ok("release", "add", "crm", "latest", "--label", "new")
    [form] = cli.ok("report", "--json").shapes
    assert {one["path"]: one["first"] for one in form["files"]}["current"] == 1
    firsts = [(one["first"], one["label"], one["files"]) for one in form["first_releases"]]
    assert firsts == [(0, "old", 2), (1, "new", 1)]
    assert sum(one["files"] for one in form["first_releases"]) == form["files_total"]
    cli.ok("report", "-o", "r.html")
    assert "<td>release new (1)</td><td class=n>1</td>" in Path("r.html").read_text()
