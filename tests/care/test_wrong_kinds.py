"""Something else lies where a file of the store should be: nobody waits, the remedy is named."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from epmstore.atomic import read_named
from epmstore.errors import DamagedError, UsageError
from epmstore.workspace import Workspace
from epmstore.workspace.settings import read_trusted
from tests.kit.worn import WornHost

KINDS: dict[str, Callable[[Path], None]] = {
    "fifo": os.mkfifo,
    "folder": Path.mkdir,
    "dangling": lambda path: path.symlink_to("/nowhere/at/all"),
}

pytestmark = pytest.mark.timeout(30)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> WornHost:
    host = WornHost(tmp_path_factory.mktemp("made"))
    host.snapshot()
    host.edit("bin/f1")
    host.snapshot()
    return host


@pytest.fixture
def host(made: WornHost, tmp_path: Path) -> WornHost:
    return made.copied(tmp_path)


def replaced(path: Path, kind: str) -> Path:
    path.unlink()
    KINDS[kind](path)
    return path


def syscat(host: WornHost) -> Path:
    (found,) = (host.path / "catalogs").glob("*.syscat.zst")
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("file", ["FORMAT", "catalogs/appcat.json"])
def test_a_small_file_is_damaged_and_a_copy_is_the_remedy(
    host: WornHost, file: str, kind: str
) -> None:
    path = replaced(host.path / file, kind)
    with pytest.raises(DamagedError, match="not a regular file") as caught, host.open() as ws:
        ws.apps.list()
    assert caught.value.data["file"] == str(path)
    assert "copy of the store" in str(caught.value.hint)


@pytest.mark.parametrize("kind", KINDS)
def test_one_bad_catalog_is_a_finding(host: WornHost, kind: str) -> None:
    path = replaced(syscat(host), kind)
    with host.open() as ws:
        (finding,) = ws.care.fsck().findings
        host.edit("bin/f2")
        with pytest.raises(DamagedError, match="not a regular file"):
            ws.app("crm").snapshot()
        ws.care.gc()
    assert finding.file == f"catalogs/{path.name}"
    assert finding.versions == (("crm", 0), ("crm", 1))
    assert Workspace.rebuild(host.path) == []  # the index knew it all
    assert path.is_file()
    host.check()


@pytest.mark.parametrize("kind", KINDS)
def test_a_log_that_is_none_is_left_alone_and_repair_moves_it_away(
    host: WornHost, kind: str
) -> None:
    replaced(host.path / "packs/log/0", kind)
    with host.open() as ws:
        findings = ws.care.fsck().findings
        assert {finding.file for finding in findings} == {"packs/log/0"}
        ws.care.fsck(repair=True)
        assert not os.path.lexists(host.path / "packs/log/0")
        assert list((host.path / "quarantine").iterdir())
    host.write("bin/new", b"new\n")
    host.snapshot()
    assert (host.path / "packs/log/1").is_file()


@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_an_index_that_is_no_file_is_made_anew(host: WornHost, kind: str) -> None:
    replaced(host.path / "index.sqlite", kind)
    with pytest.raises(DamagedError) as caught, host.open():
        pass
    assert caught.value.hint == "run `epmstore rebuild`"
    assert Workspace.rebuild(host.path) == []
    with host.open() as ws:
        assert ws.care.fsck(1.0).clean


def test_a_lost_appcat_is_not_taken_for_a_host_without_applications(host: WornHost) -> None:
    (host.path / "catalogs/appcat.json").unlink()
    with pytest.raises(DamagedError, match="histories") as caught, host.open() as ws:
        ws.app("crm")
    with Workspace.open(host.path, clock=host.clock, recover=False) as ws:
        (finding,) = ws.care.fsck().findings
        with pytest.raises(DamagedError):
            ws.apps.add("other", host.root)
    assert "epmstore-rescue" in str(caught.value.hint)
    assert (finding.kind, finding.file) == ("missing", "catalogs/appcat.json")


@pytest.mark.parametrize("name", ["0" * 40 + ".asc", "0" * 32 + ".json"])
def test_a_damaged_file_of_the_trust_folder_is_one_finding(host: WornHost, name: str) -> None:
    (host.path / "trust").mkdir()
    (host.path / "trust" / name).write_bytes(b"{}")
    with host.open() as ws:
        for report in (ws.care.fsck(), ws.care.fsck_on(0.1), ws.care.fsck(repair=True)):
            (finding,) = report.findings
            assert (finding.kind, finding.file) == ("damaged", f"trust/{name}")
            assert "remove it" in finding.detail
            assert not finding.repaired


@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_settings_that_are_no_file_are_refused(tmp_path: Path, kind: str) -> None:
    KINDS[kind](tmp_path / "config.toml")
    with pytest.raises(UsageError, match="not a regular file"):
        read_trusted(tmp_path / "config.toml")


@pytest.mark.parametrize("kind", KINDS)
def test_a_journal_that_is_no_file_is_a_finding(host: WornHost, kind: str) -> None:
    app = syscat(host).name.partition(".")[0]
    KINDS[kind](host.path / f"journals/{app}.journal")
    with Workspace.open(host.path, clock=host.clock, recover=False) as ws:
        files = [finding.file for finding in ws.care.fsck().findings]
    assert files == [f"journals/{app}.journal"]


def test_named_files_may_be_pipes() -> None:
    read, write = os.pipe()
    os.write(write, b"plan")
    os.close(write)
    assert read_named(Path(f"/proc/self/fd/{read}"), 10) == b"plan"
    os.close(read)
