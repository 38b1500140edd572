"""What looks after a store knows the second kind of catalog."""

from pathlib import Path

import pytest

from epmstore.digest import identify
from epmstore.refcat.trust import TrustRecord
from tests.kit.vendors import CRM, Vendor, releases


@pytest.fixture
def vendor(tmp_path: Path) -> Vendor:
    made = Vendor(tmp_path)
    made.release({"bin/a": b"old" * 999})
    made.release({"bin/a": b"new" * 999})
    return made


def test_a_collection_keeps_what_releases_name(vendor: Vendor) -> None:
    with vendor.open() as ws:
        ws.care.gc()
        for data in (b"old" * 999, b"new" * 999):
            assert ws._store.blobs.read(identify(data)) == data


def test_a_check_is_clean_and_a_content_never_had_is_no_damage(vendor: Vendor) -> None:
    vendor.release({"bin/a": b"elsewhere"}, stored=False)
    with vendor.open() as ws:
        assert ws.care.fsck(read_data=1.0).clean
        assert [e.path for e in releases(ws._store).missing(releases(ws._store).tree(2))] == [
            "bin/a"
        ]
        assert not releases(ws._store).missing(releases(ws._store).tree(1))


def test_a_check_finds_an_edited_line(vendor: Vendor) -> None:
    path = vendor.path / "catalogs" / f"{CRM}.refcat.zst"
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    with vendor.open() as ws:
        report = ws.care.fsck()
    assert [(f.kind, f.file) for f in report.findings][:1] == [
        ("damaged", f"catalogs/{CRM}.refcat.zst")
    ]


def test_a_torn_tail_is_cut_by_the_next_release(vendor: Vendor) -> None:
    path = vendor.path / "catalogs" / f"{CRM}.refcat.zst"
    with path.open("ab") as file:
        file.write(b"torn")
    vendor.release({"bin/a": b"newer"})
    with vendor.open() as ws:
        assert len(releases(ws._store).all()) == 3
        assert ws.care.fsck().clean


def test_a_copy_has_the_releases(vendor: Vendor, tmp_path: Path) -> None:
    with vendor.open() as ws:
        (tmp_path / "file").write_bytes(b"".join(ws.catalogs.export("crm")))
        ws.catalogs.import_(tmp_path / "file")
        known = ws.catalogs.trust_record("crm")
        ws.care.copy(tmp_path / "copy")
        ws.care.copy(tmp_path / "copy")
    vendor.path = tmp_path / "copy"
    with vendor.open() as ws:
        assert len(releases(ws._store).all()) == 2
        assert ws.catalogs.trust_record("crm") == known != TrustRecord()
        assert ws.care.fsck(read_data=1.0).clean


def test_lost_contents_of_a_host_are_damage_even_if_released(
    vendor: Vendor, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").write_bytes(b"host")
    vendor.release({"bin/a": b"host"}, stored=False)
    with vendor.open() as ws:
        ws.apps.add("crm", root)
        ws.app("crm").snapshot()
        logs = [path for path in (vendor.path / "packs/log").iterdir() if path.stat().st_size]
    assert logs
    for path in logs:
        path.unlink()
    (root / "file").unlink()
    with vendor.open() as ws:
        report = ws.care.fsck()
    assert {"crm"} <= {app for f in report.findings for app, _ in f.versions}


def test_stats_count_hosts_alone(vendor: Vendor) -> None:
    with vendor.open() as ws:
        found = ws.care.stats()
    assert (found.apps, found.versions) == (0, 0)
