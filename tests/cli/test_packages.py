"""`catalog import` of a package, and what comes after it."""

from pathlib import Path
from typing import TYPE_CHECKING

from tests.cli.test_json import check
from tests.package.makers import FILES, packed

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


def test_a_checkout_of_its_release_installs_it(cli: "Cli", tmp_path: Path) -> None:
    path, root = packed(tmp_path), tmp_path / "crm"
    cli.ok("init")
    [checked] = cli.ok("catalog", "verify", str(path), "--json").shapes
    check(checked)
    assert (checked["app"], checked["releases"], checked["new"]) == ("crm", 1, 1)
    [shown] = cli.ok("catalog", "import", str(path), "--dry-run", "--json").shapes
    assert shown == {**checked, "file": shown["file"]}
    [arrived] = cli.ok("catalog", "import", str(path), "--json").shapes
    check(arrived)
    assert (arrived["label"], arrived["contents"]) == ("4.1.0-1", len(FILES))
    root.mkdir()
    cli.ok("app", "add", "crm", str(root))
    cli.ok("snapshot", "--app", "crm")
    cli.ok("checkout", "release:0", "--app", "crm", "--yes")
    assert {
        str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()
    } == FILES
    cli.ok("verify", "--app", "crm")
    cli.ok("undo", "--app", "crm", "--yes")
    assert [*root.iterdir()] == []


def test_one_that_is_none_is_refused_in_one_line(cli: "Cli", tmp_path: Path) -> None:
    cli.ok("init")
    bad = tmp_path / "crm-4.1.0-1.epkg"
    bad.write_bytes(b"no database at all")
    found = cli("catalog", "import", str(bad))
    assert found.code == 6
    assert found.err.splitlines()[0].endswith("crm-4.1.0-1.epkg: it is no package")
