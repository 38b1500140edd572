"""A pack that is lost or damaged: what is still live comes back, and is not displaced."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from epmstore.atomic import TEMPORARY
from epmstore.checkout.plan import LOST
from epmstore.errors import DamagedError
from epmstore.relpath import RelPath
from epmstore.store import commit
from tests.kit.worn import WornHost, flip, pack_files


def lose(pack: Path) -> None:
    pack.unlink()


def spoil(pack: Path) -> None:
    flip(pack, 2_000)


def put_folder(pack: Path) -> None:
    pack.unlink()
    pack.mkdir()


RUIN = pytest.mark.parametrize("ruin", [lose, spoil, put_folder])


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WornHost:
    """Two versions of one file that does not compress, each in a pack of its own."""
    monkeypatch.setattr(commit, "LOG_LIMIT", 1)
    host = WornHost(tmp_path, files=0)
    for _ in range(2):
        host.write("x", os.urandom(9_000))
        host.snapshot()
    return host


def packs(host: WornHost) -> list[Path]:
    """The older first."""
    found = [path for path in pack_files(host.path) if path.suffix == ".pack"]
    return sorted(found, key=lambda path: path.stat().st_mtime_ns)


@RUIN
def test_one_repair_brings_back_a_pack_of_which_all_is_live(
    host: WornHost, ruin: Callable[[Path], None]
) -> None:
    """What is stored anew is the very pack, and gets the name of the bad one."""
    ruin(packs(host)[1])
    with host.open() as ws:
        assert all(found.repaired for found in ws.care.fsck(1.0, True).findings)
    with host.open() as ws:
        assert ws.care.fsck(1.0).clean
    host.check()


@RUIN
@pytest.mark.parametrize("paths", [(), ("x",)])
def test_a_checkout_names_the_paths_that_cannot_be_had(
    host: WornHost, ruin: Callable[[Path], None], paths: tuple[str, ...]
) -> None:
    ruin(packs(host)[0])
    before = host.live()
    with host.open() as ws, pytest.raises(DamagedError, match="'x'") as caught:
        ws.app("crm").checkout("0", paths)
    assert caught.value.data["paths"] == [RelPath("x")]
    assert host.live() == before
    assert [path.name for path in host.root.iterdir()] == ["x"]


@pytest.mark.parametrize("ruin", [lose, put_folder])
def test_a_dry_run_knows_that_a_pack_is_lost(host: WornHost, ruin: Callable[[Path], None]) -> None:
    ruin(packs(host)[0])
    with host.open() as ws:
        crm = ws.app("crm").restoring
        with pytest.raises(DamagedError, match="'x'"):
            crm.check(crm.plan("0"))


@pytest.mark.parametrize("ruin", [lose, put_folder])
def test_the_last_copy_of_a_lost_content_is_not_displaced(
    host: WornHost, ruin: Callable[[Path], None]
) -> None:
    ruin(packs(host)[1])
    with host.open() as ws:
        result = ws.app("crm").checkout("0")
    assert result.not_restored == (f"x: {LOST}",)
    assert host.live() == host.kept[1]
    with host.open() as ws:
        ws.care.fsck(1.0, True)
        assert not ws.app("crm").checkout("0").not_restored
    assert host.live() == host.kept[0]


@pytest.mark.parametrize("is_rolling", [False, True])
def test_the_last_copy_of_what_a_check_found_damaged_is_not_displaced(
    host: WornHost, is_rolling: bool
) -> None:
    spoil(packs(host)[1])
    with host.open() as ws:
        assert not (ws.care.fsck_on(1.0) if is_rolling else ws.care.fsck(1.0)).clean
    with host.open() as ws:
        result = ws.app("crm").checkout("0")
    assert result.not_restored == (f"x: {LOST}",)
    assert host.live() == host.kept[1]
    with host.open() as ws:
        ws.care.fsck(1.0, True)
        assert not ws._store.notes.damaged_packs()
        assert not ws.app("crm").checkout("0").not_restored
    assert host.live() == host.kept[0]


def test_gc_takes_a_folder_that_has_the_name_of_a_temporary(host: WornHost) -> None:
    left = host.path / "packs" / f"{TEMPORARY}folder"
    left.mkdir()
    (left / "f").write_bytes(b"x")
    with host.open() as ws:
        ws.care.gc()
    assert not left.exists()
