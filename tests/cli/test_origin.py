"""identify and blame, as users see them."""

from pathlib import Path
from typing import TYPE_CHECKING

from epmstore.digest import identify
from tests.cli.test_json import check
from tests.cli.test_verify import RELEASES, root, text, write

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

__all__ = ["root"]  # a fixture


def test_a_file_is_identified_by_its_bytes(cli: "Cli", root: Path, tmp_path: Path) -> None:
    found = tmp_path / "found"
    found.write_bytes(RELEASES[0]["lib/a.so"])
    assert cli.ok("identify", str(found)).out.splitlines() == [
        f"{found}:",
        "  crm  lib/a.so  releases 1.0 (0) to 1.1 (1)",
    ]
    digest = identify(RELEASES[2]["bin/crmd"]).digest.hex()
    assert cli.ok("identify", digest).out.splitlines() == [
        f"{digest}:",
        "  crm  bin/crmd  release 1.2 (2), the latest",
    ]
    origin, summary = cli.ok("identify", digest, "--json").shapes
    check(origin)
    assert summary["identified"] == 1


def test_a_folder_is_identified_file_by_file(cli: "Cli", root: Path, tmp_path: Path) -> None:
    write(tmp_path / "disk", {"a/x": RELEASES[0]["bin/crmd"], "a/y": text("mine")})
    (tmp_path / "disk" / "link").symlink_to("a/x")
    summed = cli("identify", str(tmp_path / "disk"))
    assert summed.out.splitlines() == [
        "crm  1 file  release 1.0 (0)  0 in the latest",
        "never shipped (1):",
        f"  {tmp_path}/disk/a/y",
    ]
    assert "-v or --json" in summed.err
    found = cli("identify", "-v", str(tmp_path / "disk"))
    assert found.code == 1
    assert found.out.splitlines() == [
        f"{tmp_path}/disk/a/x:",
        "  crm  bin/crmd  release 1.0 (0)",
        "never shipped (1):",
        f"  {tmp_path}/disk/a/y",
    ]
    assert cli("identify", str(tmp_path / "disk"), "--json").shapes[-1] == {
        "type": "summary",
        "app": None,
        "files": 2,
        "identified": 1,
        "unknown": [f"{tmp_path}/disk/a/y"],
    }


def test_identify_of_unknown_contents_is_not_found(cli: "Cli", root: Path) -> None:
    assert cli("identify", "0" * 40).code == 5
    assert cli("identify", "no/such/file").code not in (0, 1)


def test_blame_names_version_release_and_who(cli: "Cli", root: Path) -> None:
    (root / "bin/crmd").write_bytes(RELEASES[1]["bin/crmd"])
    (root / "lib/b.so").write_bytes(text("mine"))
    cli.ok("snapshot", "-m", "by hand")
    (root / "bin/crmd").unlink()
    cli.ok("snapshot")
    lines = cli.ok("blame", "bin/crmd").out.splitlines()
    assert lines[0].startswith("version 2, ") and ": removed by " in lines[0]
    assert lines[1].startswith("version 1, ") and lines[1].endswith("(snapshot) 'by hand'")
    assert lines[2].split() == [
        identify(RELEASES[1]["bin/crmd"]).digest.hex(),
        "release",
        "1.1",
        "(1)",
    ]
    assert "with 1 other path" in lines[3] and "lib/b.so" in lines[3]
    assert lines[4].startswith("version 0, ")
    assert lines[-1].startswith("now: missing, not as in release 1.2 (2) since version 1, ")
    *shapes, summary = cli.ok("blame", "bin/crmd", "--json").shapes
    for shape in shapes:
        check(shape)
    check(summary["deviation"], "Deviation")
    assert [shape["what"] for shape in shapes] == ["removed", "modified", "added"]
    assert shapes[1]["releases"] == [{"since": 1, "last": 1}]
    assert shapes[1]["with"] == ["lib/b.so"]


def test_blame_of_what_is_right_and_of_what_never_was(cli: "Cli", root: Path) -> None:
    assert cli.ok("blame", "lib/a.so").out.splitlines()[-1] == "now: as in release 1.2 (2)"
    assert cli("blame", "no/such").code == 5


def test_blame_without_a_catalog(cli: "Cli", recorded: Path) -> None:
    (recorded / "bin/crmd").write_bytes(b"program 2\n")
    lines = cli.ok("blame", "bin/crmd").out.splitlines()
    assert "added by" in lines[0]
    assert lines[-1] == "now: modified, not as in the newest version; not recorded yet"
