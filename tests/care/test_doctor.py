"""Whether a store and its host are in order, how much is stored, and the reserve."""

import os
from pathlib import Path

import pytest

from epmstore import fsio
from epmstore.care.doctor import HealthCheck
from epmstore.errors import DiskFullError
from epmstore.store import reserve
from epmstore.store.reserve import give_up_reserve, has_reserve, make_reserve, with_reserve
from epmstore.workspace import Workspace
from tests.kit.worn import DAY, WornHost


@pytest.fixture
def host(tmp_path: Path) -> WornHost:
    host = WornHost(tmp_path)
    host.history(3)
    return host


def doctor(host: WornHost) -> dict[str, HealthCheck]:
    with Workspace.open(host.path, clock=host.clock, recover=False) as ws:
        return {check.name: check for check in ws.care.doctor()}


def wrong(host: WornHost) -> set[str]:
    found = doctor(host).values()
    assert all(check.ok or check.hint for check in found)
    return {check.name for check in found if not check.ok}


def test_a_new_store_is_in_order(host: WornHost) -> None:
    found = doctor(host)
    assert wrong(host) <= {"space"}
    assert {"sqlite", "permissions", "file system", "inotify", "clock", "crm: root"} <= set(found)


def test_doctor_says_each_thing_that_is_wrong(host: WornHost, tmp_path: Path) -> None:
    host.path.chmod(0o755)
    assert "permissions" in wrong(host)
    host.path.chmod(0o700)
    host.clock.advance(-DAY)
    assert "clock" in wrong(host)
    host.clock.advance(2 * DAY)
    give_up_reserve(host.path)
    assert "reserve" in wrong(host)
    make_reserve(host.path)
    host.write("data/app.sqlite", b"SQLite format 3\0" + bytes(1008))
    hint = doctor(host)["crm: classes"].hint
    assert hint is not None and "--state '/data/app.sqlite'" in hint
    host.root.rename(tmp_path / "away")
    assert "crm: root" in wrong(host)
    (host.path / "catalogs/appcat.json").write_bytes(b"{}")


def test_doctor_names_open_changes_and_journals(host: WornHost) -> None:
    with host.open() as ws:
        ws.app("crm").change_begin("patching")
        uuid = ws.apps.get("crm").uuid
    assert "patching" in doctor(host)["crm: change"].detail
    (host.path / f"journals/{uuid}.journal").write_bytes(b"")
    assert "crm: checkout" in wrong(host)


def test_stats(host: WornHost) -> None:
    with host.open() as ws:
        found = ws.care.stats()
        assert (found.apps, found.versions) == (1, 3)
        assert found.logical_bytes == sum(
            len(data) for kept in host.kept.values() for data in kept.values()
        )
        distinct = {data for kept in host.kept.values() for data in kept.values()}
        assert found.blobs == len(distinct)
        assert found.raw_bytes == sum(map(len, distinct))
        assert 0 < found.stored_bytes < found.raw_bytes
        ws.care.forget("crm", [0])
        assert ws.care.stats().logical_bytes == sum(
            len(data) for v in (1, 2) for data in host.kept[v].values()
        )


def test_stats_count_what_is_registered_or_recorded(host: WornHost, tmp_path: Path) -> None:
    (tmp_path / "erp").mkdir()
    with host.open() as ws:
        ws.apps.add("erp", tmp_path / "erp")
        assert ws.care.stats().apps == 2
        ws.apps.remove("crm")
        assert ws.care.stats().apps == 2, "the history of crm is there"
        ws.apps.remove("erp")
        assert ws.care.stats().apps == 1


# The reserve.


def test_the_reserve_takes_real_space_and_is_made_once(tmp_path: Path) -> None:
    assert make_reserve(tmp_path, 1 << 20) and make_reserve(tmp_path, 1 << 30)
    found = (tmp_path / reserve.FILE).stat()
    assert found.st_size == 1 << 20 and found.st_blocks * 512 >= 1 << 20
    assert give_up_reserve(tmp_path) and not give_up_reserve(tmp_path)


def test_no_reserve_where_there_is_hardly_room(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    assert not make_reserve(tmp_path, found.f_bavail * found.f_frsize // 2)
    assert not any(tmp_path.iterdir())


def test_a_full_disk_gives_the_reserve_up_once(tmp_path: Path) -> None:
    make_reserve(tmp_path, 4096)
    calls = []

    def action(error: Exception, fails: int) -> int:
        calls.append(error)
        if len(calls) <= fails:
            raise error
        return len(calls)

    full = OSError(28, "No space left on device")
    assert with_reserve(tmp_path, lambda: action(full, 1)) == 2
    assert not has_reserve(tmp_path)
    calls.clear()
    make_reserve(tmp_path, 4096)
    with pytest.raises(DiskFullError):
        with_reserve(tmp_path, lambda: action(DiskFullError("full"), 2))
    make_reserve(tmp_path, 4096)
    with pytest.raises(PermissionError):
        with_reserve(tmp_path, lambda: action(PermissionError(13, "no"), 99))
    assert has_reserve(tmp_path)


def test_a_forget_and_a_version_fit_on_a_full_disk(host: WornHost) -> None:
    def full(call: str, arguments: tuple[object, ...]) -> None:
        """Only catalog lines are too large."""
        if call == "write" and has_reserve(host.path) and isinstance(arguments[0], int):
            name = os.readlink(f"/proc/self/fd/{arguments[0]}")
            if name.endswith(".zst"):
                raise OSError(28, "No space left on device")

    with host.open() as ws:
        fsio.install_fault(full)
        try:
            assert ws.care.forget("crm", [0]).versions == (0,)
            assert not has_reserve(host.path)
            make_reserve(host.path)
            host.edit("bin/f0")
            host.snapshot()
            assert not has_reserve(host.path)
        finally:
            fsio.install_fault(None)
        ws.care.gc()
    assert has_reserve(host.path)
    host.check()
