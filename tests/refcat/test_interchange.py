"""Catalogs from elsewhere: what an import takes over, and what it refuses."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from epmstore import codec
from epmstore.catalog.format import moved_line, position_behind
from epmstore.catalog.model import START, Requirement
from epmstore.digest import identify
from epmstore.errors import (
    BadCatalogError,
    ConflictError,
    ForkError,
    OlderError,
)
from epmstore.index.database import VENDOR
from epmstore.refcat import interchange
from epmstore.refcat.releases import Releases
from epmstore.store import replay
from tests.kit.vendors import CRM, R0, R1, SERVER, Importer, Vendor, export


@pytest.fixture
def vendor(tmp_path: Path) -> Vendor:
    made = Vendor(tmp_path)
    made.release(R0, "1.0")
    return made


@pytest.fixture
def host(tmp_path: Path) -> Importer:
    return Importer(tmp_path)


def test_an_import_takes_over_what_is_new(vendor: Vendor, host: Importer, tmp_path: Path) -> None:
    with host.open() as ws:
        first = ws.catalogs.import_(export(vendor, tmp_path / "crm.refcat"))
    assert (first.before, first.latest and first.latest.version) == (None, 0)
    vendor.release(R1, "1.1")
    vendor.release(R0, "1.2")
    path = export(vendor, tmp_path / "crm.refcat")
    with host.open() as ws:
        second = ws.catalogs.import_(path)
        assert (second.before, second.latest and second.latest.label) == (0, "1.2")
        again = ws.catalogs.import_(path)
        assert again.lines == 0 and again.latest == second.latest
        assert b"".join(ws.catalogs.export("crm")) == path.read_bytes()
        assert ws.care.fsck().clean
        assert [e.release for e in ws.catalogs.trust_record("crm").imports] == [0, 2, 2]
    with vendor.open() as ws, host.open() as here:
        ours, theirs = Releases(here._store, CRM), Releases(ws._store, CRM)
        assert ours.all() == theirs.all()
        assert [list(ours.tree(n)) for n in range(3)] == [list(theirs.tree(n)) for n in range(3)]


@pytest.mark.parametrize(
    "form",
    [
        bytes,
        codec.compress,
        lambda plain: b"".join(codec.compress(line) for line in plain.splitlines(keepends=True)),
    ],
    ids=["plain", "compressed", "line by line"],
)
def test_forms_that_are_read(
    vendor: Vendor, host: Importer, tmp_path: Path, form: Callable[[bytes], bytes]
) -> None:
    path = export(vendor, tmp_path / "crm.refcat")
    path.write_bytes(form(path.read_bytes()))
    with host.open() as ws:
        ws.catalogs.import_(path)
    assert host.latest() == 0


def test_a_stores_own_file_is_read(vendor: Vendor, host: Importer) -> None:
    with host.open() as ws:
        ws.catalogs.import_(vendor.path / "catalogs" / f"{CRM}.refcat.zst")
    assert host.latest() == 0


def test_import_keeps_fields_of_a_later_program(
    vendor: Vendor, host: Importer, tmp_path: Path
) -> None:
    about, release = export(vendor, tmp_path / "crm.refcat").read_bytes().splitlines(keepends=True)
    release = release.replace(b'"type":', b'"channel":{"summary":"customers"},"type":')
    note = b'{"seq":2,"prev":"","type":"note","format":1,"time":"2026-11-30T12:00:00.000Z"}\n'
    lines, at = [], START
    for line in (about, release, note):
        lines.append(moved_line(line, at))
        at = position_behind(at, lines[-1], 0)
    (tmp_path / "later").write_bytes(b"".join(lines))
    with host.open() as ws:
        ws.catalogs.import_(tmp_path / "later")
    for _ in range(2):
        with host.open() as ws:
            assert b"".join(ws.catalogs.export("crm")) == b"".join(lines)
            kept = [one.form for one in ws._store.entries.records(f"{CRM}{VENDOR}")]
            assert b'"channel":{"summary":"customers"}' in kept[1] and kept[2] == lines[2]
            ws.care.rebuild()


def test_nothing_ever_goes_back(vendor: Vendor, host: Importer, tmp_path: Path) -> None:
    old = export(vendor, tmp_path / "old")
    vendor.release(R1)
    with host.open() as ws:
        ws.catalogs.import_(export(vendor, tmp_path / "new"))
        with pytest.raises(OlderError, match=r"ends with release 0 .* here are release 1"):
            ws.catalogs.import_(old)
    assert host.latest() == 1


def test_a_fork_is_named_and_refused(vendor: Vendor, host: Importer, tmp_path: Path) -> None:
    shutil.copytree(vendor.path, tmp_path / "other/vendor")
    other = Vendor.__new__(Vendor)
    other.path, other.clock, other.about = tmp_path / "other/vendor", vendor.clock, vendor.about
    vendor.release(R1, "1.1")
    vendor.release(R0, "1.2")
    other.release({"bin/a": b"evil"}, "1.1")
    other.release({"bin/a": b"evil2"}, "1.2")
    other.release({"bin/a": b"evil3"}, "1.3")
    with host.open() as ws:
        ws.catalogs.import_(export(vendor, tmp_path / "good"))
        with pytest.raises(ForkError, match="line 3: release 1 of crm is another one here") as e:
            ws.catalogs.import_(export(other, tmp_path / "evil"))
        assert e.value.data["release"] == 1 and e.value.data["line"] == 3
        with pytest.raises(ForkError):
            ws.catalogs.check(tmp_path / "evil")
        assert Releases(ws._store, CRM).all()[1].label == "1.1" and host.latest() == 2


def test_an_import_that_is_cut_short_goes_on(
    vendor: Vendor, host: Importer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        vendor.release({"bin/a": b"%d" % number * 999})
    path = export(vendor, tmp_path / "crm.refcat")
    monkeypatch.setattr(interchange, "STEP", 1)
    real = replay.enter_records
    calls: list[int] = []

    def fail(*args: object) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr("epmstore.refcat.interchange.enter_records", fail)
    with host.open() as ws, pytest.raises(KeyboardInterrupt):
        ws.catalogs.import_(path)
    monkeypatch.setattr("epmstore.refcat.interchange.enter_records", real)
    with host.open() as ws:
        assert ws.care.fsck().clean
        assert 0 < len(Releases(ws._store, CRM).all()) < 7
        ws.catalogs.import_(path)
        assert b"".join(ws.catalogs.export("crm")) == path.read_bytes()


def test_a_content_that_another_has_the_address_of_is_refused(
    vendor: Vendor, host: Importer, tmp_path: Path
) -> None:
    plain = export(vendor, tmp_path / "a").read_bytes()
    a0 = identify(b"a0")
    assert a0.sha256.hex().encode() in plain
    (tmp_path / "root").mkdir()
    (tmp_path / "root/a").write_bytes(b"a0")
    with host.open() as ws:
        ws.apps.add("x", tmp_path / "root")
        ws.app("x").snapshot()
        with ws._store.database.write() as db:
            db.execute("UPDATE contents SET sha256 = ? WHERE sha1 = ?", (bytes(32), a0.digest))
        with pytest.raises(ConflictError, match="another content"):
            ws.catalogs.check(tmp_path / "a")


def test_two_applications_of_one_key_are_refused(
    vendor: Vendor, host: Importer, tmp_path: Path
) -> None:
    (tmp_path / "b").mkdir()
    other = Vendor(tmp_path / "b", app=SERVER, key="crm")
    other.release(R1)
    with host.open() as ws:
        ws.catalogs.import_(export(vendor, tmp_path / "one"))
        with pytest.raises(ConflictError, match="another application 'crm'"):
            ws.catalogs.import_(export(other, tmp_path / "two"))


def test_a_circle_with_what_is_here_is_refused(
    vendor: Vendor, host: Importer, tmp_path: Path
) -> None:
    (tmp_path / "b").mkdir()
    server = Vendor(tmp_path / "b", app=SERVER, key="server")
    server.release(R1, requires=(Requirement(app=CRM),))
    with server.open() as ws:
        (tmp_path / "server").write_bytes(b"".join(ws.catalogs.export("server")))
    vendor.release(R1, requires=(Requirement(app=SERVER),))
    with host.open() as ws:
        ws.catalogs.import_(tmp_path / "server")
        with pytest.raises(BadCatalogError, match="line 3: a circle"):
            ws.catalogs.import_(export(vendor, tmp_path / "crm"))


# Applications of the host.


def test_an_application_of_that_key_is_compared_with_it(
    vendor: Vendor, host: Importer, tmp_path: Path
) -> None:
    (tmp_path / "root").mkdir()
    path = export(vendor, tmp_path / "crm.refcat")
    with host.open() as ws:
        ws.apps.add("crm", tmp_path / "root")
        assert ws.catalogs.import_(path).bound == ("crm",)
        assert ws.catalogs.import_(path).bound == ()
        assert Releases.of(ws._store, ws.apps.get("crm")).latest() is not None


def test_an_application_that_comes_later_gets_its_vendors_patterns_proposed(
    vendor: Vendor, host: Importer, tmp_path: Path
) -> None:
    (tmp_path / "root").mkdir()
    with host.open() as ws:
        ws.catalogs.import_(export(vendor, tmp_path / "crm.refcat"))
        added = ws.apps.add("crm", tmp_path / "root")
        found = [(p.path_class, p.pattern, p.why) for p in added.proposals]
        assert ("config", "etc/", "its vendor says so") in found
        assert Releases.of(ws._store, ws.apps.get("crm")).exists()


def test_another_application_can_be_named(vendor: Vendor, host: Importer, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    with host.open() as ws:
        ws.apps.add("crm-test", tmp_path / "root")
        found = ws.catalogs.import_(export(vendor, tmp_path / "crm.refcat"), app="crm-test")
        assert found.bound == ("crm-test",)


# Clones.


def test_a_clone_brings_contents_along(vendor: Vendor, host: Importer) -> None:
    vendor.release(R1, "1.1")
    with host.open() as ws:
        bare = ws.catalogs.clone(vendor.path, "crm")
        assert bare.contents == 0 and bare.imported.latest is not None
        found = Releases(ws._store, CRM)
        assert len(found.missing(found.tree(1))) == 2
        assert ws.catalogs.clone(vendor.path, "crm", contents=["1.1"]).contents == 2
        assert not found.missing(found.tree(1)) and len(found.missing(found.tree(0))) == 1
        assert ws.catalogs.clone(vendor.path, "crm", contents=["all"]).contents == 1
        assert ws._store.blobs.read(identify(b"a0")) == b"a0"
        ws.care.gc()
        assert not found.missing(found.tree(0))
        with pytest.raises(ConflictError, match="this store itself"):
            ws.catalogs.clone(host.path, "crm")


# Signatures.
