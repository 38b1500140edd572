"""Configuration that was edited here and changed by its vendor, as an operator meets it."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_json import check
from tests.kit.products import V1, Products

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

pytestmark = pytest.mark.slow

CONF = "etc/crm.conf"


def conf(**said: object) -> bytes:
    values = {"port": 8080, "host": "localhost", "level": "info", "user": "crm", "pool": 4} | said
    return "".join(f"{key} = {value}\n" for key, value in values.items()).encode()


class Crm:
    """Installed at 4.0.0, with later releases that change its configuration."""

    def __init__(self, cli: "Cli", place: Path) -> None:
        self.cli, self.root = cli, place / "opt" / "crm"
        self.vendor = Products(place / "vendor")
        cli.ok("init")
        cli.ok("install", self.pack("4.0.0"))

    def pack(self, version: str, **said: object) -> str:
        files = {**V1, CONF: conf(**said)}
        return str(self.vendor.pack(files, version, root=str(self.root)))

    @property
    def file(self) -> Path:
        return self.root / CONF


@pytest.fixture
def crm(cli: "Cli", tmp_path: Path) -> Crm:
    return Crm(cli, tmp_path)


def test_an_upgrade_merges_where_that_is_asked_for_and_clean(cli: "Cli", crm: Crm) -> None:
    cli.ok("app", "set", "crm", "--config-policy", "merge")
    assert "merge" in cli.ok("app", "show", "crm").out
    crm.file.write_bytes(conf(port=9090))
    crm.file.chmod(0o600)
    cli.ok("catalog", "import", crm.pack("4.1.0", pool=8))
    planned = cli.ok("upgrade", "crm", "--dry-run", "--json").shapes
    assert [note["what"] for note in planned[0]["steps"][0]["notes"]] == ["merged-config"]
    assert crm.file.read_bytes() == conf(port=9090)
    cli.ok("upgrade", "crm")
    assert crm.file.read_bytes() == conf(port=9090, pool=8)
    assert crm.file.stat().st_mode & 0o777 == 0o600
    [note] = cli.ok("notes", "--json").shapes
    assert note["what"] == "merged-config"
    assert cli.ok("cat", note["before"]).out.encode() == conf(port=9090)
    assert cli.ok("merge", "--json").shapes == []
    cli.ok("upgrade", crm.pack("4.2.0", pool=8, user="app"))
    assert crm.file.read_bytes() == conf(port=9090, pool=8, user="app"), "the base has moved"
    cli.ok("rollback", "crm", "--config", "restore")
    assert crm.file.read_bytes() == conf(port=9090, pool=8)
    cli.ok("rollback", "crm", "--config", "restore")
    assert crm.file.read_bytes() == conf(port=9090), "which lacks what 4.1.0 had"
    cli.ok("unhold", "crm")
    cli.ok("upgrade", "crm")
    assert crm.file.read_bytes() == conf(port=9090, pool=8, user="app")


def test_a_conflict_is_kept_and_answered(
    cli: "Cli", crm: Crm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = conf(port=9090, pool=2)
    crm.file.write_bytes(mine)
    cli.ok("upgrade", crm.pack("4.1.0", port=8081, level="warn"), "--config", "merge")
    assert crm.file.read_bytes() == mine, "nothing with a conflict is written"
    [waiting] = cli.ok("merge", "--json").shapes
    check(waiting)
    assert (waiting["path"], waiting["base"], waiting["conflicts"]) == (CONF, 0, 1)
    shown = cli.ok("merge", CONF).out
    assert "-port = 8080" in shown and "+port = 8081" in shown and "+port = 9090" in shown
    refused = cli("merge", CONF, "--merged")
    assert refused.code == 7 and crm.file.read_bytes() == mine

    script = tmp_path / "editor"
    script.write_text("#!/bin/sh\nsed -i -e '/^<<<<<<< /d' -e '/^=======/,/^>>>>>>> /d' \"$1\"\n")
    script.chmod(0o755)
    monkeypatch.setenv("VISUAL", "true")
    assert cli("merge", CONF, "--edit").code == 2, "it was not saved"
    monkeypatch.setenv("VISUAL", str(script))
    [result] = cli.ok("merge", CONF, "--edit", "--json").shapes
    check(result)
    assert crm.file.read_bytes() == conf(port=9090, pool=2, level="warn")
    assert cli.ok("merge", "--json").shapes == [] and not cli.ok("notes").out
    cli.ok("undo")
    assert crm.file.read_bytes() == mine
    assert [one["path"] for one in cli.ok("merge", "--json").shapes] == [CONF], "asked again"

    cli.ok("merge", CONF, "--mine")
    assert crm.file.read_bytes() == mine and cli.ok("merge", "--json").shapes == []
    cli.ok("upgrade", crm.pack("4.2.0", port=8082, level="warn"))
    assert [one["base"] for one in cli.ok("merge", "--json").shapes] == [1]
    told = cli.ok("merge", CONF, "--theirs", "--dry-run").out
    assert f"write  {CONF}" in told and "1 file to replace" in told
    assert crm.file.read_bytes() == mine and cli("merge", CONF, "--merged", "--dry-run").code == 7
    cli.ok("merge", CONF, "--theirs")
    assert crm.file.read_bytes() == conf(port=8082, level="warn")
    assert cli("verify").code == 0
    assert cli("merge", CONF, "--theirs").code == 5


def test_a_removed_file_that_its_vendor_changes_is_noted(cli: "Cli", crm: Crm) -> None:
    crm.file.unlink()
    other = crm.vendor.pack({**V1, CONF: conf(), "new": b"new"}, "4.1.0", root=str(crm.root))
    cli.ok("upgrade", str(other))
    assert cli.ok("notes", "--json").shapes == [], "nothing of it has changed"
    cli.ok("upgrade", crm.pack("4.2.0", pool=8))
    [note] = cli.ok("notes", "--json").shapes
    assert (note["what"], note["path"]) == ("removed-config", CONF)
    assert cli.ok("cat", note["theirs"]).out.encode() == conf(pool=8)
    assert not crm.file.exists()


def test_no_text_is_kept_as_it_is(cli: "Cli", crm: Crm) -> None:
    crm.file.write_bytes(b"\0binary")
    cli.ok("upgrade", crm.pack("4.1.0", port=8081), "--config", "merge")
    assert crm.file.read_bytes() == b"\0binary"
    assert "it is no text" in cli.ok("merge").out
    assert cli("merge", CONF, "--edit").code == 2
