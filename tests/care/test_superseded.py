"""Which contents of releases a host keeps."""

import random
from pathlib import Path

import pytest

from epmstore.errors import NotRestorableError
from epmstore.workspace.intended import InstallOptions
from tests.kit.host import Bare
from tests.kit.products import V1, Products, files_in

DAY = 86_400.0
DOWN = InstallOptions(downgrade=True)
pytestmark = pytest.mark.slow


def program(number: int) -> bytes:
    """So much of it that a collection is worth while."""
    return b"program %d" % number + random.Random(number).randbytes(400_000)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    crm = Products(tmp_path_factory.mktemp("vendor"))
    programs = [{**V1, "bin/crmd": program(number)} for number in range(4)]
    return [crm.pack(files, f"4.{n}.0") for n, files in enumerate(programs)]


@pytest.fixture
def host(tmp_path: Path, packages: list[Path]) -> Bare:
    """With one release after the other installed; long ago."""
    found = Bare(tmp_path / "store")
    asked = InstallOptions(root=tmp_path / "crm")
    for path in packages:
        found.clock.advance(DAY)
        with found.open() as ws:
            ws.packages.install([str(path)], asked)
    found.clock.advance(40 * DAY)
    return found


def forget(host: Bare, *versions: int) -> None:
    with host.open() as ws:
        ws.care.forget("crm", versions)
        ws.care.gc(now=True)
        assert ws.care.fsck(1.0).clean


def test_a_version_that_can_be_restored_keeps_the_release_that_it_had(
    host: Bare, tmp_path: Path
) -> None:
    forget(host)
    with host.open() as ws:
        ws.packages.install(["crm=4.0.0"], DOWN)
        assert files_in(tmp_path / "crm")["bin/crmd"].startswith(b"program 0")


def test_superseded_releases_go_with_the_versions_that_had_them(
    host: Bare, tmp_path: Path, packages: list[Path]
) -> None:
    forget(host, 0, 1, 2)
    with host.open() as ws:
        for _ in range(2):
            with pytest.raises(NotRestorableError, match="1 of"):
                ws.packages.plan_install(["crm=4.0.0"], DOWN)
            with pytest.raises(NotRestorableError) as caught:
                ws.packages.install(["crm=4.0.0"], DOWN)
            assert "epmstore install FILE" in (caught.value.hint or "")
        ws.packages.install(["crm=4.2.0"], DOWN)
        ws.packages.install([str(packages[0])], DOWN)
    assert files_in(tmp_path / "crm")["bin/crmd"].startswith(b"program 0")


def test_a_publishing_store_keeps_all(packages: list[Path]) -> None:
    with Bare(packages[0].parent / "vendor").open() as ws:
        ws.care.gc(now=True)
        [about] = ws.vendors.catalogs()
        for release in ws.vendors.releases(about.key).all():
            tree = ws.vendors.releases(about.key).tree(release.version)
            assert not ws.vendors.releases(about.key).missing(tree)
