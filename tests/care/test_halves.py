"""A repair that comes to its end whatever is gone, and checks that say what they looked at."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from epmstore.cli.command import program
from epmstore.cli.session import Session
from epmstore.errors import DamagedError
from epmstore.store import commit
from epmstore.store.store import FOLDERS
from epmstore.workspace import Workspace
from tests.kit.worn import WornHost, flip, pack_files


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> WornHost:
    """With packs, of which the live root has nothing any more, and a copy of the store."""
    host = WornHost(tmp_path_factory.mktemp("halves"), files=4)
    for number in range(4):
        host.write(f"bin/f{number}", host.random.randbytes(300_000))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(commit, "LOG_LIMIT", 0)
        host.snapshot("first")
    with host.open() as ws:
        ws.care.copy(host.path.parent / "copy")
    for number in range(4):
        host.write(f"bin/f{number}", b"small %d" % number)
    host.snapshot("second")
    return host


@pytest.fixture
def host(made: WornHost, tmp_path: Path) -> WornHost:
    shutil.copytree(made.path.parent / "copy", tmp_path / "copy")
    return made.copied(tmp_path)


def the_packs(host: WornHost) -> list[Path]:
    return [path for path in pack_files(host.path) if path.suffix == ".pack"]


def said(host: WornHost, *words: str) -> tuple[int, str]:
    """What a command prints, as a person sees it."""
    found = CliRunner().invoke(
        program(), ["--store", str(host.path), *words], obj=Session(), standalone_mode=False
    )
    code = found.return_value if isinstance(found.return_value, int) else 0
    return code, found.output


@pytest.mark.parametrize("gone", [*FOLDERS, "a pack", "all packs", "the folder of a pack"])
@pytest.mark.slow
def test_a_repair_comes_to_its_end(host: WornHost, tmp_path: Path, gone: str) -> None:
    if gone == "a pack":
        the_packs(host)[0].unlink()
    elif gone == "all packs":
        for pack in the_packs(host):
            pack.unlink()
    elif gone == "the folder of a pack":
        shutil.rmtree(the_packs(host)[0].parent)
    else:
        shutil.rmtree(host.path / gone)
    if gone == "catalogs":
        with pytest.raises(DamagedError, match="catalogs is not there") as caught:
            host.open()
        assert "store restore --from COPY" in str(caught.value.hint)
    else:
        for read_data in (0.0, 1.0):
            with host.open() as ws:
                report = ws.care.fsck(read_data, repair=True)
                again = ws.care.fsck(read_data)
            assert report.clean == again.clean
            left = {f.sha256 for f in report.findings if not f.repaired}
            assert left == {f.sha256 for f in again.findings}
    found = Workspace.restore(host.path, tmp_path / "copy", clock=host.clock)
    assert "packs" in gone or gone == "catalogs" or found.report.clean
    with host.open() as ws:
        assert {e.path for e in ws.app("crm").ls("0")} == {"bin", *host.kept[0]}
        for path, data in host.kept[0].items():
            (entry,) = (e for e in ws.app("crm").ls("0") if e.path == path)
            assert b"".join(ws.app("crm").cat("0", entry.path)) == data


def test_fsck_says_the_unread_share_and_keeps_earlier_damage(
    host: WornHost, tmp_path: Path
) -> None:
    code, text = said(host, "fsck")
    assert code == 0
    assert "contents were not read (--read-data)" in text
    assert said(host, "fsck", "--read-data=40%")[1].count("40% were read") == 1
    assert "not read" not in said(host, "fsck", "--read-data")[1]
    flip(the_packs(host)[0], 100_000)
    assert said(host, "fsck")[0] == 0
    assert said(host, "fsck", "--read-data")[0] == 6
    # from here on nobody says again that all is well
    assert said(host, "fsck")[0] == 6
    with host.open() as ws:
        assert not ws.care.fsck_on(0.0).clean
        assert ws.care.remembered().damage is not None
    assert said(host, "fsck", "--repair")[0] == 6
    with host.open() as ws:
        assert not ws.care.fsck(1.0).clean
    found = Workspace.restore(host.path, tmp_path / "copy", clock=host.clock)
    assert found.report.clean
    assert said(host, "fsck", "--read-data")[0] == 0
    with host.open() as ws:
        assert ws.care.remembered().damage is None
    host.check()


@pytest.mark.parametrize("how", ["lost", "flipped"])
def test_unreadable_contents_are_damage_with_a_path(
    host: WornHost, tmp_path: Path, how: str
) -> None:
    for pack in the_packs(host):
        if how == "lost":
            pack.unlink()
        else:
            for offset in range(1000, pack.stat().st_size - 5000, 1 << 16):
                flip(pack, offset)
    with host.open() as ws:
        crm = ws.app("crm")
        with pytest.raises(DamagedError, match=r"4 paths.*'bin/f0'.*'bin/f3'") as caught:
            crm.export("0", tmp_path / "out")
        assert len(caught.value.data["paths"]) == 4
        assert "store restore --from COPY" in str(caught.value.hint)
        assert not (tmp_path / "out").exists()
        (entry,) = (e for e in crm.ls("0") if e.path == "bin/f1")
        with pytest.raises(DamagedError):
            list(crm.cat("0", entry.path))
    Workspace.restore(host.path, tmp_path / "copy", clock=host.clock)
    with host.open() as ws:
        ws.app("crm").export("0", tmp_path / "out")
    assert (tmp_path / "out/bin/f3").read_bytes() == host.kept[0]["bin/f3"]
