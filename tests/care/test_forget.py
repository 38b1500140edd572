"""Forgetting, and taking it back."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from epmstore import locks
from epmstore.atomic import retire
from epmstore.care.forget import ONLY_EXEMPT
from epmstore.catalog.model import HoldRecord
from epmstore.catalog.retention import Policy
from epmstore.clock import to_rfc3339
from epmstore.digest import Sha256, identify
from epmstore.errors import (
    AppNotFoundError,
    ConflictError,
    NotRestorableError,
    VersionNotFoundError,
)
from epmstore.index.contents import Contents
from epmstore.pack_table import Place
from epmstore.places import DAEMON_LOCK
from epmstore.store.commit import commit_fact
from epmstore.workspace import apps
from tests.kit.faults import Killed
from tests.kit.worn import DAY, WornHost


@pytest.fixture
def host(tmp_path: Path) -> WornHost:
    """Six versions with contents of their own, in a log that is not appended to any more."""
    host = WornHost(tmp_path, files=3)
    for _ in range(6):
        for number in range(3):
            host.write(f"bin/f{number}", host.random.randbytes(5000))
        host.snapshot()
    with host.open() as ws, ws._store.lock_write():
        ws._store.packlog.begin_next()
    return host


def restorable(host: WornHost) -> list[int]:
    with host.open() as ws:
        return [info.version for info in ws.app("crm").versions() if info.restorable]


def test_the_usual_policy_keeps_every_change_of_a_year(host: WornHost) -> None:
    with host.open() as ws:
        assert ws.care.forget("crm").versions == ()
        host.clock.advance(300 * DAY)
        assert ws.care.forget("crm").versions == ()


def test_a_policy_forgets_what_it_does_not_keep(host: WornHost) -> None:
    policy = Policy(
        keep_last=2,
        keep_change_days=0,
        keep_drift_days=0,
        keep_hourly=0,
        keep_daily=0,
        keep_weekly=0,
        keep_monthly=0,
        keep_yearly=0,
    )
    with host.open() as ws:
        ws.app("crm").pin("1")
        ws.app("crm").tag("good", "2")
        would = ws.care.forget("crm", policy, dry_run=True)
        assert would.versions == (0, 3) and would.dry_run
        assert restorable(host) == [0, 1, 2, 3, 4, 5]
        assert ws.care.forget("crm", policy).versions == (0, 3)
        assert ws.care.forget("crm", policy).versions == ()
    assert restorable(host) == [1, 2, 4, 5]


def test_forget_foretells_freed_bytes(host: WornHost) -> None:
    with host.open() as ws:
        would = ws.care.forget("crm", [0, 1, 2, 3], dry_run=True, measure=True)
        assert would.freed is not None and 4 * 15_000 <= would.freed <= 4 * 16_000
        before = ws.care.gc(dry_run=True).freed
        assert ws.care.forget("crm", [0, 1, 2, 3]).freed is None  # as dear as a collection
        assert abs(ws.care.gc().freed - before - would.freed) < would.freed / 10
        assert ws.care.forget("crm", [0]).freed == 0
    host.check()


@pytest.mark.parametrize("version", [1, 2, 5])
def test_some_versions_may_not_be_forgotten(host: WornHost, version: int) -> None:
    with host.open() as ws:
        ws.app("crm").pin("1")
        ws.app("crm").tag("good", "2")
        with pytest.raises(ConflictError):
            ws.care.forget("crm", [0, version])
    assert restorable(host) == [0, 1, 2, 3, 4, 5]


def test_an_app_on_hold_or_in_a_checkout_forgets_nothing(host: WornHost) -> None:
    host.clock.advance(4000 * DAY)
    with host.open() as ws:
        uuid = ws.apps.get("crm").uuid
        until = to_rfc3339(host.clock.now() + DAY)
        now = to_rfc3339(host.clock.now())
        commit_fact(ws._store, uuid, HoldRecord(time=now, held=True, until=until))
        assert ws.care.forget("crm", Policy(keep_last=1)).versions == ()
        with pytest.raises(ConflictError):
            ws.care.forget("crm", [0])
        host.clock.advance(2 * DAY)
        journal = ws._store.journal(uuid)
        journal.write_bytes(b"")
        with pytest.raises(ConflictError):
            ws.care.forget("crm", [0])
        journal.unlink()
        assert ws.care.forget("crm", [0]).versions == (0,)


def test_a_hold_that_nobody_asked_for_does_not_stop_retention(host: WornHost) -> None:
    with host.open() as ws:
        ws.app("crm").rollback()
        assert ws.app("crm").obligations.hold_in_force() is not None
        assert ws.care.forget("crm", [0]).versions == (0,)


def test_forget_keeps_versions_that_a_pending_undo_needs(host: WornHost) -> None:
    with host.open() as ws:
        with locks.hold(host.path / "locks", DAEMON_LOCK):
            ws.app("crm").checkout("0", confirm=60.0)
        with pytest.raises(ConflictError, match="waits to be confirmed"):
            ws.care.forget("crm", [1])
        ws.app("crm").confirm()
        assert ws.care.forget("crm", [1]).versions == (1,)


def test_unforget_works_until_the_contents_are_gone(host: WornHost) -> None:
    with host.open() as ws:
        ws.care.forget("crm", [0, 1, 2, 3])
        assert ws.care.unforget("crm", [1, 4]) == (1,)
        host.check()
        ws.care.gc()
        with pytest.raises(NotRestorableError) as caught:
            ws.care.unforget("crm", [0])
        assert caught.value.data["gone"] == 3
        assert ws.care.unforget("crm", [1]) == ()
    assert restorable(host) == [1, 4, 5]
    host.check()


def test_forget_keeps_a_version_pinned_meanwhile(
    host: WornHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count(*_: object) -> int:
        with host.open() as ws:
            ws.app("crm").pin("1")
        return 0

    monkeypatch.setattr("epmstore.care.forget.freed_by", count)
    with host.open() as ws:
        with pytest.raises(ConflictError, match="version 1 may not be forgotten: pinned"):
            ws.care.forget("crm", [0, 1], measure=True)
        assert restorable(host) == [0, 1, 2, 3, 4, 5]
        ws.app("crm").unpin("1")
        policy = replace(ONLY_EXEMPT, keep_last=2)
        assert ws.care.forget("crm", policy, measure=True).versions == (0, 2, 3)
    assert restorable(host) == [1, 4, 5]


def test_forget_says_why_a_version_is_kept_and_how_to_let_go(host: WornHost) -> None:
    with host.open() as ws:
        with pytest.raises(ConflictError, match="5 may not be forgotten: it is the newest") as last:
            ws.care.forget("crm", [5])
        assert last.value.hint is not None and "newer one" in last.value.hint
        ws.app("crm").checkout("0")
        with pytest.raises(ConflictError, match="5 may not be forgotten: `epmstore undo`") as undo:
            ws.care.forget("crm", [5])
        assert undo.value.hint is not None and "30 days after" in undo.value.hint


def test_unknown_versions_and_apps(host: WornHost) -> None:
    with host.open() as ws:
        with pytest.raises(VersionNotFoundError):
            ws.care.forget("crm", [0, 17])
        with pytest.raises(VersionNotFoundError):
            ws.care.unforget("crm", [17])
        with pytest.raises(AppNotFoundError):
            ws.care.forget("erp")
    assert restorable(host) == [0, 1, 2, 3, 4, 5]


def test_an_app_that_was_removed_with_its_history_frees_its_space(host: WornHost) -> None:
    with host.open() as ws:
        ws.apps.remove("crm", forget=True)
        assert ws.care.gc().freed > 6 * 15_000
        assert ws.care.stats().blobs == 0
        assert ws.care.fsck(1.0).findings == ()


@pytest.mark.parametrize("after", [False, True])
def test_a_removal_that_was_interrupted_is_done_again(
    host: WornHost, monkeypatch: pytest.MonkeyPatch, *, after: bool
) -> None:
    def killed(path: Path, folder: Path) -> None:
        if after:
            retire(path, folder)
        raise Killed

    content = identify((host.root / "bin/f0").read_bytes())
    with host.open() as ws:
        monkeypatch.setattr(apps, "retire", killed)
        with pytest.raises(Killed):
            ws.apps.remove("crm", forget=True)
    monkeypatch.undo()
    with host.open() as ws:
        assert ws.care.fsck(1.0).findings == ()
        assert ws.blobs.stat(content.digest).versions == (() if after else (("crm", 5),))
        ws.apps.remove("crm", forget=True)
        ws.care.gc()
        assert ws.care.stats().blobs == 0
        assert ws.care.fsck(1.0).findings == ()


def test_an_app_that_was_removed_keeps_its_history(host: WornHost) -> None:
    with host.open() as ws:
        ws.apps.remove("crm")
        ws.care.gc()
        assert ws.care.stats().blobs == 18
        assert ws.care.fsck(1.0).findings == ()


def test_each_content_is_asked_for_once_however_many_versions_come_back(
    host: WornHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    places = Contents.places

    def counting(self: Contents, wanted: Sequence[Sha256]) -> dict[Sha256, Place]:
        asked.append(len(wanted))
        return places(self, wanted)

    with host.open() as ws:
        for number in range(40):
            host.write("bin/more", b"%d" % number)
            host.snapshot()
        versions = range(1, 40)
        ws.care.forget("crm", versions)
        monkeypatch.setattr(Contents, "places", counting)
        assert ws.care.unforget("crm", versions) == tuple(versions)
    assert sum(asked) < 3 * len(versions)


def test_of_many_the_first_version_that_lacks_something_is_named(host: WornHost) -> None:
    with host.open() as ws:
        ws.care.forget("crm", [0, 1, 2, 3])
        ws.care.gc()
        with pytest.raises(NotRestorableError, match="version 2 are gone") as error:
            ws.care.unforget("crm", [2, 3])
        assert error.value.data["gone"] == 3


def test_nothing_that_is_freed_is_negative(tmp_path: Path) -> None:
    """Small stores grow where a log becomes a pack."""
    host = WornHost(tmp_path, files=3)
    for _ in range(12):
        host.edit("bin/f0")
        host.snapshot()
        with host.open() as ws:
            with ws._store.lock_write():
                ws._store.packlog.begin_next()
            would = ws.care.gc(dry_run=True)
            found = ws.care.gc()
        assert found.freed >= 0 and would.freed >= 0
        assert abs(would.freed - found.freed) <= max(100, found.freed / 10)
