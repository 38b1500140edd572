"""A package goes from a vendor's store to a host's."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pysequoia import Tsk

from epmstore.catalog.packaging import Package
from epmstore.digest import identify
from epmstore.errors import (
    BadPackageError,
    EpmError,
    ForkError,
    NoStoreError,
    UntrustedError,
    VersionNotFoundError,
)
from epmstore.package.package_reader import is_package
from epmstore.package.taking import Arrived, Consent, check_package, take_package
from epmstore.progress import SILENT
from epmstore.refcat.releases import Releases
from epmstore.refcat.signature import sign_file
from epmstore.store.deposit import Deposit
from tests.kit.vendors import CRM, Importer, Vendor
from tests.package.makers import FILES, everything, pack, packed, release

V1 = Package(version="4.1.0", build=1)
V2 = Package(version="4.2.0", build=1)


def take(host: Importer, path: Path, consent: Consent = Consent()) -> Arrived:  # noqa: B008 - frozen
    with host.open() as ws:
        return take_package(ws._store, path, consent, SILENT)


def contents(host: Importer, number: int = 0) -> dict[str, bytes]:
    with host.open() as ws:
        found = Releases(ws._store, CRM)
        assert found.missing(found.tree(number)) == []
        return {
            entry.path: b"".join(ws._store.blobs.stream(entry.content))
            for entry in found.tree(number)
            if entry.content is not None
        }


def test_all_of_a_release_comes(tmp_path: Path) -> None:
    path, host = packed(tmp_path), Importer(tmp_path)
    arrived = take(host, path)
    assert (arrived.release.version, arrived.contents) == (0, len(FILES))
    assert contents(host) == FILES
    assert is_package(path)


def test_contents_that_are_here_are_not_stored_again(tmp_path: Path) -> None:
    path, host = packed(tmp_path), Importer(tmp_path)
    take(host, path)
    before = {name for name, _ in everything(host) if name.startswith(("packs", "catalogs"))}
    arrived = take(host, path)
    assert arrived.incoming.new == len(arrived.incoming.lines)
    after = {name for name, _ in everything(host) if name.startswith(("packs", "catalogs"))}
    assert after == before


def test_a_check_leaves_nothing(tmp_path: Path) -> None:
    path, host = packed(tmp_path), Importer(tmp_path)
    before = everything(host)
    with host.open() as ws:
        assert check_package(ws._store, path, Consent(), SILENT).contents == len(FILES)
    assert everything(host) == before


def test_the_next_release_has_only_its_own_contents(tmp_path: Path) -> None:
    """Frames that older releases are in, too, are not given away; nor are deltas."""
    vendor, host = Vendor(tmp_path), Importer(tmp_path)
    release(vendor, {"a": b"a" * 5000, "old": b"only in 4.1.0"}, V1)
    release(vendor, {"a": b"a" * 5000 + b"b", "new": b"only in 4.2.0"}, V2)
    pack(vendor, tmp_path / "crm.epkg", 1)
    with closing(sqlite3.connect(tmp_path / "crm.epkg")) as db:
        held = {row[0] for row in db.execute("SELECT sha256 FROM blobs")}
        assert not list(db.execute("SELECT 1 FROM blobs WHERE base IS NOT NULL"))
    assert held == {identify(b"a" * 5000 + b"b").sha256, identify(b"only in 4.2.0").sha256}
    take(host, tmp_path / "crm.epkg")
    assert contents(host, 1) == {"a": b"a" * 5000 + b"b", "new": b"only in 4.2.0"}


def test_large_contents_come_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epmstore.store.deposit.PART_THRESHOLD", 1 << 20)
    rng = random.Random(1)
    data = rng.randbytes(3 << 20) + bytes(9 << 20) + b"end"
    vendor, host = Vendor(tmp_path), Importer(tmp_path)

    def pieces() -> Iterator[bytes]:
        yield data

    with vendor.open() as ws, Deposit(ws._store) as deposit:
        deposit.add_stream(pieces(), len(data))
        deposit.commit()
    release(vendor, {"image": data, **FILES}, V1)
    pack(vendor, tmp_path / "crm.epkg")
    with closing(sqlite3.connect(tmp_path / "crm.epkg")) as db:
        assert db.execute("SELECT count(*) FROM parts").fetchone()[0] >= 3
    take(host, tmp_path / "crm.epkg")
    assert contents(host) == {"image": data, **FILES}


def test_a_release_that_is_another_one_here_is_a_fork(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    for place in (mine, theirs):
        place.mkdir()
    host = Importer(tmp_path)
    take(host, packed(mine))
    before = everything(host)
    with pytest.raises(ForkError, match="release 0 of crm is another one here"):
        take(host, packed(theirs, {"bin/crmd": b"another"}))
    assert everything(host) == before


def test_the_signature_is_of_the_file(tmp_path: Path) -> None:
    path, host = packed(tmp_path), Importer(tmp_path)
    beside = path.with_name(path.name + ".asc")
    secret = Tsk.generate("V <v@example.org>")
    sign_file(path, beside, bytes(secret))
    with pytest.raises(UntrustedError):
        take(host, path)
    with host.open() as ws:
        key = ws.catalogs.trust(bytes(secret.extract_certificate()))
    assert take(host, path).incoming.signer == key
    data = beside.read_bytes()
    beside.unlink()
    with pytest.raises(UntrustedError, match="came signed before"):
        take(host, path)
    take(host, path, Consent(allow_unsigned=True))
    beside.write_bytes(data)
    with path.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"!")
    with pytest.raises(EpmError, match="is not one of these bytes"):
        take(host, path)


def lines_from(path: Path, start: int) -> None:
    """Make a package of later lines of one of all."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM catalog WHERE seq < ?", (start,))
        db.execute("PRAGMA secure_delete=ON")
    with closing(sqlite3.connect(path)) as db:
        db.execute("VACUUM")


def test_a_package_of_later_lines_goes_on_from_what_is_here(tmp_path: Path) -> None:
    vendor, host, other = Vendor(tmp_path), Importer(tmp_path), Importer(tmp_path / "other")
    release(vendor, {"a": b"1", "b": b"same"}, V1)
    release(vendor, {"a": b"2", "b": b"same"}, V2)
    first, patch = tmp_path / "first.epkg", tmp_path / "patch.epkg"
    pack(vendor, first, 0)
    pack(vendor, patch, 1)
    lines_from(patch, 2)
    with pytest.raises(VersionNotFoundError, match="is not here") as caught:
        take(other, patch)
    assert caught.value.exit_code == 5
    take(host, first)
    arrived = take(host, patch).incoming
    assert (arrived.after[0], arrived.new, arrived.end) == (2, 0, 3)
    assert contents(host, 1) == {"a": b"2", "b": b"same"}
    take(host, patch)
    assert host.latest() == 1


def test_a_package_of_an_older_release_brings_its_contents(tmp_path: Path) -> None:
    """The catalog that is here goes on from its lines: nothing is appended, nothing goes back."""
    vendor, host = Vendor(tmp_path), Importer(tmp_path)
    release(vendor, {"a": b"1"}, V1)
    release(vendor, {"a": b"2"}, V2)
    old, new = tmp_path / "old.epkg", tmp_path / "new.epkg"
    pack(vendor, old, 0)
    pack(vendor, new, 1)
    take(host, new)
    with host.open() as ws:
        releases = Releases(ws._store, CRM)
        assert len(releases.missing(releases.tree(0))) == 1
    arrived = take(host, old)
    assert (arrived.release.version, arrived.contents) == (0, 1)
    assert host.latest() == 1
    assert contents(host, 0) == {"a": b"1"}
    assert contents(host, 1) == {"a": b"2"}


def test_the_copy_of_a_killed_import_is_collected(tmp_path: Path) -> None:
    host = Importer(tmp_path)
    (host.path / "scratch").mkdir(mode=0o700)
    left = host.path / "scratch" / ".tmp-0123456789abcdef"
    left.write_bytes(b"x")
    with host.open() as ws:
        ws.care.gc()
    assert not left.exists()


def test_a_newer_format_is_said_to_be_one(tmp_path: Path) -> None:
    path, host = packed(tmp_path), Importer(tmp_path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=2")
    with pytest.raises(NoStoreError, match="format 2") as caught:
        take(host, path)
    assert caught.value.exit_code == 10


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    path, host = packed(tmp_path), Importer(tmp_path)
    link = tmp_path / "link.epkg"
    link.symlink_to(path)
    with pytest.raises(OSError, match="symbolic links"):
        take(host, link)


def test_contents_that_were_purged_here_do_not_come_back(tmp_path: Path) -> None:
    """Nor do its bytes, in a frame that has other contents, too."""
    vendor, host, root = Vendor(tmp_path), Importer(tmp_path), tmp_path / "root"
    release(vendor, {"a": b"kept", "secret": b"a password"}, V1)
    pack(vendor, tmp_path / "crm.epkg")
    root.mkdir()
    (root / "secret").write_bytes(b"a password")
    with host.open() as ws:
        ws.apps.add("erp", root)
        ws.app("erp").snapshot()
        ws.care.purge([identify(b"a password")])
    take(host, tmp_path / "crm.epkg")
    with host.open() as ws:
        assert not ws._store.blobs.has(identify(b"a password"))
        assert ws._store.blobs.has(identify(b"kept"))
    held = b"".join(
        path.read_bytes() for path in (host.path / "packs").rglob("*") if path.is_file()
    )
    assert b"a password" not in held


def test_a_bad_content_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    path, host = packed(tmp_path), Importer(tmp_path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE blobs SET offset = offset + 1 WHERE size = 12")
    before = everything(host)
    with pytest.raises(BadPackageError, match=r"crm-4.1.0-1.epkg: \w{64} is not where"):
        take(host, path)
    assert everything(host) == before
    assert host.latest() is None
