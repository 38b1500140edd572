"""Collecting: what goes, what must not, and whatever dies or runs beside it."""

import os
import shutil
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from epmstore.atomic import TEMPORARY
from epmstore.blobs.pack import publish_pack
from epmstore.care import gc
from epmstore.care.gc import GcResult
from epmstore.errors import DamagedError, DiskFullError
from epmstore.store.reserve import has_reserve
from tests.kit.faults import Calls, Killed, faults
from tests.kit.worn import DAY, WornHost, flip, is_free, pack_files


def end_log(host: WornHost) -> None:
    with host.open() as ws, ws._store.lock_write():
        ws._store.packlog.begin_next()


def collect(host: WornHost) -> GcResult:
    with host.open() as ws:
        return ws.care.gc()


def varied(host: WornHost, versions: int = 6) -> None:
    """Some files edited, some replaced by what nothing can be made against."""
    host.snapshot()
    for version in range(1, versions):
        for number in range(12):
            name = f"bin/f{number}"
            if (number + version) % 3:
                host.edit(name)
            else:
                host.write(name, host.random.randbytes(4000))
        host.snapshot()


@pytest.fixture(scope="module")
def worn(tmp_path_factory: pytest.TempPathFactory) -> WornHost:
    """Of everything that a collection can do, something is due."""
    host = WornHost(tmp_path_factory.mktemp("worn"))
    for _ in range(4):  # eight small packs, soon to be merged
        for _ in range(2):
            for number in range(12, 15):
                host.write(f"bin/f{number}", host.random.randbytes(900))
            host.snapshot()
            end_log(host)
        host.check()
    collect(host)
    varied(host)
    end_log(host)
    host.edit("bin/f1")
    host.snapshot()
    host.clock.advance(40 * DAY)
    with host.open() as ws:
        ws.care.forget("crm", [1, 2, 3, 8, 9, 10, 11])
    return host


def test_no_way_back_leads_to_what_is_gone(worn: WornHost, tmp_path: Path) -> None:
    host = worn.copied(tmp_path)
    with host.open() as ws:
        before = [one for kept in ws._store.all_reverse() for one in kept.load()]
        ws.care.gc()
        after = [one for kept in ws._store.all_reverse() for one in kept.load()]
        named = {sha256 for one in after for sha256 in (one.sha256, one.base)}
        assert len(before) > len(after) > 0
        assert ws._store.contents.places(list(named)).keys() == named


def test_nothing_is_taken_that_a_version_needs(worn: WornHost, tmp_path: Path) -> None:
    host = worn.copied(tmp_path)
    before = sum(path.stat().st_size for path in pack_files(host.path))
    result = collect(host)
    assert result.freed == before - sum(path.stat().st_size for path in pack_files(host.path))
    assert result.freed > 0 and result.sealed and result.repacked + result.dropped
    host.check()
    with host.open() as ws:
        assert ws.care.fsck(1.0).findings == ()


def test_a_dry_run_changes_nothing_and_is_right(worn: WornHost, tmp_path: Path) -> None:
    host = worn.copied(tmp_path)
    before = {path: path.read_bytes() for path in pack_files(host.path)}
    with host.open() as ws:
        expected = ws.care.gc(dry_run=True)
    assert {path: path.read_bytes() for path in pack_files(host.path)} == before
    found = collect(host)
    assert (expected.dropped, expected.sealed) == (found.dropped, found.sealed)
    assert abs(expected.freed - found.freed) <= found.freed / 50
    assert abs(expected.rewritten - found.rewritten) <= found.rewritten / 50
    assert not expected.at_least


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(6))
def test_it_may_die_at_any_call(worn: WornHost, tmp_path: Path, shard: int) -> None:
    deaths = 0
    while True:
        place = tmp_path / str(deaths)
        host = worn.copied(place)
        death = Calls(1 + shard + 6 * deaths)
        with faults(death), suppress(Killed):
            collect(host)
        if not death.struck:
            break
        deaths += 1
        host.check()
        collect(host)
        host.check()
        with host.open() as ws:
            report = ws.care.fsck(1.0)
        assert report.findings == () and report.notes == ()
        assert not [p for p in (host.path / "packs").iterdir() if p.name.startswith(TEMPORARY)]
        shutil.rmtree(place)
    assert deaths > 6


@pytest.mark.slow
def test_a_rebuild_after_any_death_offers_nothing_that_cannot_be_read(
    worn: WornHost, tmp_path: Path
) -> None:
    struck, at = True, 1
    while struck:
        place = tmp_path / str(at)
        host = worn.copied(place)
        death = Calls(at)
        with faults(death), suppress(Killed):
            collect(host)
        struck, at = death.struck, at + 7
        for path in host.path.glob("index.sqlite*"):
            path.unlink()
        with host.open() as ws:
            contents = ws._store.contents
            for file in contents.files():
                for digest, sha256, _, _ in contents.rows(file):
                    if digest is not None:
                        for info in contents.with_digest(digest):
                            if info.sha256 == sha256:
                                assert len(ws._store.blobs.read(info)) == info.size
        host.check()
        shutil.rmtree(place)


@pytest.mark.parametrize("when", ["before the mark", "after the mark", "at the switch"])
def test_a_snapshot_that_brings_condemned_contents_back(
    worn: WornHost, tmp_path: Path, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = worn.copied(tmp_path / "copy")
    host.root = tmp_path / "root"
    shutil.copytree(worn.root, host.root)
    host.kept = dict(worn.kept)
    with host.open() as ws:
        ws.apps.move("crm", host.root)

    def bring_back() -> None:
        for name, content in worn.kept[10].items():  # forgotten
            host.write(name, content)
        host.snapshot()

    done = False

    def once() -> None:
        nonlocal done
        if not done:
            done = True
            thread = threading.Thread(target=bring_back)
            thread.start()
            thread.join()

    survey, write = gc.survey, publish_pack

    def slow_survey(*arguments: object, **said: object) -> object:
        found = survey(*arguments, **said)  # type: ignore[arg-type]
        once()
        return found

    def slow_write(*arguments: object) -> object:
        once()
        return write(*arguments)  # type: ignore[arg-type]

    if when == "before the mark":
        once()
    elif when == "after the mark":
        monkeypatch.setattr(gc, "survey", slow_survey)
    else:
        monkeypatch.setattr("epmstore.care.gc.publish_pack", slow_write)
    collect(host)
    assert done
    host.check()
    with host.open() as ws:
        assert ws.care.fsck(1.0).findings == ()
    collect(host)
    host.check()


def test_packs_are_kept_until_what_names_them_is_committed(worn: WornHost, tmp_path: Path) -> None:
    """Until its catalog line is written (or its group entered), nobody collects beside it."""
    host = worn.copied(tmp_path / "copy")
    host.root = tmp_path / "root"
    shutil.copytree(worn.root, host.root)
    with host.open() as ws:
        ws.apps.move("crm", host.root)
    host.write("bin/f2", host.random.randbytes(9 << 20))
    source = tmp_path / "source"
    source.write_bytes(host.random.randbytes(9 << 20))
    seen: list[bool] = []

    def look(call: str, arguments: tuple[object, ...]) -> None:
        if call != "write" or not isinstance(arguments[0], int):
            return
        name = os.readlink(f"/proc/self/fd/{arguments[0]}")
        if "/packs/" in name or name.endswith(".zst"):
            seen.append(is_free(host.path, "gc"))

    with faults(look):
        host.snapshot()
        snapshot = len(seen)
        with host.open() as ws:
            ws.blobs.put(source)
    assert 0 < snapshot < len(seen) and not any(seen)


def test_an_unforget_while_it_collects_wins(
    worn: WornHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = worn.copied(tmp_path)
    survey = gc.survey
    done = False

    def slow_survey(*arguments: object, **said: object) -> object:
        nonlocal done
        found = survey(*arguments, **said)  # type: ignore[arg-type]
        if not done:
            done = True
            with host.open() as ws:
                ws.care.unforget("crm", [10])
        return found

    monkeypatch.setattr(gc, "survey", slow_survey)
    collect(host)
    host.check()
    with host.open() as ws:
        assert ws.app("crm").versions()[10].restorable


def test_gc_keeps_contents_named_by_an_open_journal(worn: WornHost, tmp_path: Path) -> None:
    host = worn.copied(tmp_path)
    with host.open() as ws:
        unnamed = tmp_path / "unnamed"
        unnamed.write_bytes(b"saved by a checkout, not yet in any version")
        info = ws.blobs.put(unnamed)
        app = ws.apps.get("crm").uuid
        journal = ws._store.journal(app)
        journal.write_bytes(b"")  # one that only just began
        ws.care.gc()
        assert ws._store.blobs.has(info)
        journal.unlink()
        ws.care.unforget("crm", [1, 2, 3, 8, 9, 10, 11])
    host.check()


def test_unneeded_contents_go(tmp_path: Path) -> None:
    host = WornHost(tmp_path)
    host.snapshot()
    end_log(host)
    with host.open() as ws:
        big = tmp_path / "big"
        big.write_bytes(host.random.randbytes(100_000))
        info = ws.blobs.put(big)
        assert ws.care.gc().freed >= 100_000
        assert not ws._store.blobs.has(info)
    host.check()


def test_gc_rewrites_packs_that_only_dead_deltas_lean_on(tmp_path: Path) -> None:
    """They lie in a log that becomes a pack only after that."""
    host = WornHost(tmp_path)
    host.snapshot()
    end_log(host)
    collect(host)
    host.edit("bin/f0")
    for number in range(1, 9):
        host.write(f"bin/f{number}", host.random.randbytes(4000))
    host.snapshot()
    host.write("bin/f0", host.random.randbytes(4000))
    host.snapshot()
    end_log(host)
    with host.open() as ws:
        ws.care.forget("crm", [0, 1])
        done = ws.care.gc()
        assert (done.repacked, done.sealed) == (1, 1)
        again = ws.care.gc()
        assert (again.repacked, again.freed) == (0, 0)
        assert ws.care.fsck(1.0).findings == ()
    host.check()


def test_damage_stops_it(worn: WornHost, tmp_path: Path) -> None:
    host = worn.copied(tmp_path)
    pack = next(path for path in pack_files(host.path) if path.suffix == ".pack")
    flip(pack, pack.stat().st_size - 1)
    before = pack_files(host.path)
    with host.open() as ws, pytest.raises(DamagedError) as caught:
        ws.care.gc()
    assert caught.value.hint is not None and "fsck" in caught.value.hint
    assert pack_files(host.path) == before


def test_gc_keeps_contents_that_a_damaged_catalog_may_need(worn: WornHost, tmp_path: Path) -> None:
    host = worn.copied(tmp_path)
    (catalog,) = (host.path / "catalogs").glob("*.syscat.zst")
    whole = catalog.read_bytes()
    flip(catalog, 200)
    with host.open() as ws:
        before = ws.care.stats().blobs
        for _ in range(2):
            ws.care.gc()
            assert ws.care.stats().blobs == before
        ws.care.rebuild()
        assert catalog.read_bytes() == whole
        ws.care.gc()
        assert ws.care.stats().blobs < before
        assert ws.care.fsck(1.0).clean


@pytest.mark.parametrize("removed", [False, True])
def test_a_lost_catalog_is_damage_and_no_reason_to_free_its_contents(
    worn: WornHost, tmp_path: Path, *, removed: bool
) -> None:
    host = worn.copied(tmp_path)
    with host.open() as ws:
        (name,) = ws._store.all_catalogs()
        path = ws._store.catalog(name).path
        if removed:
            ws.apps.remove("crm")
        blobs = ws.care.stats().blobs
        path.rename(tmp_path / "elsewhere")
        assert [finding.file for finding in ws.care.fsck().findings] == [f"catalogs/{path.name}"]
        ws.care.gc()
        assert ws.care.stats().blobs == blobs
        (tmp_path / "elsewhere").rename(path)
        assert ws.care.fsck(1.0).clean
        assert ws.care.stats().blobs == blobs


def test_a_full_disk_gets_emptier(worn: WornHost, tmp_path: Path) -> None:
    host = worn.copied(tmp_path)
    (host.path / "reserve").write_bytes(bytes(1 << 16))

    def full(call: str, arguments: tuple[object, ...]) -> None:
        if call in ("create", "write") and has_reserve(host.path):
            raise OSError(28, "No space left on device")

    before = sum(path.stat().st_size for path in pack_files(host.path))
    with faults(full):
        result = collect(host)
    assert 0 < result.freed == before - sum(path.stat().st_size for path in pack_files(host.path))
    host.check()


@pytest.mark.root
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """Nothing fits any more: a forget and a collection do, and then recording goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=14m", "none", disk], check=False)
    if made.returncode:
        pytest.skip("may not mount")
    try:
        host = WornHost(tmp_path / "host", files=4)
        shutil.copytree(host.path, disk / "store")
        host.path = disk / "store"
        (disk / "store/reserve").unlink(missing_ok=True)
        for _ in range(2):
            for number in range(4):
                host.write(f"bin/f{number}", host.random.randbytes(500_000))
            host.snapshot()
        end_log(host)
        (disk / "store/reserve").write_bytes(bytes(3 << 20))
        with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
            while filler.write(bytes(1 << 12)):
                pass
        host.edit("bin/f0")
        with pytest.raises((OSError, DiskFullError)):
            for number in range(4):
                host.write(f"bin/f{number}", host.random.randbytes(800_000))
            host.snapshot()
        host.check()
        with host.open() as ws:
            assert ws.care.forget("crm", [0]).versions == (0,)
        assert collect(host).freed > 1_900_000
        host.snapshot()
        host.check()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
