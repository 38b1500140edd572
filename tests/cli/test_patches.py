"""Patch packages, from the command line: published, looked at, installed."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_json import check
from tests.kit.products import V1, V2, Products, files_in
from tests.package.test_from_spec import SPEC, place

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


pytestmark = pytest.mark.slow

V3 = {**V2, "lib/libcrm.so": b"library 2\n" * 500 + b"library 3\n"}


class Shipped:
    """Three releases of crm: each in full, and patches between them."""

    def __init__(self, place: Path, root: Path) -> None:
        self.products = Products(place)
        self.full = []
        self._patches = {}
        for number, files in enumerate((V1, V2, V3)):
            self.full.append(self.products.pack(files, f"4.{number}.0", root=str(root)))
            with self.products.vendor.open() as ws:
                for since in range(number):
                    made = ws.vendors.pack("crm", number, place, since=since)
                    self._patches[since, number] = str(made.path)

    def patch(self, since: int, number: int) -> str:
        return self._patches[since, number]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "opt" / "crm"


@pytest.fixture
def shipped(cli: "Cli", tmp_path: Path, root: Path) -> Shipped:
    cli.ok("init")
    return Shipped(tmp_path / "vendor", root)


def test_patches_are_published_beside_the_package(cli: "Cli", tmp_path: Path) -> None:
    place(tmp_path)
    cli.ok("init")
    cli.ok("release", "init", "crm")
    (tmp_path / "crm.toml").write_text(SPEC)
    cli.ok("package", "build", str(tmp_path / "crm.toml"))
    cli.ok("release", "publish", "crm-4.1.0-1.candidate.epkg", "--out", ".")
    (tmp_path / "crm.toml").write_text(SPEC.replace('"4.1.0"', '"4.2.0"'))
    cli.ok("package", "build", str(tmp_path / "crm.toml"))
    words = ("release", "publish", "crm-4.2.0-1.candidate.epkg", "--out", ".", "--patch-from")
    for wrong, code in (("9.9", 5), ("4.2.0-1", 5), ("", 2)):
        assert cli(*words, wrong).code == code
    assert len(cli.ok("release", "list", "crm", "--json").shapes) == 1
    published, full, patch = cli.ok(*words, "4.1.0-1", "--json").shapes
    for shape in (published, full, patch):
        check(shape)
    assert (full["since"], patch["since"]) == (None, 0)
    assert patch["file"].endswith("/crm-4.1.0-1_4.2.0-1.patch.epkg")
    again = cli.ok(*words, "4.1.0-1,0").out
    assert again.count("there already: ") == 2
    [shown] = cli.ok("package", "show", patch["file"], "--json").shapes
    check(shown)
    assert (shown["since"], shown["release"]) == (0, 1)
    assert "patch of     4.1.0-1 (0)\n" in cli.ok("package", "show", patch["file"]).out
    [sound] = cli.ok("package", "verify", patch["file"], "--json").shapes
    check(sound)
    found = cli("--store", "nowhere", "package", "show", patch["file"])
    assert found.code == 5 and "a patch of 4.1.0-1 (0), which is not here" in found.err
    assert cli.ok("package", "diff", full["file"], patch["file"]).out == ""
    assert cli("release", "publish", patch["file"]).code == 2


def test_an_upgrade_by_a_patch_is_that_of_the_whole_package(
    cli: "Cli", shipped: Shipped, root: Path
) -> None:
    cli.ok("install", str(shipped.full[0]))
    _, plan = cli.ok("upgrade", shipped.patch(0, 1), "--dry-run", "--json").shapes
    assert files_in(root) == V1
    _, result = cli.ok("upgrade", shipped.patch(0, 1), "--json").shapes
    counts = ("added", "modified", "removed", "kept", "from")
    assert [plan[key] for key in counts] == [result[key] for key in counts]
    assert files_in(root) == V2
    cli.ok("verify")
    cli.ok("install", shipped.patch(1, 2))
    assert files_in(root) == V3
    cli.ok("undo")
    cli.ok("undo")
    assert files_in(root) == V1
    cli.ok("upgrade", shipped.patch(0, 2))
    assert files_in(root) == V3
    assert cli.ok("installed").out == "crm  crm  4.2.0-1 (2)\n"


def test_without_its_base_nothing_is_changed_and_what_helps_is_named(
    cli: "Cli", shipped: Shipped, root: Path
) -> None:
    for words in (("--dry-run",), ()):
        found = cli("install", shipped.patch(0, 1), *words)
        assert found.code == 5
        assert "a patch of 4.0.0-1 (0), which is not here" in found.err
        assert "the full package of 4.1.0-1, or first that of 4.0.0-1" in found.err
    assert not root.exists()


def test_contents_that_are_not_here_are_named_before_anything_is_changed(
    cli: "Cli", shipped: Shipped, root: Path, tmp_path: Path
) -> None:
    """The lines of its base are here, as after a collection."""
    lines = tmp_path / "crm.refcat"
    with shipped.products.vendor.open() as ws:
        lines.write_bytes(b"".join(ws.catalogs.export("crm")))
    cli.ok("catalog", "import", str(lines))
    for words in (("--dry-run",), ()):
        found = cli("install", shipped.patch(0, 1), *words)
        assert found.code == 5, found.err
        assert "a patch of 4.0.0-1 (0), and 2 contents of that are not here" in found.err
        assert "the full package of 4.1.0-1, or first that of 4.0.0-1" in found.err
    assert not root.exists()
    cli.ok("install", str(shipped.full[1]))
    assert files_in(root) == V2
