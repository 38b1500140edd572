"""Every state that can be entered can be seen and left: removed applications, what killed commands
left, the quarantine.
"""

import os
from pathlib import Path

import pytest

from epmstore import atomic
from epmstore.care import leftovers
from epmstore.catalog import appcat
from epmstore.errors import AppNotFoundError, ConflictError, RootError, UsageError
from epmstore.reckon import DAY
from epmstore.workspace import Workspace
from tests.kit.worn import WornHost

FOLDERS = ["", "catalogs", "journals", "packs/log", "live"]


@pytest.fixture
def host(tmp_path: Path) -> WornHost:
    host = WornHost(tmp_path, files=8)
    host.history(3)
    return host


def names(ws: Workspace) -> list[str]:
    return [app.key for app in ws.apps.removed()]


def checks(ws: Workspace) -> dict[str, bool]:
    return {check.name: check.ok for check in ws.care.doctor()}


@pytest.mark.parametrize("folder", FOLDERS)
def test_gc_removes_leftovers_of_a_killed_command(host: WornHost, folder: str) -> None:
    left = host.path / folder / atomic.temporary_name()
    left.write_bytes(b"x" * 100_000)
    with host.open() as ws:
        assert checks(ws)["leftovers"] is False
        assert ws.care.gc(dry_run=True).freed >= 100_000
        assert ws.care.gc().freed >= 100_000
        assert not left.exists()
        assert "leftovers" not in checks(ws)


def test_gc_keeps_files_being_written(host: WornHost) -> None:
    left = host.path / "catalogs" / atomic.temporary_name()
    with left.open("wb") as file, host.open() as ws:
        file.write(b"x")
        file.flush()
        assert "leftovers" not in checks(ws)
        ws.care.gc()
        assert left.exists()
    link = host.path / "catalogs" / atomic.temporary_name()
    link.symlink_to(host.root)
    with host.open() as ws:
        ws.care.gc()
    assert os.path.lexists(link) and not left.exists()


def test_the_quarantine_can_be_emptied_at_once(host: WornHost) -> None:
    (host.path / "quarantine/aa.pack.1234").write_bytes(b"bad" * 100)
    (host.path / "quarantine/folder").mkdir()
    with host.open() as ws:
        plain = ws.care.gc(dry_run=True).freed
        assert ws.care.gc(dry_run=True, quarantine=True).freed >= plain + 300
        ws.care.gc()
        assert len(os.listdir(host.path / "quarantine")) == 2
        assert ws.care.gc(quarantine=True).freed >= 300
        assert os.listdir(host.path / "quarantine") == []
        assert ws.care.gc(quarantine=True).freed == 0
        assert "quarantine" not in checks(ws)


def test_the_quarantine_goes_when_it_is_old_by_reckoned_time(host: WornHost) -> None:
    kept = host.path / "quarantine" / "aa.pack.1234"
    kept.write_bytes(b"x" * 1000)
    with host.open() as ws:
        assert checks(ws)["quarantine"] is True
        ws.care.gc()
        host.clock.set(host.clock.now() + 1000 * DAY)  # a clock that leaps makes nothing old
        ws.care.gc()
        assert kept.exists()
        host.clock.set(host.clock.now() - 1000 * DAY)
        for _ in range(9):
            host.clock.advance(10 * DAY)
            assert kept.exists()
            ws.care.gc()
        assert not kept.exists()
        kept.mkdir()
        (kept / "x").write_bytes(b"x")
        ws.care.gc()
        host.clock.advance(leftovers.KEEP)
        ws.care.gc()
        assert not kept.exists()


def test_locks_of_applications_that_are_gone_go(host: WornHost) -> None:
    with host.open() as ws:
        uuid = ws.apps.get("crm").uuid
        ws.apps.remove("crm")
        ws.care.gc()
        assert (host.path / f"locks/app-{uuid}").exists()
        ws.apps.remove("crm", forget=True)
        assert checks(ws)["leftovers"] is False
        ws.care.gc()
        assert not (host.path / f"locks/app-{uuid}").exists()
        assert (host.path / "locks/write").exists()


def test_the_history_of_a_removed_application_is_read_and_goes_on(host: WornHost) -> None:
    with host.open() as ws:
        uuid = ws.apps.get("crm").uuid
        before = ws.app("crm").versions()
        ws.app("crm").change_begin("never ended")
        ws.apps.remove("crm")
        assert names(ws) == ["crm"] and ws.apps.list() == ()
        assert "removed applications" in checks(ws)
        for name in ("crm", uuid):
            handle = ws.app(name)
            assert handle.versions() == before
            assert handle.export("0", host.path.parent / f"out-{name}").refused == []
            with pytest.raises(RootError, match="was removed"):
                handle.snapshot()
            with pytest.raises(RootError, match="was removed"):
                handle.checkout("0")
        ws.care.forget(uuid, [0])
        ws.care.gc()
        added = ws.apps.add_again("crm")
        assert (added.app.uuid, added.app.root, added.app.removed) == (uuid, str(host.root), None)
        assert names(ws) == []
    host.edit("bin/f0")
    assert host.snapshot() == len(before)
    host.check()


def test_a_key_that_was_given_again_is_the_new_one(host: WornHost, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with host.open() as ws:
        old = ws.apps.get("crm").uuid
        ws.apps.remove("crm")
        new = ws.apps.add("crm", tmp_path / "other").app.uuid
        assert ws.app("crm").app.uuid == new and ws.app(old).app.uuid == old
        with pytest.raises(ConflictError):
            ws.apps.add_again(old)
        ws.app("crm").snapshot()
        ws.care.forget(old, [0])
        assert ws.app("crm").versions()[0].restorable
        ws.apps.remove("crm")
        with pytest.raises(ConflictError, match="2 applications"):
            ws.app("crm")
        ws.apps.remove(new, forget=True)
        assert ws.apps.add_again("crm").app.uuid == old


def test_a_removed_application_can_be_let_go_of(host: WornHost) -> None:
    with host.open() as ws:
        uuid = ws.apps.get("crm").uuid
        ws.apps.remove("crm")
        with pytest.raises(ConflictError):
            ws.apps.remove("crm")
        ws.apps.remove("crm", forget=True)
        assert names(ws) == []
        with pytest.raises(AppNotFoundError):
            ws.app(uuid)
        assert ws.care.gc().dropped


def test_one_that_an_older_program_removed_is_known_by_its_history(
    host: WornHost, tmp_path: Path
) -> None:
    with host.open() as ws:
        uuid = ws.apps.get("crm").uuid
        ws.apps.remove("crm")
        catalog = ws.apps._load().forget(uuid)
        appcat.save(host.path / "catalogs/appcat.json", catalog)
        [found] = ws.apps.removed()
        assert (found.key, found.uuid, found.root, found.removed) == ("crm", uuid, "", "")
        assert ws.app("crm").versions()
        with pytest.raises(UsageError, match="nobody knows where"):
            ws.apps.add_again("crm")
        assert ws.apps.add_again("crm", host.root).app.uuid == uuid


def test_a_removed_application_keeps_its_rules(host: WornHost) -> None:
    with host.open() as ws:
        ws.apps.set("crm", add={"state": ["*.log"]})
        before = ws.apps.get("crm")
        ws.apps.remove("crm")
        assert ws.apps.add_again("crm").app.patterns == before.patterns
