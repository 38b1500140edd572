"""Patch packages: what leads from one release to another, and no more."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from epmstore.catalog.packaging import Package
from epmstore.clock import FixedClock
from epmstore.digest import identify
from epmstore.errors import BadPackageError, ForkError, UsageError, VersionNotFoundError
from epmstore.package.inspection import look, unpack, verify_package
from epmstore.package.patch_base import PatchBase
from epmstore.package.patching import step_between
from epmstore.progress import SILENT
from epmstore.store.deposit import Deposit
from tests.kit.vendors import Importer, Vendor, file
from tests.package.makers import everything, pack, release
from tests.package.test_taking import contents, take

BIG = random.Random(1).randbytes(40_000)
LIKE = BIG[:20_000] + b"patched" + BIG[20_000:]
OLD = {"bin/crmd": BIG, "etc/same": b"same", "share/gone": b"gone"}
NEW = {"bin/crmd": LIKE, "etc/same": b"same", "share/new": b"quite new"}
LATER = {**NEW, "bin/crmd": LIKE + b"again", "share/new": b"newer"}


@pytest.fixture
def vendor(tmp_path: Path) -> Vendor:
    """Three releases, each in a package of its own; and patches from each to each."""
    vendor = Vendor(tmp_path)
    for number, files in enumerate((OLD, NEW, LATER)):
        release(vendor, files, Package(version=f"4.{number}.0", build=1))
        with vendor.open() as ws:
            for since in (None, *range(number)):
                ws.vendors.pack("crm", number, tmp_path, since=since)
    return vendor


def full(place: Path, number: int) -> Path:
    return place / f"crm-4.{number}.0-1.epkg"


def patch(place: Path, since: int, number: int) -> Path:
    return place / f"crm-4.{since}.0-1_4.{number}.0-1.patch.epkg"


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchall()


def test_a_patch_has_the_lines_and_contents_that_its_base_lacks(
    vendor: Vendor, tmp_path: Path
) -> None:
    path = patch(tmp_path, 0, 1)
    assert set(rows(path, "SELECT sha256, base FROM blobs")) == {
        (identify(LIKE).sha256, identify(BIG).sha256),
        (identify(b"quite new").sha256, None),
    }
    whole = rows(full(tmp_path, 1), "SELECT seq FROM catalog")
    mine = rows(path, "SELECT seq FROM catalog")
    assert 0 < len(mine) < len(whole) and mine[-1] == whole[-1]
    assert rows(path, "SELECT path FROM paths ORDER BY path") == [("bin/crmd",), ("share/new",)]
    assert path.stat().st_size < full(tmp_path, 1).stat().st_size


def test_patches_lead_from_release_to_release(vendor: Vendor, tmp_path: Path) -> None:
    """A difference to a difference is stored anew, and read."""
    host = Importer(tmp_path)
    take(host, full(tmp_path, 0))
    assert take(host, patch(tmp_path, 0, 1)).release.version == 1
    assert contents(host, 1) == NEW
    take(host, patch(tmp_path, 1, 2))
    assert contents(host, 2) == LATER
    before = everything(host)
    take(host, patch(tmp_path, 0, 1))  # known: nothing is appended, nothing goes back
    assert {name for name, _ in everything(host)} == {name for name, _ in before}
    with host.open() as ws:
        assert ws.care.fsck(read_data=True).clean


def test_a_patch_over_several_releases(vendor: Vendor, tmp_path: Path) -> None:
    host = Importer(tmp_path)
    take(host, full(tmp_path, 0))
    assert take(host, patch(tmp_path, 0, 2)).release.version == 2
    assert contents(host, 2) == LATER


def test_the_release_that_is_missing_is_named(vendor: Vendor, tmp_path: Path) -> None:
    host = Importer(tmp_path)
    for known in (False, True):
        if known:
            take(host, full(tmp_path, 0))
        before = everything(host)
        with pytest.raises(VersionNotFoundError) as caught:
            take(host, patch(tmp_path, 1, 2))
        assert caught.value.exit_code == 5
        assert caught.value.message == "it is a patch of 4.1.0-1 (1), which is not here"
        assert caught.value.hint == (
            "it needs the full package of 4.2.0-1, or first that of 4.1.0-1"
        )
        assert everything(host) == before


def test_contents_that_were_collected_are_missed_before_anything_is_read(
    vendor: Vendor, tmp_path: Path
) -> None:
    host = Importer(tmp_path)
    with vendor.open() as ws:
        lines = b"".join(ws.catalogs.export("crm"))
    (tmp_path / "crm.refcat").write_bytes(lines)
    with host.open() as ws:
        ws.catalogs.import_(tmp_path / "crm.refcat")
    before = everything(host)
    with pytest.raises(VersionNotFoundError) as caught:
        take(host, patch(tmp_path, 0, 1))
    assert caught.value.message == (
        "it is a patch of 4.0.0-1 (0), and 2 contents of that are not here"
    )
    assert "full package of 4.1.0-1" in (caught.value.hint or "")
    assert everything(host) == before
    take(host, full(tmp_path, 1))
    take(host, patch(tmp_path, 1, 2))
    assert contents(host, 2) == LATER


def test_another_release_of_the_number_is_a_fork(vendor: Vendor, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other, host = Vendor(tmp_path / "other"), Importer(tmp_path)
    release(other, {**OLD, "bin/crmd": b"another"}, Package(version="4.0.0", build=1))
    pack(other, tmp_path / "other.epkg")
    take(host, tmp_path / "other.epkg")
    before = everything(host)
    with pytest.raises(ForkError, match="is another one here"):
        take(host, patch(tmp_path, 0, 1))
    assert everything(host) == before


def test_parts_that_the_base_has_are_not_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epmstore.store.deposit.PART_THRESHOLD", 1 << 20)
    monkeypatch.setattr("epmstore.package.inspection.PART_THRESHOLD", 1 << 20)
    monkeypatch.setattr("epmstore.checkout.files.PART_THRESHOLD", 1 << 20)
    rng = random.Random(1)
    first, second, third = (rng.randbytes(4 << 20) for _ in range(3))
    old = first + second + third
    new = first + second[:1000] + b"patch" + second[1005:] + third + b"more"
    vendor, host = Vendor(tmp_path), Importer(tmp_path)

    def pieces(data: bytes) -> Iterator[bytes]:
        yield data

    for number, data in enumerate((old, new)):
        with vendor.open() as ws, Deposit(ws._store) as deposit:
            deposit.add_stream(pieces(data), len(data))
            deposit.commit()
        release(vendor, {"image": data}, Package(version=f"4.{number}.0", build=1))
        with vendor.open() as ws:
            for since in (None, *range(number)):
                ws.vendors.pack("crm", number, tmp_path, since=since)
    path = patch(tmp_path, 0, 1)
    assert path.stat().st_size < 200_000
    take(host, full(tmp_path, 0))
    take(host, path)
    assert contents(host, 1) == {"image": new}
    with host.open() as ws:
        find = lambda path: PatchBase(ws._store, path)  # noqa: E731
        assert verify_package(path, tmp_path, SILENT, find).contents == 1
        unpack(path, tmp_path / "out", tmp_path, FixedClock(), SILENT, None, find)
    assert (tmp_path / "out" / "image").read_bytes() == new


def test_a_patch_is_looked_at_beside_its_base(vendor: Vendor, tmp_path: Path) -> None:
    path, out = patch(tmp_path, 0, 2), tmp_path / "out"
    with pytest.raises(VersionNotFoundError, match=r"a patch of 4.0.0-1 \(0\), which is not here"):
        look(path, tmp_path, SILENT)
    host = Importer(tmp_path)
    take(host, full(tmp_path, 0))
    with host.open() as ws:
        find = lambda path: PatchBase(ws._store, path)  # noqa: E731
        found = look(path, tmp_path, SILENT, find)
        assert (found.title, found.since and found.since.version) == ("4.2.0-1 (2)", 0)
        assert verify_package(path, tmp_path, SILENT, find).contents == 2
        unpack(path, out, tmp_path, FixedClock(), SILENT, None, find)
    assert {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()} == LATER


def test_tables_of_a_patch_that_say_something_else_are_found(
    vendor: Vendor, tmp_path: Path
) -> None:
    path, host = patch(tmp_path, 0, 1), Importer(tmp_path)
    take(host, full(tmp_path, 0))
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE paths SET mode = 0 WHERE path = 'share/new'")
    with host.open() as ws, pytest.raises(BadPackageError, match="table paths does not say"):
        verify_package(path, tmp_path, SILENT, lambda path: PatchBase(ws._store, path))


def test_a_patch_leads_forward(vendor: Vendor, tmp_path: Path) -> None:
    with vendor.open() as ws:
        for since in (1, 2):
            with pytest.raises(UsageError, match="a patch leads to a newer release"):
                ws.vendors.pack("crm", 1, tmp_path, since=since)
        assert not ws.vendors.pack("crm", 1, tmp_path, since=0).written


def test_a_moved_file_is_compared_with_the_one_of_its_name() -> None:
    old = [file("crm-4.0/a/x.c", b"a"), file("crm-4.0/b/x.c", b"b"), file("stays", b"s")]
    new = [file("crm-4.1/b/x.c", b"b2"), file("other.c", b"o"), file("stays", b"s2")]
    step = step_between(old, new, 7)
    assert {key.hex(): base for key, base in step.bases.items()} == {
        identify(b"b2").sha256.hex(): identify(b"b"),
        identify(b"s2").sha256.hex(): identify(b"s"),
    }
