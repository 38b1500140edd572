"""`package` and `release publish`, from the command line."""

from pathlib import Path
from typing import TYPE_CHECKING

from tests.cli.test_json import check
from tests.package.test_from_spec import SPEC, place

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


def test_a_package_is_built_looked_into_published_and_installed(cli: "Cli", tmp_path: Path) -> None:
    place(tmp_path)
    (tmp_path / "crm.toml").write_text(SPEC)
    out = tmp_path / "dist"
    out.mkdir()
    [built] = cli.ok(
        "package", "build", str(tmp_path / "crm.toml"), "--out", str(out), "--json"
    ).shapes
    check(built)
    candidate = built["file"]
    [shown] = cli.ok("package", "show", candidate, "--json").shapes
    check(shown)
    assert shown["candidate"] and shown["package"]["version"] == "4.1.0"
    text = cli.ok("package", "show", candidate).out
    assert "post-install" in text and "requires     libpay 3 or newer, 4.1 or older\n" in text
    listed = cli.ok("package", "files", candidate, "--part", "doc", "--json").shapes
    for shape in listed:
        check(shape)
    assert [shape["path"] for shape in listed] == ["share/doc/manual.txt"]
    [sound] = cli.ok("package", "verify", candidate, "--json").shapes
    check(sound)
    assert cli("package", "diff", candidate, candidate, "--exit-code").code == 0
    [unpacked] = cli.ok("package", "unpack", candidate, str(tmp_path / "out"), "--json").shapes
    check(unpacked)
    cli.ok("init")
    cli.ok("release", "init", "crm")
    published, packed = cli.ok("release", "publish", candidate, "--out", str(out), "--json").shapes
    check(published)
    check(packed)
    assert (packed["label"], packed["written"]) == ("4.1.0-1", True)
    again = cli.ok("release", "publish", candidate, "--out", str(out))
    assert "nothing differs from release 4.1.0-1 (0): nothing was published" in again.out
    assert "there already" in again.out
    own = cli.ok("release", "publish", candidate, "--out", str(out), "--patch-from", "0")
    assert "no patch from 4.1.0-1: it is the release itself" in own.err
    cli.ok("--store", "host", "init")
    cli.ok("--store", "host", "catalog", "import", packed["file"])
    assert "a candidate" in cli("--store", "host", "catalog", "import", candidate).err


def test_dry_runs_change_nothing(cli: "Cli", tmp_path: Path) -> None:
    place(tmp_path)
    (tmp_path / "crm.toml").write_text(SPEC)
    spec = str(tmp_path / "crm.toml")
    assert "would build crm 4.1.0-1" in cli.ok("package", "build", spec, "--dry-run").err
    cli.ok("package", "build", spec)
    candidate = "crm-4.1.0-1.candidate.epkg"
    assert "would unpack" in cli.ok("package", "unpack", candidate, "out", "--dry-run").err
    cli.ok("init")
    cli.ok("release", "init", "crm")
    out = cli.ok("release", "publish", candidate, "--dry-run").out
    assert "would publish a release (4.1.0-1)" in out
    assert cli.ok("release", "list", "crm").out == ""
    assert {path.name for path in Path().iterdir()} == {candidate}


def test_where_the_folder_is_not_there_dry_run_and_run_say_how_to_make_it(
    cli: "Cli", tmp_path: Path
) -> None:
    place(tmp_path)
    (tmp_path / "crm.toml").write_text(SPEC)
    out = tmp_path / "a folder"
    words = ("package", "build", str(tmp_path / "crm.toml"), "--out", str(out))
    for more in (("--dry-run",), ()):
        found = cli(*words, *more)
        assert found.code == 5 and f"mkdir -p '{out}'" in found.err
    out.mkdir()  # as it says
    cli.ok(*words)
