"""`package from-deb`, `from-release`, `from-app`, `edit` and `sbom`, from the command line."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cli.test_json import check
from tests.kit.debs import deb
from tests.package.test_debs import ALSO, CONTROL, FILES

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


def test_a_deb_is_taken_edited_published_installed_upgraded_and_taken_back(
    cli: "Cli", tmp_path: Path
) -> None:
    """And what was edited on the host is made a package again."""
    root = tmp_path / "root"
    control = CONTROL.replace("Breaks", "X-Breaks").replace("libpq.so.5", "libc.so.6")
    (tmp_path / "old.deb").write_bytes(deb(control, FILES | {"usr/bin/webd": b"1"}, ALSO))
    newer = control.replace("9+deb12u2", "10")
    (tmp_path / "new.deb").write_bytes(deb(newer, FILES | {"usr/bin/webd": b"22"}, ALSO))
    cli.ok("init")
    cli.ok("release", "init", "web")
    made = []
    for file in ("old.deb", "new.deb"):
        asked = ("package", "from-deb", str(tmp_path / file), "--root", str(root))
        would = cli.ok(*asked, "--dry-run").err
        assert "would make web 1.22.1^" in would and "script: postinst" in would
        built, *left = cli.ok(*asked, "--json").shapes
        for shape in (built, *left):
            check(shape)
        assert [one["what"] for one in left][-1] == "script: postinst"
        edit = ("package", "edit", built["file"])
        [edited] = cli.ok(
            *edit, "--tag", "beta", "--part", "tools=usr/bin", "--no-need", "web-common",
            "--need", "libpay>=3?", "--json"
        ).shapes  # fmt: skip
        check(edited)
        assert "would change" in cli.ok(*edit, "--tag", "x", "--dry-run").err
        cli.ok(*edit, "--tag", "stable", "--no-tag", "beta")
        with closing(sqlite3.connect(built["file"])) as db:
            assert db.execute("SELECT tag FROM tags").fetchall() == [("stable",)]
            [part] = db.execute("SELECT part FROM packagefiles WHERE path = 'usr/bin/webd'")
            assert part == ("tools",)
        _, packed = cli.ok("release", "publish", built["file"], "--out", ".", "--json").shapes
        made.append(packed["file"])
        assert "is published, and stays" in cli("package", "edit", packed["file"], "--tag", "x").err
    assert cli("package", "edit", built["file"]).code == 2
    assert cli("package", "edit", built["file"], "--no-need", "nobody").code == 5
    assert cli("package", "edit", built["file"], "--part", "x=nowhere").code == 5
    bill = json.loads(cli.ok("package", "sbom", made[0]).out)
    assert bill["metadata"]["component"]["bom-ref"] == "web@1.22.1^9+deb12u2-1"
    assert [one["name"] for one in bill["components"]][:1] == ["etc/web/web.conf"]
    assert len({one["bom-ref"] for one in bill["components"]}) == len(bill["components"])

    host = ("--store", "host")
    cli.ok(*host, "init")
    cli.ok(*host, "install", made[0], "--yes")
    (root / "etc/web/web.conf").write_bytes(b"port = 81\n")
    cli.ok(*host, "upgrade", made[1], "--yes")
    assert (root / "usr/bin/webd").read_bytes() == b"22"
    [again] = cli.ok(*host, "package", "from-app", "--app", "web", "--build", "5", "--json").shapes
    check(again)
    assert (
        "would make web 1.22.1^10-5"
        in cli.ok(*host, "package", "from-app", "--app", "web", "--build", "5", "--dry-run").err
    )
    cli.ok("package", "unpack", again["file"], "out")
    assert Path("out/etc/web/web.conf").read_bytes() == b"port = 81\n"
    cli.ok(*host, "undo", "--yes")
    assert (root / "usr/bin/webd").read_bytes() == b"1"


def test_a_release_without_a_package_becomes_a_candidate(cli: "Cli", tmp_path: Path) -> None:
    (tmp_path / "build/bin").mkdir(parents=True)
    (tmp_path / "build/bin/crmd").write_bytes(b"program")
    cli.ok("init")
    cli.ok("release", "init", "crm")
    cli.ok("release", "add", "crm", str(tmp_path / "build"), "--label", "nightly build")
    asked = ("package", "from-release", "crm", "0")
    assert cli(*asked).code == 2  # that is no version
    [made] = cli.ok(*asked, "--version", "4.1.0", "--json").shapes
    check(made)
    assert cli.ok("release", "publish", made["file"], "--out", ".").out.startswith("crm: published")
    assert "would make crm 4.1.0-7" in cli.ok(*asked[:3], "1", "--build", "7", "--dry-run").err


def test_files_that_are_no_debs_are_refused(cli: "Cli", tmp_path: Path) -> None:
    (tmp_path / "x.deb").write_bytes(b"!<arch>\nnonsense")
    assert cli("package", "from-deb", str(tmp_path / "x.deb")).code == 4
    (tmp_path / "x.tar").write_bytes(b"nonsense")
    assert cli("package", "from-deb", str(tmp_path / "x.tar")).code == 2
    assert cli("package", "from-deb", "nowhere.deb").code == 5
    odd = tmp_path / "g++.deb"
    odd.write_bytes(deb(CONTROL.replace("Package: web", "Package: g++"), FILES))
    assert "say another one: --product" in cli("package", "from-deb", str(odd)).err
    cli.ok("package", "from-deb", str(odd), "--product", "gpp", "--dry-run")
    assert not list(Path().glob("*.epkg"))
