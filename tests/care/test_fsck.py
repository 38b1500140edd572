"""What a check finds, and what a repair mends."""

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from epmstore import locks
from epmstore.care import fsck
from epmstore.care.damage import Damage, FsckReport
from epmstore.care.references import CatalogNeeds
from epmstore.digest import BlobInfo
from epmstore.errors import EpmError
from epmstore.places import DAEMON_LOCK
from epmstore.store.store import Store
from epmstore.workspace import Workspace
from tests.kit.worn import DAY, WornHost, flip, pack_files, tree


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> WornHost:
    """A pack, a log, deltas in both, and a large content."""
    host = WornHost(tmp_path_factory.mktemp("made"))
    host.history(4)
    with host.open() as ws, ws._store.lock_write():
        ws._store.packlog.begin_next()
    with host.open() as ws:
        ws.care.gc()
    for number in range(5):
        host.edit(f"bin/f{number}")
    host.snapshot("later")
    return host


@pytest.fixture
def host(made: WornHost, tmp_path: Path) -> WornHost:
    return made.copied(tmp_path)


def check(host: WornHost, *, repair: bool = False, share: float = 1.0) -> FsckReport:
    with host.open() as ws:
        return ws.care.fsck(share, repair)


def the_pack(host: WornHost) -> Path:
    (found,) = (path for path in pack_files(host.path) if path.suffix == ".pack")
    return found


def the_log(host: WornHost) -> Path:
    (found,) = (path for path in pack_files(host.path) if path.parent.name == "log")
    return found


def truth(host: WornHost) -> list[Path]:
    return [
        *pack_files(host.path),
        *(host.path / "catalogs").glob("*.zst"),
        host.path / "catalogs/appcat.json",
        host.path / "FORMAT",
    ]


def test_a_sound_store_has_no_findings(host: WornHost) -> None:
    report = check(host)
    assert report.findings == () and report.notes == () and report.clean
    assert report.frames >= 3


@pytest.mark.slow
def test_the_versions_of_what_is_sound_are_not_counted(
    host: WornHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every content of a long history they would take gigabytes."""
    asked: list[BlobInfo] = []
    count = CatalogNeeds.versions

    def versions(need: CatalogNeeds, info: BlobInfo) -> list[int]:
        asked.append(info)
        return count(need, info)

    monkeypatch.setattr(CatalogNeeds, "versions", versions)
    assert check(host).clean and asked == []
    flip(the_pack(host), 90)
    findings = check(host).findings
    assert {info.digest.hex() for info in asked} == {f.digest for f in findings if f.versions}


def test_every_flip_is_found(host: WornHost) -> None:
    """200 places of packs, log, catalog, appcat and FORMAT; no wrong byte ever comes out."""
    places = random.Random(7)
    files = truth(host)
    for number in range(200):
        path = files[number % len(files)]
        offset = places.randrange(path.stat().st_size)
        bit = 1 << places.randrange(8)
        flip(path, offset, bit)
        try:
            report = check(host)
        except EpmError as error:
            assert error.exit_code == 6 or path.name == "FORMAT", (path, offset)
        else:
            assert not report.clean, (path, offset)
            named = {host.path / finding.file for finding in report.findings}
            assert path in named, (path, offset, report.findings)
            nothing_wrong_comes_out(host)
        flip(path, offset, bit)
    assert check(host).findings == ()


def nothing_wrong_comes_out(host: WornHost) -> None:
    with host.open() as ws:
        handle = ws.app("crm")
        for info in handle.versions():
            try:
                found = tree(handle, info.version)
            except EpmError:
                continue
            assert found == host.kept[info.version]


@pytest.mark.slow
def test_truncation_is_found_anywhere(host: WornHost) -> None:
    for path in (the_pack(host), the_log(host)):
        whole = path.read_bytes()
        for size in range(0, len(whole), len(whole) // 12 + 1):
            path.write_bytes(whole[:size])
            report = check(host, share=0)
            assert f"packs/{path.relative_to(host.path / 'packs')}" in {
                finding.file for finding in report.findings
            }, size
            path.write_bytes(whole)


def test_a_finding_names_file_content_and_versions(host: WornHost) -> None:
    with host.open() as ws:
        entry = ws.app("crm").ls("0", None)[3]
        assert entry.content is not None
        place = ws._store.contents.places([entry.content.sha256])[entry.content.sha256]
    flip(host.path / "packs" / place.file, place.seal_offset + 90)
    report = check(host)
    (found,) = (f for f in report.findings if f.digest == entry.content.digest.hex())
    assert (found.kind, found.file) == ("damaged", f"packs/{place.file}")
    assert ("crm", 0) in found.versions
    assert report.findings == check(host).findings


def test_fsck_counts_deltas_of_a_damaged_base_as_hit(host: WornHost) -> None:
    with host.open() as ws:
        store = ws._store
        deltas = [
            (digest, base)
            for file in store.contents.files()
            for digest, _, _, base in store.contents.rows(file)
            if base is not None
        ]
        digest, base = deltas[-1]
        place = store.contents.places([base])[base]
    flip(host.path / "packs" / place.file, place.seal_offset + 90)
    report = check(host)
    assert digest is not None
    hits = [f for f in report.findings if f.digest == digest.hex() and f.versions]
    assert hits and base.hex() in hits[0].detail


def test_a_share_is_the_same_for_the_same_seed(host: WornHost) -> None:
    flip(the_log(host), 100)
    whole = check(host).frames
    with host.open() as ws:
        one, two = (ws.care.fsck(0.5, seed=5) for _ in range(2))
        others = {ws.care.fsck(0.5, seed=seed).frames for seed in range(12)}
    assert one == two
    assert max(others) <= whole and len(others) > 1


def test_a_missing_pack_is_named_with_what_it_held(host: WornHost) -> None:
    the_pack(host).unlink()
    report = check(host, share=0)
    kinds = {finding.kind for finding in report.findings}
    assert kinds == {"missing"}
    assert {("crm", 0), ("crm", 3)} <= {hit for f in report.findings for hit in f.versions}


def test_a_torn_tail_is_a_note(host: WornHost) -> None:
    (catalog,) = (host.path / "catalogs").glob("*.syscat.zst")
    for path in (catalog, the_log(host)):
        path.write_bytes(path.read_bytes() + b"\x5e\x2a\x4d\x18 half a record")
    report = check(host)
    assert report.findings == () and len(report.notes) == 1
    (kept,) = (host.path / "quarantine").iterdir()  # that of the catalog, when the store was opened
    assert kept.name.startswith(catalog.name)


def test_fsck_takes_versions_recorded_meanwhile_for_sound(
    host: WornHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.root = Path(shutil.copytree(host.root, tmp_path / "root"))
    host.kept = dict(host.kept)
    with host.open() as ws:
        ws.apps.move("crm", host.root)
    know = fsck.acknowledged

    def know_and_record(store: Store) -> fsck.Acknowledged:
        known = know(store)
        host.write("large", host.random.randbytes(9 << 20))
        host.edit("bin/f0")
        host.snapshot()
        return known

    monkeypatch.setattr(fsck, "acknowledged", know_and_record)
    report = check(host)
    assert report.findings == () and report.notes == ()


def test_a_first_version_that_was_cut_short_is_a_note(host: WornHost, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with host.open() as ws:
        uuid = ws.apps.add("erp", tmp_path / "other").app.uuid
        ws._store.catalog(uuid).path.write_bytes(b"half a line")
        report = ws.care.fsck(1.0)
    assert report.findings == () and len(report.notes) == 1


def test_an_edited_catalog_is_a_broken_chain(host: WornHost) -> None:
    (catalog,) = (host.path / "catalogs").glob("*.syscat.zst")
    with host.open() as ws:
        lines = list(ws._store.catalog(ws.apps.get("crm").uuid).lines())
    data = catalog.read_bytes()
    first, second = lines[1].before.length, lines[1].after.length
    third = lines[2].after.length
    catalog.write_bytes(data[:first] + data[second:third] + data[first:second] + data[third:])
    (found,) = check(host).findings
    assert found.kind == "chain"
    assert ("crm", 1) in found.versions and ("crm", 0) not in found.versions


def test_a_wrong_index_is_found_and_made_anew(host: WornHost) -> None:
    with host.open() as ws, ws._store.lock_write(), ws._store.database.write() as db:
        db.execute(
            "UPDATE live SET mtime = mtime + 1 WHERE rowid IN (SELECT 1)"
            if False
            else "UPDATE frames SET offset = offset + 1"
        )
    report = check(host)
    assert {finding.file for finding in report.findings} == {"index.sqlite"}
    assert check(host, repair=True).clean
    assert check(host).findings == ()
    host.check()


def test_an_index_that_alone_knows_of_a_catalog_writes_it_back(host: WornHost) -> None:
    (catalog,) = (host.path / "catalogs").glob("*.syscat.zst")
    whole = catalog.read_bytes()
    with host.open() as ws, ws._store.lock_write(), ws._store.database.write() as db:
        db.execute("UPDATE frames SET offset = offset + 1")
    catalog.unlink()
    report = check(host, repair=True)
    assert [f.repaired for f in report.findings if f.file == f"catalogs/{catalog.name}"] == [True]
    assert catalog.read_bytes() == whole
    assert check(host).clean
    host.check()


# Repairing.


def test_damage_is_repaired_from_live_files(host: WornHost) -> None:
    """What the newest version has comes back; what only older ones had is named."""
    pack = the_pack(host)
    flip(pack, 2000)
    report = check(host, repair=True)
    assert not pack.exists()
    assert any(pack.name in path.name for path in (host.path / "quarantine").iterdir())
    assert any(finding.repaired for finding in report.findings)
    lost = {f.digest for f in report.findings if not f.repaired}
    with host.open() as ws:
        handle = ws.app("crm")
        assert tree(handle, handle.versions()[-1].version) == host.live()
        for info in handle.versions():
            for entry in handle.ls(str(info.version)):
                if entry.kind != "file" or entry.content is None:
                    continue
                digest = entry.content.digest.hex()
                if digest in lost:
                    continue
                data = b"".join(handle.cat(str(info.version), entry.path))
                assert data == host.kept[info.version][entry.path]
    again = check(host)
    assert {f.digest for f in again.findings} == lost
    assert {f.kind for f in again.findings} <= {"missing"}


def test_a_damaged_table_costs_nothing(host: WornHost) -> None:
    for path in (the_pack(host), the_log(host)):
        flip(path, path.stat().st_size - 20)
        report = check(host, repair=True)
        assert report.findings and report.clean
        assert any(path.name in kept.name for kept in (host.path / "quarantine").iterdir())
        host.check()
    assert Workspace.rebuild(host.path) == []
    host.check()
    assert check(host).findings == ()


@pytest.mark.slow
def test_whatever_is_flipped_a_repair_invents_nothing(host: WornHost, tmp_path: Path) -> None:
    places = random.Random(11)
    for number in range(24):
        ruined = object.__new__(WornHost)
        ruined.__dict__.update(host.__dict__)
        ruined.path = tmp_path / f"ruined{number}"
        shutil.copytree(host.path, ruined.path)
        path = pack_files(ruined.path)[number % 2]
        for _ in range(1 + number % 3):
            flip(path, places.randrange(path.stat().st_size))
        report = check(ruined, repair=True)
        assert report.findings
        nothing_wrong_comes_out(ruined)
        again = check(ruined)
        assert digests(again.findings) == digests(f for f in report.findings if not f.repaired)
        ruined.snapshot()  # what was lost and is live again is stored again
        with ruined.open() as ws:
            ws.care.gc()
        nothing_wrong_comes_out(ruined)
        for extra in set(ruined.kept) - set(host.kept):
            del ruined.kept[extra]


def digests(findings: "object") -> set[str | None]:
    return {f.digest for f in findings if isinstance(f, Damage)}  # type: ignore[attr-defined]


def test_a_missing_pack_is_repaired_as_far_as_files_live(host: WornHost) -> None:
    the_pack(host).unlink()
    check(host, repair=True)
    with host.open() as ws:
        handle = ws.app("crm")
        assert tree(handle, handle.versions()[-1].version) == host.live()
        contents = ws._store.contents
        for file in contents.files():
            for digest, sha256, size, _ in contents.rows(file):
                if digest is not None:
                    (info,) = contents.with_digest(digest)
                    assert len(ws._store.blobs.read(info)) == size, sha256


def test_repair_stores_deltas_of_a_lost_base_anew(host: WornHost) -> None:
    """The base is of a forgotten version, and gone with its pack; the index does not know it."""
    with host.open() as ws:
        for version in range(4):
            host.clock.advance(40 * DAY)
            ws.care.forget("crm", [version])
    the_pack(host).unlink()
    for path in host.path.glob("index.sqlite*"):
        path.unlink()
    assert not check(host).clean
    assert check(host, repair=True).clean
    host.check()
    host.snapshot()
    assert check(host).findings == ()


def test_another_copy_in_the_store_is_enough(host: WornHost, tmp_path: Path) -> None:
    """The same pack contents twice: one of them damaged, and no live file at all."""
    log = the_log(host)
    twin = log.with_name("7")
    twin.write_bytes(log.read_bytes())
    flip(log, 200)
    host.root.rename(tmp_path / "away")
    try:
        report = check(host, repair=True)
    finally:
        (tmp_path / "away").rename(host.root)
    assert report.findings and report.clean
    host.check()


def test_a_large_content_comes_back_part_by_part(tmp_path: Path) -> None:
    host = WornHost(tmp_path, files=2)
    host.write("big", host.random.randbytes(1 << 20) * 66)
    host.snapshot()
    assert check(host).findings == ()
    packs = [path for path in pack_files(host.path) if path.stat().st_size > 100_000]
    flip(packs[0], 50_000)
    report = check(host)
    assert any(("crm", 0) in finding.versions for finding in report.findings)
    assert check(host, repair=True).clean
    host.check()


def test_damage_to_what_is_owed_is_found(host: WornHost) -> None:
    with host.open() as ws, locks.hold(host.path / "locks", DAEMON_LOCK):
        ws.app("crm").checkout("0", confirm=60.0, exact=True)
    [owed] = (host.path / "journals").glob("*.owed")
    assert check(host).clean
    flip(owed, 100)
    [finding] = check(host).findings
    assert (finding.kind, finding.file) == ("damaged", f"journals/{owed.name}")


@pytest.mark.root
def test_a_store_is_checked_and_read_where_it_is_mounted_read_only(
    host: WornHost, tmp_path: Path
) -> None:
    (view := tmp_path / "view").mkdir()
    subprocess.run(["mount", "--bind", host.path, view], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", view], check=True)
        with host.open() as ws:  # which keeps the files beside the index that readers need
            ws.app("crm").versions()
            with Workspace.open(view, recover=False) as seen:
                assert seen.care.fsck(1.0).findings == ()
                assert seen.app("crm").export("0", tmp_path / "copy").files > 0
                with pytest.raises(OSError, match="Read-only"):
                    seen.app("crm").snapshot()
    finally:
        subprocess.run(["umount", view], check=True)
