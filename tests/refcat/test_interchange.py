import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from epmstore import codec
from epmstore.catalog.format import moved_line, position_behind
from epmstore.catalog.model import START, Requirement
from epmstore.clock import FixedClock
from epmstore.digest import identify
from epmstore.errors import (
    BadCatalogError,
    BadSignatureError,
    ConflictError,
    DamagedError,
    EpmError,
    ForkError,
    OlderError,
    UntrustedError,
    UsageError,
)
from epmstore.index.database import VENDOR
from epmstore.refcat import interchange
from epmstore.refcat.releases import Releases
from epmstore.refcat.signature import check_signature, read_key
from epmstore.store import replay
from epmstore.workspace import Workspace
from tests.refcat.vendors import CRM, SERVER, Vendor

R0 = {"bin/a": b"a0", "etc/c": b"c"}
R1 = {"bin/a": b"a1", "etc/c": b"c"}


class Host:
    """A store that gets catalogs."""

    def __init__(self, place: Path) -> None:
        self.path = place / "host"
        self.clock = FixedClock()
        Workspace.init(self.path, clock=self.clock).close()

    def open(self) -> Workspace:
        return Workspace.open(self.path, clock=self.clock)

    def latest(self) -> int | None:
        with self.open() as ws:
            found = Releases(ws._store, CRM).latest()
            return None if found is None else found.version


@pytest.fixture
def vendor(tmp_path: Path) -> Vendor:
    made = Vendor(tmp_path)
    made.release(R0, "1.0")
    return made


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def export(vendor: Vendor, path: Path) -> Path:
    with vendor.open() as ws:
        path.write_bytes(b"".join(ws.catalogs.export("crm")))
    return path


def test_an_import_takes_over_what_is_new(vendor: Vendor, host: Host, tmp_path: Path) -> None:
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
        assert [e.release for e in ws.catalogs.standing("crm").imports] == [0, 2, 2]
    with vendor.open() as ws, host.open() as here:
        ours, theirs = Releases(here._store, CRM), Releases(ws._store, CRM)
        assert ours.numbers() == theirs.numbers()
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
    vendor: Vendor, host: Host, tmp_path: Path, form: Callable[[bytes], bytes]
) -> None:
    path = export(vendor, tmp_path / "crm.refcat")
    path.write_bytes(form(path.read_bytes()))
    with host.open() as ws:
        ws.catalogs.import_(path)
    assert host.latest() == 0


def test_a_stores_own_file_is_read(vendor: Vendor, host: Host) -> None:
    with host.open() as ws:
        ws.catalogs.import_(vendor.path / "catalogs" / f"{CRM}.refcat.zst")
    assert host.latest() == 0


def test_what_a_later_release_says_of_releases_is_kept(
    vendor: Vendor, host: Host, tmp_path: Path
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


def test_nothing_ever_goes_back(vendor: Vendor, host: Host, tmp_path: Path) -> None:
    old = export(vendor, tmp_path / "old")
    vendor.release(R1)
    with host.open() as ws:
        ws.catalogs.import_(export(vendor, tmp_path / "new"))
        with pytest.raises(OlderError, match=r"ends with release 0 .* here are release 1"):
            ws.catalogs.import_(old)
    assert host.latest() == 1


def test_a_fork_is_named_and_refused(vendor: Vendor, host: Host, tmp_path: Path) -> None:
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
        assert Releases(ws._store, CRM).numbers()[1].label == "1.1" and host.latest() == 2


def test_an_import_that_is_cut_short_goes_on(
    vendor: Vendor, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
        assert 0 < len(Releases(ws._store, CRM).numbers()) < 7
        ws.catalogs.import_(path)
        assert b"".join(ws.catalogs.export("crm")) == path.read_bytes()


def test_a_content_that_another_has_the_address_of_is_refused(
    vendor: Vendor, host: Host, tmp_path: Path
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
    vendor: Vendor, host: Host, tmp_path: Path
) -> None:
    (tmp_path / "b").mkdir()
    other = Vendor(tmp_path / "b", app=SERVER, key="crm")
    other.release(R1)
    with host.open() as ws:
        ws.catalogs.import_(export(vendor, tmp_path / "one"))
        with pytest.raises(ConflictError, match="another application 'crm'"):
            ws.catalogs.import_(export(other, tmp_path / "two"))


def test_a_circle_with_what_is_here_is_refused(vendor: Vendor, host: Host, tmp_path: Path) -> None:
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
    vendor: Vendor, host: Host, tmp_path: Path
) -> None:
    (tmp_path / "root").mkdir()
    path = export(vendor, tmp_path / "crm.refcat")
    with host.open() as ws:
        ws.apps.add("crm", tmp_path / "root")
        assert ws.catalogs.import_(path).bound == ("crm",)
        assert ws.catalogs.import_(path).bound == ()
        assert Releases.of(ws._store, ws.apps.get("crm")).latest() is not None


def test_an_application_that_comes_later_gets_its_vendors_patterns_proposed(
    vendor: Vendor, host: Host, tmp_path: Path
) -> None:
    (tmp_path / "root").mkdir()
    with host.open() as ws:
        ws.catalogs.import_(export(vendor, tmp_path / "crm.refcat"))
        added = ws.apps.add("crm", tmp_path / "root")
        found = [(p.path_class, p.pattern, p.why) for p in added.proposals]
        assert ("config", "etc/", "its vendor says so") in found
        assert Releases.of(ws._store, ws.apps.get("crm")).exists()


def test_another_application_can_be_named(vendor: Vendor, host: Host, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    with host.open() as ws:
        ws.apps.add("crm-test", tmp_path / "root")
        found = ws.catalogs.import_(export(vendor, tmp_path / "crm.refcat"), app="crm-test")
        assert found.bound == ("crm-test",)


# Clones.


def test_a_clone_brings_contents_along(vendor: Vendor, host: Host) -> None:
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

GPG = shutil.which("gpg")
needs_gpg = pytest.mark.skipif(GPG is None, reason="gpg is not installed")


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


def test_what_gpg_signed_is_believed_here(
    vendor: Vendor, host: Host, tmp_path: Path, gpg: Gpg
) -> None:
    path = export(vendor, tmp_path / "crm.refcat")
    gpg.sign(path)
    with host.open() as ws:
        key = ws.catalogs.trust(gpg.public())
        found = ws.catalogs.import_(path)
        assert found.signer is not None and found.signer.fingerprint == key.fingerprint
        assert key.names == ("V <v@example.org>",)
        assert ws.catalogs.standing("crm").signed


def test_what_is_signed_here_is_believed_by_gpg(
    vendor: Vendor, host: Host, tmp_path: Path, gpg: Gpg
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
    vendor: Vendor, host: Host, tmp_path: Path, gpg: Gpg
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
    vendor: Vendor, host: Host, tmp_path: Path, gpg: Gpg
) -> None:
    """Asked of the function itself: catalogs are looked at in a process of its own."""
    path = export(vendor, tmp_path / "crm.refcat")
    data, signature = path.read_bytes(), gpg.sign(path).read_bytes()
    key = read_key(gpg.public())
    assert check_signature(data, signature, [key], time.time()) == key
    with pytest.raises(BadSignatureError, match="not one of these bytes"):
        check_signature(data + data, signature, [key], time.time())


def test_a_key_that_nobody_trusts_vouches_for_nothing(
    vendor: Vendor, host: Host, tmp_path: Path, gpg: Gpg
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
    vendor: Vendor, host: Host, tmp_path: Path, gpg: Gpg
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
    vendor: Vendor, host: Host, tmp_path: Path, gpg: Gpg
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
    vendor: Vendor, host: Host, tmp_path: Path, gpg: Gpg, why: str
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


def test_what_came_signed_once_is_asked_for_it_ever_after(
    vendor: Vendor, host: Host, tmp_path: Path, gpg: Gpg
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
        assert ws.catalogs.standing("crm").signed


def test_that_it_came_signed_is_known_whatever_interrupts_the_import(
    vendor: Vendor, host: Host, tmp_path: Path, gpg: Gpg, monkeypatch: pytest.MonkeyPatch
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
    host: Host, gpg: Gpg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epmstore.refcat.rehearsal.MEMORY", 0)
    with host.open() as ws:
        with pytest.raises(EpmError, match=r"^the key cannot be read: ") as caught:
            ws.catalogs.trust(gpg.public())
        assert type(caught.value) is EpmError
        with pytest.raises(UsageError, match="no more than"):
            ws.catalogs.trust(bytes(2 << 20))
        assert ws.catalogs.trusted() == []


def test_secret_keys_and_junk_are_not_trusted(host: Host, gpg: Gpg) -> None:
    with host.open() as ws:
        with pytest.raises(UsageError, match="secret key"):
            ws.catalogs.trust(gpg.secret())
        with pytest.raises(UsageError, match="no OpenPGP key"):
            ws.catalogs.trust(b"junk")
        with pytest.raises(UsageError, match="no secret key"):
            ws.catalogs.sign(b"x", gpg.public())
        assert ws.catalogs.trusted() == []


def test_a_flipped_bit_in_what_is_remembered_is_found(
    vendor: Vendor, host: Host, tmp_path: Path
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
def test_what_is_damaged_in_the_trust_folder_is_named_with_what_to_do(
    vendor: Vendor, host: Host, gpg: Gpg, tmp_path: Path, junk: bytes
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
    host: Host,
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
    vendor: Vendor, host: Host, tmp_path: Path, gpg: Gpg
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
