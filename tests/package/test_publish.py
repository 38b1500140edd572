"""A candidate becomes a release, and a package that hosts take."""

from pathlib import Path

import pytest
from pysequoia import Tsk

from epmstore.errors import AppNotFoundError, ConflictError, UsageError
from epmstore.package.inspection import verify_package
from epmstore.progress import SILENT
from epmstore.relpath import RelPath
from tests.kit.vendors import CRM, Importer, Vendor
from tests.package.test_from_spec import SPEC, built
from tests.package.test_taking import contents, take


def test_a_candidate_becomes_the_next_release_and_a_package(tmp_path: Path) -> None:
    vendor, host = Vendor(tmp_path), Importer(tmp_path)
    done = built(tmp_path)
    with vendor.open() as ws:
        published = ws.vendors.publish(done.path)
        assert published.changed and published.release is not None
        assert published.release.title == "4.1.0-1 (0)"
        made = ws.vendors.pack("crm", 0, tmp_path)
    assert made.path == tmp_path / "crm-4.1.0-1.epkg"
    found = verify_package(made.path, tmp_path, SILENT)
    assert (found.title, found.release.about.app) == ("4.1.0-1 (0)", CRM)
    assert take(host, made.path).release.version == 0
    assert contents(host)["bin/crmd"] == b"program"


def test_another_build_of_the_same_is_not_published(tmp_path: Path) -> None:
    vendor = Vendor(tmp_path)
    first = built(tmp_path)
    again = built(tmp_path, SPEC.replace('"4.1.0"', '"4.1.0"\nbuild = 2'))
    other = built(tmp_path, SPEC.replace('"4.1.0"', '"4.1.1"'))
    with vendor.open() as ws:
        assert ws.vendors.publish(first.path).changed
        for path in (first.path, again.path):
            published = ws.vendors.publish(path)
            assert not published.changed
            assert published.release is not None and published.release.version == 0
        made = ws.vendors.pack("crm", 0, tmp_path)
        assert made.written
        assert not ws.vendors.pack("crm", 0, tmp_path).written
        assert ws.vendors.publish(other.path, dry_run=True).release is None
        assert ws.vendors.publish(other.path).changed
        assert [one.label for one in ws.vendors.releases("crm").all()] == ["4.1.0-1", "4.1.1-1"]


def test_a_package_of_another_release_is_not_replaced(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    for place in (mine, theirs):
        place.mkdir()
        with Vendor(place).open() as ws:
            ws.vendors.publish(built(place).path)
            if place is mine:
                path = ws.vendors.pack("crm", 0, tmp_path).path
            else:
                before = path.read_bytes()
                with pytest.raises(ConflictError, match="is another release"):
                    ws.vendors.pack("crm", 0, tmp_path)
                assert path.read_bytes() == before


def test_a_package_is_signed_once(tmp_path: Path) -> None:
    vendor, host = Vendor(tmp_path), Importer(tmp_path)
    secret = Tsk.generate("V <v@example.org>")
    with vendor.open() as ws:
        ws.vendors.publish(built(tmp_path).path)
        path = ws.vendors.pack("crm", 0, tmp_path).path
        assert ws.vendors.pack("crm", 0, tmp_path, secret=bytes(secret)).signed
        signature = path.with_name(path.name + ".asc").read_bytes()
        assert ws.vendors.pack("crm", 0, tmp_path, secret=bytes(secret)).signed
        assert path.with_name(path.name + ".asc").read_bytes() == signature
    with host.open() as ws:
        key = ws.catalogs.trust(bytes(secret.extract_certificate()))
    assert take(host, path).incoming.signer == key
    assert not list(tmp_path.glob(".tmp-*"))


def test_a_host_takes_no_candidate(tmp_path: Path) -> None:
    host, done = Importer(tmp_path), built(tmp_path)
    with pytest.raises(UsageError, match="it is a candidate"):
        take(host, done.path)


def test_a_release_is_not_published_again(tmp_path: Path) -> None:
    vendor = Vendor(tmp_path)
    with vendor.open() as ws:
        ws.vendors.publish(built(tmp_path).path)
        path = ws.vendors.pack("crm", 0, tmp_path).path
        with pytest.raises(UsageError, match="it is published already"):
            ws.vendors.publish(path)


def test_a_product_without_a_catalog_is_named(tmp_path: Path) -> None:
    vendor = Vendor(tmp_path)
    done = built(tmp_path, SPEC.replace('product = "crm"', 'product = "erp"'))
    with vendor.open() as ws, pytest.raises(AppNotFoundError, match="'erp'"):
        ws.vendors.publish(done.path)


def test_patterns_of_a_candidate_come_into_the_catalog(tmp_path: Path) -> None:
    vendor = Vendor(tmp_path)
    with vendor.open() as ws:
        ws.vendors.publish(built(tmp_path).path)
        about = ws.vendors.releases("crm").about()
        assert about is not None
        assert (about.patterns.config, about.patterns.state) == (("etc/",), ("data/",))
        tree = {entry.path: entry.path_class for entry in ws.vendors.tree("crm", 0)}
        assert tree[RelPath("etc/crm.conf")] == "config"
