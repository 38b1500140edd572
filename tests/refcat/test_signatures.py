"""Signatures of catalogs, and keys that are trusted: with gpg at the other end."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from epmstore.errors import (
    BadSignatureError,
    DamagedError,
    EpmError,
    UntrustedError,
    UsageError,
)
from epmstore.refcat.signature import check_signature, make_key, read_key
from tests.kit.vendors import CRM, R0, R1, Importer, Vendor, export

GPG = shutil.which("gpg")
needs_gpg = pytest.mark.skipif(GPG is None, reason="gpg is not installed")


@pytest.fixture
def vendor(tmp_path: Path) -> Vendor:
    made = Vendor(tmp_path)
    made.release(R0, "1.0")
    return made


@pytest.fixture
def host(tmp_path: Path) -> Importer:
    return Importer(tmp_path)


class Gpg:
    """gpg with a home of its own."""

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700)
        self.home = home
        self("--passphrase", "", "--quick-generate-key", "V <v@example.org>", "ed25519", "sign")

    def __call__(
        self, *args: str, check: bool = True, said: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        assert GPG is not None
        env = {**os.environ, "GNUPGHOME": str(self.home)}
        command = [GPG, "--batch", "--quiet", "--pinentry-mode", "loopback", *args]
        return subprocess.run(command, env=env, check=check, capture_output=True, input=said)

    def public(self) -> bytes:
        return self("--armor", "--export").stdout

    def secret(self) -> bytes:
        return self("--armor", "--export-secret-keys").stdout

    def sign(self, path: Path, *options: str) -> Path:
        target = path.with_name(path.name + ".asc")
        target.unlink(missing_ok=True)
        self(*options, "--armor", "--output", str(target), "--detach-sign", str(path))
        return target

    def revoke(self) -> bytes:
        [certificate] = (self.home / "openpgp-revocs.d").glob("*.rev")
        text = certificate.read_text().replace(":-----BEGIN", "-----BEGIN")
        certificate.write_text(text)
        self("--import", str(certificate))
        return self.public()


@pytest.fixture
def gpg(tmp_path_factory: pytest.TempPathFactory) -> Gpg:
    if GPG is None:
        pytest.skip("gpg is not installed")
    # sockets of gpg-agent have short names only
    return Gpg(Path(tmp_path_factory.mktemp("g") / "h"))


def test_import_accepts_signatures_of_gpg(
    vendor: Vendor, host: Importer, tmp_path: Path, gpg: Gpg
) -> None:
    path = export(vendor, tmp_path / "crm.refcat")
    gpg.sign(path)
    with host.open() as ws:
        key = ws.catalogs.trust(gpg.public())
        found = ws.catalogs.import_(path)
        assert found.signer is not None and found.signer.fingerprint == key.fingerprint
        assert key.names == ("V <v@example.org>",)
        assert ws.catalogs.trust_record("crm").signed


def test_gpg_accepts_signatures_made_here(
    vendor: Vendor, host: Importer, tmp_path: Path, gpg: Gpg
) -> None:
    path = export(vendor, tmp_path / "crm.refcat")
    asc = tmp_path / "crm.refcat.asc"
    with host.open() as ws:
        asc.write_bytes(ws.catalogs.sign(path.read_bytes(), gpg.secret()))
    assert b"-----BEGIN PGP SIGNATURE-----" in asc.read_bytes()
    gpg("--verify", str(asc), str(path))
    path.write_bytes(path.read_bytes() + b"\n")
    assert gpg("--verify", str(asc), str(path), check=False).returncode != 0


def test_a_signature_that_is_bad_is_an_error_and_never_none(
    vendor: Vendor, host: Importer, tmp_path: Path, gpg: Gpg
) -> None:
    path = export(vendor, tmp_path / "crm.refcat")
    asc = gpg.sign(path)
    good = asc.read_bytes()
    with host.open() as ws:
        ws.catalogs.trust(gpg.public())
        for junk in (b"", b"junk", good[:100], good[:-200], path.read_bytes()):
            asc.write_bytes(junk)
            with pytest.raises(BadSignatureError):
                ws.catalogs.import_(path)
        asc.write_bytes(good)
        path.write_bytes(path.read_bytes() + path.read_bytes())
        with pytest.raises(BadSignatureError, match="not one of these bytes"):
            ws.catalogs.import_(path)
    assert host.latest() is None


def test_a_signature_is_over_these_very_bytes(
    vendor: Vendor, host: Importer, tmp_path: Path, gpg: Gpg
) -> None:
    """Asked of the function itself: catalogs are looked at in a process of its own."""
    path = export(vendor, tmp_path / "crm.refcat")
    data, signature = path.read_bytes(), gpg.sign(path).read_bytes()
    key = read_key(gpg.public())
    assert check_signature(data, signature, [key], time.time()) == key
    with pytest.raises(BadSignatureError, match="not one of these bytes"):
        check_signature(data + data, signature, [key], time.time())


def test_a_key_that_nobody_trusts_vouches_for_nothing(
    vendor: Vendor, host: Importer, tmp_path: Path, gpg: Gpg
) -> None:
    path = export(vendor, tmp_path / "crm.refcat")
    gpg.sign(path)
    with host.open() as ws:
        with pytest.raises(UntrustedError, match="a key that is not trusted"):
            ws.catalogs.import_(path)
        key = ws.catalogs.trust(gpg.public())
        ws.catalogs.check(path)
        ws.catalogs.distrust(key.fingerprint[-16:])
        with pytest.raises(UntrustedError):
            ws.catalogs.import_(path)


def test_a_revoked_key_vouches_for_nothing(
    vendor: Vendor, host: Importer, tmp_path: Path, gpg: Gpg
) -> None:
    path = export(vendor, tmp_path / "crm.refcat")
    gpg.sign(path)
    with host.open() as ws:
        ws.catalogs.trust(gpg.public())
        ws.catalogs.check(path)
        assert ws.catalogs.trust(gpg.revoke()).revoked
        with pytest.raises(UntrustedError, match="it is revoked"):
            ws.catalogs.import_(path)


def test_a_key_that_ran_out_vouches_for_nothing(
    vendor: Vendor, host: Importer, tmp_path: Path, gpg: Gpg
) -> None:
    path = export(vendor, tmp_path / "crm.refcat")
    fingerprint = gpg("--list-keys", "--with-colons").stdout.decode().split("fpr:")[1].strip(":")
    gpg("--quick-set-expire", fingerprint.split(":")[0], "1d")
    gpg.sign(path)
    with host.open() as ws:
        key = ws.catalogs.trust(gpg.public())
        assert key.expires is not None
        host.clock.advance(key.expires - host.clock.now() - 1)
        ws.catalogs.check(path)
        host.clock.advance(2)
        with pytest.raises(UntrustedError, match="it ran out on"):
            ws.catalogs.import_(path)


@pytest.mark.parametrize("why", ["it ran out on", "it is revoked"])
def test_a_subkey_counts_no_longer_than_it_is_valid(
    vendor: Vendor, host: Importer, tmp_path: Path, gpg: Gpg, why: str
) -> None:
    """Whatever the signature says of when it was made."""
    path = export(vendor, tmp_path / "crm.refcat")
    main = gpg("--list-keys", "--with-colons").stdout.decode().split("fpr:")[1].strip(":")
    main = main.split(":")[0]
    gpg("--passphrase", "", "--quick-add-key", main, "ed25519", "sign", "5d")
    gpg.sign(path)
    with host.open() as ws:
        host.clock.advance(time.time() - host.clock.now())
        ws.catalogs.trust(gpg.public())
        ws.catalogs.check(path)
        if why == "it is revoked":
            later = ["--faked-system-time", f"{int(time.time()) + 86400}!"]
            edit = [*later, "--command-fd", "0", "--edit-key", main]
            gpg(*edit, said=b"key 1\nrevkey\ny\n2\n\ny\nsave\n")
            ws.catalogs.trust(gpg.public())
            host.clock.advance(2 * 86400)
        else:
            host.clock.advance(6 * 86400)
        with pytest.raises(UntrustedError, match=why):
            ws.catalogs.import_(path)
        gpg.sign(path, "--local-user", f"{main}!")
        ws.catalogs.import_(path)


def test_catalogs_signed_once_must_stay_signed(
    vendor: Vendor, host: Importer, tmp_path: Path, gpg: Gpg
) -> None:
    path = export(vendor, tmp_path / "crm.refcat")
    asc = gpg.sign(path)
    with host.open() as ws:
        ws.catalogs.trust(gpg.public())
        ws.catalogs.import_(path)
        asc.unlink()
        vendor.release(R1)
        export(vendor, path)
        with pytest.raises(UntrustedError, match="came signed before"):
            ws.catalogs.import_(path)
        with pytest.raises(UntrustedError, match="came signed before"):
            ws.catalogs.clone(vendor.path, "crm")
        assert host.latest() == 0
        ws.catalogs.import_(path, allow_unsigned=True)
        assert ws.catalogs.trust_record("crm").signed


def test_that_it_came_signed_is_known_whatever_interrupts_the_import(
    vendor: Vendor, host: Importer, tmp_path: Path, gpg: Gpg, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = export(vendor, tmp_path / "crm.refcat")
    asc = gpg.sign(path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with host.open() as ws:
        ws.catalogs.trust(gpg.public())
        monkeypatch.setattr("epmstore.refcat.interchange.Import", killed)
        with pytest.raises(KeyboardInterrupt):
            ws.catalogs.import_(path)
        monkeypatch.undo()
        assert host.latest() == 0
        asc.unlink()
        with pytest.raises(UntrustedError, match="came signed before"):
            ws.catalogs.import_(path)


def test_a_key_is_read_within_limits_before_it_is_trusted(
    host: Importer, gpg: Gpg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epmstore.refcat.rehearsal.MEMORY", 0)
    with host.open() as ws:
        with pytest.raises(EpmError, match=r"^the key cannot be read: ") as caught:
            ws.catalogs.trust(gpg.public())
        assert type(caught.value) is EpmError
        with pytest.raises(UsageError, match="no more than"):
            ws.catalogs.trust(bytes(2 << 20))
        assert ws.catalogs.trusted() == []


def test_a_secret_key_that_is_not_armored_is_not_taken_for_a_public_one() -> None:
    secret, public = make_key("V <v@example.org>")
    with pytest.raises(UsageError, match="secret key"):
        read_key(secret)
    assert read_key(public).names == ("V <v@example.org>",)


def test_secret_keys_and_junk_are_not_trusted(host: Importer, gpg: Gpg) -> None:
    with host.open() as ws:
        with pytest.raises(UsageError, match="secret key"):
            ws.catalogs.trust(gpg.secret())
        with pytest.raises(UsageError, match="no OpenPGP key"):
            ws.catalogs.trust(b"junk")
        with pytest.raises(UsageError, match="no secret key"):
            ws.catalogs.sign(b"x", gpg.public())
        assert ws.catalogs.trusted() == []


def test_a_flipped_bit_in_what_is_remembered_is_found(
    vendor: Vendor, host: Importer, tmp_path: Path
) -> None:
    path = export(vendor, tmp_path / "crm.refcat")
    with host.open() as ws:
        ws.catalogs.import_(path)
        note = host.path / "trust" / f"{CRM}.json"
        note.write_bytes(note.read_bytes().replace(b'"signed": false', b'"signed": true '))
        from epmstore.errors import DamagedError  # noqa: PLC0415

        with pytest.raises(DamagedError, match="not what was written"):
            ws.catalogs.import_(path)


@pytest.mark.parametrize("junk", [b"", b"junk", bytes(2 << 20)], ids=["empty", "junk", "huge"])
def test_damage_in_the_trust_folder_is_named_with_a_hint(
    vendor: Vendor, host: Importer, gpg: Gpg, tmp_path: Path, junk: bytes
) -> None:
    from epmstore.errors import DamagedError  # noqa: PLC0415

    path = export(vendor, tmp_path / "crm.refcat")
    gpg.sign(path)
    with host.open() as ws:
        key = ws.catalogs.trust(gpg.public())
        ws.catalogs.import_(path)
        for file in (f"{CRM}.json", f"{key.fingerprint}.asc"):
            place = host.path / "trust" / file
            good = place.read_bytes()
            place.write_bytes(junk)
            with pytest.raises(DamagedError, match=file) as found:
                ws.catalogs.import_(path)
            assert found.value.hint is not None and "remove it" in found.value.hint
            place.write_bytes(good)


def test_an_import_asks_for_the_signer_that_it_remembers(
    vendor: Vendor,
    host: Importer,
    tmp_path: Path,
    gpg: Gpg,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("epmstore.refcat.trust.KEPT", 2)
    other = Gpg(Path(tmp_path_factory.mktemp("g") / "o"))
    path = export(vendor, tmp_path / "crm.refcat")
    gpg.sign(path)
    with host.open() as ws:
        first = ws.catalogs.trust(gpg.public())
        second = ws.catalogs.trust(other.public())
        ws.catalogs.import_(path)
        path.with_name("crm.refcat.asc").unlink()
        for _ in range(3):  # what is remembered is not crowded out
            ws.catalogs.import_(path, allow_unsigned=True)
        other.sign(path)
        with pytest.raises(
            UntrustedError, match=f"{first.fingerprint}.*{second.fingerprint}"
        ) as no:
            ws.catalogs.import_(path)
        assert no.value.hint is not None and second.fingerprint[-16:].upper() in no.value.hint
        with pytest.raises(UntrustedError, match="not by 1234"):
            ws.catalogs.import_(path, signer="1234")
        with pytest.raises(UntrustedError):
            ws.catalogs.import_(path, signer="")
        ws.catalogs.import_(path, signer=second.fingerprint[-16:].upper())
        ws.catalogs.import_(path)
        gpg.sign(path)
        with pytest.raises(UntrustedError, match="trusted, and another one"):
            ws.catalogs.import_(path)
        path.with_name("crm.refcat.asc").unlink()
        with pytest.raises(UntrustedError, match="is not signed, by"):
            ws.catalogs.import_(path, signer=first.fingerprint)


def test_a_key_may_be_trusted_for_one_catalog_alone(
    vendor: Vendor, host: Importer, tmp_path: Path, gpg: Gpg
) -> None:
    path = export(vendor, tmp_path / "crm.refcat")
    gpg.sign(path)
    with host.open() as ws:
        key = ws.catalogs.trust(gpg.public(), only=["shop"])
        [file] = (ws.path / "trust").iterdir()
        assert file.suffix == ".only", "what does not know of limits does not see it"
        with pytest.raises(UntrustedError, match="trusted for shop alone") as no:
            ws.catalogs.import_(path)
        assert no.value.hint is not None and "--for crm" in no.value.hint
        assert ws.catalogs.trust(gpg.public(), only=["crm"]).only == ("crm", "shop")
        assert ws.catalogs.import_(path).signer is not None
        assert [one.only for one in ws.catalogs.trusted()] == [("crm", "shop")]
        assert ws.care.fsck().clean
        file.write_bytes(file.read_bytes().replace(b"shop", b"shot"))
        with pytest.raises(DamagedError):
            ws.catalogs.trusted()
        assert not ws.care.fsck().clean
        file.unlink()
        assert ws.catalogs.trust(gpg.public()).only == ()
        assert ws.catalogs.trust(gpg.public(), only=["crm"]).only == ("crm",)
        assert ws.catalogs.distrust(key.fingerprint).only == ("crm",)
        assert [*ws.catalogs.trusted()] == []
