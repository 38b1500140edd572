"""What becomes a release, from folders and archives of every kind."""

import bz2
import gzip
import io
import lzma
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from epmstore import codec
from epmstore.catalog.classes import Patterns
from epmstore.clock import FixedClock
from epmstore.digest import identify
from epmstore.errors import ConflictError, EpmError, InvalidNameError, UsageError
from epmstore.refcat.unpacked import deb_control
from epmstore.relpath import RelPath
from epmstore.tree import Entry
from epmstore.workspace import Workspace
from epmstore.workspace.actor import Actor
from epmstore.workspace.vendors import Published, Source

PATTERNS = Patterns(
    config=("etc/",), state=("data/", "*.log"), ignore=(".git/",), secret=("*.key",)
)


class Shop:
    def __init__(self, place: Path) -> None:
        self.place = place
        Workspace.init(place / "store", clock=FixedClock()).close()
        with self.open() as ws:
            ws.vendors.init("crm", patterns=PATTERNS)

    def open(self) -> Workspace:
        return Workspace.open(self.place / "store", clock=FixedClock())

    def add(self, *paths: Path, below: str | None = None, dry_run: bool = False) -> Published:
        source = Source(paths=paths, below=None if below is None else RelPath(below))
        with self.open() as ws:
            return ws.vendors.add("crm", source, dry_run=dry_run)

    def tree(self, release: int = 0) -> dict[str, Entry]:
        with self.open() as ws:
            return {entry.path: entry for entry in ws.vendors.tree("crm", release)}

    def read(self, data: bytes) -> bytes:
        with self.open() as ws:
            return ws._store.blobs.read(identify(data))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def build(tmp_path: Path) -> Path:
    top = tmp_path / "build"
    for folder in ("bin", "etc", "data/deep", ".git"):
        (top / folder).mkdir(parents=True)
    (top / "bin/tool").write_bytes(b"tool")
    os.chmod(top / "bin/tool", 0o775)
    (top / "bin/again").hardlink_to(top / "bin/tool")
    (top / "bin/link").symlink_to("tool")
    (top / "etc/conf").write_bytes(b"conf")
    (top / "data/deep/rows").write_bytes(b"rows")
    (top / "x.log").write_bytes(b"log")
    (top / "x.key").write_bytes(b"key")
    (top / ".git/HEAD").write_bytes(b"git")
    return top


WANTED = {
    "bin": "program", "bin/again": "program", "bin/link": "program", "bin/tool": "program",
    "data": "state", "etc": "config", "etc/conf": "config", "x.key": "secret", "x.log": "state",
}  # fmt: skip


def check_tree(tree: dict[str, Entry]) -> None:
    assert {path: entry.path_class for path, entry in tree.items()} == WANTED
    assert tree["bin/tool"].content == tree["bin/again"].content == identify(b"tool")
    assert tree["bin/tool"].mode == 0o755, "the group's right to write is never released"
    assert tree["bin/tool"].same_as == "bin/again", "of two names, the first in byte order"
    assert tree["bin/link"].target == "tool"
    assert tree["x.log"].content is None and tree["x.log"].mtime_ns is None
    assert tree["x.key"].content == identify(b"key")
    assert {(e.uid, e.gid) for e in tree.values()} == {(0, 0)}


def tar(mode: str, squeeze: Callable[[bytes], bytes] = bytes) -> Callable[[Path, Path], Path]:
    def pack(build: Path, place: Path) -> Path:
        path = place / f"crm.tar.{mode}"
        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w") as archive:
            archive.add(build, "./top")
        path.write_bytes(squeeze(plain.getvalue()))
        return path

    return pack


PACKED = [
    tar("plain"),
    tar("gz", gzip.compress),
    tar("bz2", bz2.compress),
    tar("xz", lzma.compress),
    tar("zst", lambda data: codec.compress(data[:7000]) + codec.compress(data[7000:])),
]


@pytest.mark.parametrize("pack", PACKED)
def test_a_tar_becomes_the_same_release_as_its_folder(
    shop: Shop, build: Path, tmp_path: Path, pack: Callable[[Path, Path], Path]
) -> None:
    shop.add(build)
    check_tree(shop.tree())
    archive = pack(build, tmp_path)
    again = shop.add(archive, below="top")
    with shop.open() as ws:
        fields = {field for c in ws.vendors.diff("crm", 0, 1) for field in c.fields}
    assert again.changed and fields == {"owner"}, "an archive names owners, a folder does not"
    check_tree(shop.tree(1))
    assert not shop.add(build).changed
    assert shop.read(b"tool") == b"tool"


def test_a_zip(shop: Shop, build: Path, tmp_path: Path) -> None:
    path = tmp_path / "crm.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(build.rglob("*")):
            info = zipfile.ZipInfo.from_file(file, str(file.relative_to(build)))
            if file.is_symlink():
                info.external_attr = 0o120777 << 16
                archive.writestr(info, os.readlink(file))
            elif file.is_dir():
                archive.writestr(info, b"")
            else:
                archive.writestr(info, file.read_bytes())
    shop.add(path)
    tree = shop.tree()
    assert {p: e.path_class for p, e in tree.items()} == WANTED
    assert tree["bin/link"].target == "tool" and tree["bin/tool"].mode == 0o755


def test_a_deb_is_labelled_with_its_version(shop: Shop, build: Path, tmp_path: Path) -> None:
    if not Path("/usr/bin/dpkg-deb").exists():
        pytest.skip("dpkg-deb is not there")
    (build / "DEBIAN").mkdir()
    (build / "DEBIAN/control").write_text(
        "Package: crm\nVersion: 41.2-1\nArchitecture: all\nMaintainer: n <n@n>\nDescription: x\n"
    )
    for kind in ("xz", "gzip", "none"):
        deb = tmp_path / f"{kind}.deb"
        command = ["dpkg-deb", "--root-owner-group", f"-Z{kind}", "-b", str(build), str(deb)]
        subprocess.run(command, check=True, capture_output=True)
        found = shop.add(deb)
        assert found.release is not None and found.release.label == "41.2-1"
        assert found.changed == (kind == "xz")
    assert shop.tree()["bin/tool"].user == "root"


def test_releases_share_what_did_not_change(shop: Shop, build: Path) -> None:
    shop.add(build)
    assert not shop.add(build).changed
    (build / "bin/tool").write_bytes(b"tool two")
    os.utime(build / "etc/conf", (9, 9))
    found = shop.add(build)
    assert (found.counts.added, found.counts.modified, found.counts.removed) == (0, 2, 0)
    assert shop.tree(1)["etc/conf"].mtime_ns == shop.tree(0)["etc/conf"].mtime_ns
    assert shop.read(b"tool two") == b"tool two"


def test_a_dry_run_publishes_nothing(shop: Shop, build: Path) -> None:
    found = shop.add(build, dry_run=True)
    assert found.changed and found.release is None and found.counts.added == len(WANTED)
    with shop.open() as ws:
        assert ws.vendors.releases("crm").all() == []
        assert ws.care.gc().freed == 0


def test_a_recorded_version_becomes_a_release(shop: Shop, build: Path) -> None:
    with shop.open() as ws:
        ws.apps.add("crm", build, ignore=[".git/"])
        ws.app("crm").snapshot()
        source = Source(app=ws.apps.get("crm").uuid, version=0)
        ws.vendors.add("crm", source)
    tree = shop.tree()
    assert {p: e.path_class for p, e in tree.items()} == WANTED
    assert tree["bin/tool"].user is not None and tree["bin/tool"].mode == 0o755


def test_sources_are_laid_over_each_other(shop: Shop, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / "bin" / name).write_text(name)
    shop.add(tmp_path / "one", tmp_path / "two")
    assert set(shop.tree()) == {"bin", "bin/one", "bin/two"}
    (tmp_path / "two/bin/one").write_text("another")
    with pytest.raises(ConflictError, match="two sources have 'bin/one'"):
        shop.add(tmp_path / "one", tmp_path / "two")


def is_taken_elsewhere(shop: Shop) -> bool:
    """Whether another store takes the catalog over."""
    with shop.open() as ws, Workspace.init(shop.place / "host", clock=FixedClock()) as host:
        data = b"".join(ws.catalogs.export("crm"))
        (file := shop.place / "crm.refcat").write_bytes(data)
        host.catalogs.import_(file)
        return host.vendors.releases("crm").head() == ws.vendors.releases("crm").head()


def test_links_are_named_by_the_first_that_has_a_content(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    (tmp_path / "build/a.log").write_bytes(b"x")
    for name in ("b.log", "c", "d"):
        (tmp_path / "build" / name).hardlink_to(tmp_path / "build/a.log")
    shop.add(tmp_path / "build")
    wanted = {"a.log": None, "b.log": None, "c": None, "d": "c"}
    assert {path: entry.same_as for path, entry in shop.tree().items()} == wanted
    assert is_taken_elsewhere(shop)


def test_links_of_links_in_archives_are_of_the_first(shop: Shop, tmp_path: Path) -> None:
    links = [member(name, tarfile.LNKTYPE, to) for name, to in (("c", "b"), ("d", "c"))]
    log = member("x.log", tarfile.LNKTYPE, "b")
    shop.add(hostile(tmp_path / "x.tar", member("b"), *links, log))
    wanted = {"b": None, "c": "b", "d": "b", "x.log": None}
    assert {path: entry.same_as for path, entry in shop.tree().items()} == wanted
    assert shop.tree()["x.log"].content is None, "it is state"
    assert is_taken_elsewhere(shop)


@pytest.mark.parametrize("name", ["x.log", "x.key"])
def test_a_link_to_what_is_not_stored_is_refused(shop: Shop, tmp_path: Path, name: str) -> None:
    path = hostile(tmp_path / "x.tar", member(name), member("f", tarfile.LNKTYPE, name))
    with pytest.raises(ConflictError, match="its content is not stored"):
        shop.add(path)


def test_owners_that_no_catalog_may_name_are_left_open(shop: Shop, tmp_path: Path) -> None:
    info = member("f")
    info.uname, info.gname = "crm", "Domain Users"
    shop.add(hostile(tmp_path / "x.tar", info))
    assert (shop.tree()["f"].user, shop.tree()["f"].group) == ("crm", None)
    assert is_taken_elsewhere(shop)


def test_nothing_is_published_that_no_host_would_take(shop: Shop, tmp_path: Path) -> None:
    late = member("f")
    late.mtime = 1 << 34
    for info, why in (
        (late, "a time beyond all times"),
        (member("l", tarfile.SYMTYPE, ""), "it cannot be published"),
    ):
        path = hostile(tmp_path / "x.tar", member("g"), info)
        for dry_run in (True, False):
            with pytest.raises(EpmError, match=why):
                shop.add(path, dry_run=dry_run)
    (tmp_path / "build").mkdir()
    (tmp_path / "build/f").write_bytes(b"x")
    with shop.open() as ws:
        with pytest.raises(UsageError, match="the label is too long, or has control"):
            ws.vendors.add("crm", Source(paths=(tmp_path / "build",)), label="4\x1b[1m1")
        assert ws.vendors.releases("crm").all() == []
        assert not list((shop.place / "store/packs").glob(".*"))
        ws.vendors.add("crm", Source(paths=(tmp_path / "build",)))
        with pytest.raises(UsageError, match="the reason"):
            ws.vendors.revoke("crm", release=0, reason="\x1b")
    assert is_taken_elsewhere(shop)


def test_fifos_are_left_out_and_named(shop: Shop, build: Path) -> None:
    os.mkfifo(build / "bin/fifo")
    assert shop.add(build).skipped == ((RelPath("bin/fifo"), "neither file nor folder nor link"),)


def hostile(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as archive:
        for info in members:
            info.size = 1 if info.isreg() else 0
            archive.addfile(info, io.BytesIO(b"x") if info.isreg() else None)
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


HOSTILE = {
    "absolute": [member("/etc/passwd")],
    "dot-dot": [member("a/../../x")],
    "backslash": [member("a\\b")],
    "control": [member("a\nb")],
    "not-utf8": [member("a\udcff")],
    "bidi": [member("a\u202eb")],
    "not-nfc": [member("e\u0301")],
    "below-a-link": [member("l", tarfile.SYMTYPE, "/etc"), member("l/passwd")],
    "below-a-file": [member("f"), member("f/x")],
    "twice": [member("f"), member("f", tarfile.SYMTYPE, "x")],
    "link-to-nowhere": [member("f"), member("h", tarfile.LNKTYPE, "g")],
    "link-outside": [member("f"), member("h", tarfile.LNKTYPE, "../../etc/passwd")],
    "too-deep": [member("a/" * 128 + "x")],
    "empty": [member("folder", tarfile.DIRTYPE)],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_are_refused_and_leave_nothing(
    shop: Shop, tmp_path: Path, name: str
) -> None:
    path = hostile(tmp_path / "x.tar", *HOSTILE[name])
    with pytest.raises((InvalidNameError, ConflictError, UsageError)):
        shop.add(path)
    with shop.open() as ws:
        assert ws.vendors.releases("crm").all() == []
        assert not list((shop.place / "store/packs").glob(".*"))


def damaged_tar(path: Path) -> None:
    """Cut off in the content of a file, which is read outside of the loop over the members."""
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("f")
        info.size = 1 << 16
        archive.addfile(info, io.BytesIO(os.urandom(info.size)))
    path.write_bytes(path.read_bytes()[: 1 << 15])


def damaged_header(path: Path) -> None:
    info = tarfile.TarInfo("f")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    info.size = 3
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("first"))
        archive.addfile(info, io.BytesIO(b"abc"))


def plain_zip(path: Path, edit: Callable[[bytearray, int], None]) -> None:
    """One file in a zip, and then something done to its bytes; the number is where its entry in the
    directory at the end begins.
    """
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("f"), b"hello")
    data = bytearray(path.read_bytes())
    edit(data, data.find(b"PK\x01\x02"))
    path.write_bytes(data)


def damaged_zip(path: Path) -> None:
    def edit(data: bytearray, at: int) -> None:
        data[data.find(b"hello")] ^= 1

    plain_zip(path, edit)


def encrypted_zip(path: Path) -> None:
    def edit(data: bytearray, at: int) -> None:
        data[6] |= 1
        data[at + 8] |= 1

    plain_zip(path, edit)


def unknown_zip(path: Path) -> None:
    def edit(data: bytearray, at: int) -> None:
        data[8] = data[at + 10] = 97

    plain_zip(path, edit)


def large_link(path: Path) -> None:
    info = zipfile.ZipInfo("l")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, b"x" * 5000)


def damaged_deb(path: Path) -> None:
    parts = [("control.tar", b"abcd"), ("data.tar.gz", gzip.compress(b"abcd"))]
    headers = [f"{name:<16}{0:<12}{0:<6}{0:<6}{0:<8}{len(c):<10}`\n" for name, c in parts]
    pieces = [h.encode() + c + bytes(len(c) % 2) for h, (_, c) in zip(headers, parts, strict=True)]
    path.write_bytes(b"!<arch>\n" + b"".join(pieces))


def test_a_damaged_package_has_no_version(tmp_path: Path) -> None:
    damaged_deb(tmp_path / "archive")
    with pytest.raises(EpmError, match="archive cannot be read: "):
        deb_control(tmp_path / "archive")


@pytest.mark.parametrize(
    "make",
    [damaged_tar, damaged_header, damaged_zip, encrypted_zip, unknown_zip, large_link, damaged_deb],
)
def test_a_damaged_archive_is_an_error_and_no_release(
    shop: Shop, make: Callable[[Path], None]
) -> None:
    make(path := shop.place / "archive")
    with pytest.raises(EpmError, match="archive cannot be read: "):
        shop.add(path)
    with shop.open() as ws:
        assert ws.vendors.releases("crm").all() == []
        assert not list((shop.place / "store/packs").glob(".*"))


def test_a_zip_that_does_not_say_when_leaves_the_time_open(shop: Shop) -> None:
    def edit(data: bytearray, at: int) -> None:
        data[10:14] = data[at + 12 : at + 16] = bytes(4)

    plain_zip(path := shop.place / "archive", edit)
    shop.add(path)
    assert shop.tree()["f"].mtime_ns is None


def test_gather_refuses_files_that_are_no_archive(shop: Shop) -> None:
    path = shop.place / "archive"
    path.write_bytes(b"no archive at all")
    with pytest.raises(UsageError, match="neither a folder nor an archive"):
        shop.add(path)


def test_systemds_own_escapes_are_names_like_any_other(shop: Shop, tmp_path: Path) -> None:
    shop.add(hostile(tmp_path / "x.tar", member("system-systemd\\x2dcryptsetup.slice")))
    assert set(shop.tree()) == {"system-systemd\\x2dcryptsetup.slice"}


def test_every_path_that_this_machine_has_installed_may_be_released() -> None:
    from epmstore.refcat.hygiene import check_name  # noqa: PLC0415

    lists = list(Path("/var/lib/dpkg/info").glob("*.list"))
    if not lists:
        pytest.skip("no dpkg here")
    for path in lists:
        for line in path.read_bytes().splitlines():
            if line != b"/.":
                check_name(os.fsdecode(line[1:]))


def test_a_catalog_does_not_say_who_of_its_vendor_made_it(shop: Shop, build: Path) -> None:
    actor: Actor = {"user": "jane", "uid": 1234, "via": "cli"}
    with Workspace.open(shop.place / "store", clock=FixedClock(), actor=actor) as ws:
        ws.vendors.init("other")
        ws.vendors.add("other", Source(paths=(build,)))
        ws.vendors.revoke("other", release=0)
        assert b"jane" not in b"".join(ws.catalogs.export("other"))


def test_nothing_waits_for_who_writes_to_a_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/null")):
        with pytest.raises(UsageError):
            deb_control(path)
