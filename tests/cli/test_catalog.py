import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pysequoia import Tsk

from epmstore.digest import identify
from tests.cli.test_json import check

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


class Vendor:
    """The store of a vendor with one release, beside the store that commands work on."""

    def __init__(self, cli: "Cli", place: Path) -> None:
        self.cli = cli
        self.store = str(place / "vendor")
        self.build = place / "build"
        self.build.mkdir()
        (self.build / "tool").write_text("one\n")
        self("init")
        self("release", "init", "crm", "--config", "etc/")
        self("release", "add", "crm", str(self.build), "--label", "1.0")

    def __call__(self, *args: str) -> None:
        self.cli.ok(*args, "--store", self.store)

    def export(self, path: str = "crm.refcat", *more: str) -> str:
        self("catalog", "export", "crm", path, *more)
        return path

    def release(self, text: str) -> None:
        (self.build / "tool").write_text(text)
        self("release", "add", "crm", str(self.build))


@pytest.fixture
def vendor(cli: "Cli", tmp_path: Path) -> Vendor:
    cli.ok("init")
    return Vendor(cli, tmp_path)


@pytest.fixture
def keys(tmp_path: Path) -> tuple[str, str]:
    """(file of a secret key, file of its public one)"""
    secret = Tsk.generate("Vendor <v@example.org>")
    (tmp_path / "secret").write_bytes(bytes(secret))
    (tmp_path / "public").write_bytes(bytes(secret.extract_certificate()))
    return str(tmp_path / "secret"), str(tmp_path / "public")


def test_from_vendor_to_host(cli: "Cli", vendor: Vendor, keys: tuple[str, str]) -> None:
    secret, public = keys
    file = vendor.export("crm.refcat", "--sign", secret)
    assert "trusted" in cli.ok("catalog", "trust", public).out
    assert "Vendor <v@example.org>" in cli.ok("catalog", "trust").out
    assert "1 release, 1 of them new here, signed by" in cli.ok("catalog", "verify", file).out
    found = cli.ok("catalog", "import", file)
    assert "crm: 1 release imported, up to 1.0 (0), signed by" in found.out and not found.err
    assert "nothing new" in cli.ok("catalog", "import", file).out
    vendor.release("two\n")
    vendor("release", "revoke", "crm", "0", "--reason", "old")
    vendor.export("crm.refcat", "--sign", secret)
    found = cli.ok("catalog", "import", file)
    assert "1 release imported, up to 1" in found.out
    assert "release 1.0 (0) of crm is withdrawn by its vendor: old" in found.err


def test_the_name_of_a_file_may_be_any_bytes(cli: "Cli", vendor: Vendor) -> None:
    file = vendor.export(os.fsdecode(b"crm\xff.refcat"))
    (shape,) = cli.ok("catalog", "verify", file, "--json").shapes
    assert shape["file"] == "//crm%FF.refcat"
    (shape,) = cli.ok("catalog", "import", file, "--json").shapes
    assert shape["release"] == 0
    found = cli.ok("catalog", "export", "crm", file, "--json", "--store", vendor.store)
    assert found.shapes[0]["file"].endswith("/crm%FF.refcat")


def test_import_says_that_a_catalog_is_unsigned(cli: "Cli", vendor: Vendor) -> None:
    found = cli.ok("catalog", "import", vendor.export())
    assert "nobody vouches for it" in found.err


def test_signatures_and_their_exit_codes(cli: "Cli", vendor: Vendor, keys: tuple[str, str]) -> None:
    secret, public = keys
    file = vendor.export("crm.refcat", "--sign", secret)
    unknown = cli("catalog", "import", file, "--json")
    assert (unknown.code, unknown.error["error"]) == (8, "untrusted")
    cli.ok("catalog", "trust", public)
    Path(file).write_bytes(Path(file).read_bytes().replace(b"1.0", b"9.9"))
    bad = cli("catalog", "import", file, "--json")
    assert (bad.code, bad.error["error"]) == (8, "bad_signature")
    Path(f"{file}.asc").unlink()
    vendor.release("two\n")
    vendor.export("other.refcat")
    lines = Path("other.refcat").read_bytes().splitlines(keepends=True)
    Path(file).write_bytes(lines[0] + lines[1].replace(b"1.0", b"9.9") + lines[2])
    edited = cli("catalog", "verify", file, "--json")
    assert (edited.code, edited.error["error"]) == (6, "bad_catalog")
    assert edited.error["data"]["line"] == 3


def test_an_export_is_not_written_over_another_file(cli: "Cli", vendor: Vendor) -> None:
    file = vendor.export()
    vendor.release("two\n")
    vendor.export()
    Path(file).write_text("mine")
    found = cli("catalog", "export", "crm", file, "--store", vendor.store)
    assert found.code == 7 and Path(file).read_text() == "mine"
    vendor.export("crm.refcat.zst")
    vendor.release("three\n")
    vendor.export("crm.refcat.zst")
    assert "3 releases" in cli.ok("catalog", "verify", "crm.refcat.zst").out


def test_a_signature_is_not_left_beside_another_catalog(
    cli: "Cli", vendor: Vendor, keys: tuple[str, str]
) -> None:
    file = vendor.export("crm.refcat", "--sign", keys[0])
    vendor.export("crm.refcat")
    vendor.release("two\n")
    before = Path(file).read_bytes()
    found = cli("catalog", "export", "crm", file, "--store", vendor.store)
    assert found.code == 7 and "--sign" in found.err and Path(file).read_bytes() == before
    Path(f"{file}.asc").unlink()
    vendor.export("crm.refcat")


def test_a_clone_with_contents(cli: "Cli", vendor: Vendor) -> None:
    found = cli.ok("catalog", "clone", vendor.store, "crm", "--contents", "latest")
    assert "1 release imported" in found.out and "1 content copied" in found.out
    assert "all stored here" in cli.ok("release", "show", "crm").out


def test_shapes(cli: "Cli", vendor: Vendor, keys: tuple[str, str]) -> None:
    public = keys[1]
    check(cli.ok("catalog", "export", "crm", "x", "--store", vendor.store, "--json").shapes[0])
    check(cli.ok("catalog", "verify", "x", "--json").shapes[0])
    check(cli.ok("catalog", "import", "x", "--dry-run", "--json").shapes[0], "checked")
    check(cli("catalog", "import", "x", "--json").shapes[0])
    check(cli("catalog", "clone", vendor.store, "crm", "--json").shapes[0])
    [trusted] = cli.ok("catalog", "trust", public, "--json").shapes
    assert trusted.pop("trusted") is True
    check(trusted)
    check(cli.ok("catalog", "trust", "--json").shapes[0])


def test_dry_runs_change_nothing(cli: "Cli", vendor: Vendor, keys: tuple[str, str]) -> None:
    file = vendor.export()
    cli.ok("catalog", "import", file, "--dry-run")
    cli.ok("catalog", "clone", vendor.store, "crm", "--dry-run")
    cli.ok("catalog", "trust", keys[1], "--dry-run")
    cli.ok("catalog", "export", "crm", "other", "--dry-run", "--store", vendor.store)
    assert cli.ok("release", "list").out == "" and cli.ok("catalog", "trust").out == ""
    assert not Path("other").exists()


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["import", "nowhere"], 5, "is not there"),
        (["import", "."], 2, "clone a store"),
        (["verify", "junk"], 6, "line 1"),
        (["export", "nobody"], 5, "no reference catalog"),
        (["export", "crm", "--sign", "x"], 2, "needs a FILE"),
        (["clone", ".", "crm"], 10, "no store"),
        (["trust", "junk"], 2, "no OpenPGP key"),
        (["trust", "--remove", "00"], 5, "0 trusted keys"),
    ],
)
def test_errors_name_the_remedy(
    cli: "Cli", vendor: Vendor, args: list[str], code: int, says: str
) -> None:
    Path("junk").write_text("junk\n")
    found = cli("catalog", *args, "--json")
    assert found.code == code and says in found.error["message"] + str(found.error["hint"])


def test_a_founding_catalog(cli: "Cli", vendor: Vendor) -> None:
    Path("old.refcat").write_text('{"version": 0 "components": {"a5e22878": ["path1"]}}')
    found = cli.ok("catalog", "convert", "old.refcat")
    assert found.shapes == [{"version": 0, "components": {"a5e22878": ["path1"]}}]
    assert "line 1: a comma is missing" in found.err
    *_, shape = cli.ok("catalog", "convert", "old.refcat", "--json").shapes
    check(shape)
    cli.ok("release", "init", "old")
    found = cli("catalog", "convert", "old.refcat", "--into", "old")
    assert found.code == 5 and "not at hand" in found.err
    cli.ok("catalog", "convert", "old.refcat", "--into", "old", "--dry-run")
    digest = identify(b"one\n").digest.hex()
    Path("old.refcat").write_text(f'{{"version": 0, "components": {{"{digest[:9]}": ["t"]}}}}')
    (vendor.build / "tool").write_text("one\n")
    line = cli.ok("catalog", "convert", "old.refcat", "--into", "old", "--from", str(vendor.build))
    assert "1 version read, 1 release published" in line.out
    assert cli("catalog", "convert", "old.refcat", "--from", ".").code == 2
