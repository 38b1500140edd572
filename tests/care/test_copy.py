"""Copies of a store."""

import json
import shutil
from pathlib import Path

import pytest

from epmstore import fsio
from epmstore.errors import ConflictError, DamagedError, NoStoreError, UsageError
from epmstore.index.notes import Stamp
from epmstore.relpath import RelPath
from epmstore.store import identity
from epmstore.workspace import Workspace
from tests.kit.worn import DAY, WornHost, flip, pack_files


@pytest.fixture
def host(tmp_path: Path) -> WornHost:
    host = WornHost(tmp_path)
    host.history(4)
    return host


def check(host: WornHost, copy: Path) -> None:
    """The copy holds every version, and nothing is wrong with it."""
    twin = object.__new__(WornHost)
    twin.__dict__.update(host.__dict__)
    twin.path = copy
    twin.check()
    with twin.open() as ws:
        assert [v.version for v in ws.app("crm").versions()] == sorted(host.kept)
        report = ws.care.fsck(1.0)
        assert report.findings == () and report.notes == ()


def states(folder: Path) -> dict[Path, Stamp | None]:
    """Of all that is in it, but for when it was looked at."""
    return {path: Stamp.of(path) for path in folder.rglob("*")}


def test_a_copy_is_a_store(host: WornHost, tmp_path: Path) -> None:
    with host.open() as ws:
        first = ws.care.copy(tmp_path / "copy")
    assert first.files >= 2
    check(host, tmp_path / "copy")
    assert (tmp_path / "copy/FORMAT").read_bytes() == (host.path / "FORMAT").read_bytes()
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o700


def test_a_second_copy_brings_only_what_is_new(host: WornHost, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    host.write("large", host.random.randbytes(10 << 20))
    host.snapshot()
    with host.open() as ws:
        ws.care.copy(copy)
        assert ws.care.copy(copy).files == 0
    check(host, copy)
    host.edit("bin/f1")
    host.snapshot()
    with host.open() as ws:
        again = ws.care.copy(copy)
    assert again.files == 2 and again.size < 1 << 20
    check(host, copy)


@pytest.mark.parametrize("pattern", ["catalogs/*.syscat.zst", "packs/*/*.pack", "packs/log/*"])
def test_copy_keeps_files_that_the_original_lost(
    host: WornHost, tmp_path: Path, pattern: str
) -> None:
    copy = tmp_path / "copy"
    host.write("large", host.random.randbytes(10 << 20))
    host.snapshot()
    with host.open() as ws:
        ws.care.copy(copy)
        lost = next(iter(host.path.glob(pattern)))
        lost.unlink()
        with pytest.raises(DamagedError, match="is not there"):
            ws.care.copy(copy)
    check(host, copy)


def test_copy_drops_files_that_were_collected(host: WornHost, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    with host.open() as ws, ws._store.lock_write():
        ws._store.packlog.begin_next()
    with host.open() as ws:
        ws.care.copy(copy)
        ws.care.gc()
        assert ws.care.copy(copy).removed == 1
    assert {p.relative_to(copy) for p in pack_files(copy)} == {
        p.relative_to(host.path) for p in pack_files(host.path)
    }
    check(host, copy)


def test_forgets_and_tags_come_along(host: WornHost, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    host.clock.advance(60 * DAY)
    with host.open() as ws:
        ws.care.copy(copy)
        ws.care.forget("crm", [1])
        ws.app("crm").tag("good", "2")
        ws.care.copy(copy)
    with Workspace.open(copy) as ws:
        infos = ws.app("crm").versions()
        assert not infos[1].restorable and infos[2].tags == ("good",)


def test_a_copy_that_was_worked_with_becomes_a_copy_again(host: WornHost, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    with host.open() as ws:
        ws.care.copy(copy)
    with Workspace.open(copy, clock=host.clock) as ws:
        ws.app("crm").tag("mine", "1")
    with host.open() as ws:
        ws.care.copy(copy)
    check(host, copy)
    with Workspace.open(copy) as ws:
        assert ws.app("crm").versions()[1].tags == ()


def test_an_interrupted_copy_is_no_store_and_goes_on(host: WornHost, tmp_path: Path) -> None:
    number, done = 0, False
    while not done:
        copy = tmp_path / f"copy{number}"
        left = [number]

        def fail(call: str, arguments: tuple[object, ...], left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(5, "the stick was pulled")

        with host.open() as ws:
            fsio.install_fault(fail)
            try:
                ws.care.copy(copy)
                done = True
            except OSError:
                done = False
            finally:
                fsio.install_fault(None)
            if not done:
                if not (copy / "FORMAT").exists():
                    with pytest.raises(NoStoreError):
                        Workspace.open(copy)
                ws.care.copy(copy)
        check(host, copy)
        shutil.rmtree(copy)
        number += 3
    assert number > 60


@pytest.mark.parametrize("later", [{"format": 2}, {"features": ["sharded"]}])
def test_a_copy_that_a_later_release_made_is_left_alone(
    host: WornHost, tmp_path: Path, later: dict[str, object]
) -> None:
    with host.open() as ws:
        ws.care.copy(tmp_path / "copy")
        file = tmp_path / "copy/FORMAT"
        document = {**json.loads(file.read_text()), **later}
        file.write_text(json.dumps({**document, "sum": identity._sum(document)}))
        host.edit("bin/f1")
        host.snapshot()
        before = states(tmp_path / "copy")
        with pytest.raises(NoStoreError):
            ws.care.copy(tmp_path / "copy")
    assert states(tmp_path / "copy") == before


def second(host: WornHost, place: Path) -> Path:
    """Another application in the same store, with a version; its root."""
    root = place / "second"
    root.mkdir()
    (root / "file").write_bytes(b"second")
    with host.open() as ws:
        ws.apps.add("second", root)
        ws.app("second").snapshot()
    return root


def catalog_of(host: WornHost) -> Path:
    with host.open() as ws:
        return host.path / f"catalogs/{ws.apps.get('crm').uuid}.syscat.zst"


@pytest.mark.parametrize("known", [False, True])
def test_a_damaged_catalog_hinders_nothing_else(
    host: WornHost, tmp_path: Path, known: bool
) -> None:
    second(host, tmp_path)
    catalog, copy = catalog_of(host), tmp_path / "copy"
    flip(catalog, catalog.stat().st_size // 2)
    with host.open() as ws:
        assert not (known and ws.care.fsck().clean)
        for _ in range(2):
            assert [catalog.name in text for text in ws.care.copy(copy).damage] == [True]
    assert (copy / "catalogs" / catalog.name).read_bytes() == catalog.read_bytes()
    with Workspace.open(copy) as ws:
        assert [key for key, _ in ws.damaged()] == ["crm"]
        assert b"".join(ws.app("second").cat("0", RelPath("file"))) == b"second"
        assert ws.app("crm").versions()


def test_a_damaged_pack_hinders_nothing_else(host: WornHost, tmp_path: Path) -> None:
    host.write("large", host.random.randbytes(10 << 20))
    host.snapshot()
    (bad,) = (path for path in pack_files(host.path) if path.suffix == ".pack")
    flip(bad, 300)
    with host.open() as ws:
        assert [bad.name in text for text in ws.care.copy(tmp_path / "copy").damage] == [True]
    assert (tmp_path / "copy" / bad.relative_to(host.path)).read_bytes() == bad.read_bytes()
    with Workspace.open(tmp_path / "copy") as ws:
        assert len(ws.app("crm").versions()) == len(host.kept)
        assert b"".join(ws.app("crm").cat("0", RelPath("bin/f1"))) == host.kept[0]["bin/f1"]
        assert {finding.file for finding in ws.care.fsck(1.0).findings} == {
            str(bad.relative_to(host.path))
        }


def test_copy_of_damaged_files_replaces_and_removes_nothing(host: WornHost, tmp_path: Path) -> None:
    root, catalog, copy = second(host, tmp_path), catalog_of(host), tmp_path / "copy"
    host.write("large", host.random.randbytes(10 << 20))
    host.snapshot()
    with host.open() as ws:
        ws.care.copy(copy)
    sound, packs = (copy / "catalogs" / catalog.name).read_bytes(), {*pack_files(copy)}
    host.snapshot("later")
    (root / "file").write_bytes(b"newer")
    with host.open() as ws:
        ws.app("second").snapshot()
        flip(catalog, catalog.stat().st_size // 2)
        found = ws.care.copy(copy)
    assert (found.removed, len(found.damage)) == (0, 1)
    assert (copy / "catalogs" / catalog.name).read_bytes() == sound
    assert {*pack_files(copy)} >= packs
    with Workspace.open(copy) as ws:
        assert b"".join(ws.app("second").cat("1", RelPath("file"))) == b"newer"
        assert ws.care.fsck(1.0).clean


def test_a_store_comes_back_from_a_damaged_copy(host: WornHost, tmp_path: Path) -> None:
    second(host, tmp_path)
    catalog, copy = catalog_of(host), tmp_path / "copy"
    with host.open() as ws:
        ws.care.copy(copy)
    flip(copy / "catalogs" / catalog.name, catalog.stat().st_size // 2)
    Workspace.restore(tmp_path / "back", copy, clock=host.clock)
    with Workspace.open(tmp_path / "back", clock=host.clock) as ws:
        assert [key for key, _ in ws.damaged()] == ["crm"]
        assert b"".join(ws.app("second").cat("0", RelPath("file"))) == b"second"


def test_other_folders_are_left_alone(host: WornHost, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine").write_text("precious")
    Workspace.init(tmp_path / "foreign").close()
    with host.open() as ws:
        for target in (other, tmp_path / "foreign"):
            with pytest.raises(ConflictError):
                ws.care.copy(target)
        for target in (host.path, host.path / "packs/copy", tmp_path):
            with pytest.raises(UsageError):
                ws.care.copy(target)
    assert [path.name for path in other.iterdir()] == ["mine"]


def test_neither_journals_nor_quarantine_are_copied(host: WornHost, tmp_path: Path) -> None:
    with host.open() as ws:
        (host.path / "journals/x.change").write_text("{}")
        (host.path / "quarantine/x").write_text("bad")
        ws.care.copy(tmp_path / "copy")
    assert not list((tmp_path / "copy/journals").iterdir())
    assert not list((tmp_path / "copy/quarantine").iterdir())
